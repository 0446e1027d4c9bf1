//! `trt-deploy status [TARGET…]`: what is active on each device.

use std::process::ExitCode;

use comfy_table::{Table, presets};
use serde::Serialize;
use trt_wire::message::{Busy, ModelStatus};

use super::push::report::verified;
use super::{Context, connect, failed_devices};
use crate::device::{Access, DeviceError};
use crate::fleet::{Device, Fleet, Selector};
use crate::ui::bytes;

/// Arguments of `status`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Devices or groups of the fleet file; all devices if none is named
    targets: Vec<String>,
    /// Devices with these labels: `key=value`, `key!=value`, joined by commas
    #[arg(long, short = 'l')]
    selector: Vec<Selector>,
    #[command(flatten)]
    access: Access,
}

#[derive(Debug, Serialize)]
struct DeviceStatus<'a> {
    device: &'a str,
    models: Vec<ModelStatus>,
    busy: Option<Busy>,
    error: Option<String>,
}

/// Asks each device; one that cannot be reached is shown as such.
pub fn run(args: &Args, context: &Context) -> anyhow::Result<ExitCode> {
    let fleet = Fleet::load(&context.config)?;
    let devices = super::select_or_all(&fleet, &args.targets, &args.selector)?;
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_header(["DEVICE", "MODEL", "RELEASE", "ENGINE", "TENSORRT", "VERIFIED"]);
    let mut all = Vec::new();
    let mut errors = Vec::new();
    for device in devices {
        context.interrupt.check()?;
        let (models, busy) = match ask(device, args.access, context) {
            Ok(answer) => answer,
            Err(error) => {
                table.add_row([device.name.as_str(), "-", "unreachable"]);
                let text = Some(error.to_string());
                all.push(DeviceStatus { device: &device.name, models: vec![], busy: None, error: text });
                errors.push((device.name.as_str(), error.into()));
                continue;
            }
        };
        if models.is_empty() {
            table.add_row([device.name.as_str(), "-", "no models"]);
        }
        models.iter().for_each(|model| add_row(&mut table, device, model));
        if let Some(Busy { who, seconds }) = &busy {
            context.ui.say(format_args!("{}: {who} has been deploying for {seconds} s", device.name));
        }
        all.push(DeviceStatus { device: &device.name, models, busy, error: None });
    }
    context.ui.print(table.trim_fmt());
    context.ui.json(&all)?;
    failed_devices(errors)
}

fn ask(
    device: &Device,
    access: Access,
    context: &Context,
) -> Result<(Vec<ModelStatus>, Option<Busy>), DeviceError> {
    connect(device, access, context)?.status()
}

fn add_row(table: &mut Table, device: &Device, model: &ModelStatus) {
    let name = model.model.to_string();
    let cells = match &model.current {
        Some(current) => [
            device.name.clone(),
            name,
            current.release.to_string(),
            format!("{} {}", current.precision, bytes(current.engine_bytes)),
            current.tensorrt.clone(),
            verified(&current.verify),
        ],
        None => [device.name.clone(), name, "none active".into(), "-".into(), "-".into(), "-".into()],
    };
    table.add_row(cells);
}
