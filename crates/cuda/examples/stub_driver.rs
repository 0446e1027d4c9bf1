//! A `libcuda.so` without a GPU, for tests: the functions of a CUDA 10.2 driver that trt-cuda calls, and none of a later
//! one. "Device" memory is the host's. It is stricter than the real driver: it wants `cuInit` first, a current context
//! on the calling thread, handles that it gave out, and nothing left when the context goes.
//!
//! Environment:
//! - `STUB_CUDA_FAIL=cuMemAlloc_v2=2`: that function returns this error
//! - `STUB_CUDA_DEVICES=0`: so many GPUs (1)
//! - `STUB_CUDA_LOG=FILE`: a line for every call, with what it returned

#![allow(non_snake_case, reason = "the functions have the driver's names")]
#![allow(unsafe_code, reason = "a C library")]

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ffi::{c_char, c_int, c_uint, c_void};
use std::fs::OpenOptions;
use std::io::Write;
use std::sync::Mutex;

type Code = u32;

const INVALID_VALUE: Code = 1;
const OUT_OF_MEMORY: Code = 2;
const NOT_INITIALIZED: Code = 3;
const INVALID_DEVICE: Code = 101;
const INVALID_CONTEXT: Code = 201;
const INVALID_HANDLE: Code = 400;

const MEMORY: usize = 1 << 30;
/// The primary context's handle.
const PRIMARY: usize = 0x1000;

struct Driver {
    initialised: bool,
    retained: u32,
    /// Streams and events.
    handles: Vec<usize>,
    memory: BTreeMap<u64, Vec<u8>>,
    next: usize,
}

static DRIVER: Mutex<Driver> = Mutex::new(Driver {
    initialised: false,
    retained: 0,
    handles: Vec::new(),
    memory: BTreeMap::new(),
    next: 0x10_0000,
});

thread_local! {
    static CURRENT: Cell<usize> = const { Cell::new(0) };
}

impl Driver {
    fn handle(&mut self) -> usize {
        self.next += 0x1000;
        self.handles.push(self.next);
        self.next
    }

    fn known(&self, handle: usize) -> Result<(), Code> {
        if self.handles.contains(&handle) { Ok(()) } else { Err(INVALID_HANDLE) }
    }

    fn forget(&mut self, handle: usize) -> Result<(), Code> {
        self.known(handle)?;
        self.handles.retain(|other| *other != handle);
        Ok(())
    }

    /// The memory at `address`, which must have at least `len` bytes.
    fn block(&mut self, address: u64, len: usize) -> Result<&mut [u8], Code> {
        self.memory.get_mut(&address).ok_or(INVALID_VALUE)?.get_mut(..len).ok_or(INVALID_VALUE)
    }
}

/// What a function needs before it works.
#[derive(PartialEq)]
enum Needs {
    Nothing,
    Init,
    Context,
}

/// Runs one function: injected errors first, then its needs, then its body; and writes it down.
fn run(name: &str, needs: Needs, body: impl FnOnce(&mut Driver) -> Result<(), Code>) -> Code {
    let mut driver = DRIVER.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let code = if let Some(code) = injected(name) {
        code
    } else if needs != Needs::Nothing && !driver.initialised {
        NOT_INITIALIZED
    } else if needs == Needs::Context && (CURRENT.get() != PRIMARY || driver.retained == 0) {
        INVALID_CONTEXT
    } else {
        body(&mut driver).err().unwrap_or(0)
    };
    if let Ok(path) = std::env::var("STUB_CUDA_LOG")
        && let Ok(mut log) = OpenOptions::new().create(true).append(true).open(path)
    {
        let _ = writeln!(log, "{name} {code}");
    }
    code
}

fn injected(name: &str) -> Option<Code> {
    let setting = std::env::var("STUB_CUDA_FAIL").ok()?;
    let (which, code) = setting.split_once('=')?;
    if which == name { code.parse().ok() } else { None }
}

fn devices() -> c_int {
    std::env::var("STUB_CUDA_DEVICES").ok().and_then(|count| count.parse().ok()).unwrap_or(1)
}

/// Defines the driver's functions.
macro_rules! functions {
    ($($name:ident($($arg:ident: $type:ty),*) needs $needs:ident, $driver:pat => $body:expr;)*) => {
        $(
            /// As the driver's function of this name.
            ///
            /// # Safety
            /// Pointers must be valid for what the real function does with them.
            #[unsafe(no_mangle)]
            #[allow(unused_unsafe, reason = "some of the bodies need none")]
            pub unsafe extern "C" fn $name($($arg: $type),*) -> Code {
                // SAFETY: the caller's pointers are valid, as the real function demands.
                run(stringify!($name), Needs::$needs, |$driver| unsafe { $body })
            }
        )*
    };
}

unsafe fn put<T>(place: *mut T, value: T) -> Result<(), Code> {
    if place.is_null() {
        return Err(INVALID_VALUE);
    }
    // SAFETY: not null, and the caller says it is valid.
    unsafe { place.write(value) };
    Ok(())
}

