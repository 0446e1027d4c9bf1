//! Tensors that stay in the GPU's memory.

use std::ffi::CString;
use std::ptr::{self, NonNull};
use std::slice;

use ort::AsPointer as _;
use ort::memory::MemoryInfo;
use ort::sys::{OrtIoBinding, OrtSession, OrtValue};
use trt_cuda::{Buffer, Floats, Stream};

use crate::value::{Borrowed, Value, check, fits, wrong};
use crate::{Element, Feed, OrtError};

/// A tensor for one of the model's inputs, wherever it is.
#[derive(Debug, Clone, Copy)]
pub enum BoundFeed<'a> {
    /// In host memory; it is copied to the GPU before the run.
    Host(Feed<'a>),
    /// In the memory of the session's GPU.
    Device {
        /// The input's name.
        name: &'a str,
        /// Its element type.
        element: Element,
        /// Its dimensions; empty for a scalar.
        shape: &'a [usize],
        /// Its elements, at the start of the buffer.
        buffer: &'a Buffer,
    },
}

impl BoundFeed<'_> {
    /// The input's name.
    pub fn name(&self) -> &str {
        match self {
            Self::Host(feed) => feed.name,
            Self::Device { name, .. } => name,
        }
    }

    /// Its element type.
    pub fn element(&self) -> Element {
        match self {
            Self::Host(feed) => feed.elements.element(),
            Self::Device { element, .. } => *element,
        }
    }
}

/// An output of a run, in the GPU's memory.
#[derive(Debug, Clone)]
pub struct BoundOutput<'a> {
    /// The output's name.
    pub name: &'a str,
    /// Its element type.
    pub element: Element,
    /// Its dimensions; empty for a scalar.
    pub shape: Vec<usize>,
    /// Its elements, if they are floats of 32 or 16 bits and the session has a stream of the caller's: for work that is put
    /// into that stream before the closure that was given the output returns.
    pub floats: Option<Floats<'a>>,
}

impl<'a> BoundOutput<'a> {
    /// What a run has put into `value`; the session does all its work in `stream`, if that is the caller's.
    ///
    /// # Errors
    /// What the value is, where it is no tensor.
    ///
    /// # Safety
    /// The value was bound to the stream's GPU, and its memory goes back to the session no sooner than `'a` ends.
    pub(crate) unsafe fn new(
        name: &'a str,
        value: &'a Value,
        stream: Option<&'a Stream>,
    ) -> Result<Self, String> {
        let (element, shape) = value.describe()?;
        let half = match element {
            Element::F32 => Some(false),
            Element::F16 => Some(true),
            _ => None,
        };
        let floats = match (half, stream) {
            (Some(half), Some(stream)) => {
                let address = value.address().map_err(|error| error.message().to_owned())?;
                // SAFETY: ONNX Runtime aligns tensors, and this one has as many elements of that size as its shape says. Until
                // `'a` ends it is ours, as the caller promises; then the session has it, which works in this stream.
                Some(unsafe { Floats::from_raw(stream, address, shape.iter().product(), half) })
            }
            _ => None,
        };
        Ok(Self { name, element, shape, floats })
    }
}

/// Where tensors may lie.
pub(crate) struct Places<'a> {
    pub host: &'a MemoryInfo<'static>,
    pub gpu: &'a MemoryInfo<'static>,
    /// The ordinal of that GPU.
    pub device: u32,
}

/// What a run reads and where it writes.
pub(crate) struct Binding<'a> {
    handle: NonNull<OrtIoBinding>,
    /// What is bound, which the binding does not own.
    _host: Vec<Borrowed<'a>>,
    _device: Vec<Value>,
}

