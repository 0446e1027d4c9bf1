//! Runs FP32 and INT8 side by side on the same samples.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use rayon::prelude::*;
use trt_imaging::Pipeline;
use trt_inference::{Backend, Network, Tensor};
use trt_metrics::{Comparison, Format, Grouped, Groups, Preset, SQNR_LIMIT};

use crate::figures::Share;
use crate::findings::{self, floats};
use crate::tally::{Pair, Tally};
use crate::{EvaluateError, Evaluation, GroupFigures, LeftOut, OutputFigures, Sample, Samples, Task};

/// What is looked at.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// What the network is for; without it only closeness is measured.
    pub task: Option<Task>,
    /// Groups of channels by output. The output of a known detector has its own without being named here.
    pub groups: BTreeMap<String, Groups>,
    /// How pictures became inputs, for boxes and masks.
    pub pipeline: Option<Pipeline>,
    /// How many bytes of samples and FP32 outputs are kept between runs; the rest is computed again each time.
    pub cache_bytes: usize,
}

impl Default for Settings {
    /// No task, no groups, no pictures, and 512 MiB of memory.
    fn default() -> Self {
        Self { task: None, groups: BTreeMap::new(), pipeline: None, cache_bytes: 512 << 20 }
    }
}

impl Settings {
    fn groups(&self, output: &str, is_first: bool) -> Option<Groups> {
        let known = || match &self.task {
            Some(Task::Detection(detection)) if is_first => match detection.format {
                Format::Known(Preset::YoloV5) => Some(Groups::yolov5()),
                Format::Known(Preset::YoloV8) => Some(Groups::yolov8()),
                Format::Described(_) => None,
            },
            _ => None,
        };
        self.groups.get(output).cloned().or_else(known)
    }
}

/// FP32 on some samples, against which any number of INT8 networks can be held.
pub struct Evaluator<'a> {
    fp32: &'a dyn Network,
    samples: &'a dyn Samples,
    settings: &'a Settings,
    count: usize,
    kept: Vec<OnceLock<Reference>>,
    room: AtomicUsize,
}

/// A sample and what FP32 makes of it.
#[derive(Clone)]
struct Reference {
    sample: Sample,
    outputs: Vec<Tensor>,
}

/// What one run gives.
#[derive(Debug, Clone)]
pub struct Run {
    /// The figures.
    pub evaluation: Evaluation,
    /// The share of each sample that [`Evaluation::agreement`] is the mean of, in order; `None` for a sample that was
    /// left out or has none.
    pub shares: Vec<Option<f64>>,
    /// The mean SQNR of each sample by itself in dB, over outputs or their groups, in order; `None` for a sample that was
    /// left out. [`Evaluation::mean_sqnr`] is no mean of these: it is that of all samples taken together.
    pub sqnrs: Vec<Option<f64>>,
}

/// What one sample gives.
struct One {
    counts: Counts,
    share: Option<f64>,
    sqnr: Option<f64>,
}

/// What is counted of one sample, or of all.
struct Counts {
    samples: u64,
    outputs: Vec<(Comparison, Option<Grouped>)>,
    tally: Option<Tally>,
}

/// [`Evaluator::run`], once.
///
/// # Errors
/// As there.
pub fn evaluate(
    fp32: &dyn Network,
    int8: &dyn Network,
    samples: &dyn Samples,
    settings: &Settings,
) -> Result<Evaluation, EvaluateError> {
    Evaluator::new(fp32, samples, settings).run(int8).map(|run| run.evaluation)
}

impl<'a> Evaluator<'a> {
    /// Gets ready; nothing is run yet.
    pub fn new(fp32: &'a dyn Network, samples: &'a dyn Samples, settings: &'a Settings) -> Self {
        let count = samples.len();
        let kept = std::iter::repeat_with(OnceLock::new).take(count).collect();
        Self { fp32, samples, settings, count, kept, room: AtomicUsize::new(settings.cache_bytes) }
    }

    /// The same on the first `count` samples only.
    pub fn first(self, count: usize) -> Self {
        Self { count: self.count.min(count), ..self }
    }

    /// How many samples there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// What the networks are for.
    pub fn task(&self) -> Option<&Task> {
        self.settings.task.as_ref()
    }

