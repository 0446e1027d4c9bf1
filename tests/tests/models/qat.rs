//! Networks that hold Q/DQ already: built from it without a table, or without it where the hardware has no INT8.

use std::fs;
use std::path::Path;

use trt_wire::{BuildPlan, QuantMode};

use crate::builder::{Kind, Rtx, plan};
use crate::python::Python;

/// Puts the segmenter of `scripts/make-models`, quantized by ONNX Runtime in that way, into `folder` as `model.onnx`.
fn quantized(folder: &Path, style: &str) -> Option<(Rtx, Python)> {
    let Some(rtx) = e2e::rtx_dir() else {
        e2e::skip("no TensorRT-RTX; scripts/test installs it and sets TRT_RTX_LIB_DIR");
        return None;
    };
    let python = Python::find()?;
    python.make_model(folder, "segmenter");
    python.quantize(&folder.join("segmenter.onnx"), &folder.join("model.onnx"), style);
    Some((Rtx::probe(rtx), python))
}

fn of_the_model(kind: Kind) -> BuildPlan {
    BuildPlan { mode: QuantMode::ModelQdq, ..plan(kind) }
}

#[test]
fn a_network_quantized_by_onnx_runtime_is_built_from_its_own_qdq() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = folder.path().join("model.onnx");
    for style in ["symmetric", "float-weights", "unsigned"] {
        let Some((rtx, python)) = quantized(folder.path(), style) else { return };
        let shipped = fs::read(&model).expect("the model");
        for kind in [Kind::Int8, Kind::Mixed] {
            let built = rtx.build_plan(&model, of_the_model(kind), None);
            let built = built.unwrap_or_else(|failure| panic!("{style} as {kind}: {failure:?}"));
            eprintln!("{style} as {kind}: {} bytes", built.engine_bytes);
            assert_eq!(fs::read(&model).expect("the model"), shipped, "what was shipped is not touched");
            let composed = folder.path().join(".composed.onnx");
            // Float weights and biases are what TensorRT reads as it is.
            assert_eq!(
                composed.exists(),
                (style, kind) != ("float-weights", Kind::Int8),
                "{style} as {kind}"
            );
            if composed.exists() {
                let cosine = python.compare(&model, &composed, &["--shape", "1,3,128,128"])["logits"];
                eprintln!("{style} as {kind}: {cosine}");
                assert!(cosine >= 0.97, "{style} as {kind}: {cosine}");
                fs::remove_file(composed).expect("the composed graph");
            }
        }
    }
}

#[test]
fn without_int8_hardware_its_qdq_are_taken_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = folder.path().join("model.onnx");
    for style in ["symmetric", "float-weights", "unsigned", "default"] {
        let Some((rtx, python)) = quantized(folder.path(), style) else { return };
        let built = rtx.build_plan(&model, BuildPlan { strip_qdq: true, ..plan(Kind::Fp16) }, None);
        assert!(built.is_ok(), "{style}: {built:?}");
        let composed = folder.path().join(".composed.onnx");
        assert!(!trt_onnx::Model::load(&composed).expect("the composed graph").has_qdq(), "{style}");
        let original = folder.path().join("segmenter.onnx");
        let cosine = python.compare(&original, &composed, &["--shape", "1,3,128,128"])["logits"];
        eprintln!("{style} without Q/DQ: {cosine}");
        assert!(cosine >= 0.98, "{style}: {cosine}");
    }
}

#[test]
fn zero_points_are_refused_before_the_build_with_the_settings_that_help() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some((rtx, _)) = quantized(folder.path(), "default") else { return };
    let failure =
        rtx.build_plan(&folder.path().join("model.onnx"), of_the_model(Kind::Int8), None).unwrap_err();
    assert!(failure.message.contains("quantizes to UINT8 from zero on"), "{failure:?}");
    assert!(failure.hint.is_some_and(|hint| hint.contains("ActivationSymmetric")));
}
