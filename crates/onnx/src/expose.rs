//! Makes activations outputs of the graph, so that a runtime hands them out.

use std::collections::{HashMap, HashSet};

use serde::Serialize;

use crate::graph;
use crate::model::Model;
use crate::proto::{GraphProto, TensorType, TypeProto, TypeValue, ValueInfoProto};
use crate::types;

/// What [`expose`] did.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Exposed {
    /// The names that are outputs now, in the order asked for; those that were before are among them.
    pub outputs: Vec<String>,
    /// The names that are inputs of the graph: the caller has their values already.
    pub inputs: Vec<String>,
    /// The names that cannot be outputs.
    pub refused: Vec<Refused>,
}

/// A name that cannot be an output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// The name.
    pub name: String,
    /// Why, such as `the graph computes no such value`.
    pub because: String,
}

/// Makes every value in `names` an output of the graph, after its own outputs, which stay as they are.
///
/// A new output's element type is stated where it is known and its shape never is, since runtimes hold models to such
/// claims. Weights are neither copied nor moved: external data stays where it is, see [`Model::folder`].
pub fn expose(model: &mut Model, names: &[String]) -> Exposed {
    let graph = model.graph();
    let types = types::infer(graph, &model.proto.functions);
    let own: HashSet<&str> = graph.output.iter().filter_map(|output| output.name.as_deref()).collect();
    let inputs: HashSet<&str> = graph.input.iter().filter_map(|input| input.name.as_deref()).collect();
    let stored: HashSet<&str> = graph::stored_names(graph).collect();
    let computed: HashSet<&str> = graph.node.iter().flat_map(|node| node.outputs()).collect();
    let inner = inner_values(graph);
    let mut exposed = Exposed::default();
    let mut added = Vec::new();
    let mut seen = HashSet::new();
    for name in names.iter().filter(|name| seen.insert(name.as_str())) {
        let because = match name.as_str() {
            own_output if own.contains(own_output) => {
                exposed.outputs.push(name.clone());
                continue;
            }
            stored_name if stored.contains(stored_name) => {
                "it is stored in the model, not computed".to_owned()
            }
            input if inputs.contains(input) => {
                exposed.inputs.push(name.clone());
                continue;
            }
            value if computed.contains(value) => match types.get(value) {
                Some(&types::NOT_A_TENSOR) => "it is no tensor".to_owned(),
                elem => {
                    exposed.outputs.push(name.clone());
                    added.push(output(name, elem.copied()));
                    continue;
                }
            },
            value => match inner.get(value) {
                Some(node) => format!("it lies in the body of {node}"),
                None => "the graph computes no such value".to_owned(),
            },
        };
        exposed.refused.push(Refused { name: name.clone(), because });
    }
    model.graph_mut().output.append(&mut added);
    exposed
}

/// An output of that element type, or of one that the runtime derives, and of any shape.
pub(crate) fn output(name: &str, elem: Option<i32>) -> ValueInfoProto {
    let tensor = |elem| TypeValue::Tensor(TensorType { elem_type: Some(elem), shape: None });
    ValueInfoProto {
        name: Some(name.to_owned()),
        r#type: elem.map(|elem| TypeProto { value: Some(tensor(elem)), denotation: None }),
        ..ValueInfoProto::default()
    }
}

/// The outer node of every value that a body computes.
fn inner_values(graph: &GraphProto) -> HashMap<&str, String> {
    let mut values = HashMap::new();
    for (index, outer) in graph.node.iter().enumerate() {
        for name in graph::inner_values(outer) {
            values.entry(name).or_insert_with(|| outer.display(index));
        }
    }
    values
}
