//! From a model, what the user asks, and a device's facts to a build plan, with a reason for each decision.
//!
//! One pure function, [`plan()`], and the part of it that needs no device, [`check`]. The agent calls it, so that host and agent of different versions cannot disagree,
//! and the host prints exactly what the agent will do. Nothing is downgraded without a [`trt_wire::Decision`]; what
//! cannot be done is a [`PlanError`] that says what would mend it. The crate knows `trt-wire` and nothing else of ours.

mod error;
mod shapes;

pub use error::PlanError;

use trt_wire::{
    Backend, BuildPlan, BuildSpec, Decision, DeviceFacts, Gpu, GpuSource, ModelSummary, OnUnsupported,
    Precision, QuantMode, TensorRt, TensorRtProduct,
};

/// How the device's TensorRT takes precision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Typing {
    /// Builder flags and a calibrator: TensorRT 8.x to 10.x.
    Flags,
    /// The graph's own types and Q/DQ nodes: TensorRT 11.x and RTX.
    Graph,
}

impl Typing {
    fn of(tensorrt: &TensorRt) -> Self {
        match (tensorrt.product, tensorrt.version[0]) {
            (TensorRtProduct::TensorRt, ..=10) => Self::Flags,
            _ => Self::Graph,
        }
    }
}

/// Whether GPUs of this compute capability have INT8 instructions (8-bit dot products): 6.1, and 7.0 and above.
///
/// `platformHasFastInt8` would say it too, but TensorRT 11 removed it. The original Jetson Nano (5.3), TX1 (5.3) and
/// TX2 (6.2) have none.
pub fn has_fast_int8(compute_capability: [u32; 2]) -> bool {
    compute_capability == [6, 1] || compute_capability >= [7, 0]
}

/// What can be said of a plan without a device: whether `model` can be built as asked anywhere.
pub fn check(model: &ModelSummary, has_table: bool, spec: &BuildSpec) -> Result<(), PlanError> {
    shapes::profile(&model.inputs, &spec.shapes)?;
    if model.has_qdq && spec.precision != Precision::Int8 {
        return Err(PlanError::QdqNeedsInt8 { asked: spec.precision });
    }
    // A device that builds FP16 instead needs no table.
    let must_be_int8 = spec.precision == Precision::Int8 && spec.on_unsupported != OnUnsupported::Fp16;
    if must_be_int8 && !model.has_qdq && !has_table {
        return Err(PlanError::NoTable);
    }
    Ok(())
}

/// Decides how `model` is built on a device, or why it cannot be. `table` is the algorithm word of the calibration table.
pub fn plan(
    model: &ModelSummary,
    table: Option<&str>,
    spec: &BuildSpec,
    device: &DeviceFacts,
) -> Result<BuildPlan, PlanError> {
    let tensorrt =
        device.tensorrt.as_ref().map_err(|reason| PlanError::NoTensorRt { reason: reason.clone() })?;
    let gpu = device.gpu.as_ref().map_err(|reason| PlanError::NoGpu { reason: reason.clone() })?;
    let mut decisions = Vec::new();
    let compute_capability = compute_capability(tensorrt, gpu, &mut decisions)?;
    let shapes = shapes::profile(&model.inputs, &spec.shapes)?;

    let typing = Typing::of(tensorrt);
    let precision = precision(model, spec, gpu, typing, &mut decisions)?;
    let mode = mode(model, table.is_some(), precision, typing, tensorrt, &mut decisions)?;
    let convert_fp16 = precision == Precision::Fp16 && typing == Typing::Graph;
    if convert_fp16 {
        decisions.push(Decision {
            what: "the graph is converted to FP16".into(),
            because: format!("{tensorrt} takes precision from the graph's own types"),
        });
    }
    Ok(BuildPlan {
        precision,
        mode,
        strongly_typed: typing == Typing::Graph,
        convert_fp16,
        strip_qdq: false,
        other_layers: spec.other_layers,
        keep: spec.keep.clone(),
        calibrator: None,
        backend: Backend::Nvinfer,
        dla: spec.dla,
        optimization_level: spec.optimization_level,
        plugins: spec.plugins.clone(),
        runtime: spec.runtime.clone(),
        shapes,
        workspace: spec.workspace,
        compute_capability,
        decisions,
    })
}

