//! `IExecutionContext`.

use std::mem::ManuallyDrop;
use std::rc::Rc;

use super::Owned;
use super::engine::Engine;
use crate::error::{Error, Unsupported};
use crate::sys::device::{DeviceMemory, DeviceStream};
use crate::sys::object::call;
use crate::sys::slots::context::{self, VExecutionContext};
use crate::sys::types::{Dims32, Dims64};
use crate::version::Family;

/// An execution context; it keeps its engine.
///
/// Tensors are numbered as in [`Engine::tensors`].
pub struct Context {
    object: ManuallyDrop<Owned<VExecutionContext>>,
    /// Work was put into a stream, and nobody has seen the end of it: whoever has, clears this. Until then the context is
    /// not deleted, but leaked with its engine and runtime.
    pub(crate) is_running: bool,
    /// The optimization profile in use, which counts where bindings are an array over all profiles.
    profile: usize,
    pub(crate) engine: Rc<Engine>,
}

impl Context {
    /// Makes a context with the first profile.
    pub fn new(engine: Rc<Engine>) -> Result<Context, Error> {
        engine.runtime.take_errors();
        let public = engine.create_context()?;
        // SAFETY: a new context or null.
        let object = unsafe { Owned::new(engine.runtime.version(), public) };
        let object = object.ok_or_else(|| engine.runtime.creation("VCudaEngine::createExecutionContext"))?;
        Ok(Context { object: ManuallyDrop::new(object), is_running: false, profile: 0, engine })
    }

    /// Uses another optimization profile.
    pub fn set_profile(&mut self, profile: usize, stream: &dyn DeviceStream) -> Result<(), Error> {
        self.engine.runtime.take_errors();
        self.is_running = true;
        let index = i32::try_from(profile).unwrap_or(i32::MAX);
        // SAFETY: TensorRT answers false to a profile that does not exist; the stream is alive.
        let accepted =
            unsafe { call!(self.object.0, context::SET_OPTIMIZATION_PROFILE_ASYNC, index, stream.handle()) }?;
        if accepted == 0 {
            let method = context::SET_OPTIMIZATION_PROFILE_ASYNC.name;
            return Err(self.engine.runtime.rejected(method, profile));
        }
        self.profile = profile;
        Ok(())
    }

    /// The place of a tensor in the array of all profiles' bindings.
    fn binding(&self, tensor: usize) -> i32 {
        (self.profile * self.engine.tensors().len() + tensor) as i32
    }

    /// Sets the shape of an input; `None` if this version's types cannot hold it.
    pub fn set_shape(&self, tensor: usize, dims: &Dims64) -> Result<Option<()>, Error> {
        self.engine.runtime.take_errors();
        let (object, input) = (self.object.0, &self.engine.tensors()[tensor]);
        let accepted = if object.version.family == Family::V8 {
            let Some(dims) = Dims32::narrow(dims) else { return Ok(None) };
            // SAFETY: 8.x takes Dims by value for a binding, and by reference, used during the call, for a name.
            unsafe {
                if self.engine.has_names() {
                    call!(object, context::SET_INPUT_SHAPE_32, input.name.as_ptr(), &raw const dims)?
                } else {
                    call!(object, context::SET_BINDING_DIMENSIONS, self.binding(tensor), dims)?
                }
            }
        } else {
            // SAFETY: the reference is used during the call.
            unsafe { call!(object, context::SET_INPUT_SHAPE_64, input.name.as_ptr(), &raw const *dims) }?
        };
        if accepted == 0 {
            let value = format!("{:?} for `{}`", dims.extents(), input.name.to_string_lossy());
            return Err(self.engine.runtime.rejected("IExecutionContext::setInputShape", value));
        }
        Ok(Some(()))
    }

    /// The shape of a tensor, given the shapes of the inputs.
    pub fn shape(&self, tensor: usize) -> Result<Dims64, Unsupported> {
        let (object, name) = (self.object.0, self.engine.tensors()[tensor].name.as_ptr());
        // SAFETY: the tensor exists; 8.x returns the narrow Dims.
        unsafe {
            match object.version.family {
                Family::V8 if !self.engine.has_names() => {
                    Ok(call!(object, context::GET_BINDING_DIMENSIONS, self.binding(tensor))?.into())
                }
                Family::V8 => Ok(call!(object, context::GET_TENSOR_SHAPE_32, name)?.into()),
                _ => call!(object, context::GET_TENSOR_SHAPE_64, name),
            }
        }
    }

    /// Starts the engine on a stream, with the memory of all tensors in their order, each as large as the tensor.
    ///
    /// The caller has checked the sizes; that the memory is there and stays is what the traits promise.
    pub fn enqueue(&mut self, stream: &dyn DeviceStream, memory: &[&dyn DeviceMemory]) -> Result<(), Error> {
        let (engine, object) = (&self.engine, self.object.0);
        engine.runtime.take_errors();
        self.is_running = true;
        let accepted = if engine.has_names() {
            for (tensor, memory) in engine.tensors().iter().zip(memory) {
                let (name, address) = (tensor.name.as_ptr(), memory.address());
                // SAFETY: the tensor exists; the address is only kept until the engine runs.
                if unsafe { call!(object, context::SET_TENSOR_ADDRESS, name, address) }? == 0 {
                    let value = format!("{address:?} for `{}`", tensor.name.to_string_lossy());
                    return Err(engine.runtime.rejected(context::SET_TENSOR_ADDRESS.name, value));
                }
            }
            // SAFETY: every tensor has an address in device memory that holds it, and the stream is alive.
            unsafe { call!(object, context::ENQUEUE_V3, stream.handle()) }?
        } else {
            // One array over all profiles, of which only the part of this context's profile is read.
            let mut bindings = vec![std::ptr::null_mut(); engine.profiles()?.max(1) as usize * memory.len()];
            let part = bindings.get_mut(self.profile * memory.len()..).unwrap_or_default();
            for (binding, memory) in part.iter_mut().zip(memory) {
                *binding = memory.address();
            }
            let (bindings, no_event) = (bindings.as_ptr(), std::ptr::null_mut());
            // SAFETY: as above; TensorRT reads the array during the call only.
            unsafe { call!(object, context::ENQUEUE_V2, bindings, stream.handle(), no_event) }?
        };
        if accepted == 0 {
            return Err(Error::Enqueue { recorded: engine.runtime.take_errors() });
        }
        Ok(())
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        if self.is_running {
            std::mem::forget(self.engine.clone());
        } else {
            // SAFETY: nothing uses it afterwards, and the engine goes after this.
            unsafe { ManuallyDrop::drop(&mut self.object) };
        }
    }
}
