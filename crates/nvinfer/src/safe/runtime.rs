//! Running engines: the runtime, and the engines it loads.

use std::fmt;
use std::rc::Rc;

use super::context::ExecutionContext;
use super::library::Library;
use crate::error::Error;
use crate::result;
use crate::sys::values::{DataType, IoMode};
use crate::version::Version;

/// Loads engines. Stays on the thread that made it.
///
/// It needs a GPU and its driver, also to say what is in an engine. Proven on a GPU with the lean runtimes of TensorRT 10.16
/// and 11.0 and the dispatch runtimes of 10.16 and 11.4, which answer and refuse what is no engine; no real engine was
/// loaded with it yet.
pub struct Runtime {
    inner: Rc<result::Runtime>,
}

impl Runtime {
    /// Makes a runtime, whose first calls check that the library has the interface of its version.
    ///
    /// Errors: [`Error::Creation`] (often: no usable GPU), [`Error::AbiMismatch`]. Some versions make a runtime without a
    /// GPU all the same, and fail later; a working CUDA context beforehand is for the caller to have.
    pub fn new(library: &Library) -> Result<Runtime, Error> {
        Ok(Runtime { inner: Rc::new(result::Runtime::new(library.inner.clone())?) })
    }

    /// The library's version.
    pub fn version(&self) -> Version {
        self.inner.version()
    }

    /// How many deep learning accelerators this device has.
    pub fn dla_cores(&self) -> Result<u32, Error> {
        Ok(self.inner.dla_cores()?.max(0) as u32)
    }

    /// Runs engines that were built for a DLA on this core, counted from 0. [`Error::NoDla`] if there is no such core.
    pub fn set_dla_core(&mut self, core: u32) -> Result<(), Error> {
        let available = self.dla_cores()?;
        if core >= available {
            return Err(Error::NoDla { core, available });
        }
        Ok(self.inner.set_dla_core(core as i32)?)
    }

    /// Loads a serialized engine. The bytes must be trusted: TensorRT checks where an engine comes from, not what it does.
    ///
    /// Errors: [`Error::Deserialize`] with TensorRT's words for an engine of another version or GPU, or damaged bytes.
    pub fn deserialize(&self, plan: &[u8]) -> Result<Engine, Error> {
        let inner = Rc::new(result::Engine::new(self.inner.clone(), plan)?);
        let tensors = inner.tensors().iter().map(IoTensor::from).collect();
        Ok(Engine { inner, tensors })
    }
}

/// An input or output of an engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IoTensor {
    /// Its name in the model.
    pub name: String,
    /// Whether the engine reads or writes it.
    pub mode: IoMode,
    /// The type of its elements.
    pub data_type: DataType,
    /// Its extents, -1 where dynamic.
    pub shape: Vec<i64>,
    /// Whether it lies in host memory, as tensors do that hold shapes.
    pub on_host: bool,
}

impl From<&result::IoTensor> for IoTensor {
    fn from(tensor: &result::IoTensor) -> IoTensor {
        IoTensor {
            name: tensor.name.to_string_lossy().into_owned(),
            mode: tensor.mode,
            data_type: tensor.data_type.into(),
            shape: tensor.dims.extents().to_vec(),
            on_host: tensor.on_host,
        }
    }
}

/// An engine that can be run.
pub struct Engine {
    pub(super) inner: Rc<result::Engine>,
    tensors: Vec<IoTensor>,
}

impl Engine {
    /// The inputs and outputs, in the order of the engine.
    pub fn io_tensors(&self) -> &[IoTensor] {
        &self.tensors
    }

    /// How many layers there are after fusion.
    pub fn layer_count(&self) -> Result<usize, Error> {
        Ok(self.inner.layers()?.max(0) as usize)
    }

    /// How many optimization profiles it was built with. TensorRT only.
    pub fn profile_count(&self) -> Result<usize, Error> {
        Ok(self.inner.profiles()?.max(0) as usize)
    }

    /// The memory in bytes that each context takes on the device, besides inputs and outputs.
    pub fn device_memory(&self) -> Result<u64, Error> {
        Ok(self.inner.device_memory()?.max(0) as u64)
    }

    /// What the engine remembers of itself and its layers, as JSON. TensorRT 8.2 and later; how much it is depends on the
    /// [`crate::ProfilingVerbosity`] of the build.
    pub fn information(&self) -> Result<String, Error> {
        self.inner.information()
    }

    /// What the engine remembers of one layer, counted from 0, as JSON. TensorRT 8.2 and later.
    ///
    /// [`Error::Rejected`] if there is no such layer.
    pub fn layer_information(&self, index: usize) -> Result<String, Error> {
        let count = self.layer_count()?;
        if index >= count {
            let value = format!("layer {index} of {count}");
            return Err(Error::Rejected {
                method: "IEngineInspector::getLayerInformation",
                value,
                recorded: vec![],
            });
        }
        self.inner.layer_information(index as i32)
    }

    /// Makes a context to run in, with the first optimization profile.
    pub fn create_context(&self) -> Result<ExecutionContext, Error> {
        Ok(ExecutionContext::new(result::Context::new(self.inner.clone())?, self.tensors.clone()))
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Engine").field(&self.tensors).finish()
    }
}
