//! Tables by TensorRT's own calibrator: no histograms, and no thresholds of ours.
//!
//! The samples take the usual way, so that sampling, broken files, progress and provenance are as with every other
//! backend; but what they are given to only passes them on to TensorRT, which asks for them from a thread of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use nvinfer::SearchPath;
use serde_json::Value;
use trt_calib::sidecar::Propagate;
use trt_calib::table::Header;
use trt_calib::{CalibrationTable, EntropyParams, Mode};
use trt_dataset::{Hooks, Rules, Tally, join};
use trt_inference::tensorrt::{Supply, TensorRt};
use trt_inference::{
    Backend, Batch, Choice, HistogramSource, Histograms, OnNan, SourceError, TableSource, Wants,
};

use super::derive::{self, Choices, Derived};
use super::error::CalibrateError;
use super::execute::{Facts, Made, sidecar};
use super::job::Job;
use super::plan::Plan;
use super::report::Report;
use super::run::Remarks;
use super::{Event, Events, store};
use crate::fleet::Chosen;
use crate::interrupt::Interrupt;

/// Batches that wait for TensorRT.
const AHEAD: usize = 2;
/// What nobody should take for more than it is.
const UNPROVEN: &str =
    "`backend` says so; this way is proven on a recorder of TensorRT's calls, not with a TensorRT";
/// Why an activation is not in TensorRT's table.
const NOT_IN_ITS_TABLE: &str = "TensorRT's own calibrator gave it none";

impl Job {
    /// Whether TensorRT's own calibrator is to make the table.
    pub fn is_by_tensorrt(&self) -> bool {
        self.recipe.running.backend == Choice::TensorRt
    }

    /// How values are counted: by TensorRT itself, if it makes the table.
    pub(super) fn mode(&self) -> Mode {
        if self.is_by_tensorrt() { Mode::TensorRt } else { self.recipe.running.histogram }
    }

    /// Refuses what TensorRT's own calibrator would leave undone without a word.
    pub(super) fn check_calibrator(&self) -> Result<(), CalibrateError> {
        if !self.is_by_tensorrt() {
            return Ok(());
        }
        let (thresholds, running) = (&self.recipe.thresholds, &self.recipe.running);
        let has = |chosen| matches!(chosen, Chosen::Of(algorithm) if TensorRt::has(algorithm));
        let all = [
            (!has(thresholds.algorithm), format!("`algorithm: {}`", thresholds.algorithm)),
            (!thresholds.overrides.is_empty(), "`overrides`".to_owned()),
            (thresholds.entropy != EntropyParams::default(), "parameters of `entropy`".to_owned()),
            (thresholds.propagate != Propagate::default(), format!("`propagate: {}`", thresholds.propagate)),
            (running.on_nan == OnNan::SkipImage, "`on-nan: skip-image`".to_owned()),
            (running.devices.len() > 1, "more than one of `devices`".to_owned()),
            (self.shard.is_some(), "`--shard`".to_owned()),
            (self.resume, "`--resume`".to_owned()),
        ];
        match all.into_iter().find(|(asked, _)| *asked) {
            Some((_, what)) => Err(CalibrateError::OwnCalibrator { what }),
            None => Ok(()),
        }
    }
}

impl Plan {
    /// Has TensorRT make the table, and writes it.
    pub(super) fn execute_by_tensorrt(
        self,
        events: &Events<'_>,
        interrupt: &Interrupt,
    ) -> Result<Made, CalibrateError> {
        let running = &self.job.recipe.running;
        let Chosen::Of(algorithm) = self.job.recipe.thresholds.algorithm else {
            return Err(CalibrateError::OwnCalibrator { what: "`algorithm: auto`".to_owned() });
        };
        let search =
            running.tensorrt_dir.as_ref().map_or_else(SearchPath::default, |dir| SearchPath::only([dir]));
        let device = running.devices.first().copied().unwrap_or_default();
        let mut source = TensorRt::open(&search, device, &self.job.onnx, algorithm).map_err(unusable)?;
        let backend = source.backend();
        let because = vec![UNPROVEN.to_owned()];
        events(Event::Backend { name: backend.name, version: &backend.version, because: &because });

        let begun = Instant::now();
        let (table, tally) = self.feed(&mut source, events, interrupt)?;
        let seconds = begun.elapsed().as_secs_f64();
        interrupt.check()?;
        let survey = tally.survey(&self.dataset);
        let remarks = Remarks { because, notes: tally.notes.clone(), seconds, ..self.remarks(survey) };
        let set = self.counted_by(backend, &tally)?;
        let derived = self.without_kept(table)?;

        let recipe = &self.job.recipe;
        let bytes = derived.table.write();
        let facts = Facts {
            algorithm,
            overrides: BTreeMap::new(),
            params: Value::Null,
            propagate: recipe.thresholds.propagate,
            keep: &self.keep,
            rescued: Vec::new(),
            auto: Value::Null,
            evaluation: Value::Null,
            histograms: None,
        };
        let sidecar = sidecar(facts, &set, &derived, &bytes, &recipe.output);
        store::write(&recipe.output, &bytes, &sidecar, self.state.replaced())?;
        let counted = self.count_report(&set, remarks);
        let choices = Choices {
            algorithm,
            overrides: &BTreeMap::new(),
            entropy: recipe.thresholds.entropy,
            propagation: &self.propagation,
            without: &BTreeMap::new(),
            version: self.job.version,
            memo: None,
        };
        let report = Report::new(&self, counted, &derived, &choices, None, &[]);
        Ok(Made { table: derived.table, report })
    }

