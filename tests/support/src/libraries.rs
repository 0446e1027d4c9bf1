//! Where NVIDIA's libraries are, and the second opinions.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// The newest TensorRT-RTX: the first folder of `TRT_RTX_LIB_DIR`, a list like `PATH`, that holds one, or else that of the
/// workspace's own virtual environment.
pub fn newest_rtx() -> Option<PathBuf> {
    let holds = |dir: &PathBuf| dir.join("libtensorrt_rtx.so.1").exists();
    if env::var_os("TRT_RTX_LIB_DIR").is_some() {
        return listed("TRT_RTX_LIB_DIR").find(holds);
    }
    let pythons = fs::read_dir(super::root().join(".venv/lib")).ok()?;
    pythons.flatten().map(|python| python.path().join("site-packages/tensorrt_rtx_libs")).find(holds)
}

/// Every TensorRT-RTX: the newest, then the older ones of `TRT_RTX_OLDER`, a list like `PATH`.
pub fn rtx() -> Vec<PathBuf> {
    newest_rtx().into_iter().chain(listed("TRT_RTX_OLDER")).collect()
}

/// Every lean and dispatch library in the folders of `TRT_TEST_RUNTIMES`, which are named like `lean-10.16.1.11`.
pub fn runtimes() -> Vec<PathBuf> {
    let files =
        |folder: PathBuf| fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_runtime = |file: &PathBuf| {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("libnvinfer_lean.so") || name.starts_with("libnvinfer_dispatch.so")
    };
    let mut found: Vec<PathBuf> =
        listed("TRT_TEST_RUNTIMES").flat_map(files).flat_map(files).filter(is_runtime).collect();
    found.sort();
    found
}

/// A Python with `onnx`, `onnxruntime` and `numpy`: `TRT_TEST_PYTHON`, or the workspace's own. Says so and gives nothing where it
/// lacks something.
#[track_caller]
pub fn python() -> Option<PathBuf> {
    let own = || super::root().join(".venv/bin/python");
    let python = env::var_os("TRT_TEST_PYTHON").map_or_else(own, PathBuf::from);
    let probe = Command::new(&python).args(["-c", "import numpy, onnx, onnxruntime"]).output();
    if probe.is_ok_and(|output| output.status.success()) {
        return Some(python);
    }
    super::skip(&format!("`{}` has no onnx, onnxruntime and numpy (set TRT_TEST_PYTHON)", python.display()));
    None
}

fn listed(variable: &str) -> impl Iterator<Item = PathBuf> + use<> {
    let list = env::var_os(variable).unwrap_or_default();
    let folders: Vec<PathBuf> = env::split_paths(&list).filter(|path| !path.as_os_str().is_empty()).collect();
    folders.into_iter()
}
