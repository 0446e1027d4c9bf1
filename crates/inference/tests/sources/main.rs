//! What every backend on the processor must do alike.

#[path = "../common/mod.rs"]
mod common;
mod models;
mod odd;

use common::{backends, batch, source};
use models::{amax, graph, int, model, node, stored};
use trt_calib::Mode;
use trt_inference::{Choice, Content, OnNan, Settings, SourceError, Subject, Tensor, Values, open_network};
use trt_onnx::proto::elem;

/// `x -> Sqrt r -> Relu y`: NaN where `x` is negative.
fn roots() -> trt_onnx::Model {
    let nodes = vec![node("Sqrt", &["x"], "r", vec![]), node("Relu", &["r"], "y", vec![])];
    model(graph(&[("x", elem::FLOAT)], nodes, &["y"]))
}

fn x(values: &[f32]) -> Tensor {
    Tensor::f32("x", [values.len() / 2, 2], values.to_vec())
}

#[test]
fn every_float_activation_is_counted_and_no_integer() {
    let nodes = vec![
        node("Relu", &["x"], "a", vec![]),
        node("Shape", &["a"], "shape", vec![]),
        node("Cast", &["shape"], "sides", vec![int("to", 1)]),
        node("Mul", &["a", "w"], "y", vec![]),
    ];
    let mut graph = graph(&[("x", elem::FLOAT)], nodes, &["y"]);
    graph.initializer.push(stored("w", &[1], &[-3.0]));
    let model = model(graph);
    for (choice, settings) in backends() {
        let opened = source(&model, choice, &settings).unwrap();
        assert!(opened.because.is_empty() && opened.left_out.is_empty());
        opened.what.accumulate(batch(vec![x(&[1.0, -2.0, 0.5, 4.0])])).unwrap();
        let so_far = opened.what.snapshot().unwrap();
        assert_eq!(so_far.observed[0].counts.count(), 4);
        opened.what.accumulate(batch(vec![x(&[-5.0, 0.0])])).unwrap();
        let found = opened.what.finish().unwrap();
        let expected = [("x", 5.0), ("a", 4.0), ("sides", 2.0), ("y", 12.0)];
        assert_eq!(amax(&found), expected.map(|(name, amax)| (name, Some(amax))), "{choice:?}");
        assert!(found.omitted.is_empty(), "{:?}", found.omitted);
        assert_eq!(found.observed[0].counts.count(), 6);
    }
}

#[test]
fn what_is_not_a_number_is_named_with_the_sample_and_ends_calibration() {
    let model = roots();
    for (choice, settings) in backends() {
        let source = source(&model, choice, &settings).unwrap().what;
        let error = source.accumulate(batch(vec![x(&[4.0, 1.0, 9.0, -1.0, -1.0, 1.0])])).unwrap_err();
        let SourceError::NotANumber { tensor, count, samples } = &error else { panic!("{error}") };
        assert_eq!(
            (tensor.as_str(), *count, samples.as_slice()),
            ("r", 2, &["1".to_owned()][..]),
            "{choice:?}"
        );
    }
}

#[test]
fn nothing_of_a_batch_that_is_skipped_is_counted() {
    let model = roots();
    for (choice, settings) in backends() {
        for mode in [Mode::Canonical, Mode::TensorRt] {
            let run = |batches: &[&[f32]]| {
                let settings = Settings { on_nan: OnNan::SkipImage, mode, ..settings.clone() };
                let source = source(&model, choice, &settings).unwrap().what;
                for values in batches {
                    let bad = values.contains(&-7.0);
                    assert_eq!(source.accumulate(batch(vec![x(values)])).is_err(), bad);
                }
                let found = source.finish().unwrap().observed;
                found.into_iter().map(|tensor| (tensor.name, tensor.counts)).collect::<Vec<_>>()
            };
            let (first, second): (&[f32], &[f32]) = (&[1.0, 4.0], &[9.0, 0.25]);
            let with = run(&[first, &[100.0, -7.0], second]);
            assert_eq!(with, run(&[first, second]), "{choice:?} {mode:?}");
        }
    }
}

