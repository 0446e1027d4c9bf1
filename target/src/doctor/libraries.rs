//! TensorRT's files: one major version, with parser and plugins beside it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use trt_wire::{DeviceFacts, Finding, TensorRtProduct};

use super::{advice, good, problem};
use crate::config::Config;
use crate::facts::files;

/// Where the system's loader looks for TensorRT on a Jetson, and where users unpack it.
const SYSTEM: [&str; 4] =
    ["usr/lib/aarch64-linux-gnu", "usr/lib/x86_64-linux-gnu", "usr/local/lib", "usr/local/tensorrt/lib"];

/// What lies in the default place's folders. Nothing where no library can be seen, or where a worker of the configuration
/// sees other files.
pub fn check(config: &Config, facts: &DeviceFacts) -> Vec<Finding> {
    if !config.default_runtime.worker.is_empty() {
        return Vec::new();
    }
    let root = &config.facts_root;
    let dirs: Vec<PathBuf> = match &config.default_runtime.tensorrt_dir {
        Some(dir) => vec![below(root, dir)],
        None => SYSTEM.iter().map(|dir| root.join(dir)).collect(),
    };
    let names: BTreeSet<String> = dirs.iter().flat_map(|dir| files::names(dir)).collect();
    let majors = majors(&names);
    let Some(newest) = majors.last() else { return Vec::new() };
    // Without a library that answered, the newest is the one that would have been tried.
    let used = match &facts.tensorrt {
        Ok(found) if found.product == TensorRtProduct::Rtx => return Vec::new(),
        Ok(found) => found.version[0],
        Err(_) => *newest,
    };
    let mut findings = vec![side_by_side(&majors, used)];
    if majors.contains(&used) {
        findings.push(parser(&names, used));
        findings.push(plugins(&names, used));
    }
    findings
}

fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

/// The major versions among the names, by `libnvinfer.so.8`, the name that programs are linked with.
fn majors(names: &BTreeSet<String>) -> BTreeSet<u32> {
    names.iter().filter_map(|name| name.strip_prefix("libnvinfer.so.")?.parse().ok()).collect()
}

fn side_by_side(majors: &BTreeSet<u32>, used: u32) -> Finding {
    const CHECK: &str = "versions";
    if majors.len() < 2 {
        return good(CHECK, format!("TensorRT {used} is the only one installed"));
    }
    let list = majors.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ");
    advice(
        CHECK,
        format!("TensorRT {list} are installed side by side; {used} is used"),
        "an engine loads only in the version that built it: if the application uses another one, name that one's \
         folder in `tensorrt-dir` of the agent's configuration",
    )
}

fn parser(names: &BTreeSet<String>, major: u32) -> Finding {
    const CHECK: &str = "onnx parser";
    let name = format!("libnvonnxparser.so.{major}");
    match names.contains(&name) {
        true => good(CHECK, format!("{name} is beside it")),
        false => problem(
            CHECK,
            format!("{name} is missing"),
            format!("install it: `sudo apt install libnvonnxparsers{major}`"),
        ),
    }
}

fn plugins(names: &BTreeSet<String>, major: u32) -> Finding {
    const CHECK: &str = "plugin library";
    let name = format!("libnvinfer_plugin.so.{major}");
    match names.contains(&name) {
        true => good(CHECK, format!("{name} is beside it")),
        false => advice(
            CHECK,
            format!("{name} is missing: models with NVIDIA's plugins cannot be built"),
            format!("install it: `sudo apt install libnvinfer-plugin{major}`"),
        ),
    }
}
