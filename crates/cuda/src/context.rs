//! The context that everything on a GPU belongs to.

use std::fmt;
use std::sync::Arc;

use crate::DriverError;
use crate::driver::handle;
use crate::sys::{CUcontext, CUdevice, Driver, call};

/// A GPU's primary context: the one that the CUDA runtime, and so TensorRT, uses too.
///
/// Clones share it. Streams, events and buffers keep it alive, so it is released after the last of them; engines and
/// execution contexts of TensorRT do not, and must be dropped before.
#[derive(Clone)]
pub struct Context(Arc<Primary>);

struct Primary {
    driver: &'static Driver,
    ordinal: u32,
    device: CUdevice,
    handle: CUcontext,
}

// SAFETY: a context may be made current on any thread, and its handle is never changed.
unsafe impl Send for Primary {}
// SAFETY: as above; the driver's functions may be called from several threads at once.
unsafe impl Sync for Primary {}

/// The GPU's memory, in bytes. On a Jetson it is the board's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// Free at this moment.
    pub free: usize,
    /// All of it.
    pub total: usize,
}

impl Context {
    /// Retains the primary context of the GPU with this ordinal (a Jetson has number 0 only) and makes it current on
    /// the calling thread, as TensorRT needs it.
    pub fn primary(ordinal: u32) -> Result<Self, DriverError> {
        let driver = Driver::get()?;
        let device = handle(driver, ordinal)?;
        let mut handle = std::ptr::null_mut();
        // SAFETY: `handle` is a valid place for one handle, and `device` came from the driver.
        unsafe { call!(driver.cuDevicePrimaryCtxRetain(&mut handle, device)) }?;
        let context = Self(Arc::new(Primary { driver, ordinal, device, handle }));
        context.bind()?;
        Ok(context)
    }

    /// Makes the context current on the calling thread. What this crate does binds by itself; a thread that calls
    /// TensorRT must have done it.
    pub fn bind(&self) -> Result<(), DriverError> {
        let driver = self.0.driver;
        // SAFETY: the context is retained until `self` is dropped.
        unsafe { call!(driver.cuCtxSetCurrent(self.0.handle)) }
    }

    /// The GPU's ordinal.
    pub fn ordinal(&self) -> u32 {
        self.0.ordinal
    }

    /// How much memory the GPU has and how much of it is free.
    pub fn memory(&self) -> Result<Memory, DriverError> {
        let driver = self.bound()?;
        let mut memory = Memory { free: 0, total: 0 };
        // SAFETY: both are valid places for a number.
        unsafe { call!(driver.cuMemGetInfo_v2(&mut memory.free, &mut memory.total)) }?;
        Ok(memory)
    }

    /// The GPU's handle.
    #[cfg(feature = "kernels")]
    pub(crate) fn device(&self) -> CUdevice {
        self.0.device
    }

    /// The driver, with this context current on the calling thread.
    pub(crate) fn bound(&self) -> Result<&'static Driver, DriverError> {
        self.bind()?;
        Ok(self.0.driver)
    }
}

impl Drop for Primary {
    fn drop(&mut self) {
        // SAFETY: retained once, in `Context::primary`. A failure here has nobody to go to.
        unsafe { (self.driver.cuDevicePrimaryCtxRelease)(self.device) };
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("ordinal", &self.0.ordinal).finish_non_exhaustive()
    }
}
