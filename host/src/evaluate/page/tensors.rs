//! Every tensor with its histogram and the thresholds of all algorithms.

use std::collections::HashMap;

use trt_calib::set::{Counted, HistogramSet};
use trt_calib::{Algorithm, EntropyParams, Method};
use trt_evaluate::TensorLoss;
use trt_onnx::Model;
use trt_report::TensorReport;

use super::{Material, decibel};

/// The operator that computes each value; `None` for an input.
pub(super) fn operators(onnx: &Model) -> HashMap<String, Option<String>> {
    onnx.activations().into_iter().map(|activation| (activation.name, activation.op_type)).collect()
}

/// All of them, in the order of the histograms.
pub(super) fn tensors(
    material: &Material<'_>,
    set: &HistogramSet,
    operators: &HashMap<String, Option<String>>,
) -> Vec<TensorReport> {
    let sidecar = material.sidecar;
    let ranking = material.outcome.map_or(&[][..], |(outcome, _)| &outcome.ranking);
    let losses: HashMap<&str, &TensorLoss> = ranking.iter().map(|loss| (loss.name.as_str(), loss)).collect();
    let leaders: HashMap<&str, &str> =
        sidecar.propagated.iter().map(|one| (one.tensor.as_str(), one.from.as_str())).collect();
    // Of another version the parameters may be unreadable; the default is what it would take now.
    let entropy: EntropyParams = serde_json::from_value(sidecar.params.clone()).unwrap_or_default();
    let report = |tensor: &Counted| {
        let (name, counts) = (tensor.name.as_str(), &tensor.counts);
        let mut report = TensorReport::new(name, counts);
        report.operator = operators.get(name).cloned().flatten();
        let own = sidecar.overrides.get(name).copied().unwrap_or(sidecar.algorithm);
        let record = sidecar.tensors.get(name);
        let leader = leaders.get(name);
        if let Some(record) = record {
            let label = leader.map_or_else(|| own.to_string(), |from| format!("range of {from}"));
            report = report.with_threshold(&label, record.threshold, true, counts);
        }
        let mut candidates = Algorithm::candidates().to_vec();
        if !candidates.contains(&own) {
            candidates.insert(0, own);
        }
        let is_shown = |algorithm: &Algorithm| record.is_none() || leader.is_some() || *algorithm != own;
        for algorithm in candidates.into_iter().filter(is_shown) {
            if let Ok(threshold) = (Method { algorithm, entropy }).threshold(counts) {
                report = report.with_threshold(&algorithm.to_string(), threshold.value, false, counts);
            }
        }
        report.without_scale = sidecar.without_scale.get(name).cloned();
        let kept = sidecar.keep.iter().chain(&sidecar.rescued).any(|kept| kept == name);
        report.kept = report.without_scale.clone().filter(|_| kept);
        let loss = losses.get(name);
        report.sqnr_db = decibel(loss.and_then(|loss| loss.accumulated.sqnr));
        report.own_db = decibel(loss.and_then(|loss| loss.own.as_ref()?.sqnr));
        report
    };
    set.tensors.iter().map(report).collect()
}
