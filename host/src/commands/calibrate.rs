//! `trt-deploy calibrate`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use serde::Serialize;
use trt_calib::Algorithm;
use trt_calib::table::TableVersion;
use trt_imaging::Preprocess;
use trt_wire::Precision;

use super::Context;
use crate::calibrate::{self, CalibrateError, Job, Plan, Shapes, Summary, TABLE_VERSION, TableOutcome};
use crate::fleet::{Calibration, Fleet, Images, Model};

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
    #[command(flatten)]
    single: Single,
}

/// A model without a fleet file.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Without a fleet file")]
struct Single {
    /// The model
    #[arg(long, value_name = "FILE", conflicts_with = "models", requires_all = ["images", "preprocess"])]
    onnx: Option<PathBuf>,
    /// Folder, glob or list of images; may be repeated
    #[arg(long, value_name = "WHERE", requires = "onnx")]
    images: Vec<String>,
    /// `imagenet`, `yolo`, `plain`, or keys as in the fleet file: `{size: 640, mean: 0.5, std: 0.5}`
    #[arg(long, value_name = "HOW", requires = "onnx", value_parser = preprocess)]
    preprocess: Option<Preprocess>,
    /// `entropy` or `minmax`
    #[arg(long, value_name = "NAME", requires = "onnx", value_parser = algorithm, default_value = "entropy")]
    algorithm: Algorithm,
    /// Shape to calibrate at, if the model leaves it open; may be repeated
    #[arg(long, value_name = "INPUT:1x3xHxW", requires = "onnx", value_parser = shape)]
    shape: Vec<(String, Vec<u64>)>,
    /// Images to use, at most
    #[arg(long, value_name = "N", requires = "onnx", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..))]
    count: u32,
    /// Which images, if there are more
    #[arg(long, value_name = "N", requires = "onnx", default_value_t = 0)]
    seed: u64,
    /// Images per run of the model
    #[arg(long, value_name = "N", requires = "onnx", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    batch: u32,
    /// Share of images that may be undecodable
    #[arg(long, value_name = "SHARE", requires = "onnx", default_value_t = 0.05, value_parser = share)]
    max_undecodable: f64,
    /// Activation to keep in higher precision, without a scale: a name, `*` in it for any text; may be repeated
    #[arg(long, value_name = "NAME", requires = "onnx")]
    keep: Vec<String>,
    /// The table; beside the model with the ending `.cache` by default
    #[arg(long, short, value_name = "FILE", requires = "onnx")]
    output: Option<PathBuf>,
}

/// Runs the verb.
pub fn run(args: &Args, context: &Context) -> anyhow::Result<ExitCode> {
    if let Some(onnx) = &args.single.onnx {
        let job = args.single.job(onnx, args.force)?;
        let plan = Plan::new(job, &context.interrupt)?;
        if args.dry_run {
            return dry_run(vec![plan], context);
        }
        let label = plan.summary().model;
        let outcome = calibrate::run(plan, &context.ui, &context.interrupt);
        context.ui.json(&[match &outcome {
            Ok(outcome) => Outcome::Ready(outcome.summary.clone().into()),
            Err(error) => Outcome::failure(&label, error),
        }])?;
        return Ok(outcome.map(|_| ExitCode::SUCCESS)?);
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
                Some(Calibration::Images(images)) => {
                    let job = Job::of_fleet(model, images, args.force)?;
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
    let mut results = Vec::new();
    for model in models {
        match calibrate::ensure_table(model, &context.ui, &context.interrupt, args.force) {
            Ok(TableOutcome { summary, .. }) => results.push(Outcome::Ready(summary.into())),
            Err(error) => {
                results.push(Outcome::failure(model.name.as_str(), &error));
                context.ui.json(&results)?;
                return Err(error).with_context(|| failed(model));
            }
        }
    }
    context.ui.json(&results)?;
    Ok(ExitCode::SUCCESS)
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
        let shape = plan.shape.iter().map(u64::to_string).collect::<Vec<_>>().join("x");
        context.ui.print(format_args!("{}: {} {}", plan.model, plan.action, plan.table.display()));
        plan.because.iter().for_each(|reason| context.ui.print(format_args!("  because: {reason}")));
        context.ui.print(format_args!(
            "  {} of {} images, input `{}` {shape}, {} activations, {}",
            plan.images, plan.available, plan.input, plan.activations, plan.algorithm
        ));
    }
    context.ui.json(&plans)?;
    Ok(ExitCode::SUCCESS)
}

impl Single {
    fn job(&self, onnx: &Path, force: bool) -> anyhow::Result<Job> {
        Ok(Job {
            model: String::new(),
            onnx: onnx.to_owned(),
            shapes: self.shape.iter().cloned().collect::<Shapes>(),
            images: Images::of_arguments(&self.images)?.list()?,
            count: self.count,
            seed: self.seed,
            batch: self.batch,
            algorithm: self.algorithm,
            preprocess: self.preprocess.clone().unwrap_or_default(),
            output: self.output.clone().unwrap_or_else(|| onnx.with_extension("cache")),
            version: TableVersion::from_raw(TABLE_VERSION).expect("a version that there was"),
            max_undecodable: self.max_undecodable,
            keep: self.keep.clone(),
            force,
        })
    }
}

fn preprocess(text: &str) -> Result<Preprocess, String> {
    let preprocess: Preprocess = serde_yaml::from_str(text).map_err(|error| error.to_string())?;
    preprocess.check().map_err(|error| error.to_string())?;
    Ok(preprocess)
}

fn algorithm(text: &str) -> Result<Algorithm, String> {
    text.parse().map_err(|error: trt_calib::CalibError| match error.hint() {
        Some(hint) => format!("{error}; {hint}"),
        None => error.to_string(),
    })
}

/// `input:1x3x640x640`; the input's name may hold colons itself.
fn shape(text: &str) -> Result<(String, Vec<u64>), String> {
    let (input, dims) = text.rsplit_once(':').ok_or("want `input:1x3x640x640`")?;
    let positive = |side: &str| side.parse().ok().filter(|side| *side > 0);
    let dims: Option<Vec<u64>> = dims.split('x').map(positive).collect();
    match dims {
        Some(dims) if !input.is_empty() => Ok((input.to_owned(), dims)),
        _ => Err("want `input:1x3x640x640`, with positive numbers".to_owned()),
    }
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "want a share from 0 to 1".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_is_an_input_and_positive_sides() {
        assert_eq!(shape("x:1x3x640x480"), Ok(("x".to_owned(), vec![1, 3, 640, 480])));
        assert_eq!(shape("input_1:0:1x3x8x8"), Ok(("input_1:0".to_owned(), vec![1, 3, 8, 8])));
        for wrong in ["x", ":1x3", "x:", "x:1x0", "x:1xy", "x:-1"] {
            assert!(shape(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn preprocessing_is_a_preset_or_keys() {
        assert!(preprocess("imagenet").is_ok());
        assert!(preprocess("{preset: yolo, size: 320}").is_ok());
        for wrong in ["imagnet", "{sizes: 3}", "{scale: 0}"] {
            assert!(preprocess(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_share_is_a_number_from_0_to_1() {
        assert_eq!(share("0.05"), Ok(0.05));
        assert!(["-0.1", "1.1", "nan", "x"].iter().all(|text| share(text).is_err()));
    }
}
