//! Asks the libraries what they are; nothing is inferred from JetPack or from file names.

use std::path::Path;

use nvinfer::{Library, Product, SearchPath, Version};
use trt_wire::worker::Probe;
use trt_wire::{Gpu, GpuSource, TensorRt, TensorRtProduct};

/// Loads TensorRT and the CUDA driver.
pub fn run(tensorrt_dir: Option<&Path>) -> Probe {
    let tensorrt = Library::open(&search_path(tensorrt_dir)).map(|library| describe(&library));
    let device = trt_cuda::device();
    Probe {
        tensorrt: tensorrt.map_err(|error| error.to_string()),
        cuda_driver: device.as_ref().ok().map(|device| device.driver_version),
        gpu: device.map_err(|error| error.to_string()).map(|device| Gpu {
            name: device.name,
            compute_capability: device.compute_capability,
            source: GpuSource::Driver,
        }),
        dla_cores: None,
        trtexec: None,
    }
}

/// The configuration's folder and nothing else, or what the system's loader finds.
pub fn search_path(tensorrt_dir: Option<&Path>) -> SearchPath {
    tensorrt_dir.map_or_else(SearchPath::default, |dir| SearchPath::only([dir]))
}

/// A loaded library in the wire's words.
pub fn describe(library: &Library) -> TensorRt {
    let Version { product, major, minor, patch, .. } = library.version();
    TensorRt {
        product: match product {
            Product::TensorRt => TensorRtProduct::TensorRt,
            Product::Rtx => TensorRtProduct::Rtx,
        },
        version: [major, minor, patch],
        library: library.path().display().to_string(),
        is_known: true,
    }
}
