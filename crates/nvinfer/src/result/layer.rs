//! `ILayer` and `ITensor`; both belong to their network, which the caller holds.

use super::network::{LayerHandle, Tensor, TensorHandle};
use crate::error::Unsupported;
use crate::sys::object::{Handle, Method, call};
use crate::sys::slots::layer::{self, VLayer};
use crate::sys::slots::tensor;
use crate::sys::types::Ptr;
use crate::sys::vtable::copy_text;
use crate::version::Family;

type Count = Method<VLayer, unsafe extern "C" fn(Ptr) -> i32>;
type Item = Method<VLayer, unsafe extern "C" fn(Ptr, i32) -> Ptr>;

impl LayerHandle {
    /// The name, unique in its network if the parser made it so.
    pub fn name(self) -> Result<String, Unsupported> {
        // SAFETY: no arguments; the name lives as long as the layer.
        unsafe { Ok(copy_text(call!(self, layer::GET_NAME)?)) }
    }

    /// `LayerType`, as a number.
    pub fn kind(self) -> Result<i32, Unsupported> {
        // SAFETY: no arguments.
        unsafe { call!(self, layer::GET_TYPE) }
    }

    /// The inputs; `None` for one that is optional and absent.
    pub fn inputs(self) -> Result<Vec<Option<TensorHandle>>, Unsupported> {
        self.tensors(&layer::GET_NB_INPUTS, &layer::GET_INPUT)
    }

    /// The outputs.
    pub fn outputs(self) -> Result<Vec<Option<TensorHandle>>, Unsupported> {
        self.tensors(&layer::GET_NB_OUTPUTS, &layer::GET_OUTPUT)
    }

    fn tensors(self, count: &Count, item: &Item) -> Result<Vec<Option<TensorHandle>>, Unsupported> {
        // SAFETY: no arguments.
        let count = unsafe { call!(self, count) }?;
        // SAFETY: the index is below the count; the tensor belongs to the network, or is null.
        let tensor = |index| unsafe { Ok(Handle::forwarding(self.version, call!(self, item, index)?)) };
        (0..count).map(tensor).collect()
    }

    /// Asks for a precision, as a `DataType`.
    pub fn set_precision(self, data_type: i32) -> Result<(), Unsupported> {
        // SAFETY: a type out of range is reported.
        unsafe { call!(self, layer::SET_PRECISION, data_type) }
    }

    /// The precision asked for; `None` if none was.
    pub fn precision(self) -> Result<Option<i32>, Unsupported> {
        // SAFETY: no arguments.
        unsafe {
            let is_set = call!(self, layer::PRECISION_IS_SET)? != 0;
            is_set.then(|| call!(self, layer::GET_PRECISION)).transpose()
        }
    }

    /// Asks for the type of an output, as a `DataType`.
    pub fn set_output_type(self, index: i32, data_type: i32) -> Result<(), Unsupported> {
        // SAFETY: an index or type out of range is reported.
        unsafe { call!(self, layer::SET_OUTPUT_TYPE, index, data_type) }
    }

    /// Whether the type of an output was asked for.
    pub fn output_type_is_set(self, index: i32) -> Result<bool, Unsupported> {
        // SAFETY: an index out of range is reported.
        Ok(unsafe { call!(self, layer::OUTPUT_TYPE_IS_SET, index) }? != 0)
    }
}

impl TensorHandle {
    /// Name, type and shape.
    pub fn describe(self) -> Result<Tensor, Unsupported> {
        // SAFETY: none of them takes arguments; 8.x returns the narrow Dims; the name lives as long as the tensor.
        unsafe {
            let dims = match self.version.family {
                Family::V8 => call!(self, tensor::GET_DIMENSIONS_32)?.into(),
                _ => call!(self, tensor::GET_DIMENSIONS_64)?,
            };
            let name = copy_text(call!(self, tensor::GET_NAME)?);
            Ok(Tensor { name, data_type: call!(self, tensor::GET_TYPE)?, dims })
        }
    }

    /// Sets the range that INT8 is to cover; false if it is no range.
    pub fn set_dynamic_range(self, min: f32, max: f32) -> Result<bool, Unsupported> {
        // SAFETY: any numbers are accepted or refused.
        Ok(unsafe { call!(self, tensor::SET_DYNAMIC_RANGE, min, max) }? != 0)
    }

    /// Whether a range was set.
    pub fn dynamic_range_is_set(self) -> Result<bool, Unsupported> {
        // SAFETY: no arguments.
        Ok(unsafe { call!(self, tensor::DYNAMIC_RANGE_IS_SET) }? != 0)
    }
}
