//! Where a table comes from: the `<table>.json` beside it, and whether it is still up to date.
//!
//! A table says nothing about the model, the images or the preprocessing that made it, and a stale one costs
//! accuracy without a word. The sidecar records all that; [`Sidecar::staleness`] compares it with what is
//! wanted now. Fields that this version does not know are ignored, so that versions can share tables; `format`
//! tells when that is not enough.

mod propagate;
mod stale;

pub use propagate::Propagate;
pub(crate) use stale::first_difference;
pub use stale::{Stale, Wanted, WantedAlgorithm, WantedDataset};

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Algorithm, Digest, Mode};

/// The format this version writes.
pub const FORMAT: u32 = 1;
/// The largest sidecar accepted, in bytes.
pub const MAX_BYTES: usize = 64 << 20;

/// The provenance of a table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sidecar {
    /// The format of this file, [`FORMAT`].
    pub format: u32,
    /// The version of trt-deploy that made the table.
    pub tool_version: String,
    /// When, in RFC 3339.
    pub created: String,
    /// The table this belongs to: the hash of its bytes.
    pub table: Digest,
    /// The model.
    pub model: ModelSource,
    /// The images.
    pub dataset: Dataset,
    /// All that decides how an image becomes a tensor.
    pub preprocessing: Value,
    /// The shape of each input during calibration. TensorRT calibrates at one shape only.
    pub shapes: BTreeMap<String, Vec<u64>>,
    /// Images per batch. It does not affect the table.
    pub batch: u32,
    /// The algorithm of every tensor that is not in `overrides`.
    pub algorithm: Algorithm,
    /// The tensors with another algorithm, by name, whoever decided that: the configuration or `auto`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub overrides: BTreeMap<String, Algorithm>,
    /// The parameters of the entropy search ([`crate::EntropyParams`]); null where no tensor took them.
    #[serde(default)]
    pub params: Value,
    /// How values were counted.
    #[serde(default, skip_serializing_if = "is_canonical")]
    pub mode: Mode,
    /// Which tensors share a scale with what they come from.
    #[serde(default = "Propagate::absent")]
    pub propagate: Propagate,
    /// Tensors whose range is that of another one, since they only pass its values on; sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub propagated: Vec<Propagated>,
    /// What ran the model.
    pub backend: Backend,
    /// What was seen of each tensor that has a scale, by name.
    pub tensors: BTreeMap<String, TensorRecord>,
    /// Why other tensors have none, by name.
    #[serde(default)]
    pub without_scale: BTreeMap<String, String>,
    /// Tensors to keep in higher precision, by name, sorted: the table has no scale for them on purpose.
    #[serde(default)]
    pub keep: Vec<String>,
    /// Those that a rescue found, by name, sorted: they have no scale either.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rescued: Vec<String>,
    /// How `auto` chose: candidates, their figures, the splits; null where it did not.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub auto: Value,
    /// What was measured of INT8 with this table; null where nothing was.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub evaluation: Value,
    /// The file of the histograms, relative to the table's folder, if they were kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub histograms: Option<String>,
}

/// A tensor that has the range of another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Propagated {
    /// The tensor.
    pub tensor: String,
    /// The tensor whose range it has.
    pub from: String,
}

fn is_canonical(mode: &Mode) -> bool {
    *mode == Mode::Canonical
}

/// The model a table was made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelSource {
    /// The ONNX file's name, without folder. A renamed model is the same model.
    pub file: String,
    /// The hash of that file.
    pub hash: Digest,
    /// The hash of each external data file, by its path relative to the ONNX file.
    #[serde(default)]
    pub external: BTreeMap<String, Digest>,
}

/// The images a table was made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dataset {
    /// The images used.
    pub count: u64,
    /// The images asked for.
    pub requested: u64,
    /// The seed of the sample.
    pub seed: u64,
    /// The hash of the images used; see [`fingerprint`].
    pub fingerprint: Digest,
    /// The images used.
    #[serde(default)]
    pub images: Vec<Image>,
    /// The images left out.
    #[serde(default)]
    pub skipped: Vec<Skipped>,
}

