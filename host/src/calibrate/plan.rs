//! What a calibration will do, decided before anything is run or written.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::Instant;

use prost::Message as _;
use prost::bytes::Bytes;
use serde::Serialize;
use trt_calib::sidecar::{self, Backend, ModelSource, Sidecar, Skipped, Wanted, WantedDataset};
use trt_calib::{Algorithm, CalibrationTable, Digest, EntropyParams};
use trt_imaging::decode;
use trt_inference::rten::{Prepared, RtenSource};
use trt_inference::{HistogramSource as _, Settings, SourceError};
use trt_onnx::proto::ModelProto;
use trt_onnx::{ExternalFile, Model, OnnxError};

use super::count::{Rules, Tally, count};
use super::dataset::Dataset;
use super::derive::{Derived, derive};
use super::error::CalibrateError;
use super::input::ImageInput;
use super::job::Job;
use super::keep;
use super::report::Report;
use super::store::{self, State};
use super::{Event, Events, time};
use trt_files::{self as files, ReadError};
use crate::interrupt::Interrupt;

/// A calibration with nothing left open.
#[derive(Debug)]
pub struct Plan {
    job: Job,
    input: ImageInput,
    dataset: Dataset,
    model: ModelSource,
    /// The model file, until it is loaded.
    bytes: Bytes,
    external: Vec<ExternalFile>,
    /// Names of the activations to count, the input first.
    activations: Vec<String>,
    /// Those of them that get no scale, sorted.
    pub keep: Vec<String>,
    subgraph_nodes: usize,
    started: Instant,
    /// What is to be done about the table that is there.
    pub state: State,
}

/// A plan as `--dry-run` prints it.
#[derive(Debug, Serialize)]
pub struct PlanSummary {
    /// The model's name.
    pub model: String,
    /// The table.
    pub table: std::path::PathBuf,
    /// `compute` or `reuse`.
    pub action: &'static str,
    /// Why.
    pub because: Vec<String>,
    /// Images that will be used, if all can be decoded.
    pub images: usize,
    /// Images there are.
    pub available: usize,
    /// The input's name.
    pub input: String,
    /// Its shape during calibration, with one image where any number goes.
    pub shape: Vec<u64>,
    /// Activations to be counted.
    pub activations: usize,
    /// The algorithm.
    pub algorithm: Algorithm,
}

impl Plan {
    /// Reads the model, chooses and hashes the images, and looks at the table that is there.
    ///
    /// # Errors
    /// Every variant of [`CalibrateError`] that does not come from running the model or writing.
    pub fn new(job: Job, interrupt: &Interrupt) -> Result<Self, CalibrateError> {
        let started = Instant::now();
        let failed = |source| CalibrateError::Model { path: job.onnx.clone(), source };
        let (bytes, onnx) = read_model(&job.onnx).map_err(failed)?;
        if onnx.has_qdq() {
            return Err(CalibrateError::Quantized { path: job.onnx });
        }
        let input = ImageInput::resolve(&onnx, &job.shapes, &job.preprocess, &job.model)?;
        let activations: Vec<String> =
            onnx.activations().into_iter().map(|activation| activation.name).collect();
        if activations.len() < 2 {
            return Err(CalibrateError::NoActivation);
        }
        let keep = keep::resolve(&job.keep, &onnx)?;
        let external = onnx.external_files();
        let model = ModelSource {
            file: job.onnx.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            hash: Digest::of(&bytes),
            external: hash_external(folder_of(&job.onnx), &external)?,
        };
        let subgraph_nodes = onnx.subgraph_nodes();
        drop(onnx);
        interrupt.check()?;
        let dataset = Dataset::choose(&job.images, job.count, job.seed, interrupt)?;
        let mut plan = Self {
            job,
            input,
            dataset,
            model,
            bytes,
            external,
            activations,
            keep,
            subgraph_nodes,
            started,
            state: State::Missing,
        };
        plan.state = store::state(&plan.job.output, plan.wanted()?, plan.job.force)?;
        Ok(plan)
    }

    /// The plan for people and programs.
    pub fn summary(&self) -> PlanSummary {
        let (action, because) = match &self.state {
            State::Missing => ("compute", vec!["there is no table yet".to_owned()]),
            State::UpToDate(_) => ("reuse", vec!["the table is up to date".to_owned()]),
            State::Stale { reasons, .. } => ("compute", reasons.clone()),
            State::Forced(why) => ("compute", vec![format!("`--force`, although: {why}")]),
        };
        PlanSummary {
            model: self.job.label(),
            table: self.job.output.clone(),
            action,
            because,
            images: self.dataset.files.len(),
            available: self.job.images.len(),
            input: self.input.name.clone(),
            shape: self.input.recorded_shape(),
            activations: self.activations.len(),
            algorithm: self.job.algorithm,
        }
    }

