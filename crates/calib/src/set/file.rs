//! The file: safetensors, with a description in its metadata.

use std::collections::{HashMap, HashSet};

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};

use super::{Counted, FORMAT, HistogramSet, MAX_TENSORS, Provenance, SetError, Uncounted};
use crate::{Counts, FINE, Histogram, HistogramParts, LinearHistogram, LinearParts, Mode};

/// The largest file accepted, in bytes.
pub const MAX_BYTES: usize = 1 << 30;
/// The key of the description in the metadata.
const KEY: &str = "trt-deploy";
/// The one name that safetensors keeps for itself.
const RESERVED: &str = "__metadata__";

#[derive(Serialize, Deserialize)]
struct Description {
    format: u32,
    mode: Mode,
    provenance: Provenance,
    /// In the order of computation.
    tensors: Vec<Entry>,
    omitted: Vec<Uncounted>,
}

/// All of a histogram but its counts.
#[derive(Serialize, Deserialize)]
struct Entry {
    name: String,
    grid: Grid,
    /// Both absent where there was no finite value. Binary64, which holds every binary32: JSON has one kind of number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    min: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max: Option<f64>,
    nan: u64,
    infinite: u64,
}

/// Where the bins lie: from 0 on.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Grid {
    /// 16384 bins up to 2 to this power.
    Exponent(i32),
    /// So many bins of this width.
    Bins { width: f64, number: usize },
}

/// The counts up to the last that is not 0, as little-endian integers of the least size that they fit.
struct Trimmed {
    dtype: Dtype,
    length: usize,
    bytes: Vec<u8>,
}

impl Trimmed {
    fn of(bins: &[u64]) -> Self {
        let length = bins.iter().rposition(|&count| count > 0).map_or(0, |last| last + 1);
        let bins = &bins[..length];
        if bins.iter().all(|&count| u32::try_from(count).is_ok()) {
            let bytes = bins.iter().flat_map(|&count| (count as u32).to_le_bytes()).collect();
            Self { dtype: Dtype::U32, length, bytes }
        } else {
            let bytes = bins.iter().flat_map(|count| count.to_le_bytes()).collect();
            Self { dtype: Dtype::U64, length, bytes }
        }
    }
}

pub(super) fn write(set: &HistogramSet) -> Result<Vec<u8>, SetError> {
    check_names(set.tensors.iter().map(|tensor| tensor.name.as_str()))?;
    let (mut entries, mut counts) = (Vec::new(), Vec::new());
    for Counted { name, counts: counted } in &set.tensors {
        if counted.mode() != set.mode {
            return Err(SetError::Mode { name: name.clone(), mode: set.mode });
        }
        let (grid, trimmed) = match counted {
            Counts::Canonical(histogram) => {
                (Grid::Exponent(histogram.exponent()), Trimmed::of(histogram.bins()))
            }
            Counts::TensorRt(histogram) => {
                let LinearParts { width, bins, .. } = histogram.clone().into_parts();
                (Grid::Bins { width, number: bins.len() }, Trimmed::of(&bins))
            }
        };
        entries.push(Entry {
            name: name.clone(),
            grid,
            min: counted.min().map(f64::from),
            max: counted.max().map(f64::from),
            nan: counted.nan(),
            infinite: counted.infinite(),
        });
        counts.push((name, trimmed));
    }
    let description = Description {
        format: FORMAT,
        mode: set.mode,
        provenance: set.provenance.clone(),
        tensors: entries,
        omitted: set.omitted.clone(),
    };
    let description =
        serde_json::to_string(&description).map_err(|source| SetError::Description { source })?;
    let views: Result<Vec<_>, _> = counts
        .iter()
        .map(|(name, trimmed)| {
            let view = TensorView::new(trimmed.dtype, vec![trimmed.length], &trimmed.bytes)?;
            Ok((name.as_str(), view))
        })
        .collect();
    let metadata = HashMap::from([(KEY.to_owned(), description)]);
    views
        .and_then(|views| safetensors::serialize(views, Some(metadata)))
        .map_err(|source| SetError::Container { source })
}

