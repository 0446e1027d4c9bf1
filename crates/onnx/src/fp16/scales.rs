//! Scales of stored INT8 weights that float16 does not hold.
//!
//! Trained networks have dead channels, with weights of 1e-9 beside others of 0.1, and so with a scale that float16
//! rounds to nothing. Such a channel gets float16's smallest useful scale and is rounded again: to fewer levels than
//! before, but more finely than the channels beside it.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use crate::error::OnnxError;
use crate::graph::{self, Names};
use crate::half;
use crate::model::Model;
use crate::proto::{GraphProto, NodeProto, TensorProto, elem};
use crate::qdq::is_qdq;
use crate::tensor;

/// The smallest scale that float16 holds as well as INT8 needs it (see [`half::holds`]).
const SMALLEST: f32 = 1.0 / 65536.0;
/// How much finer than the tensor's median scale it must be for a channel to take it.
const FINER: f32 = 16.0;

/// Gives every stored weight scales that float16 holds, where that is possible.
pub(super) fn refit(model: &mut Model) -> Result<(), OnnxError> {
    let mut names = Names::of(&model.proto);
    let folder = model.folder.as_deref();
    let graph = model.graph();
    let stored = graph::stored_tensors(graph);
    let weights = weights(graph, &stored);
    // The new scales by the name of the old ones, and the edits: node, input, new tensor.
    let mut scales: HashMap<&str, Option<(String, Vec<f32>)>> = HashMap::new();
    let (mut edits, mut added) = (Vec::new(), Vec::new());
    for &(index, node) in &weights {
        let Some(old) = node.input(1) else { continue };
        let Some(tensor) = stored.get(old).filter(|tensor| tensor.data_type == Some(elem::FLOAT)) else {
            continue;
        };
        let before = tensor::floats(tensor, folder)?;
        let entry = scales.entry(old).or_insert_with(|| {
            let after = raised(&before)?;
            let name = names.fresh(&format!("{old}_raised"));
            added.push(tensor::from_floats(name.clone(), &tensor.dims, &after));
            Some((name, after))
        });
        let Some((name, after)) = entry else { continue };
        if let Some(integers) = node.input(0).and_then(|name| stored.get(name))
            && integers.data_type == Some(elem::INT8)
        {
            let zeros = node.input(2).and_then(|name| stored.get(name).copied());
            let weight = Weight { integers, zeros, axis: node.int("axis", 1) };
            let Some(bytes) = weight.rounded(folder, &before, after)? else { continue };
            let name = names.fresh(&format!("{}_rounded", tensor::name(integers)));
            added.push(tensor::new(name.clone(), elem::INT8, &integers.dims, bytes));
            edits.push((index, 0, name));
        }
        edits.push((index, 1, name.clone()));
    }
    let graph = model.graph_mut();
    let replaced =
        edits.into_iter().map(|(index, at, name)| std::mem::replace(&mut graph.node[index].input[at], name));
    let mut unread: HashSet<String> = replaced.collect();
    unread.extend(added.iter().map(tensor::name));
    graph.initializer.append(&mut added);
    graph::drop_unread(graph, unread);
    Ok(())
}

/// The Q/DQ of weights: those that read what is stored, and those that read what such a node quantized.
fn weights<'a>(graph: &'a GraphProto, stored: &HashMap<&str, &TensorProto>) -> Vec<(usize, &'a NodeProto)> {
    let mut quantized: HashSet<&str> = HashSet::new();
    let mut found = Vec::new();
    for (index, node) in graph.node.iter().enumerate().filter(|(_, node)| is_qdq(node)) {
        let Some(input) = node.input(0) else { continue };
        if stored.contains_key(input) || quantized.contains(input) {
            quantized.extend(node.outputs());
            found.push((index, node));
        }
    }
    found
}

/// `None` where nothing has to change, or the coarser scale would show.
fn raised(scales: &[f32]) -> Option<Vec<f32>> {
    let mut sorted = scales.to_vec();
    sorted.sort_by(f32::total_cmp);
    let median = sorted.get(sorted.len() / 2)?;
    let small = |scale: f32| scale > 0.0 && scale < SMALLEST;
    if median / FINER < SMALLEST || !scales.iter().any(|&scale| small(scale)) {
        return None;
    }
    let raised: Vec<f32> = scales.iter().map(|&scale| if small(scale) { SMALLEST } else { scale }).collect();
    half::holds(&raised).then_some(raised)
}

/// A stored INT8 weight.
struct Weight<'a> {
    integers: &'a TensorProto,
    zeros: Option<&'a TensorProto>,
    axis: i64,
}

impl Weight<'_> {
    /// Its integers for the scales `after`; `None` for an asymmetric weight and for one without channels.
    fn rounded(
        &self,
        folder: Option<&Path>,
        before: &[f32],
        after: &[f32],
    ) -> Result<Option<Vec<u8>>, OnnxError> {
        let dims = &self.integers.dims;
        let axis = if self.axis < 0 { self.axis + dims.len() as i64 } else { self.axis };
        let dims = usize::try_from(axis).ok().and_then(|axis| dims.get(axis..));
        let Some([channels, inner @ ..]) = dims else { return Ok(None) };
        let fits = usize::try_from(*channels) == Ok(before.len());
        let zeros = self.zeros.map(|zeros| tensor::integers(zeros, folder)).transpose()?.flatten();
        if !fits || zeros.is_some_and(|zeros| zeros.iter().any(|&zero| zero != 0)) {
            return Ok(None);
        }
        let Some(values) = tensor::integers(self.integers, folder)? else { return Ok(None) };
        let inner = tensor::side_by_side(inner);
        let byte = |(index, value): (usize, &i32)| {
            let channel = index / inner % before.len();
            ((*value as f32 * (before[channel] / after[channel])).round_ties_even() as i8).cast_unsigned()
        };
        Ok(Some(values.iter().enumerate().map(byte).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_channel_gets_a_scale_that_is_finer_than_its_neighbours() {
        let raised = raised(&[1e-3, 1e-5, 1e-10, 2e-3]).unwrap();
        assert_eq!(raised, [1e-3, SMALLEST, SMALLEST, 2e-3]);
    }

    #[test]
    fn its_integers_are_rounded_to_the_new_scale() {
        let integers = tensor::new("w".into(), elem::INT8, &[2, 2], vec![127, 129, 127, 3]);
        let weight = |axis| Weight { integers: &integers, zeros: None, axis };
        let bytes = |axis| weight(axis).rounded(None, &[1e-5, 1e-3], &[SMALLEST, 1e-3]).unwrap();
        assert_eq!(bytes(0).unwrap(), [83, (-83i8).cast_unsigned(), 127, 3]);
        assert_eq!(bytes(-1).unwrap(), [83, 129, 83, 3]);
        assert_eq!(bytes(2), None);
    }

    #[test]
    fn what_would_show_stays_as_it_is() {
        for scales in [[1e-4, 1e-4, 1e-10], [1e-3, 2e-3, 1e-3], [1e-3, 1e5, 1e-10]] {
            assert_eq!(raised(&scales), None, "{scales:?}");
        }
    }
}
