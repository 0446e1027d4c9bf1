//! Calibration on NVIDIA GPUs: ONNX Runtime runs the model, and the activations are counted where they lie.
//!
//! Every float activation is an output of the session, bound to the GPU's memory. Kernels of `trt-cuda` count them in the
//! stream that ONNX Runtime works in, so that nobody waits for anybody: while the GPU works at one batch, other threads
//! copy the pictures or tensors of the next ones to it, and the GPU does the preprocessing too. What comes back is, for
//! each batch, whether something was not a number, and at the end the histograms. They are those that the CPU would have
//! counted, bit by bit; the activations themselves are those of the GPU's convolutions.
//!
//! With several GPUs batches go to whichever is free. Counts are merged at the end, which is exact.

mod chunk;
mod gpu;
mod picture;
mod slot;

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, PoisonError};

use onnxruntime::OrtError;
use trt_calib::{Counts, Histogram, Mode};
use trt_cuda::DriverError;

pub use picture::{Plan, Plans};

use crate::{
    Backend, Batch, Content, HistogramSource, Histograms, Observed, Omitted, OnNan, Settings, SourceError,
    Subject, Wants,
};
use chunk::Chunk;
use gpu::{Gpu, Job};
use slot::Slot;

/// Batches under way on each GPU: one runs, one is being copied, the others are being put together.
const SLOTS: usize = 6;

/// See the module.
pub struct CudaSource {
    gpus: Vec<Gpu>,
    /// Slots that no batch uses now, each with its GPU.
    free: Mutex<VecDeque<(usize, Slot)>>,
    freed: Condvar,
    /// The counted values, in the order of computation.
    names: Vec<String>,
    omitted: Vec<Omitted>,
    plans: Option<Plans>,
    on_nan: OnNan,
    tf32: bool,
    version: String,
}

impl CudaSource {
    /// Loads the model on every GPU of `settings.devices`, the first one if there are none.
    ///
    /// # Errors
    /// [`SourceError::OnnxRuntime`] where there is no ONNX Runtime with CUDA or no GPU, and [`SourceError::Load`],
    /// [`SourceError::Foreign`] and [`SourceError::Unsupported`] where the model cannot be run there.
    pub fn open(subject: &Subject<'_>, settings: &Settings) -> Result<Self, SourceError> {
        if settings.mode != Mode::Canonical {
            let reason =
                "counts in TensorRT's mode are kept on the CPU only: choose another backend".to_owned();
            return Err(SourceError::Unsupported { node: None, reason });
        }
        let first = [0];
        let devices = if settings.devices.is_empty() { &first[..] } else { &settings.devices };
        let mut model = subject.model.clone();
        let refused = trt_onnx::expose(&mut model, subject.activations).refused.into_iter();
        let Subject { folder, activations, .. } = *subject;
        let job = Job { model, folder, activations, settings };
        let mut gpus = Vec::new();
        for &device in devices {
            gpus.push(Gpu::open(&job, device)?);
        }
        let plans = settings.pipeline.clone().map(Plans::new);
        let mut free = VecDeque::new();
        // In turns, so that all GPUs have something to do from the start.
        for _ in 0..SLOTS {
            for (number, gpu) in gpus.iter().enumerate() {
                free.push_back((number, gpu.slot()?));
            }
        }
        let refused = refused.map(|refused| Omitted { name: refused.name, why: refused.because });
        Ok(Self {
            names: gpus[0].names(),
            omitted: refused.chain(gpus[0].omitted()).collect(),
            version: gpus[0].version().to_owned(),
            gpus,
            free: Mutex::new(free),
            freed: Condvar::new(),
            plans,
            on_nan: settings.on_nan,
            tf32: settings.tf32,
        })
    }

    /// The greatest number of samples that a GPU runs at once, once a batch has been seen: larger batches are cut.
    pub fn batch(&self) -> Option<usize> {
        self.gpus.iter().filter_map(Gpu::batch).min()
    }

    /// A slot of the GPU that has been idle for longest, with that GPU's number; waits for one.
    fn take_slot(&self) -> (usize, Slot) {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match free.pop_front() {
                Some(slot) => return slot,
                None => free = self.freed.wait(free).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    fn give_slot(&self, slot: (usize, Slot)) {
        self.free.lock().unwrap_or_else(PoisonError::into_inner).push_back(slot);
        self.freed.notify_one();
    }

    fn histograms(&self) -> Result<Histograms, SourceError> {
        let mut sums = vec![Histogram::new(); self.names.len()];
        for gpu in &self.gpus {
            for (sum, own) in sums.iter_mut().zip(gpu.histograms()?) {
                sum.merge(&own);
            }
        }
        let observed = self.names.iter().zip(sums);
        let observed = observed.map(|(name, sum)| Observed { name: name.clone(), counts: Counts::from(sum) });
        Ok(Histograms { observed: observed.collect(), omitted: self.omitted.clone() })
    }
}

impl HistogramSource for CudaSource {
    fn backend(&self) -> Backend {
        let of_gpus =
            |what: &dyn Fn(&Gpu) -> String| self.gpus.iter().map(what).collect::<Vec<_>>().join(", ");
        let mut settings = vec![
            ("gpu", of_gpus(&|gpu| gpu.description().to_owned())),
            ("tf32", self.tf32.to_string()),
            ("convolutions", "heuristic".to_owned()),
        ];
        if self.gpus.iter().any(|gpu| gpu.batch().is_some()) {
            settings
                .push(("most-samples-at-once", of_gpus(&|gpu| gpu.batch().unwrap_or_default().to_string())));
        }
        let reduced: Vec<String> = self.gpus.iter().flat_map(Gpu::reductions).collect();
        if !reduced.is_empty() {
            settings.push(("out-of-memory", reduced.join("; ")));
        }
        Backend { name: "onnxruntime-cuda", version: self.version.clone(), settings }
    }

    fn wants(&self) -> Wants {
        if self.plans.is_some() { Wants::Pictures } else { Wants::Tensors }
    }

    fn lanes(&self) -> usize {
        SLOTS * self.gpus.len()
    }

    fn accumulate(&self, batch: Batch) -> Result<(), SourceError> {
        let whole = Chunk::whole(&batch)?;
        if let Content::Pictures(_) = &batch.content
            && self.plans.is_none()
        {
            return Err(failed("this source was made without a pipeline, so it takes tensors"));
        }
        let (number, mut slot) = self.take_slot();
        let result = self.gpus[number].accumulate(&whole, &mut slot, self.plans.as_ref(), self.on_nan);
        self.give_slot((number, slot));
        result
    }

    fn snapshot(&self) -> Result<Histograms, SourceError> {
        self.histograms()
    }

    fn finish(self: Box<Self>) -> Result<Histograms, SourceError> {
        self.histograms()
    }
}

fn failed(reason: impl Into<String>) -> SourceError {
    SourceError::Run { node: None, reason: reason.into() }
}

/// What the driver reports.
fn driver(error: DriverError) -> SourceError {
    let reason = error.to_string();
    SourceError::from(match error {
        error if error.is_lost() => OrtError::GpuLost { reason },
        error if error.is_out_of_memory() => OrtError::OutOfMemory { reason },
        error => OrtError::Driver(error),
    })
}
