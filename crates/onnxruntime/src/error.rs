//! What can go wrong between us and ONNX Runtime, and what mends it.

use std::io;
use std::path::PathBuf;

use ort::ErrorCode;
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
    /// There is no GPU or no driver, or the driver refuses something.
    #[error("ONNX Runtime cannot use the GPU")]
    Driver(#[from] DriverError),
    /// The session could not be made with the GPU.
    #[error("the CUDA provider of ONNX Runtime does not start: {reason}")]
    CudaProvider {
        /// ONNX Runtime's words.
        reason: String,
    },
    /// The model's external data cannot be read.
    #[error("cannot read the model's data `{}`", path.display())]
    External {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
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
            Self::External { .. } => "check the permissions of the file beside the `.onnx`",
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

/// Why a session was not made.
pub(crate) fn of_load(error: ort::Error) -> OrtError {
    let said = error.message();
    let missing_operator = error.code() == ErrorCode::NotImplemented
        || ["is not a registered function/op", "No Op registered for", "Could not find an implementation"]
            .iter()
            .any(|words| said.contains(words));
    of_gpu(said).unwrap_or_else(|| OrtError::Model { node: node(said), missing_operator, reason: tidy(said) })
}

/// Why a GPU was not taken.
pub(crate) fn of_provider(error: ort::Error) -> OrtError {
    of_gpu(error.message()).unwrap_or_else(|| OrtError::CudaProvider { reason: tidy(error.message()) })
}

/// Why a run failed.
pub(crate) fn of_run(error: ort::Error) -> OrtError {
    let said = error.message();
    of_gpu(said).unwrap_or_else(|| OrtError::Run { node: node(said), reason: tidy(said) })
}

/// What ONNX Runtime says of memory and of a GPU's end, by its words: the codes of its errors do not tell.
fn of_gpu(said: &str) -> Option<OrtError> {
    const MEMORY: [&str; 5] =
        ["out of memory", "Failed to allocate memory", "bad allocation", "bad_alloc", "STATUS_ALLOC_FAILED"];
    const LOST: [&str; 4] =
        ["illegal memory access", "unspecified launch failure", "uncorrectable ECC", "device lost"];
    let any = |words: &[&str]| words.iter().any(|words| said.contains(words));
    if any(&MEMORY) {
        Some(OrtError::OutOfMemory { reason: tidy(said) })
    } else if any(&LOST) || cuda_failure(said).is_some_and(DriverError::is_lost_by) {
        Some(OrtError::GpuLost { reason: tidy(said) })
    } else {
        None
    }
}

/// The number in `CUDA failure 700: …`: the runtime's numbers are the driver's where a GPU is lost.
fn cuda_failure(said: &str) -> Option<u32> {
    let (_, rest) = said.split_once("CUDA failure ")?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// The node that a message names: `Name:'…'` of a run, `node with name '…'` of a missing kernel, and
/// `In Node, ("…", ` of a graph that is wrong.
fn node(said: &str) -> Option<String> {
    let between = |before: &str, after: char| {
        let (_, rest) = said.split_once(before)?;
        rest.split_once(after).map(|(name, _)| name).filter(|name| !name.is_empty())
    };
    let name = between("Name:'", '\'')
        .or_else(|| between("node with name '", '\''))
        .or_else(|| between("In Node, (\"", '"'))
        .or_else(|| between("Node (", ')'));
    name.map(str::to_owned)
}

/// A message without what is said beside it: the operator's name and the line of ONNX Runtime's source.
fn tidy(said: &str) -> String {
    let said = said.split_once("Status Message: ").map_or(said, |(_, rest)| rest);
    let said = match said.split_once("onnxruntime_src/") {
        // `/onnxruntime_src/onnxruntime/core/….cc:123 function(…) words`
        Some((before, rest)) if before.trim_end_matches('/').is_empty() => {
            rest.split_once(") ").map_or(rest, |(_, words)| words)
        }
        _ => said,
    };
    said.split_whitespace().collect::<Vec<_>>().join(" ").trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text() -> String {
        "x".to_owned()
    }

    #[test]
    fn every_error_has_a_hint_and_no_full_stop() {
        let path = || PathBuf::from("x");
        for error in [
            OrtError::NotFound { tried: vec![Place::System("libonnxruntime.so")] },
            OrtError::NotLoadable { path: path(), reason: text() },
            OrtError::NotOnnxRuntime { path: path() },
            OrtError::TooOld { path: path(), found: text(), least: text() },
            OrtError::AlreadyLoaded { loaded: path(), wanted: path() },
            OrtError::NoCudaProvider { path: path() },
            OrtError::CudaLibrary { library: text(), reason: text() },
            OrtError::Driver(DriverError::NoDevice),
            OrtError::CudaProvider { reason: text() },
            OrtError::External { path: path(), source: io::ErrorKind::NotFound.into() },
            OrtError::Model { node: None, missing_operator: true, reason: text() },
            OrtError::Model { node: Some(text()), missing_operator: false, reason: text() },
            OrtError::OutOfMemory { reason: text() },
            OrtError::GpuLost { reason: text() },
            OrtError::Run { node: None, reason: text() },
            OrtError::Feed { name: text(), reason: text() },
        ] {
            assert!(error.hint().is_some_and(|hint| hint.contains('`')), "{error:?}");
            assert!(!error.to_string().ends_with('.'), "{error}");
        }
    }

    #[test]
    fn nodes_are_found_in_the_words_of_onnx_runtime() {
        for (said, expected) in [
            (
                "Non-zero status code returned while running Conv node. Name:'c1' Status Message: no",
                Some("c1"),
            ),
            ("Could not find an implementation for Foo(1) node with name 'f'", Some("f")),
            ("This is an invalid model. In Node, (\"n\", Foo, \"\", -1) : (", Some("n")),
            ("Non-zero status code returned while running Conv node. Name:'' Status Message: no", None),
            ("something else", None),
        ] {
            assert_eq!(node(said).as_deref(), expected, "{said}");
        }
    }

    #[test]
    fn what_is_said_beside_the_words_is_left_out() {
        let run = "Non-zero status code returned while running Add node. Name:'a' Status Message: \
                   /onnxruntime_src/onnxruntime/core/x.h:560 void f(const A&, B) 3 by 4\n";
        assert_eq!(tidy(run), "3 by 4");
        assert_eq!(tidy("Missing Input: x."), "Missing Input: x");
    }

    #[test]
    fn a_lack_of_memory_is_told_from_a_lost_gpu() {
        let memory = of_gpu("BFCArena: Failed to allocate memory for requested buffer of size 7");
        assert!(matches!(memory, Some(OrtError::OutOfMemory { .. })));
        for said in
            ["CUDA failure 700: an illegal", "CUDA failure 716: misaligned", "unspecified launch failure"]
        {
            assert!(matches!(of_gpu(said), Some(OrtError::GpuLost { .. })), "{said}");
        }
        for said in ["the shapes differ", "CUDA failure 1: invalid argument", "CUDA failure : none"] {
            assert!(of_gpu(said).is_none(), "{said}");
        }
    }
}
