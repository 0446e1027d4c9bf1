//! One GPU: the session, the counters, and the order in which batches go through them.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use onnxruntime::{BoundFeed, Cuda, Device, Element, Kind, Optimization, Session};
use trt_calib::{Histogram, HistogramParts};
use trt_cuda::{Context, Counter, Floats, Preprocessor, Seen, Stream, device_at};

use super::chunk::Chunk;
use super::picture::Plans;
use super::slot::{Fed, Slot};
use super::{driver, failed};
use crate::ort::{Loaded, Seen as Place, load, seen};
use crate::source::samples_at;
use crate::{Omitted, OnNan, Settings, SourceError};

/// The share of the free memory that activations may take: convolutions want some to work in.
const SHARE_OF_FREE: f64 = 0.7;

/// What every GPU is to run.
pub struct Job<'a> {
    /// The model with every activation as an output.
    pub model: trt_onnx::Model,
    pub folder: &'a Path,
    pub activations: &'a [String],
    pub settings: &'a Settings,
}

/// A value that is counted.
struct Counted {
    name: String,
    from: From,
}

/// Where its values are.
#[derive(Clone, Copy, PartialEq)]
enum From {
    /// In what was fed.
    Input,
    /// At this position among the wanted outputs.
    Output(usize),
}

/// See the module.
pub struct Gpu {
    context: Context,
    description: String,
    loaded: Loaded,
    counted: Vec<Counted>,
    omitted: Vec<Omitted>,
    /// What ONNX Runtime is to give, by position in the session.
    wanted: Vec<usize>,
    /// The first input: the one that pictures go to.
    input: String,
    /// How many samples the model takes at once, where it leaves no choice.
    fixed: Option<usize>,
    /// The greatest number of samples at once; 0 before the first batch.
    most: AtomicUsize,
    preprocessor: Option<Preprocessor>,
    /// The shape of one picture as an input.
    image: [usize; 4],
    queue: Mutex<Queue>,
    reductions: Mutex<Vec<String>>,
}

/// What one batch after the other goes through.
struct Queue {
    counter: Counter,
    stream: Arc<Stream>,
    /// Counts that were brought to the host before the counters were cleared.
    base: Vec<Histogram>,
}

impl Gpu {
    pub fn open(job: &Job<'_>, device: u32) -> Result<Self, SourceError> {
        let settings = job.settings;
        let facts = device_at(device).map_err(driver)?;
        let context = Context::primary(device).map_err(driver)?;
        let stream = Arc::new(Stream::new(&context).map_err(driver)?);
        let cuda = Cuda { device, tf32: settings.tf32, stream: Some(Arc::clone(&stream)) };
        let loaded = load(&job.model, job.folder, settings, Device::Cuda(cuda), Optimization::All)?;
        let (counted, wanted, omitted) = chosen(&loaded.session, job.activations);
        let counter = Counter::new(&stream, counted.len()).map_err(driver)?;
        let canvas = settings.pipeline.clone().map(|pipeline| Plans::new(pipeline).canvas()).transpose()?;
        let preprocessor =
            canvas.map(|canvas| Preprocessor::new(&context, canvas)).transpose().map_err(driver)?;
        let first = loaded.session.inputs().first();
        let input = first.map(|port| port.name.clone()).unwrap_or_default();
        let fixed = first.and_then(|port| match &port.kind {
            Kind::Tensor { dims, .. } => dims.first().copied().flatten(),
            Kind::Other(_) => None,
        });
        let [major, minor] = facts.driver_version;
        Ok(Self {
            description: format!("{} (driver for CUDA {major}.{minor})", facts.name),
            omitted,
            wanted,
            input,
            fixed,
            most: AtomicUsize::new(0),
            preprocessor,
            image: settings.pipeline.as_ref().map_or([0; 4], |pipeline| pipeline.shape()),
            reductions: Mutex::default(),
            queue: Mutex::new(Queue { base: vec![Histogram::new(); counted.len()], counter, stream }),
            counted,
            context,
            loaded,
        })
    }

    pub fn names(&self) -> Vec<String> {
        self.counted.iter().map(|counted| counted.name.clone()).collect()
    }

    pub fn omitted(&self) -> Vec<Omitted> {
        self.omitted.clone()
    }

    /// The version of ONNX Runtime.
    pub fn version(&self) -> &str {
        self.loaded.runtime.version()
    }

    /// What the GPU is.
    pub fn description(&self) -> &str {
        &self.description
    }

    pub fn batch(&self) -> Option<usize> {
        Some(self.most.load(Ordering::Relaxed)).filter(|most| *most > 0)
    }

