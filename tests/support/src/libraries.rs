//! Where NVIDIA's libraries are.

use std::env;
use std::fs;
use std::path::PathBuf;

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

fn listed(variable: &str) -> impl Iterator<Item = PathBuf> + use<> {
    let list = env::var_os(variable).unwrap_or_default();
    let folders: Vec<PathBuf> = env::split_paths(&list).filter(|path| !path.as_os_str().is_empty()).collect();
    folders.into_iter()
}
