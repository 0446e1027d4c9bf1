//! What the rest of the project uses: owned types in TensorRT's vocabulary, without `unsafe`.

mod builder;
mod config;
mod library;
mod network;

pub use builder::{Builder, HostMemory, OptimizationProfile, ShapeRange};
pub use config::BuilderConfig;
pub use library::{Library, SearchPath};
pub use network::{Network, TensorInfo};

use std::ffi::CString;

use crate::error::Error;

/// A text for C++.
fn c_string(what: &'static str, text: impl Into<Vec<u8>>) -> Result<CString, Error> {
    CString::new(text).map_err(|error| {
        let text = String::from_utf8_lossy(&error.into_vec()).into_owned();
        Error::Nul { what, text }
    })
}
