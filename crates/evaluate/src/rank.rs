//! Which activations and which layers lose most.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use trt_inference::{Network, Tensor, Values};
use trt_metrics::{Comparison, Figures, MetricsError, SQNR_LIMIT};
use trt_onnx::{Model, Only, OnnxError, SimulateReport, demand, expose};

use crate::evaluator::run;
use crate::{EvaluateError, Evaluator, Sample, Study};

/// Activations are looked at in portions of this many, so that not all of them are in memory.
const PORTION: usize = 64;

/// What an activation loses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct TensorLoss {
    /// Its ONNX value name.
    pub name: String,
    /// The node that computes it, for people; absent for an input.
    pub producer: Option<String>,
    /// That node's operator.
    pub op: Option<String>,
    /// Its scale, if it is rounded.
    pub scale: Option<f32>,
    /// Its value in FP32 against its value in simulated INT8 before it is rounded itself: the error of all that comes
    /// before it.
    pub accumulated: Figures,
    /// Its value in FP32 against that value rounded and clipped by its own scale: the error that its own threshold
    /// brings.
    pub own: Option<Figures>,
    /// The share of its values that its own scale clips, from 0 to 1.
    pub clipped: Option<f64>,
}

/// What a layer loses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct LayerLoss {
    /// Its name, for people.
    pub node: String,
    /// Its operator.
    pub op: String,
    /// The value that it computes: what to `keep` for it to stay in higher precision.
    pub output: String,
    /// Mean SQNR of the outputs in dB with this layer alone in INT8.
    pub only: f64,
    /// Mean SQNR of the outputs in dB with everything in INT8 but what computes or reads this value; measured for the
    /// costliest layers only.
    pub without: Option<f64>,
}

/// What each float activation loses, by accumulated SQNR, the worst first; those with values that are not finite in one
/// of the two come before all others.
///
/// Looks at the first `count` samples of `evaluator`, one after the other.
///
/// # Errors
/// As for [`Evaluator::run`] and [`Study::int8`].
pub fn rank_tensors(
    study: &Study,
    scales: &BTreeMap<String, f32>,
    evaluator: &Evaluator,
    count: usize,
) -> Result<Vec<TensorLoss>, EvaluateError> {
    let samples = evaluator.inputs(count);
    if samples.is_empty() {
        return Err(EvaluateError::NoSamples { first: None });
    }
    let (int8, report) = study.with_model(scales)?;
    let rounded: BTreeMap<&str, f32> =
        report.tensors.iter().map(|tensor| (tensor.name.as_str(), tensor.scale)).collect();
    let activations = study.model.activations();
    let mut losses = Vec::new();
    for portion in activations.chunks(PORTION) {
        let names: Vec<String> = portion.iter().map(|activation| activation.name.clone()).collect();
        let fp32 = Exposed::open(study, study.model, "FP32", &names)?;
        let int8 = Exposed::open(study, &int8, "INT8", &names)?;
        let mut sums: BTreeMap<String, Sums> = BTreeMap::new();
        for sample in &samples {
            let mut other = int8.values(sample)?;
            for (name, reference) in fp32.values(sample)? {
                // What is no float after all, or cannot be an output, is no activation to rank.
                let Some(other) = other.remove(&name) else { continue };
                let scale = rounded.get(name.as_str()).copied();
                let added = sums.entry(name.clone()).or_default().add(&reference, &other, scale);
                added.map_err(|source| EvaluateError::Metrics { output: name, source })?;
            }
        }
        for activation in portion {
            let Some(sums) = sums.get(&activation.name) else { continue };
            let scale = rounded.get(activation.name.as_str()).copied();
            losses.push(TensorLoss {
                name: activation.name.clone(),
                producer: activation.producer.clone(),
                op: activation.op_type.clone(),
                scale,
                accumulated: sums.accumulated.figures(),
                own: scale.map(|_| sums.own.figures()),
                clipped: scale.map(|_| sums.clipped as f64 / sums.count.max(1) as f64),
            });
        }
    }
    let key = |loss: &TensorLoss| loss.accumulated.sqnr.unwrap_or(f64::NEG_INFINITY);
    losses.sort_by(|a, b| key(a).total_cmp(&key(b)));
    Ok(losses)
}

/// A network that gives out activations.
struct Exposed {
    network: Box<dyn Network>,
    which: &'static str,
    outputs: BTreeSet<String>,
    /// Activations that the sample itself holds.
    inputs: BTreeSet<String>,
}

impl Exposed {
    fn open(
        study: &Study,
        model: &Model,
        which: &'static str,
        names: &[String],
    ) -> Result<Self, EvaluateError> {
        let mut model = model.clone();
        let exposed = expose(&mut model, names);
        let network = (study.open)(&model).map_err(|source| EvaluateError::Open { which, source })?;
        let [outputs, inputs] = [exposed.outputs, exposed.inputs].map(|names| names.into_iter().collect());
        Ok(Self { network, which, outputs, inputs })
    }

