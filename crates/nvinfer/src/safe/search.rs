//! Where TensorRT's libraries may be, and what is wrong with those that are there.

use std::path::{Path, PathBuf};

use crate::elf;
use crate::error::{Attempt, LoadError};
use crate::result::SharedLibrary;
use crate::version::{Family, Version};

/// The library names of one major version, in the order they are tried.
pub(super) struct Names {
    /// What builds and runs engines.
    pub infer: &'static str,
    /// What runs engines only.
    pub runtimes: &'static [&'static str],
    /// Its ONNX parser.
    pub parser: &'static str,
    /// TensorRT's own plugins.
    pub plugins: Option<&'static str>,
}

/// The newest TensorRT first, TensorRT-RTX last.
pub(super) const NAMES: [Names; 4] = [
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
    pub fn of(path: &Path, version: Version) -> &'static Names {
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
pub(super) enum Purpose {
    /// Engines are built, so the parser is needed.
    Build,
    /// Engines are run.
    Run,
}

/// The first library that exists.
pub(super) fn find(search: &SearchPath, purpose: Purpose) -> Result<SharedLibrary, LoadError> {
    first(search.candidates(purpose))?.map_err(|tried| LoadError::NotFound { tried })
}

/// The library of this file.
pub(super) fn find_file(path: &Path) -> Result<SharedLibrary, LoadError> {
    first([path.to_path_buf()])?.map_err(|tried| LoadError::NotFound { tried })
}

/// The parser beside the library, else the one that the system's loader finds.
pub(super) fn find_parser(library: &Path, version: Version) -> Result<SharedLibrary, LoadError> {
    let found = beside(library, Names::of(library, version).parser)?;
    found.map_err(|tried| LoadError::NoParser { library: library.into(), tried })
}

/// A companion of a library: the file beside it, else what the system's loader finds.
pub(super) fn beside(library: &Path, name: &str) -> Result<Result<SharedLibrary, Vec<Attempt>>, LoadError> {
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
pub(super) fn unsuitable(path: &Path) -> Result<(), LoadError> {
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
