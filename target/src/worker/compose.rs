//! Prepares the graph for a TensorRT that takes precision from the graph itself.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use nvinfer::{Product, Version};
use trt_calib::CalibrationTable;
use trt_onnx::{Fp16Report, Model, OnnxError, QuantOptions, QuantReport, Skipped, quantize, to_fp16};
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

/// Inserts Q/DQ from the table, or converts to FP16, if the plan says so.
///
/// The composed graph is written beside the model, because external data is found relative to its folder.
pub fn run(job: &BuildJob, version: Version) -> Result<Composed, Failure> {
    let mut model = match (job.plan.convert_fp16, job.plan.mode) {
        (true, _) | (_, QuantMode::Explicit) => Model::load(&job.model).map_err(bad_model)?,
        _ => return Ok(Composed { model: job.model.clone(), quantized: 0, decisions: Vec::new() }),
    };
    let (quantized, decisions) = if job.plan.convert_fp16 {
        let report = to_fp16(&mut model).map_err(bad_model)?;
        (0, fp16_decisions(&report))
    } else {
        insert_qdq(&mut model, job, version)?
    };
    let composed = job.model.with_file_name(".composed.onnx");
    model.save(&composed).map_err(bad_model)?;
    Ok(Composed { model: composed, quantized, decisions })
}

fn insert_qdq(model: &mut Model, job: &BuildJob, version: Version) -> Result<(u32, Vec<Decision>), Failure> {
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
    let scale = |name: &str| table.get(name.as_bytes());
    let compact = version.product == Product::Rtx;
    let mut decisions = Vec::new();
    let first = if compact { QuantOptions::rtx() } else { QuantOptions::default() };
    let report = match quantize(model, &scale, &first) {
        Err(OnnxError::NothingQuantized { .. }) if compact => {
            decisions.push(Decision {
                what: "every node that can be is quantized, although the engine may grow".into(),
                because: format!("no node is large enough for INT8 to make an engine of {version} smaller"),
            });
            quantize(model, &scale, &QuantOptions::default()).map_err(bad_model)?
        }
        other => other.map_err(bad_model)?,
    };
    decisions.extend(quant_decisions(&report));
    Ok((report.quantized.len() as u32, decisions))
}

fn bad_model(error: OnnxError) -> Failure {
    failure(FailureCode::BadModel, &error, error.hint())
}

fn quant_decisions(report: &QuantReport) -> Vec<Decision> {
    let mut decisions = opset_raised(report.opset_raised);
    let (quantized, all) = (report.quantized.len(), report.quantized.len() + report.skipped.len());
    decisions.push(Decision {
        what: format!("{quantized} of {all} nodes that could be quantized run in INT8"),
        because: match report.skipped.len() {
            0 => "the table has their scales".into(),
            left => format!("the other {left} stay in FP32 for reasons of their own"),
        },
    });
    decisions.extend(left_in_fp32(&report.skipped));
    decisions
}

fn fp16_decisions(report: &Fp16Report) -> Vec<Decision> {
    let mut decisions = opset_raised(report.opset_raised);
    decisions.extend(left_in_fp32(&report.kept));
    decisions
}

fn opset_raised(raised: Option<(i64, i64)>) -> Vec<Decision> {
    let decision = |(from, to)| Decision {
        what: format!("the graph is raised from opset {from} to {to}"),
        because: "its new nodes need that".into(),
    };
    raised.map(decision).into_iter().collect()
}

/// One decision for all nodes with the same operator and reason.
fn left_in_fp32(skipped: &[Skipped]) -> Vec<Decision> {
    let mut groups: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for Skipped { node, op, reason } in skipped {
        groups.entry((op, reason)).or_default().push(node);
    }
    let decision = |((op, reason), nodes): ((&str, &str), Vec<&str>)| Decision {
        what: match nodes[..] {
            [node] => format!("{op} {node} stays in FP32"),
            _ => format!("{} {op} nodes stay in FP32 ({})", nodes.len(), nodes.join(", ")),
        },
        because: reason.to_owned(),
    };
    groups.into_iter().map(decision).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_left_alone_for_one_reason_make_one_decision() {
        let skipped = |node: &str, reason: &str| Skipped {
            node: node.into(),
            op: "Conv".into(),
            reason: reason.into(),
        };
        let all =
            [skipped("`a`", "no scale for `x`"), skipped("`b`", "depthwise"), skipped("`c`", "depthwise")];
        let texts: Vec<String> = left_in_fp32(&all).iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "2 Conv nodes stay in FP32 (`b`, `c`), because depthwise",
                "Conv `a` stays in FP32, because no scale for `x`"
            ]
        );
    }
}
