//! `trt-deploy evaluate` and `trt-deploy report`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use trt_evaluate::Target;

use super::Context;
use crate::calibrate::{CalibrateError, read_model, saved, store};
use crate::evaluate::page::{self, Material};
use crate::evaluate::{Outcome, Trial, Wish};
use crate::fleet::{Calibration, Fleet, Recipe};
use crate::ui::table;

/// Arguments of `evaluate`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The model, by its name in the fleet file
    #[arg(value_name = "MODEL")]
    model: String,
    /// Samples to use, at most
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    count: Option<u32>,
    /// Name the tensors that lose most: so many
    #[arg(long, value_name = "N", default_value_t = 0)]
    rank: usize,
    /// Find a small set of tensors to keep in higher precision so that this holds, such as `sqnr>=20` or `top1>=0.99`,
    /// and take their scales out of the table
    #[arg(long, value_name = "TARGET")]
    rescue: Option<Target>,
    /// Write pictures of what FP32 and INT8 find, side by side, into this folder
    #[arg(long, value_name = "FOLDER")]
    pictures: Option<PathBuf>,
    /// Write a report of calibration and evaluation: one HTML file
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

/// Arguments of `report`.
#[derive(Debug, clap::Args)]
pub struct ReportArgs {
    /// The model, by its name in the fleet file
    #[arg(value_name = "MODEL")]
    model: String,
    /// The file to write; beside the table with the ending `.html` by default
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Samples to evaluate with, at most
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    count: Option<u32>,
}

/// How many samples are drawn.
const PICTURES: usize = 8;
/// How many tensors a report ranks: all that there are.
const ALL: usize = usize::MAX;

/// Runs `evaluate`.
pub fn run(args: &Args, context: &Context) -> anyhow::Result<ExitCode> {
    let fleet = Fleet::load(&context.config)?;
    let model = fleet.model(&args.model)?;
    let trial = Trial::new(model, args.count, &context.interrupt)?;
    let ui = &context.ui;
    if trial.seen {
        ui.warn("all samples are those that calibration has seen: figures on others are likely to be worse");
    }
    let pictures = if args.pictures.is_some() { PICTURES } else { 0 };
    let rank = if args.report.is_some() { ALL } else { args.rank };
    let outcome = {
        let _phase = ui.phase(&format!("evaluating {}", args.model));
        trial.run(&Wish { rank, rescue: args.rescue, pictures })?
    };
    show(&outcome, args.rank, context);
    if let Some(folder) = &args.pictures {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot write {}", folder.display()))?;
        for (name, png) in &outcome.pictures {
            let path = folder.join(format!("{name}.png"));
            std::fs::write(&path, png).with_context(|| format!("cannot write {}", path.display()))?;
        }
        match outcome.pictures.len() {
            0 => ui.warn(
                "no picture was drawn: the samples are no images, or nobody knows what the outputs mean",
            ),
            count => ui.say(format_args!("{count} pictures written to {}", folder.display())),
        }
    }
    if let Some(rescue) = outcome.rescue.as_ref().filter(|rescue| !rescue.keep.is_empty()) {
        if rescue.reached {
            trial.keep(rescue)?;
            ui.say(format_args!("{} written without these scales", trial.path.display()));
        } else {
            ui.warn("the table stays as it is, since the target was not reached");
        }
    }
    if let Some(path) = &args.report {
        write_report(&trial, model.calibration.as_ref(), &outcome, path, context)?;
    }
    ui.json(&outcome)?;
    Ok(ExitCode::SUCCESS)
}

/// Runs `report`.
pub fn report(args: &ReportArgs, context: &Context) -> anyhow::Result<ExitCode> {
    let fleet = Fleet::load(&context.config)?;
    let model = fleet.model(&args.model)?;
    let trial = Trial::new(model, args.count, &context.interrupt)?;
    let outcome = {
        let _phase = context.ui.phase(&format!("evaluating {}", args.model));
        trial.run(&Wish { rank: ALL, ..Wish::default() })?
    };
    let output = args.output.clone().unwrap_or_else(|| trial.path.with_extension("html"));
    write_report(&trial, model.calibration.as_ref(), &outcome, &output, context)?;
    context.ui.json(&serde_json::json!({ "report": output }))?;
    Ok(ExitCode::SUCCESS)
}

