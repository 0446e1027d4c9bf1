//! From samples to histograms: what runs the model, what is kept on the way, and what was noticed.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use trt_calib::set::{Counted, HistogramSet, Uncounted};
use trt_calib::sidecar;
use trt_dataset::{Checkpoint, Hooks, Rules, Survey, Tally};
use trt_inference::{HistogramSource, Histograms, Opened, Settings, Subject, open_source};

use super::error::CalibrateError;
use super::plan::{Counts, Plan, folder_of};
use super::{Event, Events, saved, store};
use crate::interrupt::Interrupt;

/// How often what was counted is kept.
pub(super) const CHECKPOINT: Duration = Duration::from_secs(30);

/// Histograms, and how they came about.
#[derive(Debug)]
pub struct Counting {
    /// The histograms and their provenance.
    pub set: HistogramSet,
    /// What was noticed on the way; empty for saved ones.
    pub remarks: Remarks,
}

/// What was noticed while the samples were counted.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Remarks {
    /// Whether the histograms were there already.
    pub saved: bool,
    /// Why they could not be kept; another algorithm needs another run then.
    pub not_kept: Option<String>,
    /// Why what was counted could not be kept on the way; nothing could have been resumed since.
    pub not_checkpointed: Option<String>,
    /// Samples that an interrupted run had counted. What is noticed of samples below is noticed of the others.
    pub resumed: usize,
    /// Why the model ran on what it ran on.
    pub because: Vec<String>,
    /// What decoding changed, and for how many samples.
    pub notes: BTreeMap<String, usize>,
    /// Groups of samples that are nearly the same.
    pub near_duplicates: Vec<Vec<String>>,
    /// Samples that show nearly nothing.
    pub flat: Vec<String>,
    /// Inputs that never changed.
    pub unchanging_inputs: Vec<String>,
    /// From the first sample to the last, in seconds.
    pub seconds: f64,
}

impl Remarks {
    /// Whether anything was noticed of samples.
    pub fn has_noticed(&self) -> bool {
        let Self { notes, near_duplicates, flat, unchanging_inputs, .. } = self;
        !(notes.is_empty() && near_duplicates.is_empty() && flat.is_empty() && unchanging_inputs.is_empty())
    }
}

impl Plan {
    /// Yields the histograms: saved ones, or those of a run of the model.
    pub(super) fn count(
        &mut self,
        events: &Events<'_>,
        interrupt: &Interrupt,
    ) -> Result<Counting, CalibrateError> {
        let earlier = match std::mem::replace(&mut self.counts, Counts::Run { although: None }) {
            Counts::Saved(set) => {
                return Ok(Counting { set: *set, remarks: Remarks { saved: true, ..Remarks::default() } });
            }
            Counts::Resume(set) => Some(*set),
            Counts::Run { .. } => None,
        };
        let Opened { what: source, because, .. } = self.open()?;
        let counting = self.run(&*source, because, earlier.as_ref(), CHECKPOINT, events, interrupt)?;
        self.keep(counting)
    }

    /// Writes histograms, where they are kept.
    pub(super) fn keep(&self, mut counting: Counting) -> Result<Counting, CalibrateError> {
        if let Some(path) = self.histograms() {
            match saved::write(&path, &counting.set) {
                Ok(()) => store::remove(&saved::checkpoint_of(&path))?,
                // A table can be made of them all the same.
                Err(error) if self.job.shard.is_none() => counting.remarks.not_kept = Some(chain(&error)),
                Err(error) => return Err(error),
            }
        }
        Ok(counting)
    }

    /// Opens what runs the model. What it cannot count is among its histograms' omitted.
    fn open(&self) -> Result<Opened<Box<dyn HistogramSource>>, CalibrateError> {
        let recipe = &self.job.recipe;
        let settings = Settings {
            mode: recipe.running.histogram,
            on_nan: recipe.running.on_nan,
            threads: threads(),
            devices: recipe.running.devices.clone(),
            onnxruntime: recipe.running.onnxruntime.clone(),
            tf32: recipe.running.tf32,
            pipeline: self.dataset.inputs().pipeline().cloned(),
        };
        let folder = folder_of(&self.job.onnx);
        let subject = Subject { model: &self.onnx, folder, activations: &self.activations };
        Ok(open_source(&subject, recipe.running.backend, &settings)?)
    }

