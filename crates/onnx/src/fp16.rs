//! Converts a float32 graph to float16, for builders that take the precision from the graph's types.
//!
//! Every value has one native type, by the node that computes it, and where somebody needs the other one a Cast or a
//! converted copy of the weight is added, once. The model's inputs and outputs stay float32.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use serde::Serialize;

use crate::error::OnnxError;
use crate::graph::{self, Names};
use crate::model::{Model, is_default_domain};
use crate::opset::{self, raise_opset};
use crate::proto::{GraphProto, NodeProto, TensorProto, TypeValue, elem};
use crate::quantize::Skipped;
use crate::tensor;
use crate::types;

/// What [`to_fp16`] did.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Fp16Report {
    /// How many nodes compute in float16 now.
    pub converted: usize,
    /// The nodes that go on computing in float32; shape arithmetic and constants are not listed.
    pub kept: Vec<Skipped>,
    /// From which operator set to which the model was raised first.
    pub opset_raised: Option<(i64, i64)>,
}

/// Operators of ONNX that have no float16 form, or whose type is an attribute.
const FLOAT32_ONLY: &[&str] = &[
    "Bernoulli",
    "CumSum",
    "EyeLike",
    "Multinomial",
    "NonMaxSuppression",
    "RandomNormal",
    "RandomNormalLike",
    "RandomUniform",
    "RandomUniformLike",
    "Range",
    "RoiAlign",
];

/// Converts `model` to float16 inside, with float32 inputs and outputs.
///
/// A node with a weight beyond float16's 65504 stays in float32, and so does arithmetic on shapes. On an error the
/// model is as it was.
///
/// # Errors
/// [`OnnxError::CannotHalve`] for bodies of control flow and for values of unknown type,
/// [`OnnxError::AlreadyQuantized`], those of [`raise_opset`] and those of reading external data.
pub fn to_fp16(model: &mut Model) -> Result<Fp16Report, OnnxError> {
    match model.qdq_nodes() {
        0 => {}
        count => return Err(OnnxError::AlreadyQuantized { count }),
    }
    let mut work = model.clone();
    let mut report = Fp16Report { opset_raised: raise_opset(&mut work)?, ..Fp16Report::default() };
    work.proto.ir_version = Some(work.ir_version().max(opset::IR_VERSION));
    let graph = work.graph();
    let owned = |(name, elem): (&str, i32)| (name.to_owned(), elem);
    let stored = graph::stored_tensors(graph).into_iter();
    let mut converter = Converter {
        names: Names::of(&work.proto),
        folder: work.folder.clone(),
        types: types::infer(graph, &work.proto.functions).into_iter().map(owned).collect(),
        stored: stored.map(|(name, tensor)| (name.to_owned(), tensor.clone())).collect(),
        outputs: graph.output.iter().filter_map(|output| output.name.clone()).collect(),
        exact: exact(graph).into_iter().map(str::to_owned).collect(),
        halved: HashMap::new(),
        half: HashSet::new(),
        twins: HashMap::new(),
        nodes: Vec::new(),
        initializers: Vec::new(),
    };
    let graph = work.graph_mut();
    for (index, node) in std::mem::take(&mut graph.node).into_iter().enumerate() {
        converter.convert(node, index, &mut report)?;
    }
    graph.node = converter.nodes;
    graph.initializer.append(&mut converter.initializers);
    let converted = converter.halved.into_iter().filter(|(_, tensor)| tensor.is_some());
    graph::drop_unread(graph, converted.map(|(name, _)| name).collect());
    for value in &mut graph.value_info {
        if value.name.as_ref().is_some_and(|name| converter.half.contains(name))
            && let Some(TypeValue::Tensor(tensor)) =
                value.r#type.as_mut().and_then(|stated| stated.value.as_mut())
        {
            tensor.elem_type = Some(elem::FLOAT16);
        }
    }
    *model = work;
    Ok(report)
}

/// Constants, and what follows from them and from shapes alone: sizes beyond 2048 would not survive float16.
fn exact(graph: &GraphProto) -> HashSet<&str> {
    let mut exact = graph::constants(graph);
    for node in &graph.node {
        let inputs = || node.input.iter().filter(|name| !name.is_empty());
        let shape = node.is("Shape") || node.is("Size");
        if shape || (inputs().next().is_some() && inputs().all(|name| exact.contains(name.as_str()))) {
            exact.extend(node.outputs());
        }
    }
    exact
}

