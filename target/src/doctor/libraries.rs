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
    let folders: Vec<Folder> = dirs.into_iter().map(Folder::read).collect();
    let majors: BTreeSet<u32> = folders.iter().flat_map(Folder::majors).collect();
    let Some(newest) = majors.last() else { return Vec::new() };
    // Without a library that answered, the newest is the one that would have been tried.
    let used = match &facts.tensorrt {
        Ok(found) if found.product == TensorRtProduct::Rtx => return Vec::new(),
        Ok(found) => found.version[0],
        Err(_) => *newest,
    };
    let mut findings = vec![side_by_side(&majors, used)];
    // Where the library was loaded from; if only its name is known, where such a one is.
    let loaded = facts.tensorrt.as_ref().ok().and_then(|found| Path::new(&found.library).parent());
    let loaded = loaded.map(|dir| Folder::read(below(root, dir)));
    let home = loaded.iter().chain(&folders).find(|folder| folder.majors().contains(&used));
    if let Some(home) = home {
        findings.push(parser(home, &folders, used));
        findings.push(plugins(home, &folders, used));
    }
    findings
}

/// A folder and the names in it.
#[derive(Debug)]
struct Folder {
    path: PathBuf,
    names: BTreeSet<String>,
}

impl Folder {
    fn read(path: PathBuf) -> Self {
        Self { names: files::names(&path).into_iter().collect(), path }
    }

    /// The major versions in it, by `libnvinfer.so.8`, the name that programs are linked with.
    fn majors(&self) -> BTreeSet<u32> {
        self.names.iter().filter_map(|name| name.strip_prefix("libnvinfer.so.")?.parse().ok()).collect()
    }
}

fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
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

fn parser(home: &Folder, folders: &[Folder], major: u32) -> Finding {
    const CHECK: &str = "onnx parser";
    let name = format!("libnvonnxparser.so.{major}");
    beside(CHECK, &name, home, folders).unwrap_or_else(|| {
        problem(
            CHECK,
            format!("{name} is missing"),
            format!("install it: `sudo apt install libnvonnxparsers{major}`"),
        )
    })
}

fn plugins(home: &Folder, folders: &[Folder], major: u32) -> Finding {
    const CHECK: &str = "plugin library";
    let name = format!("libnvinfer_plugin.so.{major}");
    beside(CHECK, &name, home, folders).unwrap_or_else(|| {
        advice(
            CHECK,
            format!("{name} is missing: models with NVIDIA's plugins cannot be built"),
            format!("install it: `sudo apt install libnvinfer-plugin{major}`"),
        )
    })
}

/// A library that belongs to TensorRT is where TensorRT is; one from elsewhere may be of another version.
fn beside(check: &str, name: &str, home: &Folder, folders: &[Folder]) -> Option<Finding> {
    if home.names.contains(name) {
        return Some(good(check, format!("{name} is beside it")));
    }
    let elsewhere = folders.iter().find(|folder| folder.names.contains(name))?;
    Some(advice(
        check,
        format!("{name} is in {}, and TensorRT in {}", elsewhere.path.display(), home.path.display()),
        "have both of one installation: remove the other one, or name the folder that is complete in `tensorrt-dir` of \
         the agent's configuration",
    ))
}