    /// The first samples that can be loaded, `count` at most.
    pub(crate) fn inputs(&self, count: usize) -> Vec<Sample> {
        let loaded = (0..self.count).filter_map(|index| match self.kept[index].get() {
            Some(reference) => Some(reference.sample.clone()),
            None => self.samples.load(index).ok(),
        });
        loaded.take(count).collect()
    }

    /// Compares an INT8 network with FP32 on every sample, on all cores.
    ///
    /// # Errors
    /// [`EvaluateError::NoSamples`], [`EvaluateError::Network`], [`EvaluateError::Output`], [`EvaluateError::Metrics`]
    /// and [`EvaluateError::LabelKind`]. A sample that cannot be loaded is no error but [left out](Evaluation::left_out).
    pub fn run(&self, int8: &dyn Network) -> Result<Run, EvaluateError> {
        let started = Instant::now();
        let mut total = self.nothing(int8)?;
        let (mut shares, mut sqnrs) = (Vec::with_capacity(self.count), Vec::with_capacity(self.count));
        let mut left_out = Vec::new();
        // A few samples at a time, added up in their order: neither memory nor the result depends on how many cores
        // there are.
        let step = 2 * rayon::current_num_threads();
        for start in (0..self.count).step_by(step) {
            let some = start..self.count.min(start + step);
            let counted: Vec<_> = some.clone().into_par_iter().map(|index| self.one(index, int8)).collect();
            for (index, counted) in some.zip(counted) {
                match counted {
                    Ok(One { counts, share, sqnr }) => {
                        total.merge(counts);
                        shares.push(share);
                        sqnrs.push(sqnr);
                    }
                    Err(Failure::LeftOut(why)) => {
                        left_out.push(LeftOut { index, why });
                        shares.push(None);
                        sqnrs.push(None);
                    }
                    Err(Failure::Error(error)) => return Err(*error),
                }
            }
        }
        if total.samples == 0 {
            return Err(EvaluateError::NoSamples { first: left_out.into_iter().next().map(|left| left.why) });
        }
        let outputs = self.figures(&total);
        let known: Vec<f64> = shares.iter().copied().flatten().collect();
        let share_name = self.settings.task.as_ref().map(Tally::share_name);
        let evaluation = Evaluation {
            samples: total.samples,
            left_out,
            fp32_backend: shown(&self.fp32.backend()),
            int8_backend: shown(&int8.backend()),
            seconds: started.elapsed().as_secs_f64(),
            outputs,
            mean_sqnr: total.mean_sqnr(),
            agreement: share_name.and_then(|name| Share::of(name, &known)),
            task: total.tally.as_ref().map(Tally::figures),
        };
        Ok(Run { evaluation, shares, sqnrs })
    }

    /// Counts before the first sample; checks that INT8 has FP32's outputs.
    fn nothing(&self, int8: &dyn Network) -> Result<Counts, EvaluateError> {
        let names = self.fp32.outputs();
        if let Some(missing) = names.iter().find(|name| !int8.outputs().contains(name)) {
            return Err(EvaluateError::Output { which: "INT8", output: missing.clone() });
        }
        Ok(self.empty())
    }

    fn empty(&self) -> Counts {
        let groups = |(at, name): (usize, &String)| self.settings.groups(name, at == 0).map(Grouped::new);
        let outputs = self.fp32.outputs().iter().enumerate();
        let outputs = outputs.map(|output| (Comparison::default(), groups(output)));
        Counts { samples: 0, outputs: outputs.collect(), tally: None }
    }

