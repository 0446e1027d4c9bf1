//! Asks the libraries what they are; nothing is inferred from JetPack or from file names.

use std::path::Path;

use nvinfer::{Builder, Error, Library, Typing};
use trt_wire::worker::Probe;
use trt_wire::{Gpu, GpuSource, TensorRt};

use super::library::{describe, search_path, unknown};
use super::trtexec;

/// Loads TensorRT and the CUDA driver.
pub fn run(tensorrt_dir: Option<&Path>) -> Probe {
    let (tensorrt, dla_cores) = tensorrt(tensorrt_dir);
    let device = trt_cuda::device();
    let trtexec = trtexec::find::find(tensorrt_dir, tensorrt.as_ref().ok());
    Probe {
        tensorrt,
        cuda_driver: device.as_ref().ok().map(|device| device.driver_version),
        gpu: device.map_err(|error| error.to_string()).map(|device| Gpu {
            name: device.name,
            compute_capability: device.compute_capability,
            source: GpuSource::Driver,
        }),
        dla_cores,
        trtexec,
    }
}

/// The library and its count of DLA cores, if it could be asked.
///
/// A library of an unknown version is loaded and left alone: `trtexec` may build with it.
fn tensorrt(dir: Option<&Path>) -> (Result<TensorRt, String>, Option<u32>) {
    let library = match Library::open(&search_path(dir)) {
        Ok(library) => library,
        Err(error) => {
            return (unknown(&error, dir).ok_or_else(|| error.to_string()), None);
        }
    };
    match canaries(&library) {
        Err(error @ Error::AbiMismatch { .. }) => (Err(error.to_string()), None),
        // Mostly there is no GPU, which a build will say with TensorRT's own words.
        Err(_) => (Ok(describe(library.version(), library.path())), None),
        Ok(dla_cores) => (Ok(describe(library.version(), library.path())), dla_cores),
    }
}

/// Calls whose answers are known beforehand, on each kind of object that a build begins with.
fn canaries(library: &Library) -> Result<Option<u32>, Error> {
    let builder = Builder::new(library)?;
    builder.create_config()?;
    let is_strong = library.version().is_strongly_typed_only();
    builder.create_network(if is_strong { Typing::Strong } else { Typing::Weak })?;
    Ok(builder.dla_cores().ok())
}
