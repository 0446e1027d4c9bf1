//! What the end-to-end tests share: the real programs, a device on this machine, small models and photographs.
//!
//! The daemon, the worker and the builder (TensorRT-RTX from PyPI) are the ones users have. Tests that build engines
//! skip with a message where TensorRT-RTX is not installed; `scripts/test` installs it.

mod device;
mod disk;
mod host;
pub mod models;
mod programs;
mod sim;
mod wire;
pub mod worker;

pub use device::{Device, Options};
pub use disk::SmallDisk;
pub use host::{Host, Run, run};
pub use programs::{module_root, program};
pub use sim::Sim;
pub use test_support::{eventually, newest_rtx as rtx_dir, patience, skip, skip_without};
pub use wire::Wire;

/// Ends the test with a message if there is no TensorRT-RTX here.
#[macro_export]
macro_rules! require_rtx {
    () => {
        match $crate::rtx_dir() {
            Some(dir) => dir,
            None => return $crate::skip("no TensorRT-RTX; scripts/test installs it and sets TRT_RTX_LIB_DIR"),
        }
    };
}
