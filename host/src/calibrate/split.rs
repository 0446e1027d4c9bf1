//! Which samples `auto` calibrates with, chooses with and reports on.

use serde::Serialize;
use trt_calib::Digest;
use trt_dataset::Dataset;
use trt_imaging::decode;

use super::error::CalibrateError;

/// Of five samples, three calibrate, one chooses and one reports: histograms need many values and each sample has
/// millions, but figures need samples.
const SHARES: [u32; 3] = [3, 1, 1];

/// What calibration does not see.
#[derive(Debug)]
pub struct Splits {
    /// What the choice is made with.
    pub selection: Dataset,
    /// What the figures are measured on.
    pub report: Dataset,
}

/// A part of the samples, as provenance records it.
#[derive(Debug, Clone, Serialize)]
pub struct SplitRecord {
    /// What it was for: `calibration`, `selection` or `report`.
    pub name: &'static str,
    /// How many samples it has.
    pub samples: usize,
    /// The hash over them.
    pub fingerprint: Digest,
}

impl SplitRecord {
    /// Of one part.
    pub fn of(name: &'static str, dataset: &Dataset) -> Self {
        Self { name, samples: dataset.len(), fingerprint: dataset.fingerprint() }
    }
}

/// Splits the chosen samples. Near-duplicates stay together, so that no part knows another one's answers.
///
/// # Errors
/// [`CalibrateError::FewForAuto`] where a part would be empty; what looking at the samples can cause.
pub fn split(
    dataset: &Dataset,
    seed: u64,
    cancelled: &(dyn Fn() -> bool + Sync),
) -> Result<(Dataset, Splits), CalibrateError> {
    let survey = trt_dataset::survey(dataset, decode, cancelled)?;
    let parts = trt_dataset::split(dataset, &SHARES, seed, &survey.near_duplicates);
    match <[Dataset; 3]>::try_from(parts) {
        Ok([calibration, selection, report]) if !selection.is_empty() && !report.is_empty() => {
            Ok((calibration, Splits { selection, report }))
        }
        _ => Err(CalibrateError::FewForAuto { least: SHARES.len(), samples: dataset.len() }),
    }
}
