//! Counts activations that ONNX Runtime computes on the CPU.
//!
//! Every float activation is an output of the session, so all of a batch's lie in memory together, and are counted there
//! before the next batch runs: memory is that of one batch, however many samples there are. A sample of EfficientNet-Lite0
//! has 52 MB of activations, one of YOLOv5s 0.4 GB. ONNX Runtime's threads and those that count take turns.
//!
//! What does not fit is refused before it is run, by the shapes that the graph states or else by the batches before. It is not
//! run in parts: sessions that hand out a part of the activations each would compute the model once for every part, and
//! rten, which runs in stages, needs neither that nor the memory.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use onnxruntime::{Device, Feed, Optimization, Output};
use rayon::ThreadPool;
use trt_calib::{Counts, Mode};

use super::count::{Counted, count};
use super::need::Need;
use super::{Loaded, Seen, elements, feed, floats, load, seen};
use crate::{
    Backend, Batch, Content, HistogramSource, Histograms, Observed, Omitted, OnNan, Settings, SourceError,
};

/// See the module.
pub struct OrtSource {
    loaded: Loaded,
    /// The counted activations, in the order of computation.
    tensors: Vec<Tensor>,
    /// The positions of those among the session's outputs.
    wanted: Vec<usize>,
    omitted: Vec<Omitted>,
    pool: ThreadPool,
    /// Held while a batch runs and is counted: its activations are the memory that this takes.
    turn: Mutex<()>,
    mode: Mode,
    on_nan: OnNan,
    threads: usize,
    need: Need,
}

struct Tensor {
    name: String,
    seen: Seen,
    counts: Mutex<Counts>,
}

impl OrtSource {
    /// Loads a model whose external data lies in `folder`; `activations` are to be counted.
    pub(crate) fn open(
        model: &trt_onnx::Model,
        folder: &Path,
        activations: &[String],
        settings: &Settings,
    ) -> Result<Self, SourceError> {
        let mut model = model.clone();
        let exposed = trt_onnx::expose(&mut model, activations);
        let threads = settings.threads.max(1);
        let loaded = load(&model, folder, settings, Device::Cpu { threads }, Optimization::All)?;
        let (found, unseen) = seen(&loaded.session, activations);
        let need = Need::of(&loaded.session, &found);
        need.check(1)?;
        let refused = exposed.refused.into_iter().map(|r| Omitted { name: r.name, why: r.because });
        let wanted = found.iter().filter_map(|(_, seen)| match seen {
            Seen::Output(at) => Some(*at),
            Seen::Input => None,
        });
        let panicked =
            |error: rayon::ThreadPoolBuildError| SourceError::Panicked { reason: error.to_string() };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().map_err(panicked)?;
        Ok(Self {
            wanted: wanted.collect(),
            tensors: found
                .into_iter()
                .map(|(name, seen)| Tensor { name, seen, counts: Mutex::new(Counts::new(settings.mode)) })
                .collect(),
            omitted: refused.chain(unseen).collect(),
            loaded,
            pool,
            turn: Mutex::default(),
            mode: settings.mode,
            on_nan: settings.on_nan,
            threads,
            need,
        })
    }

