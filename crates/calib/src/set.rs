//! The histograms of a model and where they come from: saved, merged with those of other machines, and turned into
//! tables without running the model again.

mod error;
mod file;
mod merge;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use error::SetError;
pub use file::MAX_BYTES;

use crate::sidecar::{Backend, Dataset, ModelSource};
use crate::{Counts, Mode};

/// The format of the file that this version writes.
pub const FORMAT: u32 = 1;
/// The most tensors accepted. The largest model met has 3656.
pub const MAX_TENSORS: usize = 1 << 14;

/// The histograms of a model's activations.
///
/// Its file is a safetensors file, so that numpy and others can read it: a tensor of counts per activation, named as it
/// is, up to the last count that is not 0; the rest is JSON under the key `trt-deploy` of the metadata. Of equal counts
/// and provenance the bytes are equal.
#[derive(Clone, Debug, PartialEq)]
pub struct HistogramSet {
    /// Where they come from.
    pub provenance: Provenance,
    /// How they were counted; all tensors alike.
    pub mode: Mode,
    /// The activations, in the order of computation.
    pub tensors: Vec<Counted>,
    /// Activations that could not be counted.
    pub omitted: Vec<Uncounted>,
}

/// An activation and its counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Counted {
    /// Its ONNX value name.
    pub name: String,
    /// What was seen of it.
    pub counts: Counts,
}

/// An activation that could not be counted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Uncounted {
    /// Its ONNX value name.
    pub name: String,
    /// Why.
    pub why: String,
}

/// Where histograms come from: what decides about them, and who made them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// The versions of trt-deploy that counted.
    pub tool_versions: Vec<String>,
    /// When the last of them did, in RFC 3339.
    pub created: String,
    /// The model.
    pub model: ModelSource,
    /// All that decides how a sample becomes a tensor.
    pub preprocessing: Value,
    /// The shape of each input.
    pub shapes: BTreeMap<String, Vec<u64>>,
    /// The samples counted, and of which selection.
    pub dataset: Dataset,
    /// Which parts of the selection these are; none for all of it.
    #[serde(default)]
    pub shards: Vec<Shard>,
    /// What ran the model.
    pub backends: Vec<Backend>,
    /// Samples per run of the model, of shards the most; 0 where it is not known. It affects no count in
    /// [`Mode::Canonical`].
    #[serde(default)]
    pub batch: u32,
}

/// A part of a selection: every `of`-th sample from `index` on, say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Shard {
    /// From 1 to `of`.
    pub index: u32,
    /// How many parts there are.
    pub of: u32,
}

impl Provenance {
    /// The parts of the selection that are not among these.
    pub fn missing_shards(&self) -> Vec<Shard> {
        let Some(&Shard { of, .. }) = self.shards.first() else { return Vec::new() };
        (1..=of).map(|index| Shard { index, of }).filter(|shard| !self.shards.contains(shard)).collect()
    }
}

impl HistogramSet {
    /// The counts of a tensor.
    pub fn get(&self, name: &str) -> Option<&Counts> {
        self.tensors.iter().find(|tensor| tensor.name == name).map(|tensor| &tensor.counts)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// A [`SetError`] that says what is wrong with it; nothing of a damaged file is used.
    pub fn parse(bytes: &[u8]) -> Result<Self, SetError> {
        file::parse(bytes)
    }

    /// The bytes of the file.
    ///
    /// # Errors
    /// [`SetError::Name`] for tensors that the file cannot name, [`SetError::Mode`] where a tensor was counted
    /// otherwise than the set says, and [`SetError::TooManyTensors`].
    pub fn write(&self) -> Result<Vec<u8>, SetError> {
        file::write(self)
    }

    /// Puts sets together that were counted from different samples, in any order: the counts are those of one run over
    /// all samples.
    ///
    /// The records of samples are sorted by name. Of parts of one selection the selection stays what it was;
    /// otherwise the samples of all sets make a new one.
    ///
    /// # Errors
    /// A [`SetError`] unless model, preprocessing, shapes and tensors are the same, all were counted in
    /// [`Mode::Canonical`], and no sample and no shard occurs twice.
    pub fn merge(sets: Vec<Self>) -> Result<Self, SetError> {
        merge::merge(sets)
    }
}
