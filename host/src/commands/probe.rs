//! `trt-deploy probe TARGET…`: what the agent knows about its device.

use std::process::ExitCode;

use serde::Serialize;
use trt_wire::{DeviceFacts, GpuSource};

use super::targets::Targets;
use super::{Context, Problem, on_each};
use crate::device::connect;
use crate::fleet::Fleet;
use crate::ui::{Ui, bytes};

/// Arguments of `probe`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    targets: Targets,
}

/// One device, as `--json` has it.
#[derive(Debug, Serialize)]
struct DeviceProbe<'a> {
    device: &'a str,
    facts: Option<DeviceFacts>,
    error: Option<Problem>,
}

/// Asks each device for its facts.
pub fn run(args: &Args, context: &Context) -> anyhow::Result<ExitCode> {
    let fleet = Fleet::load(&context.config)?;
    let devices = args.targets.chosen_or_all(&fleet)?;
    let mut all = Vec::new();
    let code = on_each(devices, context, |device| {
        let answer = connect(device, args.targets.access, context).and_then(|mut agent| agent.facts());
        let answer = answer.map_err(anyhow::Error::from);
        let error = answer.as_ref().err().map(Problem::of);
        let facts = answer.as_ref().ok().cloned();
        facts.iter().for_each(|facts| show(&context.ui, &device.name, facts));
        all.push(DeviceProbe { device: &device.name, facts, error });
        answer.map(drop)
    });
    context.ui.json(&all)?;
    Ok(code)
}

fn show(ui: &Ui, name: &str, facts: &DeviceFacts) {
    let or = |value: &Option<String>, none: &str| value.clone().unwrap_or_else(|| none.to_owned());
    ui.print(format_args!("{name}: {} ({})", facts.hostname, facts.arch));
    ui.print(format_args!("  board     {}", or(&facts.board, "no device tree: not a Jetson")));
    ui.print(format_args!("  L4T       {}", or(&facts.l4t, "none")));
    let tensorrt = match &facts.tensorrt {
        Ok(found) => format!("{found} at {}", found.library),
        Err(reason) => format!("not usable: {reason}"),
    };
    ui.print(format_args!("  TensorRT  {tensorrt}"));
    let gpu = match &facts.gpu {
        Ok(gpu) => {
            let [major, minor] = gpu.compute_capability;
            let source = match gpu.source {
                GpuSource::Driver => "",
                GpuSource::Configuration => " (`build-for` of the agent's configuration)",
            };
            format!("{}, compute capability {major}.{minor}{source}", gpu.name)
        }
        Err(reason) => format!("unknown: {reason}"),
    };
    ui.print(format_args!("  GPU       {gpu}"));
    let cuda = facts.cuda_driver.map(|[major, minor]| format!("{major}.{minor}"));
    ui.print(format_args!("  CUDA      {}", or(&cuda, "no driver")));
    let (total, free) = (bytes(facts.memory_total), bytes(facts.memory_available));
    ui.print(format_args!("  memory    {free} of {total} available"));
    ui.print(format_args!("  disk      {} free for the agent", bytes(facts.disk_free)));
    ui.print(format_args!("  agent     {}", facts.agent_version));
}
