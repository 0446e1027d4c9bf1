//! INT8 from a calibration table, on TensorRT 8 and 10 as the recorder plays them.
//!
//! Its model is a text that says what becomes of the table: `accepts the table`, `rejects the table`, or nothing.

use std::fs;

use trt_wire::message::{Event, Phase};
use trt_wire::worker::BuildJob;
use trt_wire::{CalibratorClass, FailureCode, Precision, QuantMode};

use super::stage::{ACTIVATIONS, Stage};
use super::{build, texts};

/// A table of TensorRT 7, for which every library here is another.
fn table(names: &[&str]) -> String {
    let lines: String = names.iter().map(|name| format!("{name}: 3c010a14\n")).collect();
    format!("TRT-7203-EntropyCalibration2\n{lines}")
}

/// An INT8 build with this table.
fn job(stage: &Stage, table: &str, class: CalibratorClass) -> BuildJob {
    let mut job = stage.job();
    job.table = Some(stage.bench.write("table", table.as_bytes()));
    job.plan.precision = Precision::Int8;
    job.plan.mode = QuantMode::Implicit;
    job.plan.other_layers = Precision::Fp16;
    job.plan.calibrator = Some(class);
    job
}

#[test]
fn the_table_reaches_tensorrt_under_the_header_of_the_library_and_the_class() {
    use CalibratorClass::*;
    for (number, class, header) in [
        (8001, EntropyCalibration2, "TRT-8001-EntropyCalibration2"),
        (8201, EntropyCalibration2, "TRT-8201-EntropyCalibration2"),
        (8601, MinMaxCalibration, "TRT-8601-MinMaxCalibration"),
        (8503, LegacyCalibration, "0 3ff0000000000000 3fefffeb074a771d"),
        (100_300, EntropyCalibration2, "TRT-100300-EntropyCalibration2"),
        (101_601, EntropyCalibration, "TRT-101601-EntropyCalibration"),
    ] {
        let stage = Stage::new(number, "accepts the table");
        let job = job(&stage, &table(&ACTIVATIONS), class);
        let built = build(&job, &stage.environment(&[])).built();
        let calls = stage.calls();
        assert!(
            calls.contains(&format!("readCalibrationCache() -> \"{header}\\nimages: 3c010a14")),
            "{calls}"
        );
        assert!(!calls.contains("getBatch("), "{calls}");
        // kFP16 is 0 and kINT8 is 1, in 8 and in 10.
        for call in [
            "VBuilderConfig::setFlag(0)",
            "VBuilderConfig::setFlag(1)",
            "VBuilderConfig::setCalibrationProfile(",
        ] {
            assert!(calls.contains(call), "{number}: {call} is not in {calls}");
        }
        // The two old classes calibrate fused layers otherwise, whose tensors no ONNX file names.
        let is_old = matches!(class, EntropyCalibration | LegacyCalibration);
        assert_eq!(calls.contains("VBuilderConfig::setQuantizationFlag(0)"), is_old, "{number}: {calls}");
        assert_eq!(fs::read(&job.engine).expect("an engine"), b"recorded plan");
        assert_eq!((built.layers, built.decisions.len()), (3, 0), "{}", texts(&built.decisions));
    }
}

#[test]
fn a_build_that_ignores_the_table_fails_although_tensorrt_gave_an_engine() {
    for number in [8201, 100_300] {
        for (model, words) in [
            ("ignores the table", "TensorRT's log does not say that the calibration table was used"),
            ("rejects the table", "TensorRT rejected the calibration table"),
            ("rejects the table, unbuildable", "TensorRT rejected the calibration table"),
            ("unbuildable", "no implementation of `head`"),
        ] {
            let stage = Stage::new(number, model);
            let job = job(&stage, &table(&ACTIVATIONS), CalibratorClass::EntropyCalibration2);
            let failure = build(&job, &stage.environment(&[])).failure();
            assert_eq!(failure.code, FailureCode::BuildFailed, "{model}");
            assert!(failure.message.contains(words), "{model} on {number}: {}", failure.message);
            assert!(failure.hint.is_some());
            assert!(!job.engine.exists(), "{model} on {number}");
        }
    }
}

