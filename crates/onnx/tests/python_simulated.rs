//! Simulated INT8 and exposed activations, judged by ONNX's own interpreter and by ONNX Runtime.
//!
//! Needs a Python with `onnx`, `onnxruntime` and `numpy`: `TRT_TEST_PYTHON`, or `.venv/bin/python` in the workspace.

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;

use common::*;
use prost::Message;
use test_support::python;
use trt_onnx::proto::{EXTERNAL, ModelProto, NodeProto, StringStringEntryProto};
use trt_onnx::{
    Model, ONNX_RUNTIME_SETTING, QuantOptions, Scope, SimulateOptions, expose, quantize, simulate,
};

/// Runs a check; says what it printed, or why it failed.
fn check(python: &Path, verb: &str, files: [&Path; 2], options: &[&str]) -> Result<String, String> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/check_simulated.py");
    let output = Command::new(python).arg(script).arg(verb).args(files).args(options).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

fn save(model: &Model, folder: &Path, name: &str) -> std::path::PathBuf {
    let path = folder.join(name);
    model.save(&path).unwrap();
    path
}

fn all_layers() -> SimulateOptions {
    SimulateOptions { scope: Scope::AllLayers, ..SimulateOptions::default() }
}

/// Convolutions, a residual, a Swish, pools, a join and a product.
fn network() -> ModelProto {
    let nodes: Vec<NodeProto> = vec![
        node("Conv", &["x", "first", "bias"], &["a"]),
        node("Relu", &["a"], &["r"]),
        node("Conv", &["r", "second"], &["b"]),
        node("Add", &["b", "r"], &["s"]),
        node("Sigmoid", &["s"], &["g"]),
        node("Mul", &["s", "g"], &["m"]),
        node("MaxPool", &["m"], &["p"]).with_ints("kernel_shape", &[2, 2]).with_ints("strides", &[2, 2]),
        node("AveragePool", &["m"], &["q"]).with_ints("kernel_shape", &[2, 2]).with_ints("strides", &[2, 2]),
        node("Concat", &["p", "q"], &["c"]).with_int("axis", 1),
        node("ConvTranspose", &["c", "up"], &["t"]),
        node("GlobalAveragePool", &["t"], &["v"]),
        node("Flatten", &["v"], &["f"]),
        node("Gemm", &["f", "linear"], &["y"]).with_int("transB", 1),
    ];
    let stored = vec![
        weight("first", &[4, 3, 1, 1]),
        weight("bias", &[4]),
        weight("second", &[4, 4, 1, 1]),
        weight("up", &[8, 6, 1, 1]),
        weight("linear", &[5, 6]),
    ];
    model(13, graph(nodes, stored, vec![value("x", &[1, 3, 8, 8])], vec![value("y", &[1, 5])]))
}

/// Every scale differs, so that a mix-up shows, and none is a simple ratio of another, so that no value lies half way.
fn scales(name: &str) -> Option<f32> {
    let scales = [
        ("x", 0.03),
        ("a", 0.2),
        ("r", 0.1),
        ("b", 0.5),
        ("s", 0.7),
        ("g", 0.01),
        ("m", 0.6),
        ("p", 0.83),
        ("q", 0.37),
        ("c", 0.9),
        ("t", 7.0),
        ("v", 3.0),
        ("f", 2.5),
        ("y", 9.0),
    ];
    scales.iter().find(|(known, _)| *known == name).map(|(_, scale)| *scale)
}

/// What should be rounded in [`network`], worked out by hand from what TensorRT fuses.
const WEIGHTED: &str = r#"{"tensors": {
    "a_node": {"0": 0.03}, "b_node": {"0": 0.1}, "s_node": {"1": 0.1}, "t_node": {"0": 0.9}, "y_node": {"0": 2.5}
}, "weights": {"a_node": [1, 0], "b_node": [1, 0], "t_node": [1, 1], "y_node": [1, 0]}}"#;
const ALL: &str = r#"{"tensors": {
    "a_node": {"0": 0.03}, "b_node": {"0": 0.1}, "s_node": {"1": 0.1}, "p_node": {"0": 0.6}, "q_node": {"0": 0.6},
    "c_node": {"0": 0.83, "1": 0.37}, "t_node": {"0": 0.9}, "v_node": {"0": 7.0}, "f_node": {"0": 3.0},
    "y_node": {"0": 2.5}
}, "weights": {"a_node": [1, 0], "b_node": [1, 0], "t_node": [1, 1], "y_node": [1, 0]}}"#;

