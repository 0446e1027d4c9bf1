//! Why no TensorRT, or no plugin, could be loaded.

use std::fmt;
use std::path::PathBuf;

use super::{RecordedError, list};
use crate::version::Version;

/// One library name that was tried, and what the loader said to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// A path, or a bare name for the system's loader.
    pub name: PathBuf,
    /// The reason why it was not used.
    pub reason: String,
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` ({})", self.name.display(), self.reason)
    }
}

/// Why no TensorRT could be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// No library of any name was there.
    #[error("no TensorRT library found{}", sought(tried))]
    NotFound {
        /// Every name, in the order of the search.
        tried: Vec<Attempt>,
    },
    /// A library is there and cannot be loaded, mostly because one of its own is missing.
    #[error("TensorRT library `{}` does not load: {reason}", path.display())]
    Broken {
        /// The library.
        path: PathBuf,
        /// The loader's words.
        reason: String,
    },
    /// A file has the right name and is no shared library.
    #[error("`{}` is not a shared library", path.display())]
    NotALibrary {
        /// The file.
        path: PathBuf,
    },
    /// A library is for another processor.
    #[error("`{}` is a library for {found}, and this program runs on {expected}", path.display())]
    WrongArchitecture {
        /// The library.
        path: PathBuf,
        /// The processor it is for.
        found: String,
        /// The processor of this program.
        expected: &'static str,
    },
    /// TensorRT is there without its ONNX parser.
    #[error("TensorRT library `{}` has no ONNX parser beside it{}", library.display(), sought(tried))]
    NoParser {
        /// The library that was found.
        library: PathBuf,
        /// Every parser name tried.
        tried: Vec<Attempt>,
    },
    /// A file has the right name and is something else.
    #[error("`{}` is not the library it is named after: no symbol `{symbol}`", path.display())]
    NoSymbol {
        /// The library.
        path: PathBuf,
        /// What it does not export.
        symbol: &'static str,
    },
    /// The library's version is in none of the tables; calling it would be a guess.
    #[error("TensorRT library `{}` is of a version with an unknown interface: {}", path.display(), named(*number))]
    UnknownVersion {
        /// The library.
        path: PathBuf,
        /// What `getInferLibVersion()` returned; [`Version::decode`] reads it.
        number: i32,
    },
    /// The library can only run engines, and one to build them is needed.
    #[error("TensorRT library `{}` is a runtime without a builder", library.display())]
    RuntimeOnly {
        /// The library.
        library: PathBuf,
    },
    /// A library was built against another major version of TensorRT, and has loaded that as well.
    #[error("`{}` needs `{needs}`, and TensorRT is loaded from `{}`", path.display(), library.display())]
    Mixed {
        /// The parser or plugin library.
        path: PathBuf,
        /// The TensorRT it needs.
        needs: &'static str,
        /// The TensorRT in use.
        library: PathBuf,
    },
    /// TensorRT is there without the library of its own plugins.
    #[error("TensorRT library `{}` has no plugin library beside it{}", library.display(), sought(tried))]
    NoPlugins {
        /// The library that was found.
        library: PathBuf,
        /// Every name tried; none for TensorRT-RTX, which has no such library.
        tried: Vec<Attempt>,
    },
    /// TensorRT's plugin library did not register its plugins.
    #[error("`initLibNvInferPlugins` of `{}` failed{}", path.display(), list(recorded))]
    PluginsRefused {
        /// The plugin library.
        path: PathBuf,
        /// What TensorRT reported meanwhile.
        recorded: Vec<RecordedError>,
    },
    /// A plugin library is not there, or something that it needs is missing.
    #[error("plugin library `{}` does not load: {reason}", path.display())]
    Plugin {
        /// The library.
        path: PathBuf,
        /// The loader's words, which name a missing library or symbol.
        reason: String,
    },
    /// Another TensorRT is in use; two in one process would share symbols and the global logger.
    #[error("another TensorRT is loaded already: `{}` instead of `{}`", loaded.display(), wanted.display())]
    OnePerProcess {
        /// The one in use.
        loaded: PathBuf,
        /// The one asked for.
        wanted: PathBuf,
    },
}

impl LoadError {
    /// What a user can do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            LoadError::NotFound { .. } => {
                "install TensorRT (on a Jetson: `sudo apt install nvidia-tensorrt`), or name the folder of its \
                 libraries as `tensorrt-dir` in the device's configuration"
                    .into()
            }
            LoadError::Broken { path, .. } => {
                format!("run `ldd {}` to see what is missing, and reinstall TensorRT", path.display())
            }
            LoadError::NotALibrary { path } => {
                format!("install `{}` again: it is cut off or was overwritten", path.display())
            }
            LoadError::WrongArchitecture { path, expected, .. } => {
                format!("replace `{}` by its build for {expected}", path.display())
            }
            LoadError::RuntimeOnly { .. } => {
                "install the full TensorRT (`libnvinfer`), or name its folder as `tensorrt-dir` in the device's \
                 configuration"
                    .into()
            }
            LoadError::Mixed { path, .. } => {
                format!(
                    "replace `{}` by its build for the TensorRT in use, or use one TensorRT",
                    path.display()
                )
            }
            LoadError::NoPlugins { .. } => {
                "install TensorRT's plugins (on a Jetson: `sudo apt install libnvinfer-plugin8` or \
                 `libnvinfer-plugin10`)"
                    .into()
            }
            LoadError::PluginsRefused { .. } => {
                "install TensorRT and its plugins from the same package version".into()
            }
            LoadError::Plugin { path, .. } => {
                format!(
                    "run `ldd -r {}` to see what is missing, and check `plugins` in the device's configuration",
                    path.display()
                )
            }
            LoadError::NoParser { .. } => {
                "install the ONNX parser of the same version (on a Jetson: `sudo apt install libnvonnxparsers8` \
                 or `libnvonnxparsers10`)"
                    .into()
            }
            LoadError::NoSymbol { path, .. } => format!("replace `{}` by NVIDIA's library", path.display()),
            LoadError::UnknownVersion { .. } => {
                "update the agent, set `backend: trtexec` for the target, or use TensorRT 8.0 to 8.6, 10.x, 11.x or \
                 TensorRT-RTX 1.3 to 1.7"
                    .into()
            }
            LoadError::OnePerProcess { .. } => "use one TensorRT per process".into(),
        })
    }
}

/// `: none of a, b in folder`: each name once, since one reason is that of all, mostly: there is no such file.
fn sought(tried: &[Attempt]) -> String {
    let Some(first) = tried.first() else { return String::new() };
    let folder = first.name.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.filter(|_| tried.len() > 1);
    let is_of_one =
        folder.is_some_and(|folder| tried.iter().all(|other| other.name.parent() == Some(folder)));
    let name = |attempt: &Attempt| match attempt.name.file_name() {
        Some(name) if is_of_one => format!("`{}`", name.to_string_lossy()),
        _ => format!("`{}`", attempt.name.display()),
    };
    let names = tried.iter().map(name).collect::<Vec<_>>().join(", ");
    let place = folder.filter(|_| is_of_one).map(|folder| format!(" in {}", folder.display()));
    format!(": there is no {names}{}", place.unwrap_or_default())
}

/// `12.0.0 (120000)`, or the number alone.
fn named(number: i32) -> String {
    match Version::decode(number) {
        Some([major, minor, patch]) => format!("{major}.{minor}.{patch} ({number})"),
        None => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt() -> Vec<Attempt> {
        vec![Attempt { name: "/lib/libnvinfer.so.10".into(), reason: "no such file".into() }]
    }

    #[test]
    fn every_load_error_names_its_file_and_has_a_hint() {
        let path = PathBuf::from("/lib/libnvinfer.so.10");
        let all = [
            LoadError::NotFound { tried: attempt() },
            LoadError::Broken { path: path.clone(), reason: "invalid ELF header".into() },
            LoadError::NoParser { library: path.clone(), tried: attempt() },
            LoadError::NoSymbol { path: path.clone(), symbol: "getInferLibVersion" },
            LoadError::UnknownVersion { path: path.clone(), number: 90300 },
            LoadError::NotALibrary { path: path.clone() },
            LoadError::WrongArchitecture { path: path.clone(), found: "x86-64".into(), expected: "AArch64" },
            LoadError::RuntimeOnly { library: path.clone() },
            LoadError::Mixed { path: "p.so".into(), needs: "libnvinfer.so.8", library: path.clone() },
            LoadError::NoPlugins { library: path.clone(), tried: vec![] },
            LoadError::PluginsRefused { path: path.clone(), recorded: vec![] },
            LoadError::Plugin { path: path.clone(), reason: "undefined symbol: f".into() },
            LoadError::OnePerProcess { loaded: path, wanted: "/other".into() },
        ];
        for error in all {
            assert!(error.to_string().contains("/lib/libnvinfer.so.10"), "{error}");
            assert!(error.hint().is_some(), "{error}");
        }
    }

    #[test]
    fn what_was_sought_is_named_once_and_its_folder_too() {
        let text = |names: &[&str]| {
            let attempt = |name: &&str| Attempt {
                name: name.into(),
                reason: format!("{name}: cannot open shared object file: No such file or directory"),
            };
            LoadError::NotFound { tried: names.iter().map(attempt).collect() }.to_string()
        };
        let start = "no TensorRT library found: there is no ";
        assert_eq!(text(&["a.so.10", "a.so.8"]), format!("{start}`a.so.10`, `a.so.8`"));
        assert_eq!(
            text(&["/opt/trt/a.so.10", "/opt/trt/a.so.8"]),
            format!("{start}`a.so.10`, `a.so.8` in /opt/trt")
        );
        assert_eq!(text(&["/opt/a.so.10", "a.so.10"]), format!("{start}`/opt/a.so.10`, `a.so.10`"));
    }

    #[test]
    fn an_unknown_version_is_named_all_the_same() {
        let text = |number| LoadError::UnknownVersion { path: "l".into(), number }.to_string();
        assert!(text(120000).ends_with("unknown interface: 12.0.0 (120000)"), "{}", text(120000));
        assert!(text(-1).ends_with("unknown interface: -1"));
    }
}