functions! {
    cuInit(flags: c_uint) needs Nothing, driver => {
        driver.initialised = flags == 0;
        if flags == 0 { Ok(()) } else { Err(INVALID_VALUE) }
    };
    cuDriverGetVersion(version: *mut c_int) needs Nothing, _ => put(version, 10020);
    cuGetErrorName(code: Code, name: *mut *const c_char) needs Nothing, _ => {
        let text = match code {
            OUT_OF_MEMORY => c"CUDA_ERROR_OUT_OF_MEMORY",
            NOT_INITIALIZED => c"CUDA_ERROR_NOT_INITIALIZED",
            INVALID_CONTEXT => c"CUDA_ERROR_INVALID_CONTEXT",
            _ => return Err(INVALID_VALUE),
        };
        put(name, text.as_ptr())
    };
    cuDeviceGetCount(count: *mut c_int) needs Init, _ => put(count, devices());
    cuDeviceGet(device: *mut c_int, ordinal: c_int) needs Init, _ => {
        if ordinal < devices() { put(device, ordinal + 40) } else { Err(INVALID_DEVICE) }
    };
    cuDeviceGetName(name: *mut c_char, len: c_int, device: c_int) needs Init, _ => {
        let text = c"Stub Nano".to_bytes_with_nul();
        if device < 40 { return Err(INVALID_DEVICE) }
        if (len as usize) < text.len() { return Err(INVALID_VALUE) }
        name.copy_from_nonoverlapping(text.as_ptr().cast(), text.len());
        Ok(())
    };
    cuDeviceGetAttribute(value: *mut c_int, attribute: c_uint, device: c_int) needs Init, _ => match (attribute, device) {
        (75, 40..) => put(value, 5),
        (76, 40..) => put(value, 3),
        // As a driver that does not know the attribute.
        _ => Err(INVALID_VALUE),
    };
    cuDevicePrimaryCtxRetain(context: *mut usize, device: c_int) needs Init, driver => {
        if device < 40 { return Err(INVALID_DEVICE) }
        driver.retained += 1;
        put(context, PRIMARY)
    };
    cuDevicePrimaryCtxRelease(device: c_int) needs Init, driver => {
        if device < 40 { return Err(INVALID_DEVICE) }
        driver.retained = driver.retained.checked_sub(1).ok_or(INVALID_CONTEXT)?;
        if driver.retained == 0 && !(driver.handles.is_empty() && driver.memory.is_empty()) { Err(INVALID_HANDLE) } else { Ok(()) }
    };
    cuCtxSetCurrent(context: usize) needs Init, driver => {
        if context != PRIMARY || driver.retained == 0 { return Err(INVALID_CONTEXT) }
        CURRENT.set(context);
        Ok(())
    };
    cuStreamCreate(stream: *mut usize, _flags: c_uint) needs Context, driver => put(stream, driver.handle());
    cuStreamSynchronize(stream: usize) needs Context, driver => driver.known(stream);
    cuStreamDestroy_v2(stream: usize) needs Context, driver => driver.forget(stream);
    cuEventCreate(event: *mut usize, _flags: c_uint) needs Context, driver => put(event, driver.handle());
    cuEventRecord(event: usize, stream: usize) needs Context, driver => driver.known(event).and_then(|()| driver.known(stream));
    cuEventSynchronize(event: usize) needs Context, driver => driver.known(event);
    cuEventElapsedTime(milliseconds: *mut f32, start: usize, end: usize) needs Context, driver => {
        driver.known(start)?;
        driver.known(end)?;
        put(milliseconds, 1.5)
    };
    cuEventDestroy_v2(event: usize) needs Context, driver => driver.forget(event);
    cuMemGetInfo_v2(free: *mut usize, total: *mut usize) needs Context, driver => {
        put(free, MEMORY - driver.memory.values().map(Vec::len).sum::<usize>())?;
        put(total, MEMORY)
    };
    cuMemAlloc_v2(address: *mut u64, len: usize) needs Context, driver => {
        let used: usize = driver.memory.values().map(Vec::len).sum();
        if len == 0 { return Err(INVALID_VALUE) }
        if len > MEMORY - used { return Err(OUT_OF_MEMORY) }
        driver.next += 0x1000 + len.next_multiple_of(0x1000);
        let at = driver.next as u64;
        driver.memory.insert(at, vec![0xA5; len]);
        put(address, at)
    };
    cuMemFree_v2(address: u64) needs Context, driver => driver.memory.remove(&address).map(drop).ok_or(INVALID_VALUE);
    cuMemcpyHtoD_v2(to: u64, from: *const c_void, len: usize) needs Context, driver => to_device(driver, to, from, len);
    cuMemcpyDtoH_v2(to: *mut c_void, from: u64, len: usize) needs Context, driver => to_host(driver, to, from, len);
    cuMemcpyHtoDAsync_v2(to: u64, from: *const c_void, len: usize, stream: usize) needs Context, driver => {
        driver.known(stream)?;
        to_device(driver, to, from, len)
    };
    cuMemcpyDtoHAsync_v2(to: *mut c_void, from: u64, len: usize, stream: usize) needs Context, driver => {
        driver.known(stream)?;
        to_host(driver, to, from, len)
    };
}

unsafe fn to_device(driver: &mut Driver, to: u64, from: *const c_void, len: usize) -> Result<(), Code> {
    let block = driver.block(to, len)?;
    // SAFETY: the block has `len` bytes, and the caller says that `from` has.
    unsafe { block.as_mut_ptr().copy_from_nonoverlapping(from.cast(), len) };
    Ok(())
}

unsafe fn to_host(driver: &mut Driver, to: *mut c_void, from: u64, len: usize) -> Result<(), Code> {
    let block = driver.block(from, len)?;
    // SAFETY: the block has `len` bytes, and the caller says that `to` has.
    unsafe { to.cast::<u8>().copy_from_nonoverlapping(block.as_ptr(), len) };
    Ok(())
}
