//! Running an engine: shapes, memory, and the start on a stream.

use std::fmt;

use trt_cuda::DriverError;

use super::runtime::IoTensor;
use crate::error::Error;
use crate::result;
use crate::sys::device::{DeviceMemory, DeviceStream};
use crate::sys::types::Dims64;
use crate::sys::values::IoMode;

/// What an engine runs in, with the shapes of its inputs. One run at a time, which [`Running`] sees to.
pub struct ExecutionContext {
    inner: result::Context,
    tensors: Vec<IoTensor>,
}

/// A run under way. It borrows the context, which must neither change nor go before the GPU is done; dropping this waits.
///
/// ```compile_fail,E0505
/// # use nvinfer::*;
/// # fn early(mut context: ExecutionContext, stream: &dyn DeviceStream) -> Result<(), Error> {
/// let running = context.enqueue(stream, &[])?;
/// drop(context); // The GPU still works for it.
/// running.wait()
/// # }
/// ```
#[must_use = "dropping it waits for the GPU, and hides what went wrong there"]
pub struct Running<'c> {
    context: &'c mut ExecutionContext,
    stream: &'c dyn DeviceStream,
}

impl ExecutionContext {
    pub(super) fn new(inner: result::Context, tensors: Vec<IoTensor>) -> ExecutionContext {
        ExecutionContext { inner, tensors }
    }

    /// Uses another optimization profile, counted from 0, and waits for the stream; then all input shapes are to be set
    /// again.
    ///
    /// [`Error::Rejected`] if there is no such profile, or another context uses it.
    pub fn set_profile(&mut self, profile: usize, stream: &dyn DeviceStream) -> Result<(), Error> {
        self.idle("IExecutionContext::setOptimizationProfileAsync")?;
        let result = self.inner.set_profile(profile, stream);
        drop(Running { context: self, stream });
        result
    }

    /// Refuses work while an earlier run may go on: somebody has forgotten its [`Running`], or could not wait for it.
    fn idle(&self, method: &'static str) -> Result<(), Error> {
        if !self.inner.is_running {
            return Ok(());
        }
        let value = "work while the end of an earlier run was not seen".into();
        Err(Error::Rejected { method, value, recorded: vec![] })
    }

    /// Sets the shape of an input.
    ///
    /// Errors: [`Error::NoTensor`], [`Error::Rejected`] for a shape outside the profile or of an output,
    /// [`Error::Shape`] for one that TensorRT's types cannot hold.
    pub fn set_input_shape(&mut self, name: &str, shape: &[i64]) -> Result<(), Error> {
        self.idle("IExecutionContext::setInputShape")?;
        let index = self.index(name)?;
        if self.tensors[index].mode == IoMode::Output {
            let value = format!("{shape:?} for `{name}`, an output");
            return Err(Error::Rejected {
                method: "IExecutionContext::setInputShape",
                value,
                recorded: vec![],
            });
        }
        let misfit = || Error::Shape { input: name.into(), shape: shape.to_vec() };
        let dims = Dims64::new(shape).ok_or_else(misfit)?;
        self.inner.set_shape(index, &dims)?.ok_or_else(misfit)
    }

    /// The shape of an input or output with the input shapes that are set; -1 where it depends on more than them.
    pub fn shape(&self, name: &str) -> Result<Vec<i64>, Error> {
        Ok(self.inner.shape(self.index(name)?)?.extents().to_vec())
    }

    /// How many bytes a tensor takes with the input shapes that are set.
    ///
    /// [`Error::Rejected`] while the shape is not known, or for a type newer than this crate.
    pub fn bytes(&self, name: &str) -> Result<u64, Error> {
        self.bytes_of(self.index(name)?)
    }

    fn bytes_of(&self, index: usize) -> Result<u64, Error> {
        let (tensor, dims) = (&self.tensors[index], self.inner.shape(index)?);
        let is_valid = dims.count >= 0;
        let bytes = is_valid.then(|| tensor.data_type.bytes_of(dims.extents())).flatten();
        bytes.ok_or_else(|| Error::Rejected {
            method: "IExecutionContext::getTensorShape",
            value: format!("{:?} of {:?} for `{}`", dims.extents(), tensor.data_type, tensor.name),
            recorded: vec![],
        })
    }

    /// Starts the engine on a stream, with the memory of every input and output by name; [`Running::wait`] before reading
    /// outputs.
    ///
    /// Errors, before anything runs: [`Error::NoTensor`]; [`Error::Memory`] for a tensor whose memory is missing or too
    /// small for the shapes set; [`Error::HostTensor`]. Then [`Error::Enqueue`]. What goes wrong on the GPU is seen when the
    /// run is waited for.
    pub fn enqueue<'c>(
        &'c mut self,
        stream: &'c dyn DeviceStream,
        memory: &[(&str, &dyn DeviceMemory)],
    ) -> Result<Running<'c>, Error> {
        self.idle("IExecutionContext::enqueueV3")?;
        let mut places: Vec<Option<&dyn DeviceMemory>> = vec![None; self.tensors.len()];
        for (name, place) in memory {
            places[self.index(name)?] = Some(*place);
        }
        let mut checked = Vec::with_capacity(places.len());
        for (index, place) in places.into_iter().enumerate() {
            let name = || self.tensors[index].name.clone();
            if self.tensors[index].on_host {
                return Err(Error::HostTensor { name: name() });
            }
            let (needed, given) = (self.bytes_of(index)?, place.map_or(0, |place| place.bytes() as u64));
            match place {
                Some(place) if given >= needed => checked.push(place),
                _ => return Err(Error::Memory { name: name(), needed, given }),
            }
        }
        let started = self.inner.enqueue(stream, &checked);
        // A run that TensorRT refuses may have put some of its work into the stream; then this waits for it.
        let running = Running { context: self, stream };
        started.map(|()| running)
    }

    fn index(&self, name: &str) -> Result<usize, Error> {
        self.tensors.iter().position(|tensor| tensor.name == name).ok_or_else(|| Error::NoTensor {
            name: name.into(),
            names: self.tensors.iter().map(|tensor| tensor.name.clone()).collect(),
        })
    }
}

impl Running<'_> {
    /// Waits until the GPU is done, and tells what went wrong there.
    ///
    /// [`Error::Gpu`]. Then nobody knows whether the work has ended, so the context is good for nothing more.
    pub fn wait(mut self) -> Result<(), Error> {
        Ok(self.end()?)
    }

    /// Without a driver nothing can be running.
    fn end(&mut self) -> Result<(), DriverError> {
        if !self.context.inner.is_running {
            return Ok(());
        }
        let result = self.stream.synchronize();
        let nothing_runs = matches!(result, Ok(()) | Err(DriverError::NoLibrary | DriverError::NoDevice));
        self.context.inner.is_running = !nothing_runs;
        result
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        // A failure is told by `wait`, or shows in the next call of the driver.
        let _ = self.end();
    }
}

impl fmt::Debug for Running<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Running")
    }
}
