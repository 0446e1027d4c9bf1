//! How a session is set up: its options, its provider, and the model's external data.

use std::ffi::CString;
use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use memmap2::Mmap;
use ort::AsPointer as _;
use ort::ep;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};

use crate::session::{Cuda, Device, External, Optimization, Options};
use crate::value::check;
use crate::{OrtError, Runtime, error};

/// Messages of ONNX Runtime that a session keeps.
const MESSAGES: usize = 100;

/// Sets up a session.
pub(crate) fn builder(
    runtime: &'static Runtime,
    options: &Options,
    messages: &Arc<Mutex<Vec<String>>>,
) -> Result<SessionBuilder, OrtError> {
    let messages = Arc::clone(messages);
    let log = move |_, _: &str, _: &str, _: &str, text: &str| {
        let mut messages = messages.lock().unwrap_or_else(PoisonError::into_inner);
        if messages.len() < MESSAGES {
            messages.push(text.to_owned());
        }
    };
    let (threads, provider) = match &options.device {
        Device::Cpu { threads } => ((*threads).max(1), None),
        Device::Cuda(cuda) => (1, Some(cuda_provider(cuda))),
    };
    let level = match options.optimization {
        Optimization::None => GraphOptimizationLevel::Disable,
        Optimization::Basic => GraphOptimizationLevel::Level1,
        Optimization::All => GraphOptimizationLevel::All,
    };
    let build = || -> Result<SessionBuilder, ort::Error> {
        let mut builder = SessionBuilder::new(&runtime.environment)?
            .with_logger(Arc::new(log))?
            .with_log_level(ort::logging::LogLevel::Warning)?
            .with_intra_threads(threads)?
            .with_optimization_level(level)?
            .with_deterministic_compute(true)?
            // Between runs the caller's own threads have the processor.
            .with_config_entry("session.force_spinning_stop", "1")?
            // Or else float weights beside Q/DQ pairs are rounded once more, per tensor: `trt_onnx::simulate` has the
            // figures.
            .with_config_entry("session.disable_quant_qdq", "1")?;
        if let Some(provider) = provider {
            provider.register(&mut builder)?;
        }
        Ok(builder)
    };
    build().map_err(|error| match options.device {
        Device::Cpu { .. } => error::of_load(error),
        Device::Cuda(_) => error::of_provider(error),
    })
}

fn cuda_provider(cuda: &Cuda) -> ep::ExecutionProviderDispatch {
    let provider = ep::CUDA::default()
        .with_device_id(i32::try_from(cuda.device).unwrap_or(i32::MAX))
        .with_tf32(cuda.tf32)
        .with_conv_algorithm_search(ep::cuda::ConvAlgorithmSearch::Heuristic)
        .with_arena_extend_strategy(ep::ArenaExtendStrategy::SameAsRequested);
    let provider = match &cuda.stream {
        // SAFETY: the session holds the stream for as long as it lives.
        Some(stream) => unsafe { provider.with_compute_stream(stream.as_raw().cast()) },
        None => provider,
    };
    provider.build()
}

/// The folder in which all files are called as the model calls them, and which ONNX Runtime may read them from.
pub(crate) fn folder_of(files: &[External]) -> Option<&str> {
    fn of(file: &External) -> Option<&Path> {
        let depth = Path::new(&file.location).components().count();
        let folder = file.path.ancestors().nth(depth)?;
        (folder.join(&file.location) == file.path).then_some(folder)
    }
    // The current folder has an empty name, which ONNX Runtime takes for none.
    let named = |folder: &&Path| !folder.as_os_str().is_empty();
    let folder = of(files.first()?).filter(named).filter(|_| files.iter().all(|file| file.path.exists()))?;
    files.iter().all(|file| of(file).is_some_and(|of| of == folder)).then(|| folder.to_str())?
}

/// Maps external data into memory. ONNX Runtime copies it, and takes no tensor of 2 GiB or more from there.
pub(crate) fn map(files: &[External]) -> Result<Vec<Mmap>, OrtError> {
    let one = |file: &External| {
        // SAFETY: the caller promises that nobody changes the file meanwhile.
        let mapped = File::open(&file.path).and_then(|opened| unsafe { Mmap::map(&opened) });
        mapped.map_err(|source| OrtError::External { path: file.path.clone(), source })
    };
    files.iter().map(one).collect()
}

/// Gives external data to the session that is to be.
pub(crate) fn bring(
    builder: &mut SessionBuilder,
    files: &[External],
    mapped: &[Mmap],
) -> Result<(), ort::Error> {
    for (file, bytes) in files.iter().zip(mapped) {
        let name = CString::new(file.location.as_str())?;
        let (name, address, len) = (name.as_ptr(), bytes.as_ptr().cast_mut().cast(), bytes.len());
        // SAFETY: one name, one address and one length; the memory outlives the session and is not written.
        check(unsafe {
            (ort::api().AddExternalInitializersFromMemory)(builder.ptr().cast_mut(), &name, &address, &len, 1)
        })?;
    }
    Ok(())
}
