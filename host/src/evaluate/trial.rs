//! An evaluation: which samples, with which table, and what comes of it.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;

use serde::Serialize;
use trt_calib::table::Entry;
use trt_calib::{CalibrationTable, Sidecar};
use trt_dataset::{Dataset, Inputs, Pairing, Sampling};
use trt_evaluate::{
    EvaluateError, Evaluation, Evaluator, Findings, LabelError, Labels, Rescue, RescueOptions, Samples as _,
    Settings, Study, Target, TensorLoss, find, rank_tensors, rescue, side_by_side,
};
use trt_files::read_capped;
use trt_inference::{Network, SourceError};
use trt_onnx::Model;

use super::bench::{Bench, settings, simulated};
use super::samples::DatasetSamples;
use crate::calibrate::{CalibrateError, Job, derive, folder_of, read_model, split, store};
use crate::fleet::{self, Calibration, Chosen, FilesError, Recipe, Running};
use crate::interrupt::Interrupt;

/// How many samples tell which tensors lose most, and in which order a rescue tries.
const PROBED: usize = 4;

/// What an evaluation needs, with nothing left open.
#[derive(Debug)]
pub struct Trial {
    /// The model's name.
    pub name: String,
    /// The table.
    pub path: PathBuf,
    /// What lies there.
    pub table: CalibrationTable,
    /// Its provenance.
    pub sidecar: Option<Sidecar>,
    /// The model.
    pub onnx: Model,
    folder: PathBuf,
    running: Running,
    /// The samples.
    pub dataset: Dataset,
    /// What they are, for people.
    pub about: String,
    /// Whether calibration has seen them.
    pub seen: bool,
    labels: Option<Labels>,
    settings: Settings,
    count: Option<u32>,
}

/// What is to be looked at beside the figures.
#[derive(Debug, Default)]
pub struct Wish {
    /// How many of the worst tensors are named.
    pub rank: usize,
    /// What is to hold.
    pub rescue: Option<Target>,
    /// How many samples are drawn.
    pub pictures: usize,
}

/// What came of it.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// The model's name.
    pub model: String,
    /// The table.
    pub table: PathBuf,
    /// What the samples are.
    pub about: String,
    /// Why the networks ran on what they ran on.
    pub because: Vec<String>,
    /// The figures.
    pub evaluation: Evaluation,
    /// What loses most.
    pub ranking: Vec<TensorLoss>,
    /// What to keep.
    pub rescue: Option<Rescue>,
    /// Pictures, by the names of their samples.
    #[serde(skip)]
    pub pictures: Vec<(String, Vec<u8>)>,
}

fn labels(labels: &fleet::Labels) -> Result<Labels, LabelError> {
    match labels {
        fleet::Labels::Folders(path) => Labels::folders(path, &[]),
        fleet::Labels::Csv(path) => Labels::csv(path, &[]),
        fleet::Labels::Coco(path) => Labels::coco(path, &[]),
        fleet::Labels::Masks(path) => Labels::masks(path),
    }
}

impl Trial {
    /// Reads the model and the table, and chooses the samples.
    ///
    /// # Errors
    /// As for a calibration's plan; labels that cannot be read.
    pub fn new(model: &fleet::Model, count: Option<u32>, interrupt: &Interrupt) -> anyhow::Result<Self> {
        let failed = |source| CalibrateError::Model { path: model.onnx.clone(), source };
        let (_, onnx) = read_model(&model.onnx).map_err(failed)?;
        let (path, recipe) = match &model.calibration {
            None => return Err(CalibrateError::NoCalibration { model: model.name.to_string() }.into()),
            Some(Calibration::Table(path)) => (path.clone(), None),
            Some(Calibration::Recipe(recipe)) => (recipe.output.clone(), Some(&**recipe)),
        };
        let found = store::read(&path)?;
        let sidecar = found.sidecar.ok().filter(|sidecar| sidecar.table == found.digest);
        let evaluation = model.evaluation.clone().unwrap_or_default();
        let (dataset, about, seen) = choose(model, &onnx, recipe, &evaluation, sidecar.as_ref(), interrupt)?;
        let settings = settings(&onnx, &evaluation, dataset.inputs().pipeline());
        Ok(Self {
            name: model.name.to_string(),
            path,
            table: found.table,
            sidecar,
            folder: folder_of(&model.onnx).to_owned(),
            running: recipe.map(|recipe| recipe.running.clone()).unwrap_or_default(),
            labels: evaluation.labels.as_ref().map(labels).transpose()?,
            count: count.or(evaluation.count),
            settings,
            onnx,
            dataset,
            about,
            seen,
        })
    }

