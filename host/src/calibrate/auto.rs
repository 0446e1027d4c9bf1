//! `auto`: the algorithm that loses least, measured on samples that calibration has not seen.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use trt_calib::Algorithm;
use trt_calib::set::HistogramSet;
use trt_evaluate::{ChooseOptions, Chosen, EvaluateError, Evaluator, Study, choose};

use super::derive::{Choices, Memo};
use super::error::CalibrateError;
use super::plan::{Plan, folder_of};
use super::split::{SplitRecord, Splits};
use super::{Event, Events};
use crate::evaluate::{Bench, DatasetSamples, settings, simulated};

/// A choice, and its provenance.
#[derive(Debug)]
pub struct Auto {
    /// What was chosen, and why.
    pub chosen: Chosen,
    /// The parts of the samples.
    pub splits: Vec<SplitRecord>,
}

impl Auto {
    /// What the sidecar records.
    ///
    /// # Errors
    /// [`CalibrateError::Provenance`].
    pub fn record(&self, seed: u64) -> Result<Value, CalibrateError> {
        let unrecorded = |source| CalibrateError::Provenance { source };
        let mut chosen = serde_json::to_value(&self.chosen).map_err(unrecorded)?;
        without_times(&mut chosen);
        let splits = serde_json::to_value(&self.splits).map_err(unrecorded)?;
        Ok(json!({ "seed": seed, "splits": splits, "choice": chosen }))
    }
}

/// How long it took says nothing about the table, and would make two records of the same choice differ.
pub fn without_times(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.remove("seconds");
            map.values_mut().for_each(without_times);
        }
        Value::Array(items) => items.iter_mut().for_each(without_times),
        _ => {}
    }
}

impl Plan {
    /// Chooses among the candidates, by simulating INT8.
    pub(super) fn choose(
        &self,
        set: &HistogramSet,
        splits: &Splits,
        choices: &Choices<'_>,
        events: &Events<'_>,
    ) -> Result<Auto, CalibrateError> {
        let candidates = Algorithm::candidates();
        events(Event::Candidates { algorithms: candidates.len() });
        let bench = Bench { folder: folder_of(&self.job.onnx), running: &self.job.recipe.running };
        let fp32 = bench.open(&self.onnx).map_err(|source| EvaluateError::Open { which: "FP32", source })?;
        let open = |model: &trt_onnx::Model| bench.open(model).map(|opened| opened.what);
        let keep = choices.without.keys().cloned().collect();
        let study = Study { model: &self.onnx, options: simulated(keep), open: &open };
        let pipeline = self.dataset.inputs().pipeline();
        let settings = settings(&self.onnx, &self.job.evaluation, pipeline);
        let memo = Memo::default();
        let scales = |algorithm, own: &BTreeMap<String, Algorithm>| {
            let mut overrides = own.clone();
            // What the user says counts.
            overrides.extend(choices.overrides.iter().map(|(name, algorithm)| (name.clone(), *algorithm)));
            let choices = Choices { algorithm, overrides: &overrides, memo: Some(&memo), ..choices.clone() };
            choices.derive(set).map(|derived| derived.scales()).map_err(|error| error.to_string())
        };
        let samples = [&splits.selection, &splits.report].map(|part| DatasetSamples::new(part, None, None));
        let [selection, report] =
            samples.each_ref().map(|samples| Evaluator::new(&*fp32.what, samples, &settings));
        let options = ChooseOptions::default();
        let chosen = choose(&study, &candidates, &scales, &selection, &report, &options)?;
        let splits = vec![
            SplitRecord::of("calibration", &self.dataset),
            SplitRecord::of("selection", &splits.selection),
            SplitRecord::of("report", &splits.report),
        ];
        Ok(Auto { chosen, splits })
    }
}
