//! Tables that were made elsewhere.

use prost::Message as _;
use trt_onnx::Model;

use super::*;

/// A table with these names, separated by spaces.
fn table(names: &str) -> String {
    let lines: String = names.split(' ').map(|name| format!("{name}: 3c010204\n")).collect();
    format!("TRT-8601-EntropyCalibration2\n{lines}")
}

/// `x` through Relu after Relu, whose outputs have these names.
fn chain(names: &[&str]) -> trt_onnx::proto::ModelProto {
    let ends = [&["x"], names].concat();
    let nodes = ends.windows(2).map(|pair| node("Relu", &pair[..1], &pair[1..])).collect();
    model(&[-1, 3, 8, 8], nodes, vec![])
}

/// A model that takes its table from elsewhere.
pub fn taker(onnx: &Path, table: &Path) -> fleet::Model {
    let (onnx, table) = (onnx.display(), table.display());
    let text = format!("models: {{m: {{onnx: {onnx}, precision: int8, calibration: {{table: {table}}}}}}}\n");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("trt-deploy.yaml");
    std::fs::write(&file, text).unwrap();
    Fleet::load(&file).unwrap().model("m").unwrap().clone()
}

fn ensure(model: &fleet::Model) -> Result<TableOutcome, CalibrateError> {
    ensure_table(model, &Ui::new(true, 0, true), &Interrupt::default(), false)
}

#[test]
fn a_table_belongs_to_a_model_by_the_names_between_its_ends() {
    let of = |model: &trt_onnx::proto::ModelProto, names: &str| {
        let activations = Model::from_bytes(model.encode_to_vec(), None).unwrap().activations();
        Fit::of(&CalibrationTable::parse(table(names).as_bytes()).unwrap(), &activations, []).is_other_model()
    };
    let five = chain(&["a", "b", "c", "d", "output0"]);
    for (names, other, why) in [
        ("x a b c d output0", false, "all"),
        ("x output0", true, "the ends, which many models share"),
        ("u v", true, "none"),
        ("a", false, "few, and right"),
        ("a u", false, "as many right as wrong"),
        ("x a u v output0", true, "few, and mostly another model's"),
        ("a b u v w", false, "half of the model, in a larger one"),
        ("a ONNXTRT_u ONNXTRT_v", false, "what TensorRT's parser makes counts for nothing"),
    ] {
        assert_eq!(of(&five, names), other, "{why}: {names}");
    }
    assert!(!of(&chain(&["y"]), "y"), "a single node has nothing between its ends");
}

#[test]
fn a_table_of_another_model_is_refused_and_one_of_few_names_is_told() {
    let bench = Bench::new(&chain(&["a", "b", "c", "d", "y"]), 1);
    let path = bench.at("table.cache");
    let model = taker(&bench.job.onnx, &path);
    std::fs::write(&path, table("x y a u v w")).unwrap();
    let error = ensure(&model).unwrap_err();
    let expected = "belongs to another model: it names 1 of the model's 4 inner activations, and 3 that the model \
                    does not have";
    assert!(error.to_string().ends_with(expected), "{error}");
    std::fs::write(&path, table("a b c u v")).unwrap();
    let warnings = ensure(&model).unwrap().summary.warnings.join("; ");
    assert!(warnings.contains("3 of 6 activations have no scale"), "{warnings}");
    assert!(warnings.contains("2 of its 5 entries name nothing that the model has"), "{warnings}");
}

#[test]
fn provenance_that_names_another_model_counts_more_than_names() {
    let bench = Bench::new(&convolution(&[-1, 3, 8, 8]), 2);
    bench.run().unwrap();
    let model = taker(&bench.job.onnx, &bench.job.recipe.output);
    let outcome = ensure(&model).unwrap();
    assert_eq!((outcome.summary.origin, outcome.summary.warnings), (Origin::Foreign, vec![]));

    save(&convolution(&[-1, 3, 8, 4]), &bench.job.onnx);
    let error = ensure(&model).unwrap_err();
    assert!(matches!(error, CalibrateError::OtherSource { .. }), "{error:?}");
    assert!(error.hint().unwrap().contains("remove") && error.hint().unwrap().contains("tiny.cache.json"));
    // What the hint says helps.
    let sidecar = store::sidecar_path(&bench.job.recipe.output);
    let record = std::fs::read(&sidecar).unwrap();
    std::fs::remove_file(&sidecar).unwrap();
    assert!(ensure(&model).unwrap().summary.warnings[0].contains("cannot be checked"));
    // A sidecar that belongs to another table says nothing about this one.
    std::fs::write(&sidecar, record).unwrap();
    std::fs::write(&bench.job.recipe.output, table("x c r y")).unwrap();
    assert!(ensure(&model).unwrap().summary.warnings[0].contains("not the table that was written"));
}

#[test]
fn published_tables_are_refused_for_another_published_model() {
    let Some(onnx) = test_support::shared("models/efficientnet_lite0.onnx") else { return };
    let Some(tables) = test_support::shared("calibration-tables") else { return };
    let mut seen = 0;
    for path in files(&tables).iter().filter(|path| path.extension().is_some_and(|ext| ext == "cache")) {
        let error = ensure(&taker(&onnx, path)).map(|outcome| outcome.summary).unwrap_err();
        // A legacy table that cannot be used at all is refused as well.
        let refused = matches!(error, CalibrateError::OtherModel { .. } | CalibrateError::Table { .. });
        assert!(refused, "{}: {error:?}", path.display());
        seen += usize::from(matches!(error, CalibrateError::OtherModel { .. }));
    }
    assert!(seen >= 5, "{seen} tables");
}
