//! UINT8 and zero points, as INT8 without one wherever that means the same.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use super::{is_qdq, slice_length};
use crate::error::OnnxError;
use crate::graph::{self, Names};
use crate::model::Model;
use crate::proto::{GraphProto, NodeProto, TensorProto, TypeValue, elem};
use crate::{tensor, types};

/// UINT8 with this zero point has the steps of INT8 without one.
const MIDDLE: i32 = 128;

/// Makes stored integers and activations INT8 with zero point 0; returns how many it changed.
///
/// Stored integers often fit INT8 once their zero point is subtracted. An activation in UINT8 with zero point 128 is
/// rounded and cut off as in INT8. Whatever else is UINT8 or has a zero point would compute something else, and is
/// refused.
pub(super) fn make_signed(model: &mut Model) -> Result<usize, OnnxError> {
    let Plan { inputs, signed, mut added, count } = Planner::of(model).plan()?;
    let graph = model.graph_mut();
    for node in &mut graph.node {
        if node.outputs().any(|name| signed.contains(name)) {
            node.attribute.retain(|attribute| attribute.name.as_deref() != Some("output_dtype"));
        }
    }
    for value in &mut graph.value_info {
        if value.name.as_ref().is_some_and(|name| signed.contains(name))
            && let Some(TypeValue::Tensor(tensor)) =
                value.r#type.as_mut().and_then(|stated| stated.value.as_mut())
        {
            tensor.elem_type = Some(elem::INT8);
        }
    }
    graph.initializer.append(&mut added);
    let replaced =
        inputs.into_iter().map(|(index, at, name)| std::mem::replace(&mut graph.node[index].input[at], name));
    let unread = replaced.collect();
    graph::drop_unread(graph, unread);
    Ok(count)
}

/// What has to change.
#[derive(Default)]
struct Plan {
    /// Node, input, and the tensor that it reads from now on.
    inputs: Vec<(usize, usize, String)>,
    /// The computed values that are INT8 from now on.
    signed: HashSet<String>,
    added: Vec<TensorProto>,
    /// How many tensors and activations.
    count: usize,
}

struct Planner<'a> {
    graph: &'a GraphProto,
    folder: Option<&'a Path>,
    stored: HashMap<&'a str, &'a TensorProto>,
    types: HashMap<&'a str, i32>,
    readers: HashMap<&'a str, Vec<usize>>,
    /// Values that somebody outside the nodes reads.
    by_name: HashSet<String>,
    names: Names,
    /// The INT8 form of stored integers, by their name, their zero point's, and the axis that it goes along.
    integers: HashMap<(&'a str, Option<&'a str>, i64), String>,
    /// Zero points of 0 in the shape of the old one, by its name.
    zeros: HashMap<&'a str, String>,
    plan: Plan,
}

impl<'a> Planner<'a> {
    fn of(model: &'a Model) -> Self {
        let graph = model.graph();
        Self {
            graph,
            folder: model.folder.as_deref(),
            stored: graph::stored_tensors(graph),
            types: types::infer(graph, &model.proto.functions),
            readers: graph::consumers(graph),
            by_name: graph::read_by_name(graph),
            names: Names::of(&model.proto),
            integers: HashMap::new(),
            zeros: HashMap::new(),
            plan: Plan::default(),
        }
    }

    fn plan(mut self) -> Result<Plan, OnnxError> {
        for (index, node) in self.graph.node.iter().enumerate().filter(|(_, node)| is_qdq(node)) {
            let quantizes = node.is("QuantizeLinear");
            let integers = if quantizes { node.outputs().next() } else { node.input(0) };
            let Some(integers) = integers else { continue };
            if self.plan.signed.contains(integers) {
                self.clear(index, node);
                continue;
            }
            let zeros = self.zero_points(node)?;
            let is_symmetric = zeros.as_ref().is_none_or(|zeros| zeros.iter().all(|&zero| zero == 0));
            if is_symmetric && self.types.get(integers) != Some(&elem::UINT8) {
                continue;
            }
            let is_changed = match quantizes {
                true => self.activation(index, node, integers)?,
                false => self.stored(index, node, integers, zeros.as_deref().unwrap_or_default())?,
            };
            if !is_changed {
                let node = node.display(index);
                return Err(match zeros.into_iter().flatten().find(|&zero| zero != 0) {
                    Some(zero_point) => OnnxError::Asymmetric { node, zero_point },
                    None => OnnxError::Unsigned { node },
                });
            }
        }
        Ok(self.plan)
    }

