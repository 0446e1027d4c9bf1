//! Sessions on the CPU, with a real ONNX Runtime.

mod common;

use common::{int, model, node, open, runtime};
use half::f16;
use onnxruntime::{Element, Elements, External, Feed, Kind, OrtError, Output, Runtime};
use trt_onnx::proto::elem;

/// A tensor of two elements.
fn feed<'a>(name: &'a str, elements: Elements<'a>) -> Feed<'a> {
    Feed { name, shape: &[2], elements }
}

#[test]
fn outputs_of_every_type_are_seen_as_they_are() {
    let Some(runtime) = runtime() else { return };
    let cast = |to: i32, output| node("Cast", &["x"], &[output], vec![int("to", i64::from(to))]);
    let types = [
        (elem::FLOAT, "f32"),
        (elem::FLOAT16, "f16"),
        (elem::DOUBLE, "f64"),
        (elem::INT64, "i64"),
        (elem::INT32, "i32"),
        (elem::INT8, "i8"),
        (elem::UINT8, "u8"),
        (elem::BOOL, "bool"),
        (elem::STRING, "string"),
        (elem::BFLOAT16, "bf16"),
    ];
    let mut nodes: Vec<_> = types.iter().map(|(number, name)| cast(*number, name)).collect();
    nodes.push(node("SequenceConstruct", &["x"], &["sequence"], vec![]));
    let mut names: Vec<_> = types.iter().map(|(_, name)| *name).collect();
    names.push("sequence");
    let session = open(runtime, &model(&[("x", elem::FLOAT)], nodes, &names), &[]).unwrap();

    assert_eq!(session.outputs()[3].name, "i64");
    assert!(matches!(session.outputs()[3].kind, Kind::Tensor { element: Element::I64, .. }));
    assert_eq!(session.outputs()[10].kind, Kind::Other("sequence"));

    let wanted: Vec<usize> = (0..names.len()).collect();
    let visit = |outputs: &[Output<'_>]| {
        let half = [f16::from_f32(0.0), f16::from_f32(3.0)];
        let expected = [
            Ok(Elements::F32(&[0.0, 3.0])),
            Ok(Elements::F16(&half)),
            Ok(Elements::F64(&[0.0, 3.0])),
            Ok(Elements::I64(&[0, 3])),
            Ok(Elements::I32(&[0, 3])),
            Ok(Elements::I8(&[0, 3])),
            Ok(Elements::U8(&[0, 3])),
            Ok(Elements::Bool(&[false, true])),
            Err("text".to_owned()),
            Err("a tensor of ONNX's element type 16".to_owned()),
            Err("a sequence".to_owned()),
        ];
        for (output, expected) in outputs.iter().zip(&expected) {
            assert_eq!(output.elements, *expected, "{}", output.name);
            assert_eq!(output.shape.len(), usize::from(output.name != "sequence"), "{}", output.name);
        }
        outputs.len()
    };
    assert_eq!(session.run(&[feed("x", Elements::F32(&[0.0, 3.0]))], &wanted, visit).unwrap(), names.len());
}

#[test]
fn several_inputs_of_several_types_are_fed_and_a_part_of_the_outputs_is_asked_for() {
    let Some(runtime) = runtime() else { return };
    let nodes = vec![
        node("Cast", &["i"], &["as_float"], vec![int("to", 1)]),
        node("Add", &["x", "as_float"], &["sum"], vec![]),
        node("Where", &["b", "sum", "x"], &["picked"], vec![]),
    ];
    let inputs = [("x", elem::FLOAT), ("i", elem::INT64), ("b", elem::BOOL)];
    let session = open(runtime, &model(&inputs, nodes, &["sum", "picked"]), &[]).unwrap();
    let feeds = [
        feed("b", Elements::Bool(&[true, false])),
        feed("i", Elements::I64(&[10, 20])),
        feed("x", Elements::F32(&[1.0, 2.0])),
    ];
    let picked = |outputs: &[Output<'_>]| {
        assert_eq!(outputs.len(), 1);
        assert_eq!(outputs[0].elements, Ok(Elements::F32(&[11.0, 2.0])));
    };
    session.run(&feeds, &[1], picked).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..50).for_each(|_| session.run(&feeds, &[1], picked).unwrap()));
        }
    });
}

