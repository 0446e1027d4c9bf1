//! `trt-deploy fleet validate`.

use std::process::ExitCode;

use clap::Subcommand;
use serde::Serialize;

use super::Context;
use crate::exit::Exit;
use crate::fleet::{Finding, Fleet, Level};

/// Arguments of `fleet`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Check the fleet file and every file that it names; no device is contacted
    ///
    /// Errors are what makes a calibration or a push fail; they give exit code 6. Warnings alone give 0. A file that is
    /// no fleet file at all (YAML that cannot be parsed, unknown keys) gives 2.
    Validate,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Outcome<'a> {
    models: usize,
    devices: usize,
    groups: usize,
    findings: &'a [Finding],
}

/// Runs the verb.
pub fn run(args: &Args, context: &Context) -> anyhow::Result<ExitCode> {
    match args.verb {
        Verb::Validate => validate(context),
    }
}

fn validate(context: &Context) -> anyhow::Result<ExitCode> {
    let (fleet, problems) = Fleet::load_all(&context.config)?;
    let mut findings: Vec<Finding> = problems.iter().map(Finding::from).collect();
    // What is missing from an incomplete fleet says nothing about its files.
    if findings.is_empty() {
        findings = fleet.findings();
    }
    let ui = &context.ui;
    for finding in &findings {
        ui.print(finding);
    }
    let errors = findings.iter().filter(|finding| finding.level == Level::Error).count();
    ui.print(format_args!(
        "{}: {}, {}, {}; {}, {}",
        context.config.display(),
        plural(fleet.models.len(), "model"),
        plural(fleet.devices.len(), "device"),
        plural(fleet.groups.len(), "group"),
        plural(errors, "error"),
        plural(findings.len() - errors, "warning"),
    ));
    ui.json(&Outcome {
        models: fleet.models.len(),
        devices: fleet.devices.len(),
        groups: fleet.groups.len(),
        findings: &findings,
    })?;
    Ok(if errors > 0 { Exit::Findings.into() } else { ExitCode::SUCCESS })
}

fn plural(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}
