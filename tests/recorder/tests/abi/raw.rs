//! Calls on real objects by a row of the slot table, without the binding's checks, and objects of ours for them.

use std::ffi::c_void;

use nvinfer::sys::Method;
use nvinfer::sys::types::{InterfaceInfo, Ptr};
use nvinfer::{Family, Version};

/// The method at a row's slot; `None` where the version has no such row.
///
/// # Safety
/// `target` is a live object of class `C`. Slot and type are what is tested: call it in a process of its own.
pub unsafe fn function<C, F>(method: &Method<C, F>, version: Version, target: Ptr) -> Option<F> {
    let slot = method.slot(version).ok()?;
    // SAFETY: whether the slot is this method's is what is tested.
    unsafe { Some(std::mem::transmute_copy(&*(*target.cast::<*const *const c_void>()).add(slot))) }
}

/// The implementation of an object that a library made.
pub fn of(public: Option<Ptr>) -> Ptr {
    let public = public.filter(|public| public.addr() > 4096).expect("an object");
    // SAFETY: an object of TensorRT's, { vptr, implementation }.
    unsafe { *public.cast::<Ptr>().add(1) }
}

/// An object of ours with the versioned layout that answers nothing and says what it is.
pub fn silent(info: unsafe extern "C" fn(Ptr) -> InterfaceInfo) -> Ptr {
    extern "C" fn goes_on() -> u8 {
        1
    }
    let mut vtable = vec![zero as *const c_void; 16];
    vtable[1] = info as *const c_void;
    // IProgressMonitor::stepComplete: the build is to go on.
    vtable[5] = goes_on as *const c_void;
    object(vtable)
}

extern "C" fn zero() -> usize {
    0
}

fn object(vtable: Vec<*const c_void>) -> Ptr {
    Box::leak(Box::new(vtable.leak().as_ptr())) as *mut *const *const c_void as Ptr
}

macro_rules! info {
    ($($name:ident = $kind:literal)*) => {
        $(/// What the interface of that name says it is.
        pub unsafe extern "C" fn $name(_: Ptr) -> InterfaceInfo {
            InterfaceInfo { kind: $kind.as_ptr(), major: 1, minor: 0 }
        })*
    };
}
info!(logger_info = c"ILogger" recorder_info = c"IErrorRecorder" monitor_info = c"IProgressMonitor");

/// A logger that says nothing, in the layout of the version.
pub fn logger(version: Version) -> Ptr {
    match version.family {
        Family::V11 | Family::RtxB => silent(logger_info),
        _ => object(vec![zero as *const c_void; 3]),
    }
}
