//! What a calibration will do, decided before anything is run or written.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::Instant;

use prost::bytes::Bytes;
use serde::Serialize;
use serde_json::Value;
use trt_calib::set::{self, HistogramSet, Provenance};
use trt_calib::sidecar::{self, ModelSource, Propagate, Wanted, WantedAlgorithm, WantedDataset};
use trt_calib::{Algorithm, Digest};
use trt_dataset::{Dataset, Inputs, Sampling, Shard};
use trt_files::{self as files, ReadError};
use trt_inference::Choice;
use trt_onnx::{ExternalFile, Model, NonFinite, OnnxError, Propagation, Sharing};

use super::error::CalibrateError;
use super::job::Job;
use super::split::{self, Splits};
use super::store::{self, State};
use super::{derive, keep, saved, time};
use crate::fleet::{Chosen, FilesError};
use crate::interrupt::Interrupt;

/// A calibration with nothing left open.
#[derive(Debug)]
pub struct Plan {
    pub(super) job: Job,
    pub(super) onnx: Model,
    pub(super) model: ModelSource,
    /// The samples to count: all that were chosen, the part that `auto` calibrates with, or a shard of them.
    pub(super) dataset: Dataset,
    /// The hash over all that were chosen.
    pub(super) fingerprint: Digest,
    /// What `auto` chooses and reports with.
    pub(super) splits: Option<Splits>,
    /// Names of the activations to count, the inputs first.
    pub(super) activations: Vec<String>,
    /// Those of them that get no scale, sorted.
    pub keep: Vec<String>,
    /// Those of them with an algorithm of their own.
    pub(super) overrides: BTreeMap<String, Algorithm>,
    /// Which of them share a scale.
    pub(super) propagation: Propagation,
    /// Weights with NaN or infinities; not looked for where the model is not run.
    pub(super) not_finite_weights: Vec<NonFinite>,
    pub(super) started: Instant,
    /// What is to be done about the table that is there.
    pub state: State,
    /// Where the histograms come from.
    pub(super) counts: Counts,
}

/// Where histograms come from.
#[derive(Debug)]
pub enum Counts {
    /// The model is run.
    Run {
        /// Why saved ones do not serve, if there are any.
        although: Option<String>,
    },
    /// The model is run on what an interrupted run has left.
    Resume(Box<HistogramSet>),
    /// They were saved.
    Saved(Box<HistogramSet>),
}

/// A plan as `--dry-run` prints it.
#[derive(Debug, Serialize)]
pub struct PlanSummary {
    /// The model's name.
    pub model: String,
    /// The table; the file of histograms for a shard.
    pub table: std::path::PathBuf,
    /// `compute`, `derive` or `reuse`.
    pub action: &'static str,
    /// Why.
    pub because: Vec<String>,
    /// Samples that will be used, if all can be decoded.
    pub images: usize,
    /// Samples there are.
    pub available: usize,
    /// The shapes of the inputs during calibration, with one sample where any number goes.
    pub inputs: BTreeMap<String, Vec<u64>>,
    /// Activations to be counted.
    pub activations: usize,
    /// Weights with NaN or infinities.
    pub not_finite_weights: Vec<NonFinite>,
    /// The algorithm.
    pub algorithm: Chosen,
    /// Tensors with another one.
    pub overrides: BTreeMap<String, Algorithm>,
    /// What is to run the model.
    pub backend: Choice,
    /// The word for the algorithm in the table's header.
    pub header: String,
    /// The part of the work, if it is but a part.
    pub shard: Option<String>,
}

