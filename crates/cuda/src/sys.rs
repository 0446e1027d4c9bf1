//! The driver's entry points, each looked up by name once and checked before the first call.
//!
//! cudarc finds and keeps the library and gives the types. Its own functions are not called, for three reasons: they
//! panic if a driver lacks a symbol; they return `CUresult` as a Rust enum, and a driver newer than the bindings may
//! answer with a number that is not in it, which is undefined behaviour; and they have only those versions of an entry
//! point that a CUDA 11 header declares, whereas a CUDA 10.2 driver (JetPack 4.6) has `cuDevicePrimaryCtxRelease` without
//! its later `_v2`. That all argument types are cudarc's is checked by the compiler.

#[cfg(feature = "kernels")]
use std::ffi::c_uchar;
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::sync::OnceLock;

use cudarc::driver::sys;
pub use cudarc::driver::sys::{CUcontext, CUdevice, CUdevice_attribute, CUdeviceptr, CUevent, CUstream};
#[cfg(feature = "kernels")]
pub use cudarc::driver::sys::{CUfunction, CUfunction_attribute, CUjit_option, CUmodule};

use crate::DriverError;

/// A `CUresult` as the number it is.
type Code = u32;

/// Declares the entry points: `symbol(arguments) like a function of cudarc's with the same arguments`.
macro_rules! entry_points {
    ($($(#[$gate:meta])? $name:ident($($type:ty),*) like $like:expr;)*) => {
        /// All functions of the driver that this crate calls.
        #[allow(non_snake_case, reason = "the fields have the names of the driver's functions")]
        pub struct Driver {
            $($(#[$gate])? pub $name: unsafe extern "C" fn($($type),*) -> Code,)*
        }

        $($(#[$gate])? const _: unsafe fn($($type),*) -> sys::CUresult = $like;)*

        impl Driver {
            fn load() -> Result<Self, DriverError> {
                // SAFETY: opens the library by its usual names and runs its initialisers; nothing else is called.
                if !unsafe { sys::is_culib_present() } {
                    return Err(DriverError::NoLibrary);
                }
                // SAFETY: as above; it was found a moment ago, so this does not panic.
                let library = unsafe { sys::culib() };
                Ok(Self {
                    // SAFETY: the driver's functions have these types: the compiler compared them with cudarc's.
                    $($(#[$gate])? $name: *unsafe { library.get(concat!(stringify!($name), "\0").as_bytes()) }
                        .map_err(|_| DriverError::MissingSymbol { symbol: stringify!($name) })?,)*
                })
            }
        }
    };
}

entry_points! {
    cuInit(c_uint) like sys::cuInit;
    cuDriverGetVersion(*mut c_int) like sys::cuDriverGetVersion;
    // cudarc's takes the enum, which has no place for a number of a newer driver.
    cuGetErrorName(Code, *mut *const c_char) like |_, _| sys::CUresult::CUDA_SUCCESS;
    cuDeviceGetCount(*mut c_int) like sys::cuDeviceGetCount;
    cuDeviceGet(*mut CUdevice, c_int) like sys::cuDeviceGet;
    cuDeviceGetName(*mut c_char, c_int, CUdevice) like sys::cuDeviceGetName;
    cuDeviceGetAttribute(*mut c_int, CUdevice_attribute, CUdevice) like sys::cuDeviceGetAttribute;
    cuDevicePrimaryCtxRetain(*mut CUcontext, CUdevice) like sys::cuDevicePrimaryCtxRetain;
    cuDevicePrimaryCtxRelease(CUdevice) like sys::cuDevicePrimaryCtxRelease_v2;
    cuCtxSetCurrent(CUcontext) like sys::cuCtxSetCurrent;
    cuStreamCreate(*mut CUstream, c_uint) like sys::cuStreamCreate;
    cuStreamSynchronize(CUstream) like sys::cuStreamSynchronize;
    cuStreamDestroy_v2(CUstream) like sys::cuStreamDestroy_v2;
    cuEventCreate(*mut CUevent, c_uint) like sys::cuEventCreate;
    cuEventRecord(CUevent, CUstream) like sys::cuEventRecord;
    cuEventSynchronize(CUevent) like sys::cuEventSynchronize;
    cuEventElapsedTime(*mut f32, CUevent, CUevent) like sys::cuEventElapsedTime;
    cuEventDestroy_v2(CUevent) like sys::cuEventDestroy_v2;
    cuMemGetInfo_v2(*mut usize, *mut usize) like sys::cuMemGetInfo_v2;
    cuMemAlloc_v2(*mut CUdeviceptr, usize) like sys::cuMemAlloc_v2;
    cuMemFree_v2(CUdeviceptr) like sys::cuMemFree_v2;
    cuMemcpyHtoD_v2(CUdeviceptr, *const c_void, usize) like sys::cuMemcpyHtoD_v2;
    cuMemcpyDtoH_v2(*mut c_void, CUdeviceptr, usize) like sys::cuMemcpyDtoH_v2;
    #[cfg(feature = "kernels")]
    cuModuleLoadDataEx(*mut CUmodule, *const c_void, c_uint, *mut CUjit_option, *mut *mut c_void) like sys::cuModuleLoadDataEx;
    #[cfg(feature = "kernels")]
    cuModuleUnload(CUmodule) like sys::cuModuleUnload;
    #[cfg(feature = "kernels")]
    cuModuleGetFunction(*mut CUfunction, CUmodule, *const c_char) like sys::cuModuleGetFunction;
    #[cfg(feature = "kernels")]
    cuFuncSetAttribute(CUfunction, CUfunction_attribute, c_int) like sys::cuFuncSetAttribute;
    #[cfg(feature = "kernels")]
    cuOccupancyMaxActiveBlocksPerMultiprocessor(*mut c_int, CUfunction, c_int, usize) like sys::cuOccupancyMaxActiveBlocksPerMultiprocessor;
    #[cfg(feature = "kernels")]
    cuLaunchKernel(CUfunction, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, CUstream, *mut *mut c_void, *mut *mut c_void) like sys::cuLaunchKernel;
    #[cfg(feature = "kernels")]
    cuMemHostAlloc(*mut *mut c_void, usize, c_uint) like sys::cuMemHostAlloc;
    #[cfg(feature = "kernels")]
    cuMemFreeHost(*mut c_void) like sys::cuMemFreeHost;
    #[cfg(feature = "kernels")]
    cuMemcpyHtoDAsync_v2(CUdeviceptr, *const c_void, usize, CUstream) like sys::cuMemcpyHtoDAsync_v2;
    #[cfg(feature = "kernels")]
    cuMemcpyDtoHAsync_v2(*mut c_void, CUdeviceptr, usize, CUstream) like sys::cuMemcpyDtoHAsync_v2;
    #[cfg(feature = "kernels")]
    cuMemsetD8Async(CUdeviceptr, c_uchar, usize, CUstream) like sys::cuMemsetD8Async;
    #[cfg(feature = "kernels")]
    cuStreamWaitEvent(CUstream, CUevent, c_uint) like sys::cuStreamWaitEvent;
}

impl Driver {
    /// The driver, loaded and initialised by the first call. The library stays loaded.
    pub fn get() -> Result<&'static Self, DriverError> {
        static DRIVER: OnceLock<Result<Driver, DriverError>> = OnceLock::new();
        let driver = DRIVER.get_or_init(Self::load).as_ref().map_err(Clone::clone)?;
        // SAFETY: the driver allows any number of calls, from any thread.
        match driver.check("cuInit", unsafe { (driver.cuInit)(0) }) {
            Err(DriverError::Call { code: 100, .. }) => Err(DriverError::NoDevice),
            other => other.map(|()| driver),
        }
    }

    /// Turns what `call` returned into a result.
    pub fn check(&self, call: &'static str, code: Code) -> Result<(), DriverError> {
        match code {
            0 => Ok(()),
            _ => Err(DriverError::Call { call, code, name: self.name_of(code) }),
        }
    }

    fn name_of(&self, code: Code) -> String {
        let mut name = std::ptr::null();
        // SAFETY: `name` is a valid place for one pointer.
        let answer = unsafe { (self.cuGetErrorName)(code, &mut name) };
        if answer != 0 || name.is_null() {
            return "unknown".to_owned();
        }
        // SAFETY: the driver says it points to a string that ends in NUL and lives as long as the driver.
        unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned()
    }
}

/// Calls an entry point and checks what it returns: `call!(driver.cuMemFree_v2(address))`.
macro_rules! call {
    ($driver:ident.$name:ident($($argument:expr),* $(,)?)) => {
        $driver.check(stringify!($name), ($driver.$name)($($argument),*))
    };
}
pub(crate) use call;
