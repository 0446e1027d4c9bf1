//! From samples to histograms: what runs the model, what is kept on the way, and what was noticed.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
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
const CHECKPOINT: Duration = Duration::from_secs(30);

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
    /// Samples that an interrupted run had counted.
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
        let mut counting = self.run(earlier.as_ref(), events, interrupt)?;
        if let Some(path) = self.histograms() {
            match saved::write(&path, &counting.set) {
                Ok(()) => store::remove(&saved::checkpoint_of(&path))?,
                // A table can be made of them all the same.
                Err(error) if self.job.shard.is_none() => {
                    let cause = error.source().map_or(String::new(), |cause| format!(": {cause}"));
                    counting.remarks.not_kept = Some(format!("{error}{cause}"));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(counting)
    }

    fn run(
        &self,
        earlier: Option<&HistogramSet>,
        events: &Events<'_>,
        interrupt: &Interrupt,
    ) -> Result<Counting, CalibrateError> {
        let recipe = &self.job.recipe;
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let settings = Settings {
            mode: recipe.running.histogram,
            on_nan: recipe.running.on_nan,
            threads,
            devices: recipe.running.devices.clone(),
            onnxruntime: recipe.running.onnxruntime.clone(),
            tf32: recipe.running.tf32,
            pipeline: self.dataset.inputs().pipeline().cloned(),
        };
        let folder = folder_of(&self.job.onnx);
        let subject = Subject { model: &self.onnx, folder, activations: &self.activations };
        let opened = open_source(&subject, recipe.running.backend, &settings)?;
        // What could not be had is among the histograms' omitted.
        let Opened { what: source, because, .. } = opened;
        let backend = source.backend();
        events(Event::Backend { name: backend.name, version: &backend.version, because: &because });

        let begun = std::time::Instant::now();
        let rules = Rules {
            batch: recipe.batch as usize,
            max_undecodable: recipe.max_undecodable,
            on_nan: recipe.running.on_nan,
            threads,
            done: earlier.map(|set| self.positions(set)).unwrap_or_default(),
            ..Rules::default()
        };
        let resumed = rules.done.len();
        let record =
            |histograms: Histograms, tally: &Tally| self.record(histograms, tally, &*source, earlier);
        let keep = |tally: &Tally| -> Result<(), Box<dyn Error + Send + Sync>> {
            let Some(path) = self.checkpoint() else { return Ok(()) };
            if tally.used.is_empty() {
                return Ok(());
            }
            Ok(saved::write(&path, &record(source.snapshot()?, tally)?)?)
        };
        // Where order counts, nothing can be added to what was kept.
        let keeps = self.checkpoint().is_some() && recipe.running.histogram == trt_calib::Mode::Canonical;
        let hooks = Hooks {
            progress: &|done, total| events(Event::Images { done, total }),
            cancelled: &|| interrupt.is_raised(),
            checkpoint: keeps.then_some(Checkpoint { every: CHECKPOINT, samples: usize::MAX, save: &keep }),
        };
        let tally = trt_dataset::run(&*source, &self.dataset, &rules, hooks)?;
        let seconds = begun.elapsed().as_secs_f64();
        let set = record(source.snapshot()?, &tally)?;
        let set = saved::sorted(set)?;
        interrupt.check()?;
        let survey = tally.survey(&self.dataset);
        let remarks = Remarks { resumed, because, notes: tally.notes, seconds, ..self.remarks(survey) };
        Ok(Counting { set, remarks })
    }

    fn remarks(&self, survey: Survey) -> Remarks {
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

    /// Histograms with their provenance, what was counted earlier included.
    fn record(
        &self,
        histograms: Histograms,
        tally: &Tally,
        source: &dyn HistogramSource,
        earlier: Option<&HistogramSet>,
    ) -> Result<HistogramSet, CalibrateError> {
        let mut set = self.empty_set()?;
        let backend = source.backend();
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
