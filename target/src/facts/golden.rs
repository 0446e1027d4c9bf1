//! Devices to test with: folders of `tests/devices`, whose README says what they are.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::{Config, Runtime};

/// Every device there is.
pub const DEVICES: [&str; 10] = [
    "nano",
    "tx2",
    "xavier-nx",
    "orin-nano",
    "orin-nx",
    "agx-orin",
    "thor",
    "unknown-l4t",
    "dpkg-only",
    "empty",
];

fn folder(device: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/devices")).join(device)
}

/// The device's worker: a program that says what `probe.json` does.
pub fn worker(device: &str) -> Runtime {
    let probe = folder(device).join("probe.json");
    Runtime { tensorrt_dir: None, worker: vec!["cat".into(), probe.display().to_string()] }
}

/// The configuration of an agent on that device, with its store and socket below `dir`.
pub fn config(device: &str, dir: &Path) -> Config {
    Config {
        store: dir.join("store"),
        socket: dir.join("agent.sock"),
        default_runtime: worker(device),
        runtimes: [].into(),
        plugins: [].into(),
        build_for: None,
        hooks: [].into(),
        facts_root: folder(device).join("root"),
        build_timeout: Duration::from_secs(60),
    }
}
