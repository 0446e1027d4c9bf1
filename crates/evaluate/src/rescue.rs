//! Which activations to keep in higher precision so that a target holds.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use trt_metrics::SQNR_LIMIT;

use crate::rank::layers;
use crate::{EvaluateError, Evaluation, Evaluator, Measure, Study, Target};

/// How far [`rescue`] goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RescueOptions {
    /// The most activations to keep; beyond, FP16 is the better answer.
    pub most: usize,
    /// The most evaluations. When they are spent, the search ends with what it has.
    pub evaluations: usize,
}

impl Default for RescueOptions {
    /// At most 64 activations, and 2,000 evaluations.
    fn default() -> Self {
        Self { most: 64, evaluations: 2_000 }
    }
}

/// What to keep, and what it brings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Rescue {
    /// What was to hold.
    pub target: Target,
    /// Whether it holds with `keep`.
    pub reached: bool,
    /// Why not, or why there may be a smaller set.
    pub note: Option<String>,
    /// The activations to keep, by ONNX value name, the one that brings most first: what `keep` takes. Where the target
    /// cannot be reached, what came closest.
    pub keep: Vec<String>,
    /// The figure that the target is about, before.
    pub value_before: f64,
    /// The same with `keep`.
    pub value_after: f64,
    /// Layers in INT8 before.
    pub layers_before: usize,
    /// Layers in INT8 with `keep`: those that compute or read what is kept are none any more.
    pub layers_after: usize,
    /// All figures before.
    pub before: Evaluation,
    /// All figures with `keep`.
    pub after: Evaluation,
    /// What keeping each activation alone brings, the best first: name and the figure by which they were ordered, in dB,
    /// or the target's own for `cosine`.
    pub order: Vec<(String, f64)>,
    /// How many evaluations it took.
    pub evaluations: usize,
}

/// Finds a small set of activations to keep in higher precision so that `target` holds on the samples of `judge`.
///
/// 1. Every activation that is rounded, and every result of a layer in INT8, is kept alone, on the samples of `probe`
///    (a few suffice): those whose keeping brings most come first. Of equals the first in the order of computation.
/// 2. Bisection over that order finds the shortest beginning of it with which the target holds.
/// 3. From the last to the first, whatever the target holds without is taken out again.
///
/// The result is a set from which nothing can be taken, not always the smallest of all: that would take as many
/// evaluations as there are sets.
///
/// # Errors
/// As for [`Evaluator::run`] and [`Study::int8`], and [`EvaluateError::Unmeasured`].
pub fn rescue(
    study: &Study,
    scales: &BTreeMap<String, f32>,
    probe: &Evaluator,
    judge: &Evaluator,
    target: Target,
    options: &RescueOptions,
) -> Result<Rescue, EvaluateError> {
    let mut search = Search { study, scales, judge, target, left: options.evaluations, spent: 0 };
    let before = search.judge(&[])?;
    let mut result = Rescue {
        target,
        reached: before.value >= target.least,
        note: None,
        keep: Vec::new(),
        value_before: before.value,
        value_after: before.value,
        layers_before: before.layers,
        layers_after: before.layers,
        before: before.evaluation.clone(),
        after: before.evaluation,
        order: Vec::new(),
        evaluations: 0,
    };
    if !result.reached && target.is_out_of_reach() {
        result.note = Some("not even the FP32 model reaches it".to_owned());
    } else if !result.reached {
        result.order = search.order(probe)?;
        let names: Vec<String> = result.order.iter().map(|(name, _)| name.clone()).collect();
        let (kept, found, note) = search.smallest(&names, options.most)?;
        result.reached = found.value >= target.least;
        (result.value_after, result.layers_after, result.after) =
            (found.value, found.layers, found.evaluation);
        (result.keep, result.note) = (kept, note);
    }
    result.evaluations = search.spent;
    Ok(result)
}

struct Search<'a> {
    study: &'a Study<'a>,
    scales: &'a BTreeMap<String, f32>,
    judge: &'a Evaluator<'a>,
    target: Target,
    left: usize,
    spent: usize,
}

/// How a set of activations does.
struct Judged {
    value: f64,
    layers: usize,
    evaluation: Evaluation,
}

impl Search<'_> {
    fn judge(&mut self, keep: &[String]) -> Result<Judged, EvaluateError> {
        self.run(self.judge, keep)
    }

    fn run(&mut self, evaluator: &Evaluator, keep: &[String]) -> Result<Judged, EvaluateError> {
        self.spent += 1;
        self.left = self.left.saturating_sub(1);
        let (network, layers) = self.study.or_fp32(self.scales, keep)?;
        let evaluation = evaluator.run(network.as_ref())?.evaluation;
        Ok(Judged { value: self.target.value(&evaluation)?, layers, evaluation })
    }

    /// What can be kept, with what it brings, best first.
    fn order(&mut self, probe: &Evaluator) -> Result<Vec<(String, f64)>, EvaluateError> {
        let (_, report) = self.study.with_model(self.scales)?;
        let results = layers(self.study, self.scales, &report).into_iter().map(|layer| layer.output);
        let mut seen = BTreeSet::new();
        let candidates: Vec<String> = (report.tensors.iter().map(|tensor| tensor.name.clone()))
            .chain(results)
            .filter(|name| seen.insert(name.clone()))
            .collect();
        let mut gains = Vec::with_capacity(candidates.len());
        for name in candidates {
            // Two are needed at the end: for all of them, and for the first half.
            if self.left <= 2 {
                gains.push((name, -SQNR_LIMIT));
                continue;
            }
            let judged = self.run(probe, std::slice::from_ref(&name))?;
            let gain = match self.target.measure {
                // What is held is what is ordered by; other measures are too coarse for a few samples.
                Measure::Cosine | Measure::Sqnr => judged.value,
                _ => judged.evaluation.mean_sqnr.unwrap_or(-SQNR_LIMIT),
            };
            gains.push((name, gain));
        }
        gains.sort_by(|a, b| b.1.total_cmp(&a.1));
        Ok(gains)
    }

    /// A set from which nothing can be taken, with how it does, and what is to be said about it.
    fn smallest(
        &mut self,
        names: &[String],
        most: usize,
    ) -> Result<(Vec<String>, Judged, Option<String>), EvaluateError> {
        let all = &names[..names.len().min(most)];
        let (mut low, mut high) = (0, all.len());
        let mut best = self.judge(all)?;
        if best.value < self.target.least {
            let note = format!("keeping {high} of {} activations does not suffice", names.len());
            return Ok((all.to_vec(), best, Some(note)));
        }
        while high - low > 1 && self.left > 0 {
            let middle = low + (high - low) / 2;
            let judged = self.judge(&all[..middle])?;
            if judged.value >= self.target.least {
                (high, best) = (middle, judged);
            } else {
                low = middle;
            }
        }
        let mut kept = all[..high].to_vec();
        for at in (0..kept.len()).rev() {
            if self.left == 0 || kept.len() == 1 {
                break;
            }
            let mut fewer = kept.clone();
            fewer.remove(at);
            let judged = self.judge(&fewer)?;
            if judged.value >= self.target.least {
                (kept, best) = (fewer, judged);
            }
        }
        let spent = "the evaluations were spent before the search was over: there may be a smaller set";
        Ok((kept, best, (self.left == 0).then(|| spent.to_owned())))
    }
}