#[test]
fn what_has_no_scale_is_told_with_the_layers_that_will_not_be_int8() {
    let stage = Stage::new(8201, "accepts the table");
    let job = job(&stage, &table(&["images", "stem/out", "scores"]), CalibratorClass::EntropyCalibration2);
    let answer = build(&job, &stage.environment(&[]));
    let place = |wanted: fn(&Event) -> bool| answer.events.iter().position(wanted).expect("an event");
    let told = place(|event| matches!(event, Event::Decision { .. }));
    let building = place(|event| matches!(event, Event::Phase { phase: Phase::Build }));
    assert!(told < building, "before the build: {:?}", answer.events);
    let Event::Decision { decision } = &answer.events[told] else { unreachable!() };
    let decision = decision.clone();
    let built = answer.built();
    assert_eq!(built.decisions, [decision], "and once more with the result");
    assert_eq!(
        texts(&built.decisions),
        "2 of 3 layers are not INT8 (`body`, `head`), because the calibration table has no scale for 1 tensor that they \
         read or write: `body/out`\n"
    );
    assert!(stage.bench.log().contains("[agent] tensors without a scale: body/out"), "{}", stage.bench.log());
}

#[test]
fn a_table_of_another_model_fails_before_hours_of_building() {
    let unusable = "TRT-7203-EntropyCalibration2\nimages: 7f800000\nstem/out: 0\n".to_owned();
    let cases = [
        (table(&["conv1", "relu1"]), None, "none of the model's 4 activations"),
        (table(&["conv1", "relu1"]), Some("body/out"), "none of the model's 4 activations"),
        (unusable, None, "no scale that the calibration table has for this model is a positive number"),
    ];
    for (table, keep, words) in cases {
        let stage = Stage::new(100_300, "accepts the table");
        let mut job = job(&stage, &table, CalibratorClass::EntropyCalibration2);
        job.plan.keep = keep.into_iter().map(str::to_owned).collect();
        let failure = build(&job, &stage.environment(&[])).failure();
        assert_eq!(failure.code, FailureCode::BadModel);
        assert!(failure.message.contains(words), "{}", failure.message);
        assert!(!stage.calls().contains("buildSerializedNetwork"));
    }
}

#[test]
fn a_network_without_anything_to_calibrate_is_built_without_a_calibrator() {
    let stage = Stage::new(8201, "accepts the table");
    let mut job = job(&stage, &table(&ACTIVATIONS), CalibratorClass::EntropyCalibration2);
    job.plan.keep = ACTIVATIONS.map(str::to_owned).to_vec();
    let built = build(&job, &stage.environment(&[])).built();
    let (calls, decisions) = (stage.calls(), texts(&built.decisions));
    assert!(
        decisions.contains("no layer runs in INT8, because `keep` lists every activation"),
        "{decisions}"
    );
    assert!(
        !calls.contains("setInt8Calibrator") && calls.contains("VBuilderConfig::clearFlag(1)"),
        "{calls}"
    );
}

#[test]
fn plugins_of_tensorrts_own_that_do_not_load_fail_only_what_needs_them() {
    let broken = |model| {
        let stage = Stage::new(8201, model);
        let library = stage.bench.path("libnvinfer_plugin.so.8");
        fs::remove_file(&library).expect("it was there");
        fs::write(&library, "not a library, but long enough to look for a header in it").expect("a file");
        stage
    };
    let words = "TensorRT's own plugins are not used, because their library does not load";
    let stage = broken("any");
    let built = build(&stage.job(), &stage.environment(&[])).built();
    assert!(texts(&built.decisions).contains(words), "{}", texts(&built.decisions));
    let stage = broken("unparsable");
    let failure = build(&stage.job(), &stage.environment(&[])).failure();
    assert_eq!(failure.code, FailureCode::BadModel);
    assert!(failure.message.contains("Gelu") && failure.message.contains(words), "{}", failure.message);
}

