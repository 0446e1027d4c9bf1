//! The simulated worker keeps the worker's contract: what other tests rest on.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use e2e::{models, program};
use trt_wire::worker::{BuildJob, Built, Job, Probe, Ran, RunJob, TensorFile, WorkerEvent};
use trt_wire::{Backend, BuildPlan, CalibratorClass, Failure, FailureCode, Precision, QuantMode, TensorRt};

const NANO: [&str; 4] = ["--tensorrt", "8.2.1", "--module", "nano"];
const ORIN: [&str; 4] = ["--tensorrt", "10.3.0", "--module", "orin-nano"];
const THOR: [&str; 4] = ["--tensorrt", "11.4.1", "--module", "thor"];

/// Gives the worker a job, and returns its last event, or how it ended without one.
fn try_work(arguments: &[&str], job: &Job) -> Result<WorkerEvent, ExitStatus> {
    let mut worker = Command::new(program("simulated-worker"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut stdin = worker.stdin.take().expect("a pipe");
    writeln!(stdin, "{}", serde_json::to_string(job).expect("plain data")).expect("it reads");
    let lines = BufReader::new(worker.stdout.take().expect("a pipe")).lines();
    let events =
        lines.map(|line| serde_json::from_str::<WorkerEvent>(&line.expect("text")).expect("an event"));
    let last = events.filter(|event| !matches!(event, WorkerEvent::Event { .. })).last();
    let status = worker.wait().expect("it ends");
    last.filter(|_| status.success()).ok_or(status)
}

/// The same of a worker that does not die.
fn work(arguments: &[&str], job: &Job) -> WorkerEvent {
    try_work(arguments, job).expect("a result")
}

fn probe(arguments: &[&str]) -> Probe {
    match work(arguments, &Job::Probe { tensorrt_dir: None }) {
        WorkerEvent::Probed(probe) => probe,
        other => panic!("{other:?}"),
    }
}

/// A model, a table and an input in a folder.
struct Bench(tempfile::TempDir);

impl Bench {
    fn new() -> Self {
        let bench = Self(tempfile::tempdir().expect("a folder"));
        fs::write(bench.at("net.onnx"), models::convolutions(16, 8, 2)).expect("a file");
        let scales: String =
            ["images", "conv0", "relu0", "conv1", "relu1"].map(|name| format!("{name}: 3c010a14\n")).concat();
        fs::write(bench.at("net.cache"), format!("TRT-100300-EntropyCalibration2\n{scales}"))
            .expect("a file");
        let pixels: Vec<u8> = (0..3 * 16 * 16).flat_map(|n| (n as f32 / 768.0).to_le_bytes()).collect();
        fs::write(bench.at("input.bin"), pixels).expect("a file");
        bench
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn build_job(&self, arguments: &[&str], precision: Precision, mode: QuantMode) -> BuildJob {
        let is_typed = arguments.contains(&"11.4.1");
        let plan = BuildPlan {
            precision,
            mode,
            strongly_typed: is_typed,
            convert_fp16: false,
            strip_qdq: false,
            other_layers: Precision::Fp16,
            keep: vec![],
            calibrator: (mode == QuantMode::Implicit).then_some(CalibratorClass::EntropyCalibration2),
            backend: Backend::Nvinfer,
            dla: None,
            optimization_level: None,
            plugins: vec![],
            runtime: None,
            shapes: BTreeMap::new(),
            workspace: None,
            compute_capability: None,
            decisions: vec![],
        };
        BuildJob {
            tensorrt_dir: None,
            plugins: vec![],
            model: self.at("net.onnx"),
            table: Some(self.at("net.cache")),
            plan,
            tensorrt: probe(arguments).tensorrt.expect("a TensorRT"),
            timing_cache: Some(self.at("timing.cache")),
            engine: self.at("engine.plan"),
            log: self.at("log"),
        }
    }

    fn build(&self, arguments: &[&str], precision: Precision, mode: QuantMode) -> Result<Built, Failure> {
        build(arguments, self.build_job(arguments, precision, mode))
    }

    fn run_job(&self, tensorrt: TensorRt) -> Job {
        let input =
            TensorFile { element: "float".into(), dims: vec![1, 3, 16, 16], file: self.at("input.bin") };
        Job::Run(Box::new(RunJob {
            tensorrt_dir: None,
            plugins: vec![],
            tensorrt,
            engine: self.at("engine.plan"),
            dla: None,
            inputs: [("images".to_owned(), input)].into(),
            outputs: self.0.path().to_owned(),
            warm_up: 1,
            iterations: 3,
        }))
    }

    fn run(&self, arguments: &[&str], tensorrt: TensorRt) -> Result<(Ran, Vec<f32>), Failure> {
        match work(arguments, &self.run_job(tensorrt)) {
            WorkerEvent::Ran(ran) => {
                let numbers = floats(&ran.outputs[0].1.file);
                Ok((ran, numbers))
            }
            WorkerEvent::Failed(failure) => Err(failure),
            other => panic!("{other:?}"),
        }
    }
}

fn build(arguments: &[&str], job: BuildJob) -> Result<Built, Failure> {
    match work(arguments, &Job::Build(Box::new(job))) {
        WorkerEvent::Done(built) => Ok(built),
        WorkerEvent::Failed(failure) => Err(failure),
        other => panic!("{other:?}"),
    }
}

fn floats(path: &Path) -> Vec<f32> {
    let bytes = fs::read(path).expect("an output");
    bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

/// The cosine of the angle between two outputs.
fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

#[test]
fn int8_engines_compute_nearly_what_fp32_engines_compute_and_wrong_numbers_are_wrong() {
    let bench = Bench::new();
    let outputs = |arguments: &[&str], precision, mode| {
        let built = bench.build(arguments, precision, mode).unwrap_or_else(|failure| panic!("{failure}"));
        assert!(built.decisions[0].what.contains("SIMULATED"));
        assert_eq!(built.engine_bytes, fs::metadata(bench.at("engine.plan")).expect("an engine").len());
        fs::remove_file(bench.at("timing.cache")).expect("a timing cache");
        (bench.run(arguments, built.tensorrt.clone()).unwrap_or_else(|failure| panic!("{failure}")), built)
    };
    let ((ran, fp32), _) = outputs(&NANO, Precision::Fp32, QuantMode::None);
    let (name, output) = &ran.outputs[0];
    assert_eq!((name.as_str(), output.element.as_str()), ("relu1", "float"));
    assert_eq!((&output.dims[..], ran.latency_us.len()), (&[1, 8, 16, 16][..], 3));

    let ((_, implicit), built) = outputs(&NANO, Precision::Int8, QuantMode::Implicit);
    assert_eq!(built.quantized, 0, "Q/DQ nodes are not what TensorRT 8 gets");
    let log = fs::read_to_string(bench.at("log")).expect("a log");
    for words in [
        "Reading Calibration Cache for calibrator: EntropyCalibration2",
        "Generated calibration scales using",
    ] {
        assert!(log.contains(words), "{log}");
    }
    let ((_, explicit), built) = outputs(&THOR, Precision::Int8, QuantMode::Explicit);
    assert_eq!(built.quantized, 2);
    assert_eq!(implicit, explicit, "one table, one meaning");
    assert_ne!(implicit, fp32);
    assert!(cosine(&implicit, &fp32) > 0.99, "{}", cosine(&implicit, &fp32));

    let liar = [&THOR[..], &["--wrong-numbers"]].concat();
    let (_, wrong) = bench.run(&liar, built.tensorrt).unwrap_or_else(|failure| panic!("{failure}"));
    assert!(cosine(&wrong, &fp32) < 0.5, "{}", cosine(&wrong, &fp32));
}

#[test]
fn engines_of_another_tensorrt_or_gpu_are_refused() {
    let bench = Bench::new();
    let built = bench.build(&ORIN, Precision::Fp32, QuantMode::None).expect("an engine");
    let failure = bench.run(&NANO, built.tensorrt).unwrap_err();
    assert_eq!(failure.code, FailureCode::PlanChanged);
    let failure = bench.run(&NANO, probe(&NANO).tensorrt.expect("a TensorRT")).unwrap_err();
    assert!(failure.message.contains("Serialized Engine Version: 10.3.0"), "{failure}");
    let agx = ["--tensorrt", "10.3.0", "--module", "xavier-nx"];
    let failure = bench.run(&agx, probe(&agx).tensorrt.expect("a TensorRT")).unwrap_err();
    assert!(failure.message.contains("incompatible device"), "{failure}");
}

#[test]
fn a_timing_cache_of_another_tensorrt_or_gpu_costs_time_and_not_the_build() {
    let bench = Bench::new();
    let afresh = |arguments: &[&str]| {
        let built = bench.build(arguments, Precision::Fp32, QuantMode::None).expect("an engine");
        built.decisions.iter().any(|decision| decision.because.contains("refuses the timing cache"))
    };
    assert!(!afresh(&ORIN), "there is none");
    assert!(!afresh(&ORIN), "it is its own");
    assert!(afresh(&NANO), "it is of another TensorRT");
    assert!(!afresh(&NANO), "it was replaced");
    assert!(afresh(&["--tensorrt", "8.2.1", "--module", "xavier-nx"]), "it is of another GPU");
}

#[test]
fn plans_that_no_such_tensorrt_could_follow_are_refused() {
    let bench = Bench::new();
    type Change = fn(&mut BuildPlan);
    let cases: [(&[&str], Precision, QuantMode, Change, &str); 7] = [
        (&THOR, Precision::Int8, QuantMode::Implicit, |_| (), "no calibrators"),
        (&NANO, Precision::Int8, QuantMode::ModelQdq, |_| (), "has no INT8"),
        (&ORIN, Precision::Fp16, QuantMode::None, |plan| plan.strongly_typed = true, "strongly typed"),
        (&ORIN, Precision::Fp16, QuantMode::None, |plan| plan.dla = Some(0), "no DLA core 0"),
        (
            &NANO,
            Precision::Fp16,
            QuantMode::None,
            |plan| plan.optimization_level = Some(3),
            "optimization levels",
        ),
        (&ORIN, Precision::Int8, QuantMode::Implicit, |plan| plan.calibrator = None, "calibrator None"),
        (&ORIN, Precision::Fp32, QuantMode::None, |plan| plan.backend = Backend::Trtexec, "no trtexec"),
    ];
    for (arguments, precision, mode, change, words) in cases {
        let mut job = bench.build_job(arguments, precision, mode);
        change(&mut job.plan);
        let failure = build(arguments, job).unwrap_err();
        assert!(failure.message.contains(words) && failure.hint.is_some(), "{failure}");
        assert!(!bench.at("engine.plan").exists());
    }
}

#[test]
fn it_goes_wrong_in_the_job_that_it_was_told_to_and_in_no_other() {
    let bench = Bench::new();
    for (misbehaviour, signal) in [("--crash", 11), ("--killed", 9)] {
        let arguments = [&ORIN[..], &["--at", "run", misbehaviour]].concat();
        let built = bench.build(&arguments, Precision::Fp32, QuantMode::None).expect("an engine");
        let status = try_work(&arguments, &bench.run_job(built.tensorrt)).unwrap_err();
        assert_eq!(status.signal(), Some(signal), "{misbehaviour}");
    }
}

#[test]
fn it_ends_with_its_agent() {
    let bench = Bench::new();
    let mut worker = Command::new(program("simulated-worker"))
        .args(NANO)
        .arg("--hang")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("it starts");
    let mut stdin = worker.stdin.take().expect("a pipe");
    let job = Job::Build(Box::new(bench.build_job(&NANO, Precision::Fp32, QuantMode::None)));
    writeln!(stdin, "{}", serde_json::to_string(&job).expect("plain data")).expect("it reads");
    std::thread::sleep(Duration::from_millis(300));
    assert!(worker.try_wait().expect("a child").is_none(), "it hangs");
    drop(stdin);
    assert!(!worker.wait().expect("it ends").success());
}
