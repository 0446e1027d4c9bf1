//! Builds with the real TensorRT-RTX, which takes precision from the graph.

use std::path::Path;

use e2e::{models, require_rtx};
use trt_calib::CalibrationTable;
use trt_calib::table::{Entry, Header, TableAlgorithm, TableVersion};
use trt_onnx::{Model, QuantOptions};
use trt_wire::message::{Event, Phase};
use trt_wire::worker::{Job, RunJob, WorkerEvent};
use trt_wire::{FailureCode, Precision, QuantMode, Retry, TensorRt};

use super::{Bench, build, probe, texts, work};

fn here(dir: &Path) -> TensorRt {
    probe(dir, &[]).tensorrt.expect("TensorRT-RTX")
}

fn net() -> Vec<u8> {
    models::convolutions(32, 96, 3)
}

/// A table with a scale for every activation of [`net`].
fn table() -> Vec<u8> {
    let names = ["images", "conv0", "relu0", "conv1", "relu1", "conv2", "relu2"];
    let entries = names.iter().map(|name| Entry::new(name, 0.05).expect("an entry")).collect();
    let version = TableVersion::from_raw(8601).expect("a version");
    CalibrationTable::new(Header::new(version, TableAlgorithm::EntropyCalibration2), entries)
        .expect("a table")
        .write()
}

#[test]
fn the_probe_says_what_the_library_is_after_its_canaries_sang() {
    let dir = require_rtx!();
    let probe = probe(&dir, &[]);
    let found = probe.tensorrt.expect("TensorRT-RTX");
    assert!(found.is_known && found.to_string().starts_with("TensorRT-RTX 1."), "{found}");
    assert_eq!(probe.dla_cores, Some(0));
}

#[test]
fn int8_and_fp16_share_a_graph_and_what_is_kept_stays_in_fp32() {
    let dir = require_rtx!();
    let bench = Bench::new(&net());
    let mut job = bench.job(&dir, &here(&dir));
    job.table = Some(bench.write("table", &table()));
    job.plan.precision = Precision::Int8;
    job.plan.mode = QuantMode::Explicit;
    job.plan.other_layers = Precision::Fp16;
    job.plan.convert_fp16 = true;
    let answer = build(&job, &[]);
    let phases = answer.events.iter().filter(|event| matches!(event, Event::Phase { .. }));
    let phase = |phase| Event::Phase { phase };
    assert!(
        phases.eq(&[phase(Phase::Compose), phase(Phase::Parse), phase(Phase::Build)]),
        "{:?}",
        answer.events
    );
    let all = answer.built();
    assert_eq!(all.quantized, 2, "{}", texts(&all.decisions));
    assert!(texts(&all.decisions).contains("2 of 3 nodes that could be quantized run in INT8"));
    assert!(std::fs::metadata(&job.engine).is_ok_and(|engine| engine.len() == all.engine_bytes));

    job.plan.keep = vec!["relu1".into(), "nothing".into()];
    let kept = build(&job, &[]).built();
    let decisions = texts(&kept.decisions);
    assert_eq!(kept.quantized, 1, "conv2 reads relu1: {decisions}");
    assert!(decisions.contains("it reads `relu1`, which is kept"), "{decisions}");
    assert!(decisions.contains("`nothing`") && decisions.contains("nothing in the graph has"), "{decisions}");
    assert!(bench.log().contains("[agent] "), "the log has all notes");
}

#[test]
fn a_model_that_holds_qdq_is_built_as_it_is_or_without_them() {
    let dir = require_rtx!();
    let mut model = Model::from_bytes(net(), None).expect("our own model");
    trt_onnx::quantize(&mut model, &|_| Some(0.05), &QuantOptions::rtx()).expect("quantizable");
    let bench = Bench::new(&model.to_bytes().expect("bytes"));
    let mut job = bench.job(&dir, &here(&dir));
    let plain = { Bench::new(&net()) };
    let fp32 = build(&plain.job(&dir, &here(&dir)), &[]).built();

    job.plan.precision = Precision::Int8;
    job.plan.mode = QuantMode::ModelQdq;
    let int8 = build(&job, &[]).built();
    assert!(!bench.path(".composed.onnx").exists(), "nothing had to be composed");
    assert!(int8.engine_bytes < fp32.engine_bytes, "{} and {}", int8.engine_bytes, fp32.engine_bytes);

    job.plan.precision = Precision::Fp32;
    job.plan.mode = QuantMode::None;
    job.plan.strip_qdq = true;
    let stripped = build(&job, &[]).built();
    let composed = Model::load(bench.path(".composed.onnx")).expect("what was parsed");
    assert!(!composed.has_qdq());
    assert_eq!(stripped.layers, fp32.layers);
}

