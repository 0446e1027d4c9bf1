//! From targets on the command line to devices.

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;

use super::check::is_label;
use super::error::FleetError;
use super::{Device, Fleet};

/// Conditions on labels, all of which must hold: `board=orin,site!=lab`.
///
/// `key!=value` holds for devices without that label, too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector(Vec<Condition>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Condition {
    key: String,
    value: String,
    equal: bool,
}

/// A text that is no selector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a selector is `key=value` or `key!=value`, several with commas between, not: `{0}`")]
pub struct SelectorError(String);

impl FromStr for Selector {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        let condition = |part: &str| {
            let (key, value) = part.split_once('=')?;
            let (key, equal) = key.strip_suffix('!').map_or((key, true), |key| (key, false));
            let (key, value) = (key.trim(), value.trim());
            (is_label(key) && is_label(value)).then(|| Condition {
                key: key.into(),
                value: value.into(),
                equal,
            })
        };
        let conditions: Option<Vec<_>> = text.split(',').map(condition).collect();
        conditions.map(Self).ok_or_else(|| SelectorError(text.to_owned()))
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Condition { key, value, equal }) in self.0.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(f, "{comma}{key}{}{value}", if *equal { "=" } else { "!=" })?;
        }
        Ok(())
    }
}

impl Selector {
    /// Whether the device fits.
    pub fn matches(&self, device: &Device) -> bool {
        self.0.iter().all(|Condition { key, value, equal }| (device.labels.get(key) == Some(value)) == *equal)
    }
}

impl Fleet {
    /// The devices that `targets` name (devices or groups) and that fit every selector, each once, in the order of
    /// their first mention. Selectors without targets choose from all devices, by name.
    ///
    /// # Errors
    /// [`FleetError::NothingChosen`], [`FleetError::NoSuchTarget`], and [`FleetError::NoDevice`] if the result is
    /// empty.
    pub fn select(&self, targets: &[String], selectors: &[Selector]) -> Result<Vec<&Device>, FleetError> {
        if targets.is_empty() && selectors.is_empty() {
            return Err(FleetError::NothingChosen { known: self.target_names() });
        }
        let candidates =
            if targets.is_empty() { self.devices.values().collect() } else { self.expand(targets)? };
        let chosen: Vec<_> =
            candidates.into_iter().filter(|device| selectors.iter().all(|s| s.matches(device))).collect();
        if chosen.is_empty() {
            let words = targets.iter().cloned().chain(selectors.iter().map(|s| format!("-l {s}")));
            let labels: std::collections::BTreeSet<_> = self.labels().collect();
            return Err(FleetError::NoDevice {
                chosen: words.collect::<Vec<_>>().join(" "),
                labels: labels.into_iter().collect(),
            });
        }
        Ok(chosen)
    }

    /// The names of devices and groups.
    pub fn target_names(&self) -> Vec<String> {
        self.devices.keys().chain(self.groups.keys()).cloned().collect()
    }

    fn labels(&self) -> impl Iterator<Item = String> {
        self.devices.values().flat_map(|device| &device.labels).map(|(key, value)| format!("{key}={value}"))
    }

    fn expand(&self, targets: &[String]) -> Result<Vec<&Device>, FleetError> {
        let mut devices = Vec::new();
        let mut seen = HashSet::new();
        let mut open: Vec<&String> = targets.iter().rev().collect();
        while let Some(name) = open.pop() {
            if !seen.insert(name) {
                continue;
            }
            if let Some(device) = self.devices.get(name) {
                devices.push(device);
            } else if let Some(members) = self.groups.get(name) {
                open.extend(members.iter().rev());
            } else {
                let known = self.target_names();
                return Err(FleetError::NoSuchTarget { file: self.path.clone(), name: name.clone(), known });
            }
        }
        Ok(devices)
    }
}
