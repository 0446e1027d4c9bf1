//! Thin, fallible calls on owned C++ objects: primitive types in, `Result` out.
//!
//! This is where the lifetimes of the C++ side are kept: every object holds what must outlive it, in fields that come
//! after the object itself, because Rust drops fields in order.

mod builder;
mod config;
mod context;
mod engine;
mod layer;
mod library;
mod network;
mod parser;
mod plugins;
mod runtime;
mod tuning;

use std::fmt::Debug;

pub use builder::{Builder, HostMemory, Profile};
pub use config::Config;
pub use context::Context;
pub use engine::{Engine, IoTensor};
pub use library::{Infer, SharedLibrary, TensorRt};
pub use network::{LayerHandle, Network, Tensor, TensorHandle};
pub use parser::Parser;
pub use runtime::Runtime;

use crate::error::Error;
use crate::sys::Handle;
use crate::sys::types::Ptr;
use crate::version::Version;

/// A TensorRT object that is deleted on drop.
struct Owned<C>(Handle<C>);

impl<C> Owned<C> {
    /// Takes a new object; `None` if TensorRT made none.
    ///
    /// # Safety
    /// `public` is null or a live, otherwise unowned object of `version` whose implementation is a `C`.
    unsafe fn new(version: Version, public: Ptr) -> Option<Owned<C>> {
        // SAFETY: promised by the caller; the object lives as long as its owner.
        unsafe { Handle::forwarding(version, public) }.map(Owned)
    }
}

impl<C> Drop for Owned<C> {
    /// Calls the deleting destructor, slot 1 of the *public* vtable in every class and version.
    fn drop(&mut self) {
        // SAFETY: the object is alive and ours; nothing uses it afterwards.
        unsafe {
            let vtable = *self.0.public.cast::<*const unsafe extern "C" fn(Ptr)>();
            (*vtable.add(1))(self.0.public);
        }
    }
}

/// A canary: the answer of a call whose answer is known beforehand.
fn expect<T: PartialEq + Debug>(
    version: Version,
    method: &'static str,
    expected: T,
    found: T,
) -> Result<(), Error> {
    if expected == found {
        return Ok(());
    }
    let (expected, found) = (format!("{expected:?}"), format!("{found:?}"));
    Err(Error::AbiMismatch { method, version, expected, found })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_canary_names_the_method_and_both_answers() {
        let version = Version::from_number(10701).unwrap();
        assert!(expect(version, "VBuilder::getLogger", 1, 1).is_ok());
        let error = expect(version, "VBuilder::getLogger", 1, 2).unwrap_err();
        assert_eq!(
            error.to_string(),
            "TensorRT-RTX 1.7.1 does not have the expected interface: `VBuilder::getLogger` gave 2 instead of 1"
        );
    }
}
