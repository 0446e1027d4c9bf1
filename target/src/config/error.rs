//! Why a configuration cannot be used, and what mends it.

use std::path::{Path, PathBuf};

use trt_wire::{HookName, RuntimeName};

/// The configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file named on the command line cannot be read.
    #[error("the configuration cannot be read: {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The file is not what it should be.
    #[error("{}:{line}:{column}: {problem}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// Counted from 1.
        column: usize,
        /// What is wrong there, with the key it concerns.
        problem: String,
    },
    /// `build-for` is no compute capability.
    #[error("`build-for` is a compute capability such as \"8.6\", not: {value}")]
    BuildFor {
        /// What the file says.
        value: String,
    },
    /// A time limit that nobody could mean.
    #[error("`{key}` is longer than a year: {value}")]
    TooLong {
        /// The key.
        key: String,
        /// What the file says, in the key's unit.
        value: u64,
    },
    /// A hook without a program.
    #[error("hook `{name}` has an empty `argv`")]
    EmptyHook {
        /// The hook.
        name: HookName,
    },
    /// A place to build in that says nothing about itself.
    #[error("runtime `{name}` has neither `tensorrt-dir` nor `worker`")]
    EmptyRuntime {
        /// The runtime.
        name: RuntimeName,
    },
    /// A path that depends on where the agent was started.
    #[error("`{key}` must be an absolute path, not: {}", path.display())]
    Relative {
        /// The key.
        key: String,
        /// What the file says.
        path: PathBuf,
    },
    /// There is no place for the store.
    #[error("neither `store` nor the environment variable HOME says where to keep engines")]
    NoHome,
}

impl ConfigError {
    /// What the parser found wrong in the file at `path`.
    pub(super) fn parse(path: &Path, error: &serde_yaml::Error) -> Self {
        let (line, column) = error.location().map_or((1, 1), |place| (place.line(), place.column()));
        let text = error.to_string();
        // The place is said first.
        let problem = text.replacen(&format!(" at line {line} column {column}"), "", 1);
        Self::Parse { path: path.to_owned(), line, column, problem }
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Read { .. } => "give another file with `--config`".into(),
            Self::Parse { problem, .. } => parse_hint(problem),
            Self::BuildFor { .. } => "quote it in the YAML file: `build-for: \"8.6\"`".into(),
            Self::TooLong { key, .. } if key == "build-timeout-minutes" => {
                "give minutes, such as `build-timeout-minutes: 120`, which is the default".into()
            }
            Self::TooLong { .. } => "give seconds, such as `timeout: 30`, which is the default".into(),
            Self::EmptyHook { .. } => {
                "give the program and its arguments: `argv: [systemctl, restart, app]`".into()
            }
            Self::EmptyRuntime { .. } => {
                "say which TensorRT it is, `tensorrt-dir: /opt/tensorrt/lib`, or what builds, `worker: [docker, run, …]`; \
                 models without a `runtime` build in the default place"
                    .into()
            }
            Self::Relative { .. } => {
                "write the whole path, beginning with `/`; `~` is not expanded here".into()
            }
            Self::NoHome => "set `store` in the configuration".into(),
        })
    }
}

/// The hint for a text of the parser's: `worker: invalid type: string "docker run", expected a sequence`.
fn parse_hint(problem: &str) -> String {
    let key = problem.split_once(": ").map_or("", |(path, _)| path);
    let key = key.rsplit('.').next().unwrap_or(key);
    if let Some((_, known)) = problem.split_once("unknown field `") {
        let known: Vec<&str> = known.split('`').skip(2).step_by(2).collect();
        return format!("the known keys are: {}", known.join(", "));
    }
    match key {
        _ if problem.contains("occurs twice") || problem.contains("duplicate field") => {
            "remove one of the two".into()
        }
        "worker" if problem.contains("invalid type") => {
            "give the program and its arguments as a list: `worker: [docker, run, …]`".into()
        }
        "argv" if problem.contains("invalid type") => {
            "give the program and its arguments as a list: `argv: [systemctl, restart, app]`".into()
        }
        "build-for" => "quote it in the YAML file: `build-for: \"8.6\"`".into(),
        "runtimes" | "plugins" | "hooks" => {
            "what the wire names has up to 64 characters out of `A-Z a-z 0-9 . _ -`, and stands before what it means, as in \
             `configs/agent.yaml`"
                .into()
        }
        _ => "`configs/agent.yaml` holds every key with its meaning".into(),
    }
}
