//! dlopen, the exported functions, and the version gate.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::mem::ManuallyDrop;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};

use crate::error::LoadError;
use crate::sys::logger::Logger;
use crate::sys::types::Ptr;
use crate::sys::vtable::ClassTypeInfo;
use crate::version::Version;

/// `createInferBuilder_INTERNAL(logger, version)`.
pub type CreateBuilder = unsafe extern "C" fn(Ptr, i32) -> Ptr;
/// `createNvOnnxParser_INTERNAL(network, logger, version)`.
pub type CreateParser = unsafe extern "C" fn(Ptr, Ptr, i32) -> Ptr;
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
        // SAFETY: this runs the library's constructors. The names given here are NVIDIA's, in folders that the user or
        // the system chose.
        let library =
            unsafe { Library::open(Some(name), RTLD_NOW | RTLD_LOCAL) }.map_err(|error| reason(&error))?;
        Ok(SharedLibrary { name: name.into(), library: ManuallyDrop::new(library) })
    }

    /// An exported function.
    ///
    /// # Safety
    /// `F` is the type of that function.
    unsafe fn function<F: Copy>(&self, symbol: &'static str) -> Result<F, LoadError> {
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
    /// The file, links resolved.
    pub path: PathBuf,
    version: Version,
    create_builder: CreateBuilder,
    class_type_info: Option<ClassTypeInfo>,
}

impl Infer {
    /// Asks a library for its version before anything else is called in it.
    pub fn bind(library: &SharedLibrary) -> Result<Infer, LoadError> {
        // SAFETY: these are the types of the functions in NVIDIA's headers, the same in every release.
        let (get_version, create_builder) = unsafe {
            let get_version: GetVersion = library.function("getInferLibVersion")?;
            (get_version, library.function("createInferBuilder_INTERNAL")?)
        };
        let path = file_of(get_version as *const c_void).unwrap_or_else(|| library.name.clone());
        // SAFETY: it takes nothing and returns a constant.
        let number = unsafe { get_version() };
        let version =
            Version::from_number(number).ok_or(LoadError::UnknownVersion { path: path.clone(), number })?;
        Ok(Infer { path, version, create_builder, class_type_info: library.class_type_info() })
    }
}

/// A complete TensorRT: inference library, parser, and the one logger of the process.
pub struct TensorRt {
    /// The version of the inference library.
    pub version: Version,
    /// The inference library's file.
    pub path: PathBuf,
    /// Where log messages go.
    pub logger: &'static Logger,
    /// For callbacks.
    pub class_type_info: Option<ClassTypeInfo>,
    pub(super) create_builder: CreateBuilder,
    pub(super) create_parser: CreateParser,
    /// What `getNvOnnxParserVersion()` returned; the parser counts versions of its own.
    pub(super) parser_version: i32,
}

impl TensorRt {
    /// Joins the library and its parser.
    pub fn bind(infer: Infer, parser: &SharedLibrary) -> Result<TensorRt, LoadError> {
        // SAFETY: these are the types of the functions in NVIDIA's headers, the same in every release; the first one
        // takes nothing and returns a constant.
        let (parser_version, create_parser) = unsafe {
            let get_version: GetVersion = parser.function("getNvOnnxParserVersion")?;
            (get_version(), parser.function("createNvOnnxParser_INTERNAL")?)
        };
        let Infer { path, version, create_builder, class_type_info } = infer;
        let logger = Logger::leak(version, class_type_info);
        Ok(TensorRt { version, path, logger, class_type_info, create_builder, create_parser, parser_version })
    }
}
