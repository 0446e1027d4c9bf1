//! A model, ready to run.

use std::ffi::CString;
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::{Arc, Mutex, PoisonError};

use memmap2::Mmap;
use ort::AsPointer as _;
use ort::memory::{AllocationDevice, AllocatorType, MemoryInfo, MemoryType};
use ort::session::RunOptions;
use ort::value::{Outlet, ValueType};
use trt_cuda::Stream;

use crate::bound::{Binding, Places};
use crate::setup::{bring, builder, folder_of, map};
use crate::value::{Borrowed, Value, check, suits, wrong};
use crate::{BoundFeed, BoundOutput, Element, Feed, Kind, OrtError, Output, Runtime, error};

/// Where the model comes from.
#[derive(Debug, Clone, Copy)]
pub enum ModelSource<'a> {
    /// An encoded model, and the files that hold its external data.
    Bytes(&'a [u8], &'a [External]),
    /// A file; its external data is found beside it.
    File(&'a Path),
}

/// A file with external data of a model that is given as bytes.
///
/// ONNX Runtime reads it where it is if all files lie in one folder under the names that the model has for them; before
/// version 1.21, and otherwise, it is mapped into memory for it, and no tensor may have 2 GiB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct External {
    /// What the model calls it, letter by letter: `location` in the tensors that refer to it.
    pub location: String,
    /// Where it is. It must not change while the session lives.
    pub path: PathBuf,
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
pub struct Session {
    session: ort::session::Session,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    output_names: Vec<CString>,
    host: MemoryInfo<'static>,
    /// The memory of the GPU, and how a run there is made; held while one runs.
    gpu: Option<Mutex<Gpu>>,
    messages: Arc<Mutex<Vec<String>>>,
    /// External data, which ONNX Runtime may still read.
    _external: Vec<Mmap>,
    /// Used by the session, so dropped after it.
    stream: Option<Arc<Stream>>,
}

