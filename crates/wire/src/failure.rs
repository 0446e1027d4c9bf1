//! Errors that cross the wire: what happened, what mends it, and whether to try again.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Whether the same request can succeed later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Retry {
    /// The same request will fail again.
    Never,
    /// It may work at once or soon.
    Now,
    /// It may work once somebody has mended what the hint names.
    AfterFix,
}

/// What kind of failure this is, for programs; people read the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureCode {
    /// Host and agent speak different protocol versions.
    Protocol,
    /// A message or frame made no sense.
    BadRequest,
    /// Another deployment holds the device.
    Busy,
    /// A blob's bytes do not have the hash they were announced with.
    HashMismatch,
    /// The device's disk is full.
    DiskFull,
    /// No usable TensorRT on the device.
    NoTensorRt,
    /// No plan satisfies what was asked on this device.
    Unplannable,
    /// The model or the table cannot be used.
    BadModel,
    /// TensorRT could not build the engine.
    BuildFailed,
    /// The worker ended without a result: a crash, a kill, no memory.
    WorkerDied,
    /// The build was cancelled.
    Cancelled,
    /// The release was not verified and the model demands it.
    NotVerified,
    /// The hook failed; the previous release is active again.
    HookFailed,
    /// What was asked for is not there: a model, a release, a hook.
    NotFound,
    /// The facts changed between plan and deployment.
    PlanChanged,
    /// The agent's own files could not be read or written.
    Store,
}

/// A failure as the wire carries it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub struct Failure {
    /// The kind, for programs.
    pub code: FailureCode,
    /// What happened; no final period.
    pub message: String,
    /// What to do about it, naming a command, a flag or a file.
    pub hint: Option<String>,
    /// Whether trying again makes sense.
    pub retry: Retry,
}

impl Failure {
    /// A failure without a hint.
    pub fn new(code: FailureCode, retry: Retry, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None, retry }
    }

    /// The same with advice.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
