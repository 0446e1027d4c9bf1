//! The fleet file: which models there are, how they are calibrated, and which devices get them.
//!
//! [`Fleet::load`] reads `trt-deploy.yaml`. What it returns is complete and consistent: defaults are filled in, paths
//! are resolved against the file's folder, every name refers to something. What the file may say is defined once, in
//! [`file`]; `configs/fleet.yaml` documents it and is tested against it. Nothing here looks at images, models or
//! devices, except [`Files::list`].

mod check;
mod error;
mod file;
mod files;
mod findings;
mod load;
mod paths;
mod problem;
mod recipe;
mod select;
mod value;
mod yaml;

use std::collections::BTreeMap;
use std::path::PathBuf;

use trt_wire::{BuildSpec, HookName, ModelName, Verification};

pub use check::is_host;
pub use error::{FleetError, nearest};
pub use file::{EntropyFile, PairingWord};
pub use files::{Files, FilesError, images_at};
pub use findings::{Finding, Level};
#[cfg(test)]
pub use paths::PathError;
pub use recipe::{Chosen, Evaluation, Labels, Names, Recipe, Running, Source, Thresholds, histograms_of};
pub use select::Selector;

/// A fleet file that was read, resolved and checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Fleet {
    /// The file, as the user named it.
    pub path: PathBuf,
    /// The models by name.
    pub models: BTreeMap<ModelName, Model>,
    /// The devices by name.
    pub devices: BTreeMap<String, Device>,
    /// The groups by name: devices or other groups, without cycles.
    pub groups: BTreeMap<String, Vec<String>>,
}

/// A model, and how its engines are built.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// Its name in the fleet file and on the devices.
    pub name: ModelName,
    /// The ONNX file.
    pub onnx: PathBuf,
    /// How its engines are built. Of its shapes, `min <= opt <= max`, with equal ranks, all positive. `keep` may hold
    /// patterns with `*`, which the model has not been asked about: `bundle` turns them into names.
    pub build: BuildSpec,
    /// Where the calibration table comes from. `None` suits FP32, FP16 and models that hold Q/DQ nodes.
    pub calibration: Option<Calibration>,
    /// How INT8 is held against FP32, where the file says more than the calibration does.
    pub evaluation: Option<Evaluation>,
    /// Whether a release must be verified before it is activated.
    pub verification: Verification,
    /// The hook that the device runs after activation, by its name in the device's configuration.
    pub hook: Option<HookName>,
    /// Keys that the file gives this model, and that change nothing at its precision.
    pub ignored: Vec<&'static str>,
}

/// Where a model's calibration table comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum Calibration {
    /// A table made elsewhere, used as it is.
    Table(PathBuf),
    /// A table that `trt-deploy` makes; boxed for its size.
    Recipe(Box<Recipe>),
}

/// A device and what it gets.
#[derive(Debug, Clone, PartialEq)]
pub struct Device {
    /// Its name in the fleet file.
    pub name: String,
    /// How to reach its agent.
    pub address: Address,
    /// Labels for selectors.
    pub labels: BTreeMap<String, String>,
    /// The models it gets, in the file's order; all models if the file does not say.
    pub models: Vec<ModelName>,
}

/// How to reach a device's agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// Over SSH.
    Ssh(SshAddress),
    /// A Unix socket of this machine: pushing on the device itself, and tests.
    Local(PathBuf),
}

/// An SSH server, and the agent's socket behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshAddress {
    /// Host name or address; the device's name if the file does not say.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// The user to log in as; this machine's user if absent.
    pub user: Option<String>,
    /// A private key file; the SSH agent and the usual key files are tried if absent.
    pub identity: Option<PathBuf>,
    /// The known-hosts file; `~/.ssh/known_hosts` if absent.
    pub known_hosts: Option<PathBuf>,
    /// The agent's Unix socket on the device, absolute or below `~/`; the agent's own default if absent.
    pub agent_socket: Option<String>,
}

impl Fleet {
    /// The model of that name.
    ///
    /// # Errors
    /// [`FleetError::NoSuchModel`] with the nearest name there is.
    pub fn model(&self, name: &str) -> Result<&Model, FleetError> {
        let found = self.models.values().find(|model| model.name.as_str() == name);
        found.ok_or_else(|| FleetError::NoSuchModel {
            file: self.path.clone(),
            name: name.to_owned(),
            known: self.models.keys().map(ToString::to_string).collect(),
        })
    }
}

#[cfg(test)]
mod tests;
