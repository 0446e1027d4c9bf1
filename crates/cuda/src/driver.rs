//! The driver's version and the first device.

use cudarc::driver::{result, sys};

/// Why the driver could not be asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DriverError {
    /// There is no CUDA driver library.
    #[error("no CUDA driver: `libcuda.so.1` was not found")]
    NoLibrary,
    /// The driver has no GPU.
    #[error("the CUDA driver knows no GPU")]
    NoDevice,
    /// The driver refused a call.
    #[error("the CUDA driver failed in `{call}` with error {code}")]
    Call {
        /// The entry point.
        call: &'static str,
        /// The driver's `CUresult`.
        code: u32,
    },
}

/// The GPU with ordinal 0, which is the one engines are built for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// The driver's name for it, such as `Orin`.
    pub name: String,
    /// Compute capability, major and minor.
    pub compute_capability: [u32; 2],
    /// The newest CUDA API version the driver serves, major and minor.
    pub driver_version: [u32; 2],
}

/// Asks the driver about the first GPU.
pub fn device() -> Result<Device, DriverError> {
    // SAFETY: opens the library by its usual names and runs its initialisers; nothing else is called.
    if !unsafe { sys::is_culib_present() } {
        return Err(DriverError::NoLibrary);
    }
    result::init().map_err(call("cuInit"))?;
    if result::device::get_count().map_err(call("cuDeviceGetCount"))? < 1 {
        return Err(DriverError::NoDevice);
    }
    let device = result::device::get(0).map_err(call("cuDeviceGet"))?;
    let attribute = |which| {
        // SAFETY: `device` was returned by `cuDeviceGet`.
        unsafe { result::device::get_attribute(device, which) }.map_err(call("cuDeviceGetAttribute"))
    };
    use sys::CUdevice_attribute as Attribute;
    let major = attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?;
    let minor = attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?;
    Ok(Device {
        name: result::device::get_name(device).map_err(call("cuDeviceGetName"))?,
        compute_capability: [major.unsigned_abs(), minor.unsigned_abs()],
        driver_version: driver_version()?,
    })
}

fn driver_version() -> Result<[u32; 2], DriverError> {
    let mut version = 0;
    // SAFETY: `version` is a valid place for one int, and the call needs no initialised driver.
    unsafe { sys::cuDriverGetVersion(&mut version) }.result().map_err(call("cuDriverGetVersion"))?;
    Ok(decode_version(version.unsigned_abs()))
}

/// The driver encodes 12.6 as 12060.
fn decode_version(version: u32) -> [u32; 2] {
    [version / 1000, version % 1000 / 10]
}

fn call(call: &'static str) -> impl Fn(result::DriverError) -> DriverError {
    move |error| DriverError::Call { call, code: error.0 as u32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_drivers_version_number_is_decoded() {
        for (number, version) in [(10020, [10, 2]), (11040, [11, 4]), (12060, [12, 6]), (13000, [13, 0])] {
            assert_eq!(decode_version(number), version);
        }
    }
}