    /// Runs it.
    ///
    /// # Errors
    /// [`EvaluateError`].
    pub fn run(&self, wish: &Wish) -> Result<Outcome, EvaluateError> {
        let bench = Bench { folder: &self.folder, running: &self.running };
        let opened =
            bench.open(&self.onnx).map_err(|source| EvaluateError::Open { which: "FP32", source })?;
        let (fp32, because) = (opened.what, opened.because);
        let open = |model: &Model| -> Result<Box<dyn Network>, SourceError> {
            bench.open(model).map(|opened| opened.what)
        };
        let kept =
            self.sidecar.iter().flat_map(|sidecar| sidecar.keep.iter().chain(&sidecar.rescued)).cloned();
        let study = Study { model: &self.onnx, options: simulated(kept.collect()), open: &open };
        let scales = derive::scales(&self.table);
        let samples = DatasetSamples::new(&self.dataset, self.labels.as_ref(), self.count);
        let evaluator = Evaluator::new(&*fp32, &samples, &self.settings);
        let (int8, _) = study.int8(&scales)?;
        let evaluation = evaluator.run(&*int8)?.evaluation;
        let ranking = match wish.rank {
            0 => Vec::new(),
            _ => rank_tensors(&study, &scales, &evaluator, PROBED)?,
        };
        let rescue = match wish.rescue {
            Some(target) => {
                let probe = Evaluator::new(&*fp32, &samples, &self.settings).first(PROBED);
                Some(rescue(&study, &scales, &probe, &evaluator, target, &RescueOptions::default())?)
            }
            None => None,
        };
        let pictures = self.pictures(wish.pictures, &samples, &*fp32, &*int8)?;
        Ok(Outcome {
            model: self.name.clone(),
            table: self.path.clone(),
            about: self.about.clone(),
            because,
            evaluation,
            ranking,
            rescue,
            pictures,
        })
    }

    fn pictures(
        &self,
        count: usize,
        samples: &DatasetSamples<'_>,
        fp32: &dyn Network,
        int8: &dyn Network,
    ) -> Result<Vec<(String, Vec<u8>)>, EvaluateError> {
        let mut drawn = Vec::new();
        let Some(task) = &self.settings.task else { return Ok(drawn) };
        let classes = self.labels.as_ref().map_or(&[][..], Labels::classes);
        for index in 0..samples.len().min(count) {
            let Some(path) = self.dataset.image_path(index) else { continue };
            let bytes = read_capped(path, trt_imaging::Limits::default().file_bytes).ok();
            let decoded = bytes.and_then(|bytes| trt_imaging::decode(&bytes).ok());
            let (Some(decoded), Ok(sample)) = (decoded, samples.load(index)) else { continue };
            let found = |which, network: &dyn Network| -> Result<Findings, EvaluateError> {
                let failed = |source| EvaluateError::Network { which, sample: sample.name.clone(), source };
                let outputs = network.run(&sample.inputs).map_err(failed)?;
                find(task, self.settings.pipeline.as_ref(), &sample, &outputs)
            };
            let both = [found("FP32", fp32)?, found("INT8", int8)?];
            let png = side_by_side(&sample.name, &decoded.picture, &both[0], &both[1], classes)?;
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            drawn.push((name, png));
        }
        Ok(drawn)
    }

