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
mod network;
mod value;

use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, TryLockError};

use rten::{NodeId, RunOptions, ThreadPool, Value, ValueView};
use rten_tensor::prelude::*;
use trt_calib::{Counts, Mode};

pub use model::Prepared;
pub use network::RtenNetwork;

use crate::{
    Backend, Batch, Content, HistogramSource, Histograms, Observed, Omitted, OnNan, Settings, SourceError,
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
    /// The inputs that must be given, by name.
    inputs: Vec<(String, NodeId)>,
    /// The activations in the order of computation, the inputs among them first.
    tensors: Vec<Tensor>,
    omitted: Vec<Omitted>,
    stages: OnceLock<Vec<Range<usize>>>,
    /// Thread pools that no batch uses now.
    pools: Mutex<Vec<Arc<ThreadPool>>>,
    mode: Mode,
    on_nan: OnNan,
    lanes: usize,
}

struct Tensor {
    name: String,
    id: NodeId,
    /// The position of the last activation that is computed from this one.
    last_reader: usize,
    counts: Mutex<Counts>,
    /// Set when the value turns out to hold something else than floats: the file need not tell.
    other: OnceLock<Other>,
}

/// What is not counted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Other {
    /// Integers and truth values, which have no scale.
    Integers,
    /// Several tensors under one name.
    Sequence,
}

impl RtenSource {
    /// Gets a model ready.
    pub fn new(prepared: Prepared, settings: &Settings) -> Self {
        let Prepared { model, nodes, inputs, tensors, omitted } = prepared;
        let tensor = |(name, id, last_reader)| Tensor {
            name,
            id,
            last_reader,
            counts: Mutex::new(Counts::new(settings.mode)),
            other: OnceLock::new(),
        };
        Self {
            model,
            nodes,
            inputs,
            tensors: tensors.into_iter().map(tensor).collect(),
            omitted,
            stages: OnceLock::new(),
            pools: Mutex::default(),
            mode: settings.mode,
            on_nan: settings.on_nan,
            // Where order counts, batches come one after the other.
            lanes: if settings.mode == Mode::Canonical { settings.threads.max(1) } else { 1 },
        }
    }

    /// The inputs of a batch as rten's values, in the order of [`RtenSource::inputs`].
    fn take_inputs(&self, content: Content) -> Result<Vec<Live>, SourceError> {
        let Content::Tensors(mut tensors) = content else {
            return Err(failed("rten takes preprocessed samples".to_owned()));
        };
        // A batch may name its one tensor as it likes.
        if let ([tensor], [(name, _)]) = (tensors.as_mut_slice(), self.inputs.as_slice()) {
            tensor.name.clone_from(name);
        }
        value::inputs(tensors, &self.inputs)?
            .into_iter()
            .map(|(id, value)| Ok(Live { id, last_reader: usize::MAX, value }))
            .collect()
    }

    /// How many of the activations are inputs.
    fn leading(&self) -> usize {
        let is_input = |tensor: &&Tensor| self.inputs.iter().any(|(_, id)| *id == tensor.id);
        self.tensors.iter().take_while(is_input).count()
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

    /// Runs a batch, stage by stage, and counts its activations.
    fn run_batch(&self, mut live: Vec<Live>, counting: &mut Counting<'_>) -> Result<(), SourceError> {
        let pool = self.pools.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let pool = pool.unwrap_or_else(|| Arc::new(ThreadPool::with_num_threads(1)));
        let leading = self.leading();
        for at in 0..leading {
            if let Some(input) = live.iter().find(|live| live.id == self.tensors[at].id) {
                counting.count(at, &input.value)?;
            }
        }
        let known = self.stages.get();
        let single = || (leading..self.tensors.len()).map(|at| at..at + 1).collect();
        let mut sizes = vec![0; self.tensors.len()];
        for stage in known.cloned().unwrap_or_else(single) {
            let outputs = self.run(&live, stage.clone(), &pool)?;
            for (at, value) in stage.clone().zip(outputs) {
                counting.count(at, &value)?;
                sizes[at] = value.len() * size_of::<f32>();
                let Tensor { id, last_reader, .. } = self.tensors[at];
                live.push(Live { id, last_reader, value });
            }
            live.retain(|value| value.last_reader >= stage.end);
        }
        if known.is_none() {
            self.stages.get_or_init(|| Self::cut(&sizes, leading));
        }
        self.pools.lock().unwrap_or_else(PoisonError::into_inner).push(pool);
        Ok(())
    }

    /// Splits the activations from number `leading` on into stages by their sizes in bytes.
    fn cut(sizes: &[usize], leading: usize) -> Vec<Range<usize>> {
        let mut stages = Vec::new();
        let (mut start, mut bytes) = (leading, 0);
        for (at, size) in sizes.iter().enumerate().skip(leading) {
            bytes += size;
            if bytes >= STAGE_BYTES || at + 1 - start == STAGE_VALUES || at + 1 == sizes.len() {
                stages.push(start..at + 1);
                (start, bytes) = (at + 1, 0);
            }
        }
        stages
    }

    /// What was counted, and what was not.
    fn histograms(&self, counts: impl Fn(&Tensor) -> Counts) -> Histograms {
        let mut histograms = Histograms { observed: Vec::new(), omitted: self.omitted.clone() };
        for tensor in &self.tensors {
            let name = tensor.name.clone();
            match tensor.other.get() {
                None => histograms.observed.push(Observed { name, counts: counts(tensor) }),
                Some(Other::Integers) => {}
                Some(Other::Sequence) => {
                    histograms.omitted.push(Omitted { name, why: "it is no tensor: a sequence".to_owned() });
                }
            }
        }
        histograms
    }
}

/// A value that a later stage reads.
struct Live {
    id: NodeId,
    last_reader: usize,
    value: Value,
}

/// Counts one batch, for good or until it is known to be clean.
struct Counting<'a> {
    source: &'a RtenSource,
    samples: &'a [String],
    /// Where a batch may turn out not to count: its counts (in TensorRT's mode, where counts cannot be added up, all counts
    /// so far with its own).
    scratch: Option<Vec<Counts>>,
}

