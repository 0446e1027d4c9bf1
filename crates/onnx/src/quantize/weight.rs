//! Weights as INT8.

use std::collections::HashMap;
use std::path::Path;

use crate::error::OnnxError;
use crate::graph;
use crate::proto::{GraphProto, NodeProto, TensorProto};
use crate::tensor;

/// A stored tensor as a node reads it.
#[derive(Clone, Copy)]
pub(super) struct Weight<'a> {
    pub(super) tensor: &'a TensorProto,
    /// Whether a Transpose swaps its two dimensions on the way, as exporters write a Linear layer.
    transposed: bool,
}

impl Weight<'_> {
    /// The dimensions that the node sees.
    pub(super) fn dims(&self) -> Vec<i64> {
        let mut dims = self.tensor.dims.clone();
        if self.transposed {
            dims.reverse();
        }
        dims
    }
}

/// Every value that is a stored tensor, or the transpose of a stored matrix.
pub(super) fn all(graph: &GraphProto) -> HashMap<&str, Weight<'_>> {
    let stored = graph::stored_tensors(graph).into_iter();
    let mut weights: HashMap<&str, Weight> =
        stored.map(|(name, tensor)| (name, Weight { tensor, transposed: false })).collect();
    for node in &graph.node {
        let swaps = swaps(node);
        if !swaps && !node.is("Identity") {
            continue;
        }
        if let Some(weight) = node.input(0).and_then(|name| weights.get(name).copied())
            && let Some(output) = node.outputs().next()
            && (!swaps || weight.tensor.dims.len() == 2)
        {
            weights.insert(output, Weight { transposed: weight.transposed != swaps, ..weight });
        }
    }
    weights
}

/// Whether the node swaps the dimensions of a matrix.
fn swaps(node: &NodeProto) -> bool {
    node.is("Transpose") && node.attribute("perm").is_none_or(|perm| perm.ints == [1, 0])
}

/// INT8 values and the scale of each slice along the axis (one scale without an axis).
pub(super) struct Quantized {
    pub(super) values: Vec<i8>,
    pub(super) scales: Vec<f32>,
    /// How many values of one slice lie side by side.
    inner: usize,
}

impl Quantized {
    /// What DequantizeLinear gives.
    pub(super) fn floats(&self) -> Vec<f32> {
        let scale = |index: usize| self.scales[index / self.inner % self.scales.len()];
        self.values.iter().enumerate().map(|(index, &value)| f32::from(value) * scale(index)).collect()
    }
}

/// Quantizes symmetrically: scale = largest magnitude / 127, value = round(weight / scale), ties to even.
///
/// # Errors
/// [`OnnxError::NonFiniteWeight`], [`OnnxError::BadTensor`] and the errors of external data.
pub(super) fn quantize(
    weight: Weight,
    axis: Option<usize>,
    folder: Option<&Path>,
) -> Result<Quantized, OnnxError> {
    let Weight { tensor, transposed } = weight;
    let mut floats = tensor::floats(tensor, folder)?;
    if transposed {
        floats = transpose(&floats, tensor.dims[1] as usize);
    }
    if floats.iter().any(|value| !value.is_finite()) {
        return Err(OnnxError::NonFiniteWeight { tensor: tensor::name(tensor) });
    }
    // The data is [outer, slices, inner] with the axis in the middle.
    let dims: Vec<usize> = weight.dims().into_iter().map(|dim| dim as usize).collect();
    let (slices, inner) = match axis {
        Some(axis) => (dims[axis], dims[axis + 1..].iter().product::<usize>()),
        None => (1, floats.len()),
    };
    let slice_of = |index: usize| index / inner % slices;
    let mut largest = vec![0f32; slices];
    for (index, value) in floats.iter().enumerate() {
        let slot = &mut largest[slice_of(index)];
        *slot = slot.max(value.abs());
    }
    let scales: Vec<f32> = largest.into_iter().map(scale).collect();
    let quantized = |(index, value): (usize, &f32)| {
        (value / scales[slice_of(index)]).round_ties_even().clamp(-127.0, 127.0) as i8
    };
    Ok(Quantized { values: floats.iter().enumerate().map(quantized).collect(), scales, inner })
}

/// The columns of a matrix one after the other.
fn transpose(rows: &[f32], columns: usize) -> Vec<f32> {
    (0..columns).flat_map(|column| rows.iter().skip(column).step_by(columns).copied()).collect()
}

/// A scale must be positive, also for a channel of zeros, and a normal number, since builders flush others to zero.
fn scale(largest: f32) -> f32 {
    match largest {
        0.0 => 1.0,
        largest => (largest / 127.0).max(f32::MIN_POSITIVE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(tensor: &TensorProto) -> Weight<'_> {
        Weight { tensor, transposed: false }
    }

    #[test]
    fn a_transposed_matrix_is_quantized_as_the_node_reads_it() {
        let stored = tensor::from_floats("w".into(), &[2, 3], &[127.0, -12.7, 0.0, 63.5, 1.27, 0.0]);
        let read = tensor::from_floats("w".into(), &[3, 2], &[127.0, 63.5, -12.7, 1.27, 0.0, 0.0]);
        for axis in [Some(0), Some(1), None] {
            let weight = Weight { tensor: &stored, transposed: true };
            assert_eq!(weight.dims(), read.dims);
            let [found, expected] = [weight, plain(&read)].map(|w| quantize(w, axis, None).unwrap());
            assert_eq!((found.values, found.scales), (expected.values, expected.scales), "axis {axis:?}");
        }
    }

    #[test]
    fn every_slice_along_the_axis_has_its_own_scale() {
        let values = [127.0, -12.7, 0.0, 63.5, 1.27, 0.0];
        let weight = tensor::from_floats("w".into(), &[2, 3], &values);
        for (axis, scales, expected) in [
            (Some(0), vec![1.0, 0.5], vec![127, -13, 0, 127, 3, 0]),
            (Some(1), vec![1.0, 0.1, 1.0], vec![127, -127, 0, 64, 13, 0]),
            (None, vec![1.0], vec![127, -13, 0, 64, 1, 0]),
        ] {
            let quantized = quantize(plain(&weight), axis, None).unwrap();
            assert_eq!(quantized.values, expected, "axis {axis:?}");
            let close = quantized.scales.iter().zip(&scales).all(|(a, b)| (a - b).abs() < 1e-6);
            assert!(close, "axis {axis:?}: {:?}", quantized.scales);
        }
    }

    #[test]
    fn scales_are_positive_for_zeros_and_for_the_smallest_numbers() {
        for largest in [0.0, 1e-45, 1e-38, f32::MAX] {
            assert!(scale(largest).is_normal() && scale(largest) > 0.0, "{largest:e}");
        }
    }

    #[test]
    fn a_weight_that_is_not_finite_is_refused_by_name() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let weight = tensor::from_floats("conv.w".into(), &[2], &[1.0, bad]);
            let error = quantize(plain(&weight), Some(0), None).err().unwrap().to_string();
            assert!(error.contains("`conv.w`"), "{error}");
        }
    }
}