#[test]
fn an_empty_tensor_goes_in_and_comes_out() {
    let Some(runtime) = runtime() else { return };
    let session =
        open(runtime, &model(&[("x", elem::FLOAT)], vec![node("Relu", &["x"], &["y"], vec![])], &["y"]), &[])
            .unwrap();
    let none = Feed { name: "x", shape: &[0, 3], elements: Elements::F32(&[]) };
    let seen =
        |outputs: &[Output<'_>]| (outputs[0].shape.clone(), outputs[0].elements.clone().unwrap().len());
    assert_eq!(session.run(&[none], &[0], seen).unwrap(), (vec![0, 3], 0));
}

#[test]
fn inputs_that_do_not_fit_are_named_before_anything_runs() {
    let Some(runtime) = runtime() else { return };
    let add = node("Add", &["x", "z"], &["y"], vec![]);
    let session =
        open(runtime, &model(&[("x", elem::FLOAT), ("z", elem::FLOAT)], vec![add], &["y"]), &[]).unwrap();
    let (x, z) = (feed("x", Elements::F32(&[1.0, 2.0])), feed("z", Elements::F32(&[1.0, 2.0])));
    let cases: [(Vec<Feed<'_>>, &str, &str); 4] = [
        (vec![x], "z", "it is not there"),
        (vec![x, z, feed("w", Elements::U8(&[1, 2]))], "w", "no such input"),
        (vec![x, feed("z", Elements::I32(&[1, 2]))], "z", "the model wants: F32"),
        (vec![x, feed("z", Elements::F32(&[1.0]))], "z", "this many elements: 1"),
    ];
    for (feeds, input, reason) in cases {
        let error = session.run(&feeds, &[0], |_| ()).unwrap_err();
        assert!(matches!(&error, OrtError::Feed { name, .. } if name == input), "{error}");
        assert!(error.to_string().contains(reason), "{error}");
    }
    let long = Feed { name: "z", shape: &[3], elements: Elements::F32(&[1.0, 2.0, 3.0]) };
    let error = session.run(&[x, long], &[0], |_| ()).unwrap_err();
    assert!(matches!(&error, OrtError::Run { node: Some(node), .. } if node == "Add_y"), "{error:?}");
}

#[test]
fn an_operator_that_is_missing_is_told_from_a_model_that_is_wrong() {
    let Some(runtime) = runtime() else { return };
    let refused = |bytes: &[u8]| match open(runtime, bytes, &[]).unwrap_err() {
        OrtError::Model { node, missing_operator, reason } => (node, missing_operator, reason),
        other => panic!("{other:?}"),
    };
    let x = [("x", elem::FLOAT)];
    let (node_name, missing, reason) =
        refused(&model(&x, vec![node("Invented", &["x"], &["y"], vec![])], &["y"]));
    assert!(missing, "{node_name:?} {reason}");
    assert_eq!(node_name.as_deref(), Some("Invented_y"), "{reason}");

    let (_, missing, reason) = refused(&model(&x, vec![node("Relu", &["lost"], &["y"], vec![])], &["y"]));
    assert!(!missing && reason.contains("lost"), "{reason}");
    let (_, missing, reason) = refused(b"no model at all");
    assert!(!missing && !reason.is_empty(), "{reason}");
}

#[test]
fn external_data_is_found_wherever_it_is() {
    let Some(runtime) = runtime() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("elsewhere.bin");
    std::fs::write(&path, test_support::onnx::weights()).unwrap();
    let bytes = test_support::onnx::conv("Relu", test_support::onnx::Weights::External("stem.weights"));
    let external = [External { location: "stem.weights".to_owned(), path: path.clone() }];
    let elsewhere = open(runtime, &bytes, &external).unwrap();
    let own = folder.path().join("stem.weights");
    std::fs::copy(&path, &own).unwrap();
    let beside =
        open(runtime, &bytes, &[External { location: "stem.weights".to_owned(), path: own }]).unwrap();
    let inside = test_support::onnx::conv("Relu", test_support::onnx::Weights::Inside);
    let inside = open(runtime, &inside, &[]).unwrap();
    let pixels: Vec<f32> = (0..3 * 8 * 8).map(|n| (n % 7) as f32).collect();
    let input = Feed { name: "images", shape: &[1, 3, 8, 8], elements: Elements::F32(&pixels) };
    let scores = |outputs: &[Output<'_>]| format!("{:?}", outputs[0].elements);
    let [inside, elsewhere, beside] =
        [inside, elsewhere, beside].map(|session| session.run(&[input], &[0], scores).unwrap());
    assert_eq!(elsewhere, inside);
    assert_eq!(beside, inside);

    let lost = [External { location: "lost".to_owned(), path: folder.path().join("lost") }];
    assert!(matches!(open(runtime, &bytes, &lost), Err(OrtError::External { .. })));
}

#[test]
fn a_process_has_one_library_and_says_which() {
    let Some(runtime) = runtime() else { return };
    assert!(runtime.version().starts_with("1."), "{}", runtime.version());
    assert!(std::ptr::eq(Runtime::load(None).unwrap(), runtime));
    let error = Runtime::load(Some("/opt/another.so".as_ref())).unwrap_err();
    assert!(matches!(&error, OrtError::AlreadyLoaded { loaded, .. } if loaded == runtime.path()), "{error}");
}
