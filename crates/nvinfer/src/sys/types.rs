//! C++ types that cross the interface by value.

use std::ffi::{c_char, c_void};

/// A pointer to a C++ object.
pub type Ptr = *mut c_void;

/// A NUL-terminated string; `c_char` differs in sign between x86-64 and aarch64.
pub type Text = *const c_char;

/// A C++ `bool` in a signature. Reading a Rust `bool` from foreign memory would be undefined for any value but 0 and 1.
pub type Bool = u8;

/// The largest number of dimensions of a tensor.
pub const MAX_DIMS: usize = 8;

/// `nvinfer1::Dims` of TensorRT 8: 36 bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dims32 {
    /// How many of `d` count; -1 for an invalid shape.
    pub count: i32,
    /// The extents, -1 where dynamic.
    pub d: [i32; MAX_DIMS],
}

/// `nvinfer1::Dims64`, used since TensorRT 10 and in RTX: 72 bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dims64 {
    /// How many of `d` count; -1 for an invalid shape.
    pub count: i32,
    /// The extents, -1 where dynamic.
    pub d: [i64; MAX_DIMS],
}

/// `nvinfer1::InterfaceInfo`: what a versioned interface says it is. Returned in two registers on both architectures.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct InterfaceInfo {
    /// For example `IErrorRecorder`.
    pub kind: Text,
    /// Always 1 so far.
    pub major: i32,
    /// Always 0 so far.
    pub minor: i32,
}

impl Dims64 {
    /// A shape of at most [`MAX_DIMS`] extents; `None` when there are more.
    pub fn new(extents: &[i64]) -> Option<Dims64> {
        let mut d = [0; MAX_DIMS];
        d.get_mut(..extents.len())?.copy_from_slice(extents);
        Some(Dims64 { count: extents.len() as i32, d })
    }

    /// The extents in use.
    pub fn extents(&self) -> &[i64] {
        &self.d[..usize::try_from(self.count).unwrap_or(0).min(MAX_DIMS)]
    }
}

impl From<Dims32> for Dims64 {
    fn from(dims: Dims32) -> Dims64 {
        Dims64 { count: dims.count, d: dims.d.map(i64::from) }
    }
}

impl Dims32 {
    /// A narrower copy; `None` when an extent does not fit into 32 bits.
    pub fn narrow(dims: &Dims64) -> Option<Dims32> {
        let mut d = [0; MAX_DIMS];
        for (narrow, &wide) in d.iter_mut().zip(&dims.d) {
            *narrow = i32::try_from(wide).ok()?;
        }
        Some(Dims32 { count: dims.count, d })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_the_c_plus_plus_types() {
        assert_eq!(size_of::<Dims32>(), 36);
        assert_eq!(size_of::<Dims64>(), 72);
        assert_eq!(size_of::<InterfaceInfo>(), 16);
    }

    #[test]
    fn shapes_of_up_to_eight_extents_survive_both_widths() {
        for extents in [&[][..], &[-1, 3, 224, 224], &[1; 8]] {
            let wide = Dims64::new(extents).unwrap();
            assert_eq!(wide.extents(), extents);
            assert_eq!(Dims64::from(Dims32::narrow(&wide).unwrap()), wide);
        }
        assert_eq!(Dims64::new(&[1; 9]), None);
        assert_eq!(Dims32::narrow(&Dims64::new(&[1 << 40]).unwrap()), None);
    }

    #[test]
    fn a_count_outside_the_array_is_cut_rather_than_trusted() {
        assert_eq!(Dims64 { count: -1, d: [7; 8] }.extents(), &[] as &[i64]);
        assert_eq!(Dims64 { count: 99, d: [7; 8] }.extents(), &[7; 8]);
    }
}
