//! `trt-deploy table`: tables, and the histograms that they come from.

mod coverage;
mod sets;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use serde::Serialize;
use serde_json::json;
use trt_calib::sidecar::ModelSource;
use trt_calib::table::{Severity, diff, lint};
use trt_calib::{CalibrationTable, Digest};

use super::Context;
use crate::calibrate::{self, CalibrateError, Fit, folder_of, hash_external, read_model, store};
use crate::exit::Exit;
use crate::ui::table;

/// Arguments of `table`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Print a table in numbers
    Show {
        /// The table
        file: PathBuf,
        /// Only tensors whose names contain this
        #[arg(long, value_name = "TEXT")]
        name: Option<String>,
    },
    /// Look for what TensorRT would reject or misuse; exit code 6 if there are errors
    Check {
        /// The table
        file: PathBuf,
        /// The model that it is for
        #[arg(long, value_name = "FILE")]
        onnx: Option<PathBuf>,
        /// Exit code 6 for warnings too
        #[arg(long)]
        strict: bool,
    },
    /// List what TensorRT wants a scale for, what lacks one and why, and which layers will not be INT8
    Coverage(coverage::Args),
    /// Put the histograms of shards together
    Merge(sets::MergeArgs),
    /// Make a table from histograms, without running the model
    Derive(Box<sets::DeriveArgs>),
    /// Show the histogram of a tensor, or what histograms were made from
    Histogram(sets::HistogramArgs),
    /// Compare two tables; exit code 6 if scales differ
    Diff {
        /// A table
        a: PathBuf,
        /// Another
        b: PathBuf,
    },
}

/// Runs the verb.
pub fn run(args: &Args, context: &Context) -> anyhow::Result<ExitCode> {
    match &args.verb {
        Verb::Show { file, name } => show(file, name.as_deref().unwrap_or_default(), context),
        Verb::Check { file, onnx, strict } => check(file, onnx.as_deref(), *strict, context),
        Verb::Coverage(args) => coverage::run(args, context),
        Verb::Merge(args) => sets::merge(args, context),
        Verb::Derive(args) => sets::derive(args, context),
        Verb::Histogram(args) => sets::histogram(args, context),
        Verb::Diff { a, b } => compare(a, b, context),
    }
}

/// One line of `table show`.
#[derive(Debug, Serialize)]
struct Line {
    name: String,
    /// The scale as the table writes it.
    hex: String,
    /// The scale; `null` for one that is no number in JSON.
    scale: f32,
    /// The magnitude that 127 stands for.
    amax: f32,
}

fn show(file: &Path, part: &str, context: &Context) -> anyhow::Result<ExitCode> {
    let found = store::read(file)?;
    let lines: Vec<Line> = lines(&found.table).filter(|line| line.name.contains(part)).collect();
    let header = found.table.header();
    let release = header.version().map(|version| version.to_string());
    let ui = &context.ui;
    ui.print(match &release {
        Some(release) => format!("{header} (TensorRT {release})"),
        None => format!("{header} (legacy calibrator, without a version)"),
    });
    let mut grid = table(["TENSOR", "HEX", "SCALE", "AMAX"]);
    for line in &lines {
        grid.add_row([&line.name, &line.hex, &line.scale.to_string(), &line.amax.to_string()]);
    }
    if !lines.is_empty() {
        ui.print(grid.trim_fmt());
    }
    ui.print(format_args!("{} of {} entries", lines.len(), found.table.entries().len()));
    ui.json(&json!({
        "header": header.to_string(),
        "tensorrt": release,
        "entries": lines,
        "provenance": found.sidecar.ok(),
    }))?;
    Ok(ExitCode::SUCCESS)
}

fn lines(table: &CalibrationTable) -> impl Iterator<Item = Line> + '_ {
    table.entries().iter().map(|entry| Line {
        name: entry.name.to_string(),
        hex: format!("{:x}", entry.scale_bits),
        scale: entry.scale(),
        amax: entry.scale() * 127.0,
    })
}

/// One finding of `table check`.
#[derive(Debug, Serialize)]
struct Finding {
    severity: &'static str,
    text: String,
}

fn check(file: &Path, onnx: Option<&Path>, strict: bool, context: &Context) -> anyhow::Result<ExitCode> {
    let found = store::read(file)?;
    let mut findings: Vec<Finding> = lint(&found.table)
        .iter()
        .map(|lint| finding(if lint.severity == Severity::Error { ERROR } else { WARNING }, lint.to_string()))
        .collect();
    let mut share = None;
    if let Some(path) = onnx {
        let failed = |source| CalibrateError::Model { path: path.to_owned(), source };
        let (bytes, model) = read_model(path).map_err(failed)?;
        let fit = Fit::of(&found.table, &model.activations(), model.initializers());
        let cover = &fit.coverage;
        share = Some(cover.share());
        if fit.is_other_model() {
            findings.push(finding(ERROR, format!("it belongs to another model: {}", fit.figures())));
        } else {
            let why = found.sidecar.as_ref().ok().map(|sidecar| &sidecar.without_scale);
            let tell = |name: &String| match why.and_then(|why| why.get(name)) {
                Some(why) => format!("activation `{name}` has no scale: {why}"),
                None => format!("activation `{name}` has no scale"),
            };
            findings.extend(cover.missing.iter().map(|name| finding(WARNING, tell(name))));
            let stale = |name| finding(WARNING, format!("`{name}` is no activation of the model"));
            findings.extend(cover.stale.iter().map(stale));
        }
        if let Ok(sidecar) = &found.sidecar {
            let external = hash_external(folder_of(path), &model.external_files())?;
            let now = ModelSource { file: String::new(), hash: Digest::of(&bytes), external };
            findings.extend(
                calibrate::provenance(sidecar, &now, found.digest)
                    .into_iter()
                    .map(|text| finding(ERROR, text)),
            );
        }
    } else if let Ok(sidecar) = &found.sidecar
        && sidecar.table != found.digest
    {
        findings.push(finding(ERROR, "it is not the table that was written with its `.json`".to_owned()));
    }
    let errors = findings.iter().filter(|finding| finding.severity == ERROR).count();
    let ui = &context.ui;
    findings.iter().for_each(|finding| ui.print(format_args!("{}: {}", finding.severity, finding.text)));
    if let Err(why) = &found.sidecar {
        ui.say(format_args!("{}: what it was made from is not known: {why}", file.display()));
    }
    let covered =
        share.map_or(String::new(), |share| format!(", {:.1} % of the model's activations", 100.0 * share));
    ui.print(format_args!(
        "{}: {} entries{covered}; {}",
        file.display(),
        found.table.entries().len(),
        match (errors, findings.len() - errors) {
            (0, 0) => "no findings".to_owned(),
            (errors, warnings) => format!("errors: {errors}, warnings: {warnings}"),
        }
    ));
    ui.json(&json!({ "findings": findings, "coverage": share, "provenance": found.sidecar.is_ok() }))?;
    let passes = if strict { findings.is_empty() } else { errors == 0 };
    Ok(if passes { ExitCode::SUCCESS } else { Exit::Findings.into() })
}

