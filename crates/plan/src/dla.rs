//! What a deep learning accelerator can do, and where there is one.

use trt_wire::{BuildPlan, Decision, DeviceFacts, Precision, QuantMode, TensorRt, TensorRtProduct};

use crate::PlanError;
use crate::typing::Typing;

/// TensorRT 10.8 dropped the DLA of Orin.
const GONE: [u32; 3] = [10, 8, 0];

/// TensorRT 11.4.1 has it again, on AGX Orin.
const BACK: [u32; 3] = [11, 4, 1];

/// Refuses a core that is not there, before anything else is decided.
pub(crate) fn check_core(core: u32, tensorrt: &TensorRt, device: &DeviceFacts) -> Result<(), PlanError> {
    let module = device.module.clone().or_else(|| device.board.clone());
    let module = module.unwrap_or_else(|| "this device".into());
    if tensorrt.product == TensorRtProduct::Rtx {
        return Err(PlanError::NoDla { module, because: format!("{tensorrt} has none") });
    }
    let version = tensorrt.version;
    let is_orin = device.soc.as_deref() == Some("tegra234");
    let is_agx = device.module.as_deref().is_none_or(|module| module.contains("AGX"));
    if is_orin && version >= GONE && (version < BACK || !is_agx) {
        let because =
            format!("{tensorrt} has none on Orin: 10.8 dropped it, and 11.4.1 has it again on AGX Orin only");
        return Err(PlanError::NoDla { module, because });
    }
    match device.dla_cores {
        0 => Err(PlanError::NoDla { module, because: "it has none that TensorRT could use".into() }),
        cores if core >= cores => Err(PlanError::DlaCore { module, core, cores }),
        _ => Ok(()),
    }
}

/// Refuses what a core cannot run, and says what the GPU does.
pub(crate) fn check_plan(
    core: u32,
    plan: &BuildPlan,
    tensorrt: &TensorRt,
    decisions: &mut Vec<Decision>,
) -> Result<(), PlanError> {
    if plan.precision == Precision::Fp32 {
        return Err(PlanError::DlaFp32);
    }
    if plan.mode == QuantMode::ModelQdq && Typing::of(tensorrt) == Typing::Flags {
        return Err(PlanError::DlaQdq { tensorrt: tensorrt.to_string() });
    }
    if let Some((name, _)) = plan.shapes.iter().find(|(_, range)| range.min != range.max) {
        return Err(PlanError::DlaShapes { name: name.clone() });
    }
    decisions.push(Decision {
        what: format!("layers that DLA core {core} cannot run go to the GPU"),
        because: "few networks run on a DLA completely".into(),
    });
    Ok(())
}
