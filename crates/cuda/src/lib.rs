//! The CUDA driver: what GPU there is, and a context, streams, events and buffers on it.
//!
//! The driver is loaded at run time, so programs with this crate start where no CUDA is, and every failure is a
//! [`DriverError`]. Only entry points that the driver of CUDA 10.2 (JetPack 4.6) has are called: the module `sys` has the list,
//! and why it calls them itself where cudarc finds the library. Nothing else of the project talks to CUDA.
//!
//! With the feature `kernels` it also holds what calibration does on the host's GPU: [`Counter`] makes histograms of
//! activations where they lie, and [`Preprocessor`] turns decoded pictures into a network's input. Their sources are in
//! `kernels/`, with the PTX that `scripts/make-kernels` makes of them and the driver compiles for the GPU that is there.

mod buffer;
mod context;
#[cfg(feature = "kernels")]
mod counter;
mod driver;
mod error;
#[cfg(feature = "kernels")]
mod floats;
#[cfg(feature = "kernels")]
mod module;
#[cfg(feature = "kernels")]
mod pinned;
#[cfg(feature = "kernels")]
mod preprocessor;
#[cfg(feature = "kernels")]
mod reduction;
#[cfg(feature = "kernels")]
mod share;
mod stream;
mod sys;

pub use buffer::Buffer;
pub use context::{Context, Memory};
#[cfg(feature = "kernels")]
pub use counter::{Counter, Counts, FINE, Receipt, Seen};
pub use driver::{Device, device, device_at};
pub use error::DriverError;
#[cfg(feature = "kernels")]
pub use floats::Floats;
#[cfg(feature = "kernels")]
pub use pinned::Pinned;
#[cfg(feature = "kernels")]
pub use preprocessor::{Canvas, Placed, Preprocessor, Tap, Taps, Upload};
#[cfg(feature = "kernels")]
pub use reduction::GreatestMagnitude;
pub use stream::{Event, Stream, synchronize};
