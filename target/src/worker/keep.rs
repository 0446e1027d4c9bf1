//! Layers that must not run in INT8 or FP16, in networks where TensorRT chooses the precision.

use std::collections::HashSet;

use nvinfer::{BuilderConfig, DataType, Error, LayerKind, Network, PrecisionConstraints};
use trt_wire::{Decision, Failure, FailureCode, Retry};

use super::build::build_failed;
use super::layers::{self, Layer, Tensor};
use super::log::Log;
use super::words::{count, few_quoted};

/// What to demand of one layer.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Constraint {
    layer: usize,
    /// To compute in FP32.
    computes: bool,
    /// To write these of its outputs in FP32.
    outputs: Vec<usize>,
}

/// Makes the layers that write or read one of the activations in `keep` compute in FP32, and the builder obey that.
///
/// # Errors
/// As nvinfer's; a constraint that no kernel satisfies fails the build itself.
pub fn constrain(
    network: &Network,
    config: &mut BuilderConfig,
    keep: &[String],
    log: &Log,
) -> Result<Vec<Decision>, Failure> {
    if keep.is_empty() {
        return Ok(Vec::new());
    }
    let layers = layers::of(network)?;
    let (constraints, unmatched) = constraints(&layers, keep);
    let handles = network.layers().map_err(build_failed)?;
    for constraint in &constraints {
        let layer = &handles[constraint.layer];
        if constraint.computes {
            layer.set_precision(DataType::Float).map_err(build_failed)?;
        }
        for &output in &constraint.outputs {
            layer.set_output_type(output, DataType::Float).map_err(build_failed)?;
        }
        if !holds(layer, constraint).map_err(build_failed)? {
            let message = format!(
                "TensorRT does not take FP32 for the layer of an activation in `keep`: {}",
                layers[constraint.layer].name
            );
            let hint = "remove what it reads and writes from `keep`, or set `precision: fp16`";
            return Err(Failure::new(FailureCode::BuildFailed, Retry::AfterFix, message).with_hint(hint));
        }
        log.note(&format!("kept in FP32: {}", layers[constraint.layer].name));
    }
    let mut decisions = Vec::new();
    if !constraints.is_empty() {
        decisions.extend(demand(config)?);
    }
    if !unmatched.is_empty() {
        decisions.push(Decision {
            what: format!(
                "{} in `keep` change nothing ({})",
                count(unmatched.len(), "name"),
                few_quoted(&unmatched)
            ),
            because: "no tensor of the parsed network has these names".into(),
        });
    }
    Ok(decisions)
}

/// Whether a layer has kept what it was told: the methods that set it return nothing.
fn holds(layer: &nvinfer::Layer<'_>, constraint: &Constraint) -> Result<bool, Error> {
    let mut holds = !constraint.computes || layer.precision()? == Some(DataType::Float);
    for &output in &constraint.outputs {
        holds &= layer.output_type_is_set(output)?;
    }
    Ok(holds)
}

/// Makes the constraints binding, as far as the version can.
fn demand(config: &mut BuilderConfig) -> Result<Option<Decision>, Failure> {
    match config.set_precision_constraints(PrecisionConstraints::Obey) {
        Ok(_) => Ok(None),
        Err(Error::Unsupported(missing)) => {
            config.set_precision_constraints(PrecisionConstraints::Prefer).map_err(build_failed)?;
            Ok(Some(Decision {
                what: "what `keep` lists stays in FP32 where TensorRT has a kernel for it".into(),
                because: format!("{} can only be asked for precisions, not made to obey", missing.version),
            }))
        }
        Err(error) => Err(build_failed(error)),
    }
}

