//! Reading, inspecting and writing models.

mod common;

use std::fs;
use std::path::PathBuf;

use common::*;
use prost::Message;
use trt_onnx::proto::{EXTERNAL, ModelProto, StringStringEntryProto, TensorProto, elem};
use trt_onnx::{Dim, ExternalFile, Model, OnnxError};

/// What an error is called, without its fields.
fn variant(result: Result<Model, OnnxError>) -> String {
    match result {
        Ok(_) => "Ok".to_owned(),
        Err(error) => {
            let text = format!("{error:?}");
            text.split([' ', '{', '(']).next().unwrap_or_default().to_owned()
        }
    }
}

#[test]
fn what_is_no_model_is_told_apart() {
    let good = convolution(13).encode_to_vec();
    let no_graph = ModelProto { graph: None, ..convolution(13) }.encode_to_vec();
    let no_opset = ModelProto { opset_import: vec![], ..convolution(13) }.encode_to_vec();
    for (bytes, expected) in [
        (vec![], "Empty"),
        (good[..good.len() / 2].to_vec(), "Malformed"),
        (b"version https://git-lfs.github.com/spec/v1".to_vec(), "Malformed"),
        (no_graph, "NoGraph"),
        (no_opset, "NoOpset"),
        (good, "Ok"),
    ] {
        assert_eq!(variant(Model::from_bytes(bytes, None)), expected);
    }
    assert_eq!(variant(Model::load("does/not/exist.onnx")), "NotFound");
    assert_eq!(variant(Model::load("/")), "Read");
}

#[test]
fn a_graph_that_does_not_hold_together_is_refused_with_the_node() {
    let cases = [
        ("UnknownValue", vec![node("Relu", &["nowhere"], &["y"])], "`y_node`"),
        (
            "Unsorted",
            vec![node("Relu", &["a"], &["y"]), node("Relu", &["x"], &["a"])],
            "`y_node` reads a value before it is computed: `a`",
        ),
        ("Unsorted", vec![node("Add", &["x", "y"], &["y"])], "`y`"),
        ("Duplicate", vec![node("Relu", &["x"], &["y"]), node("Relu", &["x"], &["y"])], "`y_node`"),
        ("Duplicate", vec![node("Relu", &["x"], &["x"]), node("Relu", &["x"], &["y"])], "`x`"),
        ("OutputNotComputed", vec![node("Relu", &["x"], &["a"])], "`y`"),
    ];
    for (expected, nodes, mention) in cases {
        let proto = model(13, graph(nodes, vec![], vec![value("x", &[1])], vec![value("y", &[1])]));
        let result = Model::from_bytes(proto.encode_to_vec(), None);
        let message = result.as_ref().err().map(ToString::to_string).unwrap_or_default();
        assert!(message.contains(mention), "{message}");
        assert_eq!(variant(result), expected);
    }
}

#[test]
fn bodies_of_control_flow_may_read_values_around_them_and_are_counted() {
    let body =
        |name: &str| graph(vec![node("Relu", &["x"], &[name])], vec![], vec![], vec![value(name, &[1])]);
    let choice =
        node("If", &["c"], &["y"]).with_body("then_branch", body("t")).with_body("else_branch", body("e"));
    let nodes =
        vec![node("ReduceMax", &["x"], &["m"]), node("Cast", &["m"], &["c"]).with_int("to", 9), choice];
    let proto = model(13, graph(nodes, vec![], vec![value("x", &[1])], vec![value("y", &[1])]));
    let model = read(&proto);
    assert_eq!(model.subgraph_nodes(), 2);
    assert_eq!(model.operators()["Relu"], 2);
    let names: Vec<String> = model.activations().into_iter().map(|a| a.name).collect();
    assert_eq!(names, ["x", "m", "y"]);

    let mut broken = proto;
    let nodes = &mut broken.graph.as_mut().unwrap().node;
    nodes[2].attribute[1].g.as_mut().unwrap().node[0].input[0] = "t".into(); // The other branch's value.
    assert_eq!(variant(Model::from_bytes(broken.encode_to_vec(), None)), "UnknownValue");
}

#[test]
fn activations_leave_out_constants_and_integers() {
    let constant = {
        let mut node = node("Constant", &[], &["k"]).with_int("value", 0);
        node.attribute[0].t = Some(Box::new(weight("", &[1])));
        node
    };
    let custom = {
        let mut node = node("Strange", &["r"], &["s"]);
        (node.domain, node.name) = (Some("my.domain".into()), None);
        node
    };
    let nodes = vec![
        constant,
        node("Mul", &["k", "w"], &["kw"]),
        node("Relu", &["x"], &["r"]),
        node("Shape", &["r"], &["shape"]),
        node("Gather", &["shape", "index"], &["size"]),
        node("Cast", &["size"], &["float_size"]).with_int("to", 1),
        node("ArgMax", &["r"], &["best"]),
        custom,
        node("Add", &["s", "kw"], &["y"]),
    ];
    let index = TensorProto { data_type: Some(elem::INT64), int64_data: vec![0], ..weight("index", &[]) };
    let inputs = vec![value("x", &[-1, 3]), value("w", &[1])];
    let model = read(&model(13, graph(nodes, vec![weight("w", &[1]), index], inputs, vec![value("y", &[])])));

    let activations = model.activations();
    let seen: Vec<_> = activations.iter().map(|a| (a.name.as_str(), a.known_float)).collect();
    assert_eq!(seen, [("x", true), ("r", true), ("float_size", true), ("s", false), ("y", true)]);
    assert!(activations[0].is_input && activations[0].producer.is_none());
    assert_eq!(activations[1].producer.as_deref(), Some("`r_node`"));
    assert_eq!(activations[3].producer.as_deref(), Some("my.domain.Strange #7 (output `s`)"));
    assert!(activations[4].is_output);

    let inputs = model.inputs();
    assert_eq!(inputs.len(), 1, "an initializer is no input");
    assert_eq!(inputs[0].dims, [Dim::Symbol("free".into()), Dim::Fixed(3)]);
    assert_eq!(model.outputs()[0].name, "y");
}

