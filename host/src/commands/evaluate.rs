//! `trt-deploy evaluate`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use trt_evaluate::Target;

use super::Context;
use super::report;
use crate::evaluate::page;
use crate::evaluate::{Outcome, Trial, Wish};
use crate::fleet::Fleet;
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
    /// Measure what each layer costs: alone in INT8, and everything but the costliest ones. It runs a network for each
    #[arg(long)]
    layers: bool,
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

/// How many samples are drawn.
const PICTURES: usize = 8;
/// How many layers are named.
const LAYERS: usize = 20;
/// How many classes are named.
const CLASSES: usize = 20;

/// Runs `evaluate`.
pub fn run(args: &Args, context: &Context) -> anyhow::Result<ExitCode> {
    let fleet = Fleet::load(&context.config)?;
    let model = fleet.model(&args.model)?;
    let trial = Trial::new(model, args.count, &context.interrupt)?;
    let ui = &context.ui;
    if trial.seen {
        ui.warn("all samples are those that calibration has seen: figures on others are likely to be worse");
    }
    let wish = Wish {
        rank: if args.report.is_some() { report::ALL } else { args.rank },
        rescue: args.rescue,
        pictures: match (&args.pictures, &args.report) {
            (Some(_), _) => PICTURES,
            (None, Some(_)) => report::PICTURES,
            (None, None) => 0,
        },
        layers: args.layers,
    };
    let outcome = {
        let phase = ui.phase(&format!("evaluating {}", args.model));
        trial.run(&wish, &|step| phase.step(step))?
    };
    show(&outcome, &trial.classes, args.rank, context);
    if let Some(folder) = &args.pictures {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot write {}", folder.display()))?;
        for drawn in &outcome.pictures {
            let path = folder.join(format!("{}.png", drawn.file));
            std::fs::write(&path, &drawn.png).with_context(|| format!("cannot write {}", path.display()))?;
        }
        match outcome.pictures.len() {
            0 => ui.warn(
                "no picture was drawn: the samples are no images, or nobody knows what the outputs mean (`detector` \
                 says it)",
            ),
            count => ui.say(format_args!("{count} pictures written to {}", folder.display())),
        }
    }
    if let Some(path) = &args.report {
        report::write_evaluated(&trial, model, &outcome, path, context)?;
    }
    if let Some(rescue) = outcome.rescue.as_ref().filter(|rescue| !rescue.keep.is_empty()) {
        if rescue.reached {
            trial.keep(rescue)?;
            ui.say(format_args!("{} written without these scales", trial.path.display()));
        } else {
            ui.warn("the table stays as it is, since the target was not reached");
        }
    }
    ui.json(&outcome)?;
    Ok(ExitCode::SUCCESS)
}

fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or("-".to_owned(), |value| format!("{value:.digits$}"))
}

fn show(outcome: &Outcome, names: &[String], rank: usize, context: &Context) {
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
    let classes = page::classes(evaluation, names);
    if !classes.is_empty() {
        ui.print(format_args!("{} of each class:", page::of_classes(evaluation)));
        let mut grid = table(["CLASS", "LABELLED", "FP32", "INT8"]);
        for class in classes.iter().take(CLASSES) {
            grid.add_row([
                class.name.clone(),
                class.labelled.to_string(),
                percent(class.fp32),
                percent(class.int8),
            ]);
        }
        ui.print(grid.trim_fmt());
        if classes.len() > CLASSES {
            ui.say(format_args!("and {} more (`--json` and `--report` have all)", classes.len() - CLASSES));
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
    if !outcome.layers.is_empty() {
        let mut grid = table(["LAYER", "OPERATOR", "SQNR ALONE", "SQNR WITHOUT IT"]);
        for loss in outcome.layers.iter().take(LAYERS) {
            let alone = number(Some(loss.only), 2);
            grid.add_row([loss.node.clone(), loss.op.clone(), alone, number(loss.without, 2)]);
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