struct Converter {
    names: Names,
    folder: Option<PathBuf>,
    types: HashMap<String, i32>,
    stored: HashMap<String, TensorProto>,
    outputs: HashSet<String>,
    exact: HashSet<String>,
    /// Each weight in float16 once it was asked for, `None` where it does not fit.
    halved: HashMap<String, Option<TensorProto>>,
    /// The values that are float16 by nature.
    half: HashSet<String>,
    /// The name under which a value has the other type.
    twins: HashMap<String, String>,
    nodes: Vec<NodeProto>,
    initializers: Vec<TensorProto>,
}

impl Converter {
    fn convert(
        &mut self,
        mut node: NodeProto,
        index: usize,
        report: &mut Fp16Report,
    ) -> Result<(), OnnxError> {
        let display = node.display(index);
        let refuse = |reason: String| OnnxError::CannotHalve { node: display.clone(), reason };
        if graph::subgraphs(&node).next().is_some() {
            return Err(refuse("it has a body of its own".to_owned()));
        }
        let named = node.input.iter().chain(&node.output).filter(|name| !name.is_empty());
        if let Some(unknown) = named.clone().find(|name| !self.types.contains_key(*name)) {
            return Err(refuse(format!("the type of `{unknown}` is not known")));
        }
        let has_floats = named.clone().any(|name| self.is_float(name));
        if !has_floats || node.outputs().all(|name| self.exact.contains(name)) {
            self.nodes.push(node);
            return Ok(());
        }
        let reason = self.reason_to_keep(&node)?;
        let half = reason.is_none();
        for at in 0..node.input.len() {
            let wanted = half && !stays_float(&node, at);
            node.input[at] = self.read(&node.input[at], wanted)?;
        }
        match reason {
            Some(reason) => {
                report.kept.push(Skipped { node: display, op: node.qualified_op(), reason });
                self.nodes.push(node);
            }
            None => {
                report.converted += 1;
                self.push_half(node);
            }
        }
        Ok(())
    }

    fn is_float(&self, name: &str) -> bool {
        self.types.get(name) == Some(&elem::FLOAT)
    }

    fn reason_to_keep(&mut self, node: &NodeProto) -> Result<Option<String>, OnnxError> {
        if !is_default_domain(node.domain.as_deref()) {
            return Ok(Some("not an operator of ONNX itself".to_owned()));
        }
        if FLOAT32_ONLY.contains(&node.op()) {
            return Ok(Some("the operator has no float16 form".to_owned()));
        }
        for (at, name) in node.input.iter().enumerate() {
            if self.is_float(name) && !stays_float(node, at) && self.stored.contains_key(name) {
                self.halve(name)?;
                if self.halved.get(name).is_some_and(Option::is_none) {
                    return Ok(Some(format!("a number in `{name}` is beyond float16")));
                }
            }
        }
        Ok(None)
    }

    /// Converts the stored tensor `name` unless that was done before.
    fn halve(&mut self, name: &str) -> Result<(), OnnxError> {
        if self.halved.contains_key(name) {
            return Ok(());
        }
        let Some(tensor) = self.stored.get(name) else { return Ok(()) };
        let values = tensor::floats(tensor, self.folder.as_deref())?;
        let bits: Option<Vec<u16>> = values.iter().map(|&value| to_half(value)).collect();
        let converted = bits.map(|bits| {
            let raw: Vec<u8> = bits.into_iter().flat_map(u16::to_le_bytes).collect();
            tensor::new(self.names.fresh(&format!("{name}_fp16")), elem::FLOAT16, &tensor.dims, raw)
        });
        self.halved.insert(name.to_owned(), converted);
        Ok(())
    }

    /// The name under which `value` is float16 (`half`) or float32; other types are none of our business.
    fn read(&mut self, value: &str, half: bool) -> Result<String, OnnxError> {
        if !self.is_float(value) || self.half.contains(value) == half {
            return Ok(value.to_owned());
        }
        if let Some(twin) = self.twins.get(value) {
            return Ok(twin.clone());
        }
        if half {
            self.halve(value)?;
        }
        let twin = match self.halved.get(value).cloned().flatten() {
            Some(tensor) if half => {
                let name = tensor::name(&tensor);
                self.initializers.push(tensor);
                name
            }
            _ => {
                let twin = self.names.fresh(&format!("{value}_{}", if half { "fp16" } else { "fp32" }));
                self.cast(value.to_owned(), twin.clone(), if half { elem::FLOAT16 } else { elem::FLOAT });
                twin
            }
        };
        self.twins.insert(value.to_owned(), twin.clone());
        Ok(twin)
    }

