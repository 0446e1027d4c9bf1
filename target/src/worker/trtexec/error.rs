//! Why `trtexec` built nothing that can be used.

use std::path::PathBuf;

use trt_wire::{Failure, FailureCode, Retry};

use crate::worker::{FREE_SPACE, failure, not_written};

/// Why there is no engine, or none to trust.
#[derive(Debug, thiserror::Error)]
pub enum TrtexecError {
    /// It is not there any more.
    #[error("there was a `trtexec` when the build was planned, and now there is none")]
    Gone,
    /// It is of another version than the library.
    #[error("{who} is of TensorRT {version}, and the plan was made for {expected}")]
    OtherVersion {
        /// The program, or what says so.
        who: String,
        /// What the banner says.
        version: String,
        /// What the plan was made for.
        expected: String,
    },
    /// It could not be started.
    #[error("`{path}` could not be started")]
    Start {
        /// The program.
        path: String,
        /// Why not.
        source: std::io::Error,
    },
    /// A name that its options cannot say.
    #[error("`trtexec` has no way to name {what}: `{name}`")]
    Unsayable {
        /// An input, a file.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// A newer version without an option that the build needs.
    #[error("the `trtexec` of {tensorrt} has no option `{option}`")]
    NoOption {
        /// The version.
        tensorrt: String,
        /// The option.
        option: &'static str,
    },
    /// The table that it shall read is not there.
    #[error("the calibration table for `trtexec` cannot be read back: {path}")]
    TableUnreadable {
        /// Where it was written.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A file of the build could not be written or removed.
    #[error("`{path}` cannot be prepared for `trtexec`")]
    Prepare {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The kernel killed it.
    #[error("`trtexec` was killed (SIGKILL), which is what the system does when memory runs out")]
    Killed,
    /// It crashed.
    #[error("`trtexec` crashed with signal {signal}{}", and_last(.last))]
    Crashed {
        /// The signal.
        signal: i32,
        /// The last error it told of.
        last: Option<String>,
    },
    /// It told of errors.
    #[error("`trtexec` built no engine: {}", .errors.join("; "))]
    Failed {
        /// The first errors of its log.
        errors: Vec<String>,
    },
    /// It told of errors, and memory ran out.
    #[error("`trtexec` built no engine, and memory ran out: {line}")]
    NoMemory {
        /// The line that says so.
        line: String,
    },
    /// It said neither that it passed nor that it failed.
    #[error("`trtexec` ended ({how}) without saying that it passed{}", and_last(.last))]
    NoVerdict {
        /// Its exit status.
        how: String,
        /// The last error it told of.
        last: Option<String>,
    },
    /// It claims success, and the file is not there.
    #[error("`trtexec` says that it passed, and there is no engine")]
    NoEngine,
    /// It claims success, and the file is none or not whole.
    #[error("`trtexec` says that it passed, and its file is no whole engine: {because}")]
    BrokenEngine {
        /// How that is known.
        because: String,
    },
}

fn and_last(error: &Option<String>) -> String {
    error.as_ref().map_or_else(String::new, |error| format!("; its last error: {error}"))
}

impl TrtexecError {
    /// What a user can do about it.
    pub fn hint(&self) -> Option<String> {
        const MEMORY: &str =
            "set a smaller `workspace`, stop other programs on the device, or add swap (zram)";
        Some(match self {
            Self::Gone | Self::OtherVersion { .. } => {
                "push again; `sudo apt install libnvinfer-bin` brings the `trtexec` of the device's TensorRT"
                    .into()
            }
            Self::Start { .. } => "run that program by hand on the device: it says what it lacks".into(),
            Self::Unsayable { .. } => {
                "rename it in the model, without commas and quotes; or set `backend: nvinfer`".into()
            }
            Self::NoOption { option, .. } => format!(
                "leave out of the fleet file what needs `{option}`, or install a newer agent with \
                 `trt-deploy agent install`"
            ),
            Self::TableUnreadable { .. } | Self::Prepare { .. } => FREE_SPACE.into(),
            Self::Killed | Self::NoMemory { .. } => MEMORY.into(),
            Self::Crashed { .. } | Self::NoVerdict { .. } => {
                "look at the device's memory and at `dmesg`; a smaller `workspace` needs less memory".into()
            }
            Self::Failed { .. } => {
                "set `backend: nvinfer` where this agent knows the device's TensorRT, or mend what \
                                    the errors name"
                    .into()
            }
            Self::NoEngine | Self::BrokenEngine { .. } => {
                "check the free space of the device's file system that holds the agent's store".into()
            }
        })
    }

    fn code(&self) -> FailureCode {
        match self {
            Self::Gone | Self::OtherVersion { .. } => FailureCode::PlanChanged,
            Self::Unsayable { .. } | Self::NoOption { .. } => FailureCode::Unplannable,
            Self::TableUnreadable { source, .. } | Self::Prepare { source, .. } => not_written(source),
            Self::Killed | Self::Crashed { .. } => FailureCode::WorkerDied,
            Self::Start { .. }
            | Self::Failed { .. }
            | Self::NoMemory { .. }
            | Self::NoVerdict { .. }
            | Self::NoEngine
            | Self::BrokenEngine { .. } => FailureCode::BuildFailed,
        }
    }
}

impl From<TrtexecError> for Failure {
    fn from(error: TrtexecError) -> Self {
        let retry = if error.code() == FailureCode::PlanChanged { Retry::Now } else { Retry::AfterFix };
        Self { retry, ..failure(error.code(), &error, error.hint()) }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn every_error_has_a_hint_and_keeps_its_cause() {
        let source = || io::Error::from_raw_os_error(13);
        let all = [
            TrtexecError::Gone,
            TrtexecError::OtherVersion {
                who: "`/t`".into(),
                version: "8.6.1".into(),
                expected: "TensorRT 8.5.2".into(),
            },
            TrtexecError::Start { path: "/t".into(), source: source() },
            TrtexecError::Unsayable { what: "an input", name: "a,b".into() },
            TrtexecError::NoOption { tensorrt: "TensorRT 12.0.0".into(), option: "--onnx" },
            TrtexecError::TableUnreadable { path: "/t".into(), source: source() },
            TrtexecError::Prepare { path: "/t".into(), source: source() },
            TrtexecError::Killed,
            TrtexecError::Crashed { signal: 11, last: Some("Cuda failure".into()) },
            TrtexecError::Failed { errors: vec!["a".into(), "b".into()] },
            TrtexecError::NoMemory { line: "out of memory".into() },
            TrtexecError::NoVerdict { how: "exit code 1".into(), last: None },
            TrtexecError::NoEngine,
            TrtexecError::BrokenEngine { because: "x".into() },
        ];
        let mut texts = Vec::new();
        for error in all {
            let has_cause = std::error::Error::source(&error).is_some();
            let failure = Failure::from(error);
            assert!(failure.hint.is_some(), "{failure}");
            assert_eq!(has_cause, failure.message.contains("ermission denied"), "{failure}");
            texts.push(format!("{:?}: {failure}", failure.code));
        }
        insta::assert_snapshot!(texts.join("\n"));
    }
}
