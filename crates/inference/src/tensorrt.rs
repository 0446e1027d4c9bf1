//! Tables by TensorRT's own calibrator: what the other sources and an algorithm do, in one piece and out of sight.
//!
//! A [`TableSource`] gives a table. The usual one is a [`HistogramSource`](crate::HistogramSource) with an algorithm, which
//! the host puts together, since its histograms can be kept, merged and looked at. [`TensorRt`] is the other one: a desktop
//! TensorRT 8 or 10 that runs the network on samples in GPU memory and decides by itself. TensorRT 11 and RTX have no
//! calibrators.
//!
//! What is proven: every call and every callback, on a recorder library in TensorRT's place and a stub in CUDA's. What is
//! not: a table by a real TensorRT.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use nvinfer::{
    Batches, Builder, BuilderFlag, Calibrator, CalibratorClass, DeviceMemory, Family, Library, SearchPath,
    ShapeRange, Typing,
};
use trt_calib::{Algorithm, CalibrationTable};
use trt_cuda::{Buffer, Context};

use crate::{Backend, Batch, Content, SourceError, Tensor, Values};

/// What gives the next batch, and `None` after the last one. All batches have the shape of the first.
pub type Supply = Box<dyn FnMut() -> Result<Option<Batch>, SourceError> + Send>;

/// Gives a calibration table for a model.
pub trait TableSource {
    /// What runs the model.
    fn backend(&self) -> Backend;

    /// Runs all batches and decides on a scale for each tensor.
    ///
    /// # Errors
    /// [`SourceError`].
    fn table(&mut self, batches: Supply) -> Result<CalibrationTable, SourceError>;
}

/// TensorRT 8 or 10 on this machine, with its own calibrator.
///
/// A process can load one TensorRT, and a defect of it ends the process.
#[derive(Debug)]
pub struct TensorRt {
    library: Library,
    context: Context,
    onnx: PathBuf,
    class: CalibratorClass,
    quantile: f64,
    cutoff: f64,
}

impl TensorRt {
    /// Whether TensorRT has a calibrator of this algorithm.
    pub fn has(algorithm: Algorithm) -> bool {
        class_of(algorithm).is_some()
    }

    /// Loads TensorRT, to calibrate the model of an ONNX file on a GPU by its number.
    ///
    /// # Errors
    /// [`SourceError::Unsupported`] for TensorRT 11 and RTX, and for algorithms that TensorRT has not got;
    /// [`SourceError::Load`] if there is no TensorRT, or no GPU.
    pub fn open(
        search: &SearchPath,
        device: u32,
        onnx: &Path,
        algorithm: Algorithm,
    ) -> Result<Self, SourceError> {
        let Some((class, quantile, cutoff)) = class_of(algorithm) else {
            return Err(unsupported(format!("TensorRT has no calibrator for `{algorithm}`")));
        };
        let library = Library::open(search).map_err(load)?;
        if !matches!(library.version().family, Family::V8 | Family::V10) {
            return Err(unsupported(format!("TensorRT {} has no calibrators any more", library.version())));
        }
        let context = Context::primary(device).map_err(load)?;
        Ok(Self { library, context, onnx: onnx.to_owned(), class, quantile, cutoff })
    }
}

/// TensorRT's calibrator of an algorithm, with quantile and cutoff.
fn class_of(algorithm: Algorithm) -> Option<(CalibratorClass, f64, f64)> {
    match algorithm {
        Algorithm::EntropyCalibration2 => Some((CalibratorClass::Entropy2, 1.0, 1.0)),
        Algorithm::EntropyCalibration => Some((CalibratorClass::Entropy, 1.0, 1.0)),
        Algorithm::MinMax => Some((CalibratorClass::MinMax, 1.0, 1.0)),
        Algorithm::Legacy(legacy) => {
            Some((CalibratorClass::Legacy, legacy.quantile.get(), legacy.cutoff.get()))
        }
        _ => None,
    }
}

impl TableSource for TensorRt {
    fn backend(&self) -> Backend {
        let calibrator = format!("{:?}", self.class);
        let settings = vec![("calibrator", calibrator)];
        let version = self.library.version();
        let version = format!("{}.{}.{}", version.major, version.minor, version.patch);
        Backend { name: "tensorrt", version, settings }
    }

