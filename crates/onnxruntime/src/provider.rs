//! Whether ONNX Runtime's CUDA provider can be loaded, and what it lacks if not.
//!
//! ONNX Runtime itself says no more than that the provider is "not enabled or not available". And the provider must not be
//! loaded to find out: it asks ONNX Runtime for its host while it is loaded, and keeps what it got. So its needs are
//! read from the file and loaded one by one.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use libloading::Library;
use object::elf::{DT_NEEDED, FileHeader64};
use object::read::ReadCache;
use object::read::elf::{Dyn as _, ElfFile, FileHeader as _};

use crate::OrtError;
use crate::runtime::loader_words;

/// The provider that is beside ONNX Runtime.
const PROVIDER: &str = "libonnxruntime_providers_cuda.so";
/// Between the two; ONNX Runtime loads it.
const SHARED: &str = "libonnxruntime_providers_shared.so";

/// What the provider needs, loaded.
#[derive(Debug)]
pub(crate) struct CudaProvider;

impl CudaProvider {
    /// Loads what the provider beside `runtime` (the library of ONNX Runtime) needs.
    pub fn beside(runtime: &Path) -> Result<Self, OrtError> {
        let folder = runtime.parent().unwrap_or(Path::new(""));
        let path = folder.join(PROVIDER);
        if !path.exists() {
            return Err(OrtError::NoCudaProvider { path });
        }
        let lacks =
            |library: &str, reason: String| OrtError::CudaLibrary { library: library.to_owned(), reason };
        if !folder.join(SHARED).exists() {
            return Err(lacks(SHARED, format!("it is not in {}", folder.display())));
        }
        let needed = needed(&path).map_err(|reason| lacks(PROVIDER, reason))?;
        let packages = nvidia_packages(folder);
        for library in needed.iter().filter(|library| *library != SHARED) {
            load(library, &packages).map_err(|reason| lacks(missing(&reason, library), reason.clone()))?;
        }
        Ok(Self)
    }
}

/// The libraries that a library needs, as its file says (`DT_NEEDED`).
fn needed(path: &Path) -> Result<Vec<String>, String> {
    // Not as a whole: the provider has hundreds of megabytes.
    let file = ReadCache::new(File::open(path).map_err(|error| error.to_string())?);
    let read = || -> object::Result<Vec<String>> {
        let elf = ElfFile::<FileHeader64<object::Endianness>, _>::parse(&file)?;
        let endian = elf.endian();
        let sections = elf.elf_header().sections(endian, &file)?;
        let Some((entries, link)) = sections.dynamic(endian, &file)? else { return Ok(Vec::new()) };
        let strings = sections.strings(endian, &file, link)?;
        let needs = entries.iter().filter(|entry| entry.d_tag(endian) == DT_NEEDED);
        needs.map(|entry| Ok(String::from_utf8_lossy(entry.string(endian, strings)?).into_owned())).collect()
    };
    read().map_err(|error| error.to_string())
}

/// Loads a library for good: by the loader's own path, or else from one of the folders.
fn load(name: &str, folders: &[PathBuf]) -> Result<(), String> {
    let there = folders.iter().map(|folder| folder.join(name)).filter(|path| path.exists());
    let mut first = None;
    for path in std::iter::once(PathBuf::from(name)).chain(there) {
        // SAFETY: loading runs the initializers of CUDA's libraries, as the provider would have them run.
        match unsafe { Library::new(&path) } {
            Ok(library) => {
                // The provider finds it by its name as long as it is loaded.
                std::mem::forget(library);
                return Ok(());
            }
            Err(error) => first = first.or(Some(loader_words(&error))),
        }
    }
    Err(first.unwrap_or_default())
}

/// The library that the loader's words name, which may be one behind the one asked for.
fn missing<'a>(reason: &'a str, asked: &'a str) -> &'a str {
    match reason.split_once(": cannot open shared object file") {
        Some((name, _)) if !name.contains(char::is_whitespace) => name,
        _ => asked,
    }
}

/// The folders of NVIDIA's packages in the Python whose `onnxruntime/capi` is `folder`.
fn nvidia_packages(folder: &Path) -> Vec<PathBuf> {
    let Some(site) = folder.ancestors().nth(2) else { return Vec::new() };
    let packages = fs::read_dir(site.join("nvidia")).into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = packages.map(|package| package.path().join("lib")).collect();
    folders.sort();
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_for_the_cpu_has_no_provider() {
        let folder = tempfile::tempdir().unwrap();
        let error = CudaProvider::beside(&folder.path().join("libonnxruntime.so.1.32.0")).unwrap_err();
        assert!(matches!(&error, OrtError::NoCudaProvider { path } if path.ends_with(PROVIDER)), "{error}");
        assert!(error.hint().unwrap().contains("onnxruntime-gpu"));
    }

    #[test]
    fn a_file_that_is_no_library_is_said_to_be_the_one_at_fault() {
        let folder = tempfile::tempdir().unwrap();
        [PROVIDER, SHARED]
            .iter()
            .for_each(|name| fs::write(folder.path().join(name), "not a library").unwrap());
        let error = CudaProvider::beside(&folder.path().join("libonnxruntime.so")).unwrap_err();
        assert!(matches!(&error, OrtError::CudaLibrary { library, .. } if library == PROVIDER), "{error}");
    }

    #[test]
    fn the_library_behind_the_one_asked_for_is_named() {
        let reason = "libcublasLt.so.12: cannot open shared object file: No such file or directory";
        assert_eq!(missing(reason, "libcublas.so.12"), "libcublasLt.so.12");
        assert_eq!(missing("/x y/libz.so: file too short", "libz.so"), "libz.so");
    }

    #[test]
    fn this_program_needs_the_c_library() {
        let needs = needed(&std::env::current_exe().unwrap()).unwrap();
        assert!(needs.iter().any(|name| name.starts_with("libc.so")), "{needs:?}");
    }
}
