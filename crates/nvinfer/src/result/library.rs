//! dlopen, the exported functions, and the version gate.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::mem::ManuallyDrop;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_LOCAL, RTLD_NOW};

use crate::error::{LoadError, RecordedError};
use crate::sys::logger::Logger;
use crate::sys::recorder::ErrorRecorder;
use crate::sys::types::Ptr;
use crate::sys::vtable::ClassTypeInfo;
use crate::version::Version;

/// `createInferBuilder_INTERNAL(logger, version)`.
pub type CreateBuilder = unsafe extern "C" fn(Ptr, i32) -> Ptr;
/// `createInferRuntime_INTERNAL(logger, version)`.
pub type CreateRuntime = unsafe extern "C" fn(Ptr, i32) -> Ptr;
/// `createNvOnnxParser_INTERNAL(network, logger, version)`.
pub type CreateParser = unsafe extern "C" fn(Ptr, Ptr, i32) -> Ptr;
/// Finds a library that is loaded, and loads none: the same number in glibc and musl.
const RTLD_NOLOAD: c_int = 4;

type GetVersion = unsafe extern "C" fn() -> i32;

/// What `dladdr` tells of an address.
#[repr(C)]
struct DlInfo {
    file: *const c_char,
    base: *mut c_void,
    symbol: *const c_char,
    address: *mut c_void,
}

#[link(name = "dl")]
unsafe extern "C" {
    fn dladdr(address: *const c_void, info: *mut DlInfo) -> c_int;
}

/// A shared library that stays loaded: TensorRT has threads and static destructors that outlive every object.
pub struct SharedLibrary {
    name: PathBuf,
    library: ManuallyDrop<Library>,
}

impl SharedLibrary {
    /// Loads a library by path, or by name through the system's search; the error is the loader's text.
    pub fn open(name: &Path) -> Result<SharedLibrary, String> {
        Self::open_with(name, RTLD_LOCAL)
    }

    /// Makes the symbols of a library that is loaded already visible to those loaded from now on.
    pub fn expose(name: &Path) -> Result<(), String> {
        Self::open_with(name, RTLD_NOLOAD | RTLD_GLOBAL).map(drop)
    }

    /// Whether a library of this name is in the process.
    pub fn is_loaded(name: &str) -> bool {
        // SAFETY: nothing is loaded, so no constructor runs; the reference taken is given back.
        unsafe { Library::open(Some(name), RTLD_NOW | RTLD_NOLOAD) }.is_ok()
    }

    fn open_with(name: &Path, flags: c_int) -> Result<SharedLibrary, String> {
        // SAFETY: this runs the library's constructors. The names given here are NVIDIA's, in folders that the user or
        // the system chose, or those of plugins that the device's owner listed.
        let library =
            unsafe { Library::open(Some(name), RTLD_NOW | flags) }.map_err(|error| reason(&error))?;
        Ok(SharedLibrary { name: name.into(), library: ManuallyDrop::new(library) })
    }

    /// The name it was opened by.
    pub fn name(&self) -> &Path {
        &self.name
    }

    /// An exported function.
    ///
    /// # Safety
    /// `F` is the type of that function.
    pub(super) unsafe fn function<F: Copy>(&self, symbol: &'static str) -> Result<F, LoadError> {
        // SAFETY: the caller vouches for the type; the library is never unloaded.
        unsafe { self.library.get::<F>(symbol) }
            .map(|function| *function)
            .map_err(|_| LoadError::NoSymbol { path: self.name.clone(), symbol })
    }

    /// The vtable of `__class_type_info` in the C++ runtime that this library was linked with.
    fn class_type_info(&self) -> Option<ClassTypeInfo> {
        // SAFETY: the symbol is a vtable by the C++ ABI; its address point is two words in.
        unsafe {
            let vtable =
                self.library.get::<*const *const c_void>("_ZTVN10__cxxabiv117__class_type_infoE").ok()?;
            Some(ClassTypeInfo(vtable.add(2).cast()))
        }
    }
}

/// The loader's own words; libloading wraps them.
fn reason(error: &libloading::Error) -> String {
    match error {
        libloading::Error::DlOpen { source, .. } => source.to_string(),
        other => other.to_string(),
    }
}

/// The file that a function came from.
fn file_of(function: *const c_void) -> Option<PathBuf> {
    let mut info = DlInfo {
        file: std::ptr::null(),
        base: std::ptr::null_mut(),
        symbol: std::ptr::null(),
        address: std::ptr::null_mut(),
    };
    // SAFETY: dladdr takes any address and fills `info`; the file name is a C string of the loader.
    unsafe {
        if dladdr(function, &mut info) == 0 || info.file.is_null() {
            return None;
        }
        let name = Path::new(std::ffi::OsStr::from_bytes(CStr::from_ptr(info.file).to_bytes()));
        Some(name.canonicalize().unwrap_or_else(|_| name.into()))
    }
}

