//! Scales of stored INT8 weights that float16 does not hold.
//!
//! Trained networks have dead channels, with weights of 1e-9 beside others of 0.1, and so with a scale that float16
//! rounds to nothing. Such a channel gets float16's smallest useful scale and is rounded again: to fewer levels than
//! before, but more finely than the channels beside it.

use crate::error::OnnxError;
use crate::graph::{self, Names};
use crate::half;
use crate::model::Model;
use crate::proto::{NodeProto, TensorProto, elem};
use crate::tensor;

/// The smallest scale that float16 holds as well as INT8 needs it (see [`half::holds`]).
const SMALLEST: f32 = 1.0 / 65536.0;
/// How much finer than the tensor's median scale it must be for a channel to take it.
const FINER: f32 = 16.0;

/// Gives every stored INT8 weight scales that float16 holds, where that is possible.
pub(super) fn refit(model: &mut Model) -> Result<(), OnnxError> {
    let mut names = Names::of(&model.proto);
    let mut edits = Vec::new();
    let stored = graph::stored_tensors(model.graph());
    for (index, node) in model.graph().node.iter().enumerate().filter(|(_, node)| node.is("DequantizeLinear"))
    {
        let [integers, scales] = [0, 1].map(|at| node.input(at).and_then(|name| stored.get(name)));
        let (Some(&integers), Some(&scales)) = (integers, scales) else { continue };
        let zero_point = node.input(2).map(|name| stored.get(name).copied());
        if let Some(refitted) =
            Channels::of(model, node, integers, scales, zero_point)?.and_then(Channels::refit)
        {
            let [values, scale] =
                ["refitted", "scale"].map(|word| names.fresh(&format!("{}_{word}", tensor::name(integers))));
            let bytes: Vec<u8> = refitted.values.iter().map(|&value| (value as i8).cast_unsigned()).collect();
            let new = [
                tensor::new(values, elem::INT8, &integers.dims, bytes),
                tensor::from_floats(scale, &scales.dims, &refitted.scales),
            ];
            edits.push((index, new));
        }
    }
    let graph = model.graph_mut();
    let mut replaced = std::collections::HashSet::new();
    for (index, new) in edits {
        for (at, tensor) in new.into_iter().enumerate() {
            let input = &mut graph.node[index].input[at];
            replaced.insert(std::mem::replace(input, tensor::name(&tensor)));
            graph.initializer.push(tensor);
        }
    }
    graph::drop_unread(graph, replaced);
    Ok(())
}

/// A symmetric INT8 weight with one scale for each channel.
struct Channels {
    values: Vec<i32>,
    scales: Vec<f32>,
    /// How many numbers of a channel lie side by side.
    inner: usize,
}

impl Channels {
    /// `None` for weights of another kind, whose scales stay as they are.
    fn of(
        model: &Model,
        node: &NodeProto,
        integers: &TensorProto,
        scales: &TensorProto,
        zero_point: Option<Option<&TensorProto>>,
    ) -> Result<Option<Self>, OnnxError> {
        let folder = model.folder.as_deref();
        if (integers.data_type, scales.data_type) != (Some(elem::INT8), Some(elem::FLOAT)) {
            return Ok(None);
        }
        let symmetric = match zero_point {
            None => true,
            Some(None) => false,
            Some(Some(tensor)) => {
                tensor::integers(tensor, folder)?.is_some_and(|zeros| zeros.iter().all(|&zero| zero == 0))
            }
        };
        let rank = integers.dims.len() as i64;
        let axis = node.int("axis", 1);
        let axis = if axis < 0 { axis + rank } else { axis };
        let dims = usize::try_from(axis).ok().and_then(|axis| integers.dims.get(axis..));
        let (true, Some([channels, inner @ ..])) = (symmetric, dims) else { return Ok(None) };
        if scales.dims != [*channels] {
            return Ok(None);
        }
        let inner = inner.iter().product::<i64>().max(1) as usize;
        let Some(values) = tensor::integers(integers, folder)? else { return Ok(None) };
        Ok(Some(Self { values, scales: tensor::floats(scales, folder)?, inner }))
    }

    /// `None` where nothing has to change, or the coarser scale would show.
    fn refit(mut self) -> Option<Self> {
        let mut sorted = self.scales.clone();
        sorted.sort_by(f32::total_cmp);
        let median = sorted.get(sorted.len() / 2)?;
        let small = |scale: f32| scale > 0.0 && scale < SMALLEST;
        if median / FINER < SMALLEST || !self.scales.iter().any(|&scale| small(scale)) {
            return None;
        }
        let channels = self.scales.len();
        for (index, value) in self.values.iter_mut().enumerate() {
            let scale = self.scales[index / self.inner % channels];
            if small(scale) {
                *value = (*value as f32 * (scale / SMALLEST)).round_ties_even() as i32;
            }
        }
        for scale in self.scales.iter_mut().filter(|scale| small(**scale)) {
            *scale = SMALLEST;
        }
        half::holds(&self.scales).then_some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_channel_is_rounded_more_finely_than_its_neighbours() {
        let channels = Channels {
            values: vec![127, -127, 127, -64, 127, 3, 5, 7],
            scales: vec![1e-3, 1e-5, 1e-10, 2e-3],
            inner: 2,
        };
        let refitted = channels.refit().unwrap();
        assert_eq!(refitted.scales, [1e-3, SMALLEST, SMALLEST, 2e-3]);
        assert_eq!(refitted.values, [127, -127, 83, -42, 0, 0, 5, 7]);
    }

    #[test]
    fn what_would_show_stays_as_it_is() {
        for scales in [[1e-4, 1e-4, 1e-10], [1e-3, 2e-3, 1e-3], [1e-3, 1e5, 1e-10]] {
            let scales = scales.to_vec();
            assert!(
                Channels { values: vec![1, 2, 3], scales: scales.clone(), inner: 1 }.refit().is_none(),
                "{scales:?}"
            );
        }
    }
}
