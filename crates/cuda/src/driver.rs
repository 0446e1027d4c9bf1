//! The driver's version and the first device.

use std::ffi::{CStr, c_int};

use crate::DriverError;
use crate::sys::{CUdevice, CUdevice_attribute, Driver, call};

/// A GPU. Engines are built for the one with ordinal 0.
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
    device_at(0)
}

/// Asks the driver about the GPU with this ordinal.
pub fn device_at(ordinal: u32) -> Result<Device, DriverError> {
    let driver = Driver::get()?;
    let device = handle(driver, ordinal)?;
    use CUdevice_attribute as Attribute;
    let major = attribute(driver, device, Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?;
    let minor = attribute(driver, device, Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?;
    Ok(Device {
        name: name(driver, device)?,
        compute_capability: [major, minor],
        driver_version: version(driver)?,
    })
}

/// The driver's handle of the GPU with this ordinal.
pub fn handle(driver: &Driver, ordinal: u32) -> Result<CUdevice, DriverError> {
    let mut count = 0;
    // SAFETY: `count` is a valid place for one int.
    unsafe { call!(driver.cuDeviceGetCount(&mut count)) }?;
    let count = u32::try_from(count).unwrap_or(0);
    let Ok(number) = c_int::try_from(ordinal) else {
        return Err(DriverError::NoSuchDevice { ordinal, count });
    };
    match count {
        0 => return Err(DriverError::NoDevice),
        _ if ordinal >= count => return Err(DriverError::NoSuchDevice { ordinal, count }),
        _ => (),
    }
    let mut device = 0;
    // SAFETY: `device` is a valid place for one handle.
    unsafe { call!(driver.cuDeviceGet(&mut device, number)) }?;
    Ok(device)
}

/// What the driver says of a GPU.
pub fn attribute(driver: &Driver, device: CUdevice, which: CUdevice_attribute) -> Result<u32, DriverError> {
    let mut value = 0;
    // SAFETY: `value` is a valid place for one int, and `device` came from the driver.
    unsafe { call!(driver.cuDeviceGetAttribute(&mut value, which, device)) }?;
    Ok(value.unsigned_abs())
}

fn name(driver: &Driver, device: CUdevice) -> Result<String, DriverError> {
    let mut bytes = [0_u8; 256];
    // SAFETY: the buffer is as long as said, and `device` came from the driver.
    unsafe { call!(driver.cuDeviceGetName(bytes.as_mut_ptr().cast(), bytes.len() as c_int, device)) }?;
    Ok(CStr::from_bytes_until_nul(&bytes).map(|name| name.to_string_lossy().into_owned()).unwrap_or_default())
}

fn version(driver: &Driver) -> Result<[u32; 2], DriverError> {
    let mut version = 0;
    // SAFETY: `version` is a valid place for one int.
    unsafe { call!(driver.cuDriverGetVersion(&mut version)) }?;
    Ok(decode_version(version.unsigned_abs()))
}

/// The driver encodes 12.6 as 12060.
fn decode_version(version: u32) -> [u32; 2] {
    [version / 1000, version % 1000 / 10]
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
