//! ONNX Runtime on the CPU, as a source of histograms; on any device, as a network.

mod count;
mod load;
mod need;
mod network;
mod nodes;
mod source;

use half::f16;
use onnxruntime::{Elements, Feed, Output};

pub(crate) use load::{Loaded, Seen, load, seen};
pub use network::OrtNetwork;
pub use source::OrtSource;

use crate::{SourceError, Tensor, Values};

/// A tensor as ONNX Runtime takes it.
pub(crate) fn feed(tensor: &Tensor) -> Feed<'_> {
    Feed { name: &tensor.name, shape: &tensor.shape, elements: elements(&tensor.values) }
}

/// Values as ONNX Runtime shows them.
fn elements(values: &Values) -> Elements<'_> {
    match values {
        Values::F32(values) => Elements::F32(values),
        Values::F16(values) => Elements::F16(values),
        Values::F64(values) => Elements::F64(values),
        Values::I64(values) => Elements::I64(values),
        Values::I32(values) => Elements::I32(values),
        Values::I8(values) => Elements::I8(values),
        Values::U8(values) => Elements::U8(values),
        Values::Bool(values) => Elements::Bool(values),
    }
}

/// A copy of an output.
fn tensor(output: &Output<'_>) -> Result<Tensor, SourceError> {
    let values = match &output.elements {
        Ok(Elements::F32(values)) => Values::F32(values.to_vec()),
        Ok(Elements::F16(values)) => Values::F16(values.to_vec()),
        Ok(Elements::F64(values)) => Values::F64(values.to_vec()),
        Ok(Elements::I64(values)) => Values::I64(values.to_vec()),
        Ok(Elements::I32(values)) => Values::I32(values.to_vec()),
        Ok(Elements::I8(values)) => Values::I8(values.to_vec()),
        Ok(Elements::U8(values)) => Values::U8(values.to_vec()),
        Ok(Elements::Bool(values)) => Values::Bool(values.to_vec()),
        Err(what) => {
            let reason = format!("output `{}` is {what}", output.name);
            return Err(SourceError::Run { node: None, reason });
        }
    };
    Ok(Tensor { name: output.name.to_owned(), shape: output.shape.clone(), values })
}

/// Floats of any width, as the 32-bit floats that are counted. What is too great for them becomes infinite.
fn floats(elements: Elements<'_>) -> Option<Floats<'_>> {
    match elements {
        Elements::F32(values) => Some(Floats::F32(values)),
        Elements::F16(values) => Some(Floats::F16(values)),
        Elements::F64(values) => Some(Floats::F64(values)),
        _ => None,
    }
}

/// See [`floats`].
#[derive(Debug, Clone, Copy)]
enum Floats<'a> {
    F32(&'a [f32]),
    F16(&'a [f16]),
    F64(&'a [f64]),
}
