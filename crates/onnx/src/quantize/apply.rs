//! Puts the Q/DQ nodes into the graph and takes out what nobody reads any more.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use super::sites::{Operand, Site};
use super::weight;
use crate::error::OnnxError;
use crate::graph::{self, Names};
use crate::model::Model;
use crate::proto::{NodeProto, TensorProto, elem};
use crate::tensor;

/// Rewrites the inputs of `sites`; returns how many activations were quantized.
pub(super) fn apply(model: &mut Model, sites: BTreeMap<usize, Site>) -> Result<usize, OnnxError> {
    let folder = model.folder.clone();
    let mut rewriter = Rewriter {
        names: Names::of(&model.proto),
        folder: folder.as_deref(),
        activations: HashMap::new(),
        weights: HashMap::new(),
        nodes: Vec::new(),
        initializers: Vec::new(),
    };
    let graph = model.graph_mut();
    let mut replaced = HashSet::new();
    let mut sites = sites.into_iter().peekable();
    for (index, mut node) in std::mem::take(&mut graph.node).into_iter().enumerate() {
        if let Some((_, site)) = sites.next_if(|(at, _)| *at == index) {
            for (input, operand) in site {
                let value = node.input[input].clone();
                node.input[input] = match operand {
                    Operand::Activation { scale } => rewriter.activation(&value, scale),
                    Operand::Weight { tensor, axis } => {
                        replaced.insert(value.clone());
                        rewriter.weight(&value, &tensor, axis)?
                    }
                };
            }
        }
        rewriter.nodes.push(node);
    }
    graph.node = rewriter.nodes;
    graph.initializer.append(&mut rewriter.initializers);
    graph::drop_unread(graph, replaced);
    Ok(rewriter.activations.len())
}

struct Rewriter<'a> {
    names: Names,
    folder: Option<&'a Path>,
    /// The dequantized value of each activation that was quantized before.
    activations: HashMap<String, String>,
    /// The same of each weight, by its name and axis.
    weights: HashMap<(String, Option<usize>), String>,
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

    fn weight(
        &mut self,
        value: &str,
        tensor: &TensorProto,
        axis: Option<usize>,
    ) -> Result<String, OnnxError> {
        let key = (value.to_owned(), axis);
        if let Some(known) = self.weights.get(&key) {
            return Ok(known.clone());
        }
        let weight::Quantized { values, scales } = weight::quantize(tensor, axis, self.folder)?;
        let [scale_name, zero_name, quantized] = self.parts(value);
        let dequantized = self.names.fresh(&format!("{value}_dequantized"));
        let dims: &[i64] = if axis.is_some() { &[scales.len() as i64] } else { &[] };
        self.initializers.push(tensor::from_floats(scale_name.clone(), dims, &scales));
        self.initializers.push(tensor::new(zero_name.clone(), elem::INT8, dims, vec![0; scales.len()]));
        let bytes: Vec<u8> = values.iter().map(|value| value.cast_unsigned()).collect();
        self.initializers.push(tensor::new(quantized.clone(), elem::INT8, &tensor.dims, bytes));
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
