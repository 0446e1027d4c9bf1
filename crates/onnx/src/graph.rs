//! Walking a graph: its nodes and tensors, whether it holds together, and which of its values are activations.

use std::collections::{HashMap, HashSet};

use crate::error::OnnxError;
use crate::model::Activation;
use crate::proto::{
    AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, attr, elem,
};
use crate::{tensor, types};

/// Calls `see` for `node` and for every node in its subgraphs.
pub(crate) fn visit(node: &NodeProto, see: &mut impl FnMut(&NodeProto)) {
    fn inner(node: &NodeProto, see: &mut dyn FnMut(&NodeProto)) {
        see(node);
        for graph in subgraphs(node) {
            graph.node.iter().for_each(|node| inner(node, see));
        }
    }
    inner(node, see);
}

/// The bodies of an If, Loop or Scan.
pub(crate) fn subgraphs(node: &NodeProto) -> impl Iterator<Item = &GraphProto> {
    node.attribute.iter().flat_map(|attribute| attribute.g.as_deref().into_iter().chain(&attribute.graphs))
}

/// The values that the bodies of a node compute, at every depth.
pub(crate) fn inner_values(node: &NodeProto) -> Vec<&str> {
    fn collect<'a>(node: &'a NodeProto, values: &mut Vec<&'a str>) {
        for inner in subgraphs(node).flat_map(|body| &body.node) {
            values.extend(inner.outputs());
            collect(inner, values);
        }
    }
    let mut values = Vec::new();
    collect(node, &mut values);
    values
}

/// Calls `see` for every tensor stored in the model.
pub(crate) fn visit_tensors(model: &ModelProto, see: &mut dyn FnMut(&TensorProto)) {
    fn in_attribute(attribute: &AttributeProto, see: &mut dyn FnMut(&TensorProto)) {
        attribute.t.as_deref().into_iter().chain(&attribute.tensors).for_each(&mut *see);
        let sparse = attribute.sparse_tensor.as_deref().into_iter().chain(&attribute.sparse_tensors);
        sparse.flat_map(|tensor| tensor.values.iter().chain(&tensor.indices)).for_each(&mut *see);
        attribute.g.as_deref().into_iter().chain(&attribute.graphs).for_each(|graph| in_graph(graph, see));
    }
    fn in_graph(graph: &GraphProto, see: &mut dyn FnMut(&TensorProto)) {
        graph.initializer.iter().for_each(&mut *see);
        let sparse = graph.sparse_initializer.iter();
        sparse.flat_map(|tensor| tensor.values.iter().chain(&tensor.indices)).for_each(&mut *see);
        graph.node.iter().flat_map(|node| &node.attribute).for_each(|attribute| in_attribute(attribute, see));
    }
    let training =
        model.training_info.iter().flat_map(|info| info.initialization.iter().chain(&info.algorithm));
    model.graph.iter().chain(training).for_each(|graph| in_graph(graph, see));
    for function in &model.functions {
        let attributes = function.node.iter().flat_map(|node| &node.attribute);
        attributes.chain(&function.attribute_proto).for_each(|attribute| in_attribute(attribute, see));
    }
}

/// The names of the values that the graph stores.
pub(crate) fn stored_names(graph: &GraphProto) -> impl Iterator<Item = &str> {
    let sparse = graph.sparse_initializer.iter().filter_map(|tensor| tensor.values.as_ref());
    graph.initializer.iter().chain(sparse).filter_map(|tensor| tensor.name.as_deref())
}

/// The graph inputs that are not initializers with a default.
pub(crate) fn fed_inputs(graph: &GraphProto) -> impl Iterator<Item = &ValueInfoProto> {
    let stored: HashSet<&str> = stored_names(graph).collect();
    graph.input.iter().filter(move |input| !stored.contains(input.name.as_deref().unwrap_or_default()))
}

/// Checks that every value exists, exists once, and is computed before it is read.
pub(crate) fn validate(graph: &GraphProto) -> Result<(), OnnxError> {
    validate_in(graph, &mut Vec::new())
}

