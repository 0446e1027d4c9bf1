//! Decides which nodes are quantized, and how each of their inputs is.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::weight::{self, Weight};
use super::{QuantOptions, QuantReport, QuantizedNode, Skipped};
use crate::graph;
use crate::model::Model;
use crate::proto::{GraphProto, NodeProto, elem};
use crate::tensor;
use crate::types;

/// The inputs of a node that are to be quantized, by position.
pub(crate) type Site = Vec<(usize, Operand)>;

/// How one input is quantized.
pub(crate) enum Operand {
    /// Per tensor, with the scale from the table.
    Activation { scale: f32 },
    /// From its own values: per slice along `axis`, or per tensor without one.
    Weight { axis: Option<usize> },
}

/// What a node's inputs are looked up in.
struct Context<'a> {
    scales: &'a dyn Fn(&str) -> Option<f32>,
    options: &'a QuantOptions,
    weights: HashMap<&'a str, Weight<'a>>,
    constants: HashSet<&'a str>,
    types: HashMap<&'a str, i32>,
}

/// Every node to quantize, by its index; nodes of a suitable operator that are left out go to `report`.
pub(crate) fn find(
    model: &Model,
    scales: &dyn Fn(&str) -> Option<f32>,
    options: &QuantOptions,
    report: &mut QuantReport,
) -> BTreeMap<usize, Site> {
    let graph = model.graph();
    let types = types::infer(graph, &model.proto.functions);
    let (weights, constants) = (weight::all(graph), graph::constants(graph));
    let context = Context { scales, options, weights, constants, types };
    let mut sites = BTreeMap::new();
    for (index, node) in graph.node.iter().enumerate() {
        let Some(site) = context.site(node) else { continue };
        let (display, op) = (node.display(index), node.op().to_owned());
        match site {
            Ok(site) => {
                report.quantized.push(QuantizedNode { node: display, op });
                sites.insert(index, site);
            }
            Err(reason) => report.skipped.push(Skipped { node: display, op, reason }),
        }
    }
    if options.residual {
        find_residuals(graph, &context, &mut sites, report);
    }
    sites
}

