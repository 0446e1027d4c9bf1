//! Finding and loading TensorRT.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::search::{NAMES, Names, Purpose, SearchPath, beside, find, find_file, find_parser, unsuitable};
use crate::error::LoadError;
use crate::result::{Infer, SharedLibrary, TensorRt};
use crate::sys::values::Severity;
use crate::version::Version;

/// The TensorRT of this process. At most one: a second one would share its symbols and its global logger.
static LOADED: Mutex<Option<Library>> = Mutex::new(None);

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

    /// Loads one inference library by its file, with the ONNX parser of its major version in the same folder.
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
            (Purpose::Build, _) => Some(find_parser(&infer)?),
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
        let found = beside(&self.inner.found_as, self.path(), name)?;
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
