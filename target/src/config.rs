//! The device's own configuration. What it does not define, the wire cannot name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use trt_wire::HookName;

/// The configuration of a device, with every default resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where blobs, engines and releases are.
    pub store: PathBuf,
    /// Where the daemon listens.
    pub socket: PathBuf,
    /// The folder TensorRT must be in; where the system's loader looks if absent.
    pub tensorrt_dir: Option<PathBuf>,
    /// Compute capability to build for if no CUDA driver answers (TensorRT-RTX only).
    pub build_for: Option<[u32; 2]>,
    /// The worker's program and arguments; this program itself if empty.
    pub worker: Vec<String>,
    /// Programs that the wire may name.
    pub hooks: BTreeMap<HookName, Hook>,
    /// Where facts about the device are read below; `/` on a real one.
    pub facts_root: PathBuf,
    /// How long a build may take.
    pub build_timeout: Duration,
}

/// A program to run after a release was activated.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Hook {
    /// The program and its arguments; no shell is involved.
    pub argv: Vec<String>,
    /// Seconds after which it is killed and counts as failed.
    #[serde(default = "Hook::default_timeout")]
    pub timeout: u64,
}

impl Hook {
    fn default_timeout() -> u64 {
        30
    }
}

/// The file as written; `configs/agent.yaml` documents every key.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct File {
    store: Option<PathBuf>,
    socket: Option<PathBuf>,
    tensorrt_dir: Option<PathBuf>,
    build_for: Option<String>,
    worker: Vec<String>,
    hooks: BTreeMap<HookName, Hook>,
    facts_root: Option<PathBuf>,
    build_timeout_minutes: Option<u64>,
}

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
    #[error("the configuration is wrong: {}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Line, column and what is wrong there.
        source: serde_yaml::Error,
    },
    /// `build-for` is no compute capability.
    #[error("`build-for` is a compute capability such as \"8.6\", not: {value}")]
    BuildFor {
        /// What the file says.
        value: String,
    },
    /// A hook without a program.
    #[error("hook `{name}` has an empty `argv`")]
    EmptyHook {
        /// The hook.
        name: HookName,
    },
    /// A path that depends on where the agent was started.
    #[error("`{key}` must be an absolute path, not: {}", path.display())]
    Relative {
        /// The key.
        key: &'static str,
        /// What the file says.
        path: PathBuf,
    },
    /// There is no place for the store.
    #[error("neither `store` nor the environment variable HOME says where to keep engines")]
    NoHome,
}

impl ConfigError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Read { .. } => "give another file with `--config`".into(),
            Self::Parse { .. } => {
                "the known keys are: store, socket, tensorrt-dir, build-for, worker, hooks, \
                                   facts-root, build-timeout-minutes"
                    .into()
            }
            Self::BuildFor { .. } => "quote it in the YAML file: `build-for: \"8.6\"`".into(),
            Self::EmptyHook { .. } => {
                "give the program and its arguments: `argv: [systemctl, restart, app]`".into()
            }
            Self::Relative { .. } => {
                "write the whole path, beginning with `/`; `~` is not expanded here".into()
            }
            Self::NoHome => "set `store` in the configuration".into(),
        })
    }
}

const SYSTEM_FILE: &str = "/etc/trt-agent/config.yaml";
const SYSTEM_STORE: &str = "/var/lib/trt-agent";
const SYSTEM_SOCKET: &str = "/run/trt-agent/agent.sock";

impl Config {
    /// Reads `explicit`, else the system's file, else the user's, else takes the user's defaults.
    pub fn load(explicit: Option<&Path>) -> Result<Self, ConfigError> {
        let home = std::env::var_os("HOME").map(PathBuf::from);
        let user_file = home.as_ref().map(|home| home.join(".config/trt-agent/config.yaml"));
        let found = match explicit {
            Some(path) => Some(path.to_owned()),
            None => {
                [Some(PathBuf::from(SYSTEM_FILE)), user_file].into_iter().flatten().find(|path| path.exists())
            }
        };
        let Some(path) = found else { return Self::resolve(File::default(), false, home) };
        let text = std::fs::read(&path).map_err(|source| ConfigError::Read { path: path.clone(), source })?;
        let is_system = path == Path::new(SYSTEM_FILE);
        Self::resolve(Self::parse(&text, &path)?, is_system, home)
    }

