//! Finding and loading TensorRT.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::error::{Attempt, LoadError};
use crate::result::{Infer, SharedLibrary, TensorRt};
use crate::sys::values::Severity;
use crate::version::Version;

/// The names of inference library and ONNX parser, in the order they are tried.
const NAMES: [(&str, &str); 4] = [
    ("libnvinfer.so.11", "libnvonnxparser.so.11"),
    ("libnvinfer.so.10", "libnvonnxparser.so.10"),
    ("libnvinfer.so.8", "libnvonnxparser.so.8"),
    ("libtensorrt_rtx.so.1", "libtensorrt_onnxparser_rtx.so.1"),
];

/// The TensorRT of this process. At most one: a second one would share its symbols and its global logger.
static LOADED: Mutex<Option<Library>> = Mutex::new(None);

/// Where to look for TensorRT: some folders, then where the system's loader looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchPath {
    /// Folders, tried in order; in each, the newest library first and TensorRT-RTX last.
    pub dirs: Vec<PathBuf>,
    /// Whether to try the system's loader (`/etc/ld.so.conf`, `LD_LIBRARY_PATH`) after the folders.
    pub system: bool,
}

impl Default for SearchPath {
    /// Only what the system's loader finds.
    fn default() -> SearchPath {
        SearchPath { dirs: vec![], system: true }
    }
}

impl SearchPath {
    /// Only these folders.
    pub fn only(dirs: impl IntoIterator<Item = impl Into<PathBuf>>) -> SearchPath {
        SearchPath { dirs: dirs.into_iter().map(Into::into).collect(), system: false }
    }

    /// Every library name in order, with that of its parser.
    fn candidates(&self) -> impl Iterator<Item = (PathBuf, &'static str)> {
        let bare = self.system.then(PathBuf::new);
        let dirs = self.dirs.iter().cloned().chain(bare);
        dirs.flat_map(|dir| NAMES.map(|(infer, parser)| (dir.join(infer), parser)))
    }
}

/// A loaded TensorRT: the inference library and its ONNX parser. Clones are the same library.
#[derive(Clone)]
pub struct Library {
    pub(crate) inner: Arc<TensorRt>,
}

impl Library {
    /// Loads the first TensorRT on the search path.
    ///
    /// The first library that *exists* decides: if it is broken, of an unknown version or without its parser, that is
    /// an error, not a reason to look further. Loading the same file again gives the same library.
    pub fn open(search: &SearchPath) -> Result<Library, LoadError> {
        let mut loaded = LOADED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let (shared, parser_name) = find(search)?;
        let infer = Infer::bind(&shared)?;
        if let Some(library) = &*loaded {
            if library.path() == infer.path {
                return Ok(library.clone());
            }
            return Err(LoadError::OnePerProcess { loaded: library.path().into(), wanted: infer.path });
        }
        let parser = find_parser(&infer.path, parser_name)?;
        let library = Library { inner: Arc::new(TensorRt::bind(infer, &parser)?) };
        Ok(loaded.insert(library).clone())
    }

    /// The version that the library reports; file names say nothing of it.
    pub fn version(&self) -> Version {
        self.inner.version
    }

    /// The file of the inference library, links resolved.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// Sends TensorRT's log to `sink` from now on; before the first call it is discarded.
    ///
    /// TensorRT has one logger per process, so this replaces the sink of all builders. It is called from any thread; a
    /// panic in it is caught and loses the message.
    pub fn set_logger(&self, sink: impl Fn(Severity, &str) + Send + Sync + 'static) {
        self.inner.logger.set_sink(Arc::new(sink));
    }
}

impl fmt::Debug for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Library({} at {})", self.version(), self.path().display())
    }
}

/// The first inference library that exists, with the name of its parser.
fn find(search: &SearchPath) -> Result<(SharedLibrary, &'static str), LoadError> {
    let mut tried = vec![];
    for (name, parser) in search.candidates() {
        match open(&name) {
            Ok(library) => return Ok((library, parser)),
            Err(Failure::Absent(reason)) => tried.push(Attempt { name, reason }),
            Err(Failure::Broken(reason)) => return Err(LoadError::Broken { path: name, reason }),
        }
    }
    Err(LoadError::NotFound { tried })
}

/// The parser beside the library, else the one that the system's loader finds.
fn find_parser(library: &Path, name: &str) -> Result<SharedLibrary, LoadError> {
    let mut tried = vec![];
    for name in [library.with_file_name(name), PathBuf::from(name)] {
        match open(&name) {
            Ok(parser) => return Ok(parser),
            Err(Failure::Absent(reason)) => tried.push(Attempt { name, reason }),
            Err(Failure::Broken(reason)) => return Err(LoadError::Broken { path: name, reason }),
        }
    }
    Err(LoadError::NoParser { library: library.into(), tried })
}

enum Failure {
    /// There is no such file.
    Absent(String),
    /// There is one and it does not load.
    Broken(String),
}

/// Loads a library, telling a missing file from one of which something *else* is missing.
fn open(name: &Path) -> Result<SharedLibrary, Failure> {
    SharedLibrary::open(name).map_err(|reason| {
        // The loader starts its text with the file that it could not open, which may be a dependency.
        let absent = format!("{}: cannot open shared object file: No such file", name.display());
        if reason.starts_with(&absent) { Failure::Absent(reason) } else { Failure::Broken(reason) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_come_before_the_system_and_newer_libraries_before_older_ones() {
        let search = SearchPath { dirs: vec!["/a".into(), "/b".into()], system: true };
        let names: Vec<String> = search.candidates().map(|(name, _)| name.display().to_string()).collect();
        let expected = ["libnvinfer.so.11", "libnvinfer.so.10", "libnvinfer.so.8", "libtensorrt_rtx.so.1"];
        let expected: Vec<String> = ["/a/", "/b/", ""]
            .iter()
            .flat_map(|dir| expected.iter().map(move |name| format!("{dir}{name}")))
            .collect();
        assert_eq!(names, expected);
        assert_eq!(SearchPath::only(["/a"]).candidates().count(), 4);
    }
}