    fn cast(&mut self, from: String, to: String, elem: i32) {
        let mut node = graph::node("Cast", &mut self.names, [from], [to]);
        node.attribute.push(graph::int_attribute("to", i64::from(elem)));
        self.nodes.push(node);
    }

    /// Adds a node whose float outputs are float16 now, and a Cast after each that is an output of the model.
    fn push_half(&mut self, mut node: NodeProto) {
        if node.is("Cast") && node.int("to", 0) == i64::from(elem::FLOAT) {
            node.attribute.retain(|attribute| attribute.name.as_deref() != Some("to"));
            node.attribute.push(graph::int_attribute("to", i64::from(elem::FLOAT16)));
        }
        let mut casts = Vec::new();
        for name in &mut node.output {
            if self.types.get(name.as_str()) != Some(&elem::FLOAT) {
                continue;
            }
            if self.outputs.contains(name.as_str()) {
                let inner = self.names.fresh(&format!("{name}_fp16"));
                self.twins.insert(name.clone(), inner.clone());
                casts.push((inner.clone(), std::mem::replace(name, inner)));
            } else {
                self.half.insert(name.clone());
            }
        }
        self.nodes.push(node);
        casts.into_iter().for_each(|(from, to)| self.cast(from, to, elem::FLOAT));
    }
}

/// Whether ONNX wants float32 for this input whatever the others are.
fn stays_float(node: &NodeProto, input: usize) -> bool {
    node.is("Resize") && matches!(input, 1 | 2) // The region of interest and the scales.
}

/// The bits of the nearest float16, ties to even; `None` for a finite number that only fits as infinity.
fn to_half(value: f32) -> Option<u16> {
    let bits = value.to_bits();
    let sign = (bits >> 16 & 0x8000) as u16;
    let magnitude = bits & 0x7fff_ffff;
    if magnitude >= 0x7f80_0000 {
        return Some(sign | 0x7c00 | u16::from(magnitude > 0x7f80_0000) << 9);
    }
    // Adding 2^k leaves, after float32's own rounding, the float16 fraction in the lowest bits.
    let rounded = if magnitude < 0x3880_0000 {
        (f32::from_bits(magnitude) + 0.5).to_bits() - 0.5f32.to_bits() // Below 2^-14: steps of 2^-24.
    } else {
        let odd = magnitude >> 13 & 1;
        (magnitude - 0x3800_0000 + 0xfff + odd) >> 13
    };
    (rounded < 0x7c00).then_some(sign | rounded as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Exactly, from the definition of binary16.
    fn from_half(bits: u16) -> f64 {
        let (exponent, fraction) = (i32::from(bits >> 10 & 31), f64::from(bits & 1023));
        let magnitude = match exponent {
            0 => fraction * 2f64.powi(-24),
            _ => (1.0 + fraction / 1024.0) * 2f64.powi(exponent - 15),
        };
        if bits >> 15 == 1 { -magnitude } else { magnitude }
    }

    #[test]
    fn every_finite_float16_comes_back_and_the_middle_goes_to_the_even_one() {
        for bits in (0..0x7c00u16).flat_map(|bits| [bits, bits | 0x8000]) {
            assert_eq!(to_half(from_half(bits) as f32), Some(bits), "{bits:#x}");
            if bits & 0x7fff < 0x7bff {
                let middle = ((from_half(bits) + from_half(bits + 1)) / 2.0) as f32;
                assert_eq!(to_half(middle), Some(bits + (bits & 1)), "above {bits:#x}");
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_told() {
        let cases = [
            (65504.0, Some(0x7bff)),
            (65519.9, Some(0x7bff)),
            (65520.0, None),
            (-3.4e38, None),
            (f32::INFINITY, Some(0x7c00)),
            (f32::NEG_INFINITY, Some(0xfc00)),
            (f32::NAN, Some(0x7e00)),
            (1e-30, Some(0)),
        ];
        for (value, expected) in cases {
            assert_eq!(to_half(value), expected, "{value:e}");
        }
    }
}
