//! `nvinfer1::IErrorRecorder`, implemented here: some build errors go only to it.

use std::ffi::{CStr, CString};
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use super::types::{Ptr, Text};
use super::vtable::{ClassTypeInfo, DestructorPosition, Interface, Slot, guard, interface_info};
use crate::error::RecordedError;
use crate::version::{Family, Version};

/// How many errors are kept; a failing build reports the same few again and again.
const CAPACITY: usize = 256;

/// `ErrorCode::kUNSPECIFIED_ERROR`, for an error that is not there, and for one that only the log tells of.
pub const UNSPECIFIED: i32 = 1;

/// Keeps what TensorRT reports while an object works. It must outlive every object it was given to.
#[repr(C)]
pub struct ErrorRecorder {
    vptr: *const Slot,
    references: AtomicI32,
    errors: Mutex<Vec<(i32, CString)>>,
}

// SAFETY: vptr points to immutable, leaked memory; the rest is Send and Sync.
unsafe impl Send for ErrorRecorder {}
// SAFETY: as above.
unsafe impl Sync for ErrorRecorder {}

interface_info!(info, c"IErrorRecorder");

impl ErrorRecorder {
    /// An empty recorder with the layout of `version`.
    pub fn new(version: Version, class_type_info: Option<ClassTypeInfo>) -> Arc<ErrorRecorder> {
        let interface = Interface {
            mangled: c"N8nvinfer114IErrorRecorderE",
            info,
            versioned: version.family != Family::V8,
            destructor: DestructorPosition::First,
        };
        let methods = [
            get_nb_errors as Slot,
            get_error_code as Slot,
            get_error_desc as Slot,
            has_overflowed as Slot,
            clear as Slot,
            report_error as Slot,
            inc_ref_count as Slot,
            dec_ref_count as Slot,
        ];
        let vptr = interface.vtable(&methods, class_type_info);
        Arc::new(ErrorRecorder { vptr, references: AtomicI32::new(0), errors: Mutex::default() })
    }

    /// The pointer for C++.
    pub fn as_ptr(&self) -> Ptr {
        (&raw const *self).cast_mut().cast()
    }

