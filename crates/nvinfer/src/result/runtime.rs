//! `IRuntime`.

use std::sync::Arc;

use super::library::TensorRt;
use super::{Owned, expect};
use crate::error::{Error, RecordedError, Unsupported};
use crate::sys::object::{Handle, call};
use crate::sys::recorder::ErrorRecorder;
use crate::sys::slots::runtime::{self, VRuntime};
use crate::sys::types::Ptr;
use crate::version::{Family, Version};

/// A runtime with its error recorder, which its engines and their contexts share.
pub struct Runtime {
    object: Owned<VRuntime>,
    recorder: Arc<ErrorRecorder>,
    library: Arc<TensorRt>,
}

impl Runtime {
    /// Makes a runtime and proves with the first calls that the slot table fits.
    pub fn new(library: Arc<TensorRt>) -> Result<Runtime, Error> {
        let version = library.version;
        let logger = library.logger.as_ptr();
        let recorder = ErrorRecorder::new(version, library.class_type_info);
        library.logger.take_errors();
        // SAFETY: the logger lives forever and has the layout of this version; the number is the library's own.
        let public = unsafe { (library.create_runtime)(logger, version.table_version() as i32) };
        // SAFETY: a new runtime, null, or, without a driver, an address in the zero page, which is no handle.
        let handle: Handle<VRuntime> = unsafe { Handle::forwarding(version, public) }.ok_or_else(|| {
            Error::Creation { method: "createInferRuntime", recorded: library.logger.take_errors() }
        })?;
        // SAFETY: getLogger takes no arguments. On a mismatch the runtime is not deleted: that call may be wrong too.
        if let Ok(found) = unsafe { call!(handle, runtime::GET_LOGGER) } {
            expect(version, runtime::GET_LOGGER.name, logger, found)?;
        }
        let this = Runtime { object: Owned(handle), recorder, library };
        let recorder = this.recorder.as_ptr();
        // SAFETY: the recorder is a field after the runtime, so it outlives it.
        let found = unsafe {
            call!(handle, runtime::SET_ERROR_RECORDER, recorder)?;
            call!(handle, runtime::GET_ERROR_RECORDER)?
        };
        if let Err(mismatch) = expect(version, runtime::GET_ERROR_RECORDER.name, recorder, found) {
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

    /// How many DLA cores there are.
    pub fn dla_cores(&self) -> Result<i32, Unsupported> {
        // SAFETY: no arguments.
        unsafe { call!(self.object.0, runtime::GET_NB_DLA_CORES) }
    }

    /// Runs engines for DLAs on this core.
    pub fn set_dla_core(&self, core: i32) -> Result<(), Unsupported> {
        // SAFETY: a core that does not exist is reported.
        unsafe { call!(self.object.0, runtime::SET_DLA_CORE, core) }
    }

    /// Loads a serialized engine; null if TensorRT refuses it.
    pub(super) fn deserialize(&self, plan: &[u8]) -> Result<Ptr, Unsupported> {
        let (data, size) = (plan.as_ptr(), plan.len());
        // SAFETY: TensorRT checks the bytes, and copies what it keeps. 8.x has a third parameter, which its own headers
        // set to null.
        unsafe {
            match self.version().family {
                Family::V8 => {
                    call!(self.object.0, runtime::DESERIALIZE_CUDA_ENGINE_8, data, size, std::ptr::null_mut())
                }
                _ => call!(self.object.0, runtime::DESERIALIZE_CUDA_ENGINE, data, size),
            }
        }
    }

    /// What TensorRT reported since this was last asked.
    pub fn take_errors(&self) -> Vec<RecordedError> {
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
