//! Places to build in, and plugin libraries: what the wire may name and only the device's configuration defines.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use trt_wire::{Failure, FailureCode, PluginName, Retry, RuntimeName};

use super::Config;

/// A place to build in: which TensorRT, and which program loads it.
///
/// With a `worker` of its own, such as a `docker run …`, the folder is the one that the worker sees.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Runtime {
    /// The folder TensorRT must be in; where the system's loader looks if absent.
    pub tensorrt_dir: Option<PathBuf>,
    /// The worker's program and arguments; this program itself if empty.
    pub worker: Vec<String>,
}

impl Runtime {
    /// Neither a folder nor a worker: nothing that the default place would not be.
    pub(super) fn is_empty(&self) -> bool {
        self.tensorrt_dir.is_none() && self.worker.is_empty()
    }

    /// The path of this place that depends on where the agent was started, and its key. A program without a `/` is
    /// looked for in PATH.
    pub(super) fn relative(&self) -> Option<(&'static str, PathBuf)> {
        let program = self.worker.first().filter(|program| program.is_empty() || program.contains('/'));
        [("tensorrt-dir", self.tensorrt_dir.clone()), ("worker", program.map(PathBuf::from))]
            .into_iter()
            .find_map(|(key, path)| Some((key, path.filter(|path| !path.is_absolute())?)))
    }
}

impl Config {
    /// The place to build in of this name; the default one without a name. A name that the configuration does not define
    /// is a [`FailureCode::NotFound`] that lists those it does.
    pub fn runtime(&self, name: Option<&RuntimeName>) -> Result<&Runtime, Failure> {
        let Some(name) = name else { return Ok(&self.default_runtime) };
        self.runtimes.get(name).ok_or_else(|| undefined("runtime", "runtimes", name, &self.runtimes))
    }

    /// The plugin libraries of these names, in that order, with the same failure.
    pub fn plugin_paths(&self, names: &[PluginName]) -> Result<Vec<PathBuf>, Failure> {
        let path = |name: &PluginName| {
            let path = self.plugins.get(name).map(PathBuf::as_path).map(Path::to_owned);
            path.ok_or_else(|| undefined("plugin", "plugins", name, &self.plugins))
        };
        names.iter().map(path).collect()
    }
}

/// The failure for a name that the configuration does not define under `key`.
pub(super) fn undefined<K: Display, V>(
    what: &str,
    key: &str,
    name: &impl Display,
    defined: &BTreeMap<K, V>,
) -> Failure {
    let known = defined.keys().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let known = if known.is_empty() { "none".into() } else { format!("[{known}]") };
    Failure::new(FailureCode::NotFound, Retry::AfterFix, format!("no such {what} on the device: {name}"))
        .with_hint(format!("define it under `{key}` in the agent's configuration; it defines {known}"))
}