#[test]
fn an_operator_that_nobody_knows_is_named_with_its_node_and_the_way_out() {
    let dir = require_rtx!();
    let bench = Bench::new(&models::unknown_operator());
    let failure = build(&bench.job(&dir, &here(&dir)), &[]).failure();
    assert_eq!(failure.code, FailureCode::BadModel);
    assert!(failure.message.contains("the_strange_node"), "{}", failure.message);
    let hint = failure.hint.expect("a hint");
    assert!(hint.contains("`Frobnicate`") && hint.contains("`plugins`"), "{hint}");
    assert!(bench.log().contains("[agent] parser: "), "{}", bench.log());
}

#[test]
fn a_plugin_library_that_does_not_load_is_named() {
    let dir = require_rtx!();
    let bench = Bench::new(&net());
    let mut job = bench.job(&dir, &here(&dir));
    for plugin in [bench.path("absent.so"), bench.write("text.so", b"not a library")] {
        job.plugins = vec![plugin.clone()];
        let failure = build(&job, &[]).failure();
        assert_eq!(failure.code, FailureCode::BuildFailed);
        assert!(failure.message.contains(plugin.to_str().expect("a name")), "{}", failure.message);
        assert!(failure.hint.is_some(), "{}", failure.message);
    }
}

#[test]
fn a_library_that_changed_since_the_plan_builds_and_runs_nothing() {
    let dir = require_rtx!();
    let bench = Bench::new(&net());
    let mut job = bench.job(&dir, &here(&dir));
    job.tensorrt.version[1] += 1;
    let failure = build(&job, &[]).failure();
    assert_eq!((failure.code, failure.retry), (FailureCode::PlanChanged, Retry::Now));
    let failure = run(&bench, &dir, &job.tensorrt).failure();
    assert_eq!(failure.code, FailureCode::PlanChanged, "{}", failure.message);
    assert!(failure.message.contains("the engine was built by"), "{}", failure.message);
}

#[test]
fn settings_that_the_version_lacks_are_refused_and_not_ignored() {
    let dir = require_rtx!();
    let bench = Bench::new(&net());
    let cases: [fn(&mut trt_wire::BuildPlan); 3] = [
        |plan| plan.strongly_typed = false,
        |plan| plan.dla = Some(0),
        |plan| plan.optimization_level = Some(9),
    ];
    for change in cases {
        let mut job = bench.job(&dir, &here(&dir));
        change(&mut job.plan);
        let failure = build(&job, &[]).failure();
        assert!(failure.hint.is_some(), "{}", failure.message);
        assert!(!job.engine.exists(), "{}", failure.message);
    }
}

#[test]
fn a_run_that_cannot_be_is_a_failure_that_says_why() {
    let dir = require_rtx!();
    let bench = Bench::new(&net());
    bench.write("engine.plan", b"not an engine");
    let failure = run(&bench, &dir, &here(&dir)).failure();
    assert!(failure.hint.is_some(), "{}", failure.message);
    // With a GPU it is that, or the engine, which TensorRT-RTX refuses.
    if !Path::new("/dev/nvidiactl").exists() {
        assert_eq!(failure.code, FailureCode::NoTensorRt);
        assert!(failure.message.contains("CUDA driver"), "{}", failure.message);
    }
}

fn run(bench: &Bench, dir: &Path, tensorrt: &TensorRt) -> super::Answer {
    let job = RunJob {
        tensorrt_dir: Some(dir.to_owned()),
        plugins: vec![],
        tensorrt: tensorrt.clone(),
        engine: bench.path("engine.plan"),
        dla: None,
        inputs: Default::default(),
        outputs: bench.path(""),
        warm_up: 1,
        iterations: 1,
    };
    let zero = RunJob { iterations: 0, ..job.clone() };
    assert!(
        matches!(work(&Job::Run(Box::new(zero)), &[]).last, WorkerEvent::Failed(failure) if failure.code == FailureCode::BadRequest)
    );
    work(&Job::Run(Box::new(job)), &[])
}
