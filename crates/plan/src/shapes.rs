//! The optimization profile from the model's inputs and the fleet file's shapes.

use std::collections::BTreeMap;

use trt_wire::{ShapeRange, TensorInfo};

use crate::PlanError;

/// One range per input: as asked where the model is dynamic, the model's own shape where it is fixed.
pub(crate) fn profile(
    inputs: &[TensorInfo],
    asked: &BTreeMap<String, ShapeRange>,
) -> Result<BTreeMap<String, ShapeRange>, PlanError> {
    if let Some(name) = asked.keys().find(|name| !inputs.iter().any(|input| input.name == **name)) {
        return Err(PlanError::UnknownInput {
            name: name.clone(),
            inputs: inputs.iter().map(|input| input.name.clone()).collect(),
        });
    }
    inputs
        .iter()
        .map(|input| {
            let range = match asked.get(&input.name) {
                Some(range) => checked(input, range)?.clone(),
                None if input.dims.iter().all(|&dim| dim >= 0) => {
                    let dims = input.dims.clone();
                    ShapeRange { min: dims.clone(), opt: dims.clone(), max: dims }
                }
                None => {
                    return Err(PlanError::NoShape { name: input.name.clone(), dims: input.dims.clone() });
                }
            };
            Ok((input.name.clone(), range))
        })
        .collect()
}

fn checked<'a>(input: &TensorInfo, range: &'a ShapeRange) -> Result<&'a ShapeRange, PlanError> {
    let is_one = range.min == range.opt && range.opt == range.max;
    for (which, shape) in [("min ", &range.min), ("opt ", &range.opt), ("max ", &range.max)] {
        let fits = shape.len() == input.dims.len()
            && shape.iter().zip(&input.dims).all(|(&asked, &dim)| asked >= 1 && (dim < 0 || dim == asked));
        if !fits {
            return Err(PlanError::ShapeMismatch {
                name: input.name.clone(),
                which: if is_one { "" } else { which },
                shape: shape.clone(),
                dims: input.dims.clone(),
            });
        }
    }
    let ordered = |low: &[i64], high: &[i64]| low.iter().zip(high).all(|(low, high)| low <= high);
    if !ordered(&range.min, &range.opt) || !ordered(&range.opt, &range.max) {
        return Err(PlanError::ShapeOrder {
            name: input.name.clone(),
            min: range.min.clone(),
            opt: range.opt.clone(),
            max: range.max.clone(),
        });
    }
    Ok(range)
}