/// One constraint for each layer concerned, and the names that the network does not have.
///
/// Layers that write no floats (shapes, indices) have no precision to choose, and neither have constants and the two
/// halves of a Q/DQ pair. What reads dequantized values computes in INT8 by the model's own word; only its results can be
/// FP32.
fn constraints(layers: &[Layer], keep: &[String]) -> (Vec<Constraint>, Vec<String>) {
    let wanted: HashSet<&str> = keep.iter().map(String::as_str).collect();
    let is_kept = |tensor: &&Tensor| wanted.contains(tensor.name.as_str());
    let dequantize = layers.iter().filter(|layer| layer.kind == Some(LayerKind::Dequantize));
    let dequantized: HashSet<&str> =
        dequantize.flat_map(|layer| &layer.outputs).map(|tensor| tensor.name.as_str()).collect();
    let mut found = HashSet::new();
    let mut constraints = Vec::new();
    for (index, layer) in layers.iter().enumerate() {
        let tensors = || layer.inputs.iter().chain(&layer.outputs);
        found.extend(tensors().filter(is_kept).map(|tensor| tensor.name.as_str()));
        if has_precision(layer) && tensors().any(|tensor| is_kept(&tensor)) {
            let outputs = layer.outputs.iter().filter(|tensor| tensor.is_float && is_kept(tensor));
            let outputs: Vec<usize> = outputs.map(|tensor| tensor.index).collect();
            let computes = !layer.inputs.iter().any(|tensor| dequantized.contains(tensor.name.as_str()));
            if computes || !outputs.is_empty() {
                constraints.push(Constraint { layer: index, computes, outputs });
            }
        }
    }
    let unmatched = keep.iter().filter(|name| !found.contains(name.as_str())).cloned().collect();
    (constraints, unmatched)
}

fn has_precision(layer: &Layer) -> bool {
    let is_fixed = matches!(
        layer.kind,
        Some(LayerKind::Constant | LayerKind::Shape | LayerKind::Quantize | LayerKind::Dequantize)
    );
    let floats = |tensors: &[Tensor]| tensors.iter().any(|tensor| tensor.is_float);
    !is_fixed && floats(&layer.inputs) && floats(&layer.outputs)
}

#[cfg(test)]
mod tests {
    use super::super::layers::network;
    use super::*;

    /// Layer, whether it computes in FP32, outputs in FP32.
    type Found = (usize, bool, Vec<usize>);

    /// What is found, and the names that were not.
    fn of(lines: &[&str], keep: &[&str]) -> (Vec<Found>, Vec<String>) {
        let keep: Vec<String> = keep.iter().map(|&name| name.into()).collect();
        let (constraints, unmatched) = constraints(&network(lines), &keep);
        (
            constraints.into_iter().map(|found| (found.layer, found.computes, found.outputs)).collect(),
            unmatched,
        )
    }

    #[test]
    fn the_layers_that_write_and_read_a_kept_activation_are_constrained() {
        let lines = [
            "conv: images -> a",
            "split: a -> b, c",
            "relu: b -> d",
            "add: c, d -> out",
            "shape: c -> #size",
            "quantize: c -> #q",
            "dequantize: #q, s -> e",
            "constant: -> k",
        ];
        assert_eq!(of(&lines, &["c"]), (vec![(1, true, vec![1]), (3, true, vec![])], vec![]));
        assert_eq!(of(&lines, &["images", "out"]), (vec![(0, true, vec![]), (3, true, vec![0])], vec![]));
        let unknown = vec!["nothing".into()];
        assert_eq!(of(&lines, &["a", "nothing"]), (vec![(0, true, vec![0]), (1, true, vec![])], unknown));
        assert_eq!(of(&lines, &["k", "e", "size"]), (vec![], vec![]));
        let gap = ["split: a -> b, _, c"];
        assert_eq!(of(&gap, &["c"]), (vec![(0, true, vec![2])], vec![]), "an output keeps its number");
    }

    #[test]
    fn what_the_model_quantizes_itself_stays_int8_and_only_writes_fp32() {
        let lines = ["dequantize: #q -> e", "conv: e, w -> f", "relu: f -> g", "quantize: g -> #h"];
        assert_eq!(of(&lines, &["f"]), (vec![(1, false, vec![0]), (2, true, vec![])], vec![]));
        assert_eq!(of(&lines, &["e"]), (vec![], vec![]));
    }
}
