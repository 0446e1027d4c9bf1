//! `trt-deploy rollback TARGET…`: back to an earlier release, whose engine is still on the device.

use std::process::ExitCode;

use serde::Serialize;
use trt_wire::message::ModelStatus;
use trt_wire::{ModelName, ReleaseId};

use super::{Context, connect, failed_devices};
use crate::device::{Access, Agent};
use crate::fleet::{Device, Fleet, Selector};

/// Arguments of `rollback`.
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
    /// The release to go to, by the first digits of its id; the one before the active one if absent
    #[arg(long, value_name = "RELEASE")]
    to: Option<String>,
    /// Show what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    access: Access,
}

/// What was done to one model of one device.
#[derive(Debug, Serialize)]
struct Done<'a> {
    device: &'a str,
    model: ModelName,
    from: Option<ReleaseId>,
    to: Option<String>,
    path: String,
}

/// Rolls back on one device after the other.
pub fn run(args: &Args, context: &Context) -> anyhow::Result<ExitCode> {
    let fleet = Fleet::load(&context.config)?;
    let wanted = args.model.iter().map(|name| Ok(fleet.model(name)?.name.clone()));
    let wanted = wanted.collect::<anyhow::Result<Vec<_>>>()?;
    let mut done = Vec::new();
    let mut errors = Vec::new();
    for device in fleet.select(&args.targets, &args.selector)? {
        context.interrupt.check()?;
        let models = device.models.iter().filter(|name| wanted.is_empty() || wanted.contains(name));
        if let Err(error) = roll_back(device, models, args, context, &mut done) {
            errors.push((device.name.as_str(), error));
        }
    }
    context.ui.json(&done)?;
    failed_devices(errors)
}

fn roll_back<'a, 'm>(
    device: &'a Device,
    models: impl Iterator<Item = &'m ModelName>,
    args: &Args,
    context: &Context,
    done: &mut Vec<Done<'a>>,
) -> anyhow::Result<()> {
    let mut agent = connect(device, args.access, context)?;
    for model in models {
        let (device, ui) = (device.name.as_str(), &context.ui);
        if args.dry_run {
            let status = status_of(&mut agent, model)?;
            let from =
                status.as_ref().and_then(|status| status.current.as_ref()).map(|current| current.release);
            let previous = status.as_ref().and_then(|status| status.previous).map(|id| id.to_string());
            let to = args.to.clone().or(previous);
            let way = |id: Option<String>| id.unwrap_or_else(|| "none".into());
            ui.print(format_args!(
                "{device} {model}: would go from {} to {}",
                way(from.map(|id| id.to_string())),
                way(to.clone())
            ));
            let path = status.map_or_else(String::new, |status| status.path);
            done.push(Done { device, model: model.clone(), from, to, path });
            continue;
        }
        let (from, to, path) = agent.rollback(model, args.to.as_deref())?;
        ui.print(format_args!("{device} {model}: release {to} is active again, instead of {from}"));
        ui.print(format_args!("  {path}"));
        done.push(Done { device, model: model.clone(), from: Some(from), to: Some(to.full()), path });
    }
    Ok(())
}

fn status_of(agent: &mut Agent, model: &ModelName) -> anyhow::Result<Option<ModelStatus>> {
    let (models, _) = agent.status()?;
    Ok(models.into_iter().find(|status| status.model == *model))
}