/// `scopes` are the values of the graphs around this one, which a subgraph may read.
fn validate_in<'a>(graph: &'a GraphProto, scopes: &mut Vec<HashSet<&'a str>>) -> Result<(), OnnxError> {
    let mut known = HashSet::new();
    for input in &graph.input {
        let name = input.name.as_deref().unwrap_or_default();
        if !known.insert(name) {
            return Err(OnnxError::Duplicate { node: "the graph's inputs".into(), value: name.into() });
        }
    }
    let mut stored = HashSet::new();
    for name in stored_names(graph) {
        if !stored.insert(name) {
            return Err(OnnxError::Duplicate { node: "an initializer".into(), value: name.into() });
        }
    }
    known.extend(stored);
    let computed: HashSet<&str> = graph.node.iter().flat_map(|node| node.outputs()).collect();
    for (index, node) in graph.node.iter().enumerate() {
        for value in node.input.iter().map(String::as_str).filter(|value| !value.is_empty()) {
            if !known.contains(value) && !scopes.iter().any(|scope| scope.contains(value)) {
                let (node, value) = (node.display(index), value.to_owned());
                return Err(match computed.contains(value.as_str()) {
                    true => OnnxError::Unsorted { node, value },
                    false => OnnxError::UnknownValue { node, value },
                });
            }
        }
        let mut bodies = subgraphs(node).peekable();
        if bodies.peek().is_some() {
            scopes.push(std::mem::take(&mut known));
            let checked = bodies.try_for_each(|body| validate_in(body, scopes));
            known = scopes.pop().unwrap_or_default();
            checked?;
        }
        for value in node.outputs() {
            if !known.insert(value) {
                return Err(OnnxError::Duplicate {
                    node: format!("node {}", node.display(index)),
                    value: value.into(),
                });
            }
        }
    }
    for output in graph.output.iter().map(|output| output.name.as_deref().unwrap_or_default()) {
        if !known.contains(output) && !scopes.iter().any(|scope| scope.contains(output)) {
            return Err(OnnxError::OutputNotComputed { value: output.to_owned() });
        }
    }
    Ok(())
}

/// The operators that compute something else each time.
const RANDOM: [&str; 6] =
    ["RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli", "Multinomial"];

/// The values that do not depend on any graph input.
pub(crate) fn constants(graph: &GraphProto) -> HashSet<&str> {
    constants_without(graph, &[])
}

/// The same, without what nodes of these operators compute and what depends on it.
pub(crate) fn constants_without<'a>(graph: &'a GraphProto, ops: &[&str]) -> HashSet<&'a str> {
    let fed: HashSet<&str> = fed_inputs(graph).filter_map(|input| input.name.as_deref()).collect();
    let mut constants: HashSet<&str> = stored_names(graph).filter(|name| !fed.contains(name)).collect();
    for node in &graph.node {
        let random = RANDOM.iter().chain(ops).any(|op| node.is(op));
        // Whatever a body reads besides its own values comes from outside; its own names are constants to nobody.
        let mut local = HashSet::new();
        let mut read = Vec::new();
        for body in subgraphs(node) {
            body_names(body, &mut local, &mut read);
        }
        let captured = read.into_iter().filter(|name| !local.contains(name));
        let mut inputs =
            node.input.iter().map(String::as_str).filter(|name| !name.is_empty()).chain(captured);
        if !random && inputs.all(|name| constants.contains(name)) {
            constants.extend(node.outputs());
        }
    }
    constants
}

/// Collects the names that a body defines and those that it reads, at every depth.
fn body_names<'a>(body: &'a GraphProto, defined: &mut HashSet<&'a str>, read: &mut Vec<&'a str>) {
    defined.extend(body.input.iter().filter_map(|input| input.name.as_deref()));
    defined.extend(stored_names(body));
    read.extend(body.output.iter().filter_map(|output| output.name.as_deref()));
    for node in &body.node {
        defined.extend(node.outputs());
        read.extend(node.input.iter().map(String::as_str).filter(|name| !name.is_empty()));
        subgraphs(node).for_each(|body| body_names(body, defined, read));
    }
}

/// Everything that a node reads: its inputs, and what its bodies take from outside.
pub(crate) fn reads(node: &NodeProto) -> Vec<&str> {
    let (mut local, mut read) = (HashSet::new(), Vec::new());
    subgraphs(node).for_each(|body| body_names(body, &mut local, &mut read));
    let captured = read.into_iter().filter(|name| !local.contains(name));
    node.input.iter().map(String::as_str).filter(|name| !name.is_empty()).chain(captured).collect()
}

/// Whether `names` has this node's name, or one of the values that it computes.
pub(crate) fn is_named(node: &NodeProto, names: &[String]) -> bool {
    let own = node.name.as_deref().filter(|name| !name.is_empty());
    own.into_iter().chain(node.outputs()).any(|own| names.iter().any(|name| name == own))
}

/// Those of `names` that are neither a node's nor a value's.
pub(crate) fn unmatched(graph: &GraphProto, names: &[String]) -> Vec<String> {
    let inputs = graph.input.iter().filter_map(|input| input.name.as_deref());
    let computed = graph.node.iter().flat_map(|node| node.name.as_deref().into_iter().chain(node.outputs()));
    let known: HashSet<&str> = inputs.chain(computed).collect();
    names.iter().filter(|name| !known.contains(name.as_str())).cloned().collect()
}

