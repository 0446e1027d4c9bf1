//! The real worker, with a job of each kind.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use e2e::program;
use trt_wire::worker::{BuildJob, Built, Job, WorkerEvent};
use trt_wire::{Backend, BuildPlan, Failure, Precision, QuantMode, ShapeRange, TensorRt};

/// What is built of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Fp32,
    Fp16,
    /// INT8, and FP32 for everything else.
    Int8,
    /// INT8, and FP16 for everything else.
    Mixed,
}

impl Kind {
    pub const ALL: [Self; 4] = [Self::Fp32, Self::Fp16, Self::Int8, Self::Mixed];

    pub fn is_int8(self) -> bool {
        matches!(self, Self::Int8 | Self::Mixed)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fp32 => "FP32",
            Self::Fp16 => "FP16",
            Self::Int8 => "INT8 + FP32",
            Self::Mixed => "INT8 + FP16",
        })
    }
}

/// A TensorRT-RTX.
pub struct Rtx {
    folder: PathBuf,
    tensorrt: TensorRt,
}

impl Rtx {
    /// Asks the library in that folder.
    pub fn probe(folder: PathBuf) -> Self {
        match work(&Job::Probe { tensorrt_dir: Some(folder.clone()) }) {
            WorkerEvent::Probed(probe) => match probe.tensorrt {
                Ok(tensorrt) => Self { folder, tensorrt },
                Err(problem) => panic!("{}: {problem}", folder.display()),
            },
            other => panic!("{}: {other:?}", folder.display()),
        }
    }

    /// Its version, as in `1.7.1`.
    pub fn version(&self) -> String {
        self.tensorrt.version.map(|part| part.to_string()).join(".")
    }

    /// Whether it builds INT8 convolutions where there is no GPU. Versions before 1.7 end in an error of their own there.
    pub fn builds_int8(&self) -> bool {
        self.tensorrt.version >= [1, 7, 0]
    }

    /// Builds `model` as `trt-agent` does, for compute capability 8.6.
    pub fn build(
        &self,
        model: &Path,
        (input, dims): (&str, [i64; 4]),
        kind: Kind,
        table: &Path,
    ) -> Result<Built, Failure> {
        let dims = dims.to_vec();
        let range = ShapeRange { min: dims.clone(), opt: dims.clone(), max: dims };
        let plan = BuildPlan { shapes: [(input.to_owned(), range)].into(), ..plan(kind) };
        self.build_plan(model, plan, kind.is_int8().then_some(table))
    }

    /// Builds `model` by that plan.
    pub fn build_plan(&self, model: &Path, plan: BuildPlan, table: Option<&Path>) -> Result<Built, Failure> {
        let job = BuildJob {
            tensorrt_dir: Some(self.folder.clone()),
            plugins: vec![],
            model: model.to_owned(),
            table: table.map(Path::to_owned),
            plan,
            tensorrt: self.tensorrt.clone(),
            timing_cache: None,
            engine: model.with_extension("plan"),
            log: model.with_extension("log"),
        };
        match work(&Job::Build(Box::new(job))) {
            WorkerEvent::Done(built) => Ok(built),
            WorkerEvent::Failed(failure) => Err(failure),
            other => panic!("{other:?}"),
        }
    }
}

/// The plan for that kind, of a network with fixed shapes.
pub fn plan(kind: Kind) -> BuildPlan {
    BuildPlan {
        precision: match kind {
            Kind::Fp32 => Precision::Fp32,
            Kind::Fp16 => Precision::Fp16,
            Kind::Int8 | Kind::Mixed => Precision::Int8,
        },
        mode: if kind.is_int8() { QuantMode::Explicit } else { QuantMode::None },
        strongly_typed: true,
        convert_fp16: matches!(kind, Kind::Fp16 | Kind::Mixed),
        strip_qdq: false,
        other_layers: if kind == Kind::Mixed { Precision::Fp16 } else { Precision::Fp32 },
        keep: vec![],
        calibrator: None,
        backend: Backend::Nvinfer,
        dla: None,
        optimization_level: None,
        plugins: vec![],
        runtime: None,
        shapes: BTreeMap::new(),
        workspace: None,
        compute_capability: Some([8, 6]),
        decisions: vec![],
    }
}

/// Has the worker do that job; what it says last.
fn work(job: &Job) -> WorkerEvent {
    let mut command = Command::new(program("trt-agent"));
    command.arg("worker").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut worker = command.spawn().expect("the worker starts");
    // It ends when its stdin does, so that one stays open.
    let mut stdin = worker.stdin.take().expect("piped");
    let line = serde_json::to_string(job).expect("a job is JSON");
    writeln!(stdin, "{line}").expect("the worker reads");
    let lines = BufReader::new(worker.stdout.take().expect("piped")).lines();
    let mut last = None;
    for line in lines {
        let event = serde_json::from_str(&line.expect("lines")).expect("an event");
        last = (!matches!(event, WorkerEvent::Event { .. })).then_some(event).or(last);
    }
    let status = worker.wait().expect("the worker ends");
    last.unwrap_or_else(|| panic!("the worker said nothing: {status}"))
}