impl<'a> Binding<'a> {
    /// Binds inputs, and outputs by name to the GPU.
    ///
    /// # Safety
    /// `session` is live, and stays so until the binding is dropped.
    pub unsafe fn new(
        session: *const OrtSession,
        feeds: &[BoundFeed<'a>],
        outputs: impl Iterator<Item = &'a CString>,
        places: &Places<'_>,
        refused: impl Fn(ort::Error) -> OrtError,
    ) -> Result<Self, OrtError> {
        let api = ort::api();
        let mut handle = ptr::null_mut();
        // SAFETY: the session is live; bindings do not change it.
        check(unsafe { (api.CreateIoBinding)(session.cast_mut(), &mut handle) }).map_err(&refused)?;
        let handle = NonNull::new(handle).ok_or_else(|| refused(ort::Error::new("no binding was made")))?;
        let mut binding = Self { handle, _host: Vec::new(), _device: Vec::new() };
        for feed in feeds {
            binding.feed(feed, places, &refused)?;
        }
        // Copies of host memory are on their way, in a stream of ONNX Runtime's.
        if feeds.iter().any(|feed| matches!(feed, BoundFeed::Host(_))) {
            // SAFETY: the binding is live.
            check(unsafe { (api.SynchronizeBoundInputs)(handle.as_ptr()) }).map_err(&refused)?;
        }
        for name in outputs {
            // SAFETY: binding, name and memory are live.
            check(unsafe { (api.BindOutputToDevice)(handle.as_ptr(), name.as_ptr(), places.gpu.ptr()) })
                .map_err(&refused)?;
        }
        Ok(binding)
    }

    fn feed(
        &mut self,
        feed: &BoundFeed<'a>,
        places: &Places<'_>,
        refused: impl Fn(ort::Error) -> OrtError,
    ) -> Result<(), OrtError> {
        let value = match *feed {
            BoundFeed::Host(feed) => {
                let value = Value::of_feed(&feed, places.host)?;
                let raw = value.as_ptr();
                self._host.push(value);
                raw
            }
            BoundFeed::Device { name, element, shape, buffer } => {
                let own = buffer.context().ordinal();
                if own != places.device {
                    let reason = format!("it lies on GPU {own}, and the session is on GPU {}", places.device);
                    return Err(wrong(name, &reason));
                }
                let size = element.bytes().ok_or_else(|| wrong(name, "its type has no known size"))?;
                let len = buffer.len() / size;
                let needed = shape.iter().try_fold(1_usize, |product, &side| product.checked_mul(side));
                let needed = needed.filter(|&needed| needed <= len);
                fits(name, shape, needed.unwrap_or(len))?;
                let bytes = needed.unwrap_or(0) * size;
                // SAFETY: the buffer lies on the session's GPU, has at least so many bytes, and outlives the binding; it is freed only
                // when all work on the GPU that may read it has passed.
                let value = unsafe { Value::over(places.gpu, (buffer.as_raw(), bytes), shape, element) };
                let value = value.map_err(&refused)?;
                let raw = value.as_ptr();
                self._device.push(value);
                raw
            }
        };
        let name = CString::new(feed.name()).map_err(|_| wrong(feed.name(), "its name holds a NUL"))?;
        // SAFETY: binding, name and value are live, the value as long as the binding.
        check(unsafe { (ort::api().BindInput)(self.handle.as_ptr(), name.as_ptr(), value) }).map_err(refused)
    }

    pub fn as_ptr(&self) -> *const OrtIoBinding {
        self.handle.as_ptr()
    }

    /// The outputs after a run, in the order in which they were bound.
    pub fn outputs(&self) -> Result<Vec<Value>, ort::Error> {
        let api = ort::api();
        let mut allocator = ptr::null_mut();
        // SAFETY: `allocator` is a valid place for one address.
        check(unsafe { (api.GetAllocatorWithDefaultOptions)(&mut allocator) })?;
        let mut values: *mut *mut OrtValue = ptr::null_mut();
        let mut count = 0;
        // SAFETY: the binding is live, and both places are valid.
        check(unsafe { (api.GetBoundOutputValues)(self.as_ptr(), allocator, &mut values, &mut count) })?;
        if values.is_null() {
            return Ok(Vec::new());
        }
        // SAFETY: ONNX Runtime gave `count` values there, which are the caller's.
        let owned = unsafe { slice::from_raw_parts(values, count) }
            .iter()
            .filter_map(|value| unsafe { Value::take(*value) })
            .collect();
        // SAFETY: the array was allocated by this allocator, and is not used again.
        check(unsafe { (api.AllocatorFree)(allocator, values.cast()) })?;
        Ok(owned)
    }
}

impl Drop for Binding<'_> {
    fn drop(&mut self) {
        // SAFETY: owned, and released once; what it refers to is dropped after it.
        unsafe { (ort::api().ReleaseIoBinding)(self.handle.as_ptr()) };
    }
}
