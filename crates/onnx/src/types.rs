//! Element types of values, as far as they follow from the graph without shape inference.

use std::collections::{HashMap, HashSet};

use crate::graph;
use crate::model::is_default_domain;
use crate::proto::{FunctionProto, GraphProto, NodeProto, TypeProto, TypeValue, elem};

/// In place of an element type: the value is a sequence, a map or an optional.
pub(crate) const NOT_A_TENSOR: i32 = -1;

/// The element type of every value for which the model states one or the operators imply one.
pub(crate) fn infer<'a>(graph: &'a GraphProto, functions: &[FunctionProto]) -> HashMap<&'a str, i32> {
    let mut types = HashMap::new();
    for value in graph.value_info.iter().chain(&graph.output).chain(&graph.input) {
        if let (Some(name), Some(stated)) = (&value.name, value.r#type.as_ref().and_then(stated)) {
            types.insert(name.as_str(), stated);
        }
    }
    let sparse = graph.sparse_initializer.iter().filter_map(|tensor| tensor.values.as_ref());
    for tensor in graph.initializer.iter().chain(sparse) {
        if let (Some(name), Some(data_type)) = (&tensor.name, tensor.data_type) {
            types.insert(name, data_type);
        }
    }
    let defined: HashSet<_> = functions.iter().map(|function| (&function.name, &function.domain)).collect();
    for node in &graph.node {
        // A model may define a function under the name of a standard operator's domain; what it does is not known.
        if defined.contains(&(&node.op_type, &node.domain)) {
            continue;
        }
        for (index, output) in node.output.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
            if !types.contains_key(output.as_str())
                && let Some(implied) = implied(node, index, &types)
            {
                types.insert(output, implied);
            }
        }
    }
    types
}

fn stated(r#type: &TypeProto) -> Option<i32> {
    match r#type.value.as_ref()? {
        TypeValue::Tensor(tensor) | TypeValue::SparseTensor(tensor) => {
            tensor.elem_type.filter(|&elem| elem != 0)
        }
        _ => Some(NOT_A_TENSOR),
    }
}

/// The type of one output of an operator (ONNX operator specification, up to operator set 25).
fn implied(node: &NodeProto, output: usize, types: &HashMap<&str, i32>) -> Option<i32> {
    if !is_default_domain(node.domain.as_deref()) {
        return None;
    }
    let input = |index: usize| node.input(index).and_then(|name| types.get(name).copied());
    let attribute = |name: &str| {
        let stated = node.attribute(name).and_then(|attribute| attribute.i);
        stated.and_then(|elem| i32::try_from(elem).ok())
    };
    match (node.op(), output) {
        ("Shape" | "Size" | "ArgMax" | "ArgMin" | "NonZero" | "NonMaxSuppression" | "SequenceLength", _) => {
            Some(elem::INT64)
        }
        ("TopK" | "MaxPool", 1) | ("Unique", 1..) => Some(elem::INT64),
        ("Equal" | "Less" | "LessOrEqual" | "Greater" | "GreaterOrEqual", _) => Some(elem::BOOL),
        ("And" | "Or" | "Xor" | "Not" | "IsNaN" | "IsInf" | "RegexFullMatch" | "OptionalHasElement", _) => {
            Some(elem::BOOL)
        }
        ("Dropout", 1) => Some(elem::BOOL),
        ("Cast" | "BitCast", _) => attribute("to"),
        ("DequantizeLinear", _) => attribute("output_dtype").filter(|&elem| elem != 0).or_else(|| input(1)),
        ("CastLike" | "Where" | "RMSNormalization", _) => input(1),
        ("LayerNormalization", 1 | 2) => attribute("stash_type").or(Some(elem::FLOAT)),
        ("Attention", 2) => input(2),
        ("OneHot", _) => input(2),
        ("ConvInteger" | "MatMulInteger", _) => Some(elem::INT32),
        ("Multinomial", _) => attribute("dtype").or(Some(elem::INT32)),
        ("QLinearConv" | "QLinearMatMul", _) => input(7),
        ("QuantizeLinear", _) => input(2).or_else(|| attribute("output_dtype")).or(Some(elem::UINT8)),
        ("DynamicQuantizeLinear", 0 | 2) | ("ImageDecoder", _) => Some(elem::UINT8),
        ("DynamicQuantizeLinear" | "TfIdfVectorizer" | "MelWeightMatrix", _) => Some(elem::FLOAT),
        ("HannWindow" | "HammingWindow" | "BlackmanWindow", _) => {
            attribute("output_datatype").or(Some(elem::FLOAT))
        }
        ("RandomNormal" | "RandomUniform", _) => attribute("dtype").or(Some(elem::FLOAT)),
        ("RandomNormalLike" | "RandomUniformLike" | "EyeLike" | "Bernoulli", _) => {
            attribute("dtype").or_else(|| input(0))
        }
        ("Constant", _) => constant(node),
        ("ConstantOfShape", _) => match node.attribute("value").and_then(|value| value.t.as_deref()) {
            Some(value) => value.data_type,
            None => Some(elem::FLOAT),
        },
        ("SequenceConstruct" | "SequenceEmpty" | "SequenceInsert" | "SequenceErase" | "SequenceMap", _)
        | ("SplitToSequence" | "Optional", _) => Some(NOT_A_TENSOR),
        // A Loop's body begins with whether to go on, which the node does not give out.
        ("If" | "Scan", _) => body_output(node, output),
        ("Loop", _) => body_output(node, output + 1),
        ("SequenceAt" | "OptionalGetElement" | "ConcatFromSequence", _)
        | ("StringSplit" | "StringNormalizer", _) => None,
        // Everything else computes in the type of its first input.
        _ => input(0),
    }
}

/// The type that the node's first body states for that output.
fn body_output(node: &NodeProto, output: usize) -> Option<i32> {
    let value = graph::subgraphs(node).next()?.output.get(output)?;
    value.r#type.as_ref().and_then(stated)
}

/// The type of a Constant node's value.
fn constant(node: &NodeProto) -> Option<i32> {
    let value = node.attribute.first()?;
    match value.name.as_deref()? {
        "value" => value.t.as_deref()?.data_type,
        "sparse_value" => value.sparse_tensor.as_deref()?.values.as_ref()?.data_type,
        "value_float" | "value_floats" => Some(elem::FLOAT),
        "value_int" | "value_ints" => Some(elem::INT64),
        "value_string" | "value_strings" => Some(elem::STRING),
        _ => None,
    }
}
