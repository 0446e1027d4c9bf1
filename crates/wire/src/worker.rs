//! The contract between agent and worker: one [`Job`] as JSON on stdin, [`WorkerEvent`]s as JSON lines on stdout.
//!
//! The worker is a process of its own, so that a crash, a hang or an out-of-memory kill inside TensorRT is a failed
//! job and never a dead agent. It exits 0 after any event but [`WorkerEvent::Hello`] and [`WorkerEvent::Event`].
//!
//! A worker may be of another version than its agent: in a container's image it is as old as the image. It would leave
//! out what it does not know of a job and build something else. Therefore it says [`WorkerEvent::Hello`] before anything
//! else, and the agent takes nothing from a worker that keeps another [`CONTRACT`] or names none.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{BuildPlan, Decision, Failure, Gpu, TensorRt, Trtexec, message::Event};

/// The version of the contract that this module describes.
///
/// Raised with every change to what a job means or to what a worker must say: a new field of [`BuildJob`] or of
/// [`BuildPlan`], another reading of an old one, a new job, a new event that the agent waits for.
pub const CONTRACT: u32 = 1;

/// What a worker is asked to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "job", rename_all = "kebab-case")]
pub enum Job {
    /// Load TensorRT and the CUDA driver, and say what they are.
    Probe {
        /// The folder TensorRT must be in; the system's own places if absent.
        tensorrt_dir: Option<PathBuf>,
    },
    /// Build an engine.
    Build(Box<BuildJob>),
    /// Run an engine.
    Run(Box<RunJob>),
}

/// Everything a build needs; the worker reads these files and no others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildJob {
    /// The folder TensorRT must be in; the system's own places if absent.
    pub tensorrt_dir: Option<PathBuf>,
    /// Plugin libraries to load before parsing.
    pub plugins: Vec<PathBuf>,
    /// The ONNX file, with its external data beside it.
    pub model: PathBuf,
    /// The calibration table.
    pub table: Option<PathBuf>,
    /// What to build.
    pub plan: BuildPlan,
    /// The library the plan was made for; with another one the job is refused.
    pub tensorrt: TensorRt,
    /// The timing cache of this TensorRT and GPU: read if it is there, and written anew after the build.
    pub timing_cache: Option<PathBuf>,
    /// Where to write the engine; the agent makes it durable.
    pub engine: PathBuf,
    /// Where to write TensorRT's log.
    pub log: PathBuf,
}

/// An engine to run; the worker reads and writes these files and no others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunJob {
    /// The folder TensorRT must be in; the system's own places if absent.
    pub tensorrt_dir: Option<PathBuf>,
    /// Plugin libraries to load first.
    pub plugins: Vec<PathBuf>,
    /// The library that built the engine; with another one the job is refused.
    pub tensorrt: TensorRt,
    /// The engine.
    pub engine: PathBuf,
    /// The DLA core it was built for.
    pub dla: Option<u32>,
    /// The inputs by name.
    pub inputs: BTreeMap<String, TensorFile>,
    /// The folder to write each output to, as `<index>.bin` in the order of [`Ran::outputs`].
    pub outputs: PathBuf,
    /// Runs before those that are timed.
    pub warm_up: u32,
    /// Runs that are timed; at least 1.
    pub iterations: u32,
}

/// A tensor in a file: its elements, little-endian, without a header, in C order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TensorFile {
    /// The ONNX element type in lower case, such as `float` or `int64`.
    pub element: String,
    /// The shape.
    pub dims: Vec<i64>,
    /// The file.
    pub file: PathBuf,
}

/// What a run has to tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ran {
    /// The outputs by name, in the engine's order.
    pub outputs: Vec<(String, TensorFile)>,
    /// Wall time of each timed run in microseconds, from the start to the end on the stream.
    pub latency_us: Vec<u64>,
    /// Device memory the engine takes while it runs, in bytes, as TensorRT says.
    pub device_memory: u64,
}

/// What a probe found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// The TensorRT library, or why none could be used.
    pub tensorrt: Result<TensorRt, String>,
    /// The GPU, or why none could be asked.
    pub gpu: Result<Gpu, String>,
    /// The CUDA driver's API version.
    pub cuda_driver: Option<[u32; 2]>,
    /// DLA cores by TensorRT's own count; `None` if it could not be asked.
    pub dla_cores: Option<u32>,
    /// The `trtexec` where this worker runs.
    pub trtexec: Option<Trtexec>,
}

/// What a finished build has to tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Built {
    /// The library that built it, asked again by the worker.
    pub tensorrt: TensorRt,
    /// The engine's size in bytes.
    pub engine_bytes: u64,
    /// Wall time of the whole job in milliseconds.
    pub wall_ms: u64,
    /// Peak resident memory of the worker in bytes.
    pub peak_rss: u64,
    /// Layers of the parsed network.
    pub layers: u32,
    /// Nodes that were quantized by inserted Q/DQ.
    pub quantized: u32,
    /// What was decided on the way, such as nodes left in higher precision.
    pub decisions: Vec<Decision>,
}

/// A line of the worker's output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "worker", rename_all = "kebab-case")]
pub enum WorkerEvent {
    /// The first line: who speaks.
    Hello {
        /// [`CONTRACT`] of the worker.
        contract: u32,
        /// The version of the worker's program.
        agent_version: String,
    },
    /// Something to pass on to the host.
    Event {
        /// The event.
        event: Event,
    },
    /// The probe's result.
    Probed(Probe),
    /// The build's result.
    Done(Built),
    /// The run's result.
    Ran(Ran),
    /// The job failed.
    Failed(Failure),
}
