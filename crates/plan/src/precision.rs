//! The precision, where INT8 scales come from, and what everything else runs in.

use trt_wire::{
    Backend, BuildSpec, CalibratorClass, Decision, Gpu, GpuSource, ModelSummary, OnUnsupported, Precision,
    QuantMode, TensorRt, TensorRtProduct,
};

use crate::PlanError;
use crate::keep;
use crate::typing::Typing;

/// Whether GPUs of this compute capability have INT8 instructions (8-bit dot products): 6.1, and 7.0 and above.
///
/// `platformHasFastInt8` would say it too, but TensorRT 11 removed it. The original Jetson Nano (5.3), TX1 (5.3) and
/// TX2 (6.2) have none.
pub fn has_fast_int8(compute_capability: [u32; 2]) -> bool {
    compute_capability == [6, 1] || compute_capability >= [7, 0]
}

/// The first TensorRT-RTX that builds INT8. Before it, convolutions between Q/DQ nodes end in a failed check of its own
/// (`docs/models.md`).
const FIRST_RTX_WITH_INT8: [u32; 3] = [1, 7, 0];

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
        keep::explain(&numbers, self.tensorrt, self.backend, decisions);
        Ok(numbers)
    }

    fn typing(&self) -> Typing {
        Typing::of(self.tensorrt)
    }

    /// The precision the engine gets: what was asked, unless the device cannot and the user allowed another.
    fn precision(&self, decisions: &mut Vec<Decision>) -> Result<Precision, PlanError> {
        let (spec, has_qdq) = (self.spec, self.model.has_qdq);
        let because = match self.no_int8() {
            Some(because) if spec.precision == Precision::Int8 => because,
            _ => return Ok(spec.precision),
        };
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
            chosen => Err(PlanError::NoInt8 { because, newer_rtx: self.is_old_rtx(), has_qdq, chosen }),
        }
    }

    /// Why there is no INT8 on this device, if there is none.
    fn no_int8(&self) -> Option<String> {
        let [major, minor] = self.gpu.compute_capability;
        if !has_fast_int8([major, minor]) {
            let gpu = match self.gpu.source {
                GpuSource::Driver => format!("{} (compute capability {major}.{minor})", self.gpu.name),
                // Nobody knows its name.
                GpuSource::Configuration => format!("a GPU of compute capability {major}.{minor}"),
            };
            return Some(format!("{gpu} has no INT8 instructions"));
        }
        let tensorrt = self.tensorrt;
        self.is_old_rtx().then(|| format!("{tensorrt} ends in an error of its own on INT8, which 1.7 builds"))
    }

    fn is_old_rtx(&self) -> bool {
        self.tensorrt.product == TensorRtProduct::Rtx && self.tensorrt.version < FIRST_RTX_WITH_INT8
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
        let why_entropy2 = match (self.spec.dla, self.backend, own) {
            (_, _, CalibratorClass::EntropyCalibration2) => None,
            (Some(_), ..) => Some("a DLA accepts no other class"),
            (None, Backend::Trtexec, _) => Some("`trtexec` accepts no other class"),
            // Why not its own class: docs/decisions/0011-legacy-tables.md
            (None, Backend::Nvinfer, CalibratorClass::LegacyCalibration) => {
                Some("a legacy header has no version that could be made the library's own")
            }
            (None, Backend::Nvinfer, _) => None,
        };
        if let Some(why) = why_entropy2 {
            decisions.push(Decision {
                what: format!("the table's header says EntropyCalibration2 instead of {word}"),
                because: format!("{why}, and scales are used as they are, whatever made them"),
            });
            return Ok(Some(CalibratorClass::EntropyCalibration2));
        }
        Ok(Some(own))
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
