//! The quantized models, judged by the ONNX checker and by ONNX Runtime.
//!
//! `TRT_TEST_PHOTOS` names a folder of JPEG photographs to use instead of generated pictures (needs Pillow), and
//! `TRT_TEST_DETECTOR` the `ch_PP-OCRv4_det_infer.onnx` of the PyPI wheel `rapidocr-onnxruntime`.
//! Needs a Python with `onnx`, `onnxruntime` and `numpy`: `TRT_TEST_PYTHON`, or `.venv/bin/python` in the workspace.

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{collections::HashMap, env, fs};

use common::*;
use prost::Message;
use test_support::{python, skip};
use trt_onnx::proto::TensorProto;
use trt_onnx::{Fp16Options, Model, QuantOptions, QuantReport, adapt_qdq, quantize, strip_qdq, to_fp16};

fn script(python: &Path, verb: &str, files: [&Path; 2], options: &[&str]) -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/check_quantized.py");
    let photos =
        env::var("TRT_TEST_PHOTOS").map(|folder| vec!["--photos".to_owned(), folder]).unwrap_or_default();
    let mut command = Command::new(python);
    let output = command.arg(script).arg(verb).args(files).args(options).args(photos).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{verb} {files:?}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Measures scales, quantizes `original`, and has both compared; the cosine of every output must reach `least`.
fn judge(original: &Path, options: &QuantOptions, least: &str, shape: &str) -> Option<QuantReport> {
    let python = python()?;
    let folder = tempfile::tempdir().unwrap();
    let (scales, out) = (folder.path().join("scales"), folder.path().join("quantized.onnx"));
    script(&python, "scales", [original, &scales], &["--shape", shape]);
    let text = fs::read_to_string(&scales).unwrap();
    let parse =
        |line: &str| line.rsplit_once(' ').map(|(name, scale)| (name.to_owned(), scale.parse().unwrap()));
    let scales: HashMap<String, f32> = text.lines().filter_map(parse).collect();
    let mut model = Model::load(original).unwrap();
    let report = quantize(&mut model, &|name| scales.get(name).copied(), options).unwrap();
    model.save(&out).unwrap();
    let cosines = script(&python, "compare", [original, &out], &["--shape", shape, "--least", least]);
    eprintln!("{}: {}", original.display(), cosines.trim());
    Some(report)
}

#[test]
fn a_trained_network_computes_nearly_the_same_in_int8() {
    let Some(path) = shared("efficientnet_lite0.onnx") else { return };
    if let Some(report) = judge(&path, &QuantOptions::default(), "0.98", "1,3,224,224") {
        assert_eq!((report.quantized.len(), report.skipped.len(), report.tensors), (59, 0, 50));
    }
    judge(&path, &QuantOptions::rtx(), "0.99", "1,3,224,224");
}

#[test]
fn the_text_detector_survives_the_policy_for_tensorrt_rtx() {
    let Some(path) = env::var_os("TRT_TEST_DETECTOR").map(PathBuf::from) else {
        return skip("TRT_TEST_DETECTOR is not set");
    };
    // The largest magnitude as threshold costs this network much; percentiles reach 0.99.
    if let Some(report) = judge(&path, &QuantOptions::rtx(), "0.85", "1,3,640,640") {
        assert_eq!((report.quantized.len(), report.opset_raised), (5, Some((12, 13))));
    }
}

#[test]
fn a_trained_network_computes_the_same_in_fp16() {
    let (Some(path), Some(python)) = (shared("efficientnet_lite0.onnx"), python()) else { return };
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("fp16.onnx");
    let mut model = Model::load(&path).unwrap();
    let report = to_fp16(&mut model, &Fp16Options::default()).unwrap();
    assert_eq!((report.converted, report.kept), (94, vec![]));
    model.save(&out).unwrap();
    assert!(fs::metadata(&out).unwrap().len() < fs::metadata(&path).unwrap().len() * 11 / 20);
    eprintln!(
        "{}",
        script(&python, "compare", [&path, &out], &["--shape", "1,3,224,224", "--least", "0.999"]).trim()
    );
}

