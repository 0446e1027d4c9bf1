//! Follows numbers that float16 may not hold, from where they arise to where they are divided down again.
//!
//! A node that stays in float32 helps nobody if its result is rounded to float16 straight after: a sum of exponentials
//! is beyond 65504 as well, and so is a sum over a picture before it is divided by its size. What is computed from such
//! numbers alone therefore stays in float32 too, and what multiplies or divides by them.

use std::collections::{HashMap, HashSet};

use super::convert::{Converter, stays_float};
use super::keep::Choice;
use crate::graph;
use crate::proto::{GraphProto, NodeProto};
use crate::qdq::is_qdq;

/// What a value that is computed in float32 may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Range {
    /// Numbers as anywhere in the network.
    Tame,
    /// One divided by wide numbers: what is multiplied by it is tame again.
    Inverse,
    /// Numbers beyond 65504, or so small that float16 makes nothing of them.
    Wide,
}

use Range::{Inverse, Tame, Wide};

/// What stays in float32 if all that it reads is float32 and some of it wide.
const FOLLOWS: &[&str] = &[
    "Abs",
    "Add",
    "ArgMax",
    "ArgMin",
    "AveragePool",
    "Ceil",
    "Clip",
    "Equal",
    "Floor",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "Greater",
    "GreaterOrEqual",
    "Less",
    "LessOrEqual",
    "Log",
    "LogSoftmax",
    "Max",
    "MaxPool",
    "Mean",
    "Min",
    "Neg",
    "Reciprocal",
    "ReduceMax",
    "ReduceMin",
    "Relu",
    "Round",
    "Softmax",
    "Sqrt",
    "Sub",
    "Sum",
    "TopK",
    "Where",
];

/// What only moves numbers: it stays as well, unless nobody behind it computes in float32.
const MOVES: &[&str] = &[
    "Cast",
    "Concat",
    "Expand",
    "Flatten",
    "Gather",
    "Identity",
    "Reshape",
    "Slice",
    "Split",
    "Squeeze",
    "Tile",
    "Transpose",
    "Unsqueeze",
];

/// What reads the scores of an attention: a mask that is infinite would make NaN of a row that is masked altogether.
const READS_SCORES: &[&str] = &["LogSoftmax", "ReduceMax", "Softmax", "Sub"];

/// What a node reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operand {
    /// What follows from stored tensors and shapes.
    Constant,
    /// A float16 value.
    Half,
    /// A value that is computed in float32.
    Float(Range),
}

use Operand::{Constant, Float, Half};

/// Who reads what a node computes.
struct Readers {
    /// Some reader stays in float32 for its own sake.
    some_stay: bool,
    /// All are sums that do.
    all_sum: bool,
    /// All are such as read the scores of an attention.
    all_score: bool,
}

