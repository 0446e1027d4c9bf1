//! Prepares the graph for a TensorRT that takes precision from the graph itself.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use nvinfer::{Product, Version};
use trt_calib::CalibrationTable;
use trt_onnx::{Model, OnnxError, QuantOptions, Skipped, quantize, to_fp16};
use trt_wire::worker::BuildJob;
use trt_wire::{Decision, Failure, FailureCode, QuantMode, Retry};

use super::failure;

/// What to parse, and what was decided on the way there.
#[derive(Debug, Default)]
pub struct Composed {
    /// The ONNX to parse; the one that was shipped if nothing had to be composed.
    pub model: PathBuf,
    /// Nodes that got Q/DQ.
    pub quantized: u32,
    /// Nodes left in higher precision, and why, in few words.
    pub decisions: Vec<Decision>,
    /// The same with every node, for the log.
    pub notes: Vec<String>,
}

/// A decision names this many nodes; the log names all.
const NODES_SHOWN: usize = 12;

/// Inserts Q/DQ from the table, or converts to FP16, if the plan says so.
///
/// The composed graph is written beside the model, because external data is found relative to its folder.
pub fn run(job: &BuildJob, version: Version) -> Result<Composed, Failure> {
    let mut model = match (job.plan.convert_fp16, job.plan.mode) {
        (true, _) | (_, QuantMode::Explicit) => Model::load(&job.model).map_err(bad_model)?,
        _ => return Ok(Composed { model: job.model.clone(), ..Composed::default() }),
    };
    let mut composed = if job.plan.convert_fp16 {
        let report = to_fp16(&mut model).map_err(bad_model)?;
        Composed { decisions: opset_raised(report.opset_raised), ..Composed::default() }
            .left_in_fp32(&report.kept)
    } else {
        insert_qdq(&mut model, job, version)?
    };
    composed.model = job.model.with_file_name(".composed.onnx");
    model.save(&composed.model).map_err(bad_model)?;
    Ok(composed)
}

fn insert_qdq(model: &mut Model, job: &BuildJob, version: Version) -> Result<Composed, Failure> {
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
    decisions.extend(opset_raised(report.opset_raised));
    let (quantized, left) = (report.quantized.len(), report.skipped.len());
    decisions.push(Decision {
        what: format!("{quantized} of {} nodes that could be quantized run in INT8", quantized + left),
        because: match left {
            0 => "the table has their scales".into(),
            _ => format!("the other {left} stay in FP32 for the reasons that follow"),
        },
    });
    let composed = Composed { quantized: quantized as u32, decisions, ..Composed::default() };
    Ok(composed.left_in_fp32(&report.skipped))
}

fn bad_model(error: OnnxError) -> Failure {
    failure(FailureCode::BadModel, &error, error.hint())
}

fn opset_raised(raised: Option<(i64, i64)>) -> Vec<Decision> {
    let decision = |(from, to)| Decision {
        what: format!("the graph is raised from opset {from} to {to}"),
        because: "its new nodes need that".into(),
    };
    raised.map(decision).into_iter().collect()
}

impl Composed {
    /// Adds one decision for all nodes with the same operator and reason.
    fn left_in_fp32(mut self, skipped: &[Skipped]) -> Self {
        let mut groups: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
        for Skipped { node, op, reason } in skipped {
            groups.entry((op, reason)).or_default().push(node);
        }
        for ((op, reason), nodes) in groups {
            let shown = nodes[..nodes.len().min(NODES_SHOWN)].join(", ");
            let what = match nodes.len() {
                1 => format!("{op} {shown} stays in FP32"),
                all @ 2..=NODES_SHOWN => format!("{all} {op} nodes stay in FP32 ({shown})"),
                all => format!("{all} {op} nodes stay in FP32 ({shown} and {} more)", all - NODES_SHOWN),
            };
            self.decisions.push(Decision { what, because: reason.to_owned() });
            self.notes.push(format!("{op} in FP32, because {reason}: {}", nodes.join(", ")));
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_nodes_fit_in_a_line_and_are_all_in_the_log() {
        let name = |index| format!("`/model/layer.{index}/conv/Conv`");
        let all: Vec<Skipped> = (0..1000)
            .map(|index| Skipped { node: name(index), op: "Conv".into(), reason: "depthwise".into() })
            .collect();
        let composed = Composed::default().left_in_fp32(&all);
        assert!(composed.decisions[0].what.len() < 1000, "{}", composed.decisions[0].what);
        assert!(composed.decisions[0].what.ends_with("and 988 more)"));
        assert!(composed.notes[0].contains(&name(999)));
    }

    #[test]
    fn nodes_left_alone_for_one_reason_make_one_decision() {
        let skipped = |node: &str, reason: &str| Skipped {
            node: node.into(),
            op: "Conv".into(),
            reason: reason.into(),
        };
        let all =
            [skipped("`a`", "no scale for `x`"), skipped("`b`", "depthwise"), skipped("`c`", "depthwise")];
        let texts: Vec<String> =
            Composed::default().left_in_fp32(&all).decisions.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "2 Conv nodes stay in FP32 (`b`, `c`), because depthwise",
                "Conv `a` stays in FP32, because no scale for `x`"
            ]
        );
    }
}
