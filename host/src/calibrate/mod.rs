//! Calibration on this machine: from a model and a folder of images to a table with its provenance.
//!
//! ```text
//! Job (what is wished) -> Plan (what will be done: model, input, images, state of the table) -> execute:
//!   images -> count (decode, preprocess, on all cores) -> HistogramSource -> derive (thresholds) -> store
//! ```
//!
//! [`ensure_table`] is what a verb calls: it reuses an up-to-date table, explains a stale one, and leaves alone what
//! it did not make. Everything below speaks through [`Event`]s and errors, and prints nothing.

mod count;
mod dataset;
mod derive;
mod error;
mod fit;
mod input;
mod job;
pub mod keep;
mod plan;
mod report;
pub mod store;
mod time;

#[cfg(test)]
mod tests;

use std::path::Path;

use trt_calib::CalibrationTable;
use trt_calib::sidecar::ModelSource;
use trt_calib::table::lint;
use trt_calib::{Digest, Sidecar};

pub use error::CalibrateError;
pub use fit::Fit;
pub use job::{Job, Shapes, TABLE_VERSION};
pub use plan::{Plan, folder_of, hash_external, read_model};
pub use report::{Origin, Summary};

use crate::fleet;
use crate::interrupt::Interrupt;
use crate::ui::{Ui, Unit};

/// Progress of a calibration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// So many of the images are dealt with.
    Images {
        /// Counted, or found to be undecodable.
        done: usize,
        /// All of them.
        total: usize,
    },
    /// The images are counted, and thresholds are derived.
    Thresholds {
        /// How many tensors have a histogram.
        tensors: usize,
    },
}

/// Where progress goes. Several threads call it.
pub type Events<'a> = dyn Fn(Event) + Sync + 'a;

/// A table that is ready to be used.
#[derive(Debug)]
pub struct TableOutcome {
    /// The table.
    pub table: CalibrationTable,
    /// Tensors that it has no scale for on purpose, as its sidecar says.
    pub keep: Vec<String>,
    /// Where it lies and how it came about.
    pub summary: Summary,
}

/// Yields the model's calibration table: the one that is there if it is up to date, a new one otherwise, or the one
/// that the fleet file names.
///
/// # Errors
/// [`CalibrateError`]; [`CalibrateError::NoCalibration`] for a model without `calibration`.
pub fn ensure_table(
    model: &fleet::Model,
    ui: &Ui,
    interrupt: &Interrupt,
    force: bool,
) -> Result<TableOutcome, CalibrateError> {
    match &model.calibration {
        None => Err(CalibrateError::NoCalibration { model: model.name.to_string() }),
        Some(fleet::Calibration::Table(path)) => foreign(model, path, ui),
        Some(fleet::Calibration::Images(images)) => {
            let plan = Plan::new(Job::of_fleet(model, images, force)?, interrupt)?;
            run(plan, ui, interrupt)
        }
    }
}

/// Carries a plan out and says what it does.
///
/// # Errors
/// As [`Plan::execute`].
pub fn run(plan: Plan, ui: &Ui, interrupt: &Interrupt) -> Result<TableOutcome, CalibrateError> {
    let planned = plan.summary();
    let shown = planned.table.display();
    let mut summary = Summary {
        model: planned.model.clone(),
        table: planned.table.clone(),
        origin: Origin::Computed,
        entries: 0,
        stale: Vec::new(),
        warnings: Vec::new(),
        report: None,
    };
    match &plan.state {
        store::State::UpToDate(found) => {
            ui.say(format_args!("{shown} is up to date"));
            summary.origin = Origin::Reused;
            summary.entries = found.table.entries().len();
            return Ok(TableOutcome { table: found.table.clone(), keep: plan.keep, summary });
        }
        store::State::Stale { reasons, .. } => {
            ui.say(format_args!("{shown} is stale:"));
            summary.stale.clone_from(reasons);
            reasons.iter().for_each(|reason| ui.say(format_args!("  {reason}")));
        }
        store::State::Missing | store::State::Forced(_) => {}
    }
    let keep = plan.keep.clone();
    let (table, report) = {
        let bar = ui.bar(&format!("calibrating {}", planned.model), planned.images as u64, Unit::Items);
        let events = |event| match event {
            Event::Images { done, .. } => bar.set(done as u64),
            Event::Thresholds { tensors } => ui.detail(format_args!("deriving {tensors} thresholds")),
        };
        plan.execute(&events, interrupt).inspect_err(|error| {
            // The message names the first few.
            let bad = error.undecodable().iter().skip(error::SHOWN);
            bad.for_each(|image| ui.detail(format_args!("could not be decoded: {image}")));
        })?
    };
    summary.entries = table.entries().len();
    ui.say(format_args!("{shown} written: {} scales", summary.entries));
    report.say(ui);
    summary.warnings = lint(&table).iter().map(ToString::to_string).collect();
    summary.warnings.iter().for_each(|warning| ui.warn(format_args!("{shown}: {warning}")));
    summary.report = Some(report);
    Ok(TableOutcome { table, keep, summary })
}

