//! From histograms to a table.

use std::collections::BTreeMap;

use rayon::prelude::*;
use trt_calib::sidecar::TensorRecord;
use trt_calib::table::{Entry, Header, TableVersion};
use trt_calib::{Algorithm, CalibrationTable, Counts, Threshold};
use trt_inference::Histograms;

use super::error::CalibrateError;

/// A table and what it rests on.
#[derive(Debug)]
pub struct Derived {
    /// The table, its entries in the order of computation.
    pub table: CalibrationTable,
    /// What was seen of each tensor that has a scale.
    pub tensors: BTreeMap<String, TensorRecord>,
    /// Why other float activations have none.
    pub without_scale: BTreeMap<String, String>,
    /// Those of them that held infinities, and how many.
    pub with_infinities: BTreeMap<String, u64>,
}

/// Why a tensor of `keep` has no scale.
const KEPT: &str = "it is kept in higher precision";

/// Derives every threshold, on all cores, but those of the tensors that are to `keep` their precision.
///
/// # Errors
/// [`CalibrateError::NoActivation`] where not one tensor gets a scale.
pub fn derive(
    histograms: Histograms,
    algorithm: Algorithm,
    version: TableVersion,
    keep: &[String],
) -> Result<Derived, CalibrateError> {
    let (kept, observed): (Vec<_>, Vec<_>) =
        histograms.observed.iter().partition(|tensor| keep.contains(&tensor.name));
    let threshold = |counts: &Counts| match counts.infinite() {
        0 => algorithm.threshold(counts).map_err(|why| why.to_string()),
        // The finite values do not make its range: no scale can hold what it holds.
        infinite => Err(format!(
            "{infinite} of its {} values are infinite, as in an attention mask",
            counts.count() + infinite
        )),
    };
    let thresholds: Vec<_> = observed.par_iter().map(|tensor| threshold(&tensor.counts)).collect();
    let (mut entries, mut tensors) = (Vec::new(), BTreeMap::new());
    let mut with_infinities = BTreeMap::new();
    let mut without_scale: BTreeMap<_, _> =
        histograms.omitted.into_iter().map(|tensor| (tensor.name, tensor.why)).collect();
    without_scale.extend(kept.into_iter().map(|tensor| (tensor.name.clone(), KEPT.to_owned())));
    for (tensor, threshold) in observed.into_iter().zip(thresholds) {
        let infinite = tensor.counts.infinite();
        if infinite > 0 {
            with_infinities.insert(tensor.name.clone(), infinite);
        }
        let entry = threshold.and_then(|threshold| {
            let entry = Entry::new(&tensor.name, threshold.scale()).map_err(|why| why.to_string())?;
            Ok((entry, record(&tensor.counts, threshold)))
        });
        match entry {
            Ok((entry, record)) => {
                entries.push(entry);
                tensors.insert(tensor.name.clone(), record);
            }
            Err(why) => drop(without_scale.insert(tensor.name.clone(), why)),
        }
    }
    if entries.is_empty() {
        return Err(CalibrateError::NoActivation);
    }
    let header = Header::new(version, algorithm.table_algorithm());
    let table = CalibrationTable::new(header, entries)
        .map_err(|source| CalibrateError::Table { path: "the new table".into(), source })?;
    Ok(Derived { table, tensors, without_scale, with_infinities })
}

fn record(counts: &Counts, threshold: Threshold) -> TensorRecord {
    let (min, max) = (counts.min().unwrap_or(0.0), counts.max().unwrap_or(0.0));
    TensorRecord {
        amax: counts.amax().unwrap_or(0.0),
        min,
        max,
        threshold: threshold.value,
        nan: counts.nan(),
        infinite: counts.infinite(),
        zero_range: min == max,
    }
}
