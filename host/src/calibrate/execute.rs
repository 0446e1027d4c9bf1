//! Carrying a plan out: histograms, thresholds, the table and its provenance.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use trt_calib::set::HistogramSet;
use trt_calib::sidecar::{self, Backend, Propagate, Sidecar};
use trt_calib::{Algorithm, CalibrationTable, Digest};

use super::auto::{Auto, without_times};
use super::derive::{self, Choices, Derived};
use super::error::CalibrateError;
use super::plan::{Plan, folder_of};
use super::report::{CountReport, Report};
use super::run::Counting;
use super::{Event, Events, store, time};
use crate::fleet::Chosen;
use crate::interrupt::Interrupt;

/// A table that was made, and what there is to say of it.
#[derive(Debug)]
pub struct Made {
    /// The table.
    pub table: CalibrationTable,
    /// How it went.
    pub report: Report,
}

/// What the sidecar says beyond the histograms' provenance and the table.
#[derive(Debug)]
pub struct Facts<'a> {
    /// The algorithm of all tensors that are not in `overrides`.
    pub algorithm: Algorithm,
    /// Those with another one.
    pub overrides: BTreeMap<String, Algorithm>,
    /// The parameters of the entropy search, or null.
    pub params: Value,
    /// Which tensors share a scale.
    pub propagate: Propagate,
    /// Tensors without a scale, as the user asked.
    pub keep: &'a [String],
    /// Those that a rescue found.
    pub rescued: Vec<String>,
    /// How `auto` chose, or null.
    pub auto: Value,
    /// What was measured, or null.
    pub evaluation: Value,
    /// Where the histograms are kept.
    pub histograms: Option<&'a Path>,
}

/// The provenance of a table.
pub fn sidecar(
    facts: Facts<'_>,
    set: &HistogramSet,
    derived: &Derived,
    table: &[u8],
    output: &Path,
) -> Sidecar {
    let provenance = &set.provenance;
    let folder = folder_of(output);
    let near = |path: &Path| path.strip_prefix(folder).unwrap_or(path).display().to_string();
    Sidecar {
        format: sidecar::FORMAT,
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        created: time::now(),
        table: Digest::of(table),
        model: provenance.model.clone(),
        dataset: provenance.dataset.clone(),
        preprocessing: provenance.preprocessing.clone(),
        shapes: provenance.shapes.clone(),
        batch: provenance.batch,
        algorithm: facts.algorithm,
        overrides: facts.overrides,
        params: facts.params,
        mode: set.mode,
        propagate: facts.propagate,
        propagated: derived.propagated.clone(),
        backend: joined(&provenance.backends),
        tensors: derived.tensors.clone(),
        without_scale: derived.without_scale.clone(),
        keep: facts.keep.to_vec(),
        rescued: facts.rescued,
        auto: facts.auto,
        evaluation: facts.evaluation,
        histograms: facts.histograms.map(near),
    }
}

/// What ran the model, of several what all of them have in common first.
fn joined(backends: &[Backend]) -> Backend {
    let Some((first, rest)) = backends.split_first() else {
        return Backend { name: "unknown".to_owned(), version: String::new(), settings: BTreeMap::new() };
    };
    let mut joined = first.clone();
    for other in rest {
        joined.name = format!("{} + {}", joined.name, other.name);
        joined.version = format!("{} + {}", joined.version, other.version);
        joined.settings.retain(|key, value| other.settings.get(key) == Some(value));
    }
    joined
}

