//! What builds: TensorRT's own interface, or the `trtexec` beside it.

use trt_wire::{Backend, BackendChoice, Decision, DeviceFacts, TensorRt, TensorRtProduct};

use crate::PlanError;

/// The oldest TensorRT that anything here works with.
const OLDEST: [u32; 3] = [8, 0, 0];

/// The first release with `setBuilderOptimizationLevel`.
const FIRST_WITH_LEVELS: [u32; 3] = [8, 6, 0];

/// The highest optimization level there is.
pub(crate) const HIGHEST_LEVEL: u8 = 5;

/// What builds with this library, as asked or as it can.
pub(crate) fn choose(
    asked: BackendChoice,
    tensorrt: &TensorRt,
    device: &DeviceFacts,
    decisions: &mut Vec<Decision>,
) -> Result<Backend, PlanError> {
    let is_rtx = tensorrt.product == TensorRtProduct::Rtx;
    if !is_rtx && tensorrt.version < OLDEST {
        return Err(PlanError::TooOld { tensorrt: tensorrt.to_string() });
    }
    let because = match asked {
        BackendChoice::Auto | BackendChoice::Nvinfer if tensorrt.is_known => return Ok(Backend::Nvinfer),
        BackendChoice::Auto if !is_rtx && device.trtexec.is_some() => {
            format!("this agent does not know the interface of {tensorrt}")
        }
        BackendChoice::Auto | BackendChoice::Nvinfer => {
            return Err(PlanError::UnknownTensorRt {
                tensorrt: tensorrt.to_string(),
                trtexec_would: !is_rtx && device.trtexec.is_some(),
                is_rtx,
            });
        }
        BackendChoice::Trtexec if is_rtx => {
            return Err(PlanError::TrtexecWithRtx { tensorrt: tensorrt.to_string() });
        }
        BackendChoice::Trtexec => "the model says `backend: trtexec`".into(),
    };
    let trtexec = device.trtexec.as_ref().ok_or(PlanError::NoTrtexec)?;
    match trtexec.version {
        Some(version) if version != tensorrt.version => {
            let [major, minor, patch] = version;
            return Err(PlanError::TrtexecDiffers {
                path: trtexec.path.clone(),
                version: format!("{major}.{minor}.{patch}"),
                tensorrt: tensorrt.to_string(),
            });
        }
        _ => decisions.push(Decision { what: format!("`{}` builds the engine", trtexec.path), because }),
    }
    if trtexec.version.is_none() {
        decisions.push(Decision {
            what: format!("`{}` is taken for a part of {tensorrt}", trtexec.path),
            because: "its banner names no version".into(),
        });
    }
    Ok(Backend::Trtexec)
}

/// Refuses an optimization level that this TensorRT does not have.
pub(crate) fn check_level(level: Option<u8>, tensorrt: &TensorRt) -> Result<(), PlanError> {
    let has_levels = tensorrt.product == TensorRtProduct::Rtx || tensorrt.version >= FIRST_WITH_LEVELS;
    match level {
        Some(level) if !has_levels => Err(PlanError::NoLevels { level, tensorrt: tensorrt.to_string() }),
        _ => Ok(()),
    }
}
