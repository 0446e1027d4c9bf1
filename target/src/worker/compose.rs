//! Prepares the graph for a TensorRT that takes precision from the graph itself.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use trt_calib::CalibrationTable;
use trt_onnx::{
    Fp16Options, Model, OnnxError, QuantOptions, Skipped, adapt_qdq, quantize, strip_qdq, to_fp16,
};
use trt_wire::worker::BuildJob;
use trt_wire::{Decision, Failure, FailureCode, QuantMode, Retry, TensorRtProduct};

use super::failure;
use super::words::{count, few, few_quoted};

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

/// Takes the graph's Q/DQ out or makes them such as TensorRT reads, inserts Q/DQ from the table, and converts to FP16, as
/// far as the plan says so.
///
/// The composed graph is written beside the model, because external data is found relative to its folder. A model that
/// the plan leaves alone is not even read here.
pub fn run(job: &BuildJob) -> Result<Composed, Failure> {
    let plan = &job.plan;
    let mut composed = Composed { model: job.model.clone(), ..Composed::default() };
    if !plan.strip_qdq && !plan.convert_fp16 && matches!(plan.mode, QuantMode::None | QuantMode::Implicit) {
        return Ok(composed);
    }
    let mut model = Model::load(&job.model).map_err(bad_model)?;
    let mut is_changed = plan.strip_qdq || plan.convert_fp16;
    if plan.strip_qdq {
        composed.strip(&mut model)?;
    }
    let (mut not_int8, mut not_fp16) = (Vec::new(), Vec::new());
    match plan.mode {
        QuantMode::None | QuantMode::Implicit => {}
        QuantMode::Explicit => {
            not_int8 = composed.quantize(&mut model, job)?;
            is_changed = true;
        }
        QuantMode::ModelQdq => is_changed |= composed.adapt(&mut model)?,
    }
    if plan.convert_fp16 {
        not_fp16 = composed.halve(&mut model, &plan.keep)?;
    }
    composed.left_in_higher_precision(not_int8, not_fp16, plan.convert_fp16);
    if is_changed {
        composed.model = job.model.with_file_name(".composed.onnx");
        model.save(&composed.model).map_err(bad_model)?;
    }
    Ok(composed)
}

/// Reads the job's calibration table.
pub fn table(job: &BuildJob) -> Result<CalibrationTable, Failure> {
    let Some(path) = &job.table else {
        let message = "a plan that quantizes from a table came without one";
        return Err(Failure::new(FailureCode::BadRequest, Retry::Never, message));
    };
    let bytes = fs::read(path).map_err(|error| failure(FailureCode::Store, &error, None))?;
    CalibrationTable::parse(&bytes).map_err(|error| failure(FailureCode::BadModel, &error, error.hint()))
}

fn bad_model(error: OnnxError) -> Failure {
    failure(FailureCode::BadModel, &error, error.hint())
}

impl Composed {
    fn strip(&mut self, model: &mut Model) -> Result<(), Failure> {
        let report = strip_qdq(model).map_err(bad_model)?;
        self.left_as_they_are("keeps its Q/DQ", "keep their Q/DQ", &report.left);
        Ok(())
    }

    /// Whether there was anything to adapt.
    fn adapt(&mut self, model: &mut Model) -> Result<bool, Failure> {
        let report = adapt_qdq(model).map_err(bad_model)?;
        if report.biases > 0 {
            self.decisions.push(Decision {
                what: format!("biases stored as INT32 become floats: {}", report.biases),
                because: "TensorRT's parser takes them no other way, and they compute the same".into(),
            });
        }
        if report.signed > 0 {
            self.decisions.push(Decision {
                what: format!("tensors in UINT8 or with zero points become INT8 without: {}", report.signed),
                because: "TensorRT's parser takes them no other way, and they compute the same".into(),
            });
        }
        Ok(report.is_changed())
    }