    fn one(&self, index: usize, int8: &dyn Network) -> Result<One, Failure> {
        let fresh;
        let reference = match self.kept[index].get() {
            Some(reference) => reference,
            None => {
                fresh = self.reference(index)?;
                if self.has_room(&fresh) { self.kept[index].get_or_init(|| fresh.clone()) } else { &fresh }
            }
        };
        let Reference { sample, outputs: fp32 } = reference;
        let found = run(int8, "INT8", sample)?;
        // In FP32's order, whatever else INT8 gives out.
        let at = |name: &String| found.iter().position(|tensor| tensor.name == *name);
        let order: Option<Vec<usize>> = self.fp32.outputs().iter().map(at).collect();
        let int8: Vec<Tensor> = order.unwrap_or_default().into_iter().map(|at| found[at].clone()).collect();
        let mut counts = Counts { samples: 1, ..self.empty() };
        for (at, (fp32, int8)) in fp32.iter().zip(&int8).enumerate() {
            let (reference, other) = (floats(fp32), floats(int8));
            let (all, groups) = &mut counts.outputs[at];
            let refused = |source| findings::metrics(fp32, source);
            all.add(&reference, &other).map_err(refused)?;
            if let Some(groups) = groups {
                groups.add(&reference, &other, &fp32.shape).map_err(refused)?;
            }
        }
        let sqnr = counts.mean_sqnr();
        let Some(task) = &self.settings.task else { return Ok(One { counts, share: None, sqnr }) };
        let frame = findings::frame(self.settings.pipeline.as_ref(), sample);
        let (tally, share) = Tally::of(task, &Pair { sample, frame, fp32, int8: &int8 })?;
        counts.tally = Some(tally);
        Ok(One { counts, share, sqnr })
    }

    fn reference(&self, index: usize) -> Result<Reference, Failure> {
        let sample = self.samples.load(index).map_err(Failure::LeftOut)?;
        let outputs = run(self.fp32, "FP32", &sample)?;
        Ok(Reference { sample, outputs })
    }

    /// Takes the room that keeping it needs, if there is so much.
    fn has_room(&self, reference: &Reference) -> bool {
        let tensors = reference.sample.inputs.iter().chain(&reference.outputs);
        let bytes: usize = tensors.map(|tensor| tensor.values.len() * size_of::<f32>()).sum();
        let take = |room: usize| room.checked_sub(bytes);
        self.room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }

    fn figures(&self, total: &Counts) -> Vec<OutputFigures> {
        let figures = |(name, (all, groups)): (&String, &(Comparison, Option<Grouped>))| OutputFigures {
            output: name.clone(),
            all: all.figures(),
            groups: groups
                .iter()
                .flat_map(Grouped::iter)
                .map(|(group, comparison)| GroupFigures {
                    group: group.to_owned(),
                    figures: comparison.figures(),
                })
                .collect(),
        };
        self.fp32.outputs().iter().zip(&total.outputs).map(figures).collect()
    }
}

impl Counts {
    /// The mean SQNR over outputs, or over their groups where they have any; `None` without outputs.
    fn mean_sqnr(&self) -> Option<f64> {
        let (mut sum, mut parts) = (0.0, 0u32);
        let mut add = |comparison: &Comparison| {
            sum += comparison.sqnr().unwrap_or(-SQNR_LIMIT);
            parts += 1;
        };
        for (all, groups) in &self.outputs {
            match groups {
                Some(groups) if groups.iter().next().is_some() => {
                    groups.iter().for_each(|(_, comparison)| add(comparison));
                }
                _ => add(all),
            }
        }
        (parts > 0).then(|| sum / f64::from(parts))
    }

    fn merge(&mut self, other: Self) {
        self.samples += other.samples;
        for ((all, groups), (other_all, other_groups)) in self.outputs.iter_mut().zip(&other.outputs) {
            all.merge(other_all);
            if let (Some(groups), Some(other)) = (groups, other_groups) {
                groups.merge(other);
            }
        }
        match (&mut self.tally, other.tally) {
            (Some(own), Some(other)) => own.merge(&other),
            (own @ None, other) => *own = other,
            (Some(_), None) => {}
        }
    }
}

/// What keeps one sample from being counted.
enum Failure {
    LeftOut(String),
    Error(Box<EvaluateError>),
}

impl From<EvaluateError> for Failure {
    fn from(error: EvaluateError) -> Self {
        Self::Error(Box::new(error))
    }
}

pub(crate) fn run(
    network: &dyn Network,
    which: &'static str,
    sample: &Sample,
) -> Result<Vec<Tensor>, EvaluateError> {
    network.run(&sample.inputs).map_err(|source| EvaluateError::Network {
        which,
        sample: sample.name.clone(),
        source,
    })
}

/// Name and version of what ran a network.
fn shown(backend: &Backend) -> String {
    format!("{} {}", backend.name, backend.version)
}
