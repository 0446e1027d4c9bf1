//! Rewrites nodes one after the other.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use super::Fp16Report;
use super::keep::Choice;
use crate::error::OnnxError;
use crate::graph::{self, Names};
use crate::half;
use crate::model::Model;
use crate::proto::{GraphProto, NodeProto, TensorProto, elem};
use crate::qdq::is_qdq;
use crate::quantize::Skipped;
use crate::{tensor, types};

/// Numbers beyond this stand for infinity: the -3.4e38 of attention masks, the bound of a Clip that has none.
const STANDS_FOR_INFINITY: f32 = 1e30;

/// A stored float32 tensor as float16.
#[derive(Clone)]
pub(super) enum Halved {
    /// It fits.
    Fits { tensor: Box<TensorProto>, clamped: bool },
    /// A number is beyond float16, or is the tensor's only one and nothing in it.
    Beyond,
}

pub(super) struct Converter {
    names: Names,
    folder: Option<PathBuf>,
    types: HashMap<String, i32>,
    stored: HashMap<String, TensorProto>,
    /// Values whose names must stay float32: outputs of the model, and what bodies read.
    outputs: HashSet<String>,
    /// Each weight in float16 once it was asked for.
    halved: HashMap<String, Halved>,
    /// The values that are float16 by nature.
    half: HashSet<String>,
    /// The name under which a value has the other type.
    twins: HashMap<String, String>,
    /// The DequantizeLinear behind each float16 value that has one, as it was before.
    dequantizers: HashMap<String, NodeProto>,
    nodes: Vec<NodeProto>,
    initializers: Vec<TensorProto>,
}

impl Converter {
    pub(super) fn new(model: &Model) -> Self {
        let graph = model.graph();
        let owned = |(name, elem): (&str, i32)| (name.to_owned(), elem);
        let stored = graph::stored_tensors(graph).into_iter();
        Self {
            names: Names::of(&model.proto),
            folder: model.folder.clone(),
            types: types::infer(graph, &model.proto.functions).into_iter().map(owned).collect(),
            stored: stored.map(|(name, tensor)| (name.to_owned(), tensor.clone())).collect(),
            outputs: graph::read_by_name(graph),
            halved: HashMap::new(),
            half: HashSet::new(),
            twins: HashMap::new(),
            dequantizers: HashMap::new(),
            nodes: Vec::new(),
            initializers: Vec::new(),
        }
    }

    /// Puts the new nodes and weights into `graph`; returns the names of the values that are float16 now.
    pub(super) fn finish(self, graph: &mut GraphProto, report: &mut Fp16Report) -> HashSet<String> {
        let Self { nodes, mut initializers, halved, half, twins, .. } = self;
        graph.node = nodes;
        graph.initializer.append(&mut initializers);
        let used = halved.into_iter().filter(|(name, _)| twins.contains_key(name));
        let used: Vec<_> = used.filter(|(_, halved)| matches!(halved, Halved::Fits { .. })).collect();
        let clamped = used.iter().filter(|(_, halved)| matches!(halved, Halved::Fits { clamped: true, .. }));
        report.clamped = clamped.map(|(name, _)| name.clone()).collect();
        report.clamped.sort();
        graph::drop_unread(graph, used.into_iter().map(|(name, _)| name).collect());
        half
    }

    /// Adds `node` with the inputs and outputs that `choice` asks for.
    pub(super) fn convert(
        &mut self,
        mut node: NodeProto,
        index: usize,
        choice: Choice,
        report: &mut Fp16Report,
    ) -> Result<(), OnnxError> {
        let reason = match choice {
            Choice::Untouched => {
                self.nodes.push(node);
                return Ok(());
            }
            Choice::Half => None,
            Choice::Keep { reason, .. } => Some(reason),
        };
        let original = node.clone();
        for at in 0..node.input.len() {
            let wanted = reason.is_none() && !stays_float(&node, at);
            node.input[at] = self.read(&node.input[at], wanted)?;
        }
        let quantizes = is_qdq(&node);
        match reason {
            Some(reason) => {
                if !quantizes {
                    let op = node.qualified_op();
                    report.kept.push(Skipped { node: node.display(index), op, reason });
                }
                self.nodes.push(node);
            }
            None => {
                report.converted += usize::from(!quantizes);
                if node.is("DequantizeLinear") {
                    let remembered = node.outputs().map(|name| (name.to_owned(), original.clone()));
                    self.dequantizers.extend(remembered);
                }
                self.push_half(node);
            }
        }
        Ok(())
    }

    pub(super) fn type_of(&self, name: &str) -> Option<i32> {
        self.types.get(name).copied()
    }

    pub(super) fn is_float(&self, name: &str) -> bool {
        self.type_of(name) == Some(elem::FLOAT)
    }

    /// Whether the value is float32 under its own name whatever computes it.
    pub(super) fn keeps_name(&self, name: &str) -> bool {
        self.outputs.contains(name)
    }