/// See [`crate::Model::activations`].
pub(crate) fn activations(graph: &GraphProto, functions: &[FunctionProto]) -> Vec<Activation> {
    let constants = constants(graph);
    let types = types::infer(graph, functions);
    let outputs: HashSet<&str> = graph.output.iter().filter_map(|output| output.name.as_deref()).collect();
    let known_float = |name: &str| match types.get(name).copied() {
        Some(elem::FLOAT | elem::FLOAT16 | elem::DOUBLE | elem::BFLOAT16) => Some(true),
        Some(_) => None,
        None => Some(false),
    };
    let inputs = fed_inputs(graph).filter_map(|input| input.name.as_deref()).map(|name| (name, None));
    let computed = graph.node.iter().enumerate().flat_map(|(index, node)| {
        let named = node.outputs().filter(|name| !constants.contains(name));
        named.map(move |name| (name, Some((index, node))))
    });
    let activation = |(name, producer): (&str, Option<(usize, &NodeProto)>)| {
        Some(Activation {
            name: name.to_owned(),
            producer: producer.map(|(index, node)| node.display(index)),
            op_type: producer.map(|(_, node)| node.qualified_op()),
            known_float: known_float(name)?,
            is_input: producer.is_none(),
            is_output: outputs.contains(name),
        })
    };
    inputs.chain(computed).filter_map(activation).collect()
}

/// The stored tensor behind every value that is one: initializers, Constant nodes, and Identity of these.
pub(crate) fn stored_tensors(graph: &GraphProto) -> HashMap<&str, &TensorProto> {
    let named = graph.initializer.iter().filter_map(|tensor| Some((tensor.name.as_deref()?, tensor)));
    let mut tensors: HashMap<&str, &TensorProto> = named.collect();
    for node in &graph.node {
        let tensor = if node.is("Constant") {
            node.attribute("value").and_then(|value| value.t.as_deref())
        } else if node.is("Identity") {
            node.input(0).and_then(|name| tensors.get(name).copied())
        } else {
            None
        };
        if let (Some(tensor), Some(output)) = (tensor, node.outputs().next()) {
            tensors.insert(output, tensor);
        }
    }
    tensors
}

/// Gives each Constant node that states its floats as an attribute a tensor, which is how the rest of us finds them.
pub(crate) fn state_constants(graph: &mut GraphProto) {
    for node in graph.node.iter_mut().filter(|node| node.is("Constant")) {
        let [attribute] = &mut node.attribute[..] else { continue };
        let (dims, values) = match (attribute.name.as_deref(), attribute.f) {
            (Some("value_float"), Some(value)) => (vec![], vec![value]),
            (Some("value_floats"), _) => (vec![attribute.floats.len() as i64], attribute.floats.clone()),
            _ => continue,
        };
        *attribute = AttributeProto {
            name: Some("value".to_owned()),
            t: Some(Box::new(tensor::from_floats(String::new(), &dims, &values))),
            r#type: Some(attr::TENSOR),
            ..AttributeProto::default()
        };
    }
}

/// Every value's users: node numbers, in order, each as often as it reads the value.
pub(crate) fn consumers(graph: &GraphProto) -> HashMap<&str, Vec<usize>> {
    let mut consumers = HashMap::<&str, Vec<usize>>::new();
    for (index, node) in graph.node.iter().enumerate() {
        for name in node.input.iter().filter(|name| !name.is_empty()) {
            consumers.entry(name).or_default().push(index);
        }
        let (mut local, mut read) = (HashSet::new(), Vec::new());
        subgraphs(node).for_each(|body| body_names(body, &mut local, &mut read));
        for name in read.into_iter().filter(|name| !local.contains(name)) {
            consumers.entry(name).or_default().push(index);
        }
    }
    consumers
}

/// The values whose names must stay: outputs of the model, and what the bodies of control flow read.
pub(crate) fn read_by_name(graph: &GraphProto) -> HashSet<String> {
    let mut names: HashSet<String> = graph.output.iter().filter_map(|output| output.name.clone()).collect();
    for node in &graph.node {
        let (mut local, mut read) = (HashSet::new(), Vec::new());
        subgraphs(node).for_each(|body| body_names(body, &mut local, &mut read));
        names.extend(read.into_iter().filter(|name| !local.contains(name)).map(str::to_owned));
    }
    names
}

