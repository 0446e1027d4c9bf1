//! Runs a model in ONNX Runtime, for its outputs.

use std::path::Path;

use onnxruntime::{Cuda, Device, Feed, Optimization, Output};

use super::{Loaded, feed, load, tensor};
use crate::{Backend, Network, Settings, SourceError, Tensor};

/// A model in ONNX Runtime, on the CPU or on a GPU; inputs and outputs are in host memory either way.
pub struct OrtNetwork {
    loaded: Loaded,
    outputs: Vec<String>,
    wanted: Vec<usize>,
    backend: Backend,
}

impl OrtNetwork {
    /// Loads a model whose external data lies in `folder`, on the CPU or on the first GPU of the settings.
    pub(crate) fn open(
        model: &trt_onnx::Model,
        folder: &Path,
        settings: &Settings,
        gpu: bool,
    ) -> Result<Self, SourceError> {
        let number = settings.devices.first().copied().unwrap_or(0);
        let (device, name, set) = if gpu {
            let cuda = Cuda { device: number, tf32: settings.tf32, stream: None };
            (Device::Cuda(cuda), "onnxruntime-cuda", ("tf32", settings.tf32.to_string()))
        } else {
            let threads = settings.threads.max(1);
            (Device::Cpu { threads }, "onnxruntime", ("threads", threads.to_string()))
        };
        let loaded = load(model, folder, settings, device, Optimization::All)?;
        let outputs: Vec<String> =
            loaded.session.outputs().iter().map(|output| output.name.clone()).collect();
        let version = loaded.runtime.version().to_owned();
        Ok(Self {
            backend: Backend { name, version, settings: vec![set] },
            wanted: (0..outputs.len()).collect(),
            outputs,
            loaded,
        })
    }
}

impl Network for OrtNetwork {
    fn backend(&self) -> Backend {
        self.backend.clone()
    }

    fn outputs(&self) -> &[String] {
        &self.outputs
    }

    fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, SourceError> {
        let feeds: Vec<Feed<'_>> = inputs.iter().map(feed).collect();
        let copy = |outputs: &[Output<'_>]| outputs.iter().map(tensor).collect();
        let run = self.loaded.session.run(&feeds, &self.wanted, copy);
        run.map_err(|error| self.loaded.nodes.explain(error))?
    }
}