/// An image of the calibration set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// Its path relative to the folder of the images, with `/`.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// The hash of the file.
    pub hash: Digest,
}

/// An image that was left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// Its path relative to the folder of the images, with `/`.
    pub name: String,
    /// Why.
    pub reason: String,
}

/// What ran the model.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Backend {
    /// `rten`, `onnxruntime`, `onnxruntime-cuda` or `tensorrt`.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What else decides about the numbers, such as `threads` or `tf32`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
}

/// What was seen of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TensorRecord {
    /// The greatest magnitude.
    pub amax: f32,
    /// The least value.
    pub min: f32,
    /// The greatest value.
    pub max: f32,
    /// The threshold; the scale is this over 127.
    pub threshold: f64,
    /// The share of the values that exceed the threshold, 0 to 1.
    #[serde(default, skip_serializing_if = "is_none_of_them")]
    pub beyond: f64,
    /// How many values were NaN.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub nan: u64,
    /// How many values were infinite.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub infinite: u64,
    /// Whether the tensor was one value throughout, so that its range means little.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub zero_range: bool,
}

fn is_none_of_them(share: &f64) -> bool {
    *share == 0.0
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// Why bytes are no sidecar.
#[derive(Debug, thiserror::Error)]
pub enum SidecarError {
    /// The file exceeds [`MAX_BYTES`].
    #[error("the table's provenance has more than {MAX_BYTES} bytes: {bytes}")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// A later version wrote it.
    #[error("the table's provenance has format {found}, but this version reads up to: {FORMAT}")]
    Newer {
        /// Its format.
        found: u32,
    },
    /// It is no sidecar.
    #[error("the table's provenance cannot be read")]
    Unreadable {
        /// Where and why.
        #[source]
        source: serde_json::Error,
    },
}

impl SidecarError {
    /// What mends it, in one sentence.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Newer { .. } => "update trt-deploy, or run `trt-deploy calibrate` for a table of its own",
            Self::TooLarge { .. } | Self::Unreadable { .. } => {
                "remove the `.json` beside the table and run `trt-deploy calibrate` again"
            }
        };
        Some(text.to_owned())
    }
}

impl Sidecar {
    /// Reads `<table>.json`.
    ///
    /// # Errors
    /// A [`SidecarError`]; the table beside it then counts as one of unknown origin.
    pub fn parse(bytes: &[u8]) -> Result<Self, SidecarError> {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        if bytes.len() > MAX_BYTES {
            return Err(SidecarError::TooLarge { bytes: bytes.len() });
        }
        let unreadable = |source| SidecarError::Unreadable { source };
        // The format first: a later one may lack or rename what this version needs.
        match serde_json::from_slice(bytes).map_err(unreadable)? {
            Format { format } if format > FORMAT => Err(SidecarError::Newer { found: format }),
            Format { .. } => serde_json::from_slice(bytes).map_err(unreadable),
        }
    }

    /// The bytes of `<table>.json`, ending with a line feed.
    pub fn write(&self) -> Vec<u8> {
        // JSON fails only on keys that are not text and on types that refuse to be written; neither is in a sidecar.
        let mut bytes =
            serde_json::to_vec_pretty(self).expect("every key is text and every type can be written");
        bytes.push(b'\n');
        bytes
    }
}

/// The fingerprint of a dataset: one hash over name, size and hash of every image, whatever their order.
pub fn fingerprint<'a>(images: impl IntoIterator<Item = &'a Image>) -> Digest {
    let mut sorted: Vec<&Image> = images.into_iter().collect();
    sorted.sort_by_key(|image| (&image.name, image.size, *image.hash.as_bytes()));
    let mut hasher = blake3::Hasher::new();
    for image in sorted {
        // Lengths before names, so that no two lists run together.
        hasher.update(&(image.name.len() as u64).to_le_bytes());
        hasher.update(image.name.as_bytes());
        hasher.update(&image.size.to_le_bytes());
        hasher.update(image.hash.as_bytes());
    }
    hasher.finalize().into()
}