impl Plan {
    /// Makes the table and writes it, whatever was there.
    ///
    /// # Errors
    /// What running the model, the samples and writing can cause. No table is written then.
    pub fn execute(mut self, events: &Events<'_>, interrupt: &Interrupt) -> Result<Made, CalibrateError> {
        if self.job.is_by_tensorrt() {
            return self.execute_by_tensorrt(events, interrupt);
        }
        let Counting { set, remarks } = self.count(events, interrupt)?;
        interrupt.check()?;
        let thresholds = &self.job.recipe.thresholds;
        events(Event::Thresholds { tensors: set.tensors.len() });
        let without = derive::without(&self.keep, &[]);
        let mut choices = Choices {
            algorithm: Algorithm::default(),
            overrides: &self.overrides,
            entropy: thresholds.entropy,
            propagation: &self.propagation,
            without: &without,
            version: self.job.version,
            memo: None,
        };
        let auto = match (thresholds.algorithm, &self.splits) {
            (Chosen::Of(algorithm), _) => {
                choices.algorithm = algorithm;
                None
            }
            (Chosen::Auto, Some(splits)) => Some(self.choose(&set, splits, &choices, events)?),
            (Chosen::Auto, None) => None,
        };
        let overrides = self.all_overrides(auto.as_ref());
        if let Some(auto) = &auto {
            choices.algorithm = auto.chosen.algorithm;
        }
        let choices = Choices { overrides: &overrides, ..choices };
        let derived = choices.derive(&set)?;
        interrupt.check()?;

        let bytes = derived.table.write();
        let mut evaluation = match &auto {
            Some(auto) => serde_json::to_value(&auto.chosen.report)
                .map_err(|source| CalibrateError::Provenance { source })?,
            None => Value::Null,
        };
        without_times(&mut evaluation);
        let recipe = &self.job.recipe;
        let histograms = self.histograms().filter(|_| remarks.not_kept.is_none());
        let facts = Facts {
            algorithm: choices.algorithm,
            overrides: overrides.clone(),
            params: self.params()?,
            propagate: thresholds.propagate,
            keep: &self.keep,
            rescued: Vec::new(),
            auto: auto.as_ref().map_or(Ok(Value::Null), |auto| auto.record(recipe.seed))?,
            evaluation,
            histograms: histograms.as_deref(),
        };
        let sidecar = sidecar(facts, &set, &derived, &bytes, &recipe.output);
        store::write(&recipe.output, &bytes, &sidecar, self.state.replaced())?;
        let counted = self.count_report(&set, remarks);
        let report = Report::new(&self, counted, &derived, &choices, auto, &set.tensors);
        Ok(Made { table: derived.table, report })
    }

    /// What the user and `auto` say of single tensors.
    fn all_overrides(&self, auto: Option<&Auto>) -> BTreeMap<String, Algorithm> {
        let mut all = auto.map(|auto| auto.chosen.overrides.clone()).unwrap_or_default();
        all.extend(self.overrides.iter().map(|(name, algorithm)| (name.clone(), *algorithm)));
        all
    }

    /// Counts a shard, and writes its histograms. Returns where.
    ///
    /// # Errors
    /// As for [`Plan::execute`].
    pub fn execute_shard(
        mut self,
        events: &Events<'_>,
        interrupt: &Interrupt,
    ) -> Result<(PathBuf, CountReport), CalibrateError> {
        let path = self.histograms().ok_or(CalibrateError::NotKept { what: "`--shard`" })?;
        let Counting { set, remarks } = self.count(events, interrupt)?;
        Ok((path, self.count_report(&set, remarks)))
    }

    /// Samples per run of the model.
    pub(super) fn batch(&self) -> u32 {
        self.dataset.inputs().fixed_batch.map_or(self.job.recipe.batch, |batch| batch as u32)
    }

    pub(super) fn count_report(&self, set: &HistogramSet, remarks: super::run::Remarks) -> CountReport {
        let backend = joined(&set.provenance.backends);
        let control_flow = trt_onnx::obstacles(&self.onnx).control_flow;
        CountReport {
            backend: format!("{} {}", backend.name, backend.version),
            settings: backend.settings,
            requested: u64::from(self.job.recipe.count),
            available: self.dataset.available(),
            used: set.provenance.dataset.images.len(),
            skipped: set.provenance.dataset.skipped.clone(),
            subgraph_nodes: self.onnx.subgraph_nodes(),
            control_flow,
            not_finite_weights: self.not_finite_weights.clone(),
            remarks,
        }
    }
}