    /// Gives the nodes that could be INT8 and are not.
    fn quantize(&mut self, model: &mut Model, job: &BuildJob) -> Result<Vec<Skipped>, Failure> {
        let table = table(job)?;
        let scale = |name: &str| table.get(name.as_bytes());
        let options = |base: QuantOptions| QuantOptions { keep: job.plan.keep.clone(), ..base };
        let compact = job.tensorrt.product == TensorRtProduct::Rtx;
        let first = if compact { QuantOptions::rtx() } else { QuantOptions::default() };
        let report = match quantize(model, &scale, &options(first)) {
            Err(OnnxError::NothingQuantized { .. }) if compact => {
                self.decisions.push(Decision {
                    what: "every node that can be is quantized, although the engine may grow".into(),
                    because: format!(
                        "no node is large enough for INT8 to make an engine of {} smaller",
                        job.tensorrt
                    ),
                });
                quantize(model, &scale, &options(QuantOptions::default())).map_err(bad_model)?
            }
            other => other.map_err(bad_model)?,
        };
        self.opset_raised(report.opset_raised);
        self.unmatched(&report.unmatched);
        let (quantized, left) = (report.quantized.len(), report.skipped.len());
        self.decisions.push(Decision {
            what: format!("{quantized} of {} nodes that could be quantized run in INT8", quantized + left),
            because: match left {
                0 => "the table has their scales".into(),
                1 => "the other one does not, for the reason that follows".into(),
                _ => format!("the other {left} do not, for the reasons that follow"),
            },
        });
        self.quantized = quantized as u32;
        Ok(report.skipped)
    }

    /// Gives the nodes that stay in FP32.
    fn halve(&mut self, model: &mut Model, keep: &[String]) -> Result<Vec<Skipped>, Failure> {
        let options = Fp16Options { keep: keep.to_vec(), ..Fp16Options::default() };
        let report = to_fp16(model, &options).map_err(bad_model)?;
        self.opset_raised(report.opset_raised);
        if self.quantized == 0 {
            self.unmatched(&report.unmatched);
        }
        if !report.clamped.is_empty() {
            self.decisions.push(Decision {
                what: format!(
                    "numbers in {} become 65504 ({})",
                    count(report.clamped.len(), "stored tensor"),
                    few_quoted(&report.clamped)
                ),
                because: "they stand for infinity, and that is the largest number of FP16".into(),
            });
        }
        Ok(report.kept)
    }

    fn opset_raised(&mut self, raised: Option<(i64, i64)>) {
        self.decisions.extend(raised.map(|(from, to)| Decision {
            what: format!("the graph is raised from opset {from} to {to}"),
            because: "its new nodes need that".into(),
        }));
    }

    fn unmatched(&mut self, names: &[String]) {
        if !names.is_empty() {
            self.decisions.push(Decision {
                what: format!(
                    "{} to keep in higher precision change nothing ({})",
                    count(names.len(), "name"),
                    few_quoted(names)
                ),
                because: "nothing in the graph has these names".into(),
            });
        }
    }

    /// Says once of each node what it runs in: one that is neither INT8 nor FP16 is in both lists.
    fn left_in_higher_precision(&mut self, not_int8: Vec<Skipped>, not_fp16: Vec<Skipped>, is_halved: bool) {
        if !is_halved {
            return self.left_in("FP32", &not_int8);
        }
        let mut in_fp32 = not_fp16;
        let places: BTreeMap<String, usize> =
            in_fp32.iter().enumerate().map(|(at, node)| (identity(&node.node).to_owned(), at)).collect();
        let mut in_fp16 = Vec::new();
        for skipped in not_int8 {
            let Some(&at) = places.get(identity(&skipped.node)) else {
                in_fp16.push(skipped);
                continue;
            };
            let reason = &mut in_fp32[at].reason;
            if *reason != skipped.reason {
                *reason = format!("{}, and {reason}", skipped.reason);
            }
        }
        self.left_in("FP16", &in_fp16);
        self.left_in("FP32", &in_fp32);
    }

    fn left_in(&mut self, precision: &str, skipped: &[Skipped]) {
        let (one, many) = (format!("stays in {precision}"), format!("stay in {precision}"));
        self.left_as_they_are(&one, &many, skipped);
    }

