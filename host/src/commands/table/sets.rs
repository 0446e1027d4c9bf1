//! `trt-deploy table merge|derive|histogram`: what is done with saved histograms.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use serde_json::{Value, json};
use trt_calib::set::HistogramSet;
use trt_calib::sidecar::Propagate;
use trt_calib::table::TableVersion;
use trt_calib::{Algorithm, EntropyParams, Method};
use trt_onnx::Propagation;
use trt_report::plot::{self, Look};
use trt_report::{TensorReport, terminal};

use super::Context;
use crate::calibrate::{
    self, CalibrateError, Facts, TABLE_VERSION, derive, keep, model_source, params, read_model, saved,
    shared, store,
};
use crate::commands::calibrate::{algorithm, entropy, overriding};
use crate::fleet::nearest;

/// Arguments of `table merge`.
#[derive(Debug, clap::Args)]
pub struct MergeArgs {
    /// Files of histograms, as `calibrate --shard` writes them
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The file to write
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
}

/// Arguments of `table derive`.
#[derive(Debug, clap::Args)]
pub struct DeriveArgs {
    /// The histograms
    histograms: PathBuf,
    /// The table to write, with its `.json` beside it
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    /// The model, which says what tensors share a scale
    #[arg(long, value_name = "FILE")]
    onnx: Option<PathBuf>,
    /// What shares a scale with what it comes from: `copies`, as in every TensorRT, `all` (concats and slices too), or `none`
    #[arg(long, value_name = "WHAT", default_value_t)]
    propagate: Propagate,
    /// `entropy`, `entropy1`, `minmax`, `mse`, `percentile[:P]` or `legacy[:Q:C]`
    #[arg(long, value_name = "NAME", value_parser = algorithm, default_value = "entropy")]
    algorithm: Algorithm,
    /// The entropy search: a preset (`tensorrt`, `migacz`, `pytorch-quantization`, `ncnn`), or keys as in the fleet file: `stride=2,levels=128`
    #[arg(long, value_name = "HOW", value_parser = entropy)]
    entropy: Option<EntropyParams>,
    /// An algorithm for the tensors of this name, `*` in it for any text; may be repeated
    #[arg(long = "override", value_name = "NAME=ALGORITHM", value_parser = overriding)]
    overrides: Vec<(String, Algorithm)>,
    /// Activation to keep in higher precision, without a scale: a name, `*` in it for any text; may be repeated
    #[arg(long, value_name = "NAME")]
    keep: Vec<String>,
    /// Replace a table that is in the way
    #[arg(long)]
    force: bool,
}

/// Arguments of `table histogram`.
#[derive(Debug, clap::Args)]
pub struct HistogramArgs {
    /// The histograms
    histograms: PathBuf,
    /// The tensor; without one, what the histograms were made from
    tensor: Option<String>,
    /// Write a picture too
    #[arg(long, value_name = "FILE", requires = "tensor")]
    png: Option<PathBuf>,
}

/// Runs `table merge`.
pub fn merge(args: &MergeArgs, context: &Context) -> anyhow::Result<ExitCode> {
    let sets = args.files.iter().map(|file| saved::read(file)).collect::<Result<Vec<_>, _>>()?;
    let unusable =
        |source| CalibrateError::Histograms { path: args.output.clone(), source: Box::new(source) };
    let merged = HistogramSet::merge(sets).map_err(unusable)?;
    saved::write(&args.output, &merged)?;
    let ui = &context.ui;
    let missing: Vec<String> = merged
        .provenance
        .missing_shards()
        .iter()
        .map(|shard| format!("{}/{}", shard.index, shard.of))
        .collect();
    if !missing.is_empty() {
        ui.warn(format_args!(
            "no table can be made of them yet; shards that are missing: {}",
            missing.join(", ")
        ));
    }
    ui.say(format_args!(
        "{} written: {} tensors of {} samples",
        args.output.display(),
        merged.tensors.len(),
        merged.provenance.dataset.count
    ));
    ui.json(&json!({ "histograms": args.output, "provenance": merged.provenance, "missing": missing }))?;
    Ok(ExitCode::SUCCESS)
}