    fn parse(text: &[u8], path: &Path) -> Result<File, ConfigError> {
        // An empty file is a configuration of defaults.
        serde_yaml::from_slice::<Option<File>>(text)
            .map(Option::unwrap_or_default)
            .map_err(|source| ConfigError::Parse { path: path.to_owned(), source })
    }

    fn resolve(file: File, is_system: bool, home: Option<PathBuf>) -> Result<Self, ConfigError> {
        let store = match (file.store, is_system, home) {
            (Some(store), _, _) => store,
            (None, true, _) => SYSTEM_STORE.into(),
            (None, false, Some(home)) => home.join(".local/share/trt-agent"),
            (None, false, None) => return Err(ConfigError::NoHome),
        };
        let socket = file
            .socket
            .unwrap_or_else(|| if is_system { SYSTEM_SOCKET.into() } else { store.join("agent.sock") });
        for (key, path) in [("store", &store), ("socket", &socket)] {
            if !path.is_absolute() {
                return Err(ConfigError::Relative { key, path: path.clone() });
            }
        }
        if let Some((name, _)) = file.hooks.iter().find(|(_, hook)| hook.argv.is_empty()) {
            return Err(ConfigError::EmptyHook { name: name.clone() });
        }
        Ok(Self {
            store,
            socket,
            tensorrt_dir: file.tensorrt_dir,
            build_for: file.build_for.map(|value| parse_capability(&value)).transpose()?,
            worker: file.worker,
            hooks: file.hooks,
            facts_root: file.facts_root.unwrap_or_else(|| "/".into()),
            build_timeout: Duration::from_secs(60 * file.build_timeout_minutes.unwrap_or(120)),
        })
    }
}

fn parse_capability(value: &str) -> Result<[u32; 2], ConfigError> {
    value
        .split_once('.')
        .and_then(|(major, minor)| Some([major.parse().ok()?, minor.parse().ok()?]))
        .ok_or_else(|| ConfigError::BuildFor { value: value.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(text: &str, is_system: bool) -> Result<Config, ConfigError> {
        let file = Config::parse(text.as_bytes(), Path::new("config.yaml"))?;
        Config::resolve(file, is_system, Some("/home/nvidia".into()))
    }

    #[test]
    fn an_empty_file_gives_the_defaults_of_its_place() {
        let user = resolve("", false).unwrap();
        assert_eq!(user.store, Path::new("/home/nvidia/.local/share/trt-agent"));
        assert_eq!(user.socket, Path::new("/home/nvidia/.local/share/trt-agent/agent.sock"));
        let system = resolve("", true).unwrap();
        assert_eq!(system.store, Path::new(SYSTEM_STORE));
        assert_eq!(system.socket, Path::new(SYSTEM_SOCKET));
    }

    #[test]
    fn the_documented_reference_holds_every_key_and_nothing_else() {
        let text = include_str!("../../configs/agent.yaml");
        for key in [
            "store",
            "socket",
            "tensorrt-dir",
            "build-for",
            "worker",
            "hooks",
            "facts-root",
            "build-timeout-minutes",
        ] {
            assert!(text.contains(&format!("{key}:")), "{key} is not documented");
        }
        resolve(text, true).unwrap();
    }

    #[test]
    fn mistakes_are_named_with_a_hint() {
        for (text, words) in [
            ("stor: /x", "configuration is wrong"),
            ("build-for: \"eight\"", "eight"),
            ("hooks: {restart: {argv: []}}", "restart"),
            ("store: ~/engines", "~/engines"),
            ("socket: agent.sock", "agent.sock"),
        ] {
            let error = resolve(text, false).unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
            assert!(error.hint().is_some());
        }
    }
}
