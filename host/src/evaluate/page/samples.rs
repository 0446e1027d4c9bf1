//! The samples of a calibration, as a report shows them.

use std::collections::BTreeSet;

use trt_calib::Sidecar;
use trt_dataset::{Dataset, Inputs, Sampling, survey};
use trt_files::read_capped;
use trt_imaging::decode;
use trt_onnx::Model;
use trt_report::{DatasetReport, Embedded, NearDuplicates, Reason, Split, Thumbnail};

use crate::calibrate::{CalibrateError, Shapes};
use crate::fleet::{FilesError, Recipe};
use crate::interrupt::Interrupt;

/// How many samples are shown.
const SHOWN: usize = 36;
/// The longer side of their pictures, in pixels.
const SIDE: u32 = 144;

/// What was seen of the samples that a table was made from.
#[derive(Debug, Default)]
pub struct Looked {
    /// Groups that are almost alike, by name.
    near_duplicates: Vec<NearDuplicates>,
    /// Samples that show nearly nothing.
    near_constant: Vec<Reason>,
    /// Inputs that never changed.
    pub(super) unchanging: Vec<String>,
    thumbnails: Vec<Thumbnail>,
    not_shown: u64,
    /// Samples of the calibration that are not where they were, or not what they were.
    pub(super) gone: usize,
}

/// Looks at the samples again that the sidecar names. Those that are gone or changed are left out and counted.
///
/// # Errors
/// What looking for them and reading them can cause.
pub fn look(
    onnx: &Model,
    shapes: &Shapes,
    recipe: &Recipe,
    sidecar: &Sidecar,
    interrupt: &Interrupt,
) -> anyhow::Result<Looked> {
    let found = recipe.samples.iter().map(|source| source.find()).collect::<Result<Vec<_>, FilesError>>()?;
    let inputs = Inputs::resolve(onnx, shapes, found, "").map_err(CalibrateError::from)?;
    let sampling = Sampling { count: recipe.count, seed: recipe.seed, shard: None, pairing: recipe.pairing };
    let cancelled = || interrupt.is_raised();
    let chosen = Dataset::choose(inputs, sampling, &cancelled).map_err(CalibrateError::from)?;
    let used: BTreeSet<_> =
        sidecar.dataset.images.iter().map(|image| (&image.name, image.hash.as_bytes())).collect();
    let is_used = |at: &usize| {
        let image = &chosen.images()[*at];
        used.contains(&(&image.name, image.hash.as_bytes()))
    };
    let positions: Vec<usize> = (0..chosen.len()).filter(is_used).collect();
    let gone = used.len().saturating_sub(positions.len());
    if positions.is_empty() {
        return Ok(Looked { gone, ..Looked::default() });
    }
    let dataset = chosen.subset(&positions);
    let survey = survey(&dataset, decode, &cancelled).map_err(CalibrateError::from)?;
    let name = |at: usize| dataset.images()[at].name.clone();
    let flat = survey
        .flat
        .iter()
        .map(|&at| Reason { name: name(at), because: "its pixels are nearly of one colour".to_owned() });
    let constant = survey.constant.iter().map(|(at, input)| Reason {
        name: name(*at),
        because: format!("all of its values for `{input}` are the same"),
    });
    let alike = survey.near_duplicates.iter().map(|group| NearDuplicates {
        names: group.iter().map(|&at| name(at)).collect(),
        because: "nearly the same picture".to_owned(),
    });
    let thumbnails: Vec<Thumbnail> = spread(dataset.len()).filter_map(|at| thumbnail(&dataset, at)).collect();
    Ok(Looked {
        near_duplicates: alike.collect(),
        near_constant: flat.chain(constant).collect(),
        unchanging: survey.unchanging,
        not_shown: (dataset.len() - thumbnails.len()) as u64,
        thumbnails,
        gone,
    })
}

/// Positions evenly over all samples.
fn spread(samples: usize) -> impl Iterator<Item = usize> {
    let shown = samples.min(SHOWN);
    (0..shown).map(move |at| at * samples / shown)
}

/// A small picture of a sample that is one.
fn thumbnail(dataset: &Dataset, at: usize) -> Option<Thumbnail> {
    let path = dataset.image_path(at)?;
    let bytes = read_capped(path, trt_imaging::Limits::default().file_bytes).ok()?;
    let image = Embedded::jpeg(&decode(&bytes).ok()?.picture, SIDE).ok()?;
    Some(Thumbnail { name: dataset.images()[at].name.clone(), split: String::new(), image })
}

/// The section about samples.
pub(super) fn dataset(sidecar: &Sidecar, looked: Option<&Looked>) -> DatasetReport {
    let found = &sidecar.dataset;
    let split = Split {
        name: "calibration".to_owned(),
        samples: found.count,
        requested: found.requested,
        fingerprint: found.fingerprint.to_string(),
    };
    let others = sidecar.auto.get("splits").and_then(|splits| splits.as_array()).into_iter().flatten();
    let others = others.filter_map(|split| {
        let name = split.get("name")?.as_str().filter(|name| *name != "calibration")?.to_owned();
        let samples = split.get("samples")?.as_u64()?;
        let fingerprint = split.get("fingerprint")?.as_str().unwrap_or_default().to_owned();
        Some(Split { name, samples, requested: samples, fingerprint })
    });
    let skipped = found.skipped.iter();
    let mut report = DatasetReport {
        splits: std::iter::once(split).chain(others).collect(),
        skipped: skipped.map(|one| Reason { name: one.name.clone(), because: one.reason.clone() }).collect(),
        ..DatasetReport::default()
    };
    if let Some(looked) = looked {
        report.near_duplicates.clone_from(&looked.near_duplicates);
        report.near_constant.clone_from(&looked.near_constant);
        report.contact_sheet.clone_from(&looked.thumbnails);
        report.not_shown = looked.not_shown;
    }
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_spread_over_all_samples() {
        assert_eq!(spread(3).collect::<Vec<_>>(), [0, 1, 2]);
        let many: Vec<usize> = spread(72).collect();
        assert_eq!((many.len(), many[1], many[35]), (36, 2, 70));
        assert_eq!(spread(0).count(), 0);
    }
}
