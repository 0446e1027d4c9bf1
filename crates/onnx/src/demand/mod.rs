//! What TensorRT's implicit INT8 asks of a calibration table: for which tensors, and for the sake of which layers.

use std::fmt;

use serde::Serialize;

use crate::model::Model;

/// What a model asks of its calibration table, and what becomes of each layer with the scales there are.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Demand {
    /// The activations that TensorRT wants a scale for, in the order of computation, graph inputs first.
    pub tensors: Vec<Demanded>,
    /// The values that it does not, in the order of computation, subgraphs last.
    pub not_asked: Vec<NotAsked>,
    /// Every node of the graph but those that are computed once from constants, in the order of computation.
    pub layers: Vec<Layer>,
}

/// An activation that TensorRT wants a scale for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Demanded {
    /// The value's name: the key in the table.
    pub name: String,
    /// The node that computes it, for people; `None` for a graph input.
    pub producer: Option<String>,
    /// That node's operator.
    pub op: Option<String>,
    /// Its scale, if the table has a usable one.
    pub scale: Option<f32>,
    /// Why it has none; `None` if it has.
    pub missing: Option<Missing>,
}

/// Why an activation has no scale.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "why")]
pub enum Missing {
    /// The table does not list it.
    Absent,
    /// The table's number is NaN, infinite, zero, negative, or too small to divide by.
    Unusable {
        /// That number.
        scale: f32,
    },
}

/// A value that needs no scale.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NotAsked {
    /// The value's name; in a subgraph, names may repeat those of others.
    pub name: String,
    /// Why.
    pub because: Unasked,
}

/// Why TensorRT asks for no scale.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "why")]
pub enum Unasked {
    /// It depends on constants only, and the builder computes it once.
    Constant,
    /// It is a shape, or computed from shapes only.
    Shape,
    /// It holds integers, booleans or strings, or is no tensor.
    NotFloat,
    /// It lies in the body of an If, Loop or Scan, whose tensors are not calibrated.
    Subgraph {
        /// The node that the body belongs to, for people.
        node: String,
        /// Its operator.
        op: String,
    },
}

/// A node, and whether it would run in INT8.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Layer {
    /// Its name, for people.
    pub node: String,
    /// Its operator, with its domain unless that is ONNX's own.
    pub op: String,
    /// Its first output.
    pub output: String,
    /// Why not, or `None` if TensorRT may run it in INT8. Whether it does is a matter of its measurements.
    pub not_int8: Option<NotInt8>,
}

/// Why a layer would not run in INT8.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "why")]
pub enum NotInt8 {
    /// The caller keeps it in higher precision.
    Kept,
    /// TensorRT has no INT8 implementation of the operator.
    NoKernel,
    /// The operator is none of ONNX's: a plugin decides.
    Plugin {
        /// Its domain.
        domain: String,
    },
    /// It is control flow.
    ControlFlow,
    /// It computes shapes.
    Shape,
    /// It reads or writes something other than floats only.
    NotFloat,
    /// It reads or writes an activation without a usable scale.
    NoScale {
        /// That activation; the first of several.
        tensor: String,
        /// Why it has none.
        missing: Missing,
    },
    /// It reads or writes an activation that the caller keeps.
    KeptTensor {
        /// That activation.
        tensor: String,
    },
    /// Its weight is not stored but computed.
    ComputedWeight {
        /// The weight.
        tensor: String,
    },
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Missing::Absent => f.write_str("the table does not list it"),
            Missing::Unusable { scale } => write!(f, "its scale is not a positive number: {scale:e}"),
        }
    }
}

impl fmt::Display for Unasked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unasked::Constant => f.write_str("it depends on constants only"),
            Unasked::Shape => f.write_str("it is computed from shapes"),
            Unasked::NotFloat => f.write_str("it is no float tensor"),
            Unasked::Subgraph { node, op } => {
                write!(f, "it lies in the body of {node}, which is a {op}: such tensors are not calibrated")
            }
        }
    }
}

impl fmt::Display for NotInt8 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotInt8::Kept => f.write_str("kept by name"),
            NotInt8::NoKernel => f.write_str("TensorRT has no INT8 implementation of the operator"),
            NotInt8::Plugin { domain } => write!(f, "it is a plugin's, of the domain `{domain}`"),
            NotInt8::ControlFlow => f.write_str("it is control flow, whose bodies are not calibrated"),
            NotInt8::Shape => f.write_str("it computes shapes"),
            NotInt8::NotFloat => f.write_str("it does not compute with floats"),
            NotInt8::NoScale { tensor, missing } => write!(f, "no scale for `{tensor}`: {missing}"),
            NotInt8::KeptTensor { tensor } => write!(f, "`{tensor}` is kept by name"),
            NotInt8::ComputedWeight { tensor } => write!(f, "its weight is computed: `{tensor}`"),
        }
    }
}

/// Says what `model` asks of a calibration table, given the scale (threshold / 127) of each activation by value name
/// and what to keep in higher precision: nodes by name, and activations by name.
pub fn demand(model: &Model, scales: &dyn Fn(&str) -> Option<f32>, keep: &[String]) -> Demand {
    let _ = (model, scales, keep);
    Demand::default()
}
