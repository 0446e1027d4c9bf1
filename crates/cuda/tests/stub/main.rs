//! The crate on a driver that has nothing newer than CUDA 10.2, on broken ones and on none: `round_trip.rs` in a child
//! process whose `libcuda.so.1` is `driver.c`.

mod round_trip;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::OnceLock;

/// The stub, compiled by the C compiler that a linker of Rust programs is anyway.
fn stub() -> &'static [u8] {
    static STUB: OnceLock<Vec<u8>> = OnceLock::new();
    STUB.get_or_init(|| {
        let folder = folder();
        let library = folder.path().join("libcuda.so.1");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/stub/driver.c");
        let status = Command::new("cc")
            .args(["-shared", "-fPIC", "-o"])
            .arg(&library)
            .args([source, "-lpthread"])
            .status();
        assert!(status.expect("a C compiler `cc`").success(), "{source} compiles");
        fs::read(library).expect("the stub")
    })
}

/// Runs the round trip in a process where `libcuda.so.1` has this content.
fn run(folder: &Path, library: Option<&[u8]>, settings: &[(&str, &str)]) -> Output {
    for name in ["libcuda.so", "libcuda.so.1"] {
        match library {
            Some(bytes) => fs::write(folder.join(name), bytes).expect("a library"),
            None => assert!(!folder.join(name).exists()),
        }
    }
    let mut command = Command::new(std::env::current_exe().expect("own path"));
    command
        .args(["--exact", "round_trip::the_gpu_of_this_machine_works", "--nocapture"])
        .env(round_trip::IS_CHILD, "1");
    command.env("LD_LIBRARY_PATH", folder).env("STUB_CUDA_LOG", folder.join("log"));
    for (key, value) in settings {
        command.env(key, value);
    }
    command.output().expect("this test runs again")
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

fn talk(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The functions of the table in `src/sys.rs`.
fn functions_used() -> Vec<&'static str> {
    let table = include_str!("../../src/sys.rs").split_once("\nentry_points! {\n").expect("the table").1;
    let table = table.split_once("\n}\n").expect("its end").0;
    let mut used = Vec::new();
    let mut is_gated = false;
    for line in table.lines().map(str::trim) {
        if line.starts_with("cu") && (cfg!(feature = "kernels") || !is_gated) {
            used.push(line.split_once('(').expect("a name").0);
        }
        is_gated = line == "#[cfg(feature = \"kernels\")]";
    }
    used
}

#[test]
fn the_driver_functions_used_are_those_of_cuda_10_2() {
    let of_10_2: Vec<&str> =
        include_str!("../data/cuda-10.2.txt").lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(of_10_2.len(), 279);
    // The list can tell: these came later.
    for later in
        ["cuMemAllocAsync", "cuGetProcAddress", "cuDevicePrimaryCtxRelease_v2", "cuStreamGetCaptureInfo_v2"]
    {
        assert!(!of_10_2.contains(&later), "{later}");
    }
    let used = functions_used();
    assert!(used.len() >= if cfg!(feature = "kernels") { 35 } else { 23 }, "{used:?}");
    for function in used {
        assert!(of_10_2.contains(&function), "not in CUDA 10.2: {function}");
    }
}

#[test]
fn only_the_table_speaks_to_cudarc() {
    let mut names = Vec::new();
    for entry in fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src")).expect("src") {
        let path = entry.expect("a file").path();
        if fs::read_to_string(&path).expect("text").contains("cudarc::") {
            names.push(path.file_name().expect("a name").to_owned());
        }
    }
    assert_eq!(names, ["sys.rs"]);
    // And it takes the library and types from there: what it names of cudarc's functions is compared, not called.
    let table = include_str!("../../src/sys.rs");
    assert!(!table.contains("cudarc::driver::{result") && !table.contains("driver::safe"));
    for line in table.lines().filter(|line| line.contains("sys::cu") && !line.trim().starts_with("//")) {
        let calls_only_the_loader = line.contains("sys::culib()");
        assert!(
            calls_only_the_loader || line.trim().ends_with(';') && line.contains(" like sys::cu"),
            "{line}"
        );
    }
}

