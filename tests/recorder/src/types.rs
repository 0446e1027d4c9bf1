//! C++ types that cross the interface, written down apart from those of the binding under test.

use std::ffi::{c_char, c_void};

/// Any pointer.
pub type Ptr = *mut c_void;
/// A NUL-terminated string.
pub type Text = *const c_char;
/// A function in a vtable.
pub type Slot = *const c_void;

/// `nvinfer1::Dims` of TensorRT 8: 36 bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dims32 {
    /// How many extents count.
    pub count: i32,
    /// The extents.
    pub d: [i32; 8],
}

/// `nvinfer1::Dims64` of TensorRT 10, 11 and RTX: 72 bytes, four of them padding.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dims64 {
    /// How many extents count.
    pub count: i32,
    /// The extents.
    pub d: [i64; 8],
}

/// `nvinfer1::InterfaceInfo`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct InterfaceInfo {
    /// The name of the interface.
    pub kind: Text,
    /// Its version.
    pub major: i32,
    /// Its version.
    pub minor: i32,
}

impl Dims64 {
    /// A shape of at most 8 extents; -1 as count for a shape that does not exist.
    pub fn new(extents: Option<&[i64]>) -> Dims64 {
        let mut d = [0; 8];
        let Some(extents) = extents else { return Dims64 { count: -1, d } };
        d[..extents.len()].copy_from_slice(extents);
        Dims64 { count: extents.len() as i32, d }
    }
}

impl From<Dims64> for Dims32 {
    fn from(dims: Dims64) -> Dims32 {
        Dims32 { count: dims.count, d: dims.d.map(|extent| extent as i32) }
    }
}

impl From<Dims32> for Dims64 {
    fn from(dims: Dims32) -> Dims64 {
        Dims64 { count: dims.count, d: dims.d.map(i64::from) }
    }
}
