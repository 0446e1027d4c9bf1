//! From samples to histograms, on all cores.
//!
//! A source with several lanes gets batches from threads that each decode a whole one, as many at once as it has lanes. A
//! source with a single lane gets them in order, from other threads that decode ahead of it, sample by sample, within a
//! window. Batches are made of the same samples either way. Memory is that of a batch for each thread, however many samples
//! there are.

mod pass;

use std::collections::BTreeSet;
use std::error::Error;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use trt_inference::{Batch, HistogramSource, OnNan, SourceError};

use crate::dataset::Dataset;
use crate::error::{DatasetError, SampleError};
use crate::load::{Decode, Loaded, join};
use crate::tally::Tally;

/// How samples are taken.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Samples per run, where the model leaves it open; at least 1.
    pub batch: usize,
    /// The share of samples that may be undecodable.
    pub max_undecodable: f64,
    /// What becomes of samples that make an activation NaN. [`OnNan::SkipImage`] needs a source that was made with it.
    pub on_nan: OnNan,
    /// Threads that decode; at least 1.
    pub threads: usize,
    /// What decodes an image file.
    pub decode: Decode,
    /// Samples that an earlier run has counted: [`Tally::used`] of its checkpoint.
    pub done: BTreeSet<usize>,
}

impl Default for Rules {
    /// One sample at a time on all cores, and every one of them must be in order.
    fn default() -> Self {
        Self {
            batch: 1,
            max_undecodable: 0.0,
            on_nan: OnNan::Fail,
            threads: thread::available_parallelism().map_or(1, usize::from),
            decode: trt_imaging::decode,
            done: BTreeSet::new(),
        }
    }
}

/// What a run tells, and asks.
#[derive(Clone, Copy)]
pub struct Hooks<'a> {
    /// Told how many samples are dealt with, of how many; by several threads.
    pub progress: &'a (dyn Fn(usize, usize) + Sync),
    /// Asked before each batch whether the run is to end.
    pub cancelled: &'a (dyn Fn() -> bool + Sync),
    /// What is kept from time to time.
    pub checkpoint: Option<Checkpoint<'a>>,
}

impl Default for Hooks<'_> {
    /// Nothing.
    fn default() -> Self {
        Self { progress: &|_, _| {}, cancelled: &|| false, checkpoint: None }
    }
}

/// What keeps a checkpoint.
pub type Save<'a> = dyn Fn(&Tally) -> Result<(), Box<dyn Error + Send + Sync>> + Sync + 'a;

/// What is kept from time to time, so that a later run can go on: [`Tally::used`] and the source's
/// [snapshot](HistogramSource::snapshot), taken together.
#[derive(Clone, Copy)]
pub struct Checkpoint<'a> {
    /// Kept when this time has passed, at the latest.
    pub every: Duration,
    /// Kept when so many samples were counted, at the latest.
    pub samples: usize,
    /// Keeps it. No batch runs meanwhile, and the tally is that of the source's histograms. It is also called when the run
    /// is cancelled. An error ends the run.
    pub save: &'a Save<'a>,
}

/// Has `source` count all samples.
///
/// Where the model's batch size is fixed, samples of batches that a broken sample has left incomplete are put together in
/// the end, in their order; what remains is left over.
///
/// With [`OnNan::SkipImage`] the samples of a batch that gives NaN are run again one by one, so that only the guilty ones
/// are left out. Where the model takes a fixed number of samples, more than one, they cannot be run alone, and all of the
/// batch are left out. Either way [`Tally::not_a_number`] names them.
///
/// # Errors
/// The variants of [`DatasetError`] from `Read` on, and [`DatasetError::Preprocess`].
pub fn run(
    source: &dyn HistogramSource,
    dataset: &Dataset,
    rules: &Rules,
    hooks: Hooks<'_>,
) -> Result<Tally, DatasetError> {
    let size = dataset.inputs().fixed_batch.unwrap_or(rules.batch).max(1);
    let tolerated = (rules.max_undecodable * dataset.len() as f64).floor() as usize;
    let tally = Tally { used: rules.done.iter().copied().collect(), ..Tally::default() };
    let work = Work {
        source,
        dataset,
        rules,
        hooks,
        tolerated,
        done: AtomicUsize::new(tally.used.len()),
        tally: Mutex::new(tally),
        gate: RwLock::new(()),
        kept: Mutex::new((Instant::now(), 0)),
    };
    let outcome = work.all(size);
    if let (Err(DatasetError::Interrupted), Some(checkpoint)) = (&outcome, hooks.checkpoint) {
        (checkpoint.save)(&work.tally()).map_err(|source| DatasetError::Checkpoint { source })?;
    }
    outcome?;
    finish(work.tally.into_inner().unwrap_or_else(PoisonError::into_inner), dataset, rules, size)
}

/// Whether the tally is one that a table may come from.
fn finish(mut tally: Tally, dataset: &Dataset, rules: &Rules, size: usize) -> Result<Tally, DatasetError> {
    tally.used.sort_unstable();
    if tally.undecodable.len() == dataset.len()
        && let Some((at, source)) = tally.undecodable.pop_first()
    {
        return Err(DatasetError::AllUndecodable { count: dataset.len(), name: dataset.label(at), source });
    }
    let tolerated = (rules.max_undecodable * dataset.len() as f64).floor() as usize;
    if tally.undecodable.len() > tolerated {
        let name = |(at, error): (&usize, &SampleError)| format!("{}: {error}", dataset.label(*at));
        let bad = tally.undecodable.iter().map(name).collect();
        return Err(DatasetError::Undecodable { bad, total: dataset.len(), limit: rules.max_undecodable });
    }
    if tally.used.is_empty() && !tally.not_a_number.is_empty() {
        let name = |(at, why): (&usize, &String)| format!("{}: {why}", dataset.label(*at));
        return Err(DatasetError::AllNotANumber { bad: tally.not_a_number.iter().map(name).collect() });
    }
    if tally.used.is_empty() {
        return Err(DatasetError::SmallBatch { batch: size, samples: tally.left_over.len() });
    }
    Ok(tally)
}

