//! What a table was made from against what is wanted now.

use std::{collections::BTreeMap, fmt};

use serde_json::Value;

use super::{FORMAT, ModelSource, Propagate, Sidecar};
use crate::{Algorithm, Digest, Mode};

/// What a sidecar calls the backend whose own calibrator made the table.
const BY_TENSORRT: &str = "tensorrt";

/// What a table is wanted for.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// The hash of the table's bytes as they are now.
    pub table: Digest,
    /// The model.
    pub model: ModelSource,
    /// The images; `None` where they are not at hand, which is no reason to call a table stale.
    pub dataset: Option<WantedDataset>,
    /// All that decides how an image becomes a tensor.
    pub preprocessing: Value,
    /// The shape of each input during calibration.
    pub shapes: BTreeMap<String, Vec<u64>>,
    /// The algorithm.
    pub algorithm: WantedAlgorithm,
    /// The tensors that are to have another one, by name.
    pub overrides: BTreeMap<String, Algorithm>,
    /// The parameters of the entropy search; null where no tensor takes them.
    pub params: Value,
    /// How values are counted.
    pub mode: Mode,
    /// Which tensors share a scale with what they come from.
    pub propagate: Propagate,
    /// Whether TensorRT's own calibrator is to make the table, and not an algorithm from histograms.
    pub by_tensorrt: bool,
    /// Tensors to keep in higher precision, by name, sorted.
    pub keep: Vec<String>,
}

/// The algorithm that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WantedAlgorithm {
    /// Whatever `auto` chooses.
    Auto,
    /// This one, for every tensor without one of its own.
    Fixed(Algorithm),
}

impl From<Algorithm> for WantedAlgorithm {
    fn from(algorithm: Algorithm) -> Self {
        Self::Fixed(algorithm)
    }
}

impl fmt::Display for WantedAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Fixed(algorithm) => algorithm.fmt(f),
        }
    }
}

/// The images that would be used now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WantedDataset {
    /// The images asked for.
    pub requested: u64,
    /// The seed of the sample.
    pub seed: u64,
    /// The hash of the images; see [`super::fingerprint`].
    pub fingerprint: Digest,
}

/// One reason why a table is not up to date.
#[derive(Clone, Debug, PartialEq)]
pub enum Stale {
    /// The sidecar has an older format.
    Format {
        /// The format it has.
        found: u32,
    },
    /// The table is not the one that was written with the sidecar.
    TableEdited {
        /// The hash recorded.
        recorded: Digest,
        /// The hash now.
        now: Digest,
    },
    /// The ONNX file changed.
    Model {
        /// The file's name now.
        file: String,
        /// The hash recorded.
        recorded: Digest,
        /// The hash now.
        now: Digest,
    },
    /// An external data file of the model changed, came or went.
    ExternalData {
        /// Its path relative to the ONNX file.
        file: String,
        /// The hash recorded; `None` for a file that came.
        recorded: Option<Digest>,
        /// The hash now; `None` for a file that went.
        now: Option<Digest>,
    },
    /// Another number of images is asked for.
    Count {
        /// The number recorded.
        recorded: u64,
        /// The number now.
        now: u64,
    },
    /// The sample has another seed.
    Seed {
        /// The seed recorded.
        recorded: u64,
        /// The seed now.
        now: u64,
    },
    /// The images themselves changed. Not listed beside a changed count or seed, which changes them anyway.
    Images {
        /// The fingerprint recorded.
        recorded: Digest,
        /// The fingerprint now.
        now: Digest,
    },
    /// A key of the preprocessing changed.
    Preprocessing {
        /// Its path, such as `mean[0]`.
        key: String,
        /// The value recorded; `None` where there was none.
        recorded: Option<Value>,
        /// The value now; `None` where there is none.
        now: Option<Value>,
    },
    /// An input has another shape.
    Shape {
        /// The input.
        input: String,
        /// The shape recorded; `None` where there was none.
        recorded: Option<Vec<u64>>,
        /// The shape now; `None` where there is none.
        now: Option<Vec<u64>>,
    },
    /// Another algorithm is asked for.
    Algorithm {
        /// The algorithm recorded.
        recorded: Algorithm,
        /// The algorithm now.
        now: WantedAlgorithm,
    },
    /// A tensor is to have another algorithm.
    Override {
        /// The tensor.
        tensor: String,
        /// The one recorded; `None` where it had that of all.
        recorded: Option<Algorithm>,
        /// The one now; `None` where it is to have that of all.
        now: Option<Algorithm>,
    },
    /// Values are to be counted in another way.
    Mode {
        /// The mode recorded.
        recorded: Mode,
        /// The mode now.
        now: Mode,
    },
    /// Other tensors are to share a scale.
    Propagate {
        /// What is recorded.
        recorded: Propagate,
        /// What is wanted now.
        now: Propagate,
    },
    /// TensorRT's own calibrator made the table and is not to, or the other way round.
    Calibrator {
        /// What is recorded to have run the model.
        recorded: String,
        /// Whether TensorRT's own calibrator is to make it.
        by_tensorrt: bool,
    },
    /// A parameter of the algorithm changed.
    Params {
        /// Its path.
        key: String,
        /// The value recorded; `None` where there was none.
        recorded: Option<Value>,
        /// The value now; `None` where there is none.
        now: Option<Value>,
    },
    /// Other tensors are to be kept in higher precision.
    Keep {
        /// Those that were not, and now are.
        added: Vec<String>,
        /// Those that were, and now are not.
        removed: Vec<String>,
    },
}

