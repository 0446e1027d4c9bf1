//! Which activations share one scale.

mod common;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs;

use common::*;
use trt_onnx::proto::{AttributeProto, NodeProto, TensorProto, attr, elem};
use trt_onnx::{Conflict, Model, Propagation, Sharing, propagation};

/// A model of these nodes whose one input is `x` and whose output is the last node's.
fn of(nodes: Vec<NodeProto>) -> Model {
    let last = nodes.last().and_then(|node| node.output.first().cloned()).unwrap();
    let stored = vec![integers("shape", elem::INT64, &[2], &[1, 9]), weight("w", &[3, 3, 1, 1])];
    let stored = stored.into_iter().chain([integers("index", elem::INT64, &[], &[0])]);
    let graph = graph(
        nodes,
        stored.collect::<Vec<TensorProto>>(),
        vec![value("x", &[1, 3, 8, 8])],
        vec![value(&last, &[])],
    );
    read(&model(17, graph))
}

fn mode(node: NodeProto, mode: &str) -> NodeProto {
    let attribute = AttributeProto {
        name: Some("mode".into()),
        s: Some(mode.as_bytes().to_vec().into()),
        r#type: Some(attr::STRING),
        ..AttributeProto::default()
    };
    NodeProto { attribute: vec![attribute], ..node }
}

/// `leader < member member`, a line for each group.
fn text(found: &Propagation) -> Vec<String> {
    let members = |group: &trt_onnx::Shared| {
        group.members.iter().map(|member| member.name.as_str()).collect::<Vec<_>>().join(" ")
    };
    found.groups.iter().map(|group| format!("{} < {}", group.leader, members(group))).collect()
}

#[test]
fn copies_of_the_same_values_share_the_scale_of_the_first() {
    for op in [
        "Flatten",
        "Transpose",
        "Identity",
        "Dropout",
        "DepthToSpace",
        "SpaceToDepth",
        "Squeeze",
        "Unsqueeze",
    ] {
        let model = of(vec![node("Relu", &["x"], &["r"]), node(op, &["r"], &["y"])]);
        assert_eq!(text(&propagation(&model, Sharing::ALL)), ["r < y"], "{op}");
    }
    let reshape = of(vec![node("Reshape", &["x", "shape"], &["y"])]);
    assert_eq!(text(&propagation(&reshape, Sharing::default())), ["x < y"], "a graph input leads too");
}

