//! What calibration and evaluation found, as a report shows it.

mod coverage;
mod results;
mod samples;
mod tensors;

use trt_calib::set::HistogramSet;
use trt_calib::{CalibrationTable, Sidecar};
use trt_onnx::Model;
use trt_report::{Embedded, LayerCost, Panel, Propagated, Provenance, ReportData, ReportError, SideBySide};

use super::{Drawn, Outcome};

pub use results::{classes, measures, of_classes};
pub use samples::{Looked, look};

/// What there is to show.
#[derive(Debug, Clone, Copy)]
pub struct Material<'a> {
    /// The table's file name.
    pub name: &'a str,
    /// The table.
    pub table: &'a CalibrationTable,
    /// Its provenance.
    pub sidecar: &'a Sidecar,
    /// The model.
    pub onnx: &'a Model,
    /// The histograms, if they were kept.
    pub set: Option<&'a HistogramSet>,
    /// What was measured, with the names of the classes; `None` where nobody has.
    pub outcome: Option<(&'a Outcome, &'a [String])>,
    /// What was seen of the samples; `None` where they cannot be looked at.
    pub samples: Option<&'a Looked>,
}

/// The longer side of a picture in the page, in pixels: more than drawn ones have, whose letters would blur.
const SIDE: u32 = 720;

/// All of it.
///
/// # Errors
/// [`ReportError`], of pictures.
pub fn data(material: &Material<'_>) -> Result<ReportData, ReportError> {
    let Material { sidecar, outcome, .. } = *material;
    let chosen = results::chosen(sidecar);
    let operators = tensors::operators(material.onnx);
    let propagated = sidecar.propagated.iter().map(|one| Propagated {
        tensor: one.tensor.clone(),
        from: one.from.clone(),
        through: operators.get(&one.tensor).cloned().flatten(),
    });
    let mut shown: Vec<_> = outcome
        .iter()
        .map(|(outcome, names)| results::results(&outcome.evaluation, "evaluation", &outcome.about, names))
        .collect();
    // What was measured now on the same samples says the same.
    if let Some(chosen) = chosen.as_ref().filter(|_| outcome.is_none()) {
        let about = "seen by neither calibration nor the choice of `auto`";
        shown.push(results::results(&chosen.report, "report", about, &[]));
    }
    let pictures = outcome.map_or(&[][..], |(outcome, _)| &outcome.pictures);
    Ok(ReportData {
        provenance: Provenance::of(sidecar, material.name),
        notes: notes(material),
        results: shown,
        choice: chosen.as_ref().map(results::choice),
        tensors: material.set.map(|set| tensors::tensors(material, set, &operators)).unwrap_or_default(),
        layers: layers(material),
        coverage: Some(coverage::coverage(material)),
        dataset: Some(samples::dataset(sidecar, material.samples)),
        side_by_side: pictures.iter().map(side_by_side).collect::<Result<_, _>>()?,
        propagated: propagated.collect(),
    })
}

/// What must be known first.
fn notes(material: &Material<'_>) -> Vec<String> {
    let Material { sidecar, samples, .. } = material;
    let mut notes = Vec::new();
    if material.set.is_none() {
        notes.push(
            "The histograms were not kept, so that tensors cannot be shown; remove `histograms: false` and calibrate \
             again."
                .to_owned(),
        );
    }
    if material.outcome.is_none() {
        notes.push("What each tensor loses was not measured; `trt-deploy report MODEL` does it.".to_owned());
    }
    match samples {
        None => notes.push("The samples are not shown: the table was made elsewhere.".to_owned()),
        Some(looked) if looked.gone > 0 => notes.push(format!(
            "{} of {} samples are no longer where they were, or were changed, and cannot be shown.",
            looked.gone, sidecar.dataset.count
        )),
        Some(_) => {}
    }
    if let Some((outcome, _)) = material.outcome {
        let left_out = outcome.evaluation.left_out.len();
        if left_out > 0 {
            notes.push(format!(
                "{left_out} sample(s) could not be evaluated, the first: {}.",
                outcome.evaluation.left_out[0].why
            ));
        }
    }
    if !sidecar.rescued.is_empty() {
        notes.push(format!("Kept in higher precision by a rescue: `{}`.", sidecar.rescued.join("`, `")));
    }
    notes.extend(trt_calib::table::lint(material.table).iter().map(|finding| format!("Table, {finding}.")));
    notes
}

/// A ratio as the page shows it: what is at the limit is exact.
fn decibel(value: Option<f64>) -> Option<f64> {
    value.map(|value| if value >= trt_metrics::SQNR_LIMIT { f64::INFINITY } else { value })
}

/// What people call a node, without the backticks that messages put round it.
fn plain(node: &str) -> String {
    let inside = node.strip_prefix('`').and_then(|rest| rest.strip_suffix('`'));
    inside.filter(|inside| !inside.contains('`')).unwrap_or(node).to_owned()
}

/// What layers cost, if somebody has measured it.
fn layers(material: &Material<'_>) -> Vec<LayerCost> {
    let Some((outcome, _)) = material.outcome else { return Vec::new() };
    let kept = |output: &str| {
        let sidecar = material.sidecar;
        let is_kept = sidecar.keep.iter().chain(&sidecar.rescued).any(|kept| kept == output);
        is_kept.then(|| sidecar.without_scale.get(output).cloned().unwrap_or_default())
    };
    let cost = |loss: &trt_evaluate::LayerLoss| LayerCost {
        name: plain(&loss.node),
        operator: loss.op.clone(),
        only_db: decibel(Some(loss.only)),
        without_db: decibel(loss.without),
        kept: kept(&loss.output),
    };
    outcome.layers.iter().map(cost).collect()
}

/// A sample as FP32 and INT8 see it.
fn side_by_side(drawn: &Drawn) -> Result<SideBySide, ReportError> {
    let panel = |(label, half): (&str, &trt_imaging::Picture)| {
        Ok(Panel { label: label.to_owned(), image: Embedded::jpeg(half, SIDE)? })
    };
    Ok(SideBySide {
        name: drawn.sample.clone(),
        finding: drawn.finding.clone(),
        panels: ["FP32", "INT8"].into_iter().zip(&drawn.halves).map(panel).collect::<Result<_, _>>()?,
    })
}
