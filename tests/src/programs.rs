//! Where the programs under test and their real counterparts are.

use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the workspace")
}

/// A program of this workspace, from the profile that this test was built with.
///
/// # Panics
/// If it was not built: `cargo build --workspace --bins` does it, and so does `scripts/test`.
pub fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own file");
    let path = test.ancestors().nth(2).expect("tests are built into deps/").join(name);
    assert!(path.exists(), "{} is missing: run `cargo build --workspace --bins`", path.display());
    path
}

/// What the files of a Jetson say, to be the `facts-root` of an agent: one of `target/tests/devices`.
///
/// # Panics
/// If there is no such device.
pub fn module_root(module: &str) -> PathBuf {
    let path = root().join("target/tests/devices").join(module).join("root");
    assert!(path.is_dir(), "there is no such device: {}", path.display());
    path
}