    /// Counts a batch: its inputs, and what came of them.
    fn count(
        &self,
        batch: &[crate::Tensor],
        outputs: &[Output<'_>],
        samples: &[String],
    ) -> Result<(), SourceError> {
        let mut outputs = outputs.iter();
        let mut counted = Vec::with_capacity(self.tensors.len());
        let mut shapes = Vec::with_capacity(self.tensors.len());
        for tensor in &self.tensors {
            let (shape, values) = match tensor.seen {
                Seen::Input => match batch.iter().find(|input| input.name == tensor.name) {
                    Some(input) => (input.shape.as_slice(), Ok(elements(&input.values))),
                    None => continue,
                },
                Seen::Output(_) => match outputs.next() {
                    Some(output) => (output.shape.as_slice(), output.elements.clone()),
                    None => continue,
                },
            };
            // The session said that it is a tensor of floats.
            let other =
                |what| SourceError::Run { node: None, reason: format!("`{}` is {what}", tensor.name) };
            let values = floats(values.map_err(other)?).ok_or_else(|| other("no float tensor".to_owned()))?;
            counted.push((tensor, Counted { values, counts: &tensor.counts }));
            shapes.push(shape);
        }
        let first_nan = |before: &[u64]| {
            let now = counted.iter().map(|(tensor, _)| nan_of(tensor));
            let at = now.zip(before).position(|(now, before)| now > *before)?;
            Some((at, counted[at].1.values.nan()))
        };
        let work: Vec<Counted<'_>> =
            counted.iter().map(|(_, c)| Counted { values: c.values, counts: c.counts }).collect();
        let found = match self.on_nan {
            // Looked for beforehand: nothing of such a batch may be counted.
            OnNan::SkipImage => match self.first_nan(&work) {
                Some(at) => Some((at, counted[at].1.values.nan())),
                None => {
                    self.pool.install(|| count(&work, self.mode));
                    None
                }
            },
            OnNan::Fail => {
                let before: Vec<u64> = counted.iter().map(|(tensor, _)| nan_of(tensor)).collect();
                self.pool.install(|| count(&work, self.mode));
                first_nan(&before)
            }
        };
        let Some((at, count)) = found else { return Ok(()) };
        let (tensor, Counted { values, .. }) = &counted[at];
        let first = values.first_nan().unwrap_or(0);
        let samples = crate::source::samples_at(samples, shapes[at], first, values.len());
        Err(SourceError::NotANumber { tensor: tensor.name.clone(), count, samples })
    }

    /// The first tensor, in the order of computation, that holds NaN.
    fn first_nan(&self, work: &[Counted<'_>]) -> Option<usize> {
        use rayon::prelude::*;
        self.pool.install(|| work.par_iter().position_first(|tensor| tensor.values.first_nan().is_some()))
    }

    fn observed(tensors: impl Iterator<Item = (String, Counts)>, omitted: Vec<Omitted>) -> Histograms {
        let observed = tensors.map(|(name, counts)| Observed { name, counts }).collect();
        Histograms { observed, omitted }
    }
}

fn nan_of(tensor: &Tensor) -> u64 {
    tensor.counts.lock().unwrap_or_else(PoisonError::into_inner).nan()
}

impl HistogramSource for OrtSource {
    fn backend(&self) -> Backend {
        Backend {
            name: "onnxruntime",
            version: self.loaded.runtime.version().to_owned(),
            settings: vec![("threads", self.threads.to_string())],
        }
    }

    fn lanes(&self) -> usize {
        // While one batch runs, another thread may get the next one ready.
        if self.mode == Mode::Canonical { 2 } else { 1 }
    }

    fn accumulate(&self, batch: Batch) -> Result<(), SourceError> {
        let Batch { content, samples } = batch;
        let Content::Tensors(tensors) = content else {
            return Err(SourceError::Run {
                node: None,
                reason: "this backend takes preprocessed samples".to_owned(),
            });
        };
        let feeds: Vec<Feed<'_>> = tensors.iter().map(feed).collect();
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.need.check(samples.len())?;
        let counted = self.loaded.session.run(&feeds, &self.wanted, |outputs| {
            self.need.learn(samples.len(), outputs);
            self.count(&tensors, outputs, &samples)
        });
        counted.map_err(|error| self.loaded.nodes.explain(error))?
    }

    fn snapshot(&self) -> Result<Histograms, SourceError> {
        let counts = |tensor: &Tensor| tensor.counts.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let tensors = self.tensors.iter().map(|tensor| (tensor.name.clone(), counts(tensor)));
        Ok(Self::observed(tensors, self.omitted.clone()))
    }

    fn finish(self: Box<Self>) -> Result<Histograms, SourceError> {
        let tensors = self
            .tensors
            .into_iter()
            .map(|tensor| (tensor.name, tensor.counts.into_inner().unwrap_or_else(PoisonError::into_inner)));
        Ok(Self::observed(tensors, self.omitted))
    }
}