#[test]
fn simulated_graphs_compute_what_an_independent_rounding_computes() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let original = folder.path().join("network.onnx");
    fs::write(&original, network().encode_to_vec()).unwrap();
    for (options, rounds, wrong) in [
        (SimulateOptions::default(), WEIGHTED, ALL),
        (SimulateOptions { fold_weights: false, ..SimulateOptions::default() }, WEIGHTED, ALL),
        (all_layers(), ALL, WEIGHTED),
        (SimulateOptions { fold_weights: false, ..all_layers() }, ALL, WEIGHTED),
    ] {
        let mut model = Model::load(&original).unwrap();
        simulate(&mut model, &scales, &options).unwrap();
        let path = save(&model, folder.path(), "simulated.onnx");
        let files = [original.as_path(), path.as_path()];
        let checked = check(&python, "reference", files, &["--rounds", rounds]);
        checked.unwrap_or_else(|error| panic!("{options:?}: {error}"));
        let other = check(&python, "reference", files, &["--rounds", wrong]);
        assert!(other.is_err(), "{options:?}: the check accepts other roundings");
        // By default ONNX Runtime rounds such weights once more, with one scale for all channels.
        if options.fold_weights {
            let integers = check(&python, "reference", files, &["--rounds", rounds, "--integers"]);
            assert!(integers.is_err(), "{options:?}: the setting is needed no more");
        }
    }
    assert_eq!(ONNX_RUNTIME_SETTING, ("session.disable_quant_qdq", "1"), "what the script sets");
}

#[test]
fn a_trained_network_in_weighted_layers_computes_what_explicit_quantization_does() {
    let (Some(path), Some(python)) = (shared("efficientnet_lite0.onnx"), python()) else { return };
    let folder = tempfile::tempdir().unwrap();
    let scales = |_: &str| Some(0.05);
    let mut explicit = Model::load(&path).unwrap();
    quantize(&mut explicit, &scales, &QuantOptions::default()).unwrap();
    let explicit = save(&explicit, folder.path(), "explicit.onnx");
    let mut folded = Model::load(&path).unwrap();
    let report = simulate(&mut folded, &scales, &SimulateOptions::default()).unwrap();
    assert_eq!((report.quantized.len(), report.skipped.len(), report.tensors.len()), (59, 0, 50));
    let folded = save(&folded, folder.path(), "folded.onnx");
    // Sums in another order may fall on the other side of a rounding, which the layers after it carry on.
    let text = check(&python, "same", [&explicit, &folded], &["--most", "0.03"]).unwrap();
    eprintln!("explicit and folded: {}", text.trim());
    let error = check(&python, "same", [&path, &folded], &["--most", "0.03"]);
    assert!(error.is_err(), "rounding with one scale for all must show");
}

#[test]
fn real_networks_run_in_onnx_runtime_with_every_layer_rounded() {
    let Some(python) = python() else { return };
    for (name, least) in [("yolov5s", 100), ("resnet50", 60)] {
        let Some(script) = shared("fill.py") else { return };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.onnx");
        assert!(Command::new(&python).arg(script).arg(name).arg(&path).status().unwrap().success());
        let mut model = Model::load(&path).unwrap();
        let report = simulate(&mut model, &|_| Some(0.1), &all_layers()).unwrap();
        assert!(report.quantized.len() > least, "{name}: {}", report.quantized.len());
        assert_eq!(report.skipped, [], "{name}");
        let out = save(&model, folder.path(), "simulated.onnx");
        // It runs; what it computes with one scale for all is nobody's business.
        check(&python, "same", [&out, &out], &[]).unwrap();
        eprintln!("{name}: {} nodes read {} rounded tensors", report.quantized.len(), report.tensors.len());
    }
}

#[test]
fn onnx_runtime_hands_out_every_exposed_activation_while_it_optimises() {
    let (Some(path), Some(python)) = (shared("efficientnet_lite0.onnx"), python()) else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut model = Model::load(&path).unwrap();
    let names: Vec<String> = model.activations().into_iter().map(|activation| activation.name).collect();
    let exposed = expose(&mut model, &names);
    assert_eq!((exposed.outputs.len(), exposed.inputs.len(), exposed.refused.len()), (94, 1, 0));
    let out = save(&model, folder.path(), "exposed.onnx");
    let text = check(&python, "exposed", [&path, &out], &["--most", "1e-4"]).unwrap();
    assert_eq!(text.lines().count(), 94);
}

#[test]
fn external_data_stays_where_it_is() {
    let Some(python) = python() else { return };
    let (data, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut proto = convolution(13);
    let tensor = &mut proto.graph.as_mut().unwrap().initializer[0];
    let bytes: Vec<u8> = tensor.float_data.drain(..).flat_map(f32::to_le_bytes).collect();
    fs::write(data.path().join("weights.data"), bytes).unwrap();
    let (key, value) = (Some("location".into()), Some("weights.data".into()));
    tensor.external_data = vec![StringStringEntryProto { key, value }];
    tensor.data_location = Some(EXTERNAL);
    let path = data.path().join("model.onnx");
    fs::write(&path, proto.encode_to_vec()).unwrap();
    let mut model = Model::load(&path).unwrap();
    expose(&mut model, &["y".to_owned()]);
    let out = save(&model, elsewhere.path(), "exposed.onnx");
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 1, "nothing but the graph");
    let folder = model.folder().unwrap().to_str().unwrap();
    let files = [path.as_path(), out.as_path()];
    check(&python, "external", files, &["--folder", folder]).unwrap();
}
