//! What TensorRT's implicit INT8 asks of a calibration table: for which tensors, and for the sake of which layers.

mod kernels;

use std::collections::{HashMap, HashSet};
use std::fmt;

use serde::Serialize;

use crate::model::{Model, is_default_domain};
use crate::proto::{GraphProto, NodeProto, elem};
use crate::{graph, types};

pub(crate) use kernels::Kernel;

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
///
/// TensorRT falls back for "any layer consuming or producing" a tensor without a scale, and so does this; where it fuses
/// such a layer with its neighbour, it may need fewer.
pub fn demand(model: &Model, scales: &dyn Fn(&str) -> Option<f32>, keep: &[String]) -> Demand {
    let judge = Judge::of(model, scales, keep);
    let graph = model.graph();
    let mut demand = Demand::default();
    let inputs = graph::fed_inputs(graph).filter_map(|input| input.name.as_deref()).map(|name| (name, None));
    let computed = graph
        .node
        .iter()
        .enumerate()
        .flat_map(|(index, node)| node.outputs().map(move |name| (name, Some((index, node)))));
    for (name, producer) in inputs.chain(computed) {
        if let Some(because) = judge.unasked(name) {
            demand.not_asked.push(NotAsked { name: name.to_owned(), because });
            continue;
        }
        let scale = judge.scale(name);
        demand.tensors.push(Demanded {
            name: name.to_owned(),
            producer: producer.map(|(index, node)| node.display(index)),
            op: producer.map(|(_, node)| node.qualified_op()),
            scale: scale.ok(),
            missing: scale.err(),
        });
    }
    for (index, node) in graph.node.iter().enumerate() {
        for name in graph::inner_values(node) {
            let because = Unasked::Subgraph { node: node.display(index), op: node.op().to_owned() };
            demand.not_asked.push(NotAsked { name: name.to_owned(), because });
        }
        if let Some(not_int8) = judge.layer(node) {
            demand.layers.push(Layer {
                node: node.display(index),
                op: node.qualified_op(),
                output: node.outputs().next().unwrap_or_default().to_owned(),
                not_int8,
            });
        }
    }
    demand
}

/// Looks nodes and values of one graph up.
pub(crate) struct Judge<'a> {
    scales: &'a dyn Fn(&str) -> Option<f32>,
    keep: &'a [String],
    types: HashMap<&'a str, i32>,
    constants: HashSet<&'a str>,
    shapes: HashSet<&'a str>,
}

impl<'a> Judge<'a> {
    pub(crate) fn of(model: &'a Model, scales: &'a dyn Fn(&str) -> Option<f32>, keep: &'a [String]) -> Self {
        let graph = model.graph();
        let constants = graph::constants(graph);
        let shapes = shapes(graph, &constants);
        Self { scales, keep, types: types::infer(graph, &model.proto.functions), constants, shapes }
    }

    /// Why TensorRT asks for no scale of this value of the graph; `None` if it does.
    pub(crate) fn unasked(&self, name: &str) -> Option<Unasked> {
        if self.constants.contains(name) {
            return Some(Unasked::Constant);
        }
        if self.is_not_float(name) {
            return Some(Unasked::NotFloat);
        }
        self.shapes.contains(name).then_some(Unasked::Shape)
    }

    /// The value's usable scale.
    pub(crate) fn scale(&self, name: &str) -> Result<f32, Missing> {
        match (self.scales)(name) {
            None => Err(Missing::Absent),
            Some(scale) if !scale.is_normal() || scale < 0.0 => Err(Missing::Unusable { scale }),
            Some(scale) => Ok(scale),
        }
    }

    /// Whether the node would run in INT8, and otherwise why not; `None` for what the builder computes once.
    pub(crate) fn layer(&self, node: &NodeProto) -> Option<Option<NotInt8>> {
        let mut outputs = node.outputs().peekable();
        let is_constant = outputs.peek().is_some() && outputs.all(|name| self.constants.contains(name));
        (!is_constant).then(|| self.not_int8(node))
    }

    fn not_int8(&self, node: &NodeProto) -> Option<NotInt8> {
        if graph::is_named(node, self.keep) {
            return Some(NotInt8::Kept);
        }
        if graph::subgraphs(node).next().is_some() {
            return Some(NotInt8::ControlFlow);
        }
        let domain = node.domain.as_deref();
        if !is_default_domain(domain) {
            return Some(NotInt8::Plugin { domain: domain.unwrap_or_default().to_owned() });
        }
        if node.outputs().all(|name| self.shapes.contains(name)) {
            return Some(NotInt8::Shape);
        }
        let Some(kernel) = Kernel::of(node) else {
            let not_float = node.outputs().next().is_some_and(|name| self.is_not_float(name));
            return Some(if not_float { NotInt8::NotFloat } else { NotInt8::NoKernel });
        };
        let inputs = kernel.data_inputs(node).into_iter().filter_map(|at| node.input(at));
        let data: Vec<&str> = inputs.chain(kernel.data_outputs(node)).collect();
        if data.iter().any(|name| self.is_not_float(name)) {
            return Some(NotInt8::NotFloat);
        }
        if let Some(weight) = node.input(1).filter(|_| kernel == Kernel::Weighted && !node.is("MatMul"))
            && !self.constants.contains(weight)
        {
            return Some(NotInt8::ComputedWeight { tensor: weight.to_owned() });
        }
        let mut asked = data.into_iter().filter(|name| self.unasked(name).is_none());
        asked.find_map(|name| {
            let tensor = || name.to_owned();
            match self.scale(name) {
                _ if self.is_kept(name) => Some(NotInt8::KeptTensor { tensor: tensor() }),
                Err(missing) => Some(NotInt8::NoScale { tensor: tensor(), missing }),
                Ok(_) => None,
            }
        })
    }

    fn is_kept(&self, name: &str) -> bool {
        self.keep.iter().any(|kept| kept == name)
    }

    /// Whether the value is known to be something else than a float tensor.
    fn is_not_float(&self, name: &str) -> bool {
        const FLOATS: [i32; 4] = [elem::FLOAT, elem::FLOAT16, elem::DOUBLE, elem::BFLOAT16];
        self.types.get(name).is_some_and(|elem| !FLOATS.contains(elem))
    }
}

/// The values that depend on nothing but the shapes of others.
fn shapes<'a>(graph: &'a GraphProto, constants: &HashSet<&str>) -> HashSet<&'a str> {
    let mut shapes = HashSet::new();
    for node in &graph.node {
        let reads = graph::reads(node);
        let mut computed = reads.iter().filter(|name| !constants.contains(**name)).peekable();
        let is_shape = match node.is("Shape") || node.is("Size") {
            true => true,
            false => computed.peek().is_some() && computed.all(|name| shapes.contains(name)),
        };
        if is_shape {
            shapes.extend(node.outputs().filter(|name| !constants.contains(name)));
        }
    }
    shapes
}