    /// The activations of one sample, as far as they are 32-bit floats.
    fn values(&self, sample: &Sample) -> Result<BTreeMap<String, Vec<f32>>, EvaluateError> {
        let computed = run(self.network.as_ref(), self.which, sample)?;
        let computed = computed.into_iter().filter(|tensor| self.outputs.contains(&tensor.name));
        let given = sample.inputs.iter().filter(|input| self.inputs.contains(&input.name)).cloned();
        let float = |tensor: Tensor| match tensor.values {
            Values::F32(values) => Some((tensor.name, values)),
            _ => None,
        };
        Ok(computed.chain(given).filter_map(float).collect())
    }
}

/// What is added up of one activation.
#[derive(Default)]
struct Sums {
    accumulated: Comparison,
    own: Comparison,
    clipped: u64,
    count: u64,
}

impl Sums {
    /// Rounding is that of a QuantizeLinear: ties to even, -128 to 127.
    fn add(&mut self, fp32: &[f32], int8: &[f32], scale: Option<f32>) -> Result<(), MetricsError> {
        self.accumulated.add(fp32, int8)?;
        let Some(scale) = scale else { return Ok(()) };
        let steps = fp32.iter().map(|value| (value / scale).round_ties_even());
        let rounded: Vec<f32> = steps.clone().map(|step| step.clamp(-128.0, 127.0) * scale).collect();
        self.clipped += steps.filter(|step| !(-128.0..=127.0).contains(step)).count() as u64;
        self.count += fp32.len() as u64;
        self.own.add(fp32, &rounded)
    }
}

/// What each layer that is simulated in INT8 loses, the one whose rounding alone costs most first.
///
/// Runs every sample of `evaluator` once for each layer, and again for the `costliest` ones. `progress` gets how many of
/// these networks were looked at, and how many there are.
///
/// # Errors
/// As for [`Evaluator::run`] and [`Study::int8`].
pub fn sensitivity(
    study: &Study,
    scales: &BTreeMap<String, f32>,
    evaluator: &Evaluator,
    costliest: usize,
    progress: &dyn Fn(usize, usize),
) -> Result<Vec<LayerLoss>, EvaluateError> {
    let (_, report) = study.with_model(scales)?;
    let layers = layers(study, scales, &report);
    let alone = layers.len();
    let total = alone + costliest.min(alone);
    let mean = |network: &dyn Network| {
        evaluator.run(network).map(|run| run.evaluation.mean_sqnr.unwrap_or(-SQNR_LIMIT))
    };
    let mut losses = Vec::new();
    for (done, layer) in layers.into_iter().enumerate() {
        progress(done, total);
        let network = match study.with(scales, &[], Only::Layers(vec![layer.output.clone()])) {
            Ok((network, _)) => network,
            // It is of the right kind, and yet nothing in it is rounded, such as an Add behind no convolution.
            Err(EvaluateError::Simulate { source: OnnxError::NothingQuantized { .. } }) => continue,
            Err(error) => return Err(error),
        };
        let only = mean(network.as_ref())?;
        losses.push(LayerLoss { node: layer.node, op: layer.op, output: layer.output, only, without: None });
    }
    losses.sort_by(|a, b| a.only.total_cmp(&b.only));
    for (done, loss) in losses.iter_mut().take(costliest).enumerate() {
        progress(alone + done, total);
        let without = study.or_fp32(scales, std::slice::from_ref(&loss.output))?.0;
        loss.without = Some(mean(without.as_ref())?);
    }
    progress(total, total);
    Ok(losses)
}

/// The layers that may be among those simulated, in the order of computation.
pub(crate) fn layers(
    study: &Study,
    scales: &BTreeMap<String, f32>,
    report: &SimulateReport,
) -> Vec<trt_onnx::Layer> {
    let ops: BTreeSet<&str> = report.quantized.iter().map(|node| node.op.as_str()).collect();
    let asked = demand(study.model, &|name| scales.get(name).copied(), &study.options.keep);
    asked.layers.into_iter().filter(|layer| ops.contains(layer.op.as_str())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_of_a_scale_is_that_of_rounding_and_clipping() {
        let sums = |parts: &[&[f32]]| {
            let mut sums = Sums::default();
            parts.iter().for_each(|part| sums.add(part, part, Some(1.0)).unwrap());
            sums
        };
        let found = sums(&[&[1.0, 2.0], &[0.4, 300.0]]);
        assert_eq!((found.own.figures().max_error, found.clipped, found.count), (Some(173.0), 1, 4));
        let found = sums(&[&[0.5, 1.5, -2.0]]);
        let figures = found.own.figures();
        assert_eq!((figures.max_error, figures.mean_other, found.clipped), (Some(0.5), Some(0.0), 0));
    }
}
