//! One process per library, since a process holds only one.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Set in a child process: the library folder it is to use.
pub const CHILD: &str = "NVINFER_TEST_LIBRARY";

/// Runs `body` in a child process for every folder; `test` is the name of the calling test.
///
/// The child's standard output must hold nothing but the test runner's lines: the agent's worker speaks to the agent on
/// it, so the libraries may not.
#[track_caller]
pub fn on_every(test: &str, dirs: &[PathBuf], body: impl FnOnce(&Path)) {
    if let Some(dir) = std::env::var_os(CHILD) {
        return body(Path::new(&dir));
    }
    if dirs.is_empty() {
        test_support::skip("no TensorRT; set TRT_RTX_LIB_DIR, or install tensorrt-rtx-cu12-libs into .venv");
    }
    for dir in dirs {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture", "--test-threads=1"])
            .env(CHILD, dir)
            .env_remove("LD_LIBRARY_PATH")
            .output()
            .unwrap();
        let (out, err) = (String::from_utf8_lossy(&child.stdout), String::from_utf8_lossy(&child.stderr));
        assert!(child.status.success(), "{}: {}\n{out}\n{err}", dir.display(), child.status);
        assert!(out.contains("1 passed"), "the test's name is not `{test}`: {out}");
        let foreign: Vec<&str> = out
            .lines()
            .filter(|line| {
                !line.is_empty() && !line.starts_with("running 1 test") && !line.starts_with("test ")
            })
            .collect();
        assert!(foreign.is_empty() && child.stdout.len() < 500, "written to standard output: {out}");
    }
}
