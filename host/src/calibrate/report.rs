//! What a calibration says of itself, for people and as JSON.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use trt_calib::Algorithm;
use trt_calib::set::Counted;
use trt_calib::sidecar::{Propagated, Skipped};
use trt_onnx::{Conflict, ControlFlow, NonFinite};

use super::auto::Auto;
use super::derive::{Choices, Derived, IdleOverride};
use super::health::{Health, Layers};
use super::plan::Plan;
use super::run::Remarks;
use super::split::SplitRecord;
use crate::ui::{self, Ui};

/// How counting went.
#[derive(Debug, Clone, Serialize)]
pub struct CountReport {
    /// What ran the model.
    pub backend: String,
    /// What else of it decides about the numbers.
    pub settings: BTreeMap<String, String>,
    /// Samples asked for.
    pub requested: u64,
    /// Samples there are.
    pub available: usize,
    /// Samples counted.
    pub used: usize,
    /// Samples that were left out, and why.
    pub skipped: Vec<Skipped>,
    /// Nodes in the bodies of If, Loop and Scan, whose values are not calibrated.
    pub subgraph_nodes: usize,
    /// The nodes that these bodies belong to.
    pub control_flow: Vec<ControlFlow>,
    /// Weights that hold NaN or infinities.
    pub not_finite_weights: Vec<NonFinite>,
    /// What was noticed.
    #[serde(flatten)]
    pub remarks: Remarks,
}

/// How a calibration went.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The algorithm.
    pub algorithm: Algorithm,
    /// Tensors with another one.
    pub overrides: BTreeMap<String, Algorithm>,
    /// How `auto` chose it, if it did.
    pub auto: Option<AutoReport>,
    /// Where the histograms come from.
    #[serde(flatten)]
    pub counted: CountReport,
    /// Float activations that have a scale.
    pub with_scale: usize,
    /// Why other float activations have none.
    pub without_scale: BTreeMap<String, String>,
    /// Those of them that held infinities, and how many.
    pub with_infinities: BTreeMap<String, u64>,
    /// Tensors that share the scale of another.
    pub propagated: Vec<Propagated>,
    /// Tensors that more than one would share its scale with: TensorRT rescales there.
    pub conflicts: Vec<Conflict>,
    /// Which layers may run in INT8.
    pub layers: Layers,
    /// What the ranges tell.
    pub health: Health,
    /// Overrides that do nothing.
    pub idle_overrides: Vec<IdleOverride>,
    /// From looking for the model to having written the table, in seconds.
    pub seconds: f64,
}

/// How `auto` chose.
#[derive(Debug, Clone, Serialize)]
pub struct AutoReport {
    /// Why this one.
    pub because: String,
    /// The parts of the samples.
    pub splits: Vec<SplitRecord>,
    /// All of it.
    #[serde(flatten)]
    pub chosen: trt_evaluate::Chosen,
}

/// A weight that is no finite number, in words.
pub fn told_of(weight: &NonFinite) -> String {
    let NonFinite { tensor, nan, infinite, elements, reader } = weight;
    let reader = reader.as_ref().map_or(String::new(), |reader| format!(", read by {reader}"));
    format!("weight `{tensor}`{reader}: {nan} of {elements} values are NaN, {infinite} infinite")
}

/// How many of a list are named without `-v`.
const SHOWN: usize = 5;

