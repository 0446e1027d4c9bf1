//! Where TensorRT's libraries may be, and what is wrong with those that are there.

use std::path::{Path, PathBuf};

use crate::elf;
use crate::error::{Attempt, LoadError};
use crate::result::{Infer, SharedLibrary};
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
///
/// The parser and the plugins of a library are looked for where the library was found: beside it, and by the system's loader
/// only if that found the library too.
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
    /// Only these folders, for the library and what belongs to it.
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

/// The parser that belongs to the library.
pub(super) fn find_parser(library: &Infer) -> Result<SharedLibrary, LoadError> {
    let found = beside(&library.found_as, &library.path, Names::of(&library.path, library.version).parser)?;
    found.map_err(|tried| LoadError::NoParser { library: library.path.clone(), tried })
}

/// A companion of the library that was found as `found_as` and whose file, links resolved, is `library`.
pub(super) fn beside(
    found_as: &Path,
    library: &Path,
    name: &str,
) -> Result<Result<SharedLibrary, Vec<Attempt>>, LoadError> {
    first(companions(found_as, library, name))
}

/// Where a companion may be: beside the name by which the library was found, beside its file, and where the system's loader
/// looks only if that found the library. Another installation's may be of another minor version.
fn companions(found_as: &Path, library: &Path, name: &str) -> Vec<PathBuf> {
    let mut places = vec![library.with_file_name(name)];
    if is_bare(found_as) {
        places.push(name.into());
    } else {
        places.insert(0, found_as.with_file_name(name));
        places.dedup();
    }
    places
}

/// Whether a name is one for the system's loader, without a folder.
fn is_bare(name: &Path) -> bool {
    name.components().count() == 1
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
    let absent = format!("{}: cannot open shared object file: No such file", name.display());
    if is_bare(name) { reason.starts_with(&absent) } else { !name.exists() }
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
    fn companions_are_looked_for_where_the_library_was_found() {
        let places = |found_as: &str, library: &str| -> Vec<String> {
            let places = companions(found_as.as_ref(), library.as_ref(), "p.so");
            places.iter().map(|place| place.display().to_string()).collect()
        };
        assert_eq!(places("libnvinfer.so.8", "/usr/lib/libnvinfer.so.8.2.1"), ["/usr/lib/p.so", "p.so"]);
        assert_eq!(places("/a/libnvinfer.so.8", "/a/libnvinfer.so.8.2.1"), ["/a/p.so"]);
        assert_eq!(places("/a/libnvinfer.so.8", "/b/libnvinfer.so.8.2.1"), ["/a/p.so", "/b/p.so"]);
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