/// TensorRT would reject or misuse the table.
const ERROR: &str = "error";
/// Probably not what was meant.
const WARNING: &str = "warning";

fn finding(severity: &'static str, text: String) -> Finding {
    Finding { severity, text }
}

fn compare(a: &Path, b: &Path, context: &Context) -> anyhow::Result<ExitCode> {
    let difference = diff(&store::read(a)?.table, &store::read(b)?.table);
    let ui = &context.ui;
    if let Some((a, b)) = &difference.headers {
        ui.print(format_args!("header: {a} -> {b}"));
    }
    let only = |path: &Path, names: &[trt_calib::table::TensorName]| {
        names.iter().for_each(|name| ui.print(format_args!("only in {}: `{name}`", path.display())));
    };
    only(a, &difference.only_in_a);
    only(b, &difference.only_in_b);
    for change in &difference.changed {
        ui.print(format_args!("`{}`: {} -> {} (x {:.4})", change.name, change.a, change.b, change.ratio));
    }
    ui.print(format_args!(
        "{} scales are the same, {} differ, {} only in {}, {} only in {}",
        difference.unchanged,
        difference.changed.len(),
        difference.only_in_a.len(),
        a.display(),
        difference.only_in_b.len(),
        b.display()
    ));
    let names =
        |names: &[trt_calib::table::TensorName]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    let changed = difference.changed.iter().map(|change| {
        json!({ "name": change.name.to_string(), "a": change.a, "b": change.b, "ratio": change.ratio })
    });
    ui.json(&json!({
        "headers": difference.headers.as_ref().map(|(a, b)| [a.to_string(), b.to_string()]),
        "only_in_a": names(&difference.only_in_a),
        "only_in_b": names(&difference.only_in_b),
        "changed": changed.collect::<Vec<_>>(),
        "unchanged": difference.unchanged,
    }))?;
    Ok(if difference.same_scales() { ExitCode::SUCCESS } else { Exit::Findings.into() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interrupt::Interrupt;
    use crate::ui::Ui;

    fn code(verb: Verb) -> ExitCode {
        let (ui, interrupt) = (Ui::new(false, 0, true), Interrupt::default());
        let context = Context { config: PathBuf::new(), ui, interrupt };
        run(&Args { verb }, &context).unwrap()
    }

    #[test]
    fn exit_codes_tell_scripts_what_was_found() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let good = write("good", "TRT-8601-EntropyCalibration2\na: 3c010204\n");
        let moved = write("moved", "TRT-100300-EntropyCalibration2\na: 3c010204\n");
        let other = write("other", "TRT-8601-EntropyCalibration2\na: 3d418306\n");
        let odd = write("odd", "TRT-8601-EntropyCalibration2\na: 7fc00000\n");
        let mask = write("mask", "TRT-8601-EntropyCalibration2\na: 7f800000\n");
        let check = |file: &PathBuf, strict| code(Verb::Check { file: file.clone(), onnx: None, strict });
        assert_eq!(check(&good, true), ExitCode::SUCCESS);
        assert_eq!(check(&odd, false), Exit::Findings.into());
        assert_eq!(check(&mask, false), ExitCode::SUCCESS, "a warning is no error");
        assert_eq!(check(&mask, true), Exit::Findings.into());
        let diff = |a: &PathBuf, b: &PathBuf| code(Verb::Diff { a: a.clone(), b: b.clone() });
        assert_eq!(diff(&good, &moved), ExitCode::SUCCESS, "a header is no scale");
        assert_eq!(diff(&good, &other), Exit::Findings.into());
        assert_eq!(code(Verb::Show { file: odd, name: Some("absent".into()) }), ExitCode::SUCCESS);
    }

    #[test]
    fn a_line_shows_the_magnitude_that_127_stands_for() {
        let table = CalibrationTable::parse(b"TRT-8601-EntropyCalibration2\nrelu6:0: 3d418306\n").unwrap();
        let line = lines(&table).next().unwrap();
        assert_eq!((line.name.as_str(), line.hex.as_str()), ("relu6:0", "3d418306"));
        assert!((line.amax - 6.0).abs() < 1e-6);
    }
}