    /// The numbers of a stored float32 tensor; `None` where `name` is none.
    pub(super) fn stored_floats(&self, name: &str) -> Result<Option<Vec<f32>>, OnnxError> {
        match self.stored.get(name) {
            Some(stored) if self.is_float(name) => tensor::floats(stored, self.folder.as_deref()).map(Some),
            _ => Ok(None),
        }
    }

    /// The stored float32 tensor `name` as float16; `None` where `name` is none.
    pub(super) fn halve(&mut self, name: &str) -> Result<Option<&Halved>, OnnxError> {
        if !self.halved.contains_key(name) {
            let Some(mut values) = self.stored_floats(name)? else { return Ok(None) };
            let halved = match in_range(&mut values) {
                None => Halved::Beyond,
                Some(clamped) => match half::raw(&values) {
                    None => Halved::Beyond,
                    Some(raw) => {
                        let fresh = self.names.fresh(&format!("{name}_fp16"));
                        let dims = &self.stored[name].dims;
                        Halved::Fits {
                            tensor: Box::new(tensor::new(fresh, elem::FLOAT16, dims, raw)),
                            clamped,
                        }
                    }
                },
            };
            self.halved.insert(name.to_owned(), halved);
        }
        Ok(self.halved.get(name))
    }

    /// The name under which `value` is float16 (`half`) or float32; other types are none of our business.
    fn read(&mut self, value: &str, half: bool) -> Result<String, OnnxError> {
        if !self.is_float(value) || self.half.contains(value) == half {
            return Ok(value.to_owned());
        }
        if let Some(twin) = self.twins.get(value) {
            return Ok(twin.clone());
        }
        let twin = if half && let Some(Halved::Fits { tensor, .. }) = self.halve(value)?.cloned() {
            let name = tensor::name(&tensor);
            self.initializers.push(*tensor);
            name
        } else {
            let twin = self.names.fresh(&format!("{value}_{}", if half { "fp16" } else { "fp32" }));
            match self.dequantizers.get(value).cloned() {
                // The integers are read again: a Cast would keep the builder from an INT8 kernel.
                Some(mut again) if !half => {
                    again.output = vec![twin.clone()];
                    again.name = Some(self.names.fresh(&format!("{twin}_DequantizeLinear")));
                    self.nodes.push(again);
                }
                _ => {
                    let elem = if half { elem::FLOAT16 } else { elem::FLOAT };
                    self.cast(value.to_owned(), twin.clone(), elem);
                }
            }
            twin
        };
        self.twins.insert(value.to_owned(), twin.clone());
        Ok(twin)
    }

    fn cast(&mut self, from: String, to: String, elem: i32) {
        let mut node = graph::node("Cast", &mut self.names, [from], [to]);
        node.attribute.push(graph::int_attribute("to", i64::from(elem)));
        self.nodes.push(node);
    }

    /// Adds a node whose float outputs are float16 now, and a Cast after each whose name must stay float32.
    fn push_half(&mut self, mut node: NodeProto) {
        for (op, stated) in [("Cast", "to"), ("DequantizeLinear", "output_dtype")] {
            if node.is(op) && node.int(stated, 0) == i64::from(elem::FLOAT) {
                node.attribute.retain(|attribute| attribute.name.as_deref() != Some(stated));
                node.attribute.push(graph::int_attribute(stated, i64::from(elem::FLOAT16)));
            }
        }
        let statistics = if node.is("LayerNormalization") { 1 } else { usize::MAX };
        let mut casts = Vec::new();
        for (at, name) in node.output.iter_mut().enumerate() {
            // Its mean and deviation are float32 whatever it reads.
            if at >= statistics || self.types.get(name.as_str()) != Some(&elem::FLOAT) {
                continue;
            }
            if self.outputs.contains(name.as_str()) {
                let inner = self.names.fresh(&format!("{name}_fp16"));
                self.twins.insert(name.clone(), inner.clone());
                casts.push((inner.clone(), std::mem::replace(name, inner)));
            } else {
                self.half.insert(name.clone());
            }
        }
        self.nodes.push(node);
        casts.into_iter().for_each(|(from, to)| self.cast(from, to, elem::FLOAT));
    }
}

/// Limits numbers that stand for infinity and tells whether there were any; `None` where float16 has no use for them.
///
/// A small number among others rounds to nothing, as a weight may. Alone it is an epsilon, which keeps a divisor from zero.
fn in_range(values: &mut [f32]) -> Option<bool> {
    if let &mut [single] = values
        && single.is_normal()
        && single.abs() < 1.0
        && !half::holds(&[single])
    {
        return None;
    }
    let mut clamped = false;
    for value in values {
        if value.is_finite() && value.abs() > STANDS_FOR_INFINITY {
            *value = half::MAX.copysign(*value);
            clamped = true;
        }
    }
    Some(clamped)
}

/// Whether ONNX wants float32 for this input whatever the others are.
pub(super) fn stays_float(node: &NodeProto, input: usize) -> bool {
    match node.op() {
        "Resize" => matches!(input, 1 | 2), // The region of interest and the scales.
        "OneHot" => matches!(input, 0 | 1), // Numbers of classes, which may be floats.
        _ => false,
    }
}
