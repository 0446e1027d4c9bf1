//! `trt-deploy table coverage`.

use std::path::PathBuf;
use std::process::ExitCode;

use trt_onnx::demand;

use super::Context;
use crate::calibrate::{CalibrateError, derive, read_model, store};

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
    let sidecar = found.sidecar.as_ref().ok();
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
        let why = layer.not_int8.as_ref().map(ToString::to_string).unwrap_or_default();
        ui.print(format_args!("  {} ({}): {why}", layer.node, layer.op));
    }
    for value in demand.not_asked.iter().filter(|_| ui.is_verbose()) {
        ui.print(format_args!("  `{}` needs none: {}", value.name, value.because));
    }
    ui.json(&demand)?;
    Ok(ExitCode::SUCCESS)
}
