//! `trt-deploy report`, and the pages of `calibrate --report` and `evaluate --report`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use trt_calib::set::HistogramSet;

use super::Context;
use crate::calibrate::{CalibrateError, Job, read_model, saved, store};
use crate::evaluate::page::{self, Looked, Material};
use crate::evaluate::{Outcome, Trial, Wish};
use crate::fleet::{Calibration, Fleet, Model, Recipe};

/// Arguments of `report`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The model, by its name in the fleet file
    #[arg(value_name = "MODEL")]
    model: String,
    /// The file to write; beside the table with the ending `.html` by default
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Samples to evaluate with, at most
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    count: Option<u32>,
    /// Measure what each layer costs: alone in INT8, and everything but the costliest ones. It runs a network for each
    #[arg(long)]
    layers: bool,
}

/// How many samples are drawn in a page.
pub(super) const PICTURES: usize = 6;
/// How many tensors a page ranks: all that there are.
pub(super) const ALL: usize = usize::MAX;

/// Runs `report`.
pub fn run(args: &Args, context: &Context) -> anyhow::Result<ExitCode> {
    let fleet = Fleet::load(&context.config)?;
    let model = fleet.model(&args.model)?;
    let trial = Trial::new(model, args.count, &context.interrupt)?;
    if trial.seen {
        context.ui.warn(
            "all samples are those that calibration has seen: figures on others are likely to be worse",
        );
    }
    let wish = Wish { rank: ALL, pictures: PICTURES, layers: args.layers, rescue: None };
    let outcome = {
        let phase = context.ui.phase(&format!("evaluating {}", args.model));
        trial.run(&wish, &|step| phase.step(step))?
    };
    let output = args.output.clone().unwrap_or_else(|| trial.path.with_extension("html"));
    write_evaluated(&trial, model, &outcome, &output, context)?;
    context.ui.json(&serde_json::json!({ "report": output }))?;
    Ok(ExitCode::SUCCESS)
}

/// Writes the report of an evaluation.
///
/// # Errors
/// A table that has no provenance; files that cannot be read or written.
pub(super) fn write_evaluated(
    trial: &Trial,
    model: &Model,
    outcome: &Outcome,
    path: &Path,
    context: &Context,
) -> anyhow::Result<()> {
    let Some(sidecar) = &trial.sidecar else {
        let why = "a report is made of its provenance, and it has none".to_owned();
        return Err(CalibrateError::Foreign { path: trial.path.clone(), why }.into());
    };
    let recipe = match &model.calibration {
        Some(Calibration::Recipe(recipe)) => Some(&**recipe),
        _ => None,
    };
    let samples = match recipe {
        Some(recipe) => {
            let _phase = context.ui.phase("looking at the samples");
            Some(page::look(&trial.onnx, &Job::shapes_of(model), recipe, sidecar, &context.interrupt)?)
        }
        None => None,
    };
    let set = recipe.map_or(Ok(None), histograms)?;
    let material = Material {
        name: &file_name(&trial.path),
        table: &trial.table,
        sidecar,
        onnx: &trial.onnx,
        set: set.as_ref(),
        outcome: Some((outcome, &trial.classes)),
        samples: samples.as_ref(),
    };
    write(&material, path, context)
}

/// Writes the report of a calibration that nobody has held against FP32 yet.
///
/// # Errors
/// Files that cannot be read or written.
pub fn write_calibrated(onnx: &Path, recipe: &Recipe, path: &Path, context: &Context) -> anyhow::Result<()> {
    let failed = |source| CalibrateError::Model { path: onnx.to_owned(), source };
    let (_, model) = read_model(onnx).map_err(failed)?;
    let found = store::read(&recipe.output)?;
    let why = |why| CalibrateError::Foreign { path: recipe.output.clone(), why };
    let sidecar = found.sidecar.map_err(why)?;
    let samples: Looked = {
        let _phase = context.ui.phase("looking at the samples");
        page::look(&model, &sidecar.shapes, recipe, &sidecar, &context.interrupt)?
    };
    let set = histograms(recipe)?;
    let material = Material {
        name: &file_name(&recipe.output),
        table: &found.table,
        sidecar: &sidecar,
        onnx: &model,
        set: set.as_ref(),
        outcome: None,
        samples: Some(&samples),
    };
    write(&material, path, context)
}

/// The histograms, if they were kept.
fn histograms(recipe: &Recipe) -> Result<Option<HistogramSet>, CalibrateError> {
    recipe.histograms.as_deref().map_or(Ok(None), saved::find)
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn write(material: &Material<'_>, path: &Path, context: &Context) -> anyhow::Result<()> {
    let html = trt_report::html(&page::data(material)?);
    std::fs::write(path, html).with_context(|| format!("cannot write {}", path.display()))?;
    context.ui.say(format_args!("{} written", path.display()));
    Ok(())
}
