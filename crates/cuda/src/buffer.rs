//! Memory on the GPU.

use std::ffi::c_void;

use crate::sys::{CUdeviceptr, Driver, call};
use crate::{Context, DriverError};

/// A block of memory on the GPU, with a length in bytes. Its content is undefined until it is written.
#[derive(Debug)]
pub struct Buffer {
    address: CUdeviceptr,
    len: usize,
    context: Context,
}

impl Buffer {
    /// Allocates `len` bytes, aligned to at least 256. A length of 0 is allowed and has an address too, since TensorRT
    /// wants one for every tensor.
    pub fn new(context: &Context, len: usize) -> Result<Self, DriverError> {
        let driver = context.bound()?;
        let mut address = 0;
        // SAFETY: `address` is a valid place for one address.
        unsafe { call!(driver.cuMemAlloc_v2(&mut address, len.max(1))) }?;
        Ok(Self { address, len, context: context.clone() })
    }

    /// Bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What it belongs to.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// The address on the GPU, for TensorRT; valid as long as `self`. The host must not read or write there.
    pub fn as_raw(&self) -> *mut c_void {
        self.address as *mut c_void
    }

    /// Fills the buffer from host memory of the same length. What is put into any [`Stream`](crate::Stream) afterwards sees it.
    pub fn write(&mut self, host: &[u8]) -> Result<(), DriverError> {
        let Some(driver) = self.ready(host.len())? else { return Ok(()) };
        // SAFETY: both sides have `len` bytes, and the driver has taken them when it returns.
        unsafe { call!(driver.cuMemcpyHtoD_v2(self.address, host.as_ptr().cast(), self.len)) }
    }

    /// Copies the buffer to host memory of the same length, after all that was put into any [`Stream`](crate::Stream) before.
    pub fn read(&self, host: &mut [u8]) -> Result<(), DriverError> {
        let Some(driver) = self.ready(host.len())? else { return Ok(()) };
        // SAFETY: both sides have `len` bytes, and the copy is complete when the driver returns.
        unsafe { call!(driver.cuMemcpyDtoH_v2(host.as_mut_ptr().cast(), self.address, self.len)) }
    }

    /// Puts filling the buffer from host memory, which may be shorter than it, into a stream. The host's memory is free
    /// when this returns: the driver has taken what is in ordinary memory by then. For large copies, see
    /// [`Pinned`](crate::Pinned).
    #[cfg(feature = "kernels")]
    pub fn write_in(&mut self, stream: &crate::Stream, host: &[u8]) -> Result<(), DriverError> {
        if host.len() > self.len {
            return Err(DriverError::Length { device: self.len, host: host.len() });
        }
        if host.is_empty() {
            return Ok(());
        }
        let driver = self.context.bound()?;
        let stream = stream.as_raw().cast();
        // SAFETY: the buffer has room, and ordinary memory has been read when the driver returns.
        unsafe { call!(driver.cuMemcpyHtoDAsync_v2(self.address, host.as_ptr().cast(), host.len(), stream)) }
    }

    /// Puts filling the whole buffer with one byte into a stream.
    #[cfg(feature = "kernels")]
    pub fn fill_in(&mut self, stream: &crate::Stream, byte: u8) -> Result<(), DriverError> {
        if self.is_empty() {
            return Ok(());
        }
        let driver = self.context.bound()?;
        // SAFETY: the buffer has `len` bytes, and its release waits for work that uses it.
        unsafe { call!(driver.cuMemsetD8Async(self.address, byte, self.len, stream.as_raw().cast())) }
    }

    /// The address, as the driver's functions take it.
    #[cfg(feature = "kernels")]
    pub(crate) fn address(&self) -> CUdeviceptr {
        self.address
    }

    /// The driver for a copy of so many bytes; none if there is nothing to copy.
    fn ready(&self, host: usize) -> Result<Option<&'static Driver>, DriverError> {
        if host != self.len {
            return Err(DriverError::Length { device: self.len, host });
        }
        Ok(if host == 0 { None } else { Some(self.context.bound()?) })
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Ok(driver) = self.context.bound() {
            // SAFETY: allocated in `new` and freed once; the driver waits for work that uses it.
            unsafe { (driver.cuMemFree_v2)(self.address) };
        }
    }
}
