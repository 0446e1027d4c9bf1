//! `trt-deploy probe TARGET…`: what the agent knows about its device.

use std::collections::BTreeMap;
use std::process::ExitCode;

use trt_wire::DeviceFacts;

use super::targets::Targets;
use super::{Context, on_each};
use crate::device::connect;
use crate::fleet::Fleet;
use crate::ui::{Ui, bytes};

/// Arguments of `probe`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    targets: Targets,
}

/// Asks each device for its facts.
pub fn run(args: &Args, context: &Context) -> anyhow::Result<ExitCode> {
    let fleet = Fleet::load(&context.config)?;
    let devices = args.targets.chosen_or_all(&fleet)?;
    let mut all = BTreeMap::new();
    let code = on_each(devices, context, |device| {
        let facts = connect(device, args.targets.access, context)?.facts()?;
        show(&context.ui, &device.name, &facts);
        all.insert(device.name.as_str(), facts);
        Ok(())
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
            format!("{}, compute capability {major}.{minor}", gpu.name)
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
