//! Arguments as text.

use std::ffi::CStr;

use crate::object;
use crate::types::{Dims32, Dims64, Ptr, Text};

/// An argument in a line of the log.
pub trait Show {
    /// The argument as text.
    fn show(&self) -> String;
}

macro_rules! plain {
    ($($type:ty),*) => {
        $(impl Show for $type {
            fn show(&self) -> String {
                self.to_string()
            }
        })*
    };
}
plain!(i32, u32, i64, usize, f32);

/// A C++ `bool`: anything but 0 and 1 is shown, since no caller may pass it.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct Flag(pub u8);

impl Show for Flag {
    fn show(&self) -> String {
        match self.0 {
            0 => "false".into(),
            1 => "true".into(),
            other => format!("bool({other})"),
        }
    }
}

impl Show for Text {
    fn show(&self) -> String {
        if self.is_null() {
            return "null".into();
        }
        // SAFETY: a caller passes a NUL-terminated string; a wrong slot may pass anything, and then the process ends here.
        format!("{:?}", unsafe { CStr::from_ptr(*self) }.to_string_lossy())
    }
}

/// A TensorRT object, by its class and number, or an object of the caller's.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct ObjectArg(pub Ptr);

impl Show for ObjectArg {
    fn show(&self) -> String {
        match object::public(self.0) {
            Some(object) => object.to_string(),
            None if self.0.is_null() => "null".into(),
            None => "callback".into(),
        }
    }
}

/// An address that is passed on and never looked at, such as a stream or device memory.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct Address(pub Ptr);

impl Show for Address {
    fn show(&self) -> String {
        if self.0.is_null() { "null".into() } else { format!("{:#x}", self.0.addr()) }
    }
}

/// Where a length follows in the next argument; shown there.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct Start(pub *const u8);

impl Show for Start {
    fn show(&self) -> String {
        if self.0.is_null() { "null".into() } else { "bytes".into() }
    }
}

/// `void* const*`: one address per binding, of which the scripted engine has three for each of two profiles.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct Bindings(pub *const Ptr);

impl Show for Bindings {
    fn show(&self) -> String {
        if self.0.is_null() {
            return "null".into();
        }
        // SAFETY: a caller passes as many addresses as the engine has bindings.
        let addresses = unsafe { std::slice::from_raw_parts(self.0, 6) };
        format!("[{}]", addresses.iter().map(|&a| Address(a).show()).collect::<Vec<_>>().join(", "))
    }
}

impl Show for Dims64 {
    fn show(&self) -> String {
        let Some(extents) = usize::try_from(self.count).ok().and_then(|count| self.d.get(..count)) else {
            return format!("Dims of {}", self.count);
        };
        format!("{extents:?}")
    }
}

impl Show for Dims32 {
    fn show(&self) -> String {
        Dims64::from(*self).show()
    }
}

impl<T: Show> Show for *const T {
    fn show(&self) -> String {
        // SAFETY: a C++ reference: never null, alive during the call.
        unsafe { &**self }.show()
    }
}