impl<'a> Counting<'a> {
    fn new(source: &'a RtenSource, samples: &'a [String]) -> Self {
        let start = |tensor: &Tensor| match source.mode {
            Mode::Canonical => Counts::new(Mode::Canonical),
            Mode::TensorRt => tensor.counts.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        };
        let skips = source.on_nan == OnNan::SkipImage;
        let scratch = skips.then(|| source.tensors.iter().map(start).collect());
        Self { source, samples, scratch }
    }

    /// Counts an activation. Integers and booleans are left alone.
    fn count(&mut self, tensor: usize, value: &Value) -> Result<(), SourceError> {
        let RtenSource { tensors, mode, .. } = self.source;
        let Tensor { name, counts, other, .. } = &tensors[tensor];
        let view = match value.as_view() {
            ValueView::FloatTensor(view) => view,
            value => {
                let is_sequence = matches!(value, ValueView::Sequence(_));
                other.get_or_init(|| if is_sequence { Other::Sequence } else { Other::Integers });
                return Ok(());
            }
        };
        let copy;
        let values = match view.data() {
            Some(values) => values,
            None => {
                copy = view.to_vec();
                &copy
            }
        };
        let nan = match (&mut self.scratch, counts.try_lock()) {
            (Some(scratch), _) => add(&mut scratch[tensor], values),
            (None, Ok(mut counts)) => add(&mut counts, values),
            // Another batch is at the same tensor: nobody waits while there is something to count.
            (None, Err(TryLockError::WouldBlock)) if *mode == Mode::Canonical => {
                let mut own = Counts::new(*mode);
                let nan = add(&mut own, values);
                merge(counts, &own);
                nan
            }
            (None, Err(TryLockError::WouldBlock)) => {
                add(&mut counts.lock().unwrap_or_else(PoisonError::into_inner), values)
            }
            (None, Err(TryLockError::Poisoned(counts))) => add(&mut counts.into_inner(), values),
        };
        if nan == 0 {
            return Ok(());
        }
        let first = values.iter().position(|value| value.is_nan()).unwrap_or(0);
        let samples = crate::source::samples_at(self.samples, view.shape(), first, values.len());
        Err(SourceError::NotANumber { tensor: name.clone(), count: nan, samples })
    }

    /// The batch is clean: what was held back counts.
    fn keep(self) {
        for (tensor, counted) in self.source.tensors.iter().zip(self.scratch.unwrap_or_default()) {
            match self.source.mode {
                Mode::Canonical => merge(&tensor.counts, &counted),
                Mode::TensorRt => {
                    *tensor.counts.lock().unwrap_or_else(PoisonError::into_inner) = counted;
                }
            }
        }
    }
}

/// Adds values; returns how many of them are NaN. Infinities are counted and no fault: masks are made of them.
fn add(counts: &mut Counts, values: &[f32]) -> u64 {
    let before = counts.nan();
    counts.add(values);
    counts.nan() - before
}

fn merge(counts: &Mutex<Counts>, own: &Counts) {
    let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
    counts.merge(own).expect("canonical counts can be merged");
}

fn failed(reason: String) -> SourceError {
    SourceError::Run { node: None, reason }
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
        let live = self.take_inputs(content)?;
        let mut counting = Counting::new(self, &samples);
        self.run_batch(live, &mut counting)?;
        counting.keep();
        Ok(())
    }

    fn snapshot(&self) -> Result<Histograms, SourceError> {
        Ok(self.histograms(|tensor| tensor.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()))
    }

    fn finish(self: Box<Self>) -> Result<Histograms, SourceError> {
        let taken = |tensor: &Tensor| {
            let empty = Counts::new(self.mode);
            std::mem::replace(&mut *tensor.counts.lock().unwrap_or_else(PoisonError::into_inner), empty)
        };
        Ok(self.histograms(taken))
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
        for (sizes, leading, expected) in [
            (vec![mib], 1, vec![]),
            (vec![9 * mib, mib, mib], 1, vec![(1, 3)]),
            (vec![9 * mib, mib, mib], 2, vec![(2, 3)]),
            (vec![0, 5 * mib, mib, 3 * mib, mib], 1, vec![(1, 2), (2, 4), (4, 5)]),
            (vec![0; 35], 1, vec![(1, 33), (33, 35)]),
        ] {
            let stages: Vec<_> =
                RtenSource::cut(&sizes, leading).iter().map(|stage| (stage.start, stage.end)).collect();
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