pub(super) fn parse(bytes: &[u8]) -> Result<HistogramSet, SetError> {
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    if bytes.len() > MAX_BYTES {
        return Err(SetError::TooLarge { bytes: bytes.len() });
    }
    let container = |source| SetError::Container { source };
    let unreadable = |source| SetError::Description { source };
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(container)?;
    let description = metadata.metadata().as_ref().and_then(|map| map.get(KEY)).ok_or(SetError::Foreign)?;
    // The format first: a later one may lack or rename what this version needs.
    let Format { format } = serde_json::from_str(description).map_err(unreadable)?;
    if format > FORMAT {
        return Err(SetError::Newer { found: format });
    }
    let Description { mode, provenance, tensors, omitted, .. } =
        serde_json::from_str(description).map_err(unreadable)?;
    check_names(tensors.iter().map(|entry| entry.name.as_str()))?;
    let file = SafeTensors::deserialize(bytes).map_err(container)?;
    if file.len() != tensors.len() {
        let reason = format!("it describes {} of {} tensors", tensors.len(), file.len());
        return Err(SetError::Contents { reason });
    }
    let counted = |entry: Entry| {
        let name = entry.name.clone();
        let view =
            file.tensor(&name).map_err(|_| SetError::Contents { reason: format!("`{name}` is missing") })?;
        let counts = entry.counts(mode, &view)?;
        Ok(Counted { name, counts })
    };
    let tensors = tensors.into_iter().map(counted).collect::<Result<_, SetError>>()?;
    Ok(HistogramSet { provenance, mode, tensors, omitted })
}

impl Entry {
    fn counts(self, mode: Mode, view: &TensorView<'_>) -> Result<Counts, SetError> {
        let Self { name, grid, min, max, nan, infinite } = self;
        let wrong = |reason: &str| SetError::Contents { reason: format!("`{name}` has {reason}") };
        let bins = |number: usize| padded(view, number).ok_or_else(|| wrong("other than whole counts"));
        // Only what a binary32 was widened to is taken back.
        let narrow = |value: Option<f64>, absent: f32| match value {
            None => Ok(absent),
            Some(wide) if f64::from(wide as f32) == wide => Ok(wide as f32),
            Some(_) => Err(wrong("extremes that are no binary32")),
        };
        let (min, max) = (narrow(min, f32::INFINITY)?, narrow(max, f32::NEG_INFINITY)?);
        let counts = match (mode, grid) {
            (Mode::Canonical, Grid::Exponent(exponent)) => {
                let bins = if view.data().is_empty() { Vec::new() } else { bins(FINE)? };
                Histogram::from_parts(HistogramParts { exponent, bins, min, max, nan, infinite })
                    .map(Counts::from)
            }
            (Mode::TensorRt, Grid::Bins { width, number }) if number <= LinearHistogram::MAX_BINS => {
                let bins = bins(number)?;
                LinearHistogram::from_parts(LinearParts { width, bins, min, max, nan, infinite })
                    .map(Counts::from)
            }
            _ => return Err(wrong("bins of another mode, or too many")),
        };
        counts.map_err(|source| SetError::Counts { name, source })
    }
}

/// The counts of a tensor of the file, with zeros up to `number`.
fn padded(view: &TensorView<'_>, number: usize) -> Option<Vec<u64>> {
    let data = view.data();
    let mut bins: Vec<u64> = match view.dtype() {
        Dtype::U32 => data.as_chunks::<4>().0.iter().map(|b| u64::from(u32::from_le_bytes(*b))).collect(),
        Dtype::U64 => data.as_chunks::<8>().0.iter().map(|b| u64::from_le_bytes(*b)).collect(),
        _ => return None,
    };
    if view.shape().len() != 1 || bins.len() > number {
        return None;
    }
    bins.resize(number, 0);
    Some(bins)
}

fn check_names<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> Result<(), SetError> {
    if names.len() > MAX_TENSORS {
        return Err(SetError::TooManyTensors { tensors: names.len() });
    }
    let mut seen = HashSet::new();
    for name in names {
        if name == RESERVED || !seen.insert(name) {
            return Err(SetError::Name { name: name.to_owned() });
        }
    }
    Ok(())
}