impl Stale {
    /// Whether the scales may still be right: only the table's bytes or the sidecar's format differ.
    pub fn only_the_file(&self) -> bool {
        matches!(self, Self::Format { .. } | Self::TableEdited { .. })
    }
}

impl fmt::Display for Stale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Format { found } => {
                write!(f, "its provenance was written in format {found}, and the current one is {FORMAT}")
            }
            Self::TableEdited { recorded, now } => {
                write!(f, "the table was edited by hand: its hash was {recorded}, and is {now}")
            }
            Self::Model { file, recorded, now } => {
                write!(f, "the model `{file}` changed: its hash was {recorded}, and is {now}")
            }
            Self::ExternalData { file, recorded, now } => match (recorded, now) {
                (Some(recorded), Some(now)) => {
                    write!(f, "the model's data `{file}` changed: its hash was {recorded}, and is {now}")
                }
                (None, _) => write!(f, "the model has new external data: `{file}`"),
                (_, None) => write!(f, "the model no longer has external data: `{file}`"),
            },
            Self::Count { recorded, now } => write!(f, "`count` was {recorded}, and is {now}"),
            Self::Seed { recorded, now } => write!(f, "`seed` was {recorded}, and is {now}"),
            Self::Images { recorded, now } => {
                write!(f, "the images changed: their fingerprint was {recorded}, and is {now}")
            }
            Self::Preprocessing { key, recorded, now } => {
                write!(f, "preprocessing changed: `{key}` was {}, and is {}", Shown(recorded), Shown(now))
            }
            Self::Shape { input, recorded, now } => {
                let (recorded, now) = (dims(recorded), dims(now));
                write!(f, "the calibration shape of `{input}` was {recorded}, and is {now}")
            }
            Self::Algorithm { recorded, now } => write!(f, "`algorithm` was {recorded}, and is {now}"),
            Self::Override { tensor, recorded, now } => {
                let shown = |algorithm: &Option<Algorithm>| {
                    algorithm.map_or("that of all tensors".to_owned(), |algorithm| algorithm.to_string())
                };
                write!(f, "the algorithm of `{tensor}` was {}, and is {}", shown(recorded), shown(now))
            }
            Self::Mode { recorded, now } => write!(f, "`histogram` was {recorded}, and is {now}"),
            Self::Propagate { recorded, now } => write!(f, "`propagate` was {recorded}, and is {now}"),
            Self::Calibrator { recorded, by_tensorrt: true } => {
                write!(f, "`backend` was {recorded}, and is {BY_TENSORRT}, whose own calibrator decides")
            }
            Self::Calibrator { recorded, by_tensorrt: false } => {
                write!(f, "`backend` was {recorded}, whose own calibrator decided, and is another")
            }
            Self::Params { key, recorded, now } => {
                write!(f, "the algorithm's `{key}` was {}, and is {}", Shown(recorded), Shown(now))
            }
            Self::Keep { added, removed } => {
                let list = |names: &[String]| match names {
                    [one] => format!("`{one}`"),
                    [first, ..] => format!("`{first}` and {} more", names.len() - 1),
                    [] => "nothing".to_owned(),
                };
                let (added, removed) = (list(added), list(removed));
                write!(f, "`keep` changed: {added} came to it, and {removed} went from it")
            }
        }
    }
}