impl Plan {
    /// Reads the model, chooses and hashes the samples, and looks at the table and the histograms that are there.
    ///
    /// # Errors
    /// Every variant of [`CalibrateError`] that does not come from running the model or writing.
    pub fn new(job: Job, interrupt: &Interrupt) -> Result<Self, CalibrateError> {
        let started = Instant::now();
        job.check_calibrator()?;
        let failed = |source| CalibrateError::Model { path: job.onnx.clone(), source };
        let (bytes, onnx) = read_model(&job.onnx).map_err(failed)?;
        if onnx.has_qdq() {
            return Err(CalibrateError::Quantized { path: job.onnx });
        }
        let recipe = &job.recipe;
        let sources = recipe.samples.iter().map(|source| source.find()).collect::<Result<_, FilesError>>()?;
        let inputs = Inputs::resolve(&onnx, &job.shapes, sources, &job.model)?;
        let activations: Vec<String> =
            onnx.activations().into_iter().map(|activation| activation.name).collect();
        if activations.len() < 2 {
            return Err(CalibrateError::NoActivation);
        }
        let keep = keep::resolve(&job.keep, &onnx)?;
        let names: Vec<&str> = activations.iter().map(String::as_str).collect();
        let overrides = derive::overrides(&recipe.thresholds.overrides, &names)
            .map_err(|pattern| CalibrateError::Override { pattern: pattern.to_owned() })?;
        let propagation = match job.is_by_tensorrt() {
            true => Propagation::default(),
            false => shared(&onnx, recipe.thresholds.propagate),
        };
        let model = model_source(&job.onnx, &bytes, &onnx)?;
        interrupt.check()?;
        let sampling =
            Sampling { count: recipe.count, seed: recipe.seed, shard: None, pairing: recipe.pairing };
        let cancelled = || interrupt.is_raised();
        let dataset = Dataset::choose(inputs, sampling, &cancelled)?;
        let fingerprint = dataset.fingerprint();
        let mut plan = Self {
            job,
            onnx,
            model,
            dataset,
            fingerprint,
            splits: None,
            activations,
            keep,
            overrides,
            propagation,
            not_finite_weights: Vec::new(),
            started,
            state: State::Missing,
            counts: Counts::Run { although: None },
        };
        if plan.job.shard.is_none() {
            plan.state = store::state(&plan.job.recipe.output, plan.wanted()?, plan.job.force)?;
        }
        plan.divide(interrupt)?;
        plan.counts = plan.counts()?;
        if !matches!((&plan.state, &plan.counts), (State::UpToDate(_), _) | (_, Counts::Saved(_))) {
            // What cannot be read of them, running the model tells.
            plan.not_finite_weights = trt_onnx::nonfinite_weights(&plan.onnx).unwrap_or_default();
        }
        Ok(plan)
    }

    /// Takes the part of the chosen samples that is to be counted.
    fn divide(&mut self, interrupt: &Interrupt) -> Result<(), CalibrateError> {
        let recipe = &self.job.recipe;
        let is_auto = recipe.thresholds.algorithm == Chosen::Auto;
        match self.job.shard {
            Some(_) if is_auto => return Err(CalibrateError::AutoShard),
            Some(shard) => self.dataset = part(&self.dataset, shard)?,
            // Looking at every sample takes a while, and where nothing is to be done nothing is to be divided.
            None if is_auto && !matches!(self.state, State::UpToDate(_)) => {
                let (calibration, splits) =
                    split::split(&self.dataset, recipe.seed, &|| interrupt.is_raised())?;
                (self.dataset, self.splits) = (calibration, Some(splits));
            }
            None => {}
        }
        Ok(())
    }

    /// Looks at the histograms that are there.
    fn counts(&self) -> Result<Counts, CalibrateError> {
        if self.job.is_by_tensorrt() {
            return Ok(Counts::Run { although: None });
        }
        if self.job.resume {
            return self.resumed();
        }
        let is_run = self.job.shard.is_some() || !matches!(self.state, State::Missing | State::Stale { .. });
        let Some(path) = self.job.recipe.histograms.as_ref().filter(|_| !is_run) else {
            return Ok(Counts::Run { although: None });
        };
        // What cannot be read is made anew, like everything else that can be.
        let why = match saved::find(path) {
            Ok(None) => return Ok(Counts::Run { although: None }),
            Err(error) => error.to_string(),
            Ok(Some(found)) => match saved::misfit(&found, &self.empty_set()?, self.dataset.images(), true) {
                None => return Ok(Counts::Saved(Box::new(found))),
                Some(why) => why.to_owned(),
            },
        };
        Ok(Counts::Run { although: Some(format!("{}: {why}", path.display())) })
    }

