//! Four well-known networks in every version of TensorRT-RTX that there is.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use crate::builder::Kind;
use crate::python::Python;
use crate::{Case, HALVED, IMAGENET, PLAIN, report, row, versions};

fn check(case: &Case, model: impl FnOnce(&Python, &Path) -> Option<PathBuf>) {
    let Some(versions) = versions() else { return e2e::skip("no TensorRT-RTX; scripts/test installs it") };
    let Some(python) = Python::find() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let Some(original) = model(&python, folder.path()) else { return };
    let model = folder.path().join("original.onnx");
    if original != model {
        fs::copy(&original, &model).expect("a copy");
    }
    let table = case.calibrate(&model);
    for (index, rtx) in versions.iter().enumerate() {
        let kinds = Kind::ALL.into_iter().filter(|kind| rtx.builds_int8() || !kind.is_int8());
        let lines: Vec<String> = kinds
            .map(|kind| {
                // What is composed depends on the product alone, so it is compared once.
                let python = (index == 0).then_some(&python);
                let (built, cosine) = case.build(rtx, python, &model, &table, kind);
                row(case, rtx, kind, &built, cosine)
            })
            .collect();
        report(&lines);
    }
}

/// A model of the collection beside the checkout; a message where there is none.
fn shared(name: &str) -> Option<PathBuf> {
    test_support::shared(&format!("models/{name}"))
}

/// The skeleton of that name, filled with weights.
fn filled(name: &str) -> impl FnOnce(&Python, &Path) -> Option<PathBuf> {
    move |python, folder| {
        let script = shared("fill.py")?;
        let out = folder.join("original.onnx");
        python.run(&script, &[name, out.to_str().expect("plain paths")]);
        Some(out)
    }
}

#[test]
fn efficientnet_lite0_is_built_by_every_version() {
    let case = Case {
        name: "efficientnet_lite0",
        input: ("images", [1, 3, 224, 224]),
        preprocess: "{size: 224, mean: 0.498, std: 0.502}",
        normal: HALVED,
        varying: true,
        least: [1.0, 0.999, 0.98, 0.98],
    };
    check(&case, |_, _| shared("efficientnet_lite0.onnx"));
}

#[test]
fn resnet50_is_built_by_every_version() {
    let case = Case {
        name: "resnet50",
        input: ("images", [1, 3, 224, 224]),
        preprocess: "{preset: imagenet, size: 224}",
        normal: IMAGENET,
        varying: true,
        least: [1.0, 0.999, 0.97, 0.97],
    };
    check(&case, filled("resnet50"));
}

#[test]
fn yolov5s_is_built_by_every_version() {
    let case = Case {
        name: "yolov5s",
        input: ("images", [1, 3, 640, 640]),
        preprocess: "{preset: yolo, size: 640}",
        normal: PLAIN,
        // Random weights: every picture gives the same.
        varying: false,
        least: [1.0, 0.9999, 0.9999, 0.9999],
    };
    check(&case, filled("yolov5s"));
}

#[test]
fn the_text_detector_is_built_by_every_version() {
    let case = Case {
        name: "ppocr_v4_det",
        input: ("x", [1, 3, 480, 480]),
        preprocess: "{preset: imagenet, resize: letterbox, size: 480}",
        normal: IMAGENET,
        varying: true,
        least: [1.0, 0.999, 0.97, 0.97],
    };
    check(&case, |_, _| match env::var_os("TRT_TEST_DETECTOR") {
        Some(path) => Some(PathBuf::from(path)),
        None => {
            e2e::skip("TRT_TEST_DETECTOR is not set");
            None
        }
    });
}