impl CountReport {
    /// Says it.
    pub fn say(&self, ui: &Ui) {
        let Remarks { seconds, .. } = self.remarks;
        if self.remarks.saved {
            ui.say(format_args!(
                "  derived again from saved histograms: {} samples, counted with {}",
                self.used, self.backend
            ));
        } else {
            let rate = (self.used - self.remarks.resumed.min(self.used)) as f64 / seconds.max(1e-9);
            ui.say(format_args!("  {} samples at {rate:.1} a second, {} backend", self.used, self.backend));
        }
        let settings = self.settings.iter().map(|(key, value)| format!("{key} {value}")).collect::<Vec<_>>();
        if !settings.is_empty() {
            ui.detail(format_args!("  backend settings: {}", settings.join(", ")));
        }
        if let Some(why) = &self.remarks.not_kept {
            ui.warn(format_args!("the histograms are not kept: {why}"));
        }
        if let Some(why) = &self.remarks.not_checkpointed {
            ui.warn(format_args!("`--resume` could not have gone on: what was counted was not kept: {why}"));
        }
        if self.remarks.resumed > 0 {
            let covers =
                if self.remarks.has_noticed() { "; what follows on images is of the others" } else { "" };
            ui.say(format_args!("  {} of them had been counted before{covers}", self.remarks.resumed));
        }
        if self.used == 1 {
            ui.warn("a single sample was used: ranges are what this one shows; hundreds are usual");
        }
        if self.requested > self.available as u64 {
            ui.say(format_args!("  {} samples asked for, there are {}", self.requested, self.available));
        }
        if !self.skipped.is_empty() {
            ui.warn(format_args!("{} sample(s) were left out", self.skipped.len()));
            list(ui, self.skipped.iter().map(|skipped| (&skipped.name, &skipped.reason)));
        }
        for (note, images) in &self.remarks.notes {
            ui.say(format_args!("  {images} image(s): {note}"));
        }
        for input in &self.remarks.unchanging_inputs {
            ui.warn(format_args!("input `{input}` had the same values in every sample"));
        }
        let groups = &self.remarks.near_duplicates;
        if !groups.is_empty() {
            let more: usize = groups.iter().map(|group| group.len() - 1).sum();
            ui.say(format_args!("  {more} sample(s) are nearly the same as another one"));
            groups.iter().for_each(|group| ui.detail(format_args!("    {}", group.join(", "))));
        }
        if !self.remarks.flat.is_empty() {
            ui.say(format_args!("  {} sample(s) show nearly nothing", self.remarks.flat.len()));
            self.remarks.flat.iter().for_each(|name| ui.detail(format_args!("    {name}")));
        }
        if self.subgraph_nodes > 0 {
            ui.warn(format_args!(
                "{} node(s) in the bodies of If, Loop or Scan were not calibrated",
                self.subgraph_nodes
            ));
            for node in &self.control_flow {
                let values = node.values.join(", ");
                ui.detail(format_args!("    `{}` ({}): {values}", node.node, node.op));
            }
        }
        for weight in &self.not_finite_weights {
            let told = told_of(weight);
            // Attention masks are made of infinities.
            if weight.nan > 0 { ui.warn(told) } else { ui.detail(format_args!("    {told}")) }
        }
    }
}

impl Report {
    pub(super) fn new(
        plan: &Plan,
        counted: CountReport,
        derived: &Derived,
        choices: &Choices<'_>,
        auto: Option<Auto>,
        counts: &[Counted],
    ) -> Self {
        Self {
            algorithm: choices.algorithm,
            overrides: choices.overrides.clone(),
            auto: auto.map(|auto| AutoReport {
                because: auto.chosen.because.clone(),
                splits: auto.splits,
                chosen: auto.chosen,
            }),
            counted,
            with_scale: derived.with_scale(&plan.activations),
            without_scale: derived.without_scale.clone(),
            with_infinities: derived.with_infinities.clone(),
            propagated: derived.propagated.clone(),
            layers: Layers::of(&plan.onnx, &derived.scales(), &plan.keep),
            health: Health::of(&derived.tensors, counts),
            conflicts: plan.propagation.conflicts.clone(),
            idle_overrides: derived.idle_overrides.clone(),
            seconds: plan.started.elapsed().as_secs_f64(),
        }
    }

    /// The share of the model's float activations that have a scale, 0 to 1.
    pub fn coverage(&self) -> f64 {
        self.with_scale as f64 / (self.with_scale + self.without_scale.len()).max(1) as f64
    }