/// Keeps in float32 what computes with wide numbers; the values in `exact` are float32 whoever reads them.
pub(super) fn follow(
    graph: &GraphProto,
    converter: &Converter,
    exact: &HashSet<&str>,
    choices: &mut [Choice],
) {
    let constants = graph::constants(graph);
    let consumers = graph::consumers(graph);
    let readers = |node: &NodeProto| -> Vec<usize> {
        node.outputs().filter_map(|name| consumers.get(name)).flatten().copied().collect()
    };
    let mut ranges: HashMap<&str, Range> = HashMap::new();
    let mut moving = Vec::new();
    for (index, node) in graph.node.iter().enumerate() {
        let floats = node.input.iter().enumerate();
        let floats = floats.filter(|&(at, name)| converter.is_float(name) && !stays_float(node, at));
        let operand = |name: &str| match ranges.get(name) {
            Some(&range) => Float(range),
            None if exact.contains(name) || constants.contains(name) => Constant,
            None => Half,
        };
        let operands: Vec<Operand> = floats.map(|(_, name)| operand(name)).collect();
        let seen = || {
            let readers = readers(node);
            let stays = |reader: &usize| matches!(choices[*reader], Choice::Keep { range: Wide, .. });
            let sums = |reader: &usize| stays(reader) && graph.node[*reader].op().starts_with("Reduce");
            let scores = |reader: &usize| is_one_of(&graph.node[*reader], READS_SCORES);
            Readers {
                some_stay: readers.iter().any(stays),
                all_sum: !readers.is_empty() && readers.iter().all(sums),
                all_score: !readers.is_empty() && readers.iter().all(scores),
            }
        };
        let followed = match &choices[index] {
            Choice::Half => follows(node, &operands, seen),
            _ => None,
        };
        match (&mut choices[index], followed) {
            // A mean is no larger than the largest of what it reads.
            (Choice::Keep { range, .. }, _) if node.is("ReduceMean") => {
                *range = widest(&operands).unwrap_or(Tame);
            }
            (choice, Some(range)) => {
                let reason = "it computes with numbers that may be beyond float16".to_owned();
                *choice = Choice::Keep { reason, range };
                if is_one_of(node, MOVES) {
                    moving.push(index);
                }
            }
            _ => {}
        }
        if let Choice::Keep { range, .. } = choices[index]
            && !is_qdq(node)
        {
            ranges.extend(node.outputs().map(|name| (name, range)));
        }
    }
    for index in moving.into_iter().rev() {
        let node = &graph.node[index];
        let is_read = readers(node).iter().any(|&reader| matches!(choices[reader], Choice::Keep { .. }));
        let matters = |name: &str| converter.keeps_name(name) || !converter.is_float(name);
        if !is_read && !node.outputs().any(matters) {
            choices[index] = Choice::Half;
        }
    }
}

/// What a node computes if it has to stay in float32 for the sake of what it reads; `None` if it does not have to.
fn follows(node: &NodeProto, operands: &[Operand], readers: impl FnOnce() -> Readers) -> Option<Range> {
    let (op, widest) = (node.op(), widest(operands));
    let is_alone = !operands.contains(&Half);
    match (op, operands) {
        // A product that is summed: of two numbers above 256 it is beyond 65504.
        ("Mul", _) if widest.is_none_or(|widest| widest == Tame) => readers().all_sum.then_some(Wide),
        // What is squared for a variance, and a masked score.
        ("Sub" | "Add", _) if widest.is_some() && !is_alone => {
            let readers = readers();
            let is_centred = op == "Sub" && readers.some_stay;
            (is_centred || widest > Some(Tame) && readers.all_score).then_some(widest?)
        }
        _ if widest <= Some(Tame) => None,
        ("Div", &[dividend, divisor]) => Some(match (dividend, divisor) {
            (Constant | Float(Inverse), Float(Wide)) => Inverse,
            (_, Float(Wide)) => Tame,
            (_, Float(Inverse)) => Wide,
            (Float(range), _) => range,
            _ => Tame,
        }),
        ("Mul", _) if operands.contains(&Float(Inverse)) => {
            let others = |operand: &Operand| matches!(operand, Constant | Float(Inverse));
            Some(if operands.iter().all(others) { Inverse } else { Tame })
        }
        ("Mul", _) => Some(Wide),
        _ if !is_alone => None,
        ("Log" | "LogSoftmax" | "Softmax", _) => Some(Tame),
        ("Reciprocal", [Float(Inverse)]) => Some(Wide),
        ("Reciprocal", _) => Some(Inverse),
        _ => (is_one_of(node, FOLLOWS) || is_one_of(node, MOVES)).then_some(widest?),
    }
}

fn widest(operands: &[Operand]) -> Option<Range> {
    let range = |operand: &Operand| match operand {
        Float(range) => Some(*range),
        _ => None,
    };
    operands.iter().filter_map(range).max()
}

fn is_one_of(node: &NodeProto, ops: &[&str]) -> bool {
    ops.iter().any(|op| node.is(op))
}
