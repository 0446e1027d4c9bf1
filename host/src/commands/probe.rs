//! `trt-deploy probe TARGET…`: what the agent knows about its device.

use std::process::ExitCode;

use serde::Serialize;
use trt_wire::{DeviceFacts, GpuSource, RuntimeName, Trtexec};

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
    /// A place to build in out of `runtimes` in the device's configuration, instead of its default one
    #[arg(long, value_name = "NAME")]
    runtime: Option<RuntimeName>,
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
        let answer = connect(device, args.targets.access, context)
            .and_then(|mut agent| agent.facts(args.runtime.as_ref()));
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
    ui.print(format_args!("{name}: {} ({})", facts.hostname, facts.arch));
    for (what, value) in lines(facts) {
        ui.print(format_args!("  {what:11} {value}"));
    }
}

/// What people want to know, in that order.
fn lines(facts: &DeviceFacts) -> Vec<(&'static str, String)> {
    let or = |value: &Option<String>, none: &str| value.clone().unwrap_or_else(|| none.to_owned());
    let mut lines = Vec::new();
    if let Some(runtime) = &facts.runtime {
        lines.push(("runtime", runtime.to_string()));
    }
    lines.push(("board", or(&facts.board, "no device tree: not a Jetson")));
    lines.push(("module", or(&facts.module, "none that is known")));
    lines.push(("SoC", or(&facts.soc, "not a Tegra")));
    lines.push(("L4T", or(&facts.l4t, "none")));
    if facts.l4t.is_some() {
        lines.push(("JetPack", or(&facts.jetpack, "none that is known to have this L4T")));
    }
    lines.push((
        "TensorRT",
        match &facts.tensorrt {
            Ok(found) if found.is_known => format!("{found} at {}", found.library),
            Ok(found) => format!("{found} at {}, which this agent does not know", found.library),
            Err(reason) => format!("not usable: {reason}"),
        },
    ));
    lines.push((
        "trtexec",
        match &facts.trtexec {
            Some(Trtexec { path, version: Some([major, minor, patch]) }) => {
                format!("{major}.{minor}.{patch} at {path}")
            }
            Some(Trtexec { path, version: None }) => format!("of unknown version at {path}"),
            None => "none".into(),
        },
    ));
    lines.push((
        "GPU",
        match &facts.gpu {
            Ok(gpu) => {
                let [major, minor] = gpu.compute_capability;
                let source = match gpu.source {
                    GpuSource::Driver => "",
                    GpuSource::Configuration => " (`build-for` of the agent's configuration)",
                };
                format!("{}, compute capability {major}.{minor}{source}", gpu.name)
            }
            Err(reason) => format!("unknown: {reason}"),
        },
    ));
    let cuda = facts.cuda_driver.map(|[major, minor]| format!("{major}.{minor}"));
    lines.push(("CUDA", or(&cuda, "no driver")));
    lines.push(("DLA cores", facts.dla_cores.to_string()));
    let clocks = match facts.clocks_pinned {
        Some(true) => ", clocks held at its highest",
        Some(false) => ", clocks follow the load",
        None => "",
    };
    lines.push(("power mode", format!("{}{clocks}", or(&facts.power_mode, "unknown"))));
    let (total, free) = (bytes(facts.memory_total), bytes(facts.memory_available));
    lines.push(("memory", format!("{free} of {total} available, {} of swap", bytes(facts.swap_total))));
    lines.push(("disk", format!("{} free for the agent", bytes(facts.disk_free))));
    lines.push(("agent", facts.agent_version.clone()));
    lines
}
