//! Histograms on disk: those of a whole calibration, of a shard, and of one that was interrupted.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};

use trt_calib::set::{self, HistogramSet, Provenance};
use trt_calib::sidecar::Image;
use trt_dataset::Shard;
use trt_files::{ReadError, read_capped};

use super::error::CalibrateError;
use super::store;

/// `<histograms>.part`: what an interrupted run has counted so far.
pub fn checkpoint_of(histograms: &Path) -> PathBuf {
    with_ending(histograms, ".part")
}

/// `<table>.2-of-8.histograms`: what a shard counts.
pub fn shard_of(table: &Path, shard: Shard) -> PathBuf {
    with_ending(table, &format!(".{}-of-{}.histograms", shard.index(), shard.of()))
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// Reads a set of histograms.
///
/// # Errors
/// [`CalibrateError::Read`] and [`CalibrateError::Histograms`].
pub fn read(path: &Path) -> Result<HistogramSet, CalibrateError> {
    let unusable = |source| CalibrateError::Histograms { path: path.to_owned(), source: Box::new(source) };
    let bytes = read_capped(path, set::MAX_BYTES as u64).map_err(|error| match error {
        ReadError::TooLarge { bytes, .. } => unusable(set::SetError::TooLarge { bytes: bytes as usize }),
        ReadError::Io(source) => CalibrateError::Read { path: path.to_owned(), source },
    })?;
    HistogramSet::parse(&bytes).map_err(unusable)
}

/// The same, where there may be no such file.
///
/// # Errors
/// As [`read`].
pub fn find(path: &Path) -> Result<Option<HistogramSet>, CalibrateError> {
    match read(path) {
        Err(CalibrateError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        found => found.map(Some),
    }
}

/// Writes a set of histograms, whole or not at all.
///
/// # Errors
/// [`CalibrateError::Write`] and [`CalibrateError::Histograms`].
pub fn write(path: &Path, set: &HistogramSet) -> Result<(), CalibrateError> {
    let unusable = |source| CalibrateError::Histograms { path: path.to_owned(), source: Box::new(source) };
    store::replace(path, &set.write().map_err(unusable)?)
}

/// What has no order of its own in one: then the histograms of shards, merged, are those of a single run.
///
/// # Errors
/// None that a single set has.
pub fn sorted(set: HistogramSet) -> Result<HistogramSet, CalibrateError> {
    let path = PathBuf::new();
    HistogramSet::merge(vec![set])
        .map_err(|source| CalibrateError::Histograms { path, source: Box::new(source) })
}

/// Why histograms are not those that would be counted now; `None` if they are.
///
/// `chosen` are the samples that would be; `complete` says whether all of them must have been counted or left out.
pub fn misfit(
    found: &HistogramSet,
    wanted: &HistogramSet,
    chosen: &[Image],
    complete: bool,
) -> Option<&'static str> {
    let (has, wants) = (&found.provenance, &wanted.provenance);
    let hashes = |provenance: &Provenance| (provenance.model.hash, provenance.model.external.clone());
    if hashes(has) != hashes(wants) {
        return Some("the model is another one");
    }
    if has.preprocessing != wants.preprocessing {
        return Some("the preprocessing is another one");
    }
    if has.shapes != wants.shapes {
        return Some("the shapes are others");
    }
    if found.mode != wanted.mode {
        return Some("values were counted in another mode");
    }
    if !has.missing_shards().is_empty() {
        return Some("shards are missing");
    }
    let dataset = &has.dataset;
    let known: HashMap<&str, &Image> = chosen.iter().map(|image| (image.name.as_str(), image)).collect();
    let is_chosen = |image: &Image| known.get(image.name.as_str()).is_some_and(|known| *known == image);
    if dataset.fingerprint != wants.dataset.fingerprint || !dataset.images.iter().all(is_chosen) {
        return Some("the samples are others");
    }
    let met: HashSet<&str> = dataset
        .images
        .iter()
        .map(|image| &image.name)
        .chain(dataset.skipped.iter().map(|skipped| &skipped.name))
        .map(String::as_str)
        .collect();
    let all_met = chosen.iter().all(|image| met.contains(image.name.as_str()));
    (complete && !all_met).then_some("not all samples were counted")
}
