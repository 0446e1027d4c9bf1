//! Weights as INT8.

use std::path::Path;

use crate::error::OnnxError;
use crate::proto::TensorProto;
use crate::tensor;

/// INT8 values and the scale of each slice along the axis (one scale without an axis).
pub(super) struct Quantized {
    pub(super) values: Vec<i8>,
    pub(super) scales: Vec<f32>,
}

/// Quantizes symmetrically: scale = largest magnitude / 127, value = round(weight / scale), ties to even.
///
/// # Errors
/// [`OnnxError::NonFiniteWeight`], [`OnnxError::BadTensor`] and the errors of external data.
pub(super) fn quantize(
    weight: &TensorProto,
    axis: Option<usize>,
    folder: Option<&Path>,
) -> Result<Quantized, OnnxError> {
    let floats = tensor::floats(weight, folder)?;
    if floats.iter().any(|value| !value.is_finite()) {
        return Err(OnnxError::NonFiniteWeight { tensor: tensor::name(weight) });
    }
    // The data is [outer, slices, inner] with the axis in the middle.
    let dims = weight.dims.iter().map(|&dim| dim as usize);
    let (slices, inner) = match axis {
        Some(axis) => (weight.dims[axis] as usize, dims.skip(axis + 1).product::<usize>()),
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
    Ok(Quantized { values: floats.iter().enumerate().map(quantized).collect(), scales })
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

    #[test]
    fn every_slice_along_the_axis_has_its_own_scale() {
        let values = [127.0, -12.7, 0.0, 63.5, 1.27, 0.0];
        let weight = tensor::from_floats("w".into(), &[2, 3], &values);
        for (axis, scales, expected) in [
            (Some(0), vec![1.0, 0.5], vec![127, -13, 0, 127, 3, 0]),
            (Some(1), vec![1.0, 0.1, 1.0], vec![127, -127, 0, 64, 13, 0]),
            (None, vec![1.0], vec![127, -13, 0, 64, 1, 0]),
        ] {
            let quantized = quantize(&weight, axis, None).unwrap();
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
            let error = quantize(&weight, Some(0), None).err().unwrap().to_string();
            assert!(error.contains("`conv.w`"), "{error}");
        }
    }
}