    /// Says it.
    pub fn say(&self, ui: &Ui) {
        self.counted.say(ui);
        let time = Duration::from_secs_f64(self.seconds);
        ui.say(format_args!("  {}, {} in all", self.algorithm, ui::duration(time)));
        if let Some(auto) = &self.auto {
            auto.say(ui);
        }
        if !self.overrides.is_empty() {
            ui.say(format_args!("  {} tensor(s) have an algorithm of their own", self.overrides.len()));
            for (name, algorithm) in &self.overrides {
                ui.detail(format_args!("    `{name}`: {algorithm}"));
            }
        }
        let all = self.with_scale + self.without_scale.len();
        ui.say(format_args!(
            "  {} of {all} float activations have a scale ({:.1} %)",
            self.with_scale,
            100.0 * self.coverage()
        ));
        list(ui, &self.without_scale);
        self.layers.say(ui);
        self.health.say(ui);
        if !self.with_infinities.is_empty() {
            ui.warn(format_args!(
                "{} activation(s) held infinities and have no scale",
                self.with_infinities.len()
            ));
        }
        if !self.propagated.is_empty() {
            ui.say(format_args!("  {} of them share the scale of another tensor", self.propagated.len()));
            for Propagated { tensor, from } in &self.propagated {
                ui.detail(format_args!("    `{tensor}`: that of `{from}`"));
            }
        }
        for Conflict { name, follows, instead_of, .. } in &self.conflicts {
            ui.detail(format_args!("    `{name}` follows `{follows}`, and not `{instead_of}`"));
        }
        for IdleOverride { tensor, from } in &self.idle_overrides {
            ui.warn(format_args!("the override of `{tensor}` does nothing: it has the scale of `{from}`"));
        }
    }
}

impl AutoReport {
    fn say(&self, ui: &Ui) {
        ui.say(format_args!("  chosen since {}", self.because));
        for candidate in &self.chosen.candidates {
            ui.detail(format_args!("    {}: {}", candidate.algorithm, candidate.verdict));
        }
        let parts: Vec<_> =
            self.splits.iter().map(|split| format!("{} {}", split.samples, split.name)).collect();
        ui.detail(format_args!("    samples: {}", parts.join(", ")));
        let report = &self.chosen.report;
        if let Some(share) = &report.agreement {
            ui.say(format_args!(
                "  on {} samples that neither calibration nor the choice has seen: {} {:.1} % ± {:.1}",
                report.samples,
                share.what,
                100.0 * share.mean,
                100.0 * share.standard_error
            ));
        }
        if let Some(sqnr) = report.mean_sqnr {
            ui.say(format_args!("  mean SQNR on {} such samples: {sqnr:.2} dB", report.samples));
        }
    }
}

/// The first few of a list of names with reasons; all of them with `-v`.
pub fn list<'a>(ui: &Ui, items: impl IntoIterator<Item = (&'a String, &'a String)>) {
    let mut more = 0;
    for (at, (name, reason)) in items.into_iter().enumerate() {
        let line = format!("    `{name}`: {reason}");
        if at < SHOWN {
            ui.say(line);
        } else {
            ui.detail(line);
            more += 1;
        }
    }
    if more > 0 {
        ui.say(format_args!("    and {more} more (`-v`, or the table's `.json`, lists all)"));
    }
}

/// How a table came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// It was made now, by running the model.
    Computed,
    /// It was made now, from histograms that were there.
    Derived,
    /// It was made before, from the same model, samples and settings.
    Reused,
    /// It was made elsewhere and is used as it is.
    Foreign,
    /// It is no table but a part of the work: the histograms of a shard.
    Shard,
}

/// A table that is ready to be used, as JSON shows it.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// The model's name.
    pub model: String,
    /// The table; the file of histograms for a shard.
    pub table: PathBuf,
    /// How it came about.
    pub origin: Origin,
    /// Scales in it.
    pub entries: usize,
    /// Why a table that was there was made anew.
    pub stale: Vec<String>,
    /// What was noticed.
    pub warnings: Vec<String>,
    /// How the calibration went, if there was one.
    pub report: Option<Report>,
    /// How counting went, for a shard.
    pub counted: Option<CountReport>,
}

impl Summary {
    /// A table that was made now, of which nothing is known yet.
    pub(super) fn new(model: &str, table: &Path) -> Self {
        Self {
            model: model.to_owned(),
            table: table.to_owned(),
            origin: Origin::Computed,
            entries: 0,
            stale: Vec::new(),
            warnings: Vec::new(),
            report: None,
            counted: None,
        }
    }
}
