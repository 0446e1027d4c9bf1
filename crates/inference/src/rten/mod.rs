//! The embedded backend: rten, in pure Rust, on the CPU.
//!
//! The graph is not optimized, so that every ONNX value exists, and it is run in **stages**: a stage asks for a few
//! activations, counts them while they are still in the cache, and keeps only those that a later stage reads. Asking
//! for all activations at once costs more time (each gets fresh pages from the system) and far more memory. Sizes
//! are learned from the first batch, which runs one activation at a time.
//!
//! Batches run side by side, each on one thread: convolutions of a single image do not fill many cores, and what a
//! thread computes does not depend on how many others there are.

mod complete;
mod model;

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, TryLockError};

use rten::{NodeId, RunOptions, ThreadPool, Value, ValueView};
use rten_tensor::prelude::*;
use trt_calib::{Counts, Mode};

pub use model::Prepared;

use crate::{
    Backend, Batch, Content, HistogramSource, Histograms, Observed, Omitted, Settings, SourceError, Values,
};

/// The version of the crate; a test compares it with the lock file.
const VERSION: &str = "0.27.0";

/// A stage ends when its activations exceed this many bytes: about what a second-level cache holds.
const STAGE_BYTES: usize = 4 << 20;
/// A stage has at most this many activations, since all of them are in memory together.
const STAGE_VALUES: usize = 32;

/// See the module.
pub struct RtenSource {
    model: rten::Model,
    /// How nodes are called in the user's model.
    nodes: model::NodeNames,
    input: NodeId,
    /// The activations in the order of computation, the input first.
    tensors: Vec<Tensor>,
    omitted: Vec<Omitted>,
    stages: OnceLock<Vec<Range<usize>>>,
    /// Thread pools that no batch uses now.
    pools: Mutex<Vec<Arc<ThreadPool>>>,
    mode: Mode,
    lanes: usize,
}

struct Tensor {
    name: String,
    id: NodeId,
    /// The position of the last activation that is computed from this one.
    last_reader: usize,
    counts: Mutex<Counts>,
    /// Set when the value turns out to hold integers: the file need not tell.
    integers: AtomicBool,
}

impl RtenSource {
    /// Gets a model ready.
    pub fn new(prepared: Prepared, settings: &Settings) -> Self {
        let Prepared { model, nodes, input, tensors, omitted } = prepared;
        let tensor = |(name, id, last_reader)| Tensor {
            name,
            id,
            last_reader,
            counts: Mutex::new(Counts::new(settings.mode)),
            integers: AtomicBool::new(false),
        };
        Self {
            model,
            nodes,
            input,
            tensors: tensors.into_iter().map(tensor).collect(),
            omitted,
            stages: OnceLock::new(),
            pools: Mutex::default(),
            mode: settings.mode,
            // Where order counts, batches come one after the other.
            lanes: if settings.mode == Mode::Canonical { settings.threads.max(1) } else { 1 },
        }
    }

    /// Runs one stage: the activations in `stage`, from those that are alive.
    fn run(
        &self,
        live: &[Live],
        stage: Range<usize>,
        pool: &Arc<ThreadPool>,
    ) -> Result<Vec<Value>, SourceError> {
        let inputs = live.iter().map(|l| (l.id, l.value.as_view().into())).collect();
        let outputs: Vec<NodeId> = self.tensors[stage].iter().map(|tensor| tensor.id).collect();
        let options = RunOptions::default().with_thread_pool(Some(Arc::clone(pool)));
        self.model.run(inputs, &outputs, Some(options)).map_err(|error| self.nodes.run_error(&error))
    }

