//! TensorRT 8, 10, 11 and TensorRT-RTX from one Rust binary, by dlopen: no C++ compiler, no NVIDIA header.
//!
//! TensorRT's C++ objects are driven through their vtables. Which slot a method has, and which number a flag has, differs
//! between families of releases; [`sys`] holds the tables, and [`Version`] is asked of the library before anything else.
//! A version without a table is refused. The layers are [`sys`] (what the interface is), `result` (fallible calls on
//! owned objects) and `safe`, which is what this page shows; `unsafe` ends before the last.
//!
//! ```no_run
//! use nvinfer::{Builder, Library, SearchPath, Typing};
//!
//! let library = Library::open(&SearchPath::default())?;
//! library.set_logger(|severity, text| eprintln!("{severity:?}: {text}"));
//! let builder = Builder::new(&library)?;
//! let mut network = builder.create_network(Typing::Strong)?;
//! network.parse_file("model.onnx".as_ref())?;
//! let mut config = builder.create_config()?;
//! config.set_workspace_limit(256 << 20)?;
//! std::fs::write("engine.plan", &*builder.build(&network, &config)?)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A wrong table means a crash, so use this crate in a process of its own, as the agent's worker does. It never prints;
//! TensorRT's log goes to [`Library::set_logger`]. It must not be used by other crates under `crates/`.

#[cfg(not(unix))]
compile_error!("TensorRT's C++ interface is known here for Linux only");

#[deny(unsafe_code)]
mod elf;
mod error;
mod result;
#[deny(unsafe_code)]
mod safe;
pub mod sys;
#[deny(unsafe_code)]
mod version;

pub use error::{Attempt, Error, LoadError, ParserError, RecordedError, Unsupported};
pub use safe::{
    Builder, BuilderConfig, Calibrator, Engine, ExecutionContext, HostMemory, IoTensor, Layer, Library,
    Network, NetworkTensor, OptimizationProfile, Runtime, SearchPath, ShapeRange, Tensor, TensorInfo,
};
pub use sys::calibrator::CalibratorClass;
pub use sys::device::{DeviceMemory, DeviceStream};
pub use sys::logger::LogSink;
pub use sys::monitor::ProgressEvent;
pub use sys::values::{
    BuilderFlag, DataType, DeviceType, HardwareCompatibility, IoMode, LayerKind, MemoryPool,
    PrecisionConstraints, PreviewFeature, ProfilingVerbosity, Severity, TacticSource, Typing,
    compute_capabilities,
};
pub use version::{Family, Product, Version};
