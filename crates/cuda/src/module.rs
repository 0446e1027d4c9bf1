//! Kernels: loading PTX and launching what it has.

use std::ffi::{CStr, c_uint, c_void};
use std::ptr;

use crate::driver::attribute;
use crate::sys::{
    CUdevice_attribute, CUdeviceptr, CUfunction, CUfunction_attribute, CUjit_option, CUmodule, Driver, call,
};
use crate::{Context, DriverError, Stream};

/// What the driver's compiler may say.
const LOG: usize = 8 << 10;

/// Kernels that the driver has compiled for the GPU of a context.
#[derive(Debug)]
pub struct Module {
    handle: CUmodule,
    context: Context,
}

// SAFETY: the driver's functions take a module from any thread; the handle is never changed.
unsafe impl Send for Module {}
// SAFETY: as above.
unsafe impl Sync for Module {}

impl Module {
    /// Compiles PTX, which ends in NUL. The driver keeps the result on disk for the next time.
    pub fn new(context: &Context, ptx: &'static CStr) -> Result<Self, DriverError> {
        let driver = context.bound()?;
        let mut log = vec![0_u8; LOG];
        let mut options =
            [CUjit_option::CU_JIT_ERROR_LOG_BUFFER, CUjit_option::CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES];
        // The driver takes numbers in the place of pointers.
        let mut values = [log.as_mut_ptr().cast::<c_void>(), ptr::without_provenance_mut(LOG)];
        let mut handle = ptr::null_mut();
        // SAFETY: the text ends in NUL, the log is as long as said, and there are two options and two values.
        let code = unsafe {
            (driver.cuModuleLoadDataEx)(
                &mut handle,
                ptx.as_ptr().cast(),
                2,
                options.as_mut_ptr(),
                values.as_mut_ptr(),
            )
        };
        match driver.check("cuModuleLoadDataEx", code) {
            Ok(()) => Ok(Self { handle, context: context.clone() }),
            Err(DriverError::Call { code, name, .. }) if !log.starts_with(&[0]) || is_about_code(code) => {
                let log = CStr::from_bytes_until_nul(&log).map(|log| log.to_string_lossy().trim().to_owned());
                Err(DriverError::Kernels { code, name, log: log.unwrap_or_default() })
            }
            Err(error) => Err(error),
        }
    }

    /// A kernel of the module. Its blocks have `threads` threads and `shared` bytes of dynamic shared memory.
    pub fn kernel(&self, name: &'static CStr, threads: u32, shared: u32) -> Result<Kernel, DriverError> {
        let driver = self.context.bound()?;
        let mut handle = ptr::null_mut();
        // SAFETY: `handle` is a valid place for one handle, and the module lives as long as `self`.
        unsafe { call!(driver.cuModuleGetFunction(&mut handle, self.handle, name.as_ptr())) }?;
        let most = CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
        // What a block gets without asking.
        if shared > 48 << 10 {
            // SAFETY: the handle came from the driver.
            unsafe { call!(driver.cuFuncSetAttribute(handle, most, shared as i32)) }?;
        }
        let mut blocks = 0;
        // SAFETY: `blocks` is a valid place for one int, and the handle came from the driver.
        unsafe {
            call!(driver.cuOccupancyMaxActiveBlocksPerMultiprocessor(
                &mut blocks,
                handle,
                threads as i32,
                shared as usize
            ))
        }?;
        let count = CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT;
        let multiprocessors = attribute(driver, self.context.device(), count)?;
        Ok(Kernel {
            handle,
            threads,
            shared,
            resident: blocks.unsigned_abs().max(1) * multiprocessors.max(1),
        })
    }
}

/// Whether an error of the driver is about machine code: no binary for the device, PTX that is bad or too new, no compiler.
fn is_about_code(code: u32) -> bool {
    matches!(code, 200 | 209 | 218 | 221 | 222 | 223)
}

impl Drop for Module {
    fn drop(&mut self) {
        if let Ok(driver) = self.context.bound() {
            // SAFETY: loaded in `new` and unloaded once; kernels are kept beside their module.
            unsafe { (driver.cuModuleUnload)(self.handle) };
        }
    }
}

/// A kernel, to be kept beside its [`Module`].
#[derive(Debug)]
pub struct Kernel {
    handle: CUfunction,
    threads: u32,
    shared: u32,
    resident: u32,
}

// SAFETY: as for `Module`.
unsafe impl Send for Kernel {}
// SAFETY: as for `Module`.
unsafe impl Sync for Kernel {}

/// An argument of a kernel.
#[derive(Debug, Clone, Copy)]
pub enum Argument {
    /// An address on the GPU.
    Address(CUdeviceptr),
    /// A 64-bit number.
    Long(u64),
    /// A 32-bit number.
    Word(u32),
}

impl Kernel {
    /// How many blocks run at once.
    pub fn resident(&self) -> u32 {
        self.resident
    }

    /// Puts a launch of so many blocks (across, down, deep) into a stream; none if any of the numbers is 0.
    ///
    /// # Safety
    /// The module is loaded, and the arguments are those of the kernel's source, in number, size and meaning: whatever
    /// address it writes to is memory of the GPU, and stays so until the stream has passed.
    pub unsafe fn launch(
        &self,
        stream: &Stream,
        blocks: [u32; 3],
        shape: [u32; 2],
        arguments: &mut [Argument],
    ) -> Result<(), DriverError> {
        debug_assert_eq!(shape[0] * shape[1], self.threads);
        if blocks.contains(&0) {
            return Ok(());
        }
        let mut places: Vec<*mut c_void> = arguments
            .iter_mut()
            .map(|argument| match argument {
                Argument::Address(value) => ptr::from_mut(value).cast(),
                Argument::Long(value) => ptr::from_mut(value).cast(),
                Argument::Word(value) => ptr::from_mut(value).cast::<c_uint>().cast(),
            })
            .collect();
        let driver: &Driver = stream.context().bound()?;
        let ([x, y, z], [across, down]) = (blocks, shape);
        // SAFETY: the handles are live; the rest is promised by the caller. The driver copies the arguments.
        unsafe {
            call!(driver.cuLaunchKernel(
                self.handle,
                x,
                y,
                z,
                across,
                down,
                1,
                self.shared,
                stream.as_raw().cast(),
                places.as_mut_ptr(),
                ptr::null_mut(),
            ))
        }
    }
}