    /// Counts an activation. Integers and booleans are left alone.
    fn count(&self, tensor: usize, value: &Value, samples: &[String]) -> Result<(), SourceError> {
        let ValueView::FloatTensor(view) = value.as_view() else {
            self.tensors[tensor].integers.store(true, Ordering::Relaxed);
            return Ok(());
        };
        let copy;
        let values = match view.data() {
            Some(values) => values,
            None => {
                copy = view.to_vec();
                &copy
            }
        };
        let Tensor { name, counts, .. } = &self.tensors[tensor];
        let nan = match counts.try_lock() {
            Ok(mut counts) => add(&mut counts, values),
            // Another batch is at the same tensor: nobody waits while there is something to count.
            Err(TryLockError::WouldBlock) if self.mode == Mode::Canonical => {
                let mut own = Counts::new(self.mode);
                let nan = add(&mut own, values);
                counts
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .merge(&own)
                    .expect("canonical counts can be merged");
                nan
            }
            Err(TryLockError::WouldBlock) => {
                add(&mut counts.lock().unwrap_or_else(PoisonError::into_inner), values)
            }
            Err(TryLockError::Poisoned(counts)) => add(&mut counts.into_inner(), values),
        };
        if nan == 0 {
            return Ok(());
        }
        let first = values.iter().position(|value| value.is_nan()).unwrap_or(0);
        // The first axis counts the samples, unless the model has moved it.
        let one =
            (view.shape().first() == Some(&samples.len())).then(|| first * samples.len() / values.len());
        let samples = one.map_or(samples, |sample| &samples[sample..=sample]).to_vec();
        Err(SourceError::NotANumber { tensor: name.clone(), count: nan, samples })
    }

    /// Splits the activations into stages by their sizes in bytes, the input (position 0) apart.
    fn cut(sizes: &[usize]) -> Vec<Range<usize>> {
        let mut stages = Vec::new();
        let (mut start, mut bytes) = (1, 0);
        for (at, size) in sizes.iter().enumerate().skip(1) {
            bytes += size;
            if bytes >= STAGE_BYTES || at + 1 - start == STAGE_VALUES || at + 1 == sizes.len() {
                stages.push(start..at + 1);
                (start, bytes) = (at + 1, 0);
            }
        }
        stages
    }
}

/// A value that a later stage reads.
struct Live {
    id: NodeId,
    last_reader: usize,
    value: Value,
}

/// Adds values; returns how many of them are NaN. Infinities are counted and no fault: masks are made of them.
fn add(counts: &mut Counts, values: &[f32]) -> u64 {
    let before = counts.nan();
    counts.add(values);
    counts.nan() - before
}

impl HistogramSource for RtenSource {
    fn backend(&self) -> Backend {
        Backend { name: "rten", version: VERSION.to_owned(), settings: Vec::new() }
    }

    fn lanes(&self) -> usize {
        self.lanes
    }

    fn accumulate(&self, batch: Batch) -> Result<(), SourceError> {
        let Batch { content, samples } = batch;
        let failed = |reason: String| SourceError::Run { node: None, reason };
        let Content::Tensors(tensors) = content else {
            return Err(failed("rten takes preprocessed images".to_owned()));
        };
        let [tensor] = <[_; 1]>::try_from(tensors).map_err(|_| failed("rten takes one input".to_owned()))?;
        let Values::F32(values) = tensor.values else { return Err(failed("rten takes floats".to_owned())) };
        let input = Value::from_shape(&tensor.shape, values).map_err(|error| failed(error.to_string()))?;
        let pool = self.pools.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let pool = pool.unwrap_or_else(|| Arc::new(ThreadPool::with_num_threads(1)));

        self.count(0, &input, &samples)?;
        // The graph's input stays: from it, rten could compute again whatever else were missing.
        let mut live = vec![Live { id: self.input, last_reader: usize::MAX, value: input }];
        let known = self.stages.get();
        let single = || (1..self.tensors.len()).map(|at| at..at + 1).collect();
        let mut sizes = vec![0; self.tensors.len()];
        for stage in known.cloned().unwrap_or_else(single) {
            let outputs = self.run(&live, stage.clone(), &pool)?;
            for (at, value) in stage.clone().zip(outputs) {
                self.count(at, &value, &samples)?;
                sizes[at] = value.len() * size_of::<f32>();
                let Tensor { id, last_reader, .. } = self.tensors[at];
                live.push(Live { id, last_reader, value });
            }
            live.retain(|value| value.last_reader >= stage.end);
        }
        if known.is_none() {
            self.stages.get_or_init(|| Self::cut(&sizes));
        }
        self.pools.lock().unwrap_or_else(PoisonError::into_inner).push(pool);
        Ok(())
    }

