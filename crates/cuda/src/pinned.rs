//! Host memory that the GPU copies from and to by itself.

use std::ffi::c_void;
use std::ptr;
use std::slice;

use crate::sys::call;
use crate::{Buffer, Context, DriverError, Event, Stream};

/// A block of page-locked host memory, for one copy at a time: the host touches it again when the copy is done.
///
/// Two of them in turn let the host fill one while the GPU takes the other.
#[derive(Debug)]
pub struct Pinned {
    address: *mut u8,
    len: usize,
    /// Happens when the last copy is done.
    idle: Event,
    copying: bool,
    context: Context,
}

// SAFETY: it owns its memory, and the driver's functions take it from any thread.
unsafe impl Send for Pinned {}
// SAFETY: with `&self` nothing of it can be changed.
unsafe impl Sync for Pinned {}

impl Pinned {
    /// Allocates `len` bytes, all 0.
    pub fn new(context: &Context, len: usize) -> Result<Self, DriverError> {
        let idle = Event::quiet(context)?;
        let driver = context.bound()?;
        let mut address: *mut c_void = ptr::null_mut();
        // SAFETY: `address` is a valid place for one pointer; 0 asks for ordinary pinned memory.
        unsafe { call!(driver.cuMemHostAlloc(&mut address, len.max(1), 0)) }?;
        let address: *mut u8 = address.cast();
        // SAFETY: the block has so many bytes. The driver leaves them as they were.
        unsafe { address.write_bytes(0, len.max(1)) };
        Ok(Self { address, len, idle, copying: false, context: context.clone() })
    }

    /// Bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bytes, once the last copy from or to them is done.
    ///
    /// # Errors
    /// The failure of earlier work in the copy's stream.
    pub fn bytes(&mut self) -> Result<&mut [u8], DriverError> {
        if self.copying {
            self.idle.synchronize()?;
            self.copying = false;
        }
        // SAFETY: the block has `len` bytes, which were written in `new`; no copy is under way, and `self` is borrowed.
        Ok(unsafe { slice::from_raw_parts_mut(self.address, self.len) })
    }

    /// Puts a copy of the first `len` bytes to the start of a buffer into a stream.
    ///
    /// # Errors
    /// [`DriverError::Length`] where either side is shorter.
    pub fn send(&mut self, len: usize, to: &mut Buffer, stream: &Stream) -> Result<(), DriverError> {
        self.bytes()?;
        self.check(len, to)?;
        let driver = self.context.bound()?;
        let address = to.address();
        // SAFETY: both sides have `len` bytes. Ours stay untouched until the event: `bytes` and `drop` wait for it. The
        // buffer's release waits for work that uses it.
        unsafe {
            call!(driver.cuMemcpyHtoDAsync_v2(address, self.address.cast(), len, stream.as_raw().cast()))
        }?;
        self.record(stream)
    }

    /// Puts a copy of the first `len` bytes of a buffer into a stream. [`Pinned::bytes`] has them when it is done.
    ///
    /// # Errors
    /// [`DriverError::Length`] where either side is shorter.
    pub fn fetch(&mut self, len: usize, from: &Buffer, stream: &Stream) -> Result<(), DriverError> {
        self.bytes()?;
        self.check(len, from)?;
        let driver = self.context.bound()?;
        // SAFETY: as in `send`.
        unsafe {
            call!(driver.cuMemcpyDtoHAsync_v2(
                self.address.cast(),
                from.address(),
                len,
                stream.as_raw().cast()
            ))
        }?;
        self.record(stream)
    }

    fn check(&self, len: usize, buffer: &Buffer) -> Result<(), DriverError> {
        match len <= self.len && len <= buffer.len() {
            true => Ok(()),
            false => Err(DriverError::Length { device: buffer.len(), host: len }),
        }
    }

    fn record(&mut self, stream: &Stream) -> Result<(), DriverError> {
        self.copying = true;
        let recorded = self.idle.record(stream);
        if recorded.is_err() {
            // Without the event, only the whole stream tells.
            let _ = stream.synchronize();
            self.copying = false;
        }
        recorded
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        if self.copying {
            // A failure means that nothing runs any more.
            let _ = self.idle.synchronize();
        }
        if let Ok(driver) = self.context.bound() {
            // SAFETY: allocated in `new` and freed once; no copy is under way.
            unsafe { (driver.cuMemFreeHost)(self.address.cast()) };
        }
    }
}