#[test]
fn everything_works_on_a_driver_of_cuda_10_2() {
    let folder = folder();
    let output = run(folder.path(), Some(stub()), &[]);
    assert!(output.status.success(), "{}", talk(&output));
    let talk = talk(&output);
    assert!(talk.contains("Stub Nano, compute capability 5.3, driver for CUDA 10.2"), "{talk}");
    assert!(talk.contains("16 MiB there and back: 1.5ms"), "{talk}");

    let log = fs::read_to_string(folder.path().join("log")).expect("the stub's log");
    for function in functions_used().into_iter().filter(|function| *function != "cuGetErrorName") {
        assert!(log.contains(&format!("{function} 0")), "never called: {function}\n{log}");
    }
    // Whatever was made was given back, and the context last: the stub refuses to release one that is in use.
    assert!(!log.lines().any(|line| !line.ends_with(" 0")), "{log}");
    assert!(log.ends_with("cuDevicePrimaryCtxRelease 0\n"), "{log}");
    for (made, gone) in [
        ("cuMemAlloc_v2", "cuMemFree_v2"),
        ("cuStreamCreate", "cuStreamDestroy_v2"),
        ("cuEventCreate", "cuEventDestroy_v2"),
        ("cuModuleLoadDataEx", "cuModuleUnload"),
        ("cuMemHostAlloc", "cuMemFreeHost"),
    ] {
        assert_eq!(log.matches(made).count(), log.matches(gone).count(), "{made}");
    }
}

#[test]
fn a_function_that_the_driver_lacks_is_named() {
    let whole = stub();
    for function in functions_used() {
        // The same library in which that name is another one.
        let mut bytes = whole.to_vec();
        let name = [function.as_bytes(), b"\0"].concat();
        let places: Vec<usize> =
            (0..bytes.len() - name.len()).filter(|at| bytes[*at..].starts_with(&name)).collect();
        assert!(!places.is_empty(), "the stub has no {function}");
        for at in places {
            bytes[at + name.len() - 2] ^= 1;
        }
        let folder = folder();
        let output = run(folder.path(), Some(&bytes), &[]);
        assert_eq!(output.status.code(), Some(1), "{function}: {}", talk(&output));
        assert!(
            talk(&output).contains(&format!("error: the CUDA driver library has no function `{function}`")),
            "{}",
            talk(&output)
        );
        assert!(talk(&output).contains("hint: the driver is older than CUDA 10.2"), "{}", talk(&output));
    }
}

#[test]
fn errors_of_the_driver_are_named_and_hinted_at() {
    let cases: &[(&str, &str, &str, &str)] = &[
        ("STUB_CUDA_DEVICES", "0", "the CUDA driver knows no GPU", "`video`"),
        ("STUB_CUDA_FAIL", "cuInit=100", "the CUDA driver knows no GPU", "`video`"),
        (
            "STUB_CUDA_FAIL",
            "cuInit=3",
            "failed in `cuInit` with error 3: `CUDA_ERROR_NOT_INITIALIZED`",
            "run the command again",
        ),
        ("STUB_CUDA_FAIL", "cuInit=34", "failed in `cuInit` with error 34: `unknown`", "stub for linking"),
        ("STUB_CUDA_FAIL", "cuInit=803", "failed in `cuInit` with error 803", "does not fit"),
        (
            "STUB_CUDA_FAIL",
            "cuMemAlloc_v2=2",
            "failed in `cuMemAlloc_v2` with error 2: `CUDA_ERROR_OUT_OF_MEMORY`",
            "too little free memory",
        ),
        (
            "STUB_CUDA_FAIL",
            "cuCtxSetCurrent=201",
            "failed in `cuCtxSetCurrent` with error 201: `CUDA_ERROR_INVALID_CONTEXT`",
            "report it",
        ),
        (
            "STUB_CUDA_FAIL",
            "cuStreamSynchronize=700",
            "failed in `cuStreamSynchronize` with error 700",
            "`dmesg`",
        ),
        ("STUB_CUDA_FAIL", "cuMemcpyDtoH_v2=719", "failed in `cuMemcpyDtoH_v2` with error 719", "`dmesg`"),
        // A number that no header has yet: an enum in its place would be undefined behaviour.
        (
            "STUB_CUDA_FAIL",
            "cuEventRecord=40321",
            "failed in `cuEventRecord` with error 40321: `unknown`",
            "hint: none",
        ),
    ];
    let stub = stub();
    for (key, value, message, hint) in cases {
        let folder = folder();
        let output = run(folder.path(), Some(stub), &[(key, value)]);
        let talk = talk(&output);
        assert_eq!(output.status.code(), Some(1), "{value}: {talk}");
        assert!(talk.contains(message) && talk.contains(hint), "{value}: {talk}");
        assert!(talk.contains("hint: "), "{value}: {talk}");
    }
}

