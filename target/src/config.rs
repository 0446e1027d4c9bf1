//! The device's own configuration. What it does not define, the wire cannot name.

mod error;
mod runtime;
mod unique;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use trt_wire::{Failure, HookName, PluginName, RuntimeName};

pub use error::ConfigError;
pub use runtime::Runtime;

/// The configuration of a device, with every default resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where blobs, engines and releases are.
    pub store: PathBuf,
    /// Where the daemon listens.
    pub socket: PathBuf,
    /// Where to build if the wire names no other place.
    pub default_runtime: Runtime,
    /// Places to build in that the wire may name.
    pub runtimes: BTreeMap<RuntimeName, Runtime>,
    /// Plugin libraries that the wire may name.
    pub plugins: BTreeMap<PluginName, PathBuf>,
    /// Compute capability to build for if no CUDA driver answers (TensorRT-RTX only).
    pub build_for: Option<[u32; 2]>,
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
    #[serde(deserialize_with = "unique::map")]
    runtimes: BTreeMap<RuntimeName, Runtime>,
    #[serde(deserialize_with = "unique::map")]
    plugins: BTreeMap<PluginName, PathBuf>,
    #[serde(deserialize_with = "unique::map")]
    hooks: BTreeMap<HookName, Hook>,
    facts_root: Option<PathBuf>,
    build_timeout_minutes: Option<u64>,
}

/// The longest time limit: no build takes a year, and clocks cannot add much more than that.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

const SYSTEM_FILE: &str = "/etc/trt-agent/config.yaml";
const SYSTEM_STORE: &str = "/var/lib/trt-agent";
const SYSTEM_SOCKET: &str = "/run/trt-agent/agent.sock";

impl Config {
    /// The hook of this name; a [`trt_wire::FailureCode::NotFound`] that lists the others if there is none.
    pub fn hook(&self, name: &HookName) -> Result<&Hook, Failure> {
        self.hooks.get(name).ok_or_else(|| runtime::undefined("hook", "hooks", name, &self.hooks))
    }

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
            .map_err(|error| ConfigError::parse(path, &error))
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
        let default_runtime = Runtime { tensorrt_dir: file.tensorrt_dir, worker: file.worker };
        check_paths(&store, &socket, &default_runtime, &file.runtimes, &file.plugins)?;
        if let Some((name, _)) = file.runtimes.iter().find(|(_, runtime)| runtime.is_empty()) {
            return Err(ConfigError::EmptyRuntime { name: name.clone() });
        }
        if let Some((name, _)) = file.hooks.iter().find(|(_, hook)| hook.argv.is_empty()) {
            return Err(ConfigError::EmptyHook { name: name.clone() });
        }
        let long = |(_, hook): &(&HookName, &Hook)| hook.timeout > LONGEST.as_secs();
        if let Some((name, hook)) = file.hooks.iter().find(long) {
            return Err(ConfigError::TooLong { key: format!("hooks.{name}.timeout"), value: hook.timeout });
        }
        Ok(Self {
            store,
            socket,
            default_runtime,
            runtimes: file.runtimes,
            plugins: file.plugins,
            build_for: file.build_for.map(|value| parse_capability(&value)).transpose()?,
            hooks: file.hooks,
            facts_root: file.facts_root.unwrap_or_else(|| "/".into()),
            build_timeout: build_timeout(file.build_timeout_minutes.unwrap_or(120))?,
        })
    }
}

/// Where the agent was started must not decide what it does.
fn check_paths(
    store: &Path,
    socket: &Path,
    default: &Runtime,
    runtimes: &BTreeMap<RuntimeName, Runtime>,
    plugins: &BTreeMap<PluginName, PathBuf>,
) -> Result<(), ConfigError> {
    let own = [("store".to_owned(), store.to_owned()), ("socket".to_owned(), socket.to_owned())];
    let default = default.relative().map(|(key, path)| (key.to_owned(), path));
    let named = runtimes.iter().filter_map(|(name, runtime)| {
        runtime.relative().map(|(key, path)| (format!("runtimes.{name}.{key}"), path))
    });
    let plugins = plugins.iter().map(|(name, path)| (format!("plugins.{name}"), path.clone()));
    match own.into_iter().chain(default).chain(named).chain(plugins).find(|(_, path)| !path.is_absolute()) {
        Some((key, path)) => Err(ConfigError::Relative { key, path }),
        None => Ok(()),
    }
}

fn build_timeout(minutes: u64) -> Result<Duration, ConfigError> {
    let timeout = minutes.checked_mul(60).map(Duration::from_secs).filter(|timeout| *timeout <= LONGEST);
    timeout.ok_or_else(|| ConfigError::TooLong { key: "build-timeout-minutes".into(), value: minutes })
}

fn parse_capability(value: &str) -> Result<[u32; 2], ConfigError> {
    value
        .split_once('.')
        .and_then(|(major, minor)| Some([major.parse().ok()?, minor.parse().ok()?]))
        .ok_or_else(|| ConfigError::BuildFor { value: value.to_owned() })
}

#[cfg(test)]
mod tests;