/// A value that may be absent.
struct Shown<'a>(&'a Option<Value>);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(value) => write!(f, "{value}"),
            None => f.write_str("absent"),
        }
    }
}

/// `1x3x224x224`.
fn dims(shape: &Option<Vec<u64>>) -> String {
    shape
        .as_ref()
        .map_or("absent".to_owned(), |shape| shape.iter().map(u64::to_string).collect::<Vec<_>>().join("x"))
}

impl Sidecar {
    /// Every reason why the table does not fit what is wanted; none for an up-to-date one.
    ///
    /// The batch size, the tool's version and what ran the model are recorded for people, and are no reasons; but
    /// whether TensorRT's own calibrator decided is one.
    pub fn staleness(&self, wanted: &Wanted) -> Vec<Stale> {
        let mut reasons = Vec::new();
        if self.format != FORMAT {
            reasons.push(Stale::Format { found: self.format });
        }
        if self.table != wanted.table {
            reasons.push(Stale::TableEdited { recorded: self.table, now: wanted.table });
        }
        self.model_changes(wanted, &mut reasons);
        self.dataset_changes(wanted, &mut reasons);
        let mut keys = Vec::new();
        differences("", Some(&self.preprocessing), Some(&wanted.preprocessing), &mut keys);
        reasons.extend(keys.drain(..).map(|(key, recorded, now)| Stale::Preprocessing {
            key,
            recorded,
            now,
        }));
        for (input, recorded, now) in by_key(&self.shapes, &wanted.shapes) {
            reasons.push(Stale::Shape { input, recorded, now });
        }
        self.method_changes(wanted, &mut reasons);
        if self.keep != wanted.keep {
            let beyond = |one: &[String], other: &[String]| {
                one.iter().filter(|name| !other.contains(name)).cloned().collect()
            };
            let (added, removed) = (beyond(&wanted.keep, &self.keep), beyond(&self.keep, &wanted.keep));
            reasons.push(Stale::Keep { added, removed });
        }
        reasons
    }

    fn model_changes(&self, wanted: &Wanted, reasons: &mut Vec<Stale>) {
        let (recorded, now) = (self.model.hash, wanted.model.hash);
        if recorded != now {
            reasons.push(Stale::Model { file: wanted.model.file.clone(), recorded, now });
        }
        for (file, recorded, now) in by_key(&self.model.external, &wanted.model.external) {
            reasons.push(Stale::ExternalData { file, recorded, now });
        }
    }

