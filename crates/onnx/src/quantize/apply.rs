//! Puts the Q/DQ nodes into the graph and takes out what nobody reads any more.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use super::sites::{Operand, Site};
use super::weight::{self, Weight};
use crate::error::OnnxError;
use crate::graph::{self, Names};
use crate::model::Model;
use crate::proto::{NodeProto, TensorProto, elem};
use crate::tensor;

/// How a quantized weight is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stored {
    /// As INT8, with a DequantizeLinear.
    Int8,
    /// As the floats that the DequantizeLinear would give.
    Floats,
}

/// Rewrites the inputs of `sites`; returns the dequantized value of each activation that was quantized.
pub(crate) fn apply(
    model: &mut Model,
    sites: BTreeMap<usize, Site>,
    stored_as: Stored,
) -> Result<HashMap<String, String>, OnnxError> {
    let graph = model.graph();
    let mut rewriter = Rewriter {
        names: Names::of(&model.proto),
        folder: model.folder.as_deref(),
        stored: weight::all(graph),
        stored_as,
        activations: HashMap::new(),
        weights: HashMap::new(),
        nodes: Vec::new(),
        initializers: Vec::new(),
    };
    let mut replaced = HashSet::new();
    let mut edits = Vec::with_capacity(sites.len());
    for (index, site) in sites {
        let mut inputs = graph.node[index].input.clone();
        for (input, operand) in site {
            let value = &mut inputs[input];
            *value = match operand {
                Operand::Activation { scale } => rewriter.activation(value, scale),
                Operand::Weight { axis } => {
                    replaced.insert(value.clone());
                    rewriter.weight(value, axis)?
                }
            };
        }
        edits.push((index, std::mem::take(&mut rewriter.nodes), inputs));
    }
    let Rewriter { activations, mut initializers, .. } = rewriter;
    let graph = model.graph_mut();
    let mut edits = edits.into_iter().peekable();
    for (index, mut node) in std::mem::take(&mut graph.node).into_iter().enumerate() {
        if let Some((_, before, inputs)) = edits.next_if(|(at, ..)| *at == index) {
            graph.node.extend(before);
            node.input = inputs;
        }
        graph.node.push(node);
    }
    graph.initializer.append(&mut initializers);
    graph::drop_unread(graph, replaced);
    Ok(activations)
}

struct Rewriter<'a> {
    names: Names,
    folder: Option<&'a Path>,
    stored: HashMap<&'a str, Weight<'a>>,
    stored_as: Stored,
    /// The dequantized value of each activation that was quantized before.
    activations: HashMap<String, String>,
    /// The same of each weight, by its name and axis.
    weights: HashMap<(String, Option<usize>), String>,
    /// What must come before the node at hand.
    nodes: Vec<NodeProto>,
    initializers: Vec<TensorProto>,
}

impl Rewriter<'_> {
    fn activation(&mut self, value: &str, scale: f32) -> String {
        if let Some(known) = self.activations.get(value) {
            return known.clone();
        }
        let [scale_name, zero_name, quantized] = self.parts(value);
        let dequantized = self.names.fresh(&format!("{value}_dequantized"));
        self.initializers.push(tensor::from_floats(scale_name.clone(), &[], &[scale]));
        self.initializers.push(tensor::new(zero_name.clone(), elem::INT8, &[], vec![0]));
        let parameters = [scale_name, zero_name];
        let inputs = |first: &str| [first.to_owned(), parameters[0].clone(), parameters[1].clone()];
        for (op, from, to) in [
            ("QuantizeLinear", value, quantized.as_str()),
            ("DequantizeLinear", quantized.as_str(), dequantized.as_str()),
        ] {
            self.nodes.push(graph::node(op, &mut self.names, inputs(from), [to.to_owned()]));
        }
        self.activations.insert(value.to_owned(), dequantized.clone());
        dequantized
    }

    /// `value` must be one of the stored.
    fn weight(&mut self, value: &str, axis: Option<usize>) -> Result<String, OnnxError> {
        let key = (value.to_owned(), axis);
        if let Some(known) = self.weights.get(&key) {
            return Ok(known.clone());
        }
        let stored = self.stored[value];
        let weight = weight::quantize(stored, axis, self.folder)?;
        if self.stored_as == Stored::Floats {
            let rounded = self.names.fresh(&format!("{value}_rounded"));
            self.initializers.push(tensor::from_floats(rounded.clone(), &stored.dims(), &weight.floats()));
            self.weights.insert(key, rounded.clone());
            return Ok(rounded);
        }
        let weight::Quantized { values, scales, .. } = weight;
        let [scale_name, zero_name, quantized] = self.parts(value);
        let dequantized = self.names.fresh(&format!("{value}_dequantized"));
        let dims: &[i64] = if axis.is_some() { &[scales.len() as i64] } else { &[] };
        self.initializers.push(tensor::from_floats(scale_name.clone(), dims, &scales));
        self.initializers.push(tensor::new(zero_name.clone(), elem::INT8, dims, vec![0; scales.len()]));
        let bytes: Vec<u8> = values.iter().map(|value| value.cast_unsigned()).collect();
        self.initializers.push(tensor::new(quantized.clone(), elem::INT8, &stored.dims(), bytes));
        let inputs = [quantized, scale_name, zero_name];
        let mut node = graph::node("DequantizeLinear", &mut self.names, inputs, [dequantized.clone()]);
        node.attribute.extend(axis.map(|axis| graph::int_attribute("axis", axis as i64)));
        self.nodes.push(node);
        self.weights.insert(key, dequantized.clone());
        Ok(dequantized)
    }

    fn parts(&mut self, value: &str) -> [String; 3] {
        ["scale", "zero_point", "quantized"].map(|part| self.names.fresh(&format!("{value}_{part}")))
    }
}
