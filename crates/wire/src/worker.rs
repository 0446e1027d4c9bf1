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
    /// Time of each timed run in microseconds, from its start to its end on the stream.
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    /// Every field of the contract, as it was when [`CONTRACT`] got its number.
    const FIELDS: &str = "\
contract 1
build.engine
build.job
build.log
build.model
build.plan.calibrator
build.plan.compute_capability
build.plan.convert_fp16
build.plan.backend
build.plan.decisions
build.plan.dla
build.plan.keep
build.plan.mode
build.plan.optimization_level
build.plan.other_layers
build.plan.plugins
build.plan.precision
build.plan.runtime
build.plan.shapes.images.max
build.plan.shapes.images.min
build.plan.shapes.images.opt
build.plan.strip_qdq
build.plan.strongly_typed
build.plan.workspace
build.plugins
build.table
build.tensorrt.is_known
build.tensorrt.library
build.tensorrt.product
build.tensorrt.version
build.tensorrt_dir
build.timing_cache
done.decisions
done.engine_bytes
done.layers
done.peak_rss
done.quantized
done.tensorrt.is_known
done.tensorrt.library
done.tensorrt.product
done.tensorrt.version
done.wall_ms
done.worker
hello.agent_version
hello.contract
hello.worker
probe.job
probe.tensorrt_dir
probed.cuda_driver
probed.dla_cores
probed.gpu.Err
probed.tensorrt.Err
probed.trtexec
probed.worker
ran.device_memory
ran.latency_us
ran.outputs
ran.worker
run.dla
run.engine
run.inputs.images.dims
run.inputs.images.element
run.inputs.images.file
run.iterations
run.job
run.outputs
run.plugins
run.tensorrt.is_known
run.tensorrt.library
run.tensorrt.product
run.tensorrt.version
run.tensorrt_dir
run.warm_up
";

    fn fields(path: &str, value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(object) => {
                object.iter().for_each(|(name, value)| fields(&format!("{path}.{name}"), value, found));
            }
            _ => drop(found.insert(path.to_owned())),
        }
    }

    #[test]
    fn another_field_is_another_contract() {
        let tensorrt = r#"{"product": "tensorrt", "version": [10, 3, 0], "library": "libnvinfer.so.10"}"#;
        let plan = r#"{"precision": "fp32", "mode": "none", "strongly_typed": false, "convert_fp16": false,
            "shapes": {"images": {"min": [1], "opt": [1], "max": [1]}}, "decisions": []}"#;
        let jobs = [
            r#"{"job": "probe"}"#.to_owned(),
            format!(
                r#"{{"job": "build", "plugins": [], "model": "", "plan": {plan}, "tensorrt": {tensorrt}, "engine": "", "log": ""}}"#
            ),
            format!(
                r#"{{"job": "run", "plugins": [], "tensorrt": {tensorrt}, "engine": "", "outputs": "", "warm_up": 0,
                    "inputs": {{"images": {{"element": "float", "dims": [], "file": ""}}}}, "iterations": 1}}"#
            ),
        ];
        let events = [
            r#"{"worker": "hello", "contract": 1, "agent_version": ""}"#.to_owned(),
            r#"{"worker": "probed", "tensorrt": {"Err": ""}, "gpu": {"Err": ""}}"#.to_owned(),
            r#"{"worker": "ran", "outputs": [], "latency_us": [], "device_memory": 0}"#.to_owned(),
            format!(
                r#"{{"worker": "done", "tensorrt": {tensorrt}, "engine_bytes": 0, "wall_ms": 0, "peak_rss": 0,
                    "layers": 0, "quantized": 0, "decisions": []}}"#
            ),
        ];
        let jobs = jobs.iter().map(|text| {
            let job: Job =
                serde_json::from_str(text).expect("a field without a default is new: raise CONTRACT");
            serde_json::to_value(job).unwrap()
        });
        let events = events.iter().map(|text| {
            let event: WorkerEvent =
                serde_json::from_str(text).expect("a field without a default is new: raise CONTRACT");
            serde_json::to_value(event).unwrap()
        });
        let mut now = BTreeSet::from([format!("contract {CONTRACT}")]);
        for value in jobs.chain(events) {
            let name = value.get("job").or(value.get("worker")).and_then(Value::as_str).unwrap().to_owned();
            fields(&name, &value, &mut now);
        }
        let then: BTreeSet<String> = FIELDS.lines().map(str::to_owned).collect();
        let changed: Vec<&String> = now.symmetric_difference(&then).collect();
        assert!(
            changed.is_empty(),
            "the contract between agent and worker changed: raise CONTRACT, and bring FIELDS (and the first lines of \
             target/tests/devices/*/probe.json) up to date: {changed:?}"
        );
    }
}
