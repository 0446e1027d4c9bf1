//! What the CUDA driver says about this machine's GPU.
//!
//! The driver is loaded at run time through cudarc, so programs with this crate start where no CUDA is. Only entry
//! points that the driver of CUDA 10.2 (JetPack 4.6) has are called, hence cudarc's `result` and `sys` layers and
//! not its safe context, which asks for attributes that such a driver rejects. Launches, buffers and PTX for
//! calibration on the GPU will live here; nothing else of the project talks to CUDA.

mod driver;

pub use driver::{Device, DriverError, device};