/// A sample that was loaded, or was not.
type Outcome = (usize, Result<Loaded, SampleError>);

struct Work<'a> {
    source: &'a dyn HistogramSource,
    dataset: &'a Dataset,
    rules: &'a Rules,
    hooks: Hooks<'a>,
    /// How many samples may be undecodable.
    tolerated: usize,
    tally: Mutex<Tally>,
    done: AtomicUsize,
    /// Read while a batch runs and is entered in the tally; written for a checkpoint.
    gate: RwLock<()>,
    /// When the last checkpoint was, and how many samples ago.
    kept: Mutex<(Instant, usize)>,
}

impl Work<'_> {
    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn all(&self, size: usize) -> Result<(), DatasetError> {
        // Batches are those of a run without interruption: what was done is left out of them.
        let all: Vec<usize> = (0..self.dataset.len()).collect();
        let open = |group: &[usize]| -> Vec<usize> {
            group.iter().copied().filter(|at| !self.rules.done.contains(at)).collect()
        };
        self.pass(&all.chunks(size).map(open).filter(|group| !group.is_empty()).collect::<Vec<_>>())?;
        let mut rest = std::mem::take(&mut self.tally().left_over);
        rest.sort_unstable();
        let left_over = rest.split_off(rest.len() / size * size);
        let outcome = self.pass(&rest.chunks(size).map(<[usize]>::to_vec).collect::<Vec<_>>());
        self.tally().left_over = left_over;
        outcome
    }

    /// Has a group counted.
    fn group(&self, samples: Vec<Outcome>) -> Result<(), DatasetError> {
        let (mut kept, mut loaded) = (Vec::new(), Vec::new());
        for (at, sample) in samples {
            match sample {
                Ok(sample) => {
                    kept.push(at);
                    loaded.push(sample);
                }
                Err(error) => {
                    self.tally().undecodable.insert(at, error);
                    self.progress(1);
                }
            }
        }
        if self.dataset.inputs().fixed_batch.is_some_and(|batch| kept.len() < batch) {
            self.tally().left_over.extend(kept);
            return Ok(());
        }
        // Past the limit there will be no table: from then on, broken samples are only looked for, to list them all.
        if kept.is_empty() || self.tally().undecodable.len() > self.tolerated {
            return Ok(());
        }
        let count = kept.len();
        self.accumulate(kept, loaded)?;
        self.progress(count);
        self.checkpoint(count)
    }

    fn accumulate(&self, kept: Vec<usize>, loaded: Vec<Loaded>) -> Result<(), DatasetError> {
        let alone = kept.len() == 1;
        match (self.batch(&kept, loaded), self.rules.on_nan) {
            (Err(error @ SourceError::NotANumber { .. }), OnNan::SkipImage) => {
                if alone || self.dataset.inputs().fixed_batch.is_some() {
                    let why = error.to_string();
                    self.tally().not_a_number.extend(kept.into_iter().map(|at| (at, why.clone())));
                    return Ok(());
                }
                // Seldom enough to load them again.
                let mut loader = self.loader()?;
                for at in kept {
                    match loader.load(at)? {
                        Ok(sample) => self.accumulate(vec![at], vec![sample])?,
                        Err(error) => drop(self.tally().undecodable.insert(at, error)),
                    }
                }
                Ok(())
            }
            (outcome, _) => Ok(outcome?),
        }
    }

    /// Runs a batch, and enters it in the tally.
    fn batch(&self, kept: &[usize], loaded: Vec<Loaded>) -> Result<(), SourceError> {
        let mut contents = Vec::with_capacity(kept.len());
        let mut seen = Vec::with_capacity(kept.len());
        for Loaded { content, notes, looks } in loaded {
            contents.push(content);
            seen.push((notes, looks));
        }
        let samples = kept.iter().map(|&at| self.dataset.label(at)).collect();
        let batch = Batch { content: join(contents), samples };
        let _running = self.gate.read().unwrap_or_else(PoisonError::into_inner);
        self.source.accumulate(batch)?;
        let mut tally = self.tally();
        for (&at, (notes, looks)) in kept.iter().zip(seen) {
            tally.used.push(at);
            notes.into_iter().for_each(|note| *tally.notes.entry(note).or_default() += 1);
            tally.looks.insert(at, looks);
        }
        Ok(())
    }

    fn progress(&self, samples: usize) {
        let done = self.done.fetch_add(samples, Ordering::Relaxed) + samples;
        (self.hooks.progress)(done, self.dataset.len());
    }

    /// Keeps what was counted, if it is time.
    fn checkpoint(&self, samples: usize) -> Result<(), DatasetError> {
        let Some(checkpoint) = self.hooks.checkpoint else { return Ok(()) };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.1 += samples;
        if kept.1 < checkpoint.samples && kept.0.elapsed() < checkpoint.every {
            return Ok(());
        }
        let _still = self.gate.write().unwrap_or_else(PoisonError::into_inner);
        (checkpoint.save)(&self.tally()).map_err(|source| DatasetError::Checkpoint { source })?;
        *kept = (Instant::now(), 0);
        Ok(())
    }
}
