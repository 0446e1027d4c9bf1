//! `IBuilder`, `IOptimizationProfile` and `IHostMemory`.

use std::ffi::CStr;
use std::rc::Rc;
use std::sync::Arc;

use super::config::Config;
use super::library::TensorRt;
use super::network::Network;
use super::{Owned, expect};
use crate::error::{Error, RecordedError, Unsupported};
use crate::sys::object::{Handle, Method, call};
use crate::sys::recorder::ErrorRecorder;
use crate::sys::slots::host_memory::VHostMemory;
use crate::sys::slots::profile::VOptimizationProfile;
use crate::sys::slots::{builder, builder::VBuilder, host_memory, profile};
use crate::sys::types::{Bool, Dims32, Dims64, Ptr};
use crate::sys::values::ShapeSelector;
use crate::version::{Family, Version};

/// `platformHasFast…`.
type Fast = Method<VBuilder, unsafe extern "C" fn(Ptr) -> Bool>;

/// A builder with its error recorder.
pub struct Builder {
    object: Owned<VBuilder>,
    recorder: Arc<ErrorRecorder>,
    pub(crate) library: Arc<TensorRt>,
}

impl Builder {
    /// Makes a builder and proves with the first call that the slot table fits.
    pub fn new(library: Arc<TensorRt>) -> Result<Builder, Error> {
        let create = library.create_builder().map_err(Box::new)?;
        let version = library.version;
        let logger = library.logger.as_ptr();
        let recorder = ErrorRecorder::new(version, library.class_type_info);
        library.logger.take_errors();
        // SAFETY: the logger lives forever and has the layout of this version; the number is the library's own.
        let public = unsafe { create(logger, version.table_version() as i32) };
        // SAFETY: a new builder or null.
        let handle: Handle<VBuilder> = unsafe { Handle::forwarding(version, public) }.ok_or_else(|| {
            Error::Creation { method: "createInferBuilder", recorded: library.logger.take_errors() }
        })?;
        // SAFETY: getLogger takes no arguments. On a mismatch the builder is not deleted: that call may be wrong too.
        if let Ok(found) = unsafe { call!(handle, builder::GET_LOGGER) } {
            expect(version, builder::GET_LOGGER.name, logger, found)?;
        }
        let this = Builder { object: Owned(handle), recorder, library };
        let recorder = this.recorder.as_ptr();
        // SAFETY: the recorder is a field after the builder, so it outlives it.
        let found = unsafe {
            call!(handle, builder::SET_ERROR_RECORDER, recorder)?;
            call!(handle, builder::GET_ERROR_RECORDER)?
        };
        if let Err(mismatch) = expect(version, builder::GET_ERROR_RECORDER.name, recorder, found) {
            // Whatever these slots are, the object may hold our recorder now: both must stay.
            std::mem::forget(this);
            return Err(mismatch);
        }
        Ok(this)
    }

    /// The library's version.
    pub fn version(&self) -> Version {
        self.library.version
    }

    pub(super) fn create_config(&self) -> Result<Ptr, Unsupported> {
        // SAFETY: no arguments; the builder is alive.
        unsafe { call!(self.object.0, builder::CREATE_BUILDER_CONFIG) }
    }

    pub(super) fn create_network(&self, flags: u32) -> Result<Ptr, Unsupported> {
        // SAFETY: any bits are accepted or refused with null.
        unsafe { call!(self.object.0, builder::CREATE_NETWORK_V2, flags) }
    }

    /// Builds and serializes; `None` when TensorRT made no engine.
    pub fn build(&self, network: &Network, config: &Config) -> Result<Option<HostMemory>, Error> {
        self.forget_errors();
        let (network, config) = (network.public(), config.public());
        // SAFETY: both are alive, and of this builder by the check of the caller.
        let plan = unsafe { call!(self.object.0, builder::BUILD_SERIALIZED_NETWORK, network, config) }?;
        // SAFETY: a new memory block or null.
        Ok(unsafe { HostMemory::new(self.library.clone(), plan) })
    }

    /// How many DLA cores there are.
    pub fn dla_cores(&self) -> Result<i32, Unsupported> {
        // SAFETY: no arguments.
        unsafe { call!(self.object.0, builder::GET_NB_DLA_CORES) }
    }

    /// Whether the GPU has fast arithmetic of a kind.
    pub fn has_fast(&self, kind: &Fast) -> Result<bool, Unsupported> {
        // SAFETY: no arguments.
        Ok(unsafe { call!(self.object.0, kind) }? != 0)
    }

