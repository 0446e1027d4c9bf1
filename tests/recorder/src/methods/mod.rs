//! What each method answers: round trips for what can be set, and otherwise the script of a small network.
//!
//! The network has the layers `stem`, `body` and `head`, the input `images`, the outputs `scores` and `boxes`, and two
//! tensors between. A model is any bytes; its text decides what happens to it, see [`network`] and [`builder`].

mod builder;
mod config;
mod network;
mod parser;
mod runtime;

use crate::golden::Version;
use crate::journal::fail;
use crate::object::{self, Object};
use crate::types::{Ptr, Slot};

/// Defines methods of a class: each checks `this`, writes its call and answers with the block's value.
macro_rules! methods {
    ($table:ident: $class:ident {
        $(fn $name:ident($this:ident $(, $argument:ident: $type:ty)*) $(-> $result:ty)? $body:block)*
    }) => {
        /// The methods by name.
        #[allow(unused_variables)]
        pub fn $table() -> Vec<($crate::methods::Name, $crate::types::Slot)> {
            $(
                unsafe extern "C" fn $name(this: $crate::types::Ptr $(, $argument: $type)*) $(-> $result)? {
                    let shown: &[String] = &[$($crate::show::Show::show(&$argument)),*];
                    let $this = $crate::object::enter(this, stringify!($class), stringify!($name), shown);
                    $body
                }
            )*
            vec![$((concat!(stringify!($class), "::", stringify!($name)), $name as $crate::types::Slot)),*]
        }
    };
}
use methods;

/// `VBuilder::getLogger`.
pub type Name = &'static str;

/// Every class with methods.
pub const CLASSES: [&str; 14] = [
    "VBuilder",
    "VBuilderConfig",
    "VNetworkDefinition",
    "VTensor",
    "VLayer",
    "VOptimizationProfile",
    "VHostMemory",
    "VTimingCache",
    "VRuntime",
    "VCudaEngine",
    "VExecutionContext",
    "VEngineInspector",
    "IParser",
    "IParserError",
];

/// The classes whose objects belong to the caller.
pub const OWNED: [&str; 9] = [
    "VBuilder",
    "VBuilderConfig",
    "VNetworkDefinition",
    "VHostMemory",
    "VTimingCache",
    "VRuntime",
    "VCudaEngine",
    "VExecutionContext",
    "VEngineInspector",
];

/// Every method that the recorder can answer, with the types of this version.
pub fn all(version: Version) -> Vec<(Name, Slot)> {
    let mut all = [
        builder::builder(),
        builder::memory(),
        builder::timing_cache(),
        config::config(),
        network::network(),
        network::tensor(),
        network::layer(),
        network::profile(),
        runtime::runtime(),
        runtime::engine(),
        runtime::context(),
        runtime::inspector(),
        parser::parser(),
        parser::error(),
    ]
    .concat();
    all.extend(if version.is_8() { network::narrow::all() } else { network::wide::all() });
    all.extend(if version.is_8() { runtime::narrow::all() } else { runtime::wide::all() });
    all
}

/// Slots that the golden text leaves out because our binding has no use for them, and NVIDIA's Python bindings do:
/// class, slot, answer.
pub fn besides(version: Version) -> Vec<(&'static str, usize, Slot)> {
    // `type()` follows `data()` and `size()`; a Python buffer asks for it.
    let mut besides = vec![("VHostMemory", 4, builder::memory_type())];
    if version.is_8() {
        // The deleting destructor. It moved in 8.6.0, so our binding calls destroy().
        besides.push(("IParser", 10, delete_direct as Slot));
    }
    besides
}

/// `delete` of a public object.
pub unsafe extern "C" fn delete_public(this: Ptr) {
    match object::public(this) {
        Some(object) => object.delete(),
        None => fail("delete of no object"),
    }
}

/// `delete` of a parser, which has no implementation object.
pub unsafe extern "C" fn delete_direct(this: Ptr) {
    // SAFETY: the same, since a parser is its own public object.
    unsafe { delete_public(this) }
}

/// A new object of a class as the caller gets it.
fn make(class: &'static str, parent: &'static Object) -> Ptr {
    Object::new(class, Some(parent)).as_ptr()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden;

    #[test]
    fn every_row_of_the_golden_text_is_answered_in_every_family_that_has_it() {
        for number in [8601, 101601, 110400, 10400, 10701] {
            let version = Version::new(number).unwrap();
            let known = all(version);
            for (name, _) in golden::slots(version, "").unwrap() {
                assert!(known.iter().any(|(known, _)| *known == name), "{name} in {version}");
                assert!(CLASSES.iter().any(|class| name.starts_with(&format!("{class}::"))), "{name}");
            }
        }
    }
}