    /// A sentence for each time that memory ran out.
    pub fn reductions(&self) -> Vec<String> {
        self.reductions.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn slot(&self) -> Result<Slot, SourceError> {
        let receipt = self.queue().counter.receipt().map_err(driver)?;
        Slot::new(&self.context, receipt).map_err(driver)
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a batch and counts it, in parts if it does not fit.
    pub fn accumulate(
        &self,
        batch: &Chunk<'_>,
        slot: &mut Slot,
        plans: Option<&Plans>,
        on_nan: OnNan,
    ) -> Result<(), SourceError> {
        if self.most.load(Ordering::Relaxed) == 0 {
            self.measure(batch, slot, plans)?;
        }
        if batch.parts(self.most.load(Ordering::Relaxed)).len() == 1 {
            let fed = self.load(batch, slot, plans);
            let mut queue = self.queue();
            match fed.and_then(|fed| self.run(&mut queue, batch, slot, &fed, true)) {
                Err(error) if self.reduce(batch, &error) => (),
                Err(error) => return Err(error),
                Ok(ran) => {
                    // The next batch may be put behind this one while we wait.
                    drop(queue);
                    return self.check(batch, slot, &ran?);
                }
            }
        }
        self.in_parts(batch, slot, plans, on_nan)
    }

    /// Runs a batch part by part. Nobody else's batch comes in between, so that all of it can be taken back.
    fn in_parts(
        &self,
        batch: &Chunk<'_>,
        slot: &mut Slot,
        plans: Option<&Plans>,
        on_nan: OnNan,
    ) -> Result<(), SourceError> {
        let mut queue = self.queue();
        let can_go_on = on_nan == OnNan::SkipImage;
        if can_go_on {
            // What was counted before is safe on the host.
            queue.bring()?;
        }
        let mut rest = vec![batch.clone()];
        while let Some(part) = rest.pop() {
            let most = self.most.load(Ordering::Relaxed);
            if part.len() > most && part.parts(most).len() > 1 {
                rest.extend(part.parts(most).into_iter().rev());
                continue;
            }
            let fed = self.load(&part, slot, plans);
            let result = match fed.and_then(|fed| self.run(&mut queue, &part, slot, &fed, true)) {
                Err(error) if self.reduce(&part, &error) => {
                    rest.push(part);
                    continue;
                }
                Err(error) => Err(error),
                Ok(ran) => ran.and_then(|ran| self.check(&part, slot, &ran)),
            };
            if let Err(error) = result {
                if can_go_on {
                    queue.counter.clear().map_err(driver)?;
                }
                return Err(error);
            }
        }
        Ok(())
    }

    /// Runs one sample, uncounted, to learn how many fit into the free memory.
    fn measure(&self, batch: &Chunk<'_>, slot: &mut Slot, plans: Option<&Plans>) -> Result<(), SourceError> {
        if let Some(fixed) = self.fixed {
            self.most.store(fixed.max(1), Ordering::Relaxed);
            return Ok(());
        }
        let one = batch.parts(1).swap_remove(0);
        let fed = self.load(&one, slot, plans)?;
        let mut queue = self.queue();
        if self.most.load(Ordering::Relaxed) > 0 {
            return Ok(());
        }
        let ran = self.run(&mut queue, &one, slot, &fed, false)??;
        queue.stream.synchronize().map_err(driver)?;
        let free = self.context.memory().map_err(driver)?.free;
        let fitting = (free as f64 * SHARE_OF_FREE / ran.bytes.max(1) as f64) as usize * one.len();
        self.most.store(fitting.max(1), Ordering::Relaxed);
        Ok(())
    }

    /// Whether a batch has failed for want of memory and a part of it may not; if so, notes that it is too large.
    fn reduce(&self, batch: &Chunk<'_>, error: &SourceError) -> bool {
        let can_be_less = self.fixed.is_none() && batch.parts(1).len() > 1;
        if !can_be_less || !matches!(error, SourceError::OutOfMemory { .. }) {
            return false;
        }
        let fewer = (batch.len() / 2).max(1);
        let known = self.most.fetch_min(fewer, Ordering::Relaxed);
        if fewer < known {
            let note = format!("{} samples did not fit at once, so now {fewer}", batch.len());
            self.reductions.lock().unwrap_or_else(PoisonError::into_inner).push(note);
        }
        true
    }

    /// Begins to copy the inputs to the GPU.
    fn load<'a>(
        &self,
        chunk: &Chunk<'a>,
        slot: &mut Slot,
        plans: Option<&Plans>,
    ) -> Result<Vec<Fed<'a>>, SourceError> {
        match (chunk.pictures(), plans, &self.preprocessor) {
            (Some(_), Some(plans), Some(preprocessor)) => {
                slot.load_pictures(chunk, plans, preprocessor).map_err(driver)?;
                Ok(Vec::new())
            }
            (Some(_), _, _) => Err(failed("this source was made without a pipeline, so it takes tensors")),
            (None, _, _) => slot.load_tensors(chunk).map_err(driver),
        }
    }

    /// The shape of the input for so many pictures.
    fn picture_shape(&self, count: usize) -> Vec<usize> {
        let mut shape = self.image.to_vec();
        shape[0] = count;
        shape
    }