    /// Writes the table without what a rescue keeps, and says so in its sidecar.
    ///
    /// # Errors
    /// [`CalibrateError`], also for a table that has no sidecar: nobody could tell why scales are missing.
    pub fn keep(&self, rescue: &Rescue) -> Result<(), CalibrateError> {
        let Some(sidecar) = &self.sidecar else {
            let why = "it has no provenance of its own, which would say why scales are missing".to_owned();
            return Err(CalibrateError::Foreign { path: self.path.clone(), why });
        };
        let kept: HashSet<&str> = rescue.keep.iter().map(String::as_str).collect();
        let has_scale = |entry: &&Entry| !kept.contains(entry.name.to_string().as_str());
        let entries: Vec<Entry> = self.table.entries().iter().filter(has_scale).cloned().collect();
        let table = CalibrationTable::new(self.table.header().clone(), entries)
            .map_err(|source| CalibrateError::Table { path: self.path.clone(), source })?;
        let bytes = table.write();
        let mut changed = sidecar.clone();
        let replaces = Some(sidecar.table);
        changed.table = trt_calib::Digest::of(&bytes);
        changed.rescued.extend(rescue.keep.iter().cloned());
        changed.rescued.sort();
        changed.rescued.dedup();
        for name in &rescue.keep {
            changed.tensors.remove(name);
            changed.without_scale.insert(name.clone(), derive::RESCUED.to_owned());
        }
        changed.propagated.retain(|propagated| !kept.contains(propagated.tensor.as_str()));
        changed.evaluation =
            serde_json::to_value(rescue).map_err(|source| CalibrateError::Provenance { source })?;
        crate::calibrate::without_times(&mut changed.evaluation);
        store::write(&self.path, &bytes, &changed, replaces)
    }
}

/// The samples: those of the fleet file, or those that calibration left aside.
fn choose(
    model: &fleet::Model,
    onnx: &Model,
    recipe: Option<&Recipe>,
    evaluation: &fleet::Evaluation,
    sidecar: Option<&Sidecar>,
    interrupt: &Interrupt,
) -> anyhow::Result<(Dataset, String, bool)> {
    let cancelled = || interrupt.is_raised();
    let sources = match (&evaluation.samples, recipe) {
        (Some(samples), _) => samples,
        (None, Some(recipe)) => &recipe.samples,
        (None, None) => anyhow::bail!(
            "model `{}` has a table made elsewhere and no samples; add `evaluate: {{images: ...}}` to it",
            model.name
        ),
    };
    let found = sources.iter().map(|source| source.find()).collect::<Result<Vec<_>, FilesError>>()?;
    let shapes = Job::shapes_of(model);
    let inputs = Inputs::resolve(onnx, &shapes, found, model.name.as_str()).map_err(CalibrateError::from)?;
    let pairing = recipe.map_or(Pairing::default(), |recipe| recipe.pairing);
    let seed = recipe.map_or(0, |recipe| recipe.seed);
    let all = |count| Sampling { count, seed, shard: None, pairing };
    if evaluation.samples.is_some() {
        let dataset = Dataset::choose(inputs, all(u32::MAX), &cancelled).map_err(CalibrateError::from)?;
        return Ok((dataset, "named under `evaluate`".to_owned(), false));
    }
    if let Some(recipe) = recipe.filter(|recipe| recipe.thresholds.algorithm == Chosen::Auto) {
        let chosen = Dataset::choose(inputs, all(recipe.count), &cancelled).map_err(CalibrateError::from)?;
        let (_, splits) = split::split(&chosen, seed, &cancelled)?;
        return Ok((splits.report, "seen by neither calibration nor the choice of `auto`".to_owned(), false));
    }
    let dataset = Dataset::choose(inputs, all(u32::MAX), &cancelled).map_err(CalibrateError::from)?;
    let counted: BTreeMap<&str, ()> = sidecar
        .iter()
        .flat_map(|sidecar| &sidecar.dataset.images)
        .map(|image| (image.name.as_str(), ()))
        .collect();
    let unseen: Vec<usize> =
        (0..dataset.len()).filter(|&at| !counted.contains_key(dataset.images()[at].name.as_str())).collect();
    if sidecar.is_none() || unseen.is_empty() {
        return Ok((dataset, "those that it was calibrated with".to_owned(), true));
    }
    Ok((dataset.subset(&unseen), "left aside by calibration".to_owned(), false))
}