    /// What an interrupted run has left.
    fn resumed(&self) -> Result<Counts, CalibrateError> {
        let path = self.checkpoint().ok_or(CalibrateError::NotKept { what: "`--resume`" })?;
        if self.job.recipe.running.histogram != trt_calib::Mode::Canonical {
            return Err(CalibrateError::Unmergeable { what: "`--resume`" });
        }
        let Some(found) = saved::find(&path)? else { return Ok(Counts::Run { although: None }) };
        match saved::misfit(&found, &self.empty_set()?, self.dataset.images(), false) {
            None => Ok(Counts::Resume(Box::new(found))),
            Some(why) => Err(CalibrateError::OtherHistograms { path, why: why.to_owned() }),
        }
    }

    /// Where histograms are written, if they are.
    pub(super) fn histograms(&self) -> Option<std::path::PathBuf> {
        match self.job.shard {
            _ if self.job.is_by_tensorrt() => None,
            Some(shard) => Some(saved::shard_of(&self.job.recipe.output, shard)),
            None => self.job.recipe.histograms.clone(),
        }
    }

    /// Where an interrupted run leaves what it has counted.
    pub(super) fn checkpoint(&self) -> Option<std::path::PathBuf> {
        self.histograms().map(|path| saved::checkpoint_of(&path))
    }

    /// The plan for people and programs.
    pub fn summary(&self) -> PlanSummary {
        let recipe = &self.job.recipe;
        let (mut action, mut because) = match &self.state {
            _ if self.job.shard.is_some() => ("compute", Vec::new()),
            State::Missing => ("compute", vec!["there is no table yet".to_owned()]),
            State::UpToDate(_) => ("reuse", vec!["the table is up to date".to_owned()]),
            State::Stale { reasons, .. } => ("compute", reasons.clone()),
            State::Forced(why) => ("compute", vec![format!("`--force`, although: {why}")]),
        };
        match &self.counts {
            _ if action == "reuse" => {}
            Counts::Run { although: None } => {}
            Counts::Run { although: Some(why) } => {
                because.push(format!("saved histograms do not serve: {why}"));
            }
            Counts::Resume(found) => {
                because.push(format!("{} samples were counted before", found.provenance.dataset.count));
            }
            Counts::Saved(_) => {
                action = "derive";
                because.push("the histograms are saved and up to date".to_owned());
            }
        }
        PlanSummary {
            model: self.job.label(),
            table: match self.job.shard {
                Some(shard) => saved::shard_of(&recipe.output, shard),
                None => recipe.output.clone(),
            },
            action,
            because,
            images: self.dataset.len(),
            available: self.dataset.available(),
            inputs: self.dataset.inputs().recorded_shapes(),
            activations: self.activations.len(),
            not_finite_weights: self.not_finite_weights.clone(),
            algorithm: recipe.thresholds.algorithm,
            overrides: self.overrides.clone(),
            backend: recipe.running.backend,
            header: self.algorithm().table_algorithm().word().to_owned(),
            shard: self.job.shard.map(|shard| shard.to_string()),
        }
    }

    /// The algorithm that is asked for; the default's header word serves for whatever `auto` chooses.
    fn algorithm(&self) -> Algorithm {
        match self.job.recipe.thresholds.algorithm {
            Chosen::Of(algorithm) => algorithm,
            Chosen::Auto => Algorithm::default(),
        }
    }

    /// What a table must have been made of to be up to date.
    fn wanted(&self) -> Result<Wanted, CalibrateError> {
        let Provenance { model, preprocessing, shapes, dataset, .. } = self.empty_set()?.provenance;
        let thresholds = &self.job.recipe.thresholds;
        Ok(Wanted {
            // Filled in from the file that is there.
            table: Digest::of(b""),
            model,
            dataset: Some(WantedDataset {
                requested: dataset.requested,
                seed: dataset.seed,
                fingerprint: dataset.fingerprint,
            }),
            preprocessing,
            shapes,
            algorithm: match thresholds.algorithm {
                Chosen::Auto => WantedAlgorithm::Auto,
                Chosen::Of(algorithm) => algorithm.into(),
            },
            overrides: self.overrides.clone(),
            params: self.params()?,
            mode: self.job.mode(),
            propagate: thresholds.propagate,
            by_tensorrt: self.job.is_by_tensorrt(),
            keep: self.keep.clone(),
        })
    }

