//! Architectures: made with random weights by `scripts/make-models`, built by the newest TensorRT-RTX as every kind.

use crate::builder::{Kind, Rtx};
use crate::python::Python;
use crate::{Case, IMAGENET, PLAIN, report, row};

fn check(case: &Case) {
    let folder = e2e::require_rtx!();
    let Some(python) = Python::find() else { return };
    let rtx = Rtx::probe(folder);
    let models = tempfile::tempdir().expect("a folder");
    python.make_model(models.path(), case.name);
    let model = models.path().join(format!("{}.onnx", case.name));
    let table = case.calibrate(&model);
    let build = |kind| {
        let (built, cosine) = case.build(&rtx, Some(&python), &model, &table, kind);
        row(case, &rtx, kind, &built, cosine)
    };
    report(&Kind::ALL.map(build));
}

#[test]
fn a_detector_of_operator_set_18_with_external_data_is_built_as_every_kind() {
    check(&Case {
        name: "yolov8",
        input: ("images", [1, 3, 160, 160]),
        preprocess: "{preset: yolo, size: 160}",
        normal: PLAIN,
        varying: true,
        least: [1.0, 0.999, 0.93, 0.93],
    });
}

#[test]
fn a_vision_transformer_of_any_batch_size_is_built_as_every_kind() {
    check(&Case {
        name: "vit",
        input: ("images", [1, 3, 224, 224]),
        preprocess: "{preset: imagenet, size: 224}",
        normal: IMAGENET,
        varying: true,
        least: [1.0, 0.999, 0.98, 0.98],
    });
}

#[test]
fn a_segmenter_with_two_outputs_is_built_as_every_kind() {
    check(&Case {
        name: "segmenter",
        input: ("images", [1, 3, 128, 128]),
        preprocess: "{preset: imagenet, size: 128}",
        normal: IMAGENET,
        varying: true,
        least: [1.0, 0.99, 0.9, 0.9],
    });
}
