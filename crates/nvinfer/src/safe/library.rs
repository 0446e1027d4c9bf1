//! Finding and loading TensorRT.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::elf;
use crate::error::{Attempt, LoadError};
use crate::result::{Infer, SharedLibrary, TensorRt};
use crate::sys::values::Severity;
use crate::version::{Family, Version};

/// The library names of one major version, in the order they are tried.
struct Names {
    /// What builds and runs engines.
    infer: &'static str,
    /// What runs engines only.
    runtimes: &'static [&'static str],
    parser: &'static str,
    /// TensorRT's own plugins.
    plugins: Option<&'static str>,
}

/// The newest TensorRT first, TensorRT-RTX last.
const NAMES: [Names; 4] = [
    Names {
        infer: "libnvinfer.so.11",
        runtimes: &["libnvinfer_lean.so.11", "libnvinfer_dispatch.so.11"],
        parser: "libnvonnxparser.so.11",
        plugins: Some("libnvinfer_plugin.so.11"),
    },
    Names {
        infer: "libnvinfer.so.10",
        runtimes: &["libnvinfer_lean.so.10", "libnvinfer_dispatch.so.10"],
        parser: "libnvonnxparser.so.10",
        plugins: Some("libnvinfer_plugin.so.10"),
    },
    Names {
        infer: "libnvinfer.so.8",
        runtimes: &["libnvinfer_lean.so.8", "libnvinfer_dispatch.so.8"],
        parser: "libnvonnxparser.so.8",
        plugins: Some("libnvinfer_plugin.so.8"),
    },
    Names {
        infer: "libtensorrt_rtx.so.1",
        runtimes: &[],
        parser: "libtensorrt_onnxparser_rtx.so.1",
        plugins: None,
    },
];

impl Names {
    /// The names that go with a library file: by its name, else by its version.
    fn of(path: &Path, version: Version) -> &'static Names {
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        let by_name = NAMES.iter().find(|names| {
            std::iter::once(&names.infer).chain(names.runtimes).any(|name| file.starts_with(*name))
        });
        by_name.unwrap_or(match version.family {
            Family::V11 => &NAMES[0],
            Family::V10 => &NAMES[1],
            Family::V8 => &NAMES[2],
            Family::RtxA | Family::RtxB => &NAMES[3],
        })
    }
}

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

    /// Every library name in order.
    fn candidates(&self, purpose: Purpose) -> impl Iterator<Item = PathBuf> {
        let bare = self.system.then(PathBuf::new);
        let dirs = self.dirs.iter().cloned().chain(bare);
        dirs.flat_map(move |dir| {
            NAMES.iter().flat_map(move |names| {
                let runtimes = if purpose == Purpose::Run { names.runtimes } else { &[] };
                let all: Vec<_> =
                    std::iter::once(&names.infer).chain(runtimes).map(|name| dir.join(name)).collect();
                all
            })
        })
    }
}

/// What a library is opened for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// Engines are built, so the parser is needed.
    Build,
    /// Engines are run.
    Run,
}

/// A loaded TensorRT: the inference library and, to build engines, its ONNX parser. Clones are the same library.
#[derive(Clone)]
pub struct Library {
    pub(crate) inner: Arc<TensorRt>,
}

impl Library {
    /// Loads the first TensorRT on the search path, to build engines and to run them.
    ///
    /// The first library that *exists* decides: if it is broken, of an unknown version or without its parser, that is
    /// an error, not a reason to look further. So of two majors in one folder the newer one is taken; [`Self::open_file`]
    /// takes the other. Loading the same file again gives the same library.
    pub fn open(search: &SearchPath) -> Result<Library, LoadError> {
        Self::load(find(search, Purpose::Build)?, Purpose::Build)
    }

    /// Loads one inference library by its file, with the ONNX parser of its major version beside it.
    pub fn open_file(path: &Path) -> Result<Library, LoadError> {
        Self::load(find_file(path)?, Purpose::Build)
    }

