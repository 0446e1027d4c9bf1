//! From a model, what the user asks, and a device's facts to a build plan, with a reason for each decision.
//!
//! One pure function, [`plan()`], and the part of it that needs no device, [`check`]. The agent calls it, so that host
//! and agent of different versions cannot disagree, and the host prints exactly what the agent will do. Nothing is
//! downgraded without a [`trt_wire::Decision`]; what cannot be done is a [`PlanError`] that says what would mend it.
//! The crate knows `trt-wire` and nothing else of ours.

mod backend;
mod dla;
mod error;
mod keep;
mod precision;
mod shapes;
mod typing;

pub use error::{PlanError, TrtexecThere};
pub use precision::has_fast_int8;

use trt_wire::{
    Backend, BackendChoice, BuildPlan, BuildSpec, Decision, DeviceFacts, Gpu, GpuSource, ModelSummary,
    OnUnsupported, Precision, TensorRt, TensorRtProduct,
};

use precision::Question;
use typing::Typing;

/// What can be said of a plan without a device: whether `model` can be built as asked anywhere.
pub fn check(model: &ModelSummary, has_table: bool, spec: &BuildSpec) -> Result<(), PlanError> {
    let shapes = shapes::profile(&model.inputs, &spec.shapes)?;
    if spec.dla.is_some() {
        dla::check(spec.precision, &shapes)?;
    }
    if model.has_qdq && spec.precision != Precision::Int8 {
        return Err(PlanError::QdqNeedsInt8 { asked: spec.precision });
    }
    if model.has_qdq && has_table {
        return Err(PlanError::TableAndQdq);
    }
    if spec.other_layers == Precision::Int8 {
        return Err(PlanError::OtherLayers);
    }
    match spec.optimization_level {
        Some(level) if level > backend::HIGHEST_LEVEL => return Err(PlanError::Level { level }),
        _ => {}
    }
    // A device that builds FP16 instead needs no table.
    let must_be_int8 = spec.precision == Precision::Int8 && spec.on_unsupported != OnUnsupported::Fp16;
    if must_be_int8 && !model.has_qdq && !has_table {
        return Err(PlanError::NoTable);
    }
    Ok(())
}

/// Decides how `model` is built on a device, or why it cannot be. `table` is the algorithm word of the calibration
/// table: `EntropyCalibration2`, `MinMaxCalibration`, `EntropyCalibration` or `Legacy`.
pub fn plan(
    model: &ModelSummary,
    table: Option<&str>,
    spec: &BuildSpec,
    device: &DeviceFacts,
) -> Result<BuildPlan, PlanError> {
    check(model, table.is_some(), spec)?;
    let shapes = shapes::profile(&model.inputs, &spec.shapes)?;
    let tensorrt = usable(device)?;
    let gpu = device
        .gpu
        .as_ref()
        .map_err(|reason| PlanError::NoGpu { reason: reason.clone(), runtime: device.runtime.clone() })?;
    let mut decisions = Vec::new();
    let backend = backend::choose(spec.backend, tensorrt, device, &mut decisions)?;
    backend::check_level(spec.optimization_level, tensorrt)?;
    let compute_capability = compute_capability(tensorrt, gpu, &mut decisions)?;
    if let Some(core) = spec.dla {
        dla::check_core(core, tensorrt, device)?;
    }
    let numbers = Question { model, table, spec, tensorrt, gpu, backend }.decide(&mut decisions)?;
    let mut plan = BuildPlan {
        precision: numbers.precision,
        mode: numbers.mode,
        strongly_typed: Typing::of(tensorrt) == Typing::Graph,
        convert_fp16: numbers.convert_fp16,
        strip_qdq: numbers.strip_qdq,
        other_layers: numbers.other_layers,
        keep: numbers.keep,
        calibrator: numbers.calibrator,
        backend,
        dla: spec.dla,
        optimization_level: spec.optimization_level,
        plugins: spec.plugins.clone(),
        runtime: spec.runtime.clone(),
        shapes,
        workspace: spec.workspace,
        compute_capability,
        decisions: Vec::new(),
    };
    if let Some(core) = spec.dla {
        dla::check_plan(core, &plan, tensorrt, &mut decisions)?;
    }
    plan.decisions = decisions;
    Ok(plan)
}

/// What builds on this device where the model leaves that open, or why nothing can: what `doctor` asks, so that it cannot
/// call good what a push refuses.
pub fn builder(device: &DeviceFacts) -> Result<Backend, PlanError> {
    backend::choose(BackendChoice::Auto, usable(device)?, device, &mut Vec::new())
}

/// The GPU that engines are built for where no driver answers, as `build-for` of the agent's configuration says it; `None`
/// where one does, or where nothing is known of a GPU or a TensorRT. What `doctor` asks, too.
pub fn build_for(device: &DeviceFacts) -> Result<Option<[u32; 2]>, PlanError> {
    match (&device.tensorrt, &device.gpu) {
        (Ok(tensorrt), Ok(gpu)) => compute_capability(tensorrt, gpu, &mut Vec::new()),
        _ => Ok(None),
    }
}

fn usable(device: &DeviceFacts) -> Result<&TensorRt, PlanError> {
    let none =
        |reason: &String| PlanError::NoTensorRt { reason: reason.clone(), runtime: device.runtime.clone() };
    device.tensorrt.as_ref().map_err(none)
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
            let (asked, offered) = (gpu.compute_capability, backend::rtx_gpus(tensorrt.version));
            if !offered.contains(&asked) {
                return Err(PlanError::NotBuiltFor { tensorrt: tensorrt.to_string(), asked, offered });
            }
            let [major, minor] = asked;
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

#[cfg(test)]
mod tests;