impl Context<'_> {
    /// How to quantize `node`: `None` if its operator is none of ours, an error with the reason to leave it alone.
    fn site(&self, node: &NodeProto) -> Option<Result<Site, String>> {
        let ours = ["Conv", "ConvTranspose", "Gemm", "MatMul"].iter().any(|op| node.is(op));
        ours.then(|| self.excluded(node).and_then(|()| self.operands(node)))
    }

    fn excluded(&self, node: &NodeProto) -> Result<(), String> {
        match graph::is_named(node, &self.options.keep) {
            true => Err("kept by name".to_owned()),
            false => Ok(()),
        }
    }

    fn operands(&self, node: &NodeProto) -> Result<Site, String> {
        let [left, right] = [0, 1].map(|index| node.input(index));
        let (Some(left), Some(right)) = (left, right) else {
            return Err("an input is absent".to_owned());
        };
        let grouped = node.int("group", 1) > 1;
        if node.is("ConvTranspose") && !self.options.transposed {
            return Err("the builder has no INT8 kernel for it".to_owned());
        }
        if grouped && !self.options.grouped {
            return Err("a convolution in groups, which takes more room in INT8".to_owned());
        }
        if self.constants.contains(left) && self.constants.contains(right) {
            return Err("it depends on constants only".to_owned());
        }
        if [left, right].iter().any(|name| self.constants.contains(name) && !self.weights.contains_key(name))
        {
            let mend = "simplify the model first (onnxslim, onnxsim)";
            return Err(format!("its weight is computed from constants: {mend}"));
        }
        match (self.weights.get(left), self.weights.get(right), node.op()) {
            (None, Some(weight), op) => {
                let axis = match op {
                    "Conv" => Some(0),
                    // Its weight is [in, out / group, ...]: with groups one slice serves several output channels.
                    "ConvTranspose" => (!grouped).then_some(1),
                    "Gemm" => Some(if node.int("transB", 0) != 0 { 0 } else { 1 }),
                    _ => weight.dims().len().checked_sub(1).filter(|&axis| axis > 0),
                };
                Ok(vec![(0, self.activation(left)?), (1, self.weight(right, weight, axis)?)])
            }
            (Some(weight), None, "MatMul") => {
                let axis = weight.dims().len().checked_sub(2);
                Ok(vec![(0, self.weight(left, weight, axis)?), (1, self.activation(right)?)])
            }
            (None, None, "MatMul") if self.options.min_weight == 0 => {
                Ok(vec![(0, self.activation(left)?), (1, self.activation(right)?)])
            }
            (None, None, "MatMul") => Err("a product of two activations".to_owned()),
            _ => Err(format!("its weight is computed: `{right}`")),
        }
    }

    fn activation(&self, name: &str) -> Result<Operand, String> {
        if self.options.keep.iter().any(|kept| kept == name) {
            return Err(format!("it reads `{name}`, which is kept"));
        }
        if self.types.get(name).is_some_and(|&elem| elem != elem::FLOAT) {
            return Err(format!("not a float32 tensor: `{name}`"));
        }
        match (self.scales)(name) {
            None => Err(format!("no scale for `{name}`")),
            Some(scale) if !scale.is_normal() || scale < 0.0 => {
                Err(format!("the scale of `{name}` is not a positive number: {scale:e}"))
            }
            Some(scale) => Ok(Operand::Activation { scale }),
        }
    }

    fn weight(&self, name: &str, weight: &Weight, axis: Option<usize>) -> Result<Operand, String> {
        let tensor = weight.tensor;
        if tensor.data_type != Some(elem::FLOAT) {
            return Err(format!("its weight is not a float32 tensor: `{name}`"));
        }
        if axis.is_some_and(|axis| axis >= tensor.dims.len()) {
            return Err(format!("its weight has too few dimensions: `{name}`"));
        }
        let elements = tensor::elements(tensor).unwrap_or_default();
        if elements == 0 {
            return Err(format!("its weight is empty: `{name}`"));
        }
        if elements < self.options.min_weight {
            let least = self.options.min_weight;
            return Err(format!(
                "its weight has fewer than {least} elements, too few to make the engine smaller"
            ));
        }
        Ok(Operand::Weight { axis })
    }
}

/// Finds each Add that joins a quantized convolution with another branch.
///
/// TensorRT computes such an Add inside the convolution if the other operand is INT8, so that one is quantized; the
/// convolution's own result is not, since it never leaves the kernel.
fn find_residuals(
    graph: &GraphProto,
    context: &Context,
    sites: &mut BTreeMap<usize, Site>,
    report: &mut QuantReport,
) {
    let consumers = graph::consumers(graph);
    let outputs: HashSet<&str> = graph.output.iter().filter_map(|output| output.name.as_deref()).collect();
    // The convolutions whose result only one node reads, by that result.
    let fused: HashMap<&str, usize> = (sites.keys())
        .filter(|&&index| ["Conv", "ConvTranspose"].iter().any(|op| graph.node[index].is(op)))
        .filter_map(|&index| Some((graph.node[index].outputs().next()?, index)))
        .filter(|(name, _)| !outputs.contains(name) && consumers.get(name).is_some_and(|u| u.len() == 1))
        .collect();
    for (index, node) in graph.node.iter().enumerate().filter(|(_, node)| node.is("Add")) {
        let (Some(left), Some(right)) = (node.input(0), node.input(1)) else { continue };
        // Of two convolutions the later one finds the other's result ready, so the Add belongs to it.
        let other = match (fused.get(left), fused.get(right)) {
            (None, None) => continue,
            // The one that is no convolution (`None` comes first) or, of two, the one that is computed first.
            (left, right) => usize::from(left > right),
        };
        let name = if other == 0 { left } else { right };
        if context.constants.contains(name) {
            continue; // A bias, not a branch.
        }
        let (display, op) = (node.display(index), node.op().to_owned());
        match context.excluded(node).and_then(|()| context.activation(name)) {
            Ok(operand) => {
                report.quantized.push(QuantizedNode { node: display, op });
                sites.insert(index, vec![(other, operand)]);
            }
            Err(reason) => report.skipped.push(Skipped { node: display, op, reason }),
        }
    }
}
