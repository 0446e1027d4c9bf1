//! What can go wrong between us and ONNX Runtime, and what mends it.

use std::path::PathBuf;

use trt_cuda::DriverError;

use crate::Place;
use crate::runtime::LEAST_VERSION;

/// Why ONNX Runtime could not be loaded, or what it answered.
#[derive(Debug, thiserror::Error)]
pub enum OrtError {
    /// There is no `libonnxruntime` anywhere.
    #[error("ONNX Runtime was not found; looked in: {}", list(tried))]
    NotFound {
        /// Where it was looked for.
        tried: Vec<Place>,
    },
    /// A file cannot be loaded as a library.
    #[error("ONNX Runtime cannot be loaded from `{}`: {reason}", path.display())]
    NotLoadable {
        /// The library.
        path: PathBuf,
        /// The loader's words, which name a library that is missing.
        reason: String,
    },
    /// A library that is not ONNX Runtime.
    #[error("this library is not ONNX Runtime, since it has no function `OrtGetApiBase`: `{}`", path.display())]
    NotOnnxRuntime {
        /// The library.
        path: PathBuf,
    },
    /// An ONNX Runtime from before [`LEAST_VERSION`].
    #[error("ONNX Runtime in `{}` is too old: {found}, and at least {least} is needed", path.display())]
    TooOld {
        /// The library.
        path: PathBuf,
        /// Its version.
        found: String,
        /// The least version that serves.
        least: String,
    },
    /// Another library is in use; a process holds only one.
    #[error("this process already uses ONNX Runtime from `{}`, so it cannot load: `{}`", loaded.display(), wanted.display())]
    AlreadyLoaded {
        /// The library in use.
        loaded: PathBuf,
        /// The one asked for.
        wanted: PathBuf,
    },
    /// This ONNX Runtime is a build for the CPU only.
    #[error("this ONNX Runtime has no CUDA provider; there is no `{}`", path.display())]
    NoCudaProvider {
        /// Where the provider's library should be.
        path: PathBuf,
    },
    /// A library that the CUDA provider needs is missing, or does not load.
    #[error("the CUDA provider of ONNX Runtime lacks the library `{library}`: {reason}")]
    CudaLibrary {
        /// Its name, such as `libcudnn.so.9`.
        library: String,
        /// The loader's words.
        reason: String,
    },
    /// There is no GPU, or no driver.
    #[error("there is no GPU for ONNX Runtime")]
    Driver(#[from] DriverError),
    /// The session could not be made with the GPU.
    #[error("the CUDA provider of ONNX Runtime does not start: {reason}")]
    CudaProvider {
        /// ONNX Runtime's words.
        reason: String,
    },
    /// The model is not one that this ONNX Runtime runs.
    #[error("ONNX Runtime cannot load the model: {reason}")]
    Model {
        /// The node that is at fault, if ONNX Runtime names it.
        node: Option<String>,
        /// Whether an operator is missing, rather than something wrong.
        missing_operator: bool,
        /// ONNX Runtime's words.
        reason: String,
    },
    /// Memory ran out, on the host or on the GPU.
    #[error("ONNX Runtime has too little memory: {reason}")]
    OutOfMemory {
        /// ONNX Runtime's words.
        reason: String,
    },
    /// The GPU is lost; only a new process can use it again.
    #[error("the GPU failed while ONNX Runtime used it: {reason}")]
    GpuLost {
        /// ONNX Runtime's words.
        reason: String,
    },
    /// The model failed on these inputs.
    #[error("ONNX Runtime could not run the model: {reason}")]
    Run {
        /// The node that failed, if ONNX Runtime names it.
        node: Option<String>,
        /// ONNX Runtime's words.
        reason: String,
    },
    /// An input does not fit its own description.
    #[error("input `{name}` cannot be given to ONNX Runtime: {reason}")]
    Feed {
        /// The input.
        name: String,
        /// What does not fit.
        reason: String,
    },
}

fn list(places: &[Place]) -> String {
    places.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl OrtError {
    /// What mends it.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::NotFound { .. } => {
                "install it with `pip install onnxruntime` (or `onnxruntime-gpu`), or name the library in `ORT_DYLIB_PATH`"
            }
            Self::NotLoadable { .. } => {
                "install the library that is missing, or take ONNX Runtime from `pip install onnxruntime` and leave \
                 `ORT_DYLIB_PATH` empty"
            }
            Self::NotOnnxRuntime { .. } => {
                "name the library itself in `ORT_DYLIB_PATH`: `…/onnxruntime/capi/libonnxruntime.so.1.N.M`"
            }
            Self::TooOld { .. } => {
                return Some(format!("upgrade it: `pip install --upgrade 'onnxruntime>={LEAST_VERSION}'`"));
            }
            Self::AlreadyLoaded { .. } => "use the same `ORT_DYLIB_PATH` for everything in one run",
            Self::NoCudaProvider { .. } => {
                "`pip uninstall onnxruntime && pip install onnxruntime-gpu`, or run on the CPU with `--backend onnxruntime`"
            }
            Self::CudaLibrary { .. } => {
                "install CUDA and cuDNN of the version that the library's name has (`pip install nvidia-cudnn-cu12 \
                 nvidia-cublas-cu12 …`), put its folder into `LD_LIBRARY_PATH`, or run on the CPU with `--backend onnxruntime`"
            }
            Self::Driver(source) => return source.hint(),
            Self::CudaProvider { .. } => {
                "look at `nvidia-smi`: the driver may be older than the CUDA that ONNX Runtime was built for; or run on the \
                 CPU with `--backend onnxruntime`"
            }
            Self::Model { missing_operator: true, .. } => {
                "a newer ONNX Runtime may have the operator (`pip install --upgrade onnxruntime`), or simplify the model \
                 (`onnxslim in.onnx out.onnx`)"
            }
            Self::Model { .. } => "check the model with `python -m onnx.checker`",
            Self::OutOfMemory { .. } => {
                "use a smaller `batch`, or stop other users of the memory (`nvidia-smi`, `free`)"
            }
            Self::GpuLost { .. } => "look into `dmesg` and `nvidia-smi`, then run the command again",
            Self::Run { .. } => {
                "check `shapes` and `preprocess`: the shape of the inputs may not be one that the model takes"
            }
            Self::Feed { .. } => "check `shapes` and the files of the inputs against the model's own inputs",
        };
        Some(text.to_owned())
    }
}
