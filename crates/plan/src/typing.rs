//! How a TensorRT takes precision.

use trt_wire::{TensorRt, TensorRtProduct};

/// How the device's TensorRT takes precision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Typing {
    /// Builder flags and a calibrator: TensorRT 8.x to 10.x.
    Flags,
    /// The graph's own types and Q/DQ nodes: TensorRT 11.x, what comes after it, and RTX.
    Graph,
}

impl Typing {
    pub(crate) fn of(tensorrt: &TensorRt) -> Self {
        match (tensorrt.product, tensorrt.version[0]) {
            (TensorRtProduct::TensorRt, ..=10) => Self::Flags,
            _ => Self::Graph,
        }
    }
}