/// A table made elsewhere.
fn foreign(model: &fleet::Model, path: &Path, ui: &Ui) -> Result<TableOutcome, CalibrateError> {
    let found = store::read(path)?;
    let failed = |source| CalibrateError::Model { path: model.onnx.clone(), source };
    let (bytes, onnx) = read_model(&model.onnx).map_err(failed)?;
    if onnx.has_qdq() {
        return Err(CalibrateError::Quantized { path: model.onnx.clone() });
    }
    let mut warnings: Vec<String> = lint(&found.table).iter().map(ToString::to_string).collect();
    let (mut keep, mut proven) = (Vec::new(), false);
    match &found.sidecar {
        Err(why) => warnings.push(format!("whether it belongs to this model cannot be checked: {why}")),
        // What belongs to another table says nothing about this one.
        Ok(sidecar) if sidecar.table != found.digest => warnings.push(OTHER_TABLE.to_owned()),
        Ok(sidecar) => {
            let external = hash_external(folder_of(&model.onnx), &onnx.external_files())?;
            let now = ModelSource { file: String::new(), hash: Digest::of(&bytes), external };
            if is_other_source(sidecar, &now) {
                let (path, made_from) = (path.to_owned(), sidecar.model.file.clone());
                return Err(CalibrateError::OtherSource { path, made_from });
            }
            keep.clone_from(&sidecar.keep);
            proven = true;
        }
    }
    let fit = Fit::of(&found.table, &onnx.activations(), onnx.initializers());
    if fit.is_other_model() && !proven {
        return Err(CalibrateError::OtherModel { path: path.to_owned(), why: fit.figures() });
    }
    // What has none on purpose is nothing to warn of.
    let missing = fit.coverage.missing.iter().filter(|name| !keep.contains(name)).count();
    let all = onnx.activations().len();
    if missing > 0 {
        warnings.push(format!("{missing} of {all} activations have no scale"));
    }
    if !fit.coverage.stale.is_empty() {
        warnings.push(format!(
            "{} of its {} entries name nothing that the model has",
            fit.coverage.stale.len(),
            found.table.entries().len()
        ));
    }
    ui.say(format_args!("{} is used as it is: {} scales", path.display(), found.table.entries().len()));
    warnings.iter().for_each(|warning| ui.warn(format_args!("{}: {warning}", path.display())));
    let summary = Summary {
        model: model.name.to_string(),
        table: path.to_owned(),
        origin: Origin::Foreign,
        entries: found.table.entries().len(),
        stale: Vec::new(),
        warnings,
        report: None,
    };
    Ok(TableOutcome { table: found.table, keep, summary })
}

/// What a sidecar of another table is.
const OTHER_TABLE: &str = "it is not the table that was written with its `.json`";

/// What a sidecar says against using its table for a model.
pub fn provenance(sidecar: &Sidecar, model: &ModelSource, table: Digest) -> Vec<String> {
    let mut found = Vec::new();
    if sidecar.table != table {
        found.push(OTHER_TABLE.to_owned());
    }
    if is_other_source(sidecar, model) {
        found.push(format!(
            "it was made from another model, or another version of it: `{}`",
            sidecar.model.file
        ));
    }
    found
}

fn is_other_source(sidecar: &Sidecar, model: &ModelSource) -> bool {
    sidecar.model.hash != model.hash || sidecar.model.external != model.external
}