/// Removes the stored values in `candidates` that nobody reads any more, whatever provides them, and what only they read.
///
/// Takes time proportional to the graph: readers are counted once, and a value is looked at when it loses one.
pub(crate) fn drop_unread(graph: &mut GraphProto, candidates: HashSet<String>) {
    let (unread, dead) = unread(graph, &candidates);
    let gone = |name: &Option<String>| name.as_ref().is_some_and(|name| unread.contains(name));
    graph.initializer.retain(|tensor| !gone(&tensor.name));
    graph.input.retain(|input| !gone(&input.name));
    graph.value_info.retain(|value| !gone(&value.name));
    remove_nodes(graph, &dead);
}

/// Removes the nodes of these numbers.
pub(crate) fn remove_nodes(graph: &mut GraphProto, gone: &HashSet<usize>) {
    let mut index = 0..;
    graph.node.retain(|_| index.next().is_none_or(|index| !gone.contains(&index)));
}

/// The values that go, and the nodes.
fn unread(graph: &GraphProto, candidates: &HashSet<String>) -> (HashSet<String>, HashSet<usize>) {
    let mut readers: HashMap<&str, usize> =
        consumers(graph).into_iter().map(|(name, users)| (name, users.len())).collect();
    for output in graph.output.iter().filter_map(|output| output.name.as_deref()) {
        *readers.entry(output).or_default() += 1;
    }
    // A node that only passes on what is stored, by its one output.
    let provides = |node: &NodeProto| ["Constant", "Identity", "Transpose"].iter().any(|op| node.is(op));
    let providers: HashMap<&str, usize> = (graph.node.iter().enumerate())
        .filter(|(_, node)| node.output.len() == 1 && provides(node))
        .filter_map(|(index, node)| Some((node.outputs().next()?, index)))
        .collect();
    let (mut unread, mut dead) = (HashSet::new(), HashSet::new());
    let mut work: Vec<&str> = candidates.iter().map(String::as_str).collect();
    while let Some(name) = work.pop() {
        if readers.get(name).is_some_and(|&count| count > 0) || !unread.insert(name.to_owned()) {
            continue;
        }
        let Some(&index) = providers.get(name) else { continue };
        dead.insert(index);
        for input in graph.node[index].input.iter().filter(|input| !input.is_empty()) {
            if let Some(count) = readers.get_mut(input.as_str()) {
                *count -= 1;
            }
            work.push(input);
        }
    }
    (unread, dead)
}

/// Every name in a model, so that new ones differ from all of them.
pub(crate) struct Names {
    taken: HashSet<String>,
    /// The number to try next for each name that was taken when it was wanted.
    next: HashMap<String, u64>,
}

impl Names {
    /// The names of all values and nodes of `model`, at every depth.
    pub(crate) fn of(model: &ModelProto) -> Self {
        fn collect(graph: &GraphProto, names: &mut HashSet<String>) {
            let values = graph.input.iter().chain(&graph.output).chain(&graph.value_info);
            names.extend(values.filter_map(|value| value.name.clone()));
            names.extend(stored_names(graph).map(str::to_owned));
            for node in &graph.node {
                names.extend(node.input.iter().chain(&node.output).chain(&node.name).cloned());
                subgraphs(node).for_each(|body| collect(body, names));
            }
        }
        let mut names = HashSet::new();
        model.graph.iter().for_each(|graph| collect(graph, &mut names));
        Self { taken: names, next: HashMap::new() }
    }

    /// `wanted`, or `wanted` with a number that makes it new.
    pub(crate) fn fresh(&mut self, wanted: &str) -> String {
        let mut name = wanted.to_owned();
        while self.taken.contains(&name) {
            let next = self.next.entry(wanted.to_owned()).or_insert(1);
            name = format!("{wanted}_{next}");
            *next += 1;
        }
        self.taken.insert(name.clone());
        name
    }
}

/// A node of the default domain, named after its first output.
pub(crate) fn node<const I: usize, const O: usize>(
    op: &str,
    names: &mut Names,
    input: [String; I],
    output: [String; O],
) -> NodeProto {
    let name = names.fresh(&format!("{}_{op}", output.first().map(String::as_str).unwrap_or_default()));
    NodeProto {
        input: input.into(),
        output: output.into(),
        name: Some(name),
        op_type: Some(op.to_owned()),
        ..NodeProto::default()
    }
}

/// An integer attribute.
pub(crate) fn int_attribute(name: &str, value: i64) -> AttributeProto {
    AttributeProto {
        name: Some(name.to_owned()),
        i: Some(value),
        r#type: Some(attr::INT),
        ..AttributeProto::default()
    }
}