/// Runs `table derive`.
pub fn derive(args: &DeriveArgs, context: &Context) -> anyhow::Result<ExitCode> {
    let set = saved::read(&args.histograms)?;
    let unfit =
        |why: &str| CalibrateError::OtherHistograms { path: args.histograms.clone(), why: why.to_owned() };
    if !set.provenance.missing_shards().is_empty() {
        return Err(unfit("shards are missing").into());
    }
    let propagation = match &args.onnx {
        Some(path) => {
            let failed = |source| CalibrateError::Model { path: path.clone(), source };
            let (bytes, onnx) = read_model(path).map_err(failed)?;
            let now = model_source(path, &bytes, &onnx)?;
            let made = &set.provenance.model;
            if (now.hash, &now.external) != (made.hash, &made.external) {
                return Err(unfit("they were counted in another model, or another version of it").into());
            }
            shared(&onnx, args.propagate)
        }
        None if args.propagate == Propagate::None => Propagation::default(),
        None => anyhow::bail!(
            "what shares a scale is in the model: name it with `--onnx`, or add `--propagate none`"
        ),
    };
    let names: Vec<&str> = set.tensors.iter().map(|tensor| tensor.name.as_str()).collect();
    let patterns = args.overrides.iter().cloned().collect();
    let overrides = derive::overrides(&patterns, &names)
        .map_err(|pattern| CalibrateError::Override { pattern: pattern.to_owned() })?;
    let keep = keep::among(&args.keep, names.iter().copied()).map_err(CalibrateError::Keep)?;
    let without = derive::without(&keep, &[]);
    let choices = derive::Choices {
        algorithm: args.algorithm,
        overrides: &overrides,
        entropy: args.entropy.unwrap_or_default(),
        propagation: &propagation,
        without: &without,
        version: TableVersion::from_raw(TABLE_VERSION).expect("a version that there was"),
        memo: None,
    };
    let derived = choices.derive(&set)?;
    let bytes = derived.table.write();
    let replaced = in_the_way(args, context)?;
    let takes =
        args.algorithm.takes_entropy_params() || overrides.values().any(|own| own.takes_entropy_params());
    let facts = Facts {
        algorithm: args.algorithm,
        overrides: overrides.clone(),
        params: params(takes, choices.entropy)?,
        propagate: args.propagate,
        keep: &keep,
        rescued: Vec::new(),
        auto: Value::Null,
        evaluation: Value::Null,
        histograms: Some(&args.histograms),
    };
    let sidecar = calibrate::sidecar(facts, &set, &derived, &bytes, &args.output);
    store::write(&args.output, &bytes, &sidecar, replaced)?;
    let ui = &context.ui;
    ui.say(format_args!("{} written: {} scales", args.output.display(), derived.table.entries().len()));
    ui.json(&json!({ "table": args.output, "entries": derived.table.entries().len(),
        "without_scale": derived.without_scale, "propagated": derived.propagated }))?;
    Ok(ExitCode::SUCCESS)
}

/// The table that goes. One that was not made here, or was edited, stays without `--force`.
fn in_the_way(args: &DeriveArgs, context: &Context) -> Result<Option<trt_calib::Digest>, CalibrateError> {
    if args.force || !args.output.exists() {
        return Ok(None);
    }
    let found = store::read(&args.output)?;
    match &found.sidecar {
        Err(why) => Err(CalibrateError::Foreign { path: args.output.clone(), why: why.clone() }),
        Ok(sidecar) if sidecar.table != found.digest => {
            Err(CalibrateError::Edited { path: args.output.clone() })
        }
        Ok(sidecar) => {
            if !sidecar.rescued.is_empty() {
                context.ui.warn(format_args!(
                    "what was rescued was found for the old table; `trt-deploy evaluate --rescue` finds it anew: {}",
                    sidecar.rescued.join(", ")
                ));
            }
            Ok(Some(found.digest))
        }
    }
}

/// Runs `table histogram`.
pub fn histogram(args: &HistogramArgs, context: &Context) -> anyhow::Result<ExitCode> {
    let set = saved::read(&args.histograms)?;
    let ui = &context.ui;
    let Some(name) = &args.tensor else {
        ui.print(serde_json::to_string_pretty(&set.provenance)?);
        ui.json(&set.provenance)?;
        return Ok(ExitCode::SUCCESS);
    };
    let Some(counts) = set.get(name) else {
        let names: Vec<String> = set.tensors.iter().map(|tensor| tensor.name.clone()).collect();
        let meant = nearest(name, &names).map_or(String::new(), |meant| format!("; did you mean `{meant}`?"));
        anyhow::bail!("there is no such tensor in {}: `{name}`{meant}", args.histograms.display());
    };
    let mut tensor = TensorReport::new(name.clone(), counts);
    for algorithm in Algorithm::candidates() {
        if let Ok(threshold) = Method::from(algorithm).threshold(counts) {
            let (text, value) = (algorithm.to_string(), threshold.value);
            tensor = tensor.with_threshold(&text, value, algorithm == Algorithm::default(), counts);
        }
    }
    let stdout = std::io::stdout();
    let width = stdout.is_terminal().then(|| comfy_table::Table::new().width().map_or(80, usize::from));
    let style = terminal::Style::of(width, |name| std::env::var(name).ok());
    ui.print(terminal::histogram(&tensor, &style).trim_end());
    if let Some(path) = &args.png {
        let png = plot::png(&plot::histogram(&tensor, Look::Light), 2.0)?;
        std::fs::write(path, png).with_context(|| format!("cannot write {}", path.display()))?;
        ui.say(format_args!("{} written", path.display()));
    }
    ui.json(&tensor)?;
    Ok(ExitCode::SUCCESS)
}