    /// The node's zero points; `None` where they are computed, or of a type that is not ours.
    fn zero_points(&self, node: &NodeProto) -> Result<Option<Vec<i32>>, OnnxError> {
        match node.input(2) {
            None => Ok(Some(vec![0])),
            Some(name) => match self.stored.get(name) {
                Some(zeros) => tensor::integers(zeros, self.folder),
                None => Ok(None),
            },
        }
    }

    fn is_middle(&self, node: &NodeProto) -> Result<bool, OnnxError> {
        Ok(self.zero_points(node)?.is_some_and(|zeros| zeros.iter().all(|&zero| zero == MIDDLE)))
    }

    /// Makes a quantized activation INT8, if it has the zero point for that and only DequantizeLinear reads it.
    fn activation(&mut self, index: usize, node: &'a NodeProto, value: &str) -> Result<bool, OnnxError> {
        let is_unsigned = self.types.get(value) == Some(&elem::UINT8);
        if !is_unsigned || self.by_name.contains(value) || !self.is_middle(node)? {
            return Ok(false);
        }
        for &reader in self.readers.get(value).into_iter().flatten() {
            let reader = &self.graph.node[reader];
            let is_pair = reader.is("DequantizeLinear") && reader.input(0) == Some(value);
            if !is_pair || !self.is_middle(reader)? {
                return Ok(false);
            }
        }
        self.plan.signed.insert(value.to_owned());
        self.plan.count += 1;
        self.clear(index, node);
        Ok(true)
    }

    /// Makes stored integers INT8, if they fit without their zero point.
    fn stored(
        &mut self,
        index: usize,
        node: &'a NodeProto,
        value: &'a str,
        zeros: &[i32],
    ) -> Result<bool, OnnxError> {
        let Some(&integers) = self.stored.get(value) else { return Ok(false) };
        let is_byte = matches!(integers.data_type, Some(elem::UINT8 | elem::INT8));
        if !is_byte || zeros.is_empty() || node.int("block_size", 0) != 0 {
            return Ok(false);
        }
        let axis = node.int("axis", 1);
        let key = (value, node.input(2), axis);
        if !self.integers.contains_key(&key) {
            let Some(values) = tensor::integers(integers, self.folder)? else { return Ok(false) };
            let length = slice_length(integers, axis, zeros.len())?;
            let without = |(at, value): (usize, &i32)| i8::try_from(value - zeros[at / length % zeros.len()]);
            let Ok(bytes) = values.iter().enumerate().map(without).collect::<Result<Vec<i8>, _>>() else {
                return Ok(false);
            };
            let name = self.names.fresh(&format!("{value}_int8"));
            let bytes: Vec<u8> = bytes.into_iter().map(i8::cast_unsigned).collect();
            self.plan.added.push(tensor::new(name.clone(), elem::INT8, &integers.dims, bytes));
            self.plan.count += 1;
            self.integers.insert(key, name);
        }
        self.plan.inputs.push((index, 0, self.integers[&key].clone()));
        self.clear(index, node);
        Ok(true)
    }

    /// Makes the node's zero points 0, and INT8.
    fn clear(&mut self, index: usize, node: &'a NodeProto) {
        let Some((old, tensor)) = node.input(2).and_then(|old| Some((old, self.stored.get(old)?))) else {
            return;
        };
        let name = self.zeros.entry(old).or_insert_with(|| {
            let name = self.names.fresh(&format!("{old}_int8"));
            let count = tensor::elements(tensor).and_then(|count| usize::try_from(count).ok());
            let zeros = vec![0; count.unwrap_or_default()];
            self.plan.added.push(tensor::new(name.clone(), elem::INT8, &tensor.dims, zeros));
            name
        });
        self.plan.inputs.push((index, 2, name.clone()));
    }
}