#[test]
fn several_inputs_of_several_types_are_taken() {
    let nodes = vec![
        node("Cast", &["ids"], "wide", vec![int("to", 1)]),
        node("Add", &["x", "wide"], "sum", vec![]),
        node("Where", &["mask", "sum", "x"], "y", vec![]),
    ];
    let inputs = [("x", elem::FLOAT), ("ids", elem::INT64), ("mask", elem::BOOL)];
    let model = model(graph(&inputs, nodes, &["y"]));
    let tensor = |name: &str, values| Tensor { name: name.to_owned(), shape: vec![1, 2], values };
    let given = || {
        vec![
            tensor("mask", Values::Bool(vec![true, false])),
            tensor("ids", Values::I64(vec![10, 20])),
            tensor("x", Values::F32(vec![1.0, -2.0])),
        ]
    };
    for (choice, settings) in backends() {
        let source = source(&model, choice, &settings).unwrap().what;
        source.accumulate(batch(given())).unwrap();
        let error = source.accumulate(batch(given()[1..].to_vec())).unwrap_err();
        assert!(matches!(&error, SourceError::Input { name, .. } if name == "mask"), "{error}");
        let found = source.finish().unwrap();
        let expected = [("x", 2.0), ("wide", 20.0), ("sum", 18.0), ("y", 11.0)];
        assert_eq!(amax(&found), expected.map(|(name, amax)| (name, Some(amax))), "{choice:?}");

        let subject = Subject { model: &model, folder: ".".as_ref(), activations: &[] };
        let network = open_network(&subject, choice, &settings).unwrap().what;
        assert_eq!(network.outputs(), ["y"]);
        let y = network.run(&given()).unwrap();
        assert_eq!(y, [Tensor::f32("y", [1, 2], vec![11.0, -2.0])], "{choice:?}");
    }
}

#[test]
fn a_part_is_counted_where_an_operator_is_missing_and_the_rest_is_listed() {
    let foreign = trt_onnx::proto::NodeProto {
        domain: Some("TRT".to_owned()),
        ..node("EfficientNMS_TRT", &["a"], "boxes", vec![])
    };
    let nodes = vec![
        node("Relu", &["x"], "a", vec![]),
        foreign,
        node("Neg", &["boxes"], "lost", vec![]),
        node("Neg", &["a"], "kept", vec![]),
    ];
    let model = model(graph(&[("x", elem::FLOAT)], nodes, &["lost", "kept"]));
    for (choice, settings) in backends() {
        let opened = source(&model, choice, &settings).unwrap();
        let lost: Vec<_> = opened.left_out.iter().map(|left| left.name.as_str()).collect();
        assert_eq!(lost, ["boxes", "lost"], "{choice:?}");
        assert!(opened.left_out[0].why.contains("EfficientNMS_TRT"), "{:?}", opened.left_out);
        let [because] = opened.because.as_slice() else { panic!("{:?}", opened.because) };
        assert!(
            because.contains("only a part of the model") && because.contains("EfficientNMS_TRT"),
            "{because}"
        );
        opened.what.accumulate(batch(vec![x(&[1.0, 3.0])])).unwrap();
        let found = opened.what.finish().unwrap();
        assert_eq!(amax(&found), ["x", "a", "kept"].map(|name| (name, Some(3.0))));
        assert_eq!(found.omitted, opened.left_out);

        let subject = Subject { model: &model, folder: ".".as_ref(), activations: &[] };
        let Err(error) = open_network(&subject, choice, &settings) else {
            panic!("a network runs whole models")
        };
        assert!(matches!(&error, SourceError::Foreign { domain, .. } if domain == "TRT"), "{error:?}");
    }
}

#[test]
fn a_model_of_nothing_but_a_missing_operator_is_refused_with_its_name() {
    let model = model(graph(&[("x", elem::FLOAT)], vec![node("Invented", &["x"], "y", vec![])], &["y"]));
    for (choice, settings) in backends() {
        let Err(error) = source(&model, choice, &settings) else { panic!("{choice:?} invents") };
        let SourceError::Unsupported { node: Some(node), .. } = &error else { panic!("{error:?}") };
        assert_eq!(node, "Invented #0 (output `y`)", "{choice:?}");
    }
}

