//! What the tests of all crates find, skip and wait for in the same way. It knows no crate of ours, so that each may have
//! it as a dev-dependency.
//!
//! `scripts/test` says in its environment what there is:
//! - `TRT_TESTS_MUST_RUN`: all of it; what is missing is a failure and not a reason to skip,
//! - `TRT_TESTS_WITHOUT`: but for these, separated by spaces: `root`, `arm64` programs, `shared` inputs,
//! - `TRT_TEST_PATIENCE`: a whole number that multiplies every limit of time, for processors that are slow or emulated.

pub mod browser;
mod libraries;
pub mod onnx;

use std::env;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

pub use libraries::{newest_rtx, python, rtx, runtimes};

/// Says why a test does not run here. Where everything is installed (`TRT_TESTS_MUST_RUN`) that is a failure.
///
/// # Panics
/// If `TRT_TESTS_MUST_RUN` is set.
#[track_caller]
pub fn skip(reason: &str) {
    assert!(env::var_os("TRT_TESTS_MUST_RUN").is_none(), "this test must run: {reason}");
    eprintln!("skipped: {reason}");
}

/// The same for want of something that not every machine has, if `TRT_TESTS_WITHOUT` names it.
///
/// # Panics
/// If `TRT_TESTS_MUST_RUN` is set and `TRT_TESTS_WITHOUT` does not name it.
#[track_caller]
pub fn skip_without(what: &str, reason: &str) {
    let without = env::var("TRT_TESTS_WITHOUT").unwrap_or_default();
    if without.split_whitespace().any(|word| word == what) {
        eprintln!("skipped: {reason}");
    } else {
        skip(reason);
    }
}

/// A path in the folder `shared` beside the checkout, which is no part of it; says so and gives nothing where it is not there.
#[track_caller]
pub fn shared(name: &str) -> Option<PathBuf> {
    let path = root().parent()?.join("shared").join(name);
    if !path.exists() {
        skip_without("shared", &format!("there is no `../shared/{name}` beside the checkout"));
        return None;
    }
    Some(path)
}

/// A limit of time, as long as this machine needs: times `TRT_TEST_PATIENCE`.
///
/// # Panics
/// If that is no whole number.
pub fn patience(limit: Duration) -> Duration {
    limit * env::var("TRT_TEST_PATIENCE").map_or(1, |text| text.parse().expect("a whole number"))
}

/// Waits for something that comes soon, and a minute at most.
///
/// # Panics
/// If it does not.
#[track_caller]
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + patience(Duration::from_secs(60));
    while !condition() {
        assert!(Instant::now() < deadline, "it never came: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// The workspace.
fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).expect("tests/support lies in the workspace")
}
