//! Graphs that hold Q/DQ already, as quantization-aware training and ONNX Runtime's quantizer make them.

mod signed;
mod strip;

use std::borrow::Borrow;
use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::path::Path;

use serde::Serialize;

pub use strip::{StripReport, strip_qdq};

use crate::error::OnnxError;
use crate::graph;
use crate::half;
use crate::model::Model;
use crate::proto::{NodeProto, TensorProto, elem};
use crate::tensor;

/// What [`adapt_qdq`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct AdaptReport {
    /// How many biases that were stored as INT32 are floats now.
    pub biases: usize,
    /// How many stored tensors and activations with a zero point, or in UINT8, are INT8 without one now.
    pub signed: usize,
}

impl AdaptReport {
    /// Whether anything had to be changed.
    pub fn is_changed(&self) -> bool {
        *self != Self::default()
    }
}

/// Makes a graph that holds Q/DQ one that TensorRT reads, without changing what it computes.
///
/// ONNX Runtime's quantizer stores biases as INT32 with a DequantizeLinear, which TensorRT's parser refuses: they become
/// floats. TensorRT knows INT8 without zero points only, and reads UINT8 as if it were that: what means the same in INT8
/// becomes INT8 (stored integers that fit without their zero point, activations in UINT8 with zero point 128).
/// Everything else stays as it is; with nothing to do the model is not touched, nor on an error.
///
/// # Errors
/// [`OnnxError::Unsigned`] for an activation in UINT8 with zero point 0, which is what ONNX means by no zero point as
/// well, [`OnnxError::Asymmetric`] for other zero points that cannot go, [`OnnxError::BadTensor`] for stored data that
/// does not fit its shape, and the errors of external data.
pub fn adapt_qdq(model: &mut Model) -> Result<AdaptReport, OnnxError> {
    let mut work = model.clone();
    let signed = signed::make_signed(&mut work)?;
    let report = AdaptReport { biases: fold_biases(&mut work)?, signed };
    if report.is_changed() {
        *model = work;
    }
    Ok(report)
}

/// Turns what is stored as INT32 into floats; returns how many.
pub(crate) fn fold_biases(model: &mut Model) -> Result<usize, OnnxError> {
    let graph = model.graph();
    let stored = graph::stored_tensors(graph);
    let (mut folded, mut unread, mut gone) = (Vec::new(), HashSet::new(), HashSet::new());
    for (index, node) in graph.node.iter().enumerate().filter(|(_, node)| node.is("DequantizeLinear")) {
        if let (Some(stored), Some(output)) = (Stored::of(node, &stored), node.outputs().next())
            && stored.integers.data_type == Some(elem::INT32)
            && let Some(bias) = stored.fold(output, model.folder.as_deref())?
        {
            folded.push(bias);
            unread.extend(node.input.iter().cloned());
            gone.insert(index);
        }
    }
    let count = folded.len();
    if count > 0 {
        let graph = model.graph_mut();
        graph.initializer.append(&mut folded);
        graph::remove_nodes(graph, &gone);
        graph::drop_unread(graph, unread);
    }
    Ok(count)
}

pub(crate) fn is_qdq(node: &NodeProto) -> bool {
    node.is("QuantizeLinear") || node.is("DequantizeLinear")
}

/// The stored tensors that a DequantizeLinear reads.
struct Stored<'a> {
    integers: &'a TensorProto,
    scales: &'a TensorProto,
    zero_point: Option<&'a TensorProto>,
    axis: i64,
}

impl<'a> Stored<'a> {
    /// `None` where one of them is not stored, and for scales of blocks.
    fn of<K, T>(node: &NodeProto, stored: &'a HashMap<K, T>) -> Option<Self>
    where
        K: Borrow<str> + Eq + Hash,
        T: Borrow<TensorProto>,
    {
        let tensor = |at: usize| stored.get(node.input(at)?).map(Borrow::borrow);
        let zero_point = match node.input(2) {
            Some(_) => Some(tensor(2)?),
            None => None,
        };
        let blocks = node.int("block_size", 0) != 0;
        (!blocks).then_some(Self {
            integers: tensor(0)?,
            scales: tensor(1)?,
            zero_point,
            axis: node.int("axis", 1),
        })
    }

    /// The dequantized tensor, by that name; `None` for integers or scales of a type that is not ours, and for numbers
    /// beyond the scales' own float16.
    fn fold(&self, name: &str, folder: Option<&Path>) -> Result<Option<TensorProto>, OnnxError> {
        let Some(values) = self.values(folder)? else { return Ok(None) };
        let dims = &self.integers.dims;
        Ok(match self.scales.data_type {
            Some(elem::FLOAT16) => {
                half::raw(&values).map(|raw| tensor::new(name.to_owned(), elem::FLOAT16, dims, raw))
            }
            _ => Some(tensor::from_floats(name.to_owned(), dims, &values)),
        })
    }

    /// `(integer - zero point) * scale`, per tensor or per slice along the axis.
    fn values(&self, folder: Option<&Path>) -> Result<Option<Vec<f32>>, OnnxError> {
        let bad = || OnnxError::BadTensor { tensor: tensor::name(self.integers) };
        let zeros = match self.zero_point {
            Some(tensor) => tensor::integers(tensor, folder)?,
            None => Some(vec![0]),
        };
        let (Some(values), Some(scales), Some(zeros)) =
            (tensor::integers(self.integers, folder)?, tensor::any_floats(self.scales, folder)?, zeros)
        else {
            return Ok(None);
        };
        let slices = scales.len();
        let inner = slice_length(self.integers, self.axis, slices)?;
        if slices == 0 || !(zeros.len() == 1 || zeros.len() == slices) {
            return Err(bad());
        }
        let number = |(index, value): (usize, &i32)| {
            let slice = index / inner % slices;
            let zero = zeros[slice.min(zeros.len() - 1)];
            (f64::from(*value) - f64::from(zero)) as f32 * scales[slice]
        };
        Ok(Some(values.iter().enumerate().map(number).collect()))
    }
}

/// How many elements of `tensor` lie side by side in each of its slices along `axis`; all of them where it is one slice.
///
/// # Errors
/// [`OnnxError::BadTensor`] where it has not that many slices.
fn slice_length(tensor: &TensorProto, axis: i64, slices: usize) -> Result<usize, OnnxError> {
    let dims = &tensor.dims;
    if slices == 1 {
        return Ok(tensor::side_by_side(dims));
    }
    let axis = if axis < 0 { axis + dims.len() as i64 } else { axis };
    match usize::try_from(axis).ok().and_then(|axis| dims.get(axis..)) {
        Some([extent, inner @ ..]) if usize::try_from(*extent) == Ok(slices) => {
            Ok(tensor::side_by_side(inner))
        }
        _ => Err(OnnxError::BadTensor { tensor: tensor::name(tensor) }),
    }
}
