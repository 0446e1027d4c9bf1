//! `trt-deploy push TARGET…`: calibrate what is stale, then plan, ship, build and activate on each device.

pub mod report;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context as _;
use trt_wire::message::{Action, Deployed, Event, Intent};
use trt_wire::{ModelName, Precision};

use super::targets::Targets;
use super::{Context, Problem, on_each_telling, tell, worse};
use crate::bundle::{self, Bundle};
use crate::calibrate::{self, Job};
use crate::device::{Agent, DeviceError, Proposal, Wish, connect};
use crate::exit::{self, Exit};
use crate::fleet::{Calibration, Device, Fleet, Model, Recipe};
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
            ready.push(prepare(model, args, context).inspect_err(|error| {
                if exit::is_interrupted(error) {
                    context.ui.say("no device was contacted yet");
                }
            })?);
        }
    }
    let mut reports = Vec::new();
    let code = on_each_telling(devices, context, |device| {
        let models: Vec<_> = ready.iter().filter(|ready| device.models.contains(&ready.model.name)).collect();
        let mut push = Push { device, args, context, report: DeviceReport::new(&device.name), failed: None };
        push.run(&models);
        reports.push(push.report);
        push.failed
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
        Some(Calibration::Recipe(recipe)) if args.dry_run => would_calibrate(model, recipe, context)?,
        _ => None,
    };
    let ensure = || calibrate::ensure_table(model, &context.ui, &context.interrupt, false);
    let outcome = calibration.filter(|_| table_promised.is_none()).map(|_| ensure()).transpose()?;
    Ok(Ready { model, bundle: Bundle::of(model, &onnx, outcome.as_ref())?, table_promised })
}

/// The algorithm of the table if a push would have to make it first; it says so.
fn would_calibrate(model: &Model, recipe: &Recipe, context: &Context) -> anyhow::Result<Option<String>> {
    let plan = calibrate::Plan::new(Job::of_fleet(model, recipe, false), &context.interrupt)?;
    let summary = plan.summary();
    let stale = summary.action != "reuse";
    if stale {
        let (table, because) = (summary.table.display(), summary.because.join("; "));
        context.ui.say(format_args!("{}: {table} would be made first: {because}", model.name));
    }
    Ok(stale.then(|| summary.header.clone()))
}

/// A push to one device, on its way.
struct Push<'a> {
    device: &'a Device,
    args: &'a Args,
    context: &'a Context,
    report: DeviceReport,
    /// The worst of what was told so far.
    failed: Option<Exit>,
}

impl Push<'_> {
    /// Pushes one model after the other. A model that fails keeps no other one from its turn; a connection that fails does,
    /// and Ctrl-C.
    fn run(&mut self, models: &[&Ready<'_>]) {
        let mut rest = models.iter().copied();
        loop {
            let result = self.connected(&mut rest);
            let not_tried = rest.clone().map(|ready| ready.model.name.clone());
            match result {
                Ok(()) if rest.len() == 0 => break,
                // The connection is of no use any more, and the next model gets one of its own.
                Ok(()) => {}
                Err(error) => {
                    self.report.not_tried = not_tried.collect();
                    self.tell(error);
                    break;
                }
            }
        }
        let names: Vec<&str> = self.report.not_tried.iter().map(ModelName::as_str).collect();
        if !names.is_empty() {
            self.context.ui.say(format_args!("{}: not tried: {}", self.device.name, names.join(", ")));
        }
        let traffic = &self.report.traffic;
        self.context.ui.detail(format_args!(
            "{}: {} sent, {} received, {} round trips",
            self.device.name,
            bytes(traffic.sent),
            bytes(traffic.received),
            traffic.round_trips
        ));
    }

    /// Pushes as many models as one connection serves.
    ///
    /// # Errors
    /// What concerns the connection, so that no other model need be tried. What concerns a model is told.
    fn connected<'a>(
        &mut self,
        rest: &mut impl ExactSizeIterator<Item = &'a Ready<'a>>,
    ) -> anyhow::Result<()> {
        let Context { ui, interrupt, .. } = self.context;
        let name = &self.device.name;
        let mut agent =
            connect(self.device, self.args.targets.access, self.context).inspect_err(|error| {
                if matches!(error, DeviceError::Interrupted(_)) {
                    ui.say(format_args!("{name}: interrupted while connecting"));
                }
            })?;
        let mut result = Ok(());
        while interrupt.check().is_ok() {
            let Some(ready) = rest.next() else { break };
            let model = &ready.model.name;
            let mut report = ModelReport::new(model, ready.table_promised.is_some());
            let pushed = push_model(&mut agent, name, ready, self.args, self.context, &mut report);
            let is_uploading = report.is_uploading();
            let failure = pushed.with_context(|| format!("model `{model}`")).err();
            report.error = failure.as_ref().map(Problem::of);
            if failure.as_ref().is_some_and(exit::is_interrupted) {
                ui.say(format_args!("{name} {model}: {}", report.interrupted(agent.has_cancelled())));
            }
            self.report.models.push(report);
            match failure {
                None => {}
                Some(error) if is_of_connection(&error) => {
                    result = Err(error);
                    break;
                }
                Some(error) => {
                    self.tell(error);
                    if is_uploading {
                        break;
                    }
                }
            }
        }
        self.report.add(agent.traffic());
        match rest.len() {
            0 => result,
            _ => result.and_then(|()| Ok(interrupt.check()?)),
        }
    }

    fn tell(&mut self, error: anyhow::Error) {
        self.report.error.get_or_insert_with(|| Problem::of(&error));
        self.failed = worse(self.failed, tell(self.device, error));
    }
}

/// Whether an error says that nothing else will work on this connection either.
fn is_of_connection(error: &anyhow::Error) -> bool {
    match error.downcast_ref::<DeviceError>() {
        Some(DeviceError::Damaged { .. } | DeviceError::Confused { .. } | DeviceError::Interrupted(_)) => {
            true
        }
        Some(error) => error.is_unreachable(),
        None => exit::is_interrupted(error),
    }
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