    fn snapshot(&self) -> Result<Histograms, SourceError> {
        let floats = self.tensors.iter().filter(|tensor| !tensor.integers.load(Ordering::Relaxed));
        let observed = floats.map(|tensor| Observed {
            name: tensor.name.clone(),
            counts: tensor.counts.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        });
        Ok(Histograms { observed: observed.collect(), omitted: self.omitted.clone() })
    }

    fn finish(self: Box<Self>) -> Result<Histograms, SourceError> {
        let floats = self.tensors.into_iter().filter(|tensor| !tensor.integers.load(Ordering::Relaxed));
        let observed = floats.map(|tensor| Observed {
            name: tensor.name,
            counts: tensor.counts.into_inner().unwrap_or_else(PoisonError::into_inner),
        });
        Ok(Histograms { observed: observed.collect(), omitted: self.omitted })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use trt_onnx::proto::{GraphProto, ModelProto, NodeProto, OperatorSetIdProto, ValueInfoProto};

    use super::*;

    #[test]
    fn a_stage_ends_by_size_by_number_and_with_the_graph() {
        let mib = 1 << 20;
        for (sizes, expected) in [
            (vec![mib], vec![]),
            (vec![9 * mib, mib, mib], vec![(1, 3)]),
            (vec![0, 5 * mib, mib, 3 * mib, mib], vec![(1, 2), (2, 4), (4, 5)]),
            (vec![0; 35], vec![(1, 33), (33, 35)]),
        ] {
            let stages: Vec<_> =
                RtenSource::cut(&sizes).iter().map(|stage| (stage.start, stage.end)).collect();
            assert_eq!(stages, expected, "{sizes:?}");
        }
    }

    #[test]
    fn an_activation_that_rten_lacks_is_omitted_by_name() {
        let relu = NodeProto {
            op_type: Some("Relu".into()),
            input: vec!["x".into()],
            output: vec!["y".into()],
            ..NodeProto::default()
        };
        let value = |name: &str| ValueInfoProto { name: Some(name.into()), ..ValueInfoProto::default() };
        let graph = GraphProto {
            node: vec![relu],
            input: vec![value("x")],
            output: vec![value("y")],
            ..GraphProto::default()
        };
        let opset = OperatorSetIdProto { domain: None, version: Some(17) };
        let proto = ModelProto {
            ir_version: Some(8),
            graph: Some(graph),
            opset_import: vec![opset],
            ..ModelProto::default()
        };
        let activations = ["x", "lost", "y"].map(str::to_owned);
        let prepared = Prepared::load(proto, Path::new("."), &[], &activations).unwrap();
        let source = RtenSource::new(prepared, &Settings::default());
        let input = crate::Tensor::f32("x", [1, 1, 1, 2], vec![-1.0, 2.0]);
        let batch = Batch { content: Content::Tensors(vec![input]), samples: vec!["one".into()] };
        source.accumulate(batch).unwrap();
        let Histograms { observed, omitted } = Box::new(source).finish().unwrap();
        let counts: Vec<_> = observed.iter().map(|o| (o.name.as_str(), o.counts.amax())).collect();
        assert_eq!(counts, [("x", Some(2.0)), ("y", Some(2.0))]);
        assert_eq!(omitted, [Omitted { name: "lost".into(), why: "rten does not have this value".into() }]);
    }

    #[test]
    fn the_recorded_version_is_the_one_in_the_lock_file() {
        let lock = include_str!("../../../../Cargo.lock");
        assert!(lock.contains(&format!("name = \"rten\"\nversion = \"{VERSION}\"\n")));
    }
}
