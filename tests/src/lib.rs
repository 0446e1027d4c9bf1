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
pub use programs::{module_root, program, rtx_dir, shared_dir};
pub use sim::Sim;
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

/// Says why a test does not run here. Where everything is installed (`TRT_TESTS_MUST_RUN`) that is a failure.
///
/// # Panics
/// If `TRT_TESTS_MUST_RUN` is set.
pub fn skip(reason: &str) {
    assert!(std::env::var_os("TRT_TESTS_MUST_RUN").is_none(), "this test must run: {reason}");
    eprintln!("skipped: {reason}");
}

/// The same for want of something that not every machine has: `root`, or `arm64` programs. Where everything else is
/// installed, `TRT_TESTS_WITHOUT` lists what is not to be had.
///
/// # Panics
/// If `TRT_TESTS_MUST_RUN` is set and `TRT_TESTS_WITHOUT` does not name it.
pub fn skip_without(what: &str, reason: &str) {
    let without = std::env::var("TRT_TESTS_WITHOUT").unwrap_or_default();
    if without.split_whitespace().any(|word| word == what) {
        eprintln!("skipped: {reason}");
    } else {
        skip(reason);
    }
}
