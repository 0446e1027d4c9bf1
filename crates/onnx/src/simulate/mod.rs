//! A graph that computes in floats what an INT8 engine would compute, for evaluation.

mod layers;

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use crate::error::OnnxError;
use crate::graph;
use crate::model::Model;
use crate::opset::{self, raise_opset};
use crate::proto::GraphProto;
use crate::quantize::apply::{Stored, apply};
use crate::quantize::sites::{self, Operand, Site};
use crate::quantize::{self, QuantOptions, QuantReport, QuantizedNode, Skipped};

/// The session setting that ONNX Runtime needs for a simulated graph: key and value.
///
/// Without it, it makes integer kernels of Q/DQ pairs, and where a convolution's weight is no DequantizeLinear's output
/// rounds that weight *again, with one scale for all channels*, and its bias (`WeightBiasQuantization`, 1.21 and later).
/// EfficientNet-Lite0 then computes something else (cosine 0.955 to what the graph says), in twice the time.
pub const ONNX_RUNTIME_SETTING: (&str, &str) = ("session.disable_quant_qdq", "1");

/// What to simulate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SimulateOptions {
    /// Which layers compute in INT8.
    pub scope: Scope,
    /// Which of them, of those that the scope gives.
    pub only: Only,
    /// What to leave in FP32: nodes by name, and activations by name, with the nodes that compute or would read them.
    pub keep: Vec<String>,
    /// Whether weights are rounded too.
    pub weights: bool,
    /// Whether rounded weights are stored as floats (four times the room, and nothing to compute when the graph runs)
    /// or as INT8 with a DequantizeLinear. The numbers are the same. Both are stored in the model itself, so that
    /// beyond 2 GiB of weights only INT8 leaves a model that can be [written](Model::to_bytes).
    pub fold_weights: bool,
}

/// Which layers compute in INT8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// Convolutions and matrix products, with the residual Adds that are computed inside them: what
    /// [`crate::quantize`] does, and so what an engine with explicit Q/DQ computes.
    #[default]
    WeightedLayers,
    /// Every layer for which TensorRT has an INT8 implementation and the scales: what an engine with implicit INT8 may
    /// compute at worst. Nothing is rounded inside what TensorRT fuses: a convolution, the activation function after it
    /// and the residual Add.
    AllLayers,
}

/// Which of the layers in scope.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Only {
    /// All of them.
    #[default]
    Everything,
    /// Nodes by name or by a value that they compute: for the error that each layer brings.
    Layers(Vec<String>),
    /// Activations by name, in all layers that read them; weights stay as they are. For the error that each threshold brings.
    Activations(Vec<String>),
}

impl Default for SimulateOptions {
    fn default() -> Self {
        Self {
            scope: Scope::default(),
            only: Only::default(),
            keep: Vec::new(),
            weights: true,
            fold_weights: true,
        }
    }
}

/// What [`simulate`] did.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct SimulateReport {
    /// The nodes that compute with rounded values, in the order of computation.
    pub quantized: Vec<QuantizedNode>,
    /// The nodes in scope that stay in FP32, with the reason.
    pub skipped: Vec<Skipped>,
    /// The activations that are rounded, in the order of computation.
    pub tensors: Vec<Simulated>,
    /// Names in the options that nothing in the graph has.
    pub unmatched: Vec<String>,
    /// From which operator set to which the model was raised first.
    pub opset_raised: Option<(i64, i64)>,
}

/// An activation that is rounded to INT8.
///
/// Both names can be [exposed](crate::expose): compared with the FP32 model's, `name` shows the error of everything
/// before it, and `rounded` that of its own scale besides.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Simulated {
    /// Its name, which the value before rounding keeps.
    pub name: String,
    /// The name of the value after rounding.
    pub rounded: String,
    /// The scale that it was rounded with.
    pub scale: f32,
}

