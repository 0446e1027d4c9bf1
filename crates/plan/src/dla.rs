//! What a deep learning accelerator can do, and where there is one.

use std::collections::BTreeMap;

use trt_wire::{
    BuildPlan, Decision, DeviceFacts, Precision, QuantMode, ShapeRange, TensorRt, TensorRtProduct,
};

use crate::PlanError;
use crate::typing::Typing;

/// TensorRT 10.8 dropped the DLA of Orin.
const GONE: [u32; 3] = [10, 8, 0];

/// TensorRT 11.4.1 has it again, on AGX Orin.
const BACK: [u32; 3] = [11, 4, 1];

/// The modules with a DLA, by NVIDIA's data sheets.
const WITH_DLA: [&str; 4] = ["Xavier NX", "AGX Xavier", "Orin NX", "AGX Orin"];

/// Refuses what no DLA can run.
pub(crate) fn check(precision: Precision, shapes: &BTreeMap<String, ShapeRange>) -> Result<(), PlanError> {
    if precision == Precision::Fp32 {
        return Err(PlanError::DlaFp32);
    }
    match shapes.iter().find(|(_, range)| range.min != range.max) {
        Some((name, _)) => Err(PlanError::DlaShapes { name: name.clone() }),
        None => Ok(()),
    }
}

/// Refuses a core that is not there, before anything else is decided about the device.
pub(crate) fn check_core(core: u32, tensorrt: &TensorRt, device: &DeviceFacts) -> Result<(), PlanError> {
    let none = |because: String| Err(PlanError::NoDla { module: module(device), because });
    if device.dla_cores == 0 && device.module.as_deref().is_some_and(|module| !WITH_DLA.contains(&module)) {
        return none("no module of this kind has one".into());
    }
    if tensorrt.product == TensorRtProduct::Rtx {
        return none(format!("{tensorrt} cannot use one"));
    }
    let version = tensorrt.version;
    let is_orin = device.soc.as_deref() == Some("tegra234");
    let is_agx = device.module.as_deref().is_none_or(|module| module.contains("AGX"));
    if is_orin && version >= GONE && (version < BACK || !is_agx) {
        return none(format!(
            "{tensorrt} cannot use one on Orin: 10.8 dropped it, and 11.4.1 has it again on AGX Orin only"
        ));
    }
    match device.dla_cores {
        0 => none("there is none that TensorRT could use".into()),
        cores if core >= cores => Err(PlanError::DlaCore { module: module(device), core, cores }),
        _ => Ok(()),
    }
}

fn module(device: &DeviceFacts) -> String {
    device.module.clone().or_else(|| device.board.clone()).unwrap_or_else(|| "this device".into())
}

/// Refuses what a core cannot run with this TensorRT, and says what the GPU does and what nobody knows.
pub(crate) fn check_plan(
    core: u32,
    plan: &BuildPlan,
    tensorrt: &TensorRt,
    decisions: &mut Vec<Decision>,
) -> Result<(), PlanError> {
    let typing = Typing::of(tensorrt);
    if plan.mode == QuantMode::ModelQdq && typing == Typing::Flags {
        return Err(PlanError::DlaQdq { tensorrt: tensorrt.to_string() });
    }
    if plan.precision == Precision::Int8 && typing == Typing::Graph {
        decisions.push(Decision {
            what: format!("only the build will show whether DLA core {core} takes Q/DQ nodes"),
            because: format!("INT8 on the DLA of {tensorrt} is untried"),
        });
    }
    decisions.push(Decision {
        what: format!("layers that DLA core {core} cannot run go to the GPU"),
        because: "few networks run on a DLA completely".into(),
    });
    Ok(())
}
