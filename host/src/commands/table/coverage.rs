//! `trt-deploy table coverage`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::json;
use trt_calib::Sidecar;
use trt_calib::set::HistogramSet;
use trt_onnx::demand;

use super::Context;
use crate::calibrate::{CalibrateError, Health, derive, folder_of, read_model, saved, store, why};

/// Arguments of `table coverage`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The table
    file: PathBuf,
    /// The model that it is for
    #[arg(long, value_name = "FILE")]
    onnx: PathBuf,
}

/// Runs the verb.
pub fn run(args: &Args, context: &Context) -> anyhow::Result<ExitCode> {
    let found = store::read(&args.file)?;
    let failed = |source| CalibrateError::Model { path: args.onnx.clone(), source };
    let (_, onnx) = read_model(&args.onnx).map_err(failed)?;
    let sidecar = found.sidecar.as_ref().ok().filter(|sidecar| sidecar.table == found.digest);
    let keep: Vec<String> =
        sidecar.map(|sidecar| [&sidecar.keep[..], &sidecar.rescued].concat()).unwrap_or_default();
    let scales = derive::scales(&found.table);
    let demand = demand(&onnx, &|name| scales.get(name).copied(), &keep);
    let ui = &context.ui;
    let missing: Vec<_> = demand.tensors.iter().filter(|tensor| tensor.missing.is_some()).collect();
    let without_int8: Vec<_> = demand.layers.iter().filter(|layer| layer.not_int8.is_some()).collect();
    ui.print(format_args!(
        "{} of {} activations that TensorRT wants a scale for have one",
        demand.tensors.len() - missing.len(),
        demand.tensors.len()
    ));
    for tensor in &missing {
        let recorded = sidecar.and_then(|sidecar| sidecar.without_scale.get(&tensor.name).cloned());
        let why = recorded.or(tensor.missing.as_ref().map(ToString::to_string)).unwrap_or_default();
        ui.print(format_args!("  `{}`: {why}", tensor.name));
    }
    ui.print(format_args!(
        "{} of {} layers may run in INT8",
        demand.layers.len() - without_int8.len(),
        demand.layers.len()
    ));
    for layer in &without_int8 {
        ui.print(format_args!("  {} ({}): {}", layer.node, layer.op, why(layer)));
    }
    for value in demand.not_asked.iter().filter(|_| ui.is_verbose()) {
        ui.print(format_args!("  `{}` needs none: {}", value.name, value.because));
    }
    let health = match sidecar {
        Some(sidecar) => Some(health(sidecar, &args.file, context)),
        None => {
            ui.say("what its ranges rest on is not known: the table has no provenance");
            None
        }
    };
    let mut value = serde_json::to_value(&demand)?;
    value["health"] = json!(health);
    ui.json(&value)?;
    Ok(ExitCode::SUCCESS)
}

/// What the ranges tell, with the histograms if they are still there.
fn health(sidecar: &Sidecar, table: &Path, context: &Context) -> Health {
    let ui = &context.ui;
    let set: Result<HistogramSet, String> = match &sidecar.histograms {
        Some(file) => {
            saved::read(&folder_of(table).join(file)).map_err(|error| error.to_string()).and_then(|set| {
                let (now, then) = (&set.provenance, sidecar);
                let same = now.model.hash == then.model.hash
                    && now.dataset.fingerprint == then.dataset.fingerprint
                    && now.preprocessing == then.preprocessing;
                if same {
                    Ok(set)
                } else {
                    Err(format!("`{file}` has the histograms of another calibration"))
                }
            })
        }
        None => Err("no histograms were kept".to_owned()),
    };
    if let Err(why) = &set {
        ui.say(format_args!("dead tensors and lone outliers are not looked for: {why}"));
    }
    let health = Health::of(&sidecar.tensors, set.as_ref().map_or(&[], |set| &set.tensors));
    health.print(ui);
    health
}