    fn method_changes(&self, wanted: &Wanted, reasons: &mut Vec<Stale>) {
        let auto = wanted.algorithm == WantedAlgorithm::Auto;
        let same = if auto { !self.auto.is_null() } else { wanted.algorithm == self.algorithm.into() };
        if same {
            let mut keys = Vec::new();
            differences("", Some(&self.params), Some(&wanted.params), &mut keys);
            reasons.extend(keys.into_iter().map(|(key, recorded, now)| Stale::Params { key, recorded, now }));
        } else {
            reasons.push(Stale::Algorithm { recorded: self.algorithm, now: wanted.algorithm });
        }
        for (tensor, recorded, now) in by_key(&self.overrides, &wanted.overrides) {
            // What `auto` decided for single tensors stays.
            if !auto || now.is_some() {
                reasons.push(Stale::Override { tensor, recorded, now });
            }
        }
        if self.mode != wanted.mode {
            reasons.push(Stale::Mode { recorded: self.mode, now: wanted.mode });
        }
        if self.propagate != wanted.propagate {
            reasons.push(Stale::Propagate { recorded: self.propagate, now: wanted.propagate });
        }
        if (self.backend.name == BY_TENSORRT) != wanted.by_tensorrt {
            let (recorded, by_tensorrt) = (self.backend.name.clone(), wanted.by_tensorrt);
            reasons.push(Stale::Calibrator { recorded, by_tensorrt });
        }
    }

    fn dataset_changes(&self, wanted: &Wanted, reasons: &mut Vec<Stale>) {
        let Some(now) = wanted.dataset else { return };
        let recorded = &self.dataset;
        let before = reasons.len();
        if recorded.requested != now.requested {
            reasons.push(Stale::Count { recorded: recorded.requested, now: now.requested });
        }
        if recorded.seed != now.seed {
            reasons.push(Stale::Seed { recorded: recorded.seed, now: now.seed });
        }
        if reasons.len() == before && recorded.fingerprint != now.fingerprint {
            reasons.push(Stale::Images { recorded: recorded.fingerprint, now: now.fingerprint });
        }
    }
}

/// The keys under which two maps differ, with both values.
fn by_key<V: Clone + PartialEq>(
    recorded: &BTreeMap<String, V>,
    now: &BTreeMap<String, V>,
) -> Vec<(String, Option<V>, Option<V>)> {
    let added = now.keys().filter(|key| !recorded.contains_key(*key));
    recorded
        .keys()
        .chain(added)
        .filter(|key| recorded.get(*key) != now.get(*key))
        .map(|key| (key.clone(), recorded.get(key).cloned(), now.get(key).cloned()))
        .collect()
}

/// The path of the first difference of two JSON values, as [`Sidecar::staleness`] compares them, with both values.
pub(crate) fn first_difference(first: &Value, other: &Value) -> Option<(String, Value, Value)> {
    let mut found = Vec::new();
    differences("", Some(first), Some(other), &mut found);
    found.into_iter().next().map(|(path, a, b)| (path, a.unwrap_or_default(), b.unwrap_or_default()))
}

/// Collects the paths at which two JSON values differ. `1` and `1.0` are the same; a key that is `null` is the
/// same as one that is absent.
fn differences(
    path: &str,
    recorded: Option<&Value>,
    now: Option<&Value>,
    found: &mut Vec<(String, Option<Value>, Option<Value>)>,
) {
    let present = |value: Option<&Value>| value.filter(|v| !v.is_null()).cloned();
    match (recorded, now) {
        (Some(Value::Object(a)), Some(Value::Object(b))) => {
            for key in a.keys().chain(b.keys().filter(|key| !a.contains_key(*key))) {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                differences(&path, a.get(key), b.get(key), found);
            }
        }
        (Some(Value::Array(a)), Some(Value::Array(b))) if a.len() == b.len() => {
            for (index, (a, b)) in a.iter().zip(b).enumerate() {
                differences(&format!("{path}[{index}]"), Some(a), Some(b), found);
            }
        }
        (Some(Value::Number(a)), Some(Value::Number(b))) if a.as_f64() == b.as_f64() => {}
        _ => {
            let (recorded, now) = (present(recorded), present(now));
            if recorded != now {
                found.push((path.to_owned(), recorded, now));
            }
        }
    }
}
