//! For how long each observed value is needed.

use std::collections::{BTreeSet, HashMap};

use trt_onnx::proto::{GraphProto, NodeProto};

/// For each of `names`, the position in `names` of the last value that is computed from it.
///
/// Values that are not observed (shapes, indices) are looked through: what they are computed from is needed for as
/// long as they are. A value that nobody reads is needed until its own position.
///
/// `graph` must be sorted and `names` in the order of computation, as `trt_onnx` guarantees for both.
pub fn last_readers(graph: &GraphProto, names: &[&str]) -> Vec<usize> {
    let position: HashMap<&str, usize> = names.iter().enumerate().map(|(at, name)| (*name, at)).collect();
    let mut last: Vec<usize> = (0..names.len()).collect();
    // The observed values behind each value that is not observed.
    let mut behind: HashMap<&str, BTreeSet<usize>> = HashMap::new();
    for node in &graph.node {
        let mut from = BTreeSet::new();
        each_read(node, &mut |name| match position.get(name) {
            Some(at) => drop(from.insert(*at)),
            None => from.extend(behind.get(name).into_iter().flatten()),
        });
        for output in node.outputs() {
            match position.get(output) {
                Some(reader) => from.iter().for_each(|&at| last[at] = last[at].max(*reader)),
                None => drop(behind.insert(output, from.clone())),
            }
        }
    }
    last
}

/// Everything that a node reads, the bodies of If, Loop and Scan included. Names that a body defines itself are
/// among them; they are no names of the outer graph.
fn each_read<'a>(node: &'a NodeProto, see: &mut dyn FnMut(&'a str)) {
    node.input.iter().filter(|name| !name.is_empty()).for_each(|name| see(name));
    for body in node
        .attribute
        .iter()
        .flat_map(|attribute| attribute.g.as_deref().into_iter().chain(&attribute.graphs))
    {
        body.output.iter().filter_map(|output| output.name.as_deref()).for_each(&mut *see);
        body.node.iter().for_each(|node| each_read(node, see));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(inputs: &[&str], outputs: &[&str]) -> NodeProto {
        NodeProto {
            input: inputs.iter().map(ToString::to_string).collect(),
            output: outputs.iter().map(ToString::to_string).collect(),
            ..NodeProto::default()
        }
    }

    #[test]
    fn a_value_is_needed_until_its_last_reader() {
        type Case = (&'static str, Vec<NodeProto>, &'static [&'static str], &'static [usize]);
        let cases: [Case; 4] = [
            ("a chain", vec![node(&["x"], &["a"]), node(&["a"], &["b"])], &["x", "a", "b"], &[1, 2, 2]),
            (
                "a residual",
                vec![node(&["x"], &["a"]), node(&["a"], &["b"]), node(&["a", "b"], &["c"])],
                &["x", "a", "b", "c"],
                &[1, 3, 3, 3],
            ),
            (
                "a shape on the way",
                vec![
                    node(&["x"], &["s"]),
                    node(&["x"], &["a"]),
                    node(&["s"], &["t"]),
                    node(&["a", "t"], &["b"]),
                ],
                &["x", "a", "b"],
                &[2, 2, 2],
            ),
            ("an absent input", vec![node(&["x", ""], &["a"])], &["x", "a"], &[1, 1]),
        ];
        for (what, nodes, names, expected) in cases {
            let graph = GraphProto { node: nodes, ..GraphProto::default() };
            assert_eq!(last_readers(&graph, names), expected, "{what}");
        }
    }

    #[test]
    fn a_body_reads_values_of_the_graph_around_it() {
        let body = GraphProto { node: vec![node(&["x"], &["inner"])], ..GraphProto::default() };
        let attribute = trt_onnx::proto::AttributeProto { g: Some(Box::new(body)), ..Default::default() };
        let branch = NodeProto { attribute: vec![attribute], ..node(&["a"], &["b"]) };
        let graph = GraphProto { node: vec![node(&["x"], &["a"]), branch], ..GraphProto::default() };
        assert_eq!(last_readers(&graph, &["x", "a", "b"]), [2, 2, 2]);
    }
}
