//! Loads the TensorRT that a job was made for, with the plugins it needs.

use std::path::{Path, PathBuf};

use nvinfer::{Library, LoadError, Product, SearchPath, Version};
use trt_wire::{Decision, Failure, FailureCode, Retry, TensorRt, TensorRtProduct, Trtexec};

use super::failure;
use super::log::Log;
use super::trtexec;

/// The majors whose libraries are found by name; without one, a `trtexec` of theirs has nothing to build with.
const KNOWN_MAJORS: [u32; 3] = [8, 10, 11];

/// The configuration's folder and nothing else, or what the system's loader finds.
pub fn search_path(tensorrt_dir: Option<&Path>) -> SearchPath {
    tensorrt_dir.map_or_else(SearchPath::default, |dir| SearchPath::only([dir]))
}

/// A version in the wire's words.
pub fn describe(version: Version, library: &Path) -> TensorRt {
    TensorRt {
        product: match version.product {
            Product::TensorRt => TensorRtProduct::TensorRt,
            Product::Rtx => TensorRtProduct::Rtx,
        },
        version: [version.major, version.minor, version.patch],
        library: library.display().to_string(),
        is_known: true,
    }
}

/// What the wire should know of a library whose interface is in no table, for `trtexec` may build with it.
fn describe_unknown(path: &Path, number: i32) -> Option<TensorRt> {
    let is_rtx = path.file_name().is_some_and(|name| name.to_string_lossy().contains("tensorrt_rtx"));
    Some(TensorRt {
        product: if is_rtx { TensorRtProduct::Rtx } else { TensorRtProduct::TensorRt },
        version: Version::decode(number)?,
        library: path.display().to_string(),
        is_known: false,
    })
}

/// What is there for `trtexec` to build with, when no library can be built with in this process: one whose interface is in
/// no table, or, if none of a known file name is there, whatever a newer `trtexec` says it is.
pub fn unknown(error: &LoadError, tensorrt_dir: Option<&Path>) -> Option<TensorRt> {
    match error {
        LoadError::UnknownVersion { path, number } => describe_unknown(path, *number),
        LoadError::NotFound { .. } => describe_trtexec(trtexec::find::find(tensorrt_dir, None)?),
        _ => None,
    }
}

/// File names carry the major version, so the library of a version to come is not found by the names of those known.
fn describe_trtexec(trtexec: Trtexec) -> Option<TensorRt> {
    let version = trtexec.version.filter(|version| !KNOWN_MAJORS.contains(&version[0]))?;
    Some(TensorRt { product: TensorRtProduct::TensorRt, version, library: trtexec.path, is_known: false })
}

/// What there is to build with; a library is loaded, and nothing else is done with it.
///
/// # Errors
/// [`FailureCode::NoTensorRt`].
pub fn identify(tensorrt_dir: Option<&Path>) -> Result<TensorRt, Failure> {
    match Library::open(&search_path(tensorrt_dir)) {
        Ok(library) => Ok(describe(library.version(), library.path())),
        Err(error) => unknown(&error, tensorrt_dir).ok_or_else(|| not_loaded(error)),
    }
}

/// Loads the library to build with and checks that it is the one of the plan.
///
/// # Errors
/// [`FailureCode::NoTensorRt`], or [`FailureCode::PlanChanged`] for another library, or one that was replaced since.
pub fn open(tensorrt_dir: Option<&Path>, expected: &TensorRt, log: &Log) -> Result<Library, Failure> {
    let library = Library::open(&search_path(tensorrt_dir)).map_err(not_loaded)?;
    log.attach(&library);
    let found = describe(library.version(), library.path());
    if found != *expected {
        let message = format!("the plan was made for {expected}, and now there is {found}");
        return Err(Failure::new(FailureCode::PlanChanged, Retry::Now, message).with_hint("push again"));
    }
    Ok(library)
}

/// Loads the library to run an engine with and checks that it is of the version that built the engine.
///
/// # Errors
/// As [`open`]; an engine needs the exact version, but neither the same file nor a parser.
pub fn open_to_run(tensorrt_dir: Option<&Path>, built_by: &TensorRt, log: &Log) -> Result<Library, Failure> {
    let library = Library::open_runtime(&search_path(tensorrt_dir)).map_err(not_loaded)?;
    log.attach(&library);
    let found = describe(library.version(), library.path());
    if (found.product, found.version) != (built_by.product, built_by.version) {
        let message = format!("the engine was built by {built_by}, and now there is {found}");
        return Err(Failure::new(FailureCode::PlanChanged, Retry::Now, message)
            .with_hint("push again: engines run only with the version that built them"));
    }
    Ok(library)
}

/// Registers TensorRT's own plugins, if they are installed, and then those of the job.
///
/// TensorRT's own that are there and do not load are a decision: most models need none, and a model that does need them
/// fails with it.
///
/// # Errors
/// [`FailureCode::NoTensorRt`] for a plugin library of TensorRT's that brought another TensorRT into this process,
/// [`FailureCode::BuildFailed`] for one of the job's that does not load.
pub fn load_plugins(library: &Library, plugins: &[PathBuf], log: &Log) -> Result<Option<Decision>, Failure> {
    let mut lost = None;
    match library.init_plugins() {
        Ok(path) => log.note(&format!("TensorRT's own plugins: {}", path.display())),
        Err(LoadError::NoPlugins { .. }) => log.note("TensorRT has no plugins of its own here"),
        Err(error @ LoadError::Mixed { .. }) => return Err(not_loaded(error)),
        Err(error) => {
            let what = "TensorRT's own plugins are not used".into();
            lost = Some(Decision { what, because: format!("their library does not load: {error}") });
        }
    }
    for path in plugins {
        library.load_plugin(path).map_err(|error| failure(FailureCode::BuildFailed, &error, error.hint()))?;
        log.note(&format!("plugins: {}", path.display()));
    }
    Ok(lost)
}

fn not_loaded(error: LoadError) -> Failure {
    failure(FailureCode::NoTensorRt, &error, error.hint())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trtexec_stands_for_a_library_only_if_that_could_not_be_found() {
        let of = |version| describe_trtexec(Trtexec { path: "/usr/bin/trtexec".into(), version });
        for known in [[8, 6, 1], [10, 3, 0], [11, 4, 1]] {
            assert_eq!(of(Some(known)), None, "its library is missing");
        }
        assert_eq!(of(None), None);
        let twelve = of(Some([12, 0, 1])).unwrap();
        assert!(!twelve.is_known && twelve.to_string() == "TensorRT 12.0.1");
    }

    #[test]
    fn an_unknown_version_is_described_as_far_as_its_number_goes() {
        let cases = [
            ("/lib/libnvinfer.so.12", 120_001, Some("TensorRT 12.0.1")),
            ("/lib/libnvinfer.so.9", 90_300, Some("TensorRT 9.3.0")),
            ("/lib/libnvinfer.so.7", 7_103, Some("TensorRT 7.1.3")),
            ("/lib/libtensorrt_rtx.so.1", 10_801, Some("TensorRT-RTX 1.8.1")),
            ("/lib/libtensorrt_rtx.so.2", 20_000, Some("TensorRT-RTX 2.0.0")),
            ("/lib/libnvinfer.so.8", 0, None),
            ("/lib/libnvinfer.so.8", -1, None),
        ];
        for (path, number, expected) in cases {
            let found = describe_unknown(Path::new(path), number);
            assert_eq!(found.as_ref().map(ToString::to_string).as_deref(), expected, "{number}");
            assert!(found.is_none_or(|found| !found.is_known && found.library == path));
        }
    }
}
