//! Tensors in the GPU's memory, whoever it belongs to.

use std::ffi::c_void;
use std::marker::PhantomData;
use std::ptr;

use crate::sys::{CUdeviceptr, CUstream};
use crate::{Buffer, DriverError, Stream};

/// Floats in the GPU's memory, to be read by work that is put into a stream during `'a`.
#[derive(Debug, Clone, Copy)]
pub struct Floats<'a> {
    pub(crate) address: CUdeviceptr,
    pub(crate) len: usize,
    pub(crate) half: bool,
    device: u32,
    /// The one stream that they may be read in; any if `None`.
    stream: Option<CUstream>,
    memory: PhantomData<&'a ()>,
}

impl<'a> Floats<'a> {
    /// `len` floats in a buffer, after the first `skipped` ones; `half` says that they have 16 bits rather than 32.
    ///
    /// # Errors
    /// [`DriverError::Length`] where the buffer has fewer.
    pub fn of(buffer: &'a Buffer, skipped: usize, len: usize, half: bool) -> Result<Self, DriverError> {
        let size = if half { 2 } else { 4 };
        let bytes =
            skipped.checked_add(len).and_then(|floats| floats.checked_mul(size)).unwrap_or(usize::MAX);
        if bytes > buffer.len() {
            return Err(DriverError::Length { device: buffer.len(), host: bytes });
        }
        let address = buffer.address() + (skipped * size) as u64;
        // The driver frees a buffer only when all work that may read it has passed.
        let device = buffer.context().ordinal();
        Ok(Self { address, len, half, device, stream: None, memory: PhantomData })
    }

    /// `len` floats at an address; `half` says that they have 16 bits rather than 32. An address of none is not looked at.
    ///
    /// # Safety
    /// They lie in memory of the stream's GPU, at a multiple of their size, and whatever is put into the stream during `'a`
    /// may read them: who frees or overwrites that memory afterwards waits for the stream, or does it in the stream.
    pub unsafe fn from_raw(stream: &'a Stream, address: *const c_void, len: usize, half: bool) -> Self {
        Self {
            address: address.addr() as CUdeviceptr,
            len,
            half,
            device: stream.context().ordinal(),
            stream: Some(stream.as_raw().cast()),
            memory: PhantomData,
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes that they take.
    pub fn bytes(&self) -> usize {
        self.len * if self.half { 2 } else { 4 }
    }

    /// Whether work in this stream may read them.
    pub(crate) fn readable_in(&self, stream: &Stream) -> bool {
        self.device == stream.context().ordinal()
            && self.stream.is_none_or(|own| ptr::eq(own, stream.as_raw().cast()))
    }
}