fn write_report(
    trial: &Trial,
    calibration: Option<&Calibration>,
    outcome: &Outcome,
    path: &Path,
    context: &Context,
) -> anyhow::Result<()> {
    let Some(sidecar) = &trial.sidecar else {
        let why = "a report is made of its provenance, and it has none".to_owned();
        return Err(CalibrateError::Foreign { path: trial.path.clone(), why }.into());
    };
    let set = match calibration {
        Some(Calibration::Recipe(recipe)) => match &recipe.histograms {
            Some(path) => saved::find(path)?,
            None => None,
        },
        _ => None,
    };
    let name = trial.path.file_name().unwrap_or_default().to_string_lossy();
    let material = Material {
        name: &name,
        table: &trial.table,
        sidecar,
        onnx: &trial.onnx,
        set: set.as_ref(),
        evaluation: Some((&outcome.evaluation, &outcome.about)),
        ranking: &outcome.ranking,
    };
    write_page(&material, path, context)
}

/// Writes the report of a calibration that nobody has held against FP32 yet.
///
/// # Errors
/// Files that cannot be read or written.
pub fn report_calibration(
    onnx: &Path,
    recipe: &Recipe,
    path: &Path,
    context: &Context,
) -> anyhow::Result<()> {
    let failed = |source| CalibrateError::Model { path: onnx.to_owned(), source };
    let (_, model) = read_model(onnx).map_err(failed)?;
    let found = store::read(&recipe.output)?;
    let why = |why| CalibrateError::Foreign { path: recipe.output.clone(), why };
    let sidecar = found.sidecar.map_err(why)?;
    let set = match &recipe.histograms {
        Some(path) => saved::find(path)?,
        None => None,
    };
    let name = recipe.output.file_name().unwrap_or_default().to_string_lossy();
    let material = Material {
        name: &name,
        table: &found.table,
        sidecar: &sidecar,
        onnx: &model,
        set: set.as_ref(),
        evaluation: None,
        ranking: &[],
    };
    write_page(&material, path, context)
}

fn write_page(material: &Material<'_>, path: &Path, context: &Context) -> anyhow::Result<()> {
    let html = trt_report::html(&page::data(material));
    std::fs::write(path, html).with_context(|| format!("cannot write {}", path.display()))?;
    context.ui.say(format_args!("{} written", path.display()));
    Ok(())
}

fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or("-".to_owned(), |value| format!("{value:.digits$}"))
}

fn show(outcome: &Outcome, rank: usize, context: &Context) {
    let (ui, evaluation) = (&context.ui, &outcome.evaluation);
    outcome.because.iter().for_each(|why| ui.detail(format_args!("  {why}")));
    ui.print(format_args!(
        "{} samples, {}; FP32 on {}, INT8 on {}",
        evaluation.samples, outcome.about, evaluation.fp32_backend, evaluation.int8_backend
    ));
    for left_out in &evaluation.left_out {
        ui.warn(format_args!("left out: {}", left_out.why));
    }
    let mut grid = table(["OUTPUT", "CHANNELS", "COSINE", "SQNR", "LARGEST ERROR"]);
    for (output, group, figures) in evaluation.parts() {
        grid.add_row([
            output.to_owned(),
            group.unwrap_or("all").to_owned(),
            number(figures.cosine, 6),
            number(figures.sqnr, 2),
            number(figures.max_error, 4),
        ]);
    }
    ui.print(grid.trim_fmt());
    let percent =
        |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{:.2} %", 100.0 * value));
    for measure in page::measures(evaluation) {
        match measure.fp32 {
            Some(_) => ui.print(format_args!(
                "{}: FP32 {}, INT8 {}",
                measure.name,
                percent(measure.fp32),
                percent(measure.int8)
            )),
            None => ui.print(format_args!("{}: {}", measure.name, percent(measure.int8))),
        }
    }
    if rank > 0 {
        let mut grid = table(["TENSOR", "OPERATOR", "SQNR SO FAR", "OWN SQNR", "CLIPPED"]);
        for loss in outcome.ranking.iter().take(rank) {
            grid.add_row([
                loss.name.clone(),
                loss.op.clone().unwrap_or_default(),
                number(loss.accumulated.sqnr, 2),
                number(loss.own.as_ref().and_then(|own| own.sqnr), 2),
                percent(loss.clipped),
            ]);
        }
        ui.print(grid.trim_fmt());
    }
    if let Some(rescue) = &outcome.rescue {
        ui.print(format_args!(
            "{}: {} with {:.4} before and {:.4} after; {} of {} layers stay in INT8",
            rescue.target,
            if rescue.reached { "reached" } else { "not reached" },
            rescue.value_before,
            rescue.value_after,
            rescue.layers_after,
            rescue.layers_before
        ));
        rescue.keep.iter().for_each(|name| ui.print(format_args!("  keep `{name}`")));
        rescue.note.iter().for_each(|note| ui.say(format_args!("  {note}")));
    }
}
