//! `ICudaEngine` and `IEngineInspector`.

use std::ffi::{CStr, CString};
use std::rc::Rc;

use super::Owned;
use super::runtime::Runtime;
use crate::error::{Error, Unsupported};
use crate::sys::object::call;
use crate::sys::slots::engine::{self, VCudaEngine};
use crate::sys::slots::inspector::{self, VEngineInspector};
use crate::sys::types::{Dims64, Ptr, Text};
use crate::sys::values::IoMode;
use crate::sys::vtable::copy_text;
use crate::version::{Family, Version};

/// `LayerInformationFormat::kJSON`, in all families.
const JSON: i32 = 1;

/// `TensorLocation::kHOST`, in all families.
const HOST: i32 = 1;

/// `TensorIOMode::kINPUT`, in all families.
const INPUT: i32 = 1;

/// `ExecutionContextAllocationStrategy::kSTATIC`, in all families that have it.
const STATIC: i32 = 0;

/// An engine; it keeps its runtime.
pub struct Engine {
    object: Owned<VCudaEngine>,
    tensors: Vec<IoTensor>,
    pub(crate) runtime: Rc<Runtime>,
}

/// What an engine says of an input or output.
pub struct IoTensor {
    /// Its name.
    pub name: CString,
    /// Whether it is read or written.
    pub mode: IoMode,
    /// `DataType`, as a number.
    pub data_type: i32,
    /// Its shape, -1 where dynamic.
    pub dims: Dims64,
    /// Whether it lies in host memory.
    pub on_host: bool,
}

impl Engine {
    /// Loads a serialized engine.
    pub fn new(runtime: Rc<Runtime>, plan: &[u8]) -> Result<Engine, Error> {
        let version = runtime.version();
        runtime.take_errors();
        let public = runtime.deserialize(plan)?;
        // SAFETY: a new engine or null.
        let object = unsafe { Owned::new(version, public) };
        let object = object.ok_or_else(|| Error::Deserialize {
            version,
            bytes: plan.len(),
            recorded: runtime.take_errors(),
        })?;
        let mut engine = Engine { object, tensors: vec![], runtime };
        engine.tensors = engine.read_tensors()?;
        Ok(engine)
    }

    /// Whether inputs and outputs are known by name rather than by their place in an array: since 8.5.
    pub(super) fn has_names(&self) -> bool {
        has_names(self.runtime.version())
    }

    /// The inputs and outputs. Where they are an array, this is their order in it.
    pub fn tensors(&self) -> &[IoTensor] {
        &self.tensors
    }

    fn read_tensors(&self) -> Result<Vec<IoTensor>, Error> {
        // SAFETY: no arguments.
        let count = unsafe {
            if self.has_names() {
                call!(self.object.0, engine::GET_NB_IO_TENSORS)?
            } else {
                // One array holds the bindings of all profiles, one after the other.
                call!(self.object.0, engine::GET_NB_BINDINGS)? / self.profiles()?.max(1)
            }
        };
        (0..count).map(|index| self.read_tensor(index)).collect()
    }

    fn read_tensor(&self, index: i32) -> Result<IoTensor, Error> {
        let object = self.object.0;
        // SAFETY: the index is below the count; names live as long as the engine, of which they are.
        unsafe {
            if !self.has_names() {
                let is_input = call!(object, engine::BINDING_IS_INPUT, index)? != 0;
                return Ok(IoTensor {
                    name: self.owned_name(call!(object, engine::GET_BINDING_NAME, index)?)?,
                    mode: if is_input { IoMode::Input } else { IoMode::Output },
                    data_type: call!(object, engine::GET_BINDING_DATA_TYPE, index)?,
                    dims: call!(object, engine::GET_BINDING_DIMENSIONS, index)?.into(),
                    on_host: call!(object, engine::GET_LOCATION, index)? == HOST,
                });
            }
            let name = self.owned_name(call!(object, engine::GET_IO_TENSOR_NAME, index)?)?;
            let text = name.as_ptr();
            let is_input = call!(object, engine::GET_TENSOR_IO_MODE, text)? == INPUT;
            let dims = match object.version.family {
                Family::V8 => call!(object, engine::GET_TENSOR_SHAPE_32, text)?.into(),
                _ => call!(object, engine::GET_TENSOR_SHAPE_64, text)?,
            };
            Ok(IoTensor {
                mode: if is_input { IoMode::Input } else { IoMode::Output },
                data_type: call!(object, engine::GET_TENSOR_DATA_TYPE, text)?,
                dims,
                on_host: call!(object, engine::GET_TENSOR_LOCATION, text)? == HOST,
                name,
            })
        }
    }