#[test]
fn the_body_of_a_branch_is_left_out_with_the_reason_if_it_is_asked_for() {
    let branch = |name: &str, op: &str| trt_onnx::proto::AttributeProto {
        name: Some(name.to_owned()),
        g: Some(Box::new(graph(
            &[],
            vec![node(op, &["x"], &format!("{op}_inner"), vec![])],
            &[&format!("{op}_inner")],
        ))),
        r#type: Some(trt_onnx::proto::attr::GRAPH),
        ..Default::default()
    };
    let branches = vec![branch("then_branch", "Relu"), branch("else_branch", "Neg")];
    let model = model(graph(
        &[("x", elem::FLOAT), ("flag", elem::BOOL)],
        vec![node("If", &["flag"], "y", branches)],
        &["y"],
    ));
    for (choice, settings) in backends() {
        let activations = ["x", "Relu_inner", "y", "nowhere"].map(str::to_owned);
        let subject = Subject { model: &model, folder: ".".as_ref(), activations: &activations };
        let source = trt_inference::open_source(&subject, choice, &settings).unwrap().what;
        let flag = Tensor { name: "flag".to_owned(), shape: vec![1], values: Values::Bool(vec![false]) };
        source.accumulate(batch(vec![x(&[1.0, -3.0]), flag])).unwrap();
        let found = source.finish().unwrap();
        assert_eq!(amax(&found), ["x", "y"].map(|name| (name, Some(3.0))), "{choice:?}");
        let why: Vec<_> = found.omitted.iter().map(|o| (o.name.as_str(), o.why.as_str())).collect();
        assert_eq!(why[0].0, "Relu_inner");
        assert!(why[0].1.contains("lies in the body of If"), "{why:?}");
        assert_eq!(why[1], ("nowhere", "the graph computes no such value"));
    }
}

#[test]
fn pictures_and_shapes_that_do_not_fit_are_errors() {
    let model = roots();
    for (choice, settings) in backends() {
        let source = source(&model, choice, &settings).unwrap().what;
        let pictures = trt_inference::Batch { content: Content::Pictures(vec![]), samples: vec![] };
        assert!(matches!(source.accumulate(pictures), Err(SourceError::Run { .. })), "{choice:?}");
        let mut short = x(&[1.0, 2.0]);
        short.shape = vec![1, 3];
        let error = source.accumulate(batch(vec![short])).unwrap_err();
        assert!(matches!(&error, SourceError::Input { name, .. } if name == "x"), "{choice:?}: {error}");
    }
}

#[test]
fn nothing_falls_back_unless_asked_to() {
    let model = roots();
    let nowhere = Settings { onnxruntime: Some("/nowhere/libonnxruntime.so".into()), ..Settings::default() };
    if common::library().is_some() {
        // Another test of this process has loaded a library, or none has: either way this one is not it.
        assert!(matches!(source(&model, Choice::OnnxRuntime, &nowhere), Err(SourceError::OnnxRuntime(_))));
    }
    let opened = source(&model, Choice::Auto, &nowhere).unwrap();
    assert_eq!(opened.what.backend().name, "rten");
    let [because, ..] = opened.because.as_slice() else { panic!("nothing is said") };
    assert!(because.contains("/nowhere/libonnxruntime.so"), "{because}");
}

#[test]
fn auto_says_why_it_did_not_take_the_gpu() {
    let Some(library) = common::library() else { return };
    let settings = Settings { onnxruntime: Some(library), ..Settings::default() };
    let opened = source(&roots(), Choice::Auto, &settings).unwrap();
    match opened.what.backend().name {
        "onnxruntime-cuda" => assert!(opened.because.is_empty(), "{:?}", opened.because),
        "onnxruntime" => {
            let [because] = opened.because.as_slice() else { panic!("{:?}", opened.because) };
            assert!(because.contains("GPU") || because.contains("CUDA"), "{because}");
        }
        other => panic!("{other}: {:?}", opened.because),
    }
}

#[test]
fn external_data_is_read_from_the_models_folder() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("stem.weights"), test_support::onnx::weights()).unwrap();
    // The same file, written as some exporters do.
    let outside = test_support::onnx::conv("Relu", test_support::onnx::Weights::External("./stem.weights"));
    let inside = test_support::onnx::conv("Relu", test_support::onnx::Weights::Inside);
    let [outside, inside] =
        [outside, inside].map(|bytes| trt_onnx::Model::from_bytes(bytes, Some(folder.path())).unwrap());
    for (choice, settings) in backends() {
        let counted = [&outside, &inside].map(|model| {
            let source = source(model, choice, &settings).unwrap().what;
            let pixels = (0..3 * 8 * 8).map(|n| (n % 7) as f32).collect();
            source.accumulate(batch(vec![Tensor::f32("images", [1, 3, 8, 8], pixels)])).unwrap();
            let found = source.finish().unwrap().observed;
            found.into_iter().map(|tensor| (tensor.name, tensor.counts)).collect::<Vec<_>>()
        });
        assert_eq!(counted[0], counted[1], "{choice:?}");
        assert_eq!(counted[0].len(), 3);
    }
}