    fn table(&mut self, mut batches: Supply) -> Result<CalibrationTable, SourceError> {
        self.context.bind().map_err(run)?;
        let first = batches()?.ok_or_else(|| run("there are no samples"))?;
        let shapes = shapes(&first)?;
        let builder = Builder::new(&self.library).map_err(load)?;
        let mut network = builder.create_network(Typing::Weak).map_err(load)?;
        network.parse_file(&self.onnx).map_err(load)?;
        let mut config = builder.create_config().map_err(load)?;
        config.set_flag(BuilderFlag::Int8, true).map_err(run)?;
        // TensorRT calibrates at the optimal shapes of a profile: here the only ones.
        let mut profile = builder.create_profile().map_err(load)?;
        for input in network.inputs().map_err(load)? {
            let shape = shapes.get(&input.name).ok_or_else(|| missing(&input.name))?;
            let fits = shape.len() == input.shape.len()
                && input.shape.iter().zip(shape).all(|(own, side)| *own < 0 || own == side);
            if !fits {
                let reason = format!("it takes {:?}, and gets: {shape:?}", input.shape);
                return Err(SourceError::Input { name: input.name, reason });
            }
            let range = ShapeRange { min: shape.clone(), opt: shape.clone(), max: shape.clone() };
            profile.set(&input.name, &range).map_err(run)?;
        }
        config.add_profile(&profile).map_err(run)?;
        config.set_calibration_profile(&profile).map_err(run)?;
        let failed = Failed::default();
        let feed = Feed {
            context: self.context.clone(),
            shapes,
            next: Some(first),
            batches,
            memory: BTreeMap::new(),
            failed: failed.clone(),
        };
        let calibrator = Calibrator::feeding(self.class, self.quantile, self.cutoff, feed);
        config.set_calibrator(&calibrator).map_err(run)?;
        let built = builder.build(&network, &config);
        // What kept a batch from TensorRT says more than what TensorRT makes of it.
        if let Some(error) = failed.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Err(error);
        }
        // A table that was written is complete, even if no engine came of it.
        let Some(table) = calibrator.written() else {
            built.map_err(run)?;
            return Err(run("TensorRT built an engine and wrote no calibration table"));
        };
        CalibrationTable::parse(&table).map_err(|error| run(format!("TensorRT's calibration table: {error}")))
    }
}

/// Why there was no next batch, if it was not the end.
type Failed = Arc<Mutex<Option<SourceError>>>;

/// Puts batches into device memory.
struct Feed {
    context: Context,
    shapes: BTreeMap<String, Vec<i64>>,
    next: Option<Batch>,
    batches: Supply,
    memory: BTreeMap<String, Buffer>,
    failed: Failed,
}

impl Feed {
    /// Uploads the next batch; false after the last one.
    fn advance(&mut self, inputs: &[&str]) -> Result<bool, SourceError> {
        let next = match self.next.take() {
            Some(first) => Some(first),
            None => (self.batches)()?,
        };
        let Some(batch) = next else { return Ok(false) };
        for (name, shape) in shapes(&batch)? {
            if self.shapes.get(&name) != Some(&shape) {
                let reason = format!("all batches must have the shape of the first, and one has: {shape:?}");
                return Err(SourceError::Input { name, reason });
            }
        }
        for tensor in tensors(&batch)? {
            let bytes = bytes(tensor)?;
            if !self.memory.contains_key(&tensor.name) {
                let buffer = Buffer::new(&self.context, bytes.len()).map_err(run)?;
                self.memory.insert(tensor.name.clone(), buffer);
            }
            if let Some(buffer) = self.memory.get_mut(&tensor.name) {
                buffer.write(&bytes).map_err(run)?;
            }
        }
        match inputs.iter().find(|name| !self.memory.contains_key(**name)) {
            Some(name) => Err(missing(name)),
            None => Ok(true),
        }
    }
}

impl Batches for Feed {
    fn next(&mut self, inputs: &[&str]) -> Option<Vec<&dyn DeviceMemory>> {
        match self.advance(inputs) {
            Ok(true) => {
                let memory = |name: &&str| self.memory.get(*name).map(|buffer| buffer as &dyn DeviceMemory);
                inputs.iter().map(memory).collect()
            }
            Ok(false) => None,
            Err(error) => {
                *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                None
            }
        }
    }
}

fn tensors(batch: &Batch) -> Result<&[Tensor], SourceError> {
    match &batch.content {
        Content::Tensors(tensors) => Ok(tensors),
        Content::Pictures(_) => Err(run("TensorRT takes tensors, not pictures")),
    }
}

fn shapes(batch: &Batch) -> Result<BTreeMap<String, Vec<i64>>, SourceError> {
    let shape = |tensor: &Tensor| tensor.shape.iter().map(|side| *side as i64).collect();
    Ok(tensors(batch)?.iter().map(|tensor| (tensor.name.clone(), shape(tensor))).collect())
}

/// A tensor as TensorRT's calibrator takes it.
fn bytes(tensor: &Tensor) -> Result<Vec<u8>, SourceError> {
    match &tensor.values {
        Values::F32(values) => Ok(values.iter().flat_map(|value| value.to_ne_bytes()).collect()),
        Values::I32(values) => Ok(values.iter().flat_map(|value| value.to_ne_bytes()).collect()),
        _ => Err(SourceError::Input {
            name: tensor.name.clone(),
            reason: "TensorRT calibrates with 32-bit floats and integers only".to_owned(),
        }),
    }
}

fn missing(name: &str) -> SourceError {
    SourceError::Input { name: name.to_owned(), reason: "the samples have nothing for it".to_owned() }
}

fn unsupported(reason: String) -> SourceError {
    SourceError::Unsupported { node: None, reason }
}

fn load(error: impl Display) -> SourceError {
    SourceError::Load { node: None, reason: error.to_string() }
}

fn run(error: impl Display) -> SourceError {
    SourceError::Run { node: None, reason: error.to_string() }
}
