//! What builds: TensorRT's own interface, or the `trtexec` beside it.

use trt_wire::{Backend, BackendChoice, Decision, DeviceFacts, TensorRt, TensorRtProduct, Trtexec};

use crate::PlanError;
use crate::error::TrtexecThere;

/// The oldest TensorRT that anything here works with.
const OLDEST: [u32; 3] = [8, 0, 0];

/// The first release with `setBuilderOptimizationLevel`.
const FIRST_WITH_LEVELS: [u32; 3] = [8, 6, 0];

/// The GPUs that TensorRT-RTX builds for without having one (`NvInferRTX.h`, `ComputeCapability`).
pub(crate) fn rtx_gpus(version: [u32; 3]) -> &'static [[u32; 2]] {
    const FIRST_WITH_12_1: [u32; 3] = [1, 5, 0];
    const GPUS: [[u32; 2]; 6] = [[7, 5], [8, 0], [8, 6], [8, 9], [12, 0], [12, 1]];
    if version < FIRST_WITH_12_1 { &GPUS[..5] } else { &GPUS }
}

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
    let unknown = |trtexec| PlanError::UnknownTensorRt { tensorrt: tensorrt.to_string(), trtexec };
    let (trtexec, because) = match (asked, &device.trtexec) {
        (BackendChoice::Auto | BackendChoice::Nvinfer, _) if tensorrt.is_known => {
            return Ok(Backend::Nvinfer);
        }
        (BackendChoice::Trtexec, _) if is_rtx => {
            return Err(PlanError::TrtexecWithRtx { tensorrt: tensorrt.to_string() });
        }
        (_, _) if is_rtx => return Err(unknown(TrtexecThere::NotForRtx)),
        (BackendChoice::Trtexec, None) => return Err(PlanError::NoTrtexec),
        (BackendChoice::Trtexec, Some(trtexec)) => (trtexec, "the model says `backend: trtexec`".into()),
        (_, None) => return Err(unknown(TrtexecThere::Absent)),
        (BackendChoice::Nvinfer, Some(trtexec)) if differs(trtexec, tensorrt).is_some() => {
            return Err(unknown(TrtexecThere::Differs));
        }
        (BackendChoice::Nvinfer, Some(_)) => return Err(unknown(TrtexecThere::Fits)),
        (BackendChoice::Auto, Some(trtexec)) => {
            (trtexec, format!("this agent does not know the interface of {tensorrt}"))
        }
    };
    if let Some([major, minor, patch]) = differs(trtexec, tensorrt) {
        return Err(PlanError::TrtexecDiffers {
            path: trtexec.path.clone(),
            version: format!("{major}.{minor}.{patch}"),
            tensorrt: tensorrt.to_string(),
            is_known: tensorrt.is_known,
        });
    }
    decisions.push(Decision { what: format!("`{}` builds the engine", trtexec.path), because });
    if trtexec.version.is_none() {
        decisions.push(Decision {
            what: format!("`{}` is taken for a part of {tensorrt}", trtexec.path),
            because: "its banner names no version".into(),
        });
    }
    Ok(Backend::Trtexec)
}

/// The version of a `trtexec` whose engines this library would not load.
fn differs(trtexec: &Trtexec, tensorrt: &TensorRt) -> Option<[u32; 3]> {
    trtexec.version.filter(|version| *version != tensorrt.version)
}

/// Refuses an optimization level that this TensorRT does not have.
pub(crate) fn check_level(level: Option<u8>, tensorrt: &TensorRt) -> Result<(), PlanError> {
    let has_levels = tensorrt.product == TensorRtProduct::Rtx || tensorrt.version >= FIRST_WITH_LEVELS;
    match level {
        Some(level) if !has_levels => Err(PlanError::NoLevels { level, tensorrt: tensorrt.to_string() }),
        _ => Ok(()),
    }
}