/// Has both models compared, `verb` being `compare` or `exact`.
fn alike(python: &Path, verb: &str, original: &Path, model: &Model, options: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("model.onnx");
    model.save(&out).unwrap();
    eprintln!("{verb} {options:?}: {}", script(python, verb, [original, &out], options).trim());
}

#[test]
fn networks_that_hold_qdq_go_on_computing_the_same_however_they_were_made() {
    let (Some(path), Some(python)) = (shared("efficientnet_lite0.onnx"), python()) else { return };
    let folder = tempfile::tempdir().unwrap();
    let shape = ["--shape", "1,3,224,224"];
    for (style, changed, folded, clips) in [
        ("symmetric", Some((50, 0)), 100, 0),
        ("float-weights", Some((0, 0)), 0, 0),
        ("unsigned", Some((50, 145)), 100, 95),
        ("default", None, 100, 62),
    ] {
        let quantized = folder.path().join(format!("{style}.onnx"));
        script(&python, "qat", [&path, &quantized], &[&shape[..], &["--style", style]].concat());
        let original = Model::load(&quantized).unwrap();
        assert!(original.has_qdq(), "{style}");

        let mut adapted = original.clone();
        let report = adapt_qdq(&mut adapted);
        let found = report.as_ref().ok().map(|report| (report.biases, report.signed));
        assert_eq!(found, changed, "{style}: {report:?}");
        alike(&python, "compare", &quantized, &adapted, &[&shape[..], &["--least", "0.99999"]].concat());

        let mut half = original.clone();
        let report = to_fp16(&mut half, &Fp16Options::default()).unwrap();
        assert_eq!(report.kept, [], "{style}");
        alike(&python, "compare", &quantized, &half, &[&shape[..], &["--least", "0.98"]].concat());

        let mut stripped = original.clone();
        let report = strip_qdq(&mut stripped).unwrap();
        assert_eq!((report.left, report.folded, report.clips), (vec![], folded, clips), "{style}");
        assert!(!stripped.has_qdq(), "{style}");
        // Compared with what was there before it was quantized, unless that had been lost: one scale for a whole
        // weight ruins this network.
        let before = if style == "default" { &quantized } else { &path };
        alike(&python, "compare", before, &stripped, &[&shape[..], &["--least", "0.98"]].concat());
    }
}

/// LayerNorm written out, and attention with a mask of the lowest float32.
fn overflowing() -> trt_onnx::proto::ModelProto {
    let nodes = vec![
        node("ReduceMean", &["x"], &["mean"]).with_ints("axes", &[-1]),
        node("Sub", &["x", "mean"], &["centred"]),
        node("Pow", &["centred", "two"], &["square"]),
        node("ReduceMean", &["square"], &["variance"]).with_ints("axes", &[-1]),
        node("Add", &["variance", "epsilon"], &["sum"]),
        node("Sqrt", &["sum"], &["deviation"]),
        node("Div", &["centred", "deviation"], &["normal"]),
        node("Less", &["normal", "least"], &["hidden"]),
        node("Where", &["hidden", "never", "normal"], &["masked"]),
        node("Softmax", &["masked"], &["y"]).with_int("axis", -1),
    ];
    let one = |name: &str, value| TensorProto { float_data: vec![value], ..weight(name, &[]) };
    let stored = vec![one("two", 2.0), one("epsilon", 1e-12), one("least", -0.5), one("never", f32::MIN)];
    let outputs = vec![value("normal", &[8, 64]), value("y", &[8, 64])];
    model(17, graph(nodes, stored, vec![value("x", &[8, 64])], outputs))
}