    /// Limits the threads of a build.
    pub fn set_max_threads(&self, threads: i32) -> Result<(), Error> {
        self.forget_errors();
        // SAFETY: TensorRT answers false to a number that it does not like.
        if unsafe { call!(self.object.0, builder::SET_MAX_THREADS, threads) }? == 0 {
            return Err(self.rejected(builder::SET_MAX_THREADS.name, threads));
        }
        Ok(())
    }

    /// Forgets what was reported so far, so that the next error carries its own words only.
    pub(super) fn forget_errors(&self) {
        self.take_errors();
    }

    /// What TensorRT reported since they were last taken or forgotten.
    pub(crate) fn take_errors(&self) -> Vec<RecordedError> {
        self.library.take_errors(&self.recorder)
    }

    /// The error for an object that was not made.
    pub(super) fn creation(&self, method: &'static str) -> Error {
        Error::Creation { method, recorded: self.take_errors() }
    }

    /// The error for a setting that was not accepted.
    pub(super) fn rejected(&self, method: &'static str, value: impl ToString) -> Error {
        Error::Rejected { method, value: value.to_string(), recorded: self.take_errors() }
    }
}

/// An optimization profile; TensorRT deletes it with its builder.
pub struct Profile {
    handle: Handle<VOptimizationProfile>,
    pub(crate) builder: Rc<Builder>,
}

impl Profile {
    /// Makes an empty profile.
    pub fn new(owner: Rc<Builder>) -> Result<Profile, Error> {
        // SAFETY: no arguments; the builder is alive.
        let public = unsafe { call!(owner.object.0, builder::CREATE_OPTIMIZATION_PROFILE) }?;
        // SAFETY: a profile that lives as long as its builder, which is held here; or null.
        let handle = unsafe { Handle::forwarding(owner.version(), public) };
        let handle = handle.ok_or_else(|| owner.creation(builder::CREATE_OPTIMIZATION_PROFILE.name))?;
        Ok(Profile { handle, builder: owner })
    }

    /// Sets one of an input's three shapes; `None` if this version's types cannot hold the shape.
    pub fn set(&self, input: &CStr, selector: ShapeSelector, dims: &Dims64) -> Result<Option<()>, Error> {
        self.builder.forget_errors();
        let (name, which) = (input.as_ptr(), selector as i32);
        let accepted = match self.handle.version.family {
            Family::V8 => {
                let Some(dims) = Dims32::narrow(dims) else { return Ok(None) };
                // SAFETY: 8.x takes Dims by value.
                unsafe { call!(self.handle, profile::SET_DIMENSIONS_32, name, which, dims) }?
            }
            // SAFETY: later ones take a reference, used during the call.
            _ => unsafe { call!(self.handle, profile::SET_DIMENSIONS_64, name, which, &raw const *dims) }?,
        };
        if accepted == 0 {
            let value = format!("{:?} as {selector:?} of `{}`", dims.extents(), input.to_string_lossy());
            return Err(self.builder.rejected("IOptimizationProfile::setDimensions", value));
        }
        Ok(Some(()))
    }

    /// Checks that the shapes set so far are in order, which setting them does not.
    pub fn check(&self) -> Result<(), Error> {
        self.builder.forget_errors();
        // SAFETY: no arguments.
        let valid = unsafe { call!(self.handle, profile::IS_VALID) }? != 0;
        if valid {
            Ok(())
        } else {
            Err(self.builder.rejected("IOptimizationProfile::isValid", "the profile"))
        }
    }

    pub(super) fn public(&self) -> Ptr {
        self.handle.public
    }
}

/// Memory that TensorRT allocated; it does not need the builder any more.
pub struct HostMemory {
    _object: Owned<VHostMemory>,
    data: *const u8,
    size: usize,
    _library: Arc<TensorRt>,
}

impl HostMemory {
    /// # Safety
    /// `public` is null, giving `None`, or a new `IHostMemory` of this library.
    pub(super) unsafe fn new(library: Arc<TensorRt>, public: Ptr) -> Option<HostMemory> {
        // SAFETY: promised by the caller; data and size take no arguments.
        unsafe {
            let object: Owned<VHostMemory> = Owned::new(library.version, public)?;
            let data = call!(object.0, host_memory::DATA).ok()?.cast_const().cast();
            let size = call!(object.0, host_memory::SIZE).ok()?;
            Some(HostMemory { _object: object, data, size, _library: library })
        }
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        if self.data.is_null() || self.size == 0 {
            return &[];
        }
        // SAFETY: TensorRT owns `size` bytes there until the object is deleted, and does not write to them again.
        unsafe { std::slice::from_raw_parts(self.data, self.size) }
    }
}