    /// # Safety
    /// `text` is null or NUL-terminated and alive during the call.
    unsafe fn owned_name(&self, text: Text) -> Result<CString, Error> {
        if text.is_null() {
            return Err(self.runtime.creation("the name of an input or output"));
        }
        // SAFETY: promised by the caller.
        Ok(unsafe { CStr::from_ptr(text) }.to_owned())
    }

    /// How many layers it has, after fusion.
    pub fn layers(&self) -> Result<i32, Unsupported> {
        // SAFETY: no arguments.
        unsafe { call!(self.object.0, engine::GET_NB_LAYERS) }
    }

    /// How many optimization profiles it was built with. Not known for RTX.
    pub fn profiles(&self) -> Result<i32, Unsupported> {
        // SAFETY: no arguments.
        unsafe { call!(self.object.0, engine::GET_NB_OPTIMIZATION_PROFILES) }
    }

    /// The memory of a context in bytes.
    pub fn device_memory(&self) -> Result<i64, Unsupported> {
        // SAFETY: no arguments.
        unsafe {
            match call!(self.object.0, engine::GET_DEVICE_MEMORY_SIZE_V2) {
                Ok(bytes) => Ok(bytes),
                Err(missing) => match call!(self.object.0, engine::GET_DEVICE_MEMORY_SIZE) {
                    Ok(bytes) => Ok(bytes as i64),
                    Err(_) => Err(missing),
                },
            }
        }
    }

    /// Makes an execution context; null if TensorRT makes none.
    pub(super) fn create_context(&self) -> Result<Ptr, Unsupported> {
        // SAFETY: the strategy exists in all families that take one.
        unsafe {
            match self.object.0.version.family {
                Family::V8 => call!(self.object.0, engine::CREATE_EXECUTION_CONTEXT_8),
                _ => call!(self.object.0, engine::CREATE_EXECUTION_CONTEXT, STATIC),
            }
        }
    }

    /// A new inspector, to be dropped before the engine.
    fn inspector(&self) -> Result<Owned<VEngineInspector>, Error> {
        self.runtime.take_errors();
        // SAFETY: no arguments.
        let public = unsafe { call!(self.object.0, engine::CREATE_ENGINE_INSPECTOR) }?;
        // SAFETY: a new inspector or null.
        let inspector = unsafe { Owned::new(self.runtime.version(), public) };
        inspector.ok_or_else(|| self.runtime.creation(engine::CREATE_ENGINE_INSPECTOR.name))
    }

    /// What the engine remembers of itself, as JSON.
    pub fn information(&self) -> Result<String, Error> {
        let inspector = self.inspector()?;
        // SAFETY: the text lives as long as the inspector, until its next call.
        Ok(unsafe { copy_text(call!(inspector.0, inspector::GET_ENGINE_INFORMATION, JSON)?) })
    }

    /// What the engine remembers of a layer, as JSON.
    pub fn layer_information(&self, index: i32) -> Result<String, Error> {
        let inspector = self.inspector()?;
        // SAFETY: an index out of range is reported; the text lives as long as the inspector, until its next call.
        Ok(unsafe { copy_text(call!(inspector.0, inspector::GET_LAYER_INFORMATION, index, JSON)?) })
    }
}

/// Whether a version knows inputs and outputs by name: since 8.5.
fn has_names(version: Version) -> bool {
    engine::GET_NB_IO_TENSORS.slot(version).is_ok()
}