#[cfg(feature = "kernels")]
#[test]
fn kernels_that_the_driver_refuses_come_with_its_words() {
    for code in ["218", "222"] {
        let folder = folder();
        let output =
            run(folder.path(), Some(stub()), &[("STUB_CUDA_FAIL", &format!("cuModuleLoadDataEx={code}"))]);
        let talk = talk(&output);
        assert_eq!(output.status.code(), Some(1), "{talk}");
        assert!(talk.contains(&format!("cannot load the kernels (`unknown`, error {code})")), "{talk}");
        assert!(talk.contains("hint: ") && talk.contains("compute capability 7.0"), "{talk}");
    }
}

/// A batch is counted, settled, counted again where it must be and settled, and only then is the answer fetched.
#[cfg(feature = "kernels")]
#[test]
fn a_batch_is_four_launches_and_one_copy_back() {
    let folder = folder();
    let output = run(folder.path(), Some(stub()), &[]);
    assert!(output.status.success(), "{}", talk(&output));
    let log = fs::read_to_string(folder.path().join("log")).expect("the stub's log");
    // Waiting for the receipt of the batch before, which is used again, is no part of a batch.
    let beside = ["cuCtxSetCurrent", "cuInit", "cuEventSynchronize"];
    let calls: Vec<&str> =
        log.lines().map(|line| line.trim_end_matches(" 0")).filter(|call| !beside.contains(call)).collect();
    let launch = "cuLaunchKernel";
    let batch = ["cuMemsetD8Async", launch, launch, launch, launch, "cuMemcpyDtoHAsync_v2", "cuEventRecord"];
    let places: Vec<usize> = (0..calls.len()).filter(|at| calls[*at..].starts_with(&batch)).collect();
    assert_eq!(places.len(), 2, "two batches: {calls:?}");
    // The shares of the second batch are those of the first one.
    assert_eq!(calls[places[0] - 1], "cuMemcpyHtoDAsync_v2");
    assert_ne!(calls[places[1] - 1], "cuMemcpyHtoDAsync_v2");
}

#[test]
fn a_machine_without_a_driver_or_with_a_broken_one_says_so() {
    // A machine with a driver of its own finds that one behind the broken one.
    if has_driver() {
        return eprintln!("not tested: this machine has a CUDA driver");
    }
    let foreign = {
        let mut bytes = stub().to_vec();
        // The processor in the ELF header: 0xF3 is none that we know.
        bytes[18] = 0xF3;
        bytes
    };
    for library in [None, Some(&b""[..]), Some(b"not an ELF file"), Some(&foreign)] {
        let folder = folder();
        let output = run(folder.path(), library, &[]);
        let talk = talk(&output);
        assert_eq!(output.status.code(), Some(1), "{talk}");
        assert!(
            talk.contains("error: no CUDA driver: `libcuda.so.1` was not found or cannot be loaded"),
            "{talk}"
        );
        assert!(talk.contains("hint: ") && talk.contains("nvidia-l4t-cuda"), "{talk}");
    }
}

/// Whether the loader's cache has a driver.
fn has_driver() -> bool {
    let cache = Command::new("/sbin/ldconfig").arg("-p").output();
    cache.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("libcuda.so"))
}