#[test]
fn what_float16_would_overflow_is_computed_in_float32_and_would_be_wrong_otherwise() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("overflowing.onnx");
    fs::write(&path, overflowing().encode_to_vec()).unwrap();
    // The squares of numbers about 600 overflow, those of numbers about 0.0001 vanish.
    for amplitude in ["600", "0.0001"] {
        let options = ["--shape", "8,64", "--amplitude", amplitude, "--least", "0.999"];
        let mut model = Model::load(&path).unwrap();
        to_fp16(&mut model, &Fp16Options::default()).unwrap();
        alike(&python, "exact", &path, &model, &options);

        let mut careless = Model::load(&path).unwrap();
        to_fp16(&mut careless, &Fp16Options { keep_ops: vec![], ..Fp16Options::default() }).unwrap();
        let out = folder.path().join("careless.onnx");
        careless.save(&out).unwrap();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/check_quantized.py");
        let run = Command::new(&python)
            .arg(script)
            .arg("exact")
            .args([&path, &out])
            .args(options)
            .output()
            .unwrap();
        assert!(!run.status.success(), "{amplitude}: nothing overflows here, so the test shows nothing");
    }
}

#[test]
fn every_operator_computes_nearly_the_same_after_raising_and_quantizing() {
    let folder = tempfile::tempdir().unwrap();
    // Softmax folds three axes here, in operator set 11.
    let nodes = vec![
        node("Conv", &["x", "conv", "bias"], &["a"]),
        node("Conv", &["a", "depthwise"], &["d"]).with_int("group", 4),
        node("Add", &["d", "a"], &["s"]),
        node("ConvTranspose", &["s", "transposed"], &["t"]),
        node("ConvTranspose", &["t", "grouped"], &["g"]).with_int("group", 2),
        node("Softmax", &["g"], &["p"]),
        node("ReduceSum", &["g"], &["r"]).with_ints("axes", &[3]).with_int("keepdims", 0),
        node("Unsqueeze", &["r"], &["u"]).with_ints("axes", &[0]),
        node("Squeeze", &["u"], &["q"]).with_ints("axes", &[0, 1]),
        node("Split", &["q"], &["k", "l"]).with_ints("split", &[2, 4]).with_int("axis", 0),
        node("MatMul", &["l", "right"], &["m"]),
        node("MatMul", &["left", "m"], &["n"]),
        node("Gemm", &["n", "gemm", "c"], &["o"]).with_int("transB", 1),
        node("Transpose", &["linear"], &["turned"]),
        node("MatMul", &["o", "turned"], &["y"]),
    ];
    let weights = vec![
        weight("conv", &[4, 3, 1, 1]),
        weight("bias", &[4]),
        weight("depthwise", &[4, 1, 1, 1]),
        weight("transposed", &[4, 6, 1, 1]),
        weight("grouped", &[6, 3, 1, 1]),
        weight("right", &[8, 5]),
        weight("left", &[3, 4]),
        weight("gemm", &[2, 5]),
        weight("c", &[2]),
        weight("linear", &[5, 2]),
    ];
    // Mostly positive, lest the sums cancel out and show nothing but rounding.
    let leaning = |mut tensor: TensorProto| {
        tensor
            .float_data
            .iter_mut()
            .enumerate()
            .for_each(|(index, value)| *value = (index % 7) as f32 * 0.1 - 0.1);
        tensor
    };
    let weights = weights.into_iter().map(leaning).collect();
    let outputs = vec![value("y", &[3, 5]), value("p", &[1, 6, 8, 8]), value("k", &[2, 8])];
    let proto = model(11, graph(nodes, weights, vec![value("x", &[1, 3, 8, 8])], outputs));
    let path = folder.path().join("operators.onnx");
    fs::write(&path, proto.encode_to_vec()).unwrap();
    if let Some(report) = judge(&path, &QuantOptions::default(), "0.98", "1,3,8,8") {
        assert_eq!((report.quantized.len(), report.opset_raised), (9, Some((11, 13))));
        assert_eq!(report.skipped, []);
    }
}
