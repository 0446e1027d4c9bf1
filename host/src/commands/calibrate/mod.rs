//! `trt-deploy calibrate`.

mod single;

pub use single::{algorithm, entropy, overriding};

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use serde::Serialize;
use trt_dataset::Shard;
use trt_wire::Precision;

use self::single::Single;

use super::{Context, report};
use crate::calibrate::{self, CalibrateError, Job, Plan, Summary};
use crate::fleet::{Calibration, Fleet, Model};

/// Arguments of `calibrate`.
///
/// Without a fleet file, name a model with `--onnx`:
///
///   trt-deploy calibrate --onnx yolov8s.onnx --images photos/ --preprocess yolo
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Models of the fleet file; all INT8 models that have a calibration if none is named
    #[arg(value_name = "MODEL")]
    models: Vec<String>,
    /// Make tables anew, even those that are up to date, edited or made elsewhere
    #[arg(long)]
    force: bool,
    /// Print what would be done and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Count only every n-th sample, from the i-th on, into a file of histograms for `table merge`
    #[arg(long, value_name = "I/N", conflicts_with = "force")]
    shard: Option<Shard>,
    /// Go on with what an interrupted run has counted, if there is any
    #[arg(long, conflicts_with = "force")]
    resume: bool,
    /// Write a report of the calibration, of one model: one HTML file
    #[arg(long, value_name = "FILE", conflicts_with_all = ["dry_run", "shard"])]
    report: Option<PathBuf>,
    #[command(flatten)]
    single: Single,
}

/// Runs the verb.
pub fn run(args: &Args, context: &Context) -> anyhow::Result<ExitCode> {
    if let Some(onnx) = &args.single.onnx {
        let job = args.told(args.single.job(onnx, args.force)?);
        let recipe = job.recipe.clone();
        let plan = Plan::new(job, &context.interrupt)?;
        if args.dry_run {
            return dry_run(vec![plan], context);
        }
        let label = plan.summary().model;
        let outcome = args.run(plan, context);
        context.ui.json(&[match &outcome {
            Ok(summary) => Outcome::Ready(summary.clone().into()),
            Err(error) => Outcome::failure(&label, error),
        }])?;
        outcome?;
        if let Some(path) = &args.report {
            report::write_calibrated(onnx, &recipe, path, context)?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let fleet = Fleet::load(&context.config)?;
    let models: Vec<&Model> = match args.models.as_slice() {
        [] => int8_models(&fleet, context),
        names => names.iter().map(|name| fleet.model(name)).collect::<Result<_, _>>()?,
    };
    if models.is_empty() {
        context.ui.warn(format_args!("no INT8 model in {} has a `calibration`", fleet.path.display()));
    }
    if args.dry_run {
        let mut plans = Vec::new();
        for model in models {
            match &model.calibration {
                Some(Calibration::Recipe(recipe)) => {
                    let job = args.told(Job::of_fleet(model, recipe, args.force));
                    plans.push(Plan::new(job, &context.interrupt).with_context(|| failed(model))?);
                }
                Some(Calibration::Table(path)) => {
                    context.ui.print(format_args!("{}: use {} as it is", model.name, path.display()));
                }
                None => context.ui.print(format_args!("{}: no calibration", model.name)),
            }
        }
        return dry_run(plans, context);
    }
    anyhow::ensure!(args.report.is_none() || models.len() == 1, "`--report` is for one model: name it");
    let reported = models.clone();
    let mut results = Vec::new();
    for model in models {
        match args.calibrate(model, context) {
            Ok(summary) => results.push(Outcome::Ready(summary.into())),
            Err(error) => {
                results.push(Outcome::failure(model.name.as_str(), &error));
                context.ui.json(&results)?;
                return Err(error).with_context(|| failed(model));
            }
        }
    }
    context.ui.json(&results)?;
    if let (Some(path), [model]) = (&args.report, reported.as_slice()) {
        match &model.calibration {
            Some(Calibration::Recipe(recipe)) => {
                report::write_calibrated(&model.onnx, recipe, path, context)?;
            }
            _ => context.ui.warn("no report is written of a table made elsewhere"),
        }
    }
    Ok(ExitCode::SUCCESS)
}

impl Args {
    /// The wish with what is not the fleet file's to say.
    fn told(&self, job: Job) -> Job {
        Job { shard: self.shard, resume: self.resume, ..job }
    }

    fn run(&self, plan: Plan, context: &Context) -> Result<Summary, CalibrateError> {
        match self.shard {
            Some(_) => calibrate::run_shard(plan, &context.ui, &context.interrupt),
            None => calibrate::run(plan, &context.ui, &context.interrupt).map(|outcome| outcome.summary),
        }
    }

    fn calibrate(&self, model: &Model, context: &Context) -> Result<Summary, CalibrateError> {
        match &model.calibration {
            Some(Calibration::Recipe(recipe)) => {
                let job = self.told(Job::of_fleet(model, recipe, self.force));
                self.run(Plan::new(job, &context.interrupt)?, context)
            }
            _ => calibrate::ensure_table(model, &context.ui, &context.interrupt, self.force)
                .map(|outcome| outcome.summary),
        }
    }
}

/// What became of a model, for programs.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Outcome {
    Ready(Box<Summary>),
    Failed {
        model: String,
        error: String,
        hint: Option<String>,
        /// Every image that could not be decoded, and why, if these were too many.
        undecodable: Vec<String>,
    },
}

impl Outcome {
    fn failure(model: &str, error: &CalibrateError) -> Self {
        Self::Failed {
            model: model.to_owned(),
            error: error.to_string(),
            hint: error.hint(),
            undecodable: error.undecodable().to_vec(),
        }
    }
}

/// The models whose engines need a table. Says which calibrations nobody needs.
fn int8_models<'a>(fleet: &'a Fleet, context: &Context) -> Vec<&'a Model> {
    let calibrated = fleet.models.values().filter(|model| model.calibration.is_some());
    let (int8, others): (Vec<_>, Vec<_>) =
        calibrated.partition(|model| model.build.precision == Precision::Int8);
    for model in others {
        context.ui.say(format_args!(
            "{}: left out, since its precision is {}; `trt-deploy calibrate {0}` calibrates it all the same",
            model.name, model.build.precision
        ));
    }
    int8
}

fn failed(model: &Model) -> String {
    format!("calibration of {} failed", model.name)
}

/// Prints plans.
fn dry_run(plans: Vec<Plan>, context: &Context) -> anyhow::Result<ExitCode> {
    let plans: Vec<_> = plans.iter().map(Plan::summary).collect();
    for plan in &plans {
        let sides = |shape: &[u64]| shape.iter().map(u64::to_string).collect::<Vec<_>>().join("x");
        let inputs = plan.inputs.iter().map(|(name, shape)| format!("`{name}` {}", sides(shape)));
        let inputs = inputs.collect::<Vec<_>>().join(", ");
        context.ui.print(format_args!("{}: {} {}", plan.model, plan.action, plan.table.display()));
        plan.because.iter().for_each(|reason| context.ui.print(format_args!("  because: {reason}")));
        context.ui.print(format_args!(
            "  {} of {} samples, input {inputs}, {} activations, {}",
            plan.images, plan.available, plan.activations, plan.algorithm
        ));
        plan.not_finite_weights
            .iter()
            .for_each(|weight| context.ui.print(format_args!("  {}", calibrate::told_of(weight))));
    }
    context.ui.json(&plans)?;
    Ok(ExitCode::SUCCESS)
}
