//! Tensors as rten takes and gives them: it knows 32-bit floats and integers, and 8-bit integers.

use rten::{NodeId, Value, ValueView};
use rten_tensor::prelude::*;

use crate::{SourceError, Tensor, Values};

/// A value for each input of the model, in the model's order.
///
/// # Errors
/// [`SourceError::Input`] where one is missing, unknown or does not fit.
pub fn inputs(
    tensors: Vec<Tensor>,
    inputs: &[(String, NodeId)],
) -> Result<Vec<(NodeId, Value)>, SourceError> {
    let wrong = |name: &str, reason: &str| {
        Err(SourceError::Input { name: name.to_owned(), reason: reason.to_owned() })
    };
    if let Some(tensor) = tensors.iter().find(|tensor| !inputs.iter().any(|(name, _)| *name == tensor.name)) {
        return wrong(&tensor.name, "the model has no such input");
    }
    if let Some((name, _)) = inputs.iter().find(|(name, _)| !tensors.iter().any(|t| t.name == *name)) {
        return wrong(name, "it is not there");
    }
    let id = |name: &str| inputs.iter().find(|(known, _)| known == name).map(|(_, id)| *id);
    tensors.into_iter().filter_map(|tensor| id(&tensor.name).map(|id| Ok((id, value(tensor)?)))).collect()
}

/// A tensor as a value of rten's. 64-bit integers and truth values become 32-bit integers, other floats 32-bit floats:
/// rten does the same to those of the model.
fn value(tensor: Tensor) -> Result<Value, SourceError> {
    let Tensor { name, shape, values } = tensor;
    let wrong = |reason: String| SourceError::Input { name: name.clone(), reason };
    let made = match values {
        Values::F32(values) => Value::from_shape(&shape, values).map_err(|e| e.to_string()),
        Values::F16(values) => {
            let wide: Vec<f32> = values.into_iter().map(f32::from).collect();
            Value::from_shape(&shape, wide).map_err(|e| e.to_string())
        }
        Values::F64(values) => {
            let narrow: Vec<f32> = values.into_iter().map(|x| x as f32).collect();
            Value::from_shape(&shape, narrow).map_err(|e| e.to_string())
        }
        Values::I64(values) => {
            let narrow = values.into_iter().map(|x| {
                i32::try_from(x).map_err(|_| wrong(format!("rten has 32-bit integers, and it holds: {x}")))
            });
            Value::from_shape(&shape, narrow.collect::<Result<Vec<_>, _>>()?).map_err(|e| e.to_string())
        }
        Values::I32(values) => Value::from_shape(&shape, values).map_err(|e| e.to_string()),
        Values::I8(values) => Value::from_shape(&shape, values).map_err(|e| e.to_string()),
        Values::U8(values) => Value::from_shape(&shape, values).map_err(|e| e.to_string()),
        Values::Bool(values) => {
            let wide: Vec<i32> = values.into_iter().map(i32::from).collect();
            Value::from_shape(&shape, wide).map_err(|e| e.to_string())
        }
    };
    made.map_err(wrong)
}

/// A copy of a value of rten's; `None` of a sequence.
pub fn tensor(name: &str, value: &Value) -> Option<Tensor> {
    let (shape, values) = match value.as_view() {
        ValueView::FloatTensor(view) => (view.shape().to_vec(), Values::F32(view.to_vec())),
        ValueView::Int32Tensor(view) => (view.shape().to_vec(), Values::I32(view.to_vec())),
        ValueView::Int8Tensor(view) => (view.shape().to_vec(), Values::I8(view.to_vec())),
        ValueView::UInt8Tensor(view) => (view.shape().to_vec(), Values::U8(view.to_vec())),
        _ => return None,
    };
    Some(Tensor { name: name.to_owned(), shape, values })
}

#[cfg(test)]
mod tests {
    use half::f16;

    use super::*;

    #[test]
    fn every_type_is_taken_as_the_nearest_that_rten_has() {
        let cases = [
            (Values::F32(vec![1.5]), Values::F32(vec![1.5])),
            (Values::F16(vec![f16::from_f32(1.5)]), Values::F32(vec![1.5])),
            (Values::F64(vec![1.5]), Values::F32(vec![1.5])),
            (Values::I64(vec![-7]), Values::I32(vec![-7])),
            (Values::I32(vec![-7]), Values::I32(vec![-7])),
            (Values::I8(vec![-7]), Values::I8(vec![-7])),
            (Values::U8(vec![7]), Values::U8(vec![7])),
            (Values::Bool(vec![true]), Values::I32(vec![1])),
        ];
        for (given, expected) in cases {
            let taken = value(Tensor { name: "x".to_owned(), shape: vec![1], values: given }).unwrap();
            assert_eq!(tensor("x", &taken).unwrap().values, expected);
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_by_name() {
        for (shape, values) in [(vec![1], Values::I64(vec![1 << 40])), (vec![2], Values::F32(vec![1.0]))] {
            let error = value(Tensor { name: "ids".to_owned(), shape, values }).unwrap_err();
            assert!(matches!(&error, SourceError::Input { name, .. } if name == "ids"), "{error}");
        }
    }
}
