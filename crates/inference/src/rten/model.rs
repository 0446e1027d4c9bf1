//! From an ONNX file to a graph in rten in which every activation can be asked for.

use std::path::Path;

use prost::Message as _;
use rten::{LoadErrorKind, ModelOptions, NodeId, RunError};
use trt_onnx::ExternalFile;
use trt_onnx::proto::{GraphProto, ModelProto};

use super::complete::{complete, data_name};
use crate::dataflow::last_readers;
use crate::names::{describe, domain_of};
use crate::{Omitted, SourceError};

/// A model that rten has loaded.
pub struct Prepared {
    pub(super) model: rten::Model,
    pub(super) nodes: NodeNames,
    /// The inputs that must be given, by name.
    pub(super) inputs: Vec<(String, NodeId)>,
    /// Name, node and last reader of each activation, in the order of computation, the inputs among them first.
    pub(super) tensors: Vec<(String, NodeId, usize)>,
    pub(super) omitted: Vec<Omitted>,
}

impl Prepared {
    /// Loads a validated model, whose external data lies in `folder`.
    ///
    /// `activations` are the float activations, the graph's inputs among them first.
    ///
    /// # Errors
    /// [`SourceError::Load`] with the node that rten cannot run, and [`SourceError::ExternalData`].
    pub fn load(
        mut proto: ModelProto,
        folder: &Path,
        external: &[ExternalFile],
        activations: &[String],
    ) -> Result<Self, SourceError> {
        let mut options = ModelOptions::with_all_ops();
        options.enable_optimization(false);
        for (number, file) in external.iter().enumerate() {
            let path = folder.join(&file.path);
            // What lies behind the last tensor is nobody's.
            let bytes = trt_files::read_start(&path, file.bytes)
                .map_err(|source| SourceError::ExternalData { path, source })?;
            options.external_data(&data_name(number), bytes);
        }
        let paths: Vec<_> = external.iter().map(|file| file.path.clone()).collect();
        complete(&mut proto, &paths);
        let nodes = NodeNames::replace(&mut proto);
        let fed = proto.graph.as_ref().map(fed_inputs).unwrap_or_default();
        forget_shapes(&mut proto);
        let model = options.load(proto.encode_to_vec()).map_err(|error| nodes.load_error(&error))?;

        let mut omitted = Vec::new();
        let mut known = Vec::new();
        for name in activations {
            match model.find_node(name) {
                Some(id) => known.push((name.as_str(), id)),
                None => omitted
                    .push(Omitted { name: name.clone(), why: "rten does not have this value".to_owned() }),
            }
        }
        let inputs: Vec<_> =
            (fed.into_iter()).filter_map(|name| model.find_node(&name).map(|id| (name, id))).collect();
        if inputs.is_empty() {
            let reason = "the graph has no input".to_owned();
            return Err(SourceError::Load { node: None, reason });
        }
        let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
        let last = proto.graph.as_ref().map(|graph| last_readers(graph, &names)).unwrap_or_default();
        let tensors =
            known.iter().zip(last).map(|((name, id), last)| ((*name).to_owned(), *id, last)).collect();
        Ok(Self { model, nodes, inputs, tensors, omitted })
    }
}

/// The inputs that must be given: those that have no stored default.
fn fed_inputs(graph: &GraphProto) -> Vec<String> {
    let stored: Vec<_> = graph.initializer.iter().map(|tensor| &tensor.name).collect();
    let fed = graph.input.iter().filter(|input| !stored.contains(&&input.name));
    fed.filter_map(|input| input.name.clone()).collect()
}

