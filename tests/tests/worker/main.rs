//! `trt-agent worker` by itself: a job on stdin, events on stdout, as the agent uses it.
//!
//! - `rtx`: builds with the real TensorRT-RTX.
//! - `implicit`: INT8 from a table, on the recorder library that plays TensorRT 8 and 10.
//! - `engine`: runs of engines, on the recorder and on a CUDA driver without a GPU.

mod engine;
mod implicit;
mod rtx;
mod stage;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use e2e::program;
use tempfile::TempDir;
use trt_wire::message::Event;
use trt_wire::worker::{BuildJob, Built, Job, WorkerEvent};
use trt_wire::{Backend, BuildPlan, Decision, Failure, Precision, QuantMode, TensorRt, TensorRtProduct};

/// All that a worker said.
struct Answer {
    events: Vec<Event>,
    last: WorkerEvent,
}

impl Answer {
    fn built(self) -> Built {
        match self.last {
            WorkerEvent::Done(built) => built,
            other => panic!("not built: {other:?}"),
        }
    }

    fn failure(self) -> Failure {
        match self.last {
            WorkerEvent::Failed(failure) => failure,
            other => panic!("no failure: {other:?}"),
        }
    }
}

/// Gives a job to a worker with these variables in its environment.
fn work(job: &Job, environment: &[(&str, String)]) -> Answer {
    let mut command = Command::new(program("trt-agent"));
    command.arg("worker").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.envs(environment.iter().cloned()).spawn().expect("a worker");
    let mut stdin = child.stdin.take().expect("a pipe");
    let mut line = serde_json::to_vec(job).expect("JSON");
    line.push(b'\n');
    stdin.write_all(&line).expect("the worker reads");
    let output = child.wait_with_output().expect("the worker ends");
    drop(stdin);
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let mut said: Vec<WorkerEvent> = stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .filter(|said| !matches!(said, WorkerEvent::Hello { .. }))
        .collect();
    let last = said.pop().unwrap_or_else(|| panic!("the worker said nothing ({}): {stderr}", output.status));
    let event = |said| match said {
        WorkerEvent::Event { event } => event,
        other => panic!("more than one result: {other:?}"),
    };
    Answer { events: said.into_iter().map(event).collect(), last }
}

/// A folder with what a build needs.
struct Bench {
    dir: TempDir,
}

impl Bench {
    fn new(model: &[u8]) -> Self {
        // Beside the programs, so that the recorder can be linked into it under TensorRT's names.
        let programs = program("trt-agent").parent().expect("a folder").to_owned();
        let dir = tempfile::Builder::new().prefix("trt-worker-").tempdir_in(programs).expect("a folder");
        std::fs::write(dir.path().join("model.onnx"), model).expect("a model");
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, content: &[u8]) -> PathBuf {
        std::fs::write(self.path(name), content).expect("a file");
        self.path(name)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).expect("a log")
    }

    /// An FP32 build with the TensorRT in `dir`.
    fn job(&self, dir: &Path, tensorrt: &TensorRt) -> BuildJob {
        let typed = tensorrt.product == TensorRtProduct::Rtx || tensorrt.version[0] > 10;
        BuildJob {
            tensorrt_dir: Some(dir.to_owned()),
            plugins: vec![],
            model: self.path("model.onnx"),
            table: None,
            plan: BuildPlan {
                precision: Precision::Fp32,
                mode: QuantMode::None,
                strongly_typed: typed,
                convert_fp16: false,
                strip_qdq: false,
                other_layers: Precision::Fp32,
                keep: vec![],
                calibrator: None,
                backend: Backend::Nvinfer,
                dla: None,
                optimization_level: None,
                plugins: vec![],
                runtime: None,
                shapes: Default::default(),
                workspace: Some(64 << 20),
                compute_capability: (tensorrt.product == TensorRtProduct::Rtx).then_some([8, 6]),
                decisions: vec![],
            },
            tensorrt: tensorrt.clone(),
            timing_cache: None,
            engine: self.path("engine.plan"),
            log: self.path("log"),
        }
    }
}

fn build(job: &BuildJob, environment: &[(&str, String)]) -> Answer {
    work(&Job::Build(Box::new(job.clone())), environment)
}

/// What a probe finds there.
fn probe(dir: &Path, environment: &[(&str, String)]) -> trt_wire::worker::Probe {
    match work(&Job::Probe { tensorrt_dir: Some(dir.to_owned()) }, environment).last {
        WorkerEvent::Probed(probe) => probe,
        other => panic!("not probed: {other:?}"),
    }
}

fn texts(decisions: &[Decision]) -> String {
    decisions.iter().map(|decision| format!("{decision}\n")).collect()
}