    /// Counts all samples that were not counted `earlier`, and keeps what was counted `every` so often.
    pub(super) fn run(
        &self,
        source: &dyn HistogramSource,
        because: Vec<String>,
        earlier: Option<&HistogramSet>,
        every: Duration,
        events: &Events<'_>,
        interrupt: &Interrupt,
    ) -> Result<Counting, CalibrateError> {
        let recipe = &self.job.recipe;
        let backend = source.backend();
        events(Event::Backend { name: backend.name, version: &backend.version, because: &because });

        let begun = std::time::Instant::now();
        let rules = Rules {
            batch: recipe.batch as usize,
            max_undecodable: recipe.max_undecodable,
            on_nan: recipe.running.on_nan,
            threads: threads(),
            done: earlier.map(|set| self.positions(set)).unwrap_or_default(),
            ..Rules::default()
        };
        let resumed = rules.done.len();
        let record = |histograms: Histograms, tally: &Tally| self.record(histograms, tally, source, earlier);
        let not_checkpointed = Mutex::new(None);
        let keep = |tally: &Tally| -> Result<(), Box<dyn Error + Send + Sync>> {
            let Some(path) = self.checkpoint() else { return Ok(()) };
            if tally.used.is_empty() {
                return Ok(());
            }
            let set = record(source.snapshot()?, tally)?;
            // A full disk is no reason to stop: only resuming suffers.
            if let Err(error) = saved::write(&path, &set) {
                not_checkpointed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(chain(&error));
            }
            Ok(())
        };
        // Where order counts, nothing can be added to what was kept.
        let keeps = self.checkpoint().is_some() && recipe.running.histogram == trt_calib::Mode::Canonical;
        let hooks = Hooks {
            progress: &|done, total| events(Event::Images { done, total }),
            cancelled: &|| interrupt.is_raised(),
            checkpoint: keeps.then_some(Checkpoint { every, samples: usize::MAX, save: &keep }),
        };
        let tally = trt_dataset::run(source, &self.dataset, &rules, hooks)?;
        let seconds = begun.elapsed().as_secs_f64();
        let set = record(source.snapshot()?, &tally)?;
        let set = saved::sorted(set)?;
        interrupt.check()?;
        let survey = tally.survey(&self.dataset);
        let not_checkpointed = not_checkpointed.into_inner().unwrap_or_else(PoisonError::into_inner);
        let notes = tally.notes;
        let remarks = Remarks { not_checkpointed, resumed, because, notes, seconds, ..self.remarks(survey) };
        Ok(Counting { set, remarks })
    }

    pub(super) fn remarks(&self, survey: Survey) -> Remarks {
        let name = |at: usize| self.dataset.images()[at].name.clone();
        let names = |group: Vec<usize>| group.into_iter().map(name).collect::<Vec<_>>();
        let mut flat: Vec<usize> = survey.flat;
        flat.extend(survey.constant.into_iter().map(|(at, _)| at));
        flat.sort_unstable();
        flat.dedup();
        Remarks {
            near_duplicates: survey.near_duplicates.into_iter().map(names).collect(),
            flat: names(flat),
            unchanging_inputs: survey.unchanging,
            ..Remarks::default()
        }
    }

    /// The positions of the samples that a set was counted from.
    fn positions(&self, set: &HistogramSet) -> BTreeSet<usize> {
        let counted: BTreeSet<&str> =
            set.provenance.dataset.images.iter().map(|image| image.name.as_str()).collect();
        let images = self.dataset.images().iter().enumerate();
        images.filter(|(_, image)| counted.contains(image.name.as_str())).map(|(at, _)| at).collect()
    }

    /// The provenance of samples that a backend has taken, without histograms.
    pub(super) fn counted_by(
        &self,
        backend: trt_inference::Backend,
        tally: &Tally,
    ) -> Result<HistogramSet, CalibrateError> {
        let mut set = self.empty_set()?;
        let settings = backend.settings.into_iter().map(|(key, value)| (key.to_owned(), value));
        set.provenance.backends = vec![sidecar::Backend {
            name: backend.name.to_owned(),
            version: backend.version,
            settings: settings.collect(),
        }];
        let dataset = &mut set.provenance.dataset;
        dataset.count = tally.used.len() as u64;
        dataset.images = tally.used.iter().map(|at| self.dataset.images()[*at].clone()).collect();
        dataset.skipped = tally.skipped(&self.dataset);
        Ok(set)
    }

    /// Histograms with their provenance, what was counted earlier included.
    fn record(
        &self,
        histograms: Histograms,
        tally: &Tally,
        source: &dyn HistogramSource,
        earlier: Option<&HistogramSet>,
    ) -> Result<HistogramSet, CalibrateError> {
        let mut set = self.counted_by(source.backend(), tally)?;
        let counted = |one: trt_inference::Observed| Counted { name: one.name, counts: one.counts };
        set.tensors = histograms.observed.into_iter().map(counted).collect();
        let uncounted = |one: trt_inference::Omitted| Uncounted { name: one.name, why: one.why };
        set.omitted = histograms.omitted.into_iter().map(uncounted).collect();
        if let Some(earlier) = earlier {
            add(&mut set, earlier)?;
        }
        Ok(set)
    }
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// An error with what lies behind it.
fn chain(error: &dyn Error) -> String {
    let behind = std::iter::successors(error.source(), |&error| error.source());
    behind.fold(error.to_string(), |text, error| format!("{text}: {error}"))
}

/// Adds what was counted earlier.
fn add(set: &mut HistogramSet, earlier: &HistogramSet) -> Result<(), CalibrateError> {
    let provenance = &mut set.provenance;
    provenance.tool_versions.extend(earlier.provenance.tool_versions.iter().cloned());
    provenance.backends.extend(earlier.provenance.backends.iter().cloned());
    for tensor in &earlier.tensors {
        match set.tensors.iter_mut().find(|own| own.name == tensor.name) {
            Some(own) => own.counts.merge(&tensor.counts)?,
            None => set.tensors.push(tensor.clone()),
        }
    }
    Ok(())
}
