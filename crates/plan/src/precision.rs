//! The precision, where INT8 scales come from, and what everything else runs in.

use trt_wire::{
    Backend, BuildSpec, CalibratorClass, Decision, Gpu, ModelSummary, OnUnsupported, Precision, QuantMode,
    TensorRt,
};

use crate::PlanError;
use crate::typing::Typing;

/// Whether GPUs of this compute capability have INT8 instructions (8-bit dot products): 6.1, and 7.0 and above.
///
/// `platformHasFastInt8` would say it too, but TensorRT 11 removed it. The original Jetson Nano (5.3), TX1 (5.3) and
/// TX2 (6.2) have none.
pub fn has_fast_int8(compute_capability: [u32; 2]) -> bool {
    compute_capability == [6, 1] || compute_capability >= [7, 0]
}

/// What was asked and what is there, for the decisions of this module.
pub(crate) struct Question<'a> {
    pub model: &'a ModelSummary,
    /// The algorithm word of the table.
    pub table: Option<&'a str>,
    pub spec: &'a BuildSpec,
    pub tensorrt: &'a TensorRt,
    pub gpu: &'a Gpu,
    pub backend: Backend,
}

/// How the engine's numbers are represented.
pub(crate) struct Numbers {
    pub precision: Precision,
    pub mode: QuantMode,
    pub calibrator: Option<CalibratorClass>,
    pub strip_qdq: bool,
    pub convert_fp16: bool,
    pub other_layers: Precision,
    pub keep: Vec<String>,
}

