//! `trt-deploy push TARGET…`: calibrate what is stale, then plan, ship, build and activate on each device.

pub mod report;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context as _;
use trt_wire::message::{Action, Deployed, Event, Intent};
use trt_wire::{ModelName, Precision};

use super::targets::Targets;
use super::{Context, Problem, on_each};
use crate::bundle::{self, Bundle};
use crate::calibrate::{self, Job};
use crate::device::{Agent, Proposal, Wish, connect};
use crate::fleet::{Calibration, Device, Fleet, ImageCalibration, Model};
use crate::ui::{Unit, bytes};
use report::{DeviceReport, ModelReport, Told};

/// Arguments of `push`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    targets: Targets,
    /// Only this model; may be repeated
    #[arg(long, short, value_name = "MODEL")]
    model: Vec<String>,
    /// Show what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Build even if the device has the engine
    #[arg(long)]
    rebuild: bool,
}

/// A model that is ready to be shipped.
struct Ready<'a> {
    model: &'a Model,
    bundle: Bundle,
    /// In a dry run: the table is not there, and would be made first.
    table_promised: Option<String>,
}

/// Pushes to one device after the other; a device that fails does not keep the others from theirs.
pub fn run(args: &Args, context: &Context) -> anyhow::Result<ExitCode> {
    let fleet = Fleet::load(&context.config)?;
    let devices = args.targets.chosen(&fleet)?;
    let wanted = wanted(&fleet, args)?;
    let mut ready = Vec::new();
    for model in fleet.models.values() {
        let is_used = devices.iter().any(|device| device.models.contains(&model.name));
        if is_used && wanted.as_ref().is_none_or(|wanted| wanted.contains(&model.name)) {
            ready.push(prepare(model, args, context)?);
        }
    }
    let mut reports = Vec::new();
    let code = on_each(devices, context, |device| {
        let mut report = DeviceReport::new(&device.name);
        let models = ready.iter().filter(|ready| device.models.contains(&ready.model.name));
        let result = push(device, models, args, context, &mut report);
        report.error = result.as_ref().err().map(Problem::of);
        reports.push(report);
        result
    });
    context.ui.json(&reports)?;
    Ok(code)
}

fn wanted(fleet: &Fleet, args: &Args) -> anyhow::Result<Option<Vec<ModelName>>> {
    if args.model.is_empty() {
        return Ok(None);
    }
    let names = args.model.iter().map(|name| Ok(fleet.model(name)?.name.clone()));
    names.collect::<anyhow::Result<Vec<_>>>().map(Some)
}

/// Makes the calibration table if the model needs one that is not there, and hashes what is to be shipped.
fn prepare<'a>(model: &'a Model, args: &Args, context: &Context) -> anyhow::Result<Ready<'a>> {
    let onnx = bundle::load(&model.onnx)?;
    bundle::check(model, &onnx)?;
    let calibration = model.calibration.as_ref().filter(|_| model.build.precision == Precision::Int8);
    let table_promised = match calibration {
        Some(Calibration::Images(images)) if args.dry_run => would_calibrate(model, images, context)?,
        _ => None,
    };
    let ensure = || calibrate::ensure_table(model, &context.ui, &context.interrupt, false);
    let outcome = calibration.filter(|_| table_promised.is_none()).map(|_| ensure()).transpose()?;
    Ok(Ready { model, bundle: Bundle::of(model, &onnx, outcome.as_ref())?, table_promised })
}

/// The algorithm of the table if a push would have to make it first; it says so.
fn would_calibrate(
    model: &Model,
    images: &ImageCalibration,
    context: &Context,
) -> anyhow::Result<Option<String>> {
    let plan = calibrate::Plan::new(Job::of_fleet(model, images, false)?, &context.interrupt)?;
    let summary = plan.summary();
    let stale = summary.action != "reuse";
    if stale {
        let (table, because) = (summary.table.display(), summary.because.join("; "));
        context.ui.say(format_args!("{}: {table} would be made first: {because}", model.name));
    }
    Ok(stale.then(|| images.algorithm.table_algorithm().word().to_owned()))
}

fn push<'a>(
    device: &Device,
    mut models: impl Iterator<Item = &'a Ready<'a>>,
    args: &Args,
    context: &Context,
    report: &mut DeviceReport,
) -> anyhow::Result<()> {
    let mut agent = connect(device, args.targets.access, context)?;
    let result = models.try_for_each(|ready| {
        context.interrupt.check()?;
        let mut model_report = ModelReport::new(&ready.model.name, ready.table_promised.is_some());
        let result = push_model(&mut agent, &device.name, ready, args, context, &mut model_report);
        report.models.push(model_report);
        result.with_context(|| format!("model `{}`", ready.model.name))
    });
    report.traffic = agent.traffic();
    let traffic = &report.traffic;
    context.ui.detail(format_args!(
        "{}: {} sent, {} received, {} round trips",
        device.name,
        bytes(traffic.sent),
        bytes(traffic.received),
        traffic.round_trips
    ));
    result
}

fn push_model(
    agent: &mut Agent,
    device: &str,
    ready: &Ready<'_>,
    args: &Args,
    context: &Context,
    report: &mut ModelReport,
) -> anyhow::Result<()> {
    let ui = &context.ui;
    let intent = if args.dry_run { Intent::Look } else { Intent::Deploy };
    let wish = Wish { intent, rebuild: args.rebuild, table_promised: ready.table_promised.clone() };
    let proposal = agent.plan(&ready.bundle.manifest, wish)?;
    report.plan(&proposal);
    report::show_plan(ui, device, &ready.model.name, &proposal, ready.table_promised.is_some());
    if args.dry_run || proposal.planned.action == Action::Nothing {
        return Ok(());
    }
    let label = format!("{device} {}", ready.model.name);
    let mut told = Told::planned(ui, &proposal.planned.plan.decisions);
    let deployed = carry_out(proposal, ready, &label, &mut told, context, report)?;
    if context.interrupt.is_raised() {
        ui.say(format_args!("{label}: too late to cancel: release {} is active", deployed.release));
    }
    report::show_deployed(ui, device, &ready.model.name, told, &deployed);
    report.deployed = Some(deployed);
    Ok(())
}

fn carry_out(
    proposal: Proposal<'_>,
    ready: &Ready<'_>,
    label: &str,
    told: &mut Told<'_>,
    context: &Context,
    report: &mut ModelReport,
) -> anyhow::Result<Deployed> {
    let ui = &context.ui;
    let total = proposal.upload_bytes();
    let started = Instant::now();
    let staged = {
        let bar = (total > 0).then(|| ui.bar(&format!("{label} upload"), total, Unit::Bytes));
        let progress = |sent| bar.iter().for_each(|bar| bar.set(sent));
        proposal.upload(&ready.bundle.sources, progress)?
    };
    report.upload_ms = Some(started.elapsed().as_millis() as u64);
    let mut phase = None;
    let deployed = staged.deploy(|event| match event {
        Event::Phase { phase: next } => {
            phase.take();
            phase = Some(ui.phase(&format!("{label} {}", report::phase_word(next))));
        }
        Event::Step { name } => {
            if let Some(phase) = &phase {
                phase.step(&name);
            }
        }
        Event::Log { severity, text } if severity == "error" => {
            ui.say(format_args!("{label}: TensorRT: {text}"))
        }
        Event::Log { text, .. } => ui.detail(format_args!("{label}: TensorRT: {text}")),
        Event::Decision { decision } => told.tell(&format!("{label}: "), &decision),
    })?;
    Ok(deployed)
}