struct Gpu {
    memory: MemoryInfo<'static>,
    device: u32,
    run: RunOptions,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("inputs", &self.inputs).finish_non_exhaustive()
    }
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
        if let Device::Cuda(cuda) = &options.device {
            runtime.cuda()?;
            let own = cuda.stream.as_ref().map(|stream| stream.context().ordinal());
            if let Some(own) = own.filter(|own| *own != cuda.device) {
                let reason =
                    format!("its stream is one of GPU {own}, and the session is to be on: {}", cuda.device);
                return Err(OrtError::CudaProvider { reason });
            }
        }
        let messages = Arc::new(Mutex::new(Vec::new()));
        let mut builder = builder(runtime, options, &messages)?;
        let mut external = Vec::new();
        let session = match model {
            ModelSource::File(path) => builder.commit_from_file(path),
            ModelSource::Bytes(bytes, files) => {
                match folder_of(files).filter(|_| runtime.takes_folders()) {
                    Some(folder) => {
                        builder = builder
                            .with_config_entry("session.model_external_initializers_file_folder_path", folder)
                            .map_err(|error| error::of_load(error.into()))?;
                    }
                    None => {
                        external = map(files)?;
                        bring(&mut builder, files, &external).map_err(error::of_load)?;
                    }
                }
                builder.commit_from_memory(bytes)
            }
        };
        let session = session.map_err(error::of_load)?;
        let memory = |device, number| {
            let made = MemoryInfo::new(device, number, AllocatorType::Device, MemoryType::Default);
            made.map_err(error::of_load)
        };
        let (gpu, stream) = match &options.device {
            Device::Cpu { .. } => (None, None),
            Device::Cuda(cuda) => {
                let device = cuda.device;
                let mut run = RunOptions::new().map_err(error::of_load)?;
                if cuda.stream.is_some() {
                    run.disable_device_sync().map_err(error::of_load)?;
                }
                let memory = memory(AllocationDevice::CUDA, device as i32)?;
                (Some(Mutex::new(Gpu { memory, device, run })), cuda.stream.clone())
            }
        };
        let ports = |outlets: &[Outlet]| outlets.iter().map(port).collect::<Vec<_>>();
        let outputs = ports(session.outputs());
        let names = outputs.iter().map(|output| CString::new(output.name.as_str()).unwrap_or_default());
        Ok(Self {
            inputs: ports(session.inputs()),
            output_names: names.collect(),
            outputs,
            host: memory(AllocationDevice::CPU, 0)?,
            gpu,
            messages,
            session,
            _external: external,
            stream,
        })
    }

    /// The inputs that must be given.
    pub fn inputs(&self) -> &[Port] {
        &self.inputs
    }

    /// The outputs.
    pub fn outputs(&self) -> &[Port] {
        &self.outputs
    }

    /// What ONNX Runtime warned of so far, such as operators that it runs on the CPU beside a GPU; at most the first
    /// hundred messages, in its own words.
    pub fn messages(&self) -> Vec<String> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner).clone()
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
        self.check(feeds.iter().map(|feed| (feed.name, feed.elements.element())))?;
        let values: Vec<Borrowed<'_>> =
            feeds.iter().map(|feed| Value::of_feed(feed, &self.host)).collect::<Result<_, _>>()?;
        let names = feeds.iter().map(|feed| CString::new(feed.name).map_err(|_| wrong(feed.name, "NUL")));
        let names: Vec<CString> = names.collect::<Result<_, _>>()?;
        let name_pointers: Vec<_> = names.iter().map(|name| name.as_ptr()).collect();
        let value_pointers: Vec<_> = values.iter().map(|value| value.as_ptr().cast_const()).collect();
        let wanted_pointers: Vec<_> = wanted.iter().map(|&at| self.output_names[at].as_ptr()).collect();
        let mut outputs = vec![ptr::null_mut(); wanted.len()];
        // One run at a time on a GPU, where outputs are copied behind the session's back.
        let _turn = self.gpu.as_ref().map(|gpu| gpu.lock().unwrap_or_else(PoisonError::into_inner));
        // SAFETY: ONNX Runtime's `Run` may be called from several threads; names and values are live and as many as said.
        let status = check(unsafe {
            (ort::api().Run)(
                self.session.ptr().cast_mut(),
                ptr::null(),
                name_pointers.as_ptr(),
                value_pointers.as_ptr(),
                feeds.len(),
                wanted_pointers.as_ptr(),
                wanted.len(),
                outputs.as_mut_ptr(),
            )
        });
        // SAFETY: each is null or a value that `Run` has made for us, also where it failed in the end.
        let outputs: Vec<_> = outputs.into_iter().map(|value| unsafe { Value::take(value) }).collect();
        status.map_err(error::of_run)?;
        let shown: Vec<Output<'_>> = wanted
            .iter()
            .zip(&outputs)
            .map(|(&at, value)| {
                let name = self.outputs[at].name.as_str();
                let absent = || Output { name, shape: Vec::new(), elements: Err("nothing".to_owned()) };
                value.as_ref().map_or_else(absent, |value| value.output(name))
            })
            .collect();
        Ok(visit(&shown))
    }

    /// Runs the model on its GPU and shows where the outputs at the positions `wanted` lie in its memory.
    ///
    /// With a stream of the caller's ([`Cuda::stream`]) nobody waits: inputs may be written and outputs read by work in
    /// that stream, which is put there before the call and within `visit`. When that returns the memory goes back to ONNX
    /// Runtime, whose next use of it is in the same stream. Without one, the GPU has finished when `visit` is called, and
    /// there is nothing to be read: [`BoundOutput::floats`] is empty.
    ///
    /// # Errors
    /// As for [`Session::run`]; [`OrtError::Run`] also for a session on the CPU and for an output that is no tensor.
    pub fn run_bound<R>(
        &self,
        feeds: &[BoundFeed<'_>],
        wanted: &[usize],
        visit: impl FnOnce(&[BoundOutput<'_>]) -> R,
    ) -> Result<R, OrtError> {
        let refused = |reason: &str| OrtError::Run { node: None, reason: reason.to_owned() };
        let Some(gpu) = &self.gpu else { return Err(refused("the session is not on a GPU")) };
        self.check(feeds.iter().map(|feed| (feed.name(), feed.element())))?;
        let gpu = gpu.lock().unwrap_or_else(PoisonError::into_inner);
        let names = wanted.iter().map(|&at| &self.output_names[at]);
        let places = Places { host: &self.host, gpu: &gpu.memory, device: gpu.device };
        // SAFETY: the session lives as long as `self`.
        let binding = unsafe { Binding::new(self.session.ptr(), feeds, names, &places, error::of_run) }?;
        // SAFETY: session, options and binding are live.
        check(unsafe {
            (ort::api().RunWithBinding)(self.session.ptr().cast_mut(), gpu.run.ptr(), binding.as_ptr())
        })
        .map_err(error::of_run)?;
        let values = binding.outputs().map_err(error::of_run)?;
        if values.len() != wanted.len() {
            return Err(refused("an output is missing"));
        }
        let shown = wanted.iter().zip(&values).map(|(&at, value)| {
            let name = self.outputs[at].name.as_str();
            // SAFETY: bound to this GPU, and released below, when `visit` has returned: its outputs cannot leave it.
            let shown = unsafe { BoundOutput::new(name, value, self.stream.as_deref()) };
            shown.map_err(|what| refused(&format!("output `{name}` is {what}")))
        });
        let shown: Vec<BoundOutput<'_>> = shown.collect::<Result<_, OrtError>>()?;
        Ok(visit(&shown))
    }

    /// Whether what is given is what the model wants.
    fn check<'a>(&self, feeds: impl Iterator<Item = (&'a str, Element)> + Clone) -> Result<(), OrtError> {
        feeds.clone().try_for_each(|(name, element)| suits(name, element, &self.inputs))?;
        let absent = self.inputs.iter().find(|input| !feeds.clone().any(|(name, _)| name == input.name));
        match absent {
            Some(input) => Err(wrong(&input.name, "it is not there")),
            None => Ok(()),
        }
    }
}

fn port(outlet: &Outlet) -> Port {
    let kind = match outlet.dtype() {
        ValueType::Tensor { ty, shape, .. } => {
            let number: ort::sys::ONNXTensorElementDataType = (*ty).into();
            let dims = shape.iter().map(|&side| usize::try_from(side).ok()).collect();
            Kind::Tensor { element: Element::from_onnx(number as i32), dims }
        }
        ValueType::Sequence(_) => Kind::Other("sequence"),
        ValueType::Map { .. } => Kind::Other("map"),
        ValueType::Optional(_) => Kind::Other("optional"),
    };
    Port { name: outlet.name().to_owned(), kind }
}