impl Question<'_> {
    pub(crate) fn decide(&self, decisions: &mut Vec<Decision>) -> Result<Numbers, PlanError> {
        let precision = self.precision(decisions)?;
        let mode = self.mode(precision, decisions)?;
        let calibrator = self.calibrator(mode, decisions)?;
        let other_layers = match precision {
            Precision::Int8 => self.spec.other_layers,
            // The whole engine is of one kind, and what was said about INT8 engines changes nothing about it.
            other => other,
        };
        let numbers = Numbers {
            precision,
            mode,
            calibrator,
            strip_qdq: self.model.has_qdq && precision != Precision::Int8,
            convert_fp16: other_layers == Precision::Fp16 && self.typing() == Typing::Graph,
            other_layers,
            // Everything is in FP32 there.
            keep: if precision == Precision::Fp32 { Vec::new() } else { self.spec.keep.clone() },
        };
        self.explain_others(&numbers, decisions);
        self.explain_keep(&numbers, decisions);
        Ok(numbers)
    }

    fn typing(&self) -> Typing {
        Typing::of(self.tensorrt)
    }

    /// The precision the engine gets: what was asked, unless the GPU cannot and the user allowed another.
    fn precision(&self, decisions: &mut Vec<Decision>) -> Result<Precision, PlanError> {
        let (spec, gpu, has_qdq) = (self.spec, self.gpu, self.model.has_qdq);
        if spec.precision != Precision::Int8 || has_fast_int8(gpu.compute_capability) {
            return Ok(spec.precision);
        }
        let [major, minor] = gpu.compute_capability;
        let because = format!("{} (compute capability {major}.{minor}) has no INT8 instructions", gpu.name);
        match spec.on_unsupported {
            OnUnsupported::Fp16 => {
                let what = "FP16 is built instead of INT8".into();
                decisions.push(Decision { what, because: because.clone() });
                if has_qdq {
                    let what = "the model's own Q/DQ nodes are taken out".into();
                    decisions.push(Decision { what, because });
                }
                Ok(Precision::Fp16)
            }
            OnUnsupported::Int8Anyway if self.typing() == Typing::Flags && !has_qdq => {
                decisions.push(Decision {
                    what: "INT8 is built although it will be slower than FP16".into(),
                    because: format!("{because} and the model says `on-unsupported: int8-anyway`"),
                });
                Ok(Precision::Int8)
            }
            chosen => Err(PlanError::NoInt8 { because, has_qdq, chosen }),
        }
    }

    /// Where the scales come from.
    fn mode(&self, precision: Precision, decisions: &mut Vec<Decision>) -> Result<QuantMode, PlanError> {
        if precision != Precision::Int8 {
            return Ok(QuantMode::None);
        }
        let tensorrt = self.tensorrt;
        let (mode, what, because) = match (self.model.has_qdq, self.table, self.typing()) {
            (true, ..) => (
                QuantMode::ModelQdq,
                "the scales of the model's own Q/DQ nodes are used",
                "the ONNX holds such nodes".into(),
            ),
            (false, None, _) => return Err(PlanError::NoTable),
            (false, Some(_), Typing::Flags) => (
                QuantMode::Implicit,
                "the calibration table is given to TensorRT through a calibrator",
                format!("{tensorrt} has calibrators"),
            ),
            (false, Some(_), Typing::Graph) => (
                QuantMode::Explicit,
                "Q/DQ nodes are inserted from the calibration table",
                format!("{tensorrt} has no calibrators"),
            ),
        };
        decisions.push(Decision { what: what.into(), because });
        Ok(mode)
    }

    /// The class that returns the table: the one its header names, where any will do.
    fn calibrator(
        &self,
        mode: QuantMode,
        decisions: &mut Vec<Decision>,
    ) -> Result<Option<CalibratorClass>, PlanError> {
        let word = match (mode, self.table) {
            (QuantMode::Implicit | QuantMode::Explicit, Some(word)) => word,
            _ => return Ok(None),
        };
        let own = class(word).ok_or_else(|| PlanError::TableAlgorithm { word: word.to_owned() })?;
        if mode == QuantMode::Explicit {
            return Ok(None);
        }
        let only_entropy2 = match (self.spec.dla, self.backend) {
            (Some(_), _) => Some("a DLA"),
            (None, Backend::Trtexec) => Some("`trtexec`"),
            (None, Backend::Nvinfer) => None,
        };
        match only_entropy2 {
            Some(who) if own != CalibratorClass::EntropyCalibration2 => {
                decisions.push(Decision {
                    what: format!("the table's header says EntropyCalibration2 instead of {word}"),
                    because: format!(
                        "{who} accepts no other class, and scales are used as they are, whatever made them"
                    ),
                });
                Ok(Some(CalibratorClass::EntropyCalibration2))
            }
            _ => Ok(Some(own)),
        }
    }

    fn explain_others(&self, numbers: &Numbers, decisions: &mut Vec<Decision>) {
        let tensorrt = self.tensorrt;
        let graphs_own = || format!("{tensorrt} takes precision from the graph's own types");
        let (what, because) = match (numbers.precision, numbers.other_layers, self.typing()) {
            (Precision::Fp32, ..) | (Precision::Fp16, _, Typing::Flags) => return,
            (Precision::Fp16, _, Typing::Graph) => ("the graph is converted to FP16", graphs_own()),
            (Precision::Int8, Precision::Fp16, Typing::Graph) => {
                ("what is not INT8 in the graph is converted to FP16", graphs_own())
            }
            (Precision::Int8, Precision::Fp16, Typing::Flags) => (
                "layers that are not INT8 run in FP16 where TensorRT finds that faster",
                "`other-layers` is `fp16`".into(),
            ),
            (Precision::Int8, ..) => {
                ("layers that are not INT8 run in FP32", "`other-layers` is `fp32`".into())
            }
        };
        decisions.push(Decision { what: what.into(), because });
    }

    fn explain_keep(&self, numbers: &Numbers, decisions: &mut Vec<Decision>) {
        let count = match numbers.keep.len() {
            0 => return,
            1 => "1 activation".to_owned(),
            many => format!("{many} activations"),
        };
        let how = match (numbers.mode, self.typing()) {
            (QuantMode::Implicit, _) => "out of INT8 by precision constraints",
            (QuantMode::Explicit, _) => "out of INT8 and FP16: no Q/DQ nodes, no conversion",
            // Nodes that the model has are the model's word on what is INT8.
            (QuantMode::ModelQdq, _) => "out of FP16, but in INT8 where the model's own Q/DQ nodes say so",
            (QuantMode::None, Typing::Flags) => "out of FP16 by precision constraints",
            (QuantMode::None, Typing::Graph) => "out of FP16: no conversion",
        };
        decisions.push(Decision {
            what: format!("{count} ({}) kept {how}", shown(&numbers.keep)),
            because: "`keep` lists what needs higher precision".into(),
        });
    }
}

/// As many names as fit in a line.
fn shown(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let first = names[..names.len().min(SHOWN)].iter().map(|name| format!("`{name}`")).collect::<Vec<_>>();
    let more = if names.len() > SHOWN { format!(" and {} more", names.len() - SHOWN) } else { String::new() };
    format!("{}{more}", first.join(", "))
}

/// The class for a table's algorithm word, as its header or, for a legacy table, the host says it.
fn class(word: &str) -> Option<CalibratorClass> {
    Some(match word {
        "EntropyCalibration2" => CalibratorClass::EntropyCalibration2,
        "MinMaxCalibration" => CalibratorClass::MinMaxCalibration,
        "EntropyCalibration" => CalibratorClass::EntropyCalibration,
        "Legacy" => CalibratorClass::LegacyCalibration,
        _ => return None,
    })
}
