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
//! INT8 from a calibration table, where the version calibrates (8 and 10); tensors without a scale are found beforehand:
//!
//! ```no_run
//! # use nvinfer::*;
//! # fn int8(builder: &Builder, network: &Network, config: &mut BuilderConfig, table: Vec<u8>) -> Result<(), Error> {
//! for tensor in network.tensors()?.iter().filter(|tensor| tensor.info.data_type.is_quantizable()) {
//!     println!("{} of layer {:?}", tensor.info.name, tensor.producer);
//! }
//! let calibrator = Calibrator::new(CalibratorClass::Entropy2, table);
//! config.set_flag(BuilderFlag::Int8, true)?;
//! config.set_calibrator(&calibrator)?;
//! let engine = builder.build(network, config)?;
//! assert!(calibrator.was_read() && !calibrator.batch_was_asked());
//! # Ok(()) }
//! ```
//!
//! Running an engine, in device memory of `trt-cuda` or of whoever implements [`DeviceMemory`]:
//!
//! ```no_run
//! use nvinfer::{Library, Runtime, SearchPath};
//! use trt_cuda::{Buffer, Context, Stream};
//!
//! let cuda = Context::primary(0)?;
//! let stream = Stream::new(&cuda)?;
//! let runtime = Runtime::new(&Library::open_runtime(&SearchPath::default())?)?;
//! let engine = runtime.deserialize(&std::fs::read("engine.plan")?)?;
//! let mut context = engine.create_context()?;
//! context.set_input_shape("images", &[1, 3, 224, 224])?;
//! let images = Buffer::new(&cuda, context.bytes("images")? as usize)?;
//! let scores = Buffer::new(&cuda, context.bytes("scores")? as usize)?;
//! context.enqueue(&stream, &[("images", &images), ("scores", &scores)])?.wait()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What is proven: builds with real TensorRT-RTX 1.4 to 1.7; the runtimes of real TensorRT 10.16, 11.0 and 11.4 on a GPU, up
//! to refusing what is no engine; every call in every family on recorder libraries. What is not: a build by a real
//! TensorRT 8, 10 or 11, and an engine that ran.
//!
//! A wrong table means a crash, so use this crate in a process of its own, as the agent's worker does. It never prints;
//! TensorRT's log goes to [`Library::set_logger`]. Of other crates under
//! `crates/`, only `trt-inference` uses it, where a desktop TensorRT calibrates; it uses `trt-cuda`, for memory and streams.

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
    Network, NetworkTensor, OptimizationProfile, Running, Runtime, SearchPath, ShapeRange, Tensor,
    TensorInfo,
};
pub use sys::calibrator::{Batches, CalibratorClass};
pub use sys::device::{DeviceMemory, DeviceStream};
pub use sys::logger::LogSink;
pub use sys::monitor::ProgressEvent;
pub use sys::values::{
    BuilderFlag, DataType, DeviceType, HardwareCompatibility, IoMode, LayerKind, MemoryPool,
    PrecisionConstraints, PreviewFeature, ProfilingVerbosity, Severity, TacticSource, Typing,
    compute_capabilities,
};
pub use version::{Family, Product, Version};
