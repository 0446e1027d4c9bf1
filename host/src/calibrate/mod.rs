//! Calibration on this machine: from a model and samples to a table with its provenance.
//!
//! ```text
//! Job (what is wished) -> Plan (what will be done: model, samples, state of table and histograms) -> execute:
//!   run (samples -> a HistogramSource) or saved histograms -> auto -> derive (thresholds) -> store
//! ```
//!
//! [`ensure_table`] is what a verb calls: it reuses an up-to-date table, explains a stale one, and leaves alone what
//! it did not make. Everything below speaks through [`Event`]s and errors, and prints nothing.

mod auto;
pub mod derive;
mod error;
mod execute;
mod fit;
mod health;
mod job;
pub mod keep;
mod plan;
mod report;
mod run;
pub mod saved;
pub mod split;
pub mod store;
mod tensorrt;
pub mod time;

#[cfg(test)]
mod tests;

use std::path::Path;

use trt_calib::CalibrationTable;
use trt_calib::sidecar::ModelSource;
use trt_calib::table::lint;
use trt_calib::{Digest, Sidecar};

pub use auto::without_times;
pub use error::CalibrateError;
pub use execute::{Facts, Made, sidecar};
pub use fit::Fit;
pub use health::{Health, why};
pub use job::{Job, Shapes, TABLE_VERSION};
pub use plan::{Plan, folder_of, hash_external, model_source, params, read_model, shared};
pub use report::{Origin, Summary, told_of};

use self::plan::PlanSummary;
use crate::fleet;
use crate::interrupt::Interrupt;
use crate::ui::{Ui, Unit};

/// Progress of a calibration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'a> {
    /// The model is about to run.
    Backend {
        /// What runs it.
        name: &'a str,
        /// Its version.
        version: &'a str,
        /// Why it is this one.
        because: &'a [String],
    },
    /// So many of the samples are dealt with.
    Images {
        /// Counted, or found to be undecodable.
        done: usize,
        /// All of them.
        total: usize,
    },
    /// The samples are counted, and thresholds are derived.
    Thresholds {
        /// How many tensors have a histogram.
        tensors: usize,
    },
    /// `auto` compares algorithms.
    Candidates {
        /// How many.
        algorithms: usize,
    },
}

/// Where progress goes. Several threads call it.
pub type Events<'a> = dyn Fn(Event<'_>) + Sync + 'a;

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
        Some(fleet::Calibration::Recipe(recipe)) => {
            let plan = Plan::new(Job::of_fleet(model, recipe, force), interrupt)?;
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
    let mut summary = Summary::new(&planned.model, &planned.table);
    match &plan.state {
        store::State::UpToDate(found) => {
            ui.say(format_args!("{shown} is up to date"));
            summary.origin = Origin::Reused;
            summary.entries = found.table.entries().len();
            let keep = kept(&plan.keep, found.sidecar.as_ref().map_or(&[], |sidecar| &sidecar.rescued));
            return Ok(TableOutcome { table: found.table.clone(), keep, summary });
        }
        store::State::Stale { reasons, rescued, .. } => {
            ui.say(format_args!("{shown} is stale:"));
            summary.stale.clone_from(reasons);
            reasons.iter().for_each(|reason| ui.say(format_args!("  {reason}")));
            if !rescued.is_empty() {
                ui.warn(format_args!(
                    "what was rescued was found for the old table; `trt-deploy evaluate --rescue` finds it anew: {}",
                    rescued.join(", ")
                ));
            }
        }
        store::State::Missing | store::State::Forced(_) => {}
    }
    let keep = plan.keep.clone();
    summary.origin = if planned.action == "derive" { Origin::Derived } else { Origin::Computed };
    let checkpoint = plan.checkpoint();
    let Made { table, report } = with_progress(&planned, ui, |events| plan.execute(events, interrupt))
        .inspect_err(|error| {
            complain(error, &planned, checkpoint.as_deref(), ui);
        })?;
    summary.entries = table.entries().len();
    ui.say(format_args!("{shown} written: {} scales", summary.entries));
    report.say(ui);
    summary.warnings = lint(&table).iter().map(ToString::to_string).collect();
    summary.warnings.iter().for_each(|warning| ui.warn(format_args!("{shown}: {warning}")));
    summary.report = Some(report);
    Ok(TableOutcome { table, keep, summary })
}

/// Counts a shard and says what it does.
///
/// # Errors
/// As [`Plan::execute_shard`].
pub fn run_shard(plan: Plan, ui: &Ui, interrupt: &Interrupt) -> Result<Summary, CalibrateError> {
    let planned = plan.summary();
    let checkpoint = plan.checkpoint();
    let (path, counted) = with_progress(&planned, ui, |events| plan.execute_shard(events, interrupt))
        .inspect_err(|error| {
            complain(error, &planned, checkpoint.as_deref(), ui);
        })?;
    ui.say(format_args!("{} written", path.display()));
    counted.say(ui);
    let mut summary = Summary::new(&planned.model, &path);
    summary.origin = Origin::Shard;
    summary.counted = Some(counted);
    Ok(summary)
}

/// Does `work` with a bar for its samples.
fn with_progress<T>(planned: &PlanSummary, ui: &Ui, work: impl FnOnce(&Events<'_>) -> T) -> T {
    for reason in planned.because.iter().filter(|reason| reason.starts_with("saved histograms")) {
        ui.detail(format_args!("  {reason}"));
    }
    let bar = ui.bar(&format!("calibrating {}", planned.model), planned.images as u64, Unit::Items);
    let events = |event: Event<'_>| match event {
        Event::Backend { name, version, because } => {
            ui.detail(format_args!("running the model with {name} {version}"));
            because.iter().for_each(|reason| ui.say(format_args!("  {name}, since {reason}")));
        }
        Event::Images { done, .. } => bar.set(done as u64),
        Event::Thresholds { tensors } => ui.detail(format_args!("deriving {tensors} thresholds")),
        Event::Candidates { algorithms } => {
            ui.say(format_args!("  comparing {algorithms} algorithms by simulated INT8 …"));
        }
    };
    work(&events)
}

/// What an error's message leaves out.
fn complain(error: &CalibrateError, planned: &PlanSummary, checkpoint: Option<&Path>, ui: &Ui) {
    if error.is_not_a_number() {
        planned.not_finite_weights.iter().for_each(|weight| ui.warn(report::told_of(weight)));
    }
    // The message names the first few.
    let bad = error.undecodable().iter().skip(error::SHOWN);
    bad.for_each(|sample| ui.detail(format_args!("could not be decoded: {sample}")));
    if let Some(path) = checkpoint.filter(|path| path.is_file()) {
        ui.say(format_args!("{} keeps what was counted; `--resume` continues", path.display()));
    }
}

/// What has no scale on purpose, sorted.
fn kept(keep: &[String], rescued: &[String]) -> Vec<String> {
    let all: std::collections::BTreeSet<_> = keep.iter().chain(rescued).cloned().collect();
    all.into_iter().collect()
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
            keep = kept(&sidecar.keep, &sidecar.rescued);
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
        origin: Origin::Foreign,
        entries: found.table.entries().len(),
        warnings,
        ..Summary::new(model.name.as_str(), path)
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
