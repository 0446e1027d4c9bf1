//! What the rest of the project uses: owned types in TensorRT's vocabulary, without `unsafe`.

mod builder;
mod calibrator;
mod config;
mod context;
mod layer;
mod library;
mod network;
mod runtime;
mod search;
mod tuning;

pub use builder::{Builder, HostMemory, OptimizationProfile, ShapeRange};
pub use calibrator::Calibrator;
pub use config::BuilderConfig;
pub use context::{ExecutionContext, Running};
pub use layer::{Layer, NetworkTensor, Tensor};
pub use library::Library;
pub use network::{Network, TensorInfo};
pub use runtime::{Engine, IoTensor, Runtime};
pub use search::SearchPath;

use std::ffi::CString;

use crate::error::Error;

/// A text for C++.
fn c_string(what: &'static str, text: impl Into<Vec<u8>>) -> Result<CString, Error> {
    CString::new(text).map_err(|error| {
        let text = String::from_utf8_lossy(&error.into_vec()).into_owned();
        Error::Nul { what, text }
    })
}
