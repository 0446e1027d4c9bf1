//! `trt-deploy rollback TARGET…`: back to an earlier release, whose engine is still on the device.

use std::process::ExitCode;

use serde::Serialize;
use trt_wire::ModelName;
use trt_wire::message::Intent;

use super::targets::Targets;
use super::{Context, Problem, on_each};
use crate::device::{DeviceError, RollBack, connect};
use crate::fleet::{Device, Fleet};

/// Arguments of `rollback`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    targets: Targets,
    /// Only this model; may be repeated
    #[arg(long, short, value_name = "MODEL")]
    model: Vec<String>,
    /// The release to go to, by the first digits of its id; the one before the active one if absent
    #[arg(long, value_name = "RELEASE")]
    to: Option<String>,
    /// Show what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
}

/// What was done to one model of one device, or would be; or what went wrong on the device.
#[derive(Debug, Serialize)]
struct Done<'a> {
    device: &'a str,
    model: Option<ModelName>,
    #[serde(flatten)]
    change: Option<RollBack>,
    error: Option<Problem>,
}

/// Rolls back on one device after the other.
pub fn run(args: &Args, context: &Context) -> anyhow::Result<ExitCode> {
    let fleet = Fleet::load(&context.config)?;
    let wanted = args.model.iter().map(|name| Ok(fleet.model(name)?.name.clone()));
    let wanted = wanted.collect::<anyhow::Result<Vec<_>>>()?;
    let devices = args.targets.chosen(&fleet)?;
    let mut done = Vec::new();
    let code = on_each(devices, context, |device| {
        let models = device.models.iter().filter(|name| wanted.is_empty() || wanted.contains(name));
        let result = roll_back(device, models, args, context, &mut done).map_err(anyhow::Error::from);
        if let Err(error) = &result {
            let error = Some(Problem::of(error));
            done.push(Done { device: &device.name, model: None, change: None, error });
        }
        result
    });
    context.ui.json(&done)?;
    Ok(code)
}

/// Looks at all models before it switches any: if one cannot go back, all stay.
fn roll_back<'a, 'm>(
    device: &'a Device,
    models: impl Iterator<Item = &'m ModelName>,
    args: &Args,
    context: &Context,
    done: &mut Vec<Done<'a>>,
) -> Result<(), DeviceError> {
    let mut agent = connect(device, args.targets.access, context)?;
    let looks = models.map(|model| Ok((model, agent.rollback(model, args.to.as_deref(), Intent::Look)?)));
    let looks = looks.collect::<Result<Vec<_>, DeviceError>>()?;
    let (device, ui) = (device.name.as_str(), &context.ui);
    for (model, look) in looks {
        let change = if args.dry_run {
            ui.print(format_args!("{device} {model}: would go from release {} to {}", look.from, look.to));
            look
        } else {
            let change = agent.rollback(model, args.to.as_deref(), Intent::Deploy)?;
            let RollBack { from, to, path } = &change;
            ui.print(format_args!("{device} {model}: release {to} is active again, instead of {from}"));
            ui.print(format_args!("  {path}"));
            change
        };
        done.push(Done { device, model: Some(model.clone()), change: Some(change), error: None });
    }
    Ok(())
}