#[test]
fn kept_tensors_have_no_scale_and_their_layers_are_made_to_compute_in_fp32() {
    // kSTRICT_TYPES in 8.0, kOBEY_PRECISION_CONSTRAINTS in 8.2 and in 10.
    for (number, flag) in [(8001, 4), (8201, 10), (100_300, 9)] {
        let stage = Stage::new(number, "accepts the table");
        let mut job = job(&stage, &table(&ACTIVATIONS), CalibratorClass::EntropyCalibration2);
        job.plan.keep = vec!["body/out".into(), "nothing".into()];
        let built = build(&job, &stage.environment(&[])).built();
        let (calls, decisions) = (stage.calls(), texts(&built.decisions));
        let count = |call: &str| calls.lines().filter(|line| line.contains(call)).count();
        assert_eq!(count("VLayer::setPrecision"), 2, "body writes it and head reads it: {calls}");
        assert_eq!(count("VLayer::setOutputType"), 1, "{calls}");
        assert!(calls.contains(&format!("VBuilderConfig::setFlag({flag})")), "{number}: {calls}");
        assert!(decisions.contains("`nothing`"), "{decisions}");
        assert_eq!(decisions.contains("where TensorRT has a kernel for it"), number == 8001, "{decisions}");
        assert!(!decisions.contains("no scale for"), "kept on purpose: {decisions}");
    }
}

#[test]
fn settings_reach_the_builder_in_the_words_of_its_version() {
    for (number, workspace) in [
        (8201, "VBuilderConfig::setMaxWorkspaceSize(67108864)"),
        (8403, "VBuilderConfig::setMemoryPoolLimit(0, 67108864)"),
        (100_300, "VBuilderConfig::setMemoryPoolLimit(0, 67108864)"),
    ] {
        let stage = Stage::new(number, "any");
        let mut job = stage.job();
        job.plan.precision = Precision::Fp16;
        job.plan.dla = Some(1);
        job.timing_cache = Some(stage.bench.write("timing.cache", b"measured before"));
        build(&job, &stage.environment(&[])).built();
        let calls = stage.calls();
        let fallback = "VBuilderConfig::setFlag(3)";
        for call in
            [workspace, fallback, "VBuilderConfig::setDLACore(1)", "VBuilderConfig::setDefaultDeviceType(1)"]
        {
            assert!(calls.contains(call), "{number}: {call} is not in {calls}");
        }
        assert!(calls.contains("a timing cache of \"measured before\""), "{calls}");
        assert!(calls.contains("VTimingCache::serialize("), "{calls}");
        assert!(calls.contains("initLibNvInferPlugins("), "{calls}");
        assert!(!calls.contains("VBuilderConfig::setFlag(1)"), "no INT8: {calls}");

        job.plan.dla = Some(2);
        let failure = build(&job, &stage.environment(&[])).failure();
        assert_eq!(failure.code, FailureCode::Unplannable);
        assert!(failure.message.contains("DLA core 2"), "{}", failure.message);
    }
}

#[test]
fn errors_of_the_parser_are_all_told_with_node_and_operator() {
    for (number, words) in [
        (8201, "node 7: no importer for Gelu; second error"),
        (100_300, "node 7 `head/act` (Gelu): no importer for Gelu; second error"),
    ] {
        let stage = Stage::new(number, "unparsable");
        let failure = build(&stage.job(), &stage.environment(&[])).failure();
        assert_eq!(failure.code, FailureCode::BadModel);
        assert!(failure.message.ends_with(words), "{}", failure.message);
        assert!(stage.bench.log().contains("ModelImporter.cpp:100 parseNode"), "{}", stage.bench.log());
    }
}

#[test]
fn a_library_with_another_interface_is_found_by_the_probe() {
    let stage = Stage::new(8201, "any");
    let known = super::probe(&stage.dir(), &stage.environment(&[]));
    assert_eq!(known.tensorrt, Ok(stage.tensorrt()));
    assert_eq!(known.dla_cores, Some(2));
    let planted = stage.environment(&[("RECORDER_PLANT", "VBuilder::getLogger=9".into())]);
    let reason = super::probe(&stage.dir(), &planted).tensorrt.expect_err("another interface");
    assert!(reason.contains("does not have the expected interface"), "{reason}");
}