    /// Adds one decision for all nodes with the same operator and reason.
    fn left_as_they_are(&mut self, one: &str, many: &str, skipped: &[Skipped]) {
        let mut groups: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
        for Skipped { node, op, reason } in skipped {
            groups.entry((op, reason)).or_default().push(node);
        }
        for ((op, reason), nodes) in groups {
            let what = match nodes.len() {
                // The display of a nameless node begins with its operator.
                1 if nodes[0].starts_with(op) => format!("{} {one}", nodes[0]),
                1 => format!("{op} {} {one}", nodes[0]),
                all => format!("{all} {op} nodes {many} ({})", few(&nodes)),
            };
            let because = if nodes.len() == 1 { reason.to_owned() } else { of_many(reason) };
            self.decisions.push(Decision { what, because });
            self.notes.push(format!("{op} {one}, because {reason}: {}", nodes.join(", ")));
        }
    }
}

/// The reasons of `trt-onnx`, which are about one node, in words about several.
fn of_many(reason: &str) -> String {
    const WORDS: [(&str, &str); 10] = [
        ("its weight is ", "their weights are "),
        ("its weight has ", "their weights have "),
        ("its results ", "their results "),
        ("it reads ", "they read "),
        ("it depends ", "they depend "),
        ("it works ", "they work "),
        ("it has a body of its own", "they have bodies of their own"),
        ("kernel for it", "kernel for them"),
        ("hold its scale", "hold their scales"),
        ("a convolution in groups, which takes", "convolutions in groups, which take"),
    ];
    WORDS.iter().fold(reason.to_owned(), |text, (one, many)| text.replace(one, many))
}

/// What stays the same of a node's display while nodes are inserted before it: all but the number of a nameless one, which
/// is told by its output.
fn identity(node: &str) -> &str {
    if node.starts_with('`') { node } else { node.split_once(" (output ").map_or(node, |(_, output)| output) }
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
        let mut composed = Composed::default();
        composed.left_in("FP32", &all);
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
        let mut composed = Composed::default();
        composed.left_in("FP32", &all);
        let texts: Vec<String> = composed.decisions.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "2 Conv nodes stay in FP32 (`b`, `c`), because depthwise",
                "Conv `a` stays in FP32, because no scale for `x`"
            ]
        );
    }

    #[test]
    fn a_node_that_is_neither_int8_nor_fp16_is_told_once() {
        let skipped = |node: &str, reason: &str| Skipped {
            node: node.into(),
            op: "Conv".into(),
            reason: reason.into(),
        };
        // Nodes that were inserted before a nameless one have moved it.
        let not_int8 = vec![
            skipped("`a`", "kept by name"),
            skipped("`b`", "its weight is empty: `w`"),
            skipped("Conv #2 (output `c`)", "no scale for `x`"),
        ];
        let not_fp16 = vec![
            skipped("`a`", "kept by name"),
            skipped("Conv #7 (output `c`)", "its results are large"),
            skipped("`d`", "kept by name"),
        ];
        let mut composed = Composed::default();
        composed.left_in_higher_precision(not_int8.clone(), not_fp16, true);
        let texts: Vec<String> = composed.decisions.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "Conv `b` stays in FP16, because its weight is empty: `w`",
                "2 Conv nodes stay in FP32 (`a`, `d`), because kept by name",
                "Conv #7 (output `c`) stays in FP32, because no scale for `x`, and its results are large",
            ]
        );
        let mut composed = Composed::default();
        composed.left_in_higher_precision(not_int8, vec![], false);
        assert!(composed.decisions.iter().all(|decision| decision.what.contains("FP32")));
    }

    #[test]
    fn a_reason_that_several_nodes_share_speaks_of_several() {
        for (one, many) in [
            ("its weight has fewer than 9 elements", "their weights have fewer than 9 elements"),
            ("it reads `c3`, which is kept", "they read `c3`, which is kept"),
            ("kept by name", "kept by name"),
        ] {
            assert_eq!(of_many(one), many);
        }
    }
}
