//! NVIDIA's real runtime libraries, lean and dispatch: the part of TensorRT 10 and 11 that PyPI has without a GPU's weight.
//!
//! Without a driver they load, tell their version, log through our logger in its layout of their major, and make no runtime:
//! some return the address 0x228 rather than null. With a driver they answer the runtime's slots.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};

use nvinfer::sys::slots::runtime;
use nvinfer::sys::types::Ptr;
use nvinfer::{Builder, Error, Family, Library, LoadError, Runtime, Version};
use recorder::golden;
use test_support::{runtimes, skip};

use crate::raw;
use crate::stage::text;

const TEST: &str = "runtime_only::nvidias_runtime_libraries_load_log_and_answer";
const CHILD: &str = "RUNTIME_ONLY_CHILD";

/// Names a file, on a machine with a GPU: what the libraries answered is written to it, below what
/// `RUNTIME_ONLY_MACHINE` says. `scripts/check-runtimes` sets both.
const RESULTS: &str = "RUNTIME_ONLY_RESULTS";

/// That file, of the last time.
const FOUND: &str = include_str!("gpu.txt");

/// What the libraries answered on a machine with a GPU: when and where, and the rows of each, by the folder's name.
pub struct Found {
    pub machine: &'static str,
    libraries: Vec<(&'static str, golden::Version, BTreeSet<&'static str>)>,
}

/// Reads the results of the last run with a GPU, which must have had all libraries that are here.
pub fn found() -> Found {
    let mut lines = FOUND.lines().filter(|line| !line.starts_with('#'));
    let machine = lines.next().expect("gpu.txt says where it was written");
    let library = |line: &'static str| {
        let (name, rows) = line.split_once(": ").expect("a library and its rows");
        (name, version(name), rows.split(' ').collect())
    };
    let found = Found { machine, libraries: lines.map(library).collect() };
    for here in runtimes() {
        let name = folder(&here);
        let known = found.libraries.iter().any(|(known, ..)| *known == name);
        assert!(known, "{name} was never run with a GPU: use scripts/check-runtimes");
    }
    found
}

impl Found {
    /// The rows that every library of a column answered.
    pub fn in_column(&self, column: usize) -> BTreeSet<&'static str> {
        let columns = self.libraries.iter().filter(|(_, version, _)| version.column == column);
        columns.map(|(.., rows)| rows.clone()).reduce(|all, rows| &all & &rows).unwrap_or_default()
    }
}

/// The version in a folder's name, `lean-10.16.1.11`.
fn version(folder: &str) -> golden::Version {
    let numbers = folder.split(['-', '.']).skip(1).map(|number| number.parse().expect("a number"));
    let [major, minor, patch] = numbers.take(3).collect::<Vec<i32>>()[..] else {
        panic!("no version: {folder}")
    };
    golden::Version::new(major * 10_000 + minor * 100 + patch).expect("a version of the text")
}

fn folder(library: &Path) -> String {
    library.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy().into_owned()
}

#[test]
fn nvidias_runtime_libraries_load_log_and_answer() {
    if let Some(library) = std::env::var_os(CHILD) {
        return examine(Path::new(&library));
    }
    let libraries = runtimes();
    if libraries.is_empty() {
        return skip(
            "no runtime libraries of TensorRT; scripts/test installs them and sets TRT_TEST_RUNTIMES",
        );
    }
    let mut results = vec![];
    for library in libraries {
        let program = std::env::current_exe().expect("the path of this program");
        let output = std::process::Command::new(program)
            .args(["--exact", TEST, "--nocapture", "--test-threads=1"])
            .env(CHILD, &library)
            .output()
            .expect("a child process");
        let text = text(&output);
        assert!(output.status.success() && text.contains("running 1 test"), "{}: {text}", library.display());
        let said = String::from_utf8_lossy(&output.stderr);
        eprintln!("{}", said.trim());
        let answered = said.lines().find_map(|line| line.strip_prefix("answered "));
        results.extend(answered.map(|rows| format!("{}: {rows}\n", folder(&library))));
    }
    let Some(file) = std::env::var_os(RESULTS) else { return };
    assert!(!results.is_empty(), "there is no GPU here");
    let machine = std::env::var("RUNTIME_ONLY_MACHINE").expect("a line on the machine");
    let about = "# What NVIDIA's runtime libraries answered on a machine with a GPU; written by scripts/check-runtimes.";
    std::fs::write(file, format!("{about}\n{machine}\n{}", results.concat())).expect("the results");
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
    let folder = folder(path);
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
    // Its first calls were canaries: the pointers that these gave back were ours.
    let mut answered = BTreeSet::from([
        runtime::GET_LOGGER.name,
        runtime::SET_ERROR_RECORDER.name,
        runtime::GET_ERROR_RECORDER.name,
    ]);
    let mut made = runtime.expect("there is a driver");
    assert_eq!(made.dla_cores().expect("a number"), 0, "no server has a DLA");
    assert!(matches!(made.set_dla_core(0), Err(Error::NoDla { core: 0, available: 0 })));
    let error = made.deserialize(b"this is not an engine").map(drop).expect_err("not an engine");
    let Error::Deserialize { recorded, .. } = &error else { panic!("{error:?}") };
    assert!(!recorded.is_empty(), "the error recorder was told: {:?}", said(&heard));
    answered.insert(runtime::DESERIALIZE_CUDA_ENGINE.name);
    drop(made);
    answered.extend(dla(path, version));
    eprintln!("{folder}: with a driver; {} lines logged; {error}", said(&heard).len());
    eprintln!("answered {}", answered.into_iter().collect::<Vec<_>>().join(" "));
}

/// How many DLA cores there are: a server's answer, none, is one that many methods give, but not beside the -1 of the slot
/// before it, `getDLACore`. `setDLACore` changes nothing there, so that nothing is learnt of it.
fn dla(path: &Path, version: Version) -> Option<&'static str> {
    // SAFETY: NVIDIA's library; the types of its functions; the logger lives forever. Slots are what is tested, in a process
    // of its own.
    unsafe {
        let library = Box::leak(Box::new(libloading::Library::new(path).expect("it was open before")));
        let create = library.get::<unsafe extern "C" fn(Ptr, i32) -> Ptr>(b"createInferRuntime_INTERNAL");
        let number = version.table_version() as i32;
        let target = raw::of(Some(create.expect("exported")(raw::logger(version), number)));
        let count = raw::function(&runtime::GET_NB_DLA_CORES, version, target).expect("a row");
        let slot = runtime::GET_NB_DLA_CORES.slot(version).expect("a row");
        let core = *(*target.cast::<*const extern "C" fn(Ptr) -> i32>()).add(slot - 1);
        ((core(target), count(target)) == (-1, 0)).then_some(runtime::GET_NB_DLA_CORES.name)
    }
}
