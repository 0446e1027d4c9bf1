//! Takes the QuantizeLinear and DequantizeLinear nodes out of a graph again.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use serde::Serialize;

use crate::error::OnnxError;
use crate::graph::{self, Names};
use crate::half;
use crate::model::Model;
use crate::proto::{NodeProto, TensorProto, elem};
use crate::quantize::Skipped;
use crate::{tensor, types};

use super::Stored;

/// What [`strip_qdq`] did.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct StripReport {
    /// How many activations, or float weights, no longer pass through Q/DQ.
    pub pairs: usize,
    /// How many stored integers, weights and biases, were turned back to floats.
    pub folded: usize,
    /// How many Clip nodes stand where an asymmetric pair saturated: some quantizers leave out a ReLU or Clip which the
    /// pair implies.
    pub clips: usize,
    /// The Q/DQ nodes that are still there, and why. Empty for a graph that any hardware can run.
    pub left: Vec<Skipped>,
}

/// Takes Q/DQ out of `model`: what is left computes in floats, with the weights as they were quantized.
///
/// Whatever read a dequantized activation reads the activation. Stored integers with a DequantizeLinear become float
/// weights. Integers that other operators compute or read keep their Q/DQ, and are reported. On an error the model is
/// as it was.
///
/// # Errors
/// [`OnnxError::BadTensor`] for stored data that does not fit its shape, and the errors of external data.
pub fn strip_qdq(model: &mut Model) -> Result<StripReport, OnnxError> {
    let mut work = model.clone();
    let graph = work.graph();
    let owned = |(name, elem): (&str, i32)| (name.to_owned(), elem);
    let stored = graph::stored_tensors(graph).into_iter();
    let mut stripper = Stripper {
        names: Names::of(&work.proto),
        folder: work.folder.clone(),
        types: types::infer(graph, &work.proto.functions).into_iter().map(owned).collect(),
        stored: stored.map(|(name, tensor)| (name.to_owned(), tensor.clone())).collect(),
        outputs: graph::read_by_name(graph),
        quantizers: HashMap::new(),
        renamed: HashMap::new(),
        unread: HashSet::new(),
        nodes: Vec::new(),
        initializers: Vec::new(),
        report: StripReport::default(),
    };
    let graph = work.graph_mut();
    for (index, node) in std::mem::take(&mut graph.node).into_iter().enumerate() {
        stripper.visit(node, index)?;
    }
    let Stripper { nodes, mut initializers, mut unread, quantizers, mut report, .. } = stripper;
    graph.node = nodes;
    graph.initializer.append(&mut initializers);
    let read: HashSet<String> = graph::consumers(graph).into_keys().map(str::to_owned).collect();
    let outputs: HashSet<String> = graph.output.iter().filter_map(|output| output.name.clone()).collect();
    let mut gone = HashSet::new();
    for (quantized, Quantizer { node, display, .. }) in quantizers {
        if read.contains(&quantized) || outputs.contains(&quantized) {
            let reason = format!("something other than DequantizeLinear reads `{quantized}`");
            report.left.push(Skipped { node: display, op: "QuantizeLinear".into(), reason });
        } else {
            unread.extend(node.input.into_iter().skip(1));
            gone.insert(quantized);
        }
    }
    report.left.sort_by(|a, b| a.node.cmp(&b.node));
    graph.node.retain(|node| !(node.is("QuantizeLinear") && node.outputs().any(|name| gone.contains(name))));
    graph.value_info.retain(|value| !value.name.as_ref().is_some_and(|name| gone.contains(name)));
    graph::drop_unread(graph, unread);
    *model = work;
    Ok(report)
}

struct Quantizer {
    node: NodeProto,
    display: String,
}

struct Stripper {
    names: Names,
    folder: Option<PathBuf>,
    types: HashMap<String, i32>,
    stored: HashMap<String, TensorProto>,
    /// Values whose name must stay: outputs of the model, and what bodies read.
    outputs: HashSet<String>,
    /// The QuantizeLinear nodes, by output.
    quantizers: HashMap<String, Quantizer>,
    /// What is read in place of a dequantized value.
    renamed: HashMap<String, String>,
    /// Stored values that lost a reader.
    unread: HashSet<String>,
    nodes: Vec<NodeProto>,
    initializers: Vec<TensorProto>,
    report: StripReport,
}

