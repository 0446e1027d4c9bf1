//! The library, once per process.

use std::env;
use std::ffi::CStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use libloading::Library;
use ort::environment::Environment;
use ort::logging::LogLevel;
use ort::sys::{ORT_API_VERSION, OrtApiBase};

use crate::provider::CudaProvider;
use crate::{OrtError, Place, find};

/// The least version of ONNX Runtime that serves: the one whose interface (`api-20`) is called.
pub const LEAST_VERSION: &str = "1.20";

/// The one that this process has loaded.
static LOADED: Mutex<Option<&'static Runtime>> = Mutex::new(None);

/// ONNX Runtime, loaded.
///
/// A process holds one, for as long as it runs: the library keeps global state.
#[derive(Debug)]
pub struct Runtime {
    path: PathBuf,
    place: Place,
    version: String,
    pub(crate) environment: Environment,
    provider: Mutex<Option<CudaProvider>>,
}

impl Runtime {
    /// Finds and loads ONNX Runtime, or gives the one that this process has loaded before.
    ///
    /// Looked for in this order, and the first that exists is taken: `named`; the file that `ORT_DYLIB_PATH` names;
    /// `onnxruntime/capi` of the active virtual environment, then of `python3`; the system's libraries. A place that is
    /// named by the user is the only one looked at. A failure leaves nothing behind: another library can be tried.
    ///
    /// # Errors
    /// [`OrtError::NotFound`], [`OrtError::NotLoadable`], [`OrtError::NotOnnxRuntime`], [`OrtError::TooOld`] and
    /// [`OrtError::AlreadyLoaded`].
    pub fn load(named: Option<&Path>) -> Result<&'static Self, OrtError> {
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = *loaded {
            return match named.filter(|wanted| !same_file(&runtime.path, wanted)) {
                Some(wanted) => {
                    Err(OrtError::AlreadyLoaded { loaded: runtime.path.clone(), wanted: wanted.to_owned() })
                }
                None => Ok(runtime),
            };
        }
        let places = find::places(named, |name| env::var_os(name), find::ask_python);
        for place in &places {
            let Some(library) = place.library() else { continue };
            match Self::open(place, &library) {
                // The loader does not know the name: that is no library that is broken.
                Err(OrtError::NotLoadable { .. })
                    if matches!(place, Place::System(_)) && mapped(&library).is_none() => {}
                opened => return Ok(*loaded.insert(Box::leak(Box::new(opened?)))),
            }
        }
        Err(OrtError::NotFound { tried: places })
    }

    fn open(place: &Place, library: &Path) -> Result<Self, OrtError> {
        // `ort` would take a relative path as one beside the program.
        let path = match place {
            Place::System(_) => library.to_owned(),
            _ => fs::canonicalize(library).unwrap_or_else(|_| library.to_owned()),
        };
        let version = version_of(&path)?;
        let unloadable = |reason: String| OrtError::NotLoadable { path: path.clone(), reason };
        // Messages of a session go to the session; there is nobody for those beside.
        let environment = ort::init_from(&path)
            .map_err(|error| unloadable(error.to_string()))?
            .with_name("trt-deploy")
            .with_telemetry(false)
            .with_logger(std::sync::Arc::new(|_, _, _, _, _| {}))
            .build()
            .map_err(|error| unloadable(error.to_string()))?;
        environment.set_log_level(LogLevel::Warning);
        let path = mapped(&path).unwrap_or(path);
        Ok(Self { path, place: place.clone(), version, environment, provider: Mutex::default() })
    }

    /// Makes sure that the CUDA provider can be loaded and that there is a GPU.
    ///
    /// The libraries that the provider needs are taken from the loader's path, or else from NVIDIA's packages in the same
    /// Python (`nvidia/*/lib`), and stay loaded.
    ///
    /// # Errors
    /// [`OrtError::NoCudaProvider`], [`OrtError::CudaLibrary`] and [`OrtError::Driver`].
    pub fn cuda(&self) -> Result<(), OrtError> {
        trt_cuda::device()?;
        let mut provider = self.provider.lock().unwrap_or_else(PoisonError::into_inner);
        if provider.is_none() {
            *provider = Some(CudaProvider::beside(&self.path)?);
        }
        Ok(())
    }

    /// Whether a session of a model in memory can be told the folder of its external data: since 1.21.
    pub(crate) fn takes_folders(&self) -> bool {
        at_least(&self.version, "1.21")
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

/// Loads the library far enough to ask for its version. `ort` would panic on what is no ONNX Runtime, and the library
/// itself prints something when asked for an interface that it lacks.
fn version_of(path: &Path) -> Result<String, OrtError> {
    let unloadable = |reason: String| OrtError::NotLoadable { path: path.to_owned(), reason };
    // SAFETY: loading runs the library's initializers, which is what the user wants of ONNX Runtime; what else is named
    // instead is as trustworthy as any program that the user starts.
    let library = unsafe { Library::new(path) }.map_err(|error| {
        let words = loader_words(&error);
        let own = format!("{}: ", path.display());
        unloadable(words.strip_prefix(&own).unwrap_or(&words).to_owned())
    })?;
    // SAFETY: every ONNX Runtime has exported this function with this signature.
    let base = unsafe { library.get::<unsafe extern "C" fn() -> *const OrtApiBase>(b"OrtGetApiBase\0") };
    let not_it = || OrtError::NotOnnxRuntime { path: path.to_owned() };
    let base = base.map_err(|_| not_it())?;
    // SAFETY: the function takes nothing and gives a static structure; null is looked for.
    let base = unsafe { base().as_ref() }.ok_or_else(not_it)?;
    // SAFETY: the structure has been the same since ONNX Runtime 1.0, and the text is static.
    let version = unsafe { CStr::from_ptr((base.GetVersionString)().cast()) }.to_string_lossy().into_owned();
    if !at_least(&version, LEAST_VERSION) {
        let least = LEAST_VERSION.to_owned();
        return Err(OrtError::TooOld { path: path.to_owned(), found: version, least });
    }
    // SAFETY: as above; null says that the version is not served.
    if unsafe { (base.GetApi)(ORT_API_VERSION) }.is_null() {
        return Err(unloadable(format!("version {version} no longer has the interface of {LEAST_VERSION}")));
    }
    // ONNX Runtime must stay: its threads and its static data outlive any handle.
    std::mem::forget(library);
    Ok(version)
}

/// Whether a version, such as `1.32.0`, is another one or later.
fn at_least(version: &str, least: &str) -> bool {
    let number = |text: &str| {
        let mut parts = text.split('.').map(|part| part.parse().unwrap_or(0));
        (parts.next().unwrap_or(0), parts.next().unwrap_or(0_u32))
    };
    number(version) >= number(least)
}

/// What the loader says, without what we say ourselves.
pub(crate) fn loader_words(error: &libloading::Error) -> String {
    match error {
        libloading::Error::DlOpen { source, .. } => source.to_string(),
        error => error.to_string(),
    }
}

/// The file behind a library that is loaded, by its name or its path.
fn mapped(library: &Path) -> Option<PathBuf> {
    let name = library.file_name()?.to_str()?;
    let maps = fs::read_to_string("/proc/self/maps").ok()?;
    let files = maps.lines().filter_map(|line| line.find('/').map(|at| Path::new(&line[at..])));
    let is_it = |file: &&Path| file.file_name().and_then(|n| n.to_str()).is_some_and(|n| n.starts_with(name));
    files.into_iter().find(is_it).map(Path::to_owned)
}

fn same_file(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    real(one) == real(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        for (version, serves_us) in [
            ("1.20.0", true),
            ("1.32.0", true),
            ("1.9.0", false),
            ("1.19.2", false),
            ("2.0.0", true),
            ("", false),
        ] {
            assert_eq!(at_least(version, "1.20"), serves_us, "{version}");
        }
    }

    #[test]
    fn the_least_version_is_the_one_whose_interface_is_called() {
        assert_eq!(LEAST_VERSION, format!("1.{ORT_API_VERSION}"));
    }
}