    /// Makes the table and writes it, whatever was there.
    ///
    /// # Errors
    /// What running the model, the images and writing can cause. Nothing is written then.
    pub fn execute(
        self,
        events: &Events<'_>,
        interrupt: &Interrupt,
    ) -> Result<(CalibrationTable, Report), CalibrateError> {
        let source = self.source()?;
        let (backend, version) = (source.backend().name.to_owned(), source.backend().version);
        let rules =
            Rules { batch: self.job.batch as usize, max_undecodable: self.job.max_undecodable, decode };
        let counting = Instant::now();
        let tally = count(&source, &self.dataset.files, &self.input, rules, events, interrupt)?;
        let counting_seconds = counting.elapsed().as_secs_f64();
        let histograms = Box::new(source).finish()?;
        interrupt.check()?;
        events(Event::Thresholds { tensors: histograms.observed.len() });
        let derived = derive(histograms, self.job.algorithm, self.job.version, &self.keep)?;
        interrupt.check()?;

        let bytes = derived.table.write();
        let skipped = self.skipped(&tally);
        let mut report = Report {
            algorithm: self.job.algorithm,
            backend: format!("{backend} {version}"),
            requested: u64::from(self.job.count),
            available: self.job.images.len(),
            used: tally.used.len(),
            skipped: skipped.clone(),
            left_over: tally.left_over.len(),
            notes: tally.notes.clone(),
            with_scale: derived.tensors.len(),
            without_scale: derived.without_scale.clone(),
            with_infinities: derived.with_infinities,
            subgraph_nodes: self.subgraph_nodes,
            counting_seconds,
            seconds: 0.0,
        };
        let Derived { table, tensors, without_scale, .. } = derived;
        let wanted = self.wanted()?;
        let sidecar = Sidecar {
            format: sidecar::FORMAT,
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
            created: time::now(),
            table: Digest::of(&bytes),
            model: wanted.model,
            dataset: self.dataset_record(&tally, skipped),
            preprocessing: wanted.preprocessing,
            shapes: wanted.shapes,
            batch: self.input.fixed_batch.map_or(self.job.batch, |batch| batch as u32),
            algorithm: wanted.algorithm,
            params: wanted.params,
            backend: Backend { name: backend, version },
            tensors,
            without_scale,
            keep: wanted.keep,
        };
        store::write(&self.job.output, &bytes, &sidecar, self.state.replaced())?;
        report.seconds = self.started.elapsed().as_secs_f64();
        Ok((table, report))
    }

    /// Gets the backend ready.
    fn source(&self) -> Result<RtenSource, SourceError> {
        let malformed =
            |error: prost::DecodeError| SourceError::Load { node: None, reason: error.to_string() };
        let proto = ModelProto::decode(self.bytes.clone()).map_err(malformed)?;
        let prepared = Prepared::load(proto, folder_of(&self.job.onnx), &self.external, &self.activations)?;
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(RtenSource::new(prepared, &Settings { threads, ..Settings::default() }))
    }

    /// What a table must have been made of to be up to date.
    fn wanted(&self) -> Result<Wanted, CalibrateError> {
        let unrecorded = |source| CalibrateError::Provenance { source };
        Ok(Wanted {
            // Filled in from the file that is there.
            table: Digest::of(b""),
            model: self.model.clone(),
            dataset: Some(WantedDataset {
                requested: u64::from(self.job.count),
                seed: self.job.seed,
                fingerprint: self.dataset.fingerprint,
            }),
            preprocessing: serde_json::to_value(&self.input.pipeline).map_err(unrecorded)?,
            shapes: BTreeMap::from([(self.input.name.clone(), self.input.recorded_shape())]),
            algorithm: self.job.algorithm,
            params: match self.job.algorithm {
                Algorithm::EntropyCalibration2 => {
                    serde_json::to_value(EntropyParams::default()).map_err(unrecorded)?
                }
                _ => serde_json::Value::Null,
            },
            keep: self.keep.clone(),
        })
    }

    fn skipped(&self, tally: &Tally) -> Vec<Skipped> {
        let name = |at: &usize| self.dataset.images[*at].name.clone();
        let broken =
            tally.undecodable.iter().map(|(at, error)| Skipped { name: name(at), reason: error.to_string() });
        broken.collect()
    }

    fn dataset_record(&self, tally: &Tally, mut skipped: Vec<Skipped>) -> sidecar::Dataset {
        skipped.extend(tally.left_over.iter().map(|at| Skipped {
            name: self.dataset.images[*at].name.clone(),
            reason: "it fills no batch of the model's fixed size".to_owned(),
        }));
        sidecar::Dataset {
            count: tally.used.len() as u64,
            requested: u64::from(self.job.count),
            seed: self.job.seed,
            fingerprint: self.dataset.fingerprint,
            images: tally.used.iter().map(|at| self.dataset.images[*at].clone()).collect(),
            skipped,
        }
    }
}

/// Reads and validates a model; its weights share memory with the bytes.
pub fn read_model(path: &Path) -> Result<(Bytes, Model), OnnxError> {
    let read = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => OnnxError::NotFound { path: path.to_owned() },
        _ => OnnxError::Read { path: path.to_owned(), source },
    };
    // No protobuf message is larger.
    let bytes = files::read_capped(path, i32::MAX as u64).map_err(|error| match error {
        ReadError::TooLarge { bytes, .. } => OnnxError::TooLarge { bytes },
        ReadError::Io(source) => read(source),
    })?;
    let bytes = Bytes::from(bytes);
    let model = Model::from_bytes(bytes.clone(), Some(folder_of(path)))?;
    Ok((bytes, model))
}

/// The hash of each external data file, by its path in the model's folder.
pub fn hash_external(
    folder: &Path,
    external: &[ExternalFile],
) -> Result<BTreeMap<String, Digest>, CalibrateError> {
    let hash = |file: &ExternalFile| {
        let path = folder.join(&file.path);
        let (_, hash) = files::hash(&path).map_err(|source| CalibrateError::Read { path, source })?;
        Ok((file.path.to_string_lossy().into_owned(), hash))
    };
    external.iter().map(hash).collect()
}

/// The folder that a file lies in.
pub fn folder_of(file: &Path) -> &Path {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
