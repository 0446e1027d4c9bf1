//! Tensors that stay in the GPU's memory.

use std::ffi::c_void;

use trt_cuda::Buffer;

use crate::{Element, Feed};

/// A tensor for one of the model's inputs, wherever it is.
#[derive(Debug, Clone, Copy)]
pub enum BoundFeed<'a> {
    /// In host memory; it is copied to the GPU.
    Host(Feed<'a>),
    /// In the memory of the session's GPU.
    Device {
        /// The input's name.
        name: &'a str,
        /// Its element type.
        element: Element,
        /// Its dimensions; empty for a scalar.
        shape: &'a [usize],
        /// Its elements, at the start of the buffer.
        buffer: &'a Buffer,
    },
}

/// An output of a run, in the GPU's memory.
#[derive(Debug, Clone)]
pub struct BoundOutput<'a> {
    /// The output's name.
    pub name: &'a str,
    /// Its element type.
    pub element: Element,
    /// Its dimensions; empty for a scalar.
    pub shape: Vec<usize>,
    /// Where its elements start, aligned to 256 bytes; valid until the closure that was given it returns. The host must
    /// not read or write there.
    pub pointer: *mut c_void,
}