    /// Gives TensorRT all samples, decoded on other threads.
    fn feed(
        &self,
        source: &mut dyn TableSource,
        events: &Events<'_>,
        interrupt: &Interrupt,
    ) -> Result<(CalibrationTable, Tally), CalibrateError> {
        let recipe = &self.job.recipe;
        let fixed = self.dataset.inputs().fixed_batch.is_some();
        let (sender, receiver) = sync_channel(AHEAD);
        // TensorRT takes batches of one size only: samples are put together here, whatever broken ones leave.
        let group = if fixed { 1 } else { recipe.batch as usize };
        let relay = Relay { sender, group, waiting: Mutex::default() };
        let rules = Rules { batch: 1, max_undecodable: recipe.max_undecodable, ..Rules::default() };
        thread::scope(|scope| {
            let feeder = scope.spawn(move || {
                let hooks = Hooks {
                    progress: &|done, total| events(Event::Images { done, total }),
                    cancelled: &|| interrupt.is_raised(),
                    checkpoint: None,
                };
                let outcome = trt_dataset::run(&relay, &self.dataset, &rules, hooks);
                // TensorRT would make a table of what it has got so far.
                if outcome.is_err() {
                    let reason = STOPPED.to_owned();
                    drop(relay.sender.send(Err(SourceError::Run { node: None, reason })));
                }
                outcome.map(|tally| relay.left_over(tally, |at| self.dataset.label(at)))
            });
            let table = source.table(supply(receiver));
            let fed = feeder.join().map_err(|_| SourceError::Panicked { reason: STOPPED.to_owned() })?;
            match (table, fed) {
                // Nobody took the samples any more: why is TensorRT's to say.
                (Err(error), Ok(_)) => Err(error.into()),
                (Err(error), Err(fed)) if is_refused(&fed) => Err(error.into()),
                (_, Err(fed)) => Err(fed.into()),
                (Ok(table), Ok(tally)) => Ok((table, tally)),
            }
        })
    }

    /// TensorRT's table without what is kept in higher precision.
    fn without_kept(&self, table: CalibrationTable) -> Result<Derived, CalibrateError> {
        let kept = derive::without(&self.keep, &[]);
        let entries = table.entries().iter().filter(|entry| !kept.contains_key(&entry.name.to_string()));
        let header: Header = table.header().clone();
        let table = CalibrationTable::new(header, entries.cloned().collect())
            .map_err(|source| CalibrateError::Table { path: "TensorRT's table".into(), source })?;
        let scales = derive::scales(&table);
        let without = self
            .activations
            .iter()
            .filter(|name| !scales.contains_key(*name))
            .map(|name| (name.clone(), kept.get(name).copied().unwrap_or(NOT_IN_ITS_TABLE).to_owned()));
        let without_scale = without.collect();
        Ok(Derived::of_table(table, without_scale))
    }
}

/// What TensorRT gets in place of the next batch when there will be none, though it is not the end.
const STOPPED: &str = "the samples ended early";
/// What the samples get when TensorRT takes no more.
const REFUSED: &str = "TensorRT takes no more samples";

fn is_refused(error: &trt_dataset::DatasetError) -> bool {
    matches!(error, trt_dataset::DatasetError::Source(SourceError::Run { reason, .. }) if reason == REFUSED)
}

/// Why there is no TensorRT, without words about models.
fn unusable(error: SourceError) -> CalibrateError {
    let reason = match error {
        SourceError::Load { reason, .. } | SourceError::Unsupported { reason, .. } => reason,
        other => other.to_string(),
    };
    CalibrateError::NoTensorRt { reason }
}

/// What TensorRT is given, one batch after the other.
fn supply(receiver: Receiver<Result<Batch, SourceError>>) -> Supply {
    Box::new(move || receiver.recv().ok().transpose())
}

/// Passes samples on, in batches of one size.
struct Relay {
    sender: SyncSender<Result<Batch, SourceError>>,
    group: usize,
    waiting: Mutex<Vec<Batch>>,
}

impl Relay {
    /// The tally without the samples that fill no batch: TensorRT has not got them.
    fn left_over(&self, mut tally: Tally, label: impl Fn(usize) -> String) -> Tally {
        let waiting = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        let names: BTreeSet<String> = waiting.into_iter().flat_map(|batch| batch.samples).collect();
        let (left, used) = tally.used.into_iter().partition(|at| names.contains(&label(*at)));
        tally.used = used;
        tally.left_over.extend::<Vec<usize>>(left);
        tally
    }
}

impl HistogramSource for Relay {
    fn backend(&self) -> Backend {
        Backend { name: "tensorrt", version: String::new(), settings: Vec::new() }
    }

    fn wants(&self) -> Wants {
        Wants::Tensors
    }

    fn lanes(&self) -> usize {
        1
    }

    fn accumulate(&self, batch: Batch) -> Result<(), SourceError> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.push(batch);
        if waiting.len() < self.group {
            return Ok(());
        }
        let (mut contents, mut samples) = (Vec::new(), Vec::new());
        for batch in waiting.drain(..) {
            contents.push(batch.content);
            samples.extend(batch.samples);
        }
        let sent = self.sender.send(Ok(Batch { content: join(contents), samples }));
        sent.map_err(|_| SourceError::Run { node: None, reason: REFUSED.to_owned() })
    }

    fn snapshot(&self) -> Result<Histograms, SourceError> {
        Ok(Histograms::default())
    }

    fn finish(self: Box<Self>) -> Result<Histograms, SourceError> {
        Ok(Histograms::default())
    }
}