    /// The parameters of the entropy search, where any tensor may take them.
    pub(super) fn params(&self) -> Result<Value, CalibrateError> {
        let thresholds = &self.job.recipe.thresholds;
        let takes = match thresholds.algorithm {
            Chosen::Auto => true,
            Chosen::Of(algorithm) => algorithm.takes_entropy_params(),
        };
        if self.job.is_by_tensorrt() {
            return Ok(Value::Null);
        }
        params(takes || self.overrides.values().any(|other| other.takes_entropy_params()), thresholds.entropy)
    }

    /// The set that counting would begin with: everything but counts.
    pub(super) fn empty_set(&self) -> Result<HistogramSet, CalibrateError> {
        let recipe = &self.job.recipe;
        let shard = |shard: Shard| set::Shard { index: shard.index() as u32, of: shard.of() as u32 };
        Ok(HistogramSet {
            provenance: Provenance {
                tool_versions: vec![env!("CARGO_PKG_VERSION").to_owned()],
                created: time::now(),
                model: self.model.clone(),
                preprocessing: preprocessing(self.dataset.inputs())?,
                shapes: self.dataset.inputs().recorded_shapes(),
                dataset: sidecar::Dataset {
                    count: 0,
                    requested: u64::from(recipe.count),
                    seed: recipe.seed,
                    fingerprint: self.fingerprint,
                    images: Vec::new(),
                    skipped: Vec::new(),
                },
                shards: self.job.shard.map(shard).into_iter().collect(),
                backends: Vec::new(),
                batch: self.batch(),
            },
            mode: self.job.mode(),
            tensors: Vec::new(),
            omitted: Vec::new(),
        })
    }
}

/// The shard's part of the chosen samples: every n-th. All of them were hashed, since all of them make the fingerprint.
fn part(dataset: &Dataset, shard: Shard) -> Result<Dataset, CalibrateError> {
    let positions: Vec<usize> =
        (0..dataset.len()).filter(|at| at % shard.of() == shard.index() - 1).collect();
    match positions.is_empty() {
        true => {
            let (shard, chosen) = (shard.to_string(), dataset.len());
            Err(trt_dataset::DatasetError::EmptyShard { shard, chosen }.into())
        }
        false => Ok(dataset.subset(&positions)),
    }
}

/// The activations that share a scale.
pub fn shared(model: &Model, propagate: Propagate) -> Propagation {
    match propagate {
        Propagate::None => Propagation::default(),
        Propagate::Copies => trt_onnx::propagation(model, Sharing::default()),
        Propagate::All => trt_onnx::propagation(model, Sharing::ALL),
    }
}

/// What provenance records of the entropy search: null where no tensor takes its parameters.
pub fn params(taken: bool, params: trt_calib::EntropyParams) -> Result<Value, CalibrateError> {
    let unrecorded = |source| CalibrateError::Provenance { source };
    if taken { serde_json::to_value(params).map_err(unrecorded) } else { Ok(Value::Null) }
}

/// All that decides how a sample becomes tensors: the pipeline of the only input, or what each of several gets.
fn preprocessing(inputs: &Inputs) -> Result<Value, CalibrateError> {
    let unrecorded = |source| CalibrateError::Provenance { source };
    let one = |input: &trt_dataset::Input| match &input.pipeline {
        Some(pipeline) => serde_json::to_value(pipeline).map_err(unrecorded),
        None => Ok(Value::String("arrays".to_owned())),
    };
    match inputs.inputs.as_slice() {
        [input] => one(input),
        several => several.iter().map(|input| Ok((input.name.clone(), one(input)?))).collect(),
    }
}

/// What identifies a model.
///
/// # Errors
/// [`CalibrateError::Read`] for its external data.
pub fn model_source(path: &Path, bytes: &[u8], onnx: &Model) -> Result<ModelSource, CalibrateError> {
    Ok(ModelSource {
        file: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        hash: Digest::of(bytes),
        external: hash_external(folder_of(path), &onnx.external_files())?,
    })
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
