//! Where `libonnxruntime` may be.

use std::fmt;
use std::path::PathBuf;

/// A place where the library was looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The caller named it.
    Named(PathBuf),
    /// The environment variable `ORT_DYLIB_PATH` names it.
    Variable(PathBuf),
    /// The folder `onnxruntime/capi` of a Python.
    Python(PathBuf),
    /// The system's loader knows it by this name.
    System(&'static str),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(path) => write!(f, "`{}`", path.display()),
            Self::Variable(path) => write!(f, "`{}` (from `ORT_DYLIB_PATH`)", path.display()),
            Self::Python(folder) => write!(f, "`{}`", folder.display()),
            Self::System(name) => write!(f, "the system's libraries (`{name}`)"),
        }
    }
}