#[test]
fn each_kind_of_node_shares_as_documented() {
    let relu = |input: &str, output: &str| node("Relu", &[input], &[output]);
    let resize = |how: &str| mode(node("Resize", &["x", "", "shape"], &["y"]), how);
    type Case = (&'static str, Vec<NodeProto>, &'static [&'static str]);
    let cases: [Case; 15] = [
        ("max-pool leads", vec![node("MaxPool", &["x"], &["p"]), relu("p", "y")], &["p < x"]),
        (
            "the last of several max-pools leads, and copies of it follow",
            vec![
                node("MaxPool", &["x"], &["p"]),
                node("MaxPool", &["p"], &["q"]),
                node("Identity", &["q"], &["y"]),
            ],
            &["q < x p y"],
        ),
        ("the indices of max-pool have no scale", vec![node("MaxPool", &["x"], &["y", "i"])], &["y < x"]),
        ("resize to the nearest", vec![resize("nearest")], &["x < y"]),
        ("resize by default", vec![node("Resize", &["x", "", "shape"], &["y"])], &["x < y"]),
        ("linear resize", vec![resize("linear")], &[]),
        ("average pools", vec![node("AveragePool", &["x"], &["y"])], &[]),
        ("concat leads its inputs", vec![relu("x", "r"), node("Concat", &["x", "r"], &["y"])], &["y < x r"]),
        ("concat with a constant", vec![node("Concat", &["w", "x"], &["y"])], &["y < x"]),
        (
            "concat of concats",
            vec![
                relu("x", "r"),
                node("Concat", &["x", "r"], &["c"]),
                relu("c", "s"),
                node("Concat", &["c", "s"], &["y"]),
            ],
            &["y < x r c s"],
        ),
        ("slices follow", vec![node("Slice", &["x", "shape", "shape"], &["y"])], &["x < y"]),
        ("gathered values follow", vec![node("Gather", &["x", "index"], &["y"])], &["x < y"]),
        (
            "parts follow the whole, but for what a concat reads",
            vec![node("Split", &["x"], &["a", "b"]), relu("a", "r"), node("Concat", &["b", "r"], &["y"])],
            &["x < a", "y < b r"],
        ),
        (
            "copies on the way are part of the chain",
            vec![
                node("MaxPool", &["x"], &["p"]),
                node("Transpose", &["p"], &["t"]),
                relu("x", "r"),
                node("Concat", &["t", "r"], &["c"]),
                node("Flatten", &["c"], &["y"]),
            ],
            &["c < x p t r y"],
        ),
        (
            "shapes are no activations",
            vec![
                node("Shape", &["x"], &["s"]),
                node("Slice", &["s", "index", "index"], &["part"]),
                node("Reshape", &["x", "part"], &["y"]),
            ],
            &["x < y"],
        ),
    ];
    for (what, nodes, expected) in cases {
        let found = propagation(&of(nodes), Sharing::ALL);
        assert_eq!(text(&found), expected, "{what}");
    }
}

#[test]
fn parts_have_scales_of_their_own_where_tensorrt_gives_them_some() {
    let nodes = || {
        vec![
            node("Split", &["x"], &["a", "b"]),
            node("MaxPool", &["a"], &["p"]),
            node("Concat", &["p", "b"], &["c"]),
            node("Transpose", &["c"], &["y"]),
        ]
    };
    for (sharing, expected) in [
        (Sharing::default(), vec!["p < a", "c < y"]),
        (Sharing { concat: true, slice: false }, vec!["c < a b p y"]),
        (Sharing { concat: false, slice: true }, vec!["x < a b p", "c < y"]),
    ] {
        assert_eq!(text(&propagation(&of(nodes()), sharing)), expected, "{sharing:?}");
    }
}

#[test]
fn a_member_says_which_node_it_takes_its_scale_through() {
    let nodes = vec![node("MaxPool", &["x"], &["p"]), node("Concat", &["p", "x"], &["y"])];
    let found = propagation(&of(nodes), Sharing::ALL);
    let ways: Vec<_> = (found.groups[0].members.iter())
        .map(|member| (member.name.as_str(), member.from.as_str(), member.node.as_str(), member.op.as_str()))
        .collect();
    assert_eq!(ways, [("x", "p", "`p_node`", "MaxPool"), ("p", "y", "`y_node`", "Concat")]);
    assert_eq!(found.leaders(), HashMap::from([("x", "y"), ("p", "y")]));
    assert_eq!(found.conflicts, [], "one concat reads it twice");
}

#[test]
fn a_value_in_two_concats_follows_the_first_and_the_second_is_listed() {
    let nodes = vec![
        node("Relu", &["x"], &["r"]),
        node("Split", &["r"], &["part", "rest"]),
        node("Concat", &["x", "part"], &["a"]),
        node("Concat", &["r", "part"], &["b"]),
        node("Concat", &["rest", "b"], &["y"]),
    ];
    let found = propagation(&of(nodes), Sharing::ALL);
    assert_eq!(text(&found), ["a < x part", "y < r rest b"]);
    let conflict = |name: &str, follows: &str, instead_of: &str, node: &str, op: &str| Conflict {
        name: name.into(),
        follows: follows.into(),
        instead_of: instead_of.into(),
        node: node.into(),
        op: op.into(),
    };
    // `rest` is a part of `r`, which has the scale of `y` by another way: no conflict.
    assert_eq!(
        found.conflicts,
        [
            conflict("part", "a", "y", "`part_node`", "Split"),
            conflict("part", "a", "y", "`b_node`", "Concat")
        ]
    );
}

#[test]
fn pools_and_concats_of_a_detector_share_as_in_its_description() {
    let Some(path) = shared("yolov5s.skeleton.onnx") else { return };
    let model = Model::load(path).unwrap();
    let found = propagation(&model, Sharing::ALL);
    let group = |leader: &str| {
        let group = found.groups.iter().find(|group| group.leader == leader).unwrap();
        group.members.iter().map(|member| member.name.as_str()).collect::<Vec<_>>()
    };
    let pools =
        ["/model.9/m/MaxPool_output_0", "/model.9/m_1/MaxPool_output_0", "/model.9/m_2/MaxPool_output_0"];
    assert_eq!(group("/model.9/Concat_output_0")[1..], pools);
    let joined = ["/model.6/cv3/act/Mul_output_0", "/model.10/act/Mul_output_0", "/model.11/Resize_output_0"];
    assert_eq!(group("/model.12/Concat_output_0"), joined);
    assert_eq!(
        group("/model.24/m.0/Conv_output_0"),
        ["/model.24/Reshape_output_0", "/model.24/Transpose_output_0"]
    );
    // The neck's concats claim what the head's have already; the head's last one claims what is split off.
    let lost: Vec<_> = found.conflicts.iter().map(|conflict| conflict.name.as_str()).collect();
    assert_eq!(lost[..2], ["/model.14/act/Mul_output_0", "/model.10/act/Mul_output_0"]);
    assert_eq!(lost.len(), 5);

    let members = found.groups.iter().flat_map(|group| &group.members).map(|member| &member.name);
    let names: Vec<&String> = members.chain(found.groups.iter().map(|group| &group.leader)).collect();
    let unique: HashSet<_> = names.iter().collect();
    assert_eq!(unique.len(), names.len(), "no activation is in two groups");
}

/// The scales of one of TensorRT's own tables, by name.
fn table(name: &str) -> Option<HashMap<String, u32>> {
    let text = fs::read_to_string(test_support::shared(&format!("calibration-tables/{name}"))?).unwrap();
    let entry = |line: &str| {
        let (name, scale) = line.rsplit_once(": ")?;
        Some((name.to_owned(), u32::from_str_radix(scale.trim(), 16).ok()?))
    };
    Some(text.lines().skip(1).filter_map(entry).collect())
}

#[test]
fn tables_of_tensorrt_10_give_copies_one_scale_and_parts_their_own() {
    let Some(table) = table("tracking-trt10.3.cache") else { return };
    // Parts of YOLO11, whose activations have these names: pools in a row, the way up, attention, and the boxes.
    let name = |part: &str| format!("/model.{part}_output_0");
    let link = |op: &str, inputs: &[String], outputs: &[String]| {
        let [inputs, outputs] =
            [inputs, outputs].map(|names| names.iter().map(String::as_str).collect::<Vec<_>>());
        node(op, &inputs, &outputs)
    };
    let one = |op: &str, input: &str, output: &str| link(op, &[name(input)], &[name(output)]);
    let nodes = vec![
        one("MaxPool", "9/cv1/conv/Conv", "9/m/MaxPool"),
        one("MaxPool", "9/m/MaxPool", "9/m_1/MaxPool"),
        one("MaxPool", "9/m_1/MaxPool", "9/m_2/MaxPool"),
        link("Concat", &[name("9/m/MaxPool"), name("9/m_2/MaxPool")], &[name("9/Concat")]),
        one("Resize", "10/cv2/act/Mul", "11/Resize"),
        link("Concat", &[name("11/Resize"), name("6/cv2/act/Mul")], &[name("12/Concat")]),
        one("Resize", "13/cv2/act/Mul", "14/Resize"),
        one("Reshape", "10/m/m.0/attn/qkv/conv/Conv", "10/m/m.0/attn/Reshape"),
        link(
            "Split",
            &[name("10/m/m.0/attn/Reshape")],
            &[0, 1, 2].map(|part| format!("/model.10/m/m.0/attn/Split_output_{part}")),
        ),
        one("Transpose", "10/m/m.0/attn/Split", "10/m/m.0/attn/Transpose"),
        one("Reshape", "10/m/m.0/attn/MatMul_1", "10/m/m.0/attn/Reshape_1"),
        one("Reshape", "23/cv2.0/cv2.0.2/Conv", "23/Reshape"),
        one("Reshape", "23/Concat", "23/dfl/Reshape"),
        one("Transpose", "23/dfl/Reshape", "23/dfl/Transpose"),
        link("Concat", &[name("23/Reshape"), name("23/Reshape_1")], &[name("23/Concat_1")]),
    ];
    let computed: HashSet<&String> = nodes.iter().flat_map(|node| &node.output).collect();
    let fed: BTreeSet<&String> =
        nodes.iter().flat_map(|node| &node.input).filter(|name| !computed.contains(name)).collect();
    let inputs = fed.into_iter().map(|name| value(name, &[1, 4, 8, 8])).collect();
    let outputs = vec![value(&name("23/Concat_1"), &[])];
    let model = read(&model(17, graph(nodes.clone(), vec![], inputs, outputs)));

    let shared = propagation(&model, Sharing::default()).groups;
    assert_eq!(shared.iter().map(|group| group.members.len()).sum::<usize>(), 11);
    for group in shared {
        for member in group.members {
            assert_eq!(
                table.get(&member.name),
                table.get(&group.leader),
                "{} < {}",
                group.leader,
                member.name
            );
            assert!(table.contains_key(&member.name), "{}", member.name);
        }
    }
    // With parts as members too, not all would agree: that is what sets the recent tables apart.
    let shared = propagation(&model, Sharing::ALL).groups;
    let differ =
        shared.iter().flat_map(|group| group.members.iter().map(|member| (&member.name, &group.leader)));
    assert_eq!(differ.filter(|(member, leader)| table.get(*member) != table.get(*leader)).count(), 14);
}

#[test]
fn a_table_of_tensorrt_8_0_gives_concats_and_what_they_join_one_scale() {
    let Some(table) = table("small-trt8.0.cache") else { return };
    // A skip connection, what it is joined with, and the result, three times on the way up.
    for (skip, up, joined) in [("143", "162", "163"), ("129", "182", "183"), ("115", "202", "203")] {
        let nodes = vec![node("Concat", &[up, skip], &[joined])];
        let inputs = vec![value(skip, &[1, 4]), value(up, &[1, 4])];
        let model = read(&model(17, graph(nodes, vec![], inputs, vec![value(joined, &[])])));
        let shared = propagation(&model, Sharing::ALL).groups;
        for name in shared.iter().flat_map(|group| group.members.iter().map(|member| &member.name)) {
            assert_eq!(table[name], table[joined], "{name}");
        }
        assert_eq!(shared[0].members.len(), 2);
    }
}