/// RTX can build for a GPU that is not there; TensorRT cannot.
fn compute_capability(
    tensorrt: &TensorRt,
    gpu: &Gpu,
    decisions: &mut Vec<Decision>,
) -> Result<Option<[u32; 2]>, PlanError> {
    match (gpu.source, tensorrt.product) {
        (GpuSource::Driver, _) => Ok(None),
        (GpuSource::Configuration, TensorRtProduct::Rtx) => {
            let [major, minor] = gpu.compute_capability;
            decisions.push(Decision {
                what: format!("the engine is built for compute capability {major}.{minor}"),
                because: "the agent's configuration says so in `build-for`".into(),
            });
            Ok(Some(gpu.compute_capability))
        }
        (GpuSource::Configuration, TensorRtProduct::TensorRt) => {
            Err(PlanError::CannotCrossBuild { tensorrt: tensorrt.to_string() })
        }
    }
}

/// The precision the engine gets: what was asked, unless the GPU cannot and the user allowed another.
fn precision(
    model: &ModelSummary,
    spec: &BuildSpec,
    gpu: &Gpu,
    typing: Typing,
    decisions: &mut Vec<Decision>,
) -> Result<Precision, PlanError> {
    if model.has_qdq && spec.precision != Precision::Int8 {
        return Err(PlanError::QdqNeedsInt8 { asked: spec.precision });
    }
    if spec.precision != Precision::Int8 || has_fast_int8(gpu.compute_capability) {
        return Ok(spec.precision);
    }
    let [major, minor] = gpu.compute_capability;
    let because = format!("{} (compute capability {major}.{minor}) has no INT8 instructions", gpu.name);
    match spec.on_unsupported {
        OnUnsupported::Fp16 if !model.has_qdq => {
            decisions.push(Decision { what: "FP16 is built instead of INT8".into(), because });
            Ok(Precision::Fp16)
        }
        OnUnsupported::Int8Anyway if typing == Typing::Flags && !model.has_qdq => {
            decisions.push(Decision {
                what: "INT8 is built although it will be slower than FP16".into(),
                because: format!("{because} and the model says `on-unsupported: int8-anyway`"),
            });
            Ok(Precision::Int8)
        }
        chosen => Err(PlanError::NoInt8 { because, has_qdq: model.has_qdq, chosen }),
    }
}

/// Where the scales come from.
fn mode(
    model: &ModelSummary,
    has_table: bool,
    precision: Precision,
    typing: Typing,
    tensorrt: &TensorRt,
    decisions: &mut Vec<Decision>,
) -> Result<QuantMode, PlanError> {
    if precision != Precision::Int8 {
        return Ok(QuantMode::None);
    }
    if model.has_qdq {
        if has_table {
            decisions.push(Decision {
                what: "the calibration table is not used".into(),
                because: "the ONNX already holds Q/DQ nodes".into(),
            });
        }
        return Ok(QuantMode::ModelQdq);
    }
    if !has_table {
        return Err(PlanError::NoTable);
    }
    let (mode, what, because) = match typing {
        Typing::Flags => (
            QuantMode::Implicit,
            "the calibration table is given to TensorRT through a calibrator",
            format!("{tensorrt} has calibrators"),
        ),
        Typing::Graph => (
            QuantMode::Explicit,
            "Q/DQ nodes are inserted from the calibration table",
            format!("{tensorrt} has no calibrators"),
        ),
    };
    decisions.push(Decision { what: what.into(), because });
    Ok(mode)
}

#[cfg(test)]
mod tests;
