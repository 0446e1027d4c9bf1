//! Where the layers without weights round what they read.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::demand::{Judge, Kernel, NotInt8};
use crate::graph;
use crate::model::Model;
use crate::proto::{GraphProto, NodeProto, elem};
use crate::quantize::Skipped;
use crate::quantize::sites::{Operand, Site};
use crate::types;

/// Adds to `sites` every layer without weights that would run in INT8, and to `skipped` those that would not.
pub(super) fn add(
    model: &Model,
    scales: &dyn Fn(&str) -> Option<f32>,
    keep: &[String],
    sites: &mut BTreeMap<usize, Site>,
    skipped: &mut Vec<Skipped>,
) {
    let graph = model.graph();
    let judge = Judge::of(model, scales, keep);
    let types = types::infer(graph, &model.proto.functions);
    let inside = Fusion::of(graph).inside();
    let known: HashSet<String> = skipped.iter().map(|skipped| skipped.node.clone()).collect();
    for (index, node) in graph.node.iter().enumerate() {
        // A residual Add of quantized convolutions has its site already.
        if sites.contains_key(&index) || Kernel::of(node) == Some(Kernel::Weighted) {
            continue;
        }
        let (display, op) = (node.display(index), node.op().to_owned());
        match (judge.layer(node), Kernel::of(node)) {
            (None | Some(Some(NotInt8::Shape | NotInt8::NotFloat)), _) => {}
            (Some(Some(reason)), _) => {
                if !known.contains(&display) {
                    skipped.push(Skipped { node: display, op, reason: reason.to_string() });
                }
            }
            (Some(None), Some(kernel)) => {
                let reads = kernel.data_inputs(node).into_iter().filter_map(|at| Some((at, node.input(at)?)));
                let rounds = reads.filter(|(at, name)| {
                    judge.unasked(name).is_none()
                        && types.get(name).is_none_or(|&elem| elem == elem::FLOAT)
                        && !inside.contains(&(index, *at))
                });
                let site = rounds.filter_map(|(at, name)| {
                    Some((at, Operand::Activation { scale: judge.scale(name).ok()? }))
                });
                let site: Site = site.collect();
                if !site.is_empty() {
                    sites.insert(index, site);
                }
            }
            (Some(None), None) => {}
        }
    }
}

/// Which values never leave the kernel that computes them.
///
/// TensorRT computes a layer that works value by value inside the kernel before it: a convolution's activation function,
/// the two nodes of a Swish, a residual Add. Of an Add's two operands the later one is inside; the other is read from
/// memory.
struct Fusion<'a> {
    graph: &'a GraphProto,
    producers: HashMap<&'a str, usize>,
    consumers: HashMap<&'a str, Vec<usize>>,
    by_name: HashSet<String>,
}

impl<'a> Fusion<'a> {
    fn of(graph: &'a GraphProto) -> Self {
        let outputs = graph.node.iter().enumerate();
        let producers = outputs.flat_map(|(index, node)| node.outputs().map(move |name| (name, index)));
        Self {
            graph,
            producers: producers.collect(),
            consumers: graph::consumers(graph),
            by_name: graph::read_by_name(graph),
        }
    }

    /// The inputs, by node and position, that are not read from memory.
    fn inside(&self) -> HashSet<(usize, usize)> {
        let mut inside = HashSet::new();
        for (index, node) in self.graph.node.iter().enumerate() {
            let Some(kernel) = Kernel::of(node).filter(|kernel| kernel.is_pointwise()) else { continue };
            let candidates = kernel.data_inputs(node).into_iter().filter_map(|at| {
                let name = node.input(at)?;
                let producer = self.stays(name, index)?;
                Some((producer, at))
            });
            let candidates: Vec<(usize, usize)> = candidates.collect();
            let Some(&(last, _)) = candidates.iter().max() else { continue };
            // The gate of a Swish is computed from the other operand, and both are inside.
            let is_gate = |producer: usize| {
                self.graph.node[last].input(0).is_some_and(|name| self.producers.get(name) == Some(&producer))
            };
            let fused =
                candidates.into_iter().filter(|(producer, _)| *producer == last || is_gate(*producer));
            inside.extend(fused.map(|(_, at)| (index, at)));
        }
        inside
    }

    /// The node that computes `name`, if the value need not be stored for the node number `reader`.
    fn stays(&self, name: &str, reader: usize) -> Option<usize> {
        let producer = *self.producers.get(name)?;
        let kernel = Kernel::of(&self.graph.node[producer])?;
        if self.by_name.contains(name) || !(kernel == Kernel::Weighted || kernel.is_pointwise()) {
            return None;
        }
        let readers = self.consumers.get(name)?;
        let first = *readers.first()?;
        let mut others = readers.iter().copied().filter(|&other| other != first);
        let stays = match (others.next(), others.next()) {
            (None, _) => first == reader,
            (Some(second), None) => self.is_gated(first, second),
            (Some(_), Some(_)) => false,
        };
        stays.then_some(producer)
    }

    /// Whether the first of these nodes is the gate of a Swish, and the second multiplies with it.
    fn is_gated(&self, gate: usize, product: usize) -> bool {
        let [gate, product]: [&NodeProto; 2] = [gate, product].map(|index| &self.graph.node[index]);
        let gated = gate.outputs().next();
        let only_there =
            gated.and_then(|name| self.consumers.get(name)).is_some_and(|readers| readers.len() == 1);
        let is_operand = gated.is_some_and(|gated| product.input.iter().any(|input| input == gated));
        Kernel::of(gate) == Some(Kernel::Function) && product.is("Mul") && only_there && is_operand
    }
}
