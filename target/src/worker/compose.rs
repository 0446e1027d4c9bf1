//! Prepares the graph for a TensorRT that takes precision from the graph itself.

use std::fs;
use std::path::PathBuf;

use trt_calib::CalibrationTable;
use trt_onnx::{Model, QuantOptions, QuantReport, quantize};
use trt_wire::worker::BuildJob;
use trt_wire::{Decision, Failure, FailureCode, QuantMode, Retry};

use super::failure;

/// What to parse, and what was decided on the way there.
#[derive(Debug)]
pub struct Composed {
    /// The ONNX to parse; the one that was shipped if nothing had to be composed.
    pub model: PathBuf,
    /// Nodes that got Q/DQ.
    pub quantized: u32,
    /// Nodes left in higher precision, and why.
    pub decisions: Vec<Decision>,
}

/// Inserts Q/DQ from the table if the plan says so.
///
/// The composed graph is written beside the model, because external data is found relative to its folder.
pub fn run(job: &BuildJob) -> Result<Composed, Failure> {
    if job.plan.convert_fp16 {
        return to_fp16(job);
    }
    if job.plan.mode != QuantMode::Explicit {
        return Ok(Composed { model: job.model.clone(), quantized: 0, decisions: Vec::new() });
    }
    let Some(table) = &job.table else {
        return Err(Failure::new(
            FailureCode::BadRequest,
            Retry::Never,
            "explicit quantization without a table",
        ));
    };
    let bytes = fs::read(table).map_err(|error| failure(FailureCode::Store, &error, None))?;
    let table = CalibrationTable::parse(&bytes)
        .map_err(|error| failure(FailureCode::BadModel, &error, error.hint()))?;
    let mut model = load(job)?;
    let scale = |name: &str| table.get(name.as_bytes());
    let report = quantize(&mut model, &scale, &QuantOptions::default())
        .map_err(|error| failure(FailureCode::BadModel, &error, error.hint()))?;
    let composed = save(job, &model)?;
    Ok(Composed { model: composed, quantized: report.quantized.len() as u32, decisions: decisions(&report) })
}

fn load(job: &BuildJob) -> Result<Model, Failure> {
    Model::load(&job.model).map_err(|error| failure(FailureCode::BadModel, &error, error.hint()))
}

fn save(job: &BuildJob, model: &Model) -> Result<PathBuf, Failure> {
    let composed = job.model.with_file_name(".composed.onnx");
    model.save(&composed).map_err(|error| failure(FailureCode::BadModel, &error, error.hint()))?;
    Ok(composed)
}

fn to_fp16(_job: &BuildJob) -> Result<Composed, Failure> {
    Err(Failure::new(FailureCode::Unplannable, Retry::Never, "unreachable until trt-onnx converts to FP16"))
}

fn decisions(report: &QuantReport) -> Vec<Decision> {
    let mut decisions = Vec::new();
    if let Some((from, to)) = report.opset_raised {
        decisions.push(Decision {
            what: format!("the graph is raised from opset {from} to {to}"),
            because: "scales per channel need opset 13".into(),
        });
    }
    decisions.extend(report.skipped.iter().map(|skipped| Decision {
        what: format!("{} `{}` stays in FP32", skipped.op, skipped.node),
        because: skipped.reason.clone(),
    }));
    decisions
}