/// Makes `model` compute what an INT8 engine with these scales (threshold / 127, by value name) would compute.
///
/// Activations are rounded by a pair of QuantizeLinear and DequantizeLinear, per tensor, symmetrically, to -128..127;
/// weights per output channel from their largest magnitude, to -127..127. Names of values stay. Where weights are not
/// [folded](SimulateOptions::fold_weights), operator sets 11 and 12 are raised to 13 first; folded ones do with 10. On an
/// error the model is as it was. ONNX Runtime needs [`ONNX_RUNTIME_SETTING`] to run it as it is.
///
/// # Errors
/// As for [`crate::quantize`].
pub fn simulate(
    model: &mut Model,
    scales: &dyn Fn(&str) -> Option<f32>,
    options: &SimulateOptions,
) -> Result<SimulateReport, OnnxError> {
    match model.qdq_nodes() {
        0 => {}
        count => return Err(OnnxError::AlreadyQuantized { count }),
    }
    let mut work = model.clone();
    let weights_as = if options.fold_weights { Stored::Floats } else { Stored::Int8 };
    // Only weights in INT8 need more than one scale a tensor, and so operator set 13.
    let opset_raised = match weights_as {
        Stored::Floats if work.opset() >= OLDEST_QDQ => None,
        _ => raise_opset(&mut work)?,
    };
    work.proto.ir_version = Some(work.ir_version().max(opset::IR_VERSION));
    let names = match &options.only {
        Only::Everything => &[][..],
        Only::Layers(names) | Only::Activations(names) => names,
    };
    let mut unmatched = graph::unmatched(work.graph(), &options.keep);
    unmatched.extend(graph::unmatched(work.graph(), names));

    let of_weighted = QuantOptions { keep: options.keep.clone(), ..QuantOptions::default() };
    let mut found = QuantReport::default();
    let mut sites = sites::find(&work, scales, &of_weighted, &mut found);
    if options.scope == Scope::AllLayers {
        layers::add(&work, scales, &options.keep, &mut sites, &mut found.skipped);
    }
    restrict(work.graph(), options, &mut sites);
    if sites.is_empty() {
        return Err(quantize::nothing(&found.skipped));
    }
    let quantized = sites.keys().map(|&index| {
        let node = &work.graph().node[index];
        QuantizedNode { node: node.display(index), op: node.op().to_owned() }
    });
    let quantized = quantized.collect();
    let rounded = rounded(work.graph(), &sites);
    let dequantized = apply(&mut work, sites, weights_as)?;
    let tensors = rounded.into_iter().filter_map(|(name, scale)| {
        let rounded = dequantized.get(&name)?.clone();
        Some(Simulated { name, rounded, scale })
    });
    let tensors = tensors.collect();
    *model = work;
    Ok(SimulateReport { quantized, skipped: found.skipped, tensors, unmatched, opset_raised })
}

/// The first operator set with QuantizeLinear.
const OLDEST_QDQ: i64 = 10;

/// Takes out of `sites` what the options leave alone.
fn restrict(graph: &GraphProto, options: &SimulateOptions, sites: &mut BTreeMap<usize, Site>) {
    sites.retain(|&index, site| {
        let node = &graph.node[index];
        match &options.only {
            Only::Everything => {}
            Only::Layers(names) => {
                if !graph::is_named(node, names) {
                    return false;
                }
            }
            Only::Activations(names) => site.retain(|(at, operand)| {
                matches!(operand, Operand::Activation { .. })
                    && node.input(*at).is_some_and(|input| names.iter().any(|name| name == input))
            }),
        }
        site.retain(|(_, operand)| options.weights || matches!(operand, Operand::Activation { .. }));
        !site.is_empty()
    });
}

/// The activations that `sites` round, with their scales, in the order of computation.
fn rounded(graph: &GraphProto, sites: &BTreeMap<usize, Site>) -> Vec<(String, f32)> {
    let mut scales = HashMap::new();
    for (&index, site) in sites {
        for (at, operand) in site {
            if let (Operand::Activation { scale }, Some(name)) = (operand, graph.node[index].input(*at)) {
                scales.insert(name, *scale);
            }
        }
    }
    let inputs = graph.input.iter().filter_map(|input| input.name.as_deref());
    let values = inputs.chain(graph.node.iter().flat_map(|node| node.outputs()));
    values.filter_map(|name| Some((name.to_owned(), *scales.get(name)?))).collect()
}
