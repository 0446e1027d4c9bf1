//! The CUDA driver: what GPU there is, and a context, streams, events and buffers on it.
//!
//! The driver is loaded at run time, so programs with this crate start where no CUDA is, and every failure is a
//! [`DriverError`]. Only entry points that the driver of CUDA 10.2 (JetPack 4.6) has are called: the module `sys` has the list,
//! and why it calls them itself where cudarc finds the library. Launches and PTX for calibration on the GPU will live
//! here; nothing else of the project talks to CUDA.

mod buffer;
mod context;
mod driver;
mod error;
mod stream;
mod sys;

pub use buffer::Buffer;
pub use context::{Context, Memory};
pub use driver::{Device, device};
pub use error::DriverError;
pub use stream::{Event, Stream, synchronize};