/// A convolution whose weight (24 bytes) lies at `location`.
fn with_external(location: &str, entries: &[(&str, &str)]) -> Vec<u8> {
    let mut proto = convolution(13);
    let weight = &mut proto.graph.as_mut().unwrap().initializer[0];
    weight.float_data.clear();
    weight.data_location = Some(EXTERNAL);
    weight.external_data = [("location", location)]
        .iter()
        .chain(entries)
        .map(|(key, value)| StringStringEntryProto { key: Some((*key).into()), value: Some((*value).into()) })
        .collect();
    proto.encode_to_vec()
}

#[test]
fn external_data_must_be_there_whole_and_inside_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let inside = folder.path().join("model");
    fs::create_dir_all(inside.join("sub")).unwrap();
    fs::write(inside.join("sub/w.data"), [0; 32]).unwrap();
    fs::write(folder.path().join("outside.data"), [0; 32]).unwrap();
    std::os::unix::fs::symlink("../outside.data", inside.join("link.data")).unwrap();
    let absolute = inside.join("sub/w.data");
    let path = inside.join("model.onnx");
    type Entries = [(&'static str, &'static str)];
    let cases: [(&str, &Entries, &str); 14] = [
        ("sub/w.data", &[], "Ok"),
        ("./sub/w.data", &[("offset", "8"), ("length", "24")], "Ok"),
        ("sub/w.data", &[("offset", "9")], "ExternalTooShort"),
        ("sub/w.data", &[("length", "23")], "ExternalInvalid"),
        ("sub/w.data", &[("offset", "-1")], "ExternalInvalid"),
        ("sub/w.data", &[("offset", "18446744073709551615")], "ExternalInvalid"),
        ("absent.data", &[], "ExternalAbsent"),
        ("sub", &[], "ExternalInvalid"),
        ("", &[], "ExternalInvalid"),
        (".", &[], "ExternalOutside"),
        ("../outside.data", &[], "ExternalOutside"),
        ("sub/../../outside.data", &[], "ExternalOutside"),
        ("link.data", &[], "ExternalOutside"),
        (absolute.to_str().unwrap(), &[], "ExternalOutside"),
    ];
    for (location, entries, expected) in cases {
        fs::write(&path, with_external(location, entries)).unwrap();
        assert_eq!(variant(Model::load(&path)), expected, "{location} {entries:?}");
    }
}

#[test]
fn external_data_is_listed_and_stays_external() {
    let bytes = with_external("sub/w.data", &[("offset", "8")]);
    let model = Model::from_bytes(bytes.clone(), None).unwrap();
    assert_eq!(model.external_files(), [ExternalFile { path: PathBuf::from("sub/w.data"), bytes: 32 }]);
    assert_eq!(model.to_bytes().unwrap(), bytes);
}

#[test]
fn real_models_come_out_with_the_bytes_they_went_in_with() {
    for name in ["efficientnet_lite0.onnx", "resnet50.skeleton.onnx", "yolov5s.skeleton.onnx"] {
        let Some(path) = shared(name) else { return };
        let bytes = fs::read(path).unwrap();
        let mut proto = ModelProto::decode(&bytes[..]).unwrap();
        if name.contains("skeleton") {
            // Their large weights are left out on purpose, which nothing here reads.
            assert!(proto.graph.as_mut().unwrap().initializer.iter().any(|t| t.raw_data.is_none()));
        }
        let model = Model::from_bytes(bytes.clone(), None).unwrap();
        assert_eq!(model.unknown_fields(), []);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("saved.onnx");
        model.save(&path).unwrap();
        assert!(fs::read(&path).unwrap() == bytes, "{name} changed");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "a temporary file stayed behind");
    }
}

#[test]
fn a_real_model_is_described() {
    let Some(path) = shared("efficientnet_lite0.onnx") else { return };
    let model = Model::load(path).unwrap();
    assert_eq!((model.opset(), model.ir_version(), model.has_qdq()), (17, 8, false));
    assert!(model.producer().starts_with("pytorch"), "{}", model.producer());
    assert_eq!(model.operators()["Conv"], 49);
    assert_eq!(model.inputs()[0].dims[0], Dim::Symbol("batch".into()));
    let activations = model.activations();
    // The input and the outputs of 49 Conv, 33 Clip, 9 Add, pooling, Reshape and Gemm; not of the shape arithmetic.
    assert_eq!(activations.len(), 1 + 49 + 33 + 9 + 3);
    assert!(activations.iter().all(|activation| activation.known_float));
}

#[test]
fn stored_tensors_are_listed_by_name() {
    assert_eq!(read(&convolution(13)).initializers().collect::<Vec<_>>(), ["w", "b"]);
}

#[test]
fn fields_that_saving_would_lose_are_reported() {
    let mut bytes = convolution(13).encode_to_vec();
    bytes.extend([0xf8, 0x06, 1]); // Field 111 of the model, a varint.
    let model = Model::from_bytes(bytes, None).unwrap();
    let unknown = model.unknown_fields();
    assert_eq!((unknown.len(), unknown[0].message.as_str(), unknown[0].field), (1, "ModelProto", 111));
}
