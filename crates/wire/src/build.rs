//! What the user asks of a build, and what the agent has decided to do.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// The numeric precision of an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32-bit floating point (TensorRT may use TF32 where the GPU has it).
    Fp32,
    /// 16-bit floating point where TensorRT finds it faster.
    Fp16,
    /// 8-bit integers, from a calibration table or from Q/DQ nodes.
    Int8,
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fp32 => "fp32",
            Self::Fp16 => "fp16",
            Self::Int8 => "int8",
        })
    }
}

/// What to do with an INT8 model on a device whose GPU has no INT8 instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnUnsupported {
    /// Refuse the push to that device.
    #[default]
    Fail,
    /// Build FP16 instead, with a decision that says so.
    Fp16,
    /// Build INT8 all the same (TensorRT 8.x only; slower than FP16 there).
    Int8Anyway,
}

/// A tensor's shape; every entry is a positive number of elements.
pub type Dims = Vec<i64>;

/// The shapes one input may take, as TensorRT's optimization profile wants them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShapeRange {
    /// The smallest shape.
    pub min: Dims,
    /// The shape to optimise for; calibration runs at this one.
    pub opt: Dims,
    /// The largest shape.
    pub max: Dims,
}

/// Whether a release must be proven on the device before it is activated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verification {
    /// Refuse to activate a release that was not verified on the device.
    pub required: bool,
}

/// What the user asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildSpec {
    /// The precision asked for.
    pub precision: Precision,
    /// Shapes by input name; inputs with fixed shapes need no entry.
    pub shapes: BTreeMap<String, ShapeRange>,
    /// Upper limit of TensorRT's scratch memory in bytes; TensorRT's default if absent.
    pub workspace: Option<u64>,
    /// What to do if the GPU has no INT8 instructions.
    pub on_unsupported: OnUnsupported,
}

/// How an INT8 engine gets its scales.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum QuantMode {
    /// Nothing is quantized.
    None,
    /// A calibrator returns the table to TensorRT (8.x to 10.x).
    Implicit,
    /// Q/DQ nodes are composed into the graph from the table (11.x, RTX).
    Explicit,
    /// The ONNX already holds Q/DQ nodes; no table is used.
    ModelQdq,
}

/// Something that was decided for the user, and why. Shown, logged and stored in the release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// What will be done.
    pub what: String,
    /// The reason.
    pub because: String,
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, because {}", self.what, self.because)
    }
}

/// Exactly how the agent will build an engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildPlan {
    /// The precision the engine will have.
    pub precision: Precision,
    /// Where INT8 scales come from.
    pub mode: QuantMode,
    /// The network is created strongly typed: the graph's own types decide (11.x, RTX).
    pub strongly_typed: bool,
    /// The graph is converted to FP16 before parsing (11.x, RTX with FP16).
    pub convert_fp16: bool,
    /// The optimization profile by input name, including inputs of fixed shape.
    pub shapes: BTreeMap<String, ShapeRange>,
    /// Upper limit of scratch memory in bytes.
    pub workspace: Option<u64>,
    /// Build for this compute capability (`[8, 6]`) instead of asking the GPU: TensorRT-RTX without a GPU.
    pub compute_capability: Option<[u32; 2]>,
    /// What was decided, in order, with reasons.
    pub decisions: Vec<Decision>,
}
