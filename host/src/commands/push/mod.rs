//! `trt-deploy push TARGET…`: calibrate what is stale, then plan, ship, build and activate on each device.

pub mod report;

use std::process::ExitCode;
use std::time::Instant;

use trt_wire::message::{Action, Deployed, Event, Intent};
use trt_wire::{ModelName, Precision};

use super::{Context, connect, failed_devices};
use crate::bundle::{self, Bundle};
use crate::calibrate::{self, Job, TableOutcome};
use crate::device::{Access, Agent, Proposal};
use crate::fleet::{Calibration, Device, Fleet, Model, Selector};
use crate::ui::{Unit, bytes};
use report::{DeviceReport, ModelReport, Problem};

/// Arguments of `push`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Devices or groups of the fleet file
    #[arg(required_unless_present = "selector")]
    targets: Vec<String>,
    /// Devices with these labels: `key=value`, `key!=value`, joined by commas
    #[arg(long, short = 'l')]
    selector: Vec<Selector>,
    /// Only this model; may be repeated
    #[arg(long, short, value_name = "MODEL")]
    model: Vec<String>,
    /// Show what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Build even if the device has the engine
    #[arg(long)]
    rebuild: bool,
    #[command(flatten)]
    access: Access,
}

/// A model that is ready to be shipped.
struct Ready<'a> {
    model: &'a Model,
    bundle: Bundle,
}

/// Pushes to one device after the other; a device that fails does not keep the others from theirs.
pub fn run(args: &Args, context: &Context) -> anyhow::Result<ExitCode> {
    let fleet = Fleet::load(&context.config)?;
    let devices = fleet.select(&args.targets, &args.selector)?;
    let wanted = wanted(&fleet, args)?;
    let mut ready = Vec::new();
    for model in fleet.models.values() {
        let is_used = devices.iter().any(|device| device.models.contains(&model.name));
        if is_used && wanted.as_ref().is_none_or(|wanted| wanted.contains(&model.name)) {
            ready.push(prepare(model, args, context)?);
        }
    }
    let mut reports = Vec::new();
    let mut errors = Vec::new();
    for device in devices {
        context.interrupt.check()?;
        let mut report = DeviceReport::new(&device.name);
        let models = ready.iter().filter(|ready| device.models.contains(&ready.model.name));
        if let Err(error) = push(device, models, args, context, &mut report) {
            report.error = Some(Problem::of(&error));
            errors.push((device.name.as_str(), error));
        }
        reports.push(report);
    }
    context.ui.json(&reports)?;
    failed_devices(errors)
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
    let onnx = bundle::load(model)?;
    let outcome = match &model.calibration {
        Some(calibration) if model.precision == Precision::Int8 && !onnx.has_qdq() => {
            if args.dry_run {
                table_as_it_is(model, calibration, context)?
            } else {
                Some(calibrate::ensure_table(model, &context.ui, &context.interrupt, false)?)
            }
        }
        _ => None,
    };
    let table = outcome.as_ref().map(|outcome| (outcome.summary.table.as_path(), &outcome.table));
    Ok(Ready { model, bundle: Bundle::of(model, &onnx, table)? })
}

/// For a dry run: the table if it is up to date, else a word about what would be done first.
fn table_as_it_is(
    model: &Model,
    calibration: &Calibration,
    context: &Context,
) -> anyhow::Result<Option<TableOutcome>> {
    if let Calibration::Images(images) = calibration {
        let plan = calibrate::Plan::new(Job::of_fleet(model, images, false)?, &context.interrupt)?;
        let summary = plan.summary();
        if summary.action != "reuse" {
            let (table, because) = (summary.table.display(), summary.because.join("; "));
            context.ui.say(format_args!("{}: {table} would be made first: {because}", model.name));
            context.ui.say("  the device cannot plan INT8 without it; `trt-deploy calibrate` makes it");
            return Ok(None);
        }
    }
    Ok(Some(calibrate::ensure_table(model, &context.ui, &context.interrupt, false)?))
}

fn push<'a>(
    device: &Device,
    models: impl Iterator<Item = &'a Ready<'a>>,
    args: &Args,
    context: &Context,
    report: &mut DeviceReport,
) -> anyhow::Result<()> {
    let mut agent = connect(device, args.access, context)?;
    for ready in models {
        let mut model_report = ModelReport::new(&ready.model.name);
        let result = push_model(&mut agent, &device.name, ready, args, context, &mut model_report);
        report.models.push(model_report);
        result?;
    }
    report.traffic = agent.traffic();
    let traffic = &report.traffic;
    context.ui.detail(format_args!(
        "{}: {} sent, {} received, {} round trips",
        device.name,
        bytes(traffic.sent),
        bytes(traffic.received),
        traffic.round_trips
    ));
    Ok(())
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
    let proposal = agent.plan(&ready.bundle.manifest, intent, args.rebuild)?;
    report.plan(&proposal);
    report::show_plan(ui, device, &ready.model.name, &proposal);
    if args.dry_run || proposal.planned.action == Action::Nothing {
        return Ok(());
    }
    let planned = proposal.planned.plan.decisions.clone();
    let label = format!("{device} {}", ready.model.name);
    let deployed = carry_out(proposal, ready, &label, context, report)?;
    report::show_deployed(ui, device, &ready.model.name, &planned, &deployed);
    report.deployed = Some(deployed);
    Ok(())
}

fn carry_out(
    proposal: Proposal<'_>,
    ready: &Ready<'_>,
    label: &str,
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
    })?;
    Ok(deployed)
}
