//! Numbers in and out of `TensorProto`.

use std::path::Path;

use prost::bytes::Bytes;

use crate::error::OnnxError;
use crate::external;
use crate::half;
use crate::proto::{TensorProto, elem};

/// The tensor's name, empty where it has none.
pub(crate) fn name(tensor: &TensorProto) -> String {
    tensor.name.clone().unwrap_or_default()
}

/// How many elements the tensor has; `None` for a negative size or one beyond 64 bits.
pub(crate) fn elements(tensor: &TensorProto) -> Option<u64> {
    tensor.dims.iter().try_fold(1u64, |product, dim| product.checked_mul(u64::try_from(*dim).ok()?))
}

/// How many bytes the tensor's data takes in `raw_data` or in a file; `None` for strings and unknown types.
pub(crate) fn byte_size(tensor: &TensorProto) -> Option<u64> {
    let elements = elements(tensor)?;
    // Bits an element, by `TensorProto.DataType`; types below a byte are packed.
    let bits = match tensor.data_type? {
        25 | 26 => 2,
        21..=23 => 4,
        elem::UINT8 | elem::INT8 | elem::BOOL | 17..=20 | 24 => 8,
        4 | 5 | elem::FLOAT16 | elem::BFLOAT16 => 16,
        elem::FLOAT | elem::INT32 | 12 => 32,
        elem::INT64 | elem::DOUBLE | 13 | 14 => 64,
        15 => 128,
        _ => return None,
    };
    Some(elements.checked_mul(bits)?.div_ceil(8))
}

/// The elements of a float32 tensor, wherever they are stored.
///
/// # Errors
/// [`OnnxError::BadTensor`] where the data does not fit the shape, and the errors of external data.
pub(crate) fn floats(tensor: &TensorProto, folder: Option<&Path>) -> Result<Vec<f32>, OnnxError> {
    let bad = || OnnxError::BadTensor { tensor: name(tensor) };
    if tensor.data_type != Some(elem::FLOAT) {
        return Err(bad());
    }
    let raw = match &tensor.raw_data {
        _ if external::is_external(tensor) => Some(external::read(tensor, folder)?),
        raw => raw.clone(),
    };
    let fits = match &raw {
        Some(raw) => Some(raw.len() as u64) == byte_size(tensor),
        None => Some(tensor.float_data.len() as u64) == elements(tensor),
    };
    match raw {
        _ if !fits => Err(bad()),
        Some(raw) => Ok(raw.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()),
        None => Ok(tensor.float_data.clone()),
    }
}

/// The elements of a float32 or float16 tensor; `None` for another type.
///
/// # Errors
/// As [`floats`].
pub(crate) fn any_floats(tensor: &TensorProto, folder: Option<&Path>) -> Result<Option<Vec<f32>>, OnnxError> {
    match tensor.data_type {
        Some(elem::FLOAT) => floats(tensor, folder).map(Some),
        Some(elem::FLOAT16) => {
            let bits: Vec<u16> = match bytes(tensor, folder)? {
                Some(raw) => raw.as_chunks().0.iter().map(|pair| u16::from_le_bytes(*pair)).collect(),
                None => tensor.int32_data.iter().map(|&bits| bits as u16).collect(),
            };
            fits(tensor, bits.len())?;
            Ok(Some(bits.into_iter().map(half::to_f32).collect()))
        }
        _ => Ok(None),
    }
}

/// The elements of an INT8, UINT8 or INT32 tensor; `None` for another type.
///
/// # Errors
/// As [`floats`].
pub(crate) fn integers(tensor: &TensorProto, folder: Option<&Path>) -> Result<Option<Vec<i32>>, OnnxError> {
    let widen: fn(&[u8]) -> Vec<i32> = match tensor.data_type {
        Some(elem::INT8) => |raw| raw.iter().map(|&byte| i32::from(byte.cast_signed())).collect(),
        Some(elem::UINT8) => |raw| raw.iter().map(|&byte| i32::from(byte)).collect(),
        Some(elem::INT32) => |raw| raw.as_chunks().0.iter().map(|four| i32::from_le_bytes(*four)).collect(),
        _ => return Ok(None),
    };
    let values = match bytes(tensor, folder)? {
        Some(raw) => widen(&raw),
        None => tensor.int32_data.clone(),
    };
    fits(tensor, values.len())?;
    Ok(Some(values))
}

/// How many elements lie side by side in a slice with these inner dimensions; 1 where they are none or empty.
pub(crate) fn side_by_side(inner: &[i64]) -> usize {
    let product = inner.iter().fold(1i64, |product, &dim| product.saturating_mul(dim));
    usize::try_from(product).unwrap_or_default().max(1)
}

/// The tensor's raw bytes, from the model or from a file; `None` where it holds them as numbers.
fn bytes(tensor: &TensorProto, folder: Option<&Path>) -> Result<Option<Bytes>, OnnxError> {
    match &tensor.raw_data {
        _ if external::is_external(tensor) => external::read(tensor, folder).map(Some),
        Some(raw) if Some(raw.len() as u64) != byte_size(tensor) => {
            Err(OnnxError::BadTensor { tensor: name(tensor) })
        }
        raw => Ok(raw.clone()),
    }
}

fn fits(tensor: &TensorProto, count: usize) -> Result<(), OnnxError> {
    match elements(tensor) == Some(count as u64) {
        true => Ok(()),
        false => Err(OnnxError::BadTensor { tensor: name(tensor) }),
    }
}

/// A tensor with inline data.
pub(crate) fn new(name: String, data_type: i32, dims: &[i64], raw: impl Into<Bytes>) -> TensorProto {
    TensorProto {
        name: Some(name),
        data_type: Some(data_type),
        dims: dims.to_vec(),
        raw_data: Some(raw.into()),
        ..TensorProto::default()
    }
}

/// A float32 tensor.
pub(crate) fn from_floats(name: String, dims: &[i64], values: &[f32]) -> TensorProto {
    let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    new(name, elem::FLOAT, dims, raw)
}

/// A one-dimensional int64 tensor.
pub(crate) fn from_int64s(name: String, values: &[i64]) -> TensorProto {
    let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    new(name, elem::INT64, &[values.len() as i64], raw)
}
