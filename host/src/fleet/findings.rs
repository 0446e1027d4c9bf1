//! What `fleet validate` tells about a fleet file that loads: files that are missing, and parts nobody uses.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use serde::Serialize;

use super::error::{FleetError, Place};
use crate::bundle;

use super::{Address, Calibration, Fleet, Model};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// A push or a calibration will fail.
    Error,
    /// Probably not what was meant.
    Warning,
}

/// Something that a user should know about a fleet file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// Where it is, if the file's text is wrong.
    pub at: Option<Place>,
    /// What it is, with the key it concerns.
    pub message: String,
    /// What mends it.
    pub hint: Option<String>,
}

impl From<&FleetError> for Finding {
    fn from(error: &FleetError) -> Self {
        let (at, message) = match error {
            FleetError::At { at, problem } => (Some(at.clone()), problem.to_string()),
            other => (None, other.to_string()),
        };
        Self { level: Level::Error, at, message, hint: error.hint() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.level == Level::Error { "error: " } else { "warning: " })?;
        if let Some(at) = &self.at {
            write!(f, "{at}: ")?;
        }
        f.write_str(&self.message)?;
        self.hint.iter().try_for_each(|hint| write!(f, "\n  hint: {hint}"))
    }
}

impl Finding {
    fn new(level: Level, key: &str, message: impl fmt::Display, hint: &str) -> Self {
        Self { level, at: None, message: format!("{key}: {message}"), hint: Some(hint.to_owned()) }
    }
}

impl Fleet {
    /// Looks for every file that the fleet file names, and for parts that do nothing.
    pub fn findings(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        let used: BTreeSet<_> = self.devices.values().flat_map(|device| &device.models).collect();
        for (name, model) in &self.models {
            model_findings(model, &mut findings);
            if !self.devices.is_empty() && !used.contains(name) {
                let hint = "add it to the `models` of a device, or remove it";
                findings.push(Finding::new(
                    Level::Warning,
                    &format!("models.{name}"),
                    "no device gets it",
                    hint,
                ));
            }
        }
        // A file from `defaults` is told once.
        let mut told = BTreeSet::new();
        for (name, device) in &self.devices {
            if device.models.is_empty() {
                let hint = "name models, or remove `models` so that it gets all";
                let key = format!("devices.{name}.models");
                findings.push(Finding::new(Level::Warning, &key, "the device gets no model", hint));
            }
            if let Address::Ssh(ssh) = &device.address {
                if let Some(file) = ssh.identity.as_deref().filter(|file| told.insert(*file)) {
                    exists(&format!("devices.{name}.identity"), file, &mut findings);
                }
                if let Some(file) = ssh.known_hosts.as_deref().filter(|file| told.insert(*file)) {
                    known_hosts(&format!("devices.{name}.known-hosts"), file, &mut findings);
                }
            }
        }
        for (name, _) in self.groups.iter().filter(|(_, members)| members.is_empty()) {
            let key = format!("groups.{name}");
            findings.push(Finding::new(
                Level::Warning,
                &key,
                "the group is empty",
                "name devices, or remove it",
            ));
        }
        findings
    }
}

fn model_findings(model: &Model, findings: &mut Vec<Finding>) {
    let section = format!("models.{}", model.name);
    if exists(&format!("{section}.onnx"), &model.onnx, findings) {
        let looked = bundle::load(&model.onnx).and_then(|onnx| bundle::check(model, &onnx));
        if let Err(error) = looked {
            let said = error.to_string();
            // Some messages quote their cause themselves.
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            let cause = cause.filter(|cause| !said.contains(cause.as_str()));
            let cause = cause.map_or_else(String::new, |cause| format!(": {cause}"));
            let (message, hint) = (format!("{section}: {said}{cause}"), error.hint());
            findings.push(Finding { level: Level::Error, at: None, message, hint });
        }
    }
    if model.verification.required {
        let hint = "set `verify: {required: false}` to activate engines unverified";
        let message =
            "engines must be verified on the device, which this version cannot do: a push is refused";
        findings.push(Finding::new(Level::Warning, &format!("{section}.verify"), message, hint));
    }
    match &model.calibration {
        Some(Calibration::Table(table)) => {
            exists(&format!("{section}.calibration.table"), table, findings);
        }
        Some(Calibration::Recipe(recipe)) => {
            for source in &recipe.samples {
                let Err(error) = source.files.list() else { continue };
                let key = source.input.as_ref().map_or(String::new(), |input| format!("inputs.{input}."));
                let kind = source.key();
                let message = format!("{section}.calibration.{key}{kind}: {error}");
                findings.push(Finding { level: Level::Error, at: None, message, hint: error.hint() });
            }
        }
        None => {}
    }
    let precision = model.build.precision;
    for key in &model.ignored {
        let (message, hint) = match *key {
            "calibration" => (
                format!("a model of precision `{precision}` is not calibrated"),
                "set `precision: int8`, or remove `calibration`".to_owned(),
            ),
            "keep" => (
                format!("a model of precision `{precision}` has no lower precision to keep anything out of"),
                "set `precision: int8` or `fp16`, or remove `keep`".to_owned(),
            ),
            other => (
                format!("it says something about INT8 engines only, and the precision is `{precision}`"),
                format!("set `precision: int8`, or remove `{other}`"),
            ),
        };
        findings.push(Finding::new(Level::Warning, &format!("{section}.{key}"), message, &hint));
    }
}

/// Whether there is such a file; if not, that is a finding.
fn exists(key: &str, file: &Path, findings: &mut Vec<Finding>) -> bool {
    let there = file.is_file();
    if !there {
        let message = format!("there is no such file: {}", file.display());
        let hint = "paths are relative to the fleet file, absolute, or start with `~/`";
        findings.push(Finding::new(Level::Error, key, message, hint));
    }
    there
}

/// A file of host keys comes to be with the first of them, so it may be right that there is none. It need not be a
/// regular file: `/dev/null` is one without keys.
fn known_hosts(key: &str, file: &Path, findings: &mut Vec<Finding>) {
    if file.is_dir() {
        exists(key, file, findings);
    } else if !file.exists() {
        let message = format!("there is no such file yet: {}", file.display());
        let hint = "`--accept-new` makes it when a device is reached for the first time";
        findings.push(Finding::new(Level::Warning, key, message, hint));
    }
}
