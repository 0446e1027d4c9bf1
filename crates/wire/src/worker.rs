//! The contract between agent and worker: one [`Job`] as JSON on stdin, [`WorkerEvent`]s as JSON lines on stdout.
//!
//! The worker is a process of its own, so that a crash, a hang or an out-of-memory kill inside TensorRT is a failed
//! job and never a dead agent. It exits 0 after [`WorkerEvent::Done`] or [`WorkerEvent::Failed`].

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{BuildPlan, Decision, Failure, Gpu, TensorRt, message::Event};

/// What a worker is asked to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "job", rename_all = "kebab-case")]
pub enum Job {
    /// Load TensorRT and the CUDA driver, and say what they are.
    Probe {
        /// Where to look for TensorRT before the system's own places.
        library_dirs: Vec<PathBuf>,
    },
    /// Build an engine.
    Build(Box<BuildJob>),
}

/// Everything a build needs; the worker reads these files and no others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildJob {
    /// Where to look for TensorRT before the system's own places.
    pub library_dirs: Vec<PathBuf>,
    /// The ONNX file, with its external data beside it.
    pub model: PathBuf,
    /// The calibration table.
    pub table: Option<PathBuf>,
    /// What to build.
    pub plan: BuildPlan,
    /// The library the plan was made for; with another one the job is refused.
    pub tensorrt: TensorRt,
    /// Where to write the engine; the agent makes it durable.
    pub engine: PathBuf,
    /// Where to write TensorRT's log.
    pub log: PathBuf,
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
    /// Something to pass on to the host.
    Event {
        /// The event.
        event: Event,
    },
    /// The probe's result.
    Probed(Probe),
    /// The build's result.
    Done(Built),
    /// The job failed.
    Failed(Failure),
}