impl Stripper {
    fn visit(&mut self, mut node: NodeProto, index: usize) -> Result<(), OnnxError> {
        for input in &mut node.input {
            if let Some(other) = self.renamed.get(input) {
                *input = other.clone();
            }
        }
        if node.is("QuantizeLinear") {
            let display = node.display(index);
            for output in node.outputs() {
                self.quantizers
                    .insert(output.to_owned(), Quantizer { node: node.clone(), display: display.clone() });
            }
        } else if node.is("DequantizeLinear") {
            if let Err(reason) = self.dequantizer(&node)? {
                let node = node.display(index);
                self.report.left.push(Skipped { node, op: "DequantizeLinear".into(), reason });
            } else {
                self.unread.extend(node.input);
                return Ok(());
            }
        }
        self.nodes.push(node);
        Ok(())
    }

    /// Replaces the node, or tells why it has to stay.
    fn dequantizer(&mut self, node: &NodeProto) -> Result<Result<(), String>, OnnxError> {
        let (Some(input), Some(scale), Some(output)) = (node.input(0), node.input(1), node.outputs().next())
        else {
            return Ok(Err("an input is absent".into()));
        };
        if let Some(Quantizer { node: quantizer, .. }) = self.quantizers.get(input) {
            let Some(source) = quantizer.input(0).map(str::to_owned) else {
                return Ok(Err("an input is absent".into()));
            };
            if self.types.get(&source) != self.types.get(output) || !self.types.contains_key(&source) {
                return Ok(Err(format!("it changes the type of `{source}`")));
            }
            let range = self.range(&quantizer.clone())?;
            self.report.pairs += 1;
            self.replace(&source, output, range);
            return Ok(Ok(()));
        }
        if !self.stored.contains_key(input) {
            return Ok(Err(format!("`{input}` is computed in integers")));
        }
        if !self.stored.contains_key(scale) {
            return Ok(Err(format!("its scale is computed: `{scale}`")));
        }
        let Some(folded) =
            Stored::of(node, &self.stored).map(|stored| stored.fold(output, self.folder.as_deref()))
        else {
            return Ok(Err("its zero point is computed, or its scales are for blocks".into()));
        };
        match folded? {
            None => Ok(Err(format!("`{input}` or its scale is of a type that is not folded"))),
            Some(tensor) => {
                self.initializers.push(tensor);
                self.report.folded += 1;
                Ok(Ok(()))
            }
        }
    }

    /// What an asymmetric per-tensor pair saturates at.
    fn range(&mut self, node: &NodeProto) -> Result<Option<(f32, f32)>, OnnxError> {
        let stored = |index: usize| node.input(index).and_then(|name| self.stored.get(name));
        let folder = self.folder.as_deref();
        let Some(scale) = stored(1) else { return Ok(None) };
        // Without a zero point it is 0, in the type that the node states, or UINT8.
        let zero = match node.input(2) {
            None => Some(vec![0]),
            Some(_) => stored(2).map(|zero| tensor::integers(zero, folder)).transpose()?.flatten(),
        };
        let (Some(scale), Some(zero)) = (tensor::any_floats(scale, folder)?, zero) else { return Ok(None) };
        let (&[scale], &[zero_point]) = (&scale[..], &zero[..]) else { return Ok(None) };
        let quantized = node.outputs().next().and_then(|name| self.types.get(name).copied());
        let (lowest, highest) = match quantized {
            Some(elem::UINT8) => (0, 255),
            Some(elem::INT8) if zero_point != 0 => (-128, 127),
            _ => return Ok(None),
        };
        let at = |level: i32| (level - zero_point) as f32 * scale;
        Ok(Some((at(lowest), at(highest))))
    }

    /// Everybody reads `source`, within `range`, where they read `output`.
    fn replace(&mut self, source: &str, output: &str, range: Option<(f32, f32)>) {
        let kept = self.outputs.contains(output);
        let inputs = match range {
            None if !kept => {
                self.renamed.insert(output.to_owned(), source.to_owned());
                return;
            }
            None => vec![source.to_owned()],
            Some((low, high)) => {
                self.report.clips += 1;
                let half = self.types.get(source) == Some(&elem::FLOAT16);
                let bounds = [("lowest", low), ("highest", high)].map(|(word, value)| {
                    let name = self.names.fresh(&format!("{output}_{word}"));
                    let value = value.clamp(-half::MAX, half::MAX);
                    self.initializers.push(match half.then(|| half::raw(&[value])).flatten() {
                        Some(raw) => tensor::new(name.clone(), elem::FLOAT16, &[], raw),
                        None => tensor::from_floats(name.clone(), &[], &[value]),
                    });
                    name
                });
                [source.to_owned()].into_iter().chain(bounds).collect()
            }
        };
        let op = if range.is_some() { "Clip" } else { "Identity" };
        let mut node = graph::node(op, &mut self.names, [], [output.to_owned()]);
        node.input = inputs;
        self.nodes.push(node);
    }
}
