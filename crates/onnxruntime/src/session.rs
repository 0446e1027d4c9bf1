//! A model, ready to run.

use std::path::Path;
use std::sync::Arc;

use trt_cuda::Stream;

use crate::{BoundFeed, BoundOutput, Feed, Kind, OrtError, Output, Runtime};

/// Where the model comes from.
#[derive(Debug, Clone, Copy)]
pub enum ModelSource<'a> {
    /// An encoded model without external data.
    Bytes(&'a [u8]),
    /// A file; its external data is found beside it.
    File(&'a Path),
}

/// How much ONNX Runtime may change the graph before it runs it. A value that is an output stays as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Optimization {
    /// Not at all.
    None,
    /// What keeps the operators: constants are folded, nodes without effect removed.
    Basic,
    /// Operators are merged and memory is laid out for the processor.
    #[default]
    All,
}

/// What runs the model.
#[derive(Debug, Clone)]
pub enum Device {
    /// The processor, with this many threads (at least 1), the calling one among them.
    Cpu {
        /// Threads within an operator.
        threads: usize,
    },
    /// A GPU.
    Cuda(Cuda),
}

/// How a GPU is used. Convolutions are chosen by heuristics rather than by trying them out, so that a run can be
/// repeated bit for bit, and memory is taken as requested rather than in powers of two.
#[derive(Debug, Clone)]
pub struct Cuda {
    /// Its number, as CUDA counts.
    pub device: u32,
    /// Whether matrix products and convolutions may round their inputs to TF32.
    pub tf32: bool,
    /// The stream that all work is put into; ONNX Runtime's own if `None`.
    pub stream: Option<Arc<Stream>>,
}

/// How a session is made.
#[derive(Debug, Clone)]
pub struct Options {
    /// What runs the model.
    pub device: Device,
    /// What may be changed of the graph.
    pub optimization: Optimization,
}

/// An input or output of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: Kind,
}

/// A model that ONNX Runtime has loaded. It may be run from several threads at once; on a GPU they take turns.
#[derive(Debug)]
pub struct Session {
    inputs: Vec<Port>,
    outputs: Vec<Port>,
}

impl Session {
    /// Loads a model.
    ///
    /// # Errors
    /// [`OrtError::Model`]; on a GPU also [`OrtError::CudaProvider`], [`OrtError::OutOfMemory`] and what
    /// [`Runtime::cuda`] gives.
    pub fn new(
        runtime: &'static Runtime,
        model: ModelSource<'_>,
        options: &Options,
    ) -> Result<Self, OrtError> {
        let _ = (runtime, model, options);
        Err(OrtError::Model { node: None, missing_operator: false, reason: String::new() })
    }

    /// The inputs.
    pub fn inputs(&self) -> &[Port] {
        &self.inputs
    }

    /// The outputs.
    pub fn outputs(&self) -> &[Port] {
        &self.outputs
    }

    /// Runs the model and shows the outputs at the positions `wanted` of [`Session::outputs`], in that order. They are
    /// in host memory, on a GPU by a copy, and gone when `visit` returns.
    ///
    /// # Errors
    /// [`OrtError::Feed`], [`OrtError::Run`], [`OrtError::OutOfMemory`] and [`OrtError::GpuLost`].
    pub fn run<R>(
        &self,
        feeds: &[Feed<'_>],
        wanted: &[usize],
        visit: impl FnOnce(&[Output<'_>]) -> R,
    ) -> Result<R, OrtError> {
        let _ = (feeds, wanted);
        Ok(visit(&[]))
    }

    /// Runs the model on its GPU and shows where the outputs at the positions `wanted` lie in its memory.
    ///
    /// With a stream of the caller's ([`Cuda::stream`]) nobody waits: inputs may be written and outputs read by work in
    /// that stream, which is put there before the call and within `visit`. Without one, the GPU has finished when
    /// `visit` is called. When it returns the memory goes back to ONNX Runtime, whose next use of it is in the same
    /// stream: work that `visit` has put there may still read it, work elsewhere must be done.
    ///
    /// # Errors
    /// As for [`Session::run`].
    pub fn run_bound<R>(
        &self,
        feeds: &[BoundFeed<'_>],
        wanted: &[usize],
        visit: impl FnOnce(&[BoundOutput<'_>]) -> R,
    ) -> Result<R, OrtError> {
        let _ = (feeds, wanted);
        Ok(visit(&[]))
    }
}
