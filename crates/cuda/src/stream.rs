//! Streams, and events to time what runs in them.

use std::ffi::c_void;
use std::time::Duration;

use crate::sys::{CUevent, CUstream, Driver, call};
use crate::{Context, DriverError};

/// A queue of work on the GPU.
///
/// It is an ordinary ("blocking") stream, so the synchronous copies of [`Buffer`](crate::Buffer) are ordered with what
/// runs in it.
#[derive(Debug)]
pub struct Stream {
    handle: CUstream,
    context: Context,
}

// SAFETY: the driver's functions take a stream from any thread, several at once too; the handle is never changed.
unsafe impl Send for Stream {}
// SAFETY: as above.
unsafe impl Sync for Stream {}

impl Stream {
    /// An empty stream.
    pub fn new(context: &Context) -> Result<Self, DriverError> {
        let driver = context.bound()?;
        let mut handle = std::ptr::null_mut();
        // SAFETY: `handle` is a valid place for one handle; 0 asks for an ordinary stream.
        unsafe { call!(driver.cuStreamCreate(&mut handle, 0)) }?;
        Ok(Self { handle, context: context.clone() })
    }

    /// Waits until all work in the stream is done. Its failures are reported here.
    pub fn synchronize(&self) -> Result<(), DriverError> {
        self.context.bind()?;
        // SAFETY: the stream lives as long as `self`, and its context is current.
        unsafe { synchronize(self.as_raw()) }
    }

    /// Lets work that is put into this stream from now on wait until `event`, as last recorded, has happened.
    #[cfg(feature = "kernels")]
    pub fn wait_for(&self, event: &Event) -> Result<(), DriverError> {
        let driver = self.context.bound()?;
        // SAFETY: both handles live as long as the borrows; 0 is the only value for the flags.
        unsafe { call!(driver.cuStreamWaitEvent(self.handle, event.handle, 0)) }
    }

    /// What it belongs to.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// The `CUstream` (and `cudaStream_t`, which is the same) for TensorRT; valid as long as `self`.
    pub fn as_raw(&self) -> *mut c_void {
        self.handle.cast()
    }
}

/// Waits until all work in a stream that this crate did not make is done. Its failures are reported here.
///
/// # Safety
/// `stream` is a live `CUstream` (or `cudaStream_t`) of the context that is current on the calling thread.
pub unsafe fn synchronize(stream: *mut c_void) -> Result<(), DriverError> {
    let driver = Driver::get()?;
    // SAFETY: promised by the caller.
    unsafe { call!(driver.cuStreamSynchronize(stream.cast())) }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if let Ok(driver) = self.context.bound() {
            // SAFETY: created in `new` and destroyed once; the driver lets work that is still running end first.
            unsafe { (driver.cuStreamDestroy_v2)(self.handle) };
        }
    }
}

/// A moment in a stream.
#[derive(Debug)]
pub struct Event {
    handle: CUevent,
    context: Context,
}

// SAFETY: as for `Stream`.
unsafe impl Send for Event {}
// SAFETY: as for `Stream`.
unsafe impl Sync for Event {}

impl Event {
    /// An event that has not happened.
    pub fn new(context: &Context) -> Result<Self, DriverError> {
        Self::with(context, 0)
    }

    /// An event without a time, for which a thread sleeps: waiting for others keeps the processor busy.
    #[cfg(feature = "kernels")]
    pub fn quiet(context: &Context) -> Result<Self, DriverError> {
        const BLOCKING_SYNC: u32 = 1;
        const DISABLE_TIMING: u32 = 2;
        Self::with(context, BLOCKING_SYNC | DISABLE_TIMING)
    }

    fn with(context: &Context, flags: u32) -> Result<Self, DriverError> {
        let driver = context.bound()?;
        let mut handle = std::ptr::null_mut();
        // SAFETY: `handle` is a valid place for one handle, and the flags are the driver's; 0 asks for an event with a time.
        unsafe { call!(driver.cuEventCreate(&mut handle, flags)) }?;
        Ok(Self { handle, context: context.clone() })
    }

    /// Happens when all work put into the stream so far is done.
    pub fn record(&self, stream: &Stream) -> Result<(), DriverError> {
        let driver = self.context.bound()?;
        // SAFETY: both handles live as long as the borrows.
        unsafe { call!(driver.cuEventRecord(self.handle, stream.handle)) }
    }

    /// Waits until the event has happened.
    pub fn synchronize(&self) -> Result<(), DriverError> {
        let driver = self.context.bound()?;
        // SAFETY: the event lives as long as `self`.
        unsafe { call!(driver.cuEventSynchronize(self.handle)) }
    }

    /// The time on the GPU from `start` to `self`, about half a microsecond exact. Both must have been recorded and have
    /// happened; the driver's error says so if not.
    pub fn since(&self, start: &Event) -> Result<Duration, DriverError> {
        let driver = self.context.bound()?;
        let mut milliseconds = 0.0_f32;
        // SAFETY: `milliseconds` is a valid place for one float, and both events live as long as the borrows.
        unsafe { call!(driver.cuEventElapsedTime(&mut milliseconds, start.handle, self.handle)) }?;
        Ok(Duration::try_from_secs_f64(f64::from(milliseconds) / 1000.0).unwrap_or_default())
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        if let Ok(driver) = self.context.bound() {
            // SAFETY: created in `new` and destroyed once.
            unsafe { (driver.cuEventDestroy_v2)(self.handle) };
        }
    }
}