/// The inference library, its version known.
pub struct Infer {
    /// The name it was opened by: a path, or a bare name if the system's loader was to find it.
    pub found_as: PathBuf,
    /// The file, links resolved.
    pub path: PathBuf,
    /// What it says of itself.
    pub version: Version,
    create_builder: Option<CreateBuilder>,
    create_runtime: CreateRuntime,
    class_type_info: Option<ClassTypeInfo>,
}

impl Infer {
    /// Asks a library for its version before anything else is called in it.
    pub fn bind(library: &SharedLibrary) -> Result<Infer, LoadError> {
        // SAFETY: the type of the function in NVIDIA's headers, the same in every release.
        let get_version: GetVersion = unsafe { library.function("getInferLibVersion") }?;
        let path = file_of(get_version as *const c_void).unwrap_or_else(|| library.name.clone());
        // SAFETY: it takes nothing and returns a constant.
        let number = unsafe { get_version() };
        let version =
            Version::from_number(number).ok_or(LoadError::UnknownVersion { path: path.clone(), number })?;
        // SAFETY: as above. Lean and dispatch runtimes have no builder.
        let (create_builder, create_runtime) = unsafe {
            (
                library.function("createInferBuilder_INTERNAL").ok(),
                library.function("createInferRuntime_INTERNAL")?,
            )
        };
        Ok(Infer {
            found_as: library.name.clone(),
            path,
            version,
            create_builder,
            create_runtime,
            class_type_info: library.class_type_info(),
        })
    }

    /// Whether it can build engines.
    pub fn has_builder(&self) -> bool {
        self.create_builder.is_some()
    }
}

/// The ONNX parser's exported functions.
#[derive(Clone, Copy)]
pub struct ParserLibrary {
    /// Makes a parser.
    pub create: CreateParser,
    /// What `getNvOnnxParserVersion()` returned; the parser counts versions of its own.
    pub version: i32,
}

/// A TensorRT: inference library, parser if it was asked for, and the one logger of the process.
pub struct TensorRt {
    /// The version of the inference library.
    pub version: Version,
    /// The name that the inference library was opened by, as in [`Infer::found_as`].
    pub found_as: PathBuf,
    /// The inference library's file.
    pub path: PathBuf,
    /// Where log messages go.
    pub logger: &'static Logger,
    /// For callbacks.
    pub class_type_info: Option<ClassTypeInfo>,
    create_builder: Option<CreateBuilder>,
    pub(super) create_runtime: CreateRuntime,
    parser: OnceLock<ParserLibrary>,
}

impl TensorRt {
    /// Makes the library usable, by itself.
    pub fn bind(infer: Infer) -> TensorRt {
        let Infer { found_as, path, version, create_builder, create_runtime, class_type_info } = infer;
        let logger = Logger::leak(version, class_type_info);
        let parser = OnceLock::new();
        TensorRt { version, found_as, path, logger, class_type_info, create_builder, create_runtime, parser }
    }

    /// Joins the library and its parser.
    pub fn bind_parser(&self, parser: &SharedLibrary) -> Result<(), LoadError> {
        // SAFETY: these are the types of the functions in NVIDIA's headers, the same in every release; the first one
        // takes nothing and returns a constant.
        let library = unsafe {
            let get_version: GetVersion = parser.function("getNvOnnxParserVersion")?;
            ParserLibrary { version: get_version(), create: parser.function("createNvOnnxParser_INTERNAL")? }
        };
        self.parser.get_or_init(|| library);
        Ok(())
    }

    /// Whether the parser is there.
    pub fn has_parser(&self) -> bool {
        self.parser.get().is_some()
    }

    /// What makes builders.
    pub(super) fn create_builder(&self) -> Result<CreateBuilder, LoadError> {
        self.create_builder.ok_or_else(|| LoadError::RuntimeOnly { library: self.path.clone() })
    }

    /// What makes parsers.
    pub(super) fn parser(&self) -> Result<ParserLibrary, LoadError> {
        let missing = || LoadError::NoParser { library: self.path.clone(), tried: vec![] };
        self.parser.get().copied().ok_or_else(missing)
    }

    /// What was reported since this was last asked: to the recorder, or else to the log.
    pub(super) fn take_errors(&self, recorder: &ErrorRecorder) -> Vec<RecordedError> {
        let (recorded, logged) = (recorder.take(), self.logger.take_errors());
        if recorded.is_empty() { logged } else { recorded }
    }
}
