//! NVIDIA's real runtime libraries, lean and dispatch: the part of TensorRT 10 and 11 that PyPI has without a GPU's weight.
//!
//! Without a driver they load, tell their version, log through our logger in its layout of their major, and make no runtime:
//! some return the address 0x228 rather than null. With a driver they answer the runtime's slots.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use nvinfer::{Builder, Error, Family, Library, LoadError, Runtime};

use crate::stage::{skip, text};

/// What a runtime answers where there is a driver; `examine` calls these, through the binding.
pub const ANSWERED: [&str; 5] = [
    "VRuntime::deserializeCudaEngine",
    "VRuntime::getErrorRecorder",
    "VRuntime::getLogger",
    "VRuntime::getNbDLACores",
    "VRuntime::setErrorRecorder",
];

const TEST: &str = "runtime_only::nvidias_runtime_libraries_load_log_and_answer";
const CHILD: &str = "RUNTIME_ONLY_CHILD";

/// Every lean and dispatch library that `scripts/test` unpacked, in folders named like `lean-10.16.1.11`.
fn libraries() -> Vec<PathBuf> {
    let Some(folder) = std::env::var_os("TRT_TEST_RUNTIMES") else { return vec![] };
    let files =
        |folder: PathBuf| std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_runtime = |file: &PathBuf| {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("libnvinfer_lean.so") || name.starts_with("libnvinfer_dispatch.so")
    };
    let mut libraries: Vec<PathBuf> = files(folder.into()).flat_map(files).filter(is_runtime).collect();
    libraries.sort();
    libraries
}

#[test]
fn nvidias_runtime_libraries_load_log_and_answer() {
    if let Some(library) = std::env::var_os(CHILD) {
        return examine(Path::new(&library));
    }
    let libraries = libraries();
    if libraries.is_empty() {
        return skip(
            "no runtime libraries of TensorRT; scripts/test installs them and sets TRT_TEST_RUNTIMES",
        );
    }
    for library in libraries {
        let program = std::env::current_exe().expect("the path of this program");
        let output = std::process::Command::new(program)
            .args(["--exact", TEST, "--nocapture", "--test-threads=1"])
            .env(CHILD, &library)
            .output()
            .expect("a child process");
        let text = text(&output);
        assert!(output.status.success() && text.contains("running 1 test"), "{}: {text}", library.display());
        eprintln!("{}", String::from_utf8_lossy(&output.stderr).trim());
    }
}

/// Whether a CUDA driver works here: the only sign to trust, since these libraries return objects that are none.
fn has_driver() -> bool {
    // SAFETY: the driver's own library, which the system's administrator installed.
    let Ok(driver) = (unsafe { libloading::Library::new("libcuda.so.1") }) else { return false };
    // SAFETY: the type of cuInit in every CUDA.
    let found = unsafe { driver.get::<unsafe extern "C" fn(u32) -> i32>("cuInit").map(|init| init(0)) };
    std::mem::forget(driver);
    found.is_ok_and(|code| code == 0)
}

fn examine(path: &Path) {
    let library = Library::open_runtime_file(path).expect("the library is complete as a runtime");
    let version = library.version();
    let folder = path.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy().into_owned();
    let number = format!("{}.{}.{}.", version.major, version.minor, version.patch);
    assert!(
        folder.split_once('-').is_some_and(|(_, name)| name.starts_with(&number)),
        "{version} in {folder}"
    );
    assert!(matches!(version.family, Family::V10 | Family::V11));

    let heard: Arc<Mutex<Vec<String>>> = Arc::default();
    let sink = heard.clone();
    library.set_logger(move |severity, text| sink.lock().unwrap().push(format!("{severity:?}: {text}")));
    let builder = Builder::new(&library).map(drop);
    let refusal = builder.expect_err("a runtime builds nothing");
    let Error::Load(load) = &refusal else { panic!("{refusal:?}") };
    assert!(matches!(**load, LoadError::RuntimeOnly { .. }), "{refusal:?}");

    let runtime = Runtime::new(&library);
    let said = |heard: &Mutex<Vec<String>>| heard.lock().unwrap().clone();
    if !has_driver() {
        let error = runtime.map(drop).expect_err("there is no driver");
        let Error::Creation { recorded, .. } = &error else { panic!("{error:?}") };
        let heard = said(&heard);
        assert!(heard.iter().any(|line| line.contains("CUDA")), "the reason was logged: {heard:?}");
        eprintln!(
            "{folder}: no driver; {} lines logged, error: {error}, {} recorded",
            heard.len(),
            recorded.len()
        );
        return;
    }
    // Its first calls were canaries: getLogger, setErrorRecorder, getErrorRecorder.
    let mut runtime = runtime.expect("there is a driver");
    assert_eq!(runtime.dla_cores().expect("a number"), 0, "no server has a DLA");
    assert!(matches!(runtime.set_dla_core(0), Err(Error::NoDla { core: 0, available: 0 })));
    let error = runtime.deserialize(b"this is not an engine").map(drop).expect_err("not an engine");
    let Error::Deserialize { recorded, .. } = &error else { panic!("{error:?}") };
    assert!(!recorded.is_empty(), "the error recorder was told: {:?}", said(&heard));
    eprintln!("{folder}: with a driver; {} lines logged; {error}", said(&heard).len());
}