    /// Puts a run, and counting it, into the stream. After the outer error nothing of it was counted, so that it can be tried
    /// again; the inner one is of the counting.
    fn run(
        &self,
        queue: &mut Queue,
        chunk: &Chunk<'_>,
        slot: &mut Slot,
        fed: &[Fed<'_>],
        count: bool,
    ) -> Result<Result<Ran, SourceError>, SourceError> {
        let Queue { counter, stream, .. } = queue;
        let own;
        let fed = match (&self.preprocessor, chunk.pictures()) {
            (Some(preprocessor), Some(_)) => {
                let shape = self.picture_shape(chunk.len());
                own = [slot.preprocess(preprocessor, stream, &self.input, shape).map_err(driver)?];
                &own[..]
            }
            _ => {
                slot.arrive(stream).map_err(driver)?;
                fed
            }
        };
        let Slot { receipt, inputs, .. } = slot;
        let feeds: Vec<BoundFeed<'_>> = fed.iter().map(|fed| fed.feed(inputs)).collect();
        let counted = self.loaded.session.run_bound(&feeds, &self.wanted, |outputs| {
            let mut ran = Ran::default();
            let mut batch = Vec::with_capacity(self.counted.len());
            for (tensor, counted) in self.counted.iter().enumerate() {
                let (shape, floats) = match counted.from {
                    From::Input => {
                        let own = fed.iter().find(|fed| fed.name() == Some(&counted.name));
                        own.map_or(Ok(None), |fed| fed.floats(inputs)).map_err(driver)?.unzip()
                    }
                    From::Output(at) => (Some(outputs[at].shape.clone()), outputs[at].floats),
                };
                ran.shapes.push(shape.unwrap_or_default());
                ran.bytes += floats.as_ref().map_or(0, Floats::bytes);
                batch.extend(floats.map(|floats| (tensor, floats)));
            }
            if count {
                counter.count(&batch, true, receipt).map_err(driver)?;
            }
            Ok(ran)
        });
        counted.map_err(|error| self.loaded.nodes.explain(error))
    }

    /// Waits for the batch; whether something in it was not a number.
    fn check(&self, chunk: &Chunk<'_>, slot: &mut Slot, ran: &Ran) -> Result<(), SourceError> {
        let seen = slot.receipt.wait().map_err(driver)?;
        let Some((tensor, Seen { nan, first_nan, .. })) =
            seen.iter().enumerate().find(|(_, seen)| seen.nan > 0)
        else {
            return Ok(());
        };
        let (shape, first) = (&ran.shapes[tensor], first_nan.unwrap_or(0) as usize);
        let samples = samples_at(chunk.samples(), shape, first, shape.iter().product());
        Err(SourceError::NotANumber { tensor: self.counted[tensor].name.clone(), count: *nan, samples })
    }

    /// The histograms so far.
    pub fn histograms(&self) -> Result<Vec<Histogram>, SourceError> {
        let queue = self.queue();
        let mut sums = queue.base.clone();
        queue.add_to(&mut sums)?;
        Ok(sums)
    }
}

impl Queue {
    /// Adds what the counters hold.
    fn add_to(&self, sums: &mut [Histogram]) -> Result<(), SourceError> {
        for (sum, counts) in sums.iter_mut().zip(self.counter.read().map_err(driver)?) {
            let trt_cuda::Counts { exponent, bins, min, max, nan, infinite } = counts;
            let parts = HistogramParts { exponent, bins, min, max, nan, infinite };
            let own = Histogram::from_parts(parts);
            let defect = |error: trt_calib::CalibError| SourceError::Panicked { reason: error.to_string() };
            sum.merge(&own.map_err(defect)?);
        }
        Ok(())
    }

    /// Brings all counts to the host and begins anew.
    fn bring(&mut self) -> Result<(), SourceError> {
        let mut base = std::mem::take(&mut self.base);
        let added = self.add_to(&mut base);
        self.base = base;
        added?;
        self.counter.clear().map_err(driver)
    }
}

/// What the counted values were in one run.
#[derive(Debug, Default)]
struct Ran {
    shapes: Vec<Vec<usize>>,
    /// Bytes of all of them.
    bytes: usize,
}

/// The activations that are counted, the outputs to ask for, and the floats that are not counted here.
fn chosen(session: &Session, activations: &[String]) -> (Vec<Counted>, Vec<usize>, Vec<Omitted>) {
    let (found, mut omitted) = seen(session, activations);
    let (mut counted, mut wanted) = (Vec::new(), Vec::new());
    for (name, place) in found {
        let (ports, at) = match place {
            Place::Input => (session.inputs(), session.inputs().iter().position(|port| port.name == name)),
            Place::Output(at) => (session.outputs(), Some(at)),
        };
        let kind = at.map(|at| &ports[at].kind);
        if let Some(Kind::Tensor { element: Element::F64, .. }) = kind {
            let why = "64-bit floats are not counted on a GPU".to_owned();
            omitted.push(Omitted { name, why });
            continue;
        }
        let from = match place {
            Place::Input => From::Input,
            Place::Output(at) => {
                wanted.push(at);
                From::Output(wanted.len() - 1)
            }
        };
        counted.push(Counted { name, from });
    }
    (counted, wanted, omitted)
}