    /// Loads the first TensorRT on the search path that can run engines, be it a full one or a lean or dispatch runtime;
    /// no parser is needed. [`crate::Builder::new`] may fail on it, with [`LoadError::RuntimeOnly`].
    pub fn open_runtime(search: &SearchPath) -> Result<Library, LoadError> {
        Self::load(find(search, Purpose::Run)?, Purpose::Run)
    }

    /// Loads one inference or runtime library by its file, without a parser.
    pub fn open_runtime_file(path: &Path) -> Result<Library, LoadError> {
        Self::load(find_file(path)?, Purpose::Run)
    }

    fn load(shared: SharedLibrary, purpose: Purpose) -> Result<Library, LoadError> {
        let mut loaded = LOADED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let infer = Infer::bind(&shared)?;
        if let Some(library) = &*loaded
            && library.path() != infer.path
        {
            return Err(LoadError::OnePerProcess { loaded: library.path().into(), wanted: infer.path });
        }
        let parser = match (purpose, &*loaded) {
            (Purpose::Run, _) => None,
            (Purpose::Build, Some(library)) if library.inner.has_parser() => None,
            (Purpose::Build, _) if !infer.has_builder() => {
                return Err(LoadError::RuntimeOnly { library: infer.path });
            }
            (Purpose::Build, _) => Some(find_parser(&infer.path, infer.version)?),
        };
        let library = match &*loaded {
            Some(library) => library.clone(),
            None => Library { inner: Arc::new(TensorRt::bind(infer)) },
        };
        if let Some(parser) = parser {
            library.alone(parser.name())?;
            library.inner.bind_parser(&parser)?;
        }
        Ok(loaded.insert(library).clone())
    }

    /// Registers the plugins of TensorRT's own plugin library, and gives its file. Needed for models that use them, as
    /// those with a fused NMS do; call it before parsing.
    ///
    /// Errors: [`LoadError::NoPlugins`], also for TensorRT-RTX, which has no such library; [`LoadError::NoSymbol`];
    /// [`LoadError::PluginsRefused`]; [`LoadError::Mixed`].
    pub fn init_plugins(&self) -> Result<PathBuf, LoadError> {
        let library = || self.path().to_path_buf();
        let Some(name) = Names::of(self.path(), self.version()).plugins else {
            return Err(LoadError::NoPlugins { library: library(), tried: vec![] });
        };
        let found = beside(self.path(), name)?;
        let plugins = found.map_err(|tried| LoadError::NoPlugins { library: library(), tried })?;
        self.alone(plugins.name())?;
        self.inner.init_plugins(&plugins)?;
        Ok(plugins.name().into())
    }

    /// Loads a plugin library, whose static constructors register what it has; call it before parsing. The file is trusted:
    /// loading runs its code.
    ///
    /// All its symbols are resolved at once, so that a missing one is an error here and not a crash in a build. It sees
    /// TensorRT's symbols even if it was linked without TensorRT; its own stay its own.
    ///
    /// Errors: [`LoadError::Plugin`], [`LoadError::WrongArchitecture`], [`LoadError::NotALibrary`], and
    /// [`LoadError::Mixed`] if it was made for another major version: then the process holds two and is spoilt.
    pub fn load_plugin(&self, path: &Path) -> Result<(), LoadError> {
        unsuitable(path)?;
        self.inner.load_plugin(path)?;
        self.alone(path)
    }