    /// Removes and returns what was recorded, without repetitions: TensorRT often reports an error twice.
    pub fn take(&self) -> Vec<RecordedError> {
        let mut errors = Vec::new();
        for (code, text) in std::mem::take(&mut *self.lock()) {
            let error = RecordedError { code, description: text.to_string_lossy().trim().to_string() };
            if !errors.contains(&error) {
                errors.push(error);
            }
        }
        errors
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(i32, CString)>> {
        self.errors.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// # Safety
    /// `this` is a live recorder.
    unsafe fn of<'a>(this: Ptr) -> &'a ErrorRecorder {
        // SAFETY: promised by the caller.
        unsafe { &*this.cast() }
    }
}

unsafe extern "C" fn get_nb_errors(this: Ptr) -> i32 {
    // SAFETY: TensorRT passes the recorder it was given.
    guard(0, || unsafe { ErrorRecorder::of(this) }.lock().len() as i32)
}

unsafe extern "C" fn get_error_code(this: Ptr, index: i32) -> i32 {
    guard(UNSPECIFIED, || {
        // SAFETY: TensorRT passes the recorder it was given.
        let errors = unsafe { ErrorRecorder::of(this) }.lock();
        usize::try_from(index).ok().and_then(|index| errors.get(index)).map_or(UNSPECIFIED, |error| error.0)
    })
}

/// The text stays where it is until `clear`, as the interface demands: only the vector of pointers ever moves.
unsafe extern "C" fn get_error_desc(this: Ptr, index: i32) -> Text {
    guard(c"".as_ptr(), || {
        // SAFETY: TensorRT passes the recorder it was given.
        let errors = unsafe { ErrorRecorder::of(this) }.lock();
        usize::try_from(index)
            .ok()
            .and_then(|index| errors.get(index))
            .map_or(c"".as_ptr(), |error| error.1.as_ptr())
    })
}

unsafe extern "C" fn has_overflowed(this: Ptr) -> bool {
    // SAFETY: TensorRT passes the recorder it was given.
    guard(false, || unsafe { ErrorRecorder::of(this) }.lock().len() >= CAPACITY)
}

unsafe extern "C" fn clear(this: Ptr) {
    // SAFETY: TensorRT passes the recorder it was given.
    guard((), || unsafe { ErrorRecorder::of(this) }.lock().clear());
}

/// Returns whether the error is so grave that TensorRT must stop: that is for TensorRT to know, so no.
unsafe extern "C" fn report_error(this: Ptr, code: i32, description: Text) -> bool {
    guard(false, || {
        // SAFETY: TensorRT passes the recorder it was given, and a NUL-terminated text.
        let (recorder, text) = unsafe {
            let text = if description.is_null() { c"" } else { CStr::from_ptr(description) };
            (ErrorRecorder::of(this), text.to_owned())
        };
        let mut errors = recorder.lock();
        if errors.len() < CAPACITY {
            errors.push((code, text));
        }
        false
    })
}

unsafe extern "C" fn inc_ref_count(this: Ptr) -> i32 {
    // SAFETY: TensorRT passes the recorder it was given.
    unsafe { ErrorRecorder::of(this) }.references.fetch_add(1, Ordering::SeqCst) + 1
}

unsafe extern "C" fn dec_ref_count(this: Ptr) -> i32 {
    // SAFETY: TensorRT passes the recorder it was given.
    unsafe { ErrorRecorder::of(this) }.references.fetch_sub(1, Ordering::SeqCst) - 1
}

#[cfg(test)]
mod tests {
    use super::super::vtable::{copy_text, tests::slot};
    use super::*;

    type Count = unsafe extern "C" fn(Ptr) -> i32;
    type Report = unsafe extern "C" fn(Ptr, i32, Text) -> bool;

    #[test]
    fn the_eight_methods_come_after_the_destructors_of_8_and_after_the_versioned_prefix_since_10() {
        for (number, at) in [(8001, 2), (8601, 2), (100300, 4), (110000, 4), (10400, 4), (10701, 4)] {
            let version = Version::from_number(number).unwrap();
            let recorder = ErrorRecorder::new(version, None);
            let p = recorder.as_ptr();
            // SAFETY: the order of IErrorRecorder's methods in the headers, which is what is tested.
            unsafe {
                assert_eq!(slot::<Count>(p, at + 6)(p), 1, "incRefCount");
                assert!(!slot::<Report>(p, at + 5)(p, 4, c"bad thing\n".as_ptr()), "reportError");
                assert!(!slot::<Report>(p, at + 5)(p, 2, std::ptr::null()), "reportError without text");
                assert_eq!(slot::<Count>(p, at)(p), 2, "getNbErrors");
                let code = slot::<unsafe extern "C" fn(Ptr, i32) -> i32>(p, at + 1);
                assert_eq!([code(p, 0), code(p, 1), code(p, 2), code(p, -1)], [4, 2, 1, 1], "getErrorCode");
                let text = slot::<unsafe extern "C" fn(Ptr, i32) -> Text>(p, at + 2);
                assert_eq!(
                    [copy_text(text(p, 0)), copy_text(text(p, 9))],
                    ["bad thing\n", ""],
                    "getErrorDesc"
                );
                assert!(!slot::<unsafe extern "C" fn(Ptr) -> bool>(p, at + 3)(p), "hasOverflowed");
                let first = RecordedError { code: 4, description: "bad thing".into() };
                assert_eq!(recorder.take()[0], first, "{version}");
                assert_eq!(slot::<Count>(p, at)(p), 0);
                slot::<Report>(p, at + 5)(p, 4, c"again".as_ptr());
                slot::<unsafe extern "C" fn(Ptr)>(p, at + 4)(p);
                assert_eq!(recorder.take(), [], "clear");
                assert_eq!(slot::<Count>(p, at + 7)(p), 0, "decRefCount");
            }
        }
    }

    #[test]
    fn a_flood_of_errors_is_capped_and_said_to_be() {
        let recorder = ErrorRecorder::new(Version::from_number(10701).unwrap(), None);
        let p = recorder.as_ptr();
        for _ in 0..CAPACITY + 10 {
            // SAFETY: a live recorder and a static string.
            unsafe { report_error(p, 1, c"again".as_ptr()) };
        }
        // SAFETY: a live recorder.
        assert!(unsafe { has_overflowed(p) });
        assert_eq!(recorder.take().len(), 1, "all the same");
        // SAFETY: a live recorder.
        assert!(!unsafe { has_overflowed(p) });
    }
}