/// Removes what the file claims about the values between input and outputs.
///
/// rten checks claims against values that are fed, and stages feed values. Exporters get them wrong (a fixed batch
/// size in a model with a dynamic one), and running the graph needs none of them.
fn forget_shapes(proto: &mut ModelProto) {
    if let Some(graph) = &mut proto.graph {
        graph.value_info.clear();
        graph.output.iter_mut().for_each(|output| output.r#type = None);
    }
}

/// What people call the nodes, by a number that rten is given as the name.
///
/// In rten nodes and values share one namespace, and a node hides the value of its name; exporters (MXNet's) do
/// call nodes like their outputs. And nodes need no name in ONNX, while an error should always have one.
pub(super) struct NodeNames {
    prefix: String,
    shown: Vec<Shown>,
}

/// A node as its user knows it.
struct Shown {
    name: String,
    /// Where its operator comes from, if it is none of ONNX itself.
    domain: Option<String>,
}

impl NodeNames {
    /// Renames every node, in the bodies of If, Loop and Scan too.
    fn replace(proto: &mut ModelProto) -> Self {
        // No value may start like this, or the cure would be the disease.
        let mut prefix = "node#".to_owned();
        while proto.graph.as_ref().is_some_and(|graph| has_value(graph, &prefix)) {
            prefix.push('#');
        }
        let mut names = Self { prefix, shown: Vec::new() };
        if let Some(graph) = &mut proto.graph {
            names.rename(graph);
        }
        names
    }

    fn rename(&mut self, graph: &mut GraphProto) {
        for (index, node) in graph.node.iter_mut().enumerate() {
            let name = format!("{}{}", self.prefix, self.shown.len());
            let domain = domain_of(node);
            self.shown.push(Shown { name: describe(node, index), domain });
            node.name = Some(name);
            let attributes = node.attribute.iter_mut();
            for body in attributes.flat_map(|a| a.g.as_deref_mut().into_iter().chain(&mut a.graphs)) {
                self.rename(body);
            }
        }
    }

    /// The user's name of a node.
    fn show(&self, name: &str) -> Option<String> {
        self.find(name).map(|shown| shown.name.clone())
    }

    fn find(&self, name: &str) -> Option<&Shown> {
        let number: usize = name.strip_prefix(&self.prefix)?.parse().ok()?;
        self.shown.get(number)
    }

    /// Puts the user's names into a message of rten, and takes away what is said beside it.
    fn tell(&self, message: &str, name: Option<&str>) -> String {
        let Some(name) = name else { return message.to_owned() };
        let shown = self.show(name).unwrap_or_else(|| name.to_owned());
        for lead in [format!("in node \"{name}\": "), format!("operator \"{name}\" failed: ")] {
            if let Some(rest) = message.strip_prefix(&lead) {
                return rest.to_owned();
            }
        }
        message.replace(&format!("\"{name}\""), &shown)
    }

    fn load_error(&self, error: &rten::LoadError) -> SourceError {
        let node = error.node().and_then(|name| self.show(name));
        let reason = self.tell(&error.to_string(), error.node());
        let domain = error.node().and_then(|name| self.find(name)?.domain.clone());
        match (error.kind(), node, domain) {
            (LoadErrorKind::OperatorInvalid, Some(node), Some(domain)) => {
                SourceError::Foreign { node, domain, reason }
            }
            (LoadErrorKind::OperatorInvalid, node, _) => SourceError::Unsupported { node, reason },
            (_, node, _) => SourceError::Load { node, reason },
        }
    }

    pub(super) fn run_error(&self, error: &RunError) -> SourceError {
        let path = error.node_path();
        let name = path.iter().rev().flatten().next().copied();
        SourceError::Run {
            node: name.and_then(|name| self.show(name)),
            reason: self.tell(&error.to_string(), name),
        }
    }
}

/// Whether any value's name starts with `prefix`.
fn has_value(graph: &GraphProto, prefix: &str) -> bool {
    let starts = |name: &String| name.starts_with(prefix);
    let ends = graph.input.iter().chain(&graph.output).filter_map(|value| value.name.as_ref());
    ends.into_iter().any(starts)
        || graph.initializer.iter().filter_map(|tensor| tensor.name.as_ref()).any(starts)
        || graph.node.iter().any(|node| {
            let bodies = node.attribute.iter().flat_map(|a| a.g.as_deref().into_iter().chain(&a.graphs));
            node.input.iter().chain(&node.output).any(starts)
                || bodies.into_iter().any(|body| has_value(body, prefix))
        })
}