    /// Checks that a library just loaded did not bring a TensorRT of another major version with it.
    fn alone(&self, brought_by: &Path) -> Result<(), LoadError> {
        let own = Names::of(self.path(), self.version()).infer;
        let other =
            NAMES.iter().map(|names| names.infer).find(|name| *name != own && SharedLibrary::is_loaded(name));
        match other {
            None => Ok(()),
            Some(needs) => {
                Err(LoadError::Mixed { path: brought_by.into(), needs, library: self.path().into() })
            }
        }
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

/// The first library that exists.
fn find(search: &SearchPath, purpose: Purpose) -> Result<SharedLibrary, LoadError> {
    first(search.candidates(purpose))?.map_err(|tried| LoadError::NotFound { tried })
}

/// The library of this file.
fn find_file(path: &Path) -> Result<SharedLibrary, LoadError> {
    first([path.to_path_buf()])?.map_err(|tried| LoadError::NotFound { tried })
}

/// The parser beside the library, else the one that the system's loader finds.
fn find_parser(library: &Path, version: Version) -> Result<SharedLibrary, LoadError> {
    let found = beside(library, Names::of(library, version).parser)?;
    found.map_err(|tried| LoadError::NoParser { library: library.into(), tried })
}

/// A companion of a library: the file beside it, else what the system's loader finds.
fn beside(library: &Path, name: &str) -> Result<Result<SharedLibrary, Vec<Attempt>>, LoadError> {
    first([library.with_file_name(name), PathBuf::from(name)])
}

/// The first of these that exists, else all that were tried.
fn first(names: impl IntoIterator<Item = PathBuf>) -> Result<Result<SharedLibrary, Vec<Attempt>>, LoadError> {
    let mut tried = vec![];
    for name in names {
        match SharedLibrary::open(&name) {
            Ok(library) => return Ok(Ok(library)),
            Err(reason) if is_absent(&name, &reason) => tried.push(Attempt { name, reason }),
            Err(reason) => {
                unsuitable(&name)?;
                return Err(LoadError::Broken { path: name, reason });
            }
        }
    }
    Ok(Err(tried))
}

/// Whether a library failed to load because there is no such file.
///
/// The loader says so of files for another processor, too, and starts its text with the file that it could not open, which
/// may be a dependency.
fn is_absent(name: &Path, reason: &str) -> bool {
    let is_path = name.components().count() > 1;
    let absent = format!("{}: cannot open shared object file: No such file", name.display());
    if is_path { !name.exists() } else { reason.starts_with(&absent) }
}

/// Says what is wrong with a file that is no library for this program; content if it is one, or cannot be read.
fn unsuitable(path: &Path) -> Result<(), LoadError> {
    match elf::kind(path) {
        None | Some(elf::Kind::Native) => Ok(()),
        Some(elf::Kind::Other) => Err(LoadError::NotALibrary { path: path.into() }),
        Some(elf::Kind::Foreign(found)) => {
            Err(LoadError::WrongArchitecture { path: path.into(), found, expected: elf::HERE.1 })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_come_before_the_system_and_newer_libraries_before_older_ones() {
        let search = SearchPath { dirs: vec!["/a".into(), "/b".into()], system: true };
        let names = |search: &SearchPath, purpose| -> Vec<String> {
            search.candidates(purpose).map(|name| name.display().to_string()).collect()
        };
        let expected = ["libnvinfer.so.11", "libnvinfer.so.10", "libnvinfer.so.8", "libtensorrt_rtx.so.1"];
        let expected: Vec<String> = ["/a/", "/b/", ""]
            .iter()
            .flat_map(|dir| expected.iter().map(move |name| format!("{dir}{name}")))
            .collect();
        assert_eq!(names(&search, Purpose::Build), expected);
        let runtimes = names(&SearchPath::only(["/a"]), Purpose::Run);
        assert_eq!(runtimes.len(), 10);
        assert_eq!(
            runtimes[..4],
            [
                "/a/libnvinfer.so.11",
                "/a/libnvinfer_lean.so.11",
                "/a/libnvinfer_dispatch.so.11",
                "/a/libnvinfer.so.10"
            ]
        );
    }

    #[test]
    fn companions_are_those_of_the_files_name_or_else_of_the_version() {
        let cases = [
            ("/a/libnvinfer.so.8.6.1", 8601, "libnvonnxparser.so.8"),
            ("/a/libnvinfer_lean.so.10.16.1", 101601, "libnvonnxparser.so.10"),
            ("/a/libtensorrt_rtx.so.1.7.1", 10701, "libtensorrt_onnxparser_rtx.so.1"),
            ("/a/libnvinfer.so.11", 110000, "libnvonnxparser.so.11"),
            ("/a/renamed.so", 100300, "libnvonnxparser.so.10"),
            ("/a/renamed.so", 10701, "libtensorrt_onnxparser_rtx.so.1"),
        ];
        for (path, number, parser) in cases {
            let version = Version::from_number(number).unwrap();
            assert_eq!(Names::of(path.as_ref(), version).parser, parser, "{path}");
        }
    }
}
