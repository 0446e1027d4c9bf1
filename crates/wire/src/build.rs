//! What the user asks of a build, and what the agent has decided to do.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{PluginName, RuntimeName};

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

/// What to do with an INT8 model on a device that has no INT8: no such instructions in its GPU, or a TensorRT-RTX before 1.7.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnUnsupported {
    /// Refuse the push to that device.
    #[default]
    Fail,
    /// Build FP16 instead, with a decision that says so.
    Fp16,
    /// Build INT8 all the same, slower than FP16: from a calibration table, with TensorRT 8 to 10. Refused for a model with
    /// Q/DQ nodes, and with TensorRT 11 and RTX, whose INT8 is made of such nodes.
    Int8Anyway,
}

/// What builds, as the user asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BackendChoice {
    /// TensorRT's own interface where this agent knows it, else `trtexec`.
    #[default]
    Auto,
    /// TensorRT's own interface, or nothing.
    Nvinfer,
    /// The `trtexec` on the device.
    Trtexec,
}

/// What builds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Backend {
    /// TensorRT's own interface, in the worker's process.
    #[default]
    Nvinfer,
    /// The `trtexec` on the device; its log is read, and its exit code is not trusted.
    Trtexec,
}

/// Which of TensorRT's calibrator classes returns the table (8.x and 10.x).
///
/// Scales are used as they are, whatever made them; the class must only be the one that the header names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CalibratorClass {
    /// `IInt8EntropyCalibrator2`, the only one that a DLA and `trtexec` accept.
    EntropyCalibration2,
    /// `IInt8MinMaxCalibrator`.
    MinMaxCalibration,
    /// `IInt8EntropyCalibrator`.
    EntropyCalibration,
    /// `IInt8LegacyCalibrator`.
    LegacyCalibration,
}

/// What the other layers of a stored INT8 engine run in that says nothing about it.
fn other_layers() -> Precision {
    Precision::Fp16
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
    /// What to do if the device has no INT8.
    pub on_unsupported: OnUnsupported,
    /// What the layers of an INT8 engine that are not INT8 run in: `Fp16` or `Fp32`.
    #[serde(default = "other_layers")]
    pub other_layers: Precision,
    /// Activations to keep out of INT8, and out of FP16 in a converted graph, by ONNX value name. The table has no scale
    /// for them.
    #[serde(default)]
    pub keep: Vec<String>,
    /// The DLA core to build for; layers that it cannot run go to the GPU.
    pub dla: Option<u32>,
    /// How much the builder tries, 0 to 5 (TensorRT 8.6 and later); TensorRT's default if absent.
    pub optimization_level: Option<u8>,
    /// What builds.
    #[serde(default)]
    pub backend: BackendChoice,
    /// Plugin libraries to load before parsing, by their names in the device's configuration.
    #[serde(default)]
    pub plugins: Vec<PluginName>,
    /// Where to build, by its name in the device's configuration; its default place if absent.
    pub runtime: Option<RuntimeName>,
}

impl BuildSpec {
    /// A build of this precision with the defaults of everything else.
    pub fn new(precision: Precision) -> Self {
        Self {
            precision,
            shapes: BTreeMap::new(),
            workspace: None,
            on_unsupported: OnUnsupported::default(),
            other_layers: Precision::Fp16,
            keep: Vec::new(),
            dla: None,
            optimization_level: None,
            backend: BackendChoice::default(),
            plugins: Vec::new(),
            runtime: None,
        }
    }
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
    /// What is not INT8 in the graph is converted to FP16 before parsing (11.x and RTX).
    pub convert_fp16: bool,
    /// The graph's own Q/DQ nodes are taken out before parsing.
    #[serde(default)]
    pub strip_qdq: bool,
    /// What the layers that are not INT8 run in.
    #[serde(default = "other_layers")]
    pub other_layers: Precision,
    /// Activations to keep out of INT8 and FP16, by ONNX value name.
    #[serde(default)]
    pub keep: Vec<String>,
    /// The class of the calibrator that returns the table; `Some` with [`QuantMode::Implicit`] only.
    pub calibrator: Option<CalibratorClass>,
    /// What builds.
    #[serde(default)]
    pub backend: Backend,
    /// The DLA core to build for, with the GPU for what it cannot run.
    pub dla: Option<u32>,
    /// How much the builder tries.
    pub optimization_level: Option<u8>,
    /// Plugin libraries, by their names in the device's configuration.
    #[serde(default)]
    pub plugins: Vec<PluginName>,
    /// Where to build, by its name in the device's configuration.
    pub runtime: Option<RuntimeName>,
    /// The optimization profile by input name, including inputs of fixed shape.
    pub shapes: BTreeMap<String, ShapeRange>,
    /// Upper limit of scratch memory in bytes.
    pub workspace: Option<u64>,
    /// Build for this compute capability (`[8, 6]`) instead of asking the GPU: TensorRT-RTX without a GPU.
    pub compute_capability: Option<[u32; 2]>,
    /// What was decided, in order, with reasons.
    pub decisions: Vec<Decision>,
}
