//! `trt-deploy status [TARGET…]`: what is active on each device.

use std::process::ExitCode;

use serde::Serialize;
use trt_wire::message::{Busy, ModelStatus, VerifyOutcome};

use super::targets::Targets;
use super::{Context, Problem, on_each};
use crate::device::{DeviceError, connect};
use crate::fleet::Fleet;
use crate::ui::{bytes, table};

/// Arguments of `status`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    targets: Targets,
}

#[derive(Debug, Serialize)]
struct DeviceStatus<'a> {
    device: &'a str,
    models: Vec<ModelStatus>,
    busy: Option<Busy>,
    error: Option<Problem>,
}

/// Asks each device; one that does not answer has its row, too.
pub fn run(args: &Args, context: &Context) -> anyhow::Result<ExitCode> {
    let fleet = Fleet::load(&context.config)?;
    let devices = args.targets.chosen_or_all(&fleet)?;
    let mut table = table(["DEVICE", "MODEL", "RELEASE", "ENGINE", "TENSORRT", "VERIFIED"]);
    let mut all = Vec::new();
    let code = on_each(devices, context, |device| {
        let name = device.name.as_str();
        let answer = connect(device, args.targets.access, context).and_then(|mut agent| agent.status());
        let (models, busy) = match answer {
            Ok(answer) => answer,
            Err(DeviceError::Interrupted(interrupted)) => return Err(interrupted.into()),
            Err(error) => {
                table.add_row([name, "-", error.in_a_word()]);
                let error = error.into();
                let problem = Some(Problem::of(&error));
                all.push(DeviceStatus { device: name, models: vec![], busy: None, error: problem });
                return Err(error);
            }
        };
        if models.is_empty() {
            table.add_row([name, "-", "no models"]);
        }
        for model in &models {
            table.add_row(row(name, model));
            for decision in model.current.iter().flat_map(|current| &current.decisions) {
                context.ui.detail(format_args!("{name} {}: {decision}", model.model));
            }
            if let Some(problem) = &model.problem {
                context.ui.warn(format_args!("{name} {}: {problem}", model.model));
            }
        }
        if let Some(Busy { who, seconds }) = &busy {
            context.ui.say(format_args!("{name}: {who} has been deploying for {seconds} s"));
        }
        all.push(DeviceStatus { device: name, models, busy, error: None });
        Ok(())
    });
    if !table.is_empty() {
        context.ui.print(table.trim_fmt());
    }
    context.ui.json(&all)?;
    Ok(code)
}

fn row(device: &str, model: &ModelStatus) -> Vec<String> {
    let (device, name) = (device.to_owned(), model.model.to_string());
    match &model.current {
        Some(current) => vec![
            device,
            name,
            current.release.to_string(),
            match current.quantized {
                0 => format!("{} {}", current.precision, bytes(current.engine_bytes)),
                nodes => format!("{} ({nodes} nodes) {}", current.precision, bytes(current.engine_bytes)),
            },
            current.tensorrt.clone(),
            // The reason is told by `push` and by `--json`.
            match current.verify {
                VerifyOutcome::NotVerified { .. } => "NOT VERIFIED".into(),
            },
        ],
        None if model.problem.is_some() => vec![device, name, "unreadable".into()],
        None => vec![device, name, "none active".into()],
    }
}
