//! An evaluation: which samples, with which table, and what comes of it.

use std::cell::Cell;
use std::collections::HashSet;
use std::path::PathBuf;

use serde::Serialize;
use trt_calib::table::Entry;
use trt_calib::{CalibrationTable, Sidecar};
use trt_dataset::{Dataset, Inputs, Pairing, Sampling};
use trt_evaluate::{
    EvaluateError, Evaluation, Evaluator, LabelError, Labels, LayerLoss, Rescue, RescueOptions, Settings,
    Study, Target, TensorLoss, class_names, rank_tensors, rescue, sensitivity,
};
use trt_inference::{Network, SourceError};
use trt_onnx::Model;

use super::bench::{Bench, settings, simulated};
use super::drawn::{Drawing, Drawn};
use super::samples::DatasetSamples;
use super::single::Stoppable;
use crate::calibrate::{CalibrateError, Job, derive, folder_of, read_model, split, store};
use crate::fleet::{self, Calibration, Chosen, FilesError, Names, Recipe, Running};
use crate::interrupt::Interrupt;

/// How many samples tell which tensors lose most, and in which order a rescue tries.
const PROBED: usize = 4;
/// How many samples tell what each layer costs: every one is run for every layer.
const PROBED_BY_LAYER: usize = 2;
/// Of how many layers it is measured, too, what all the others cost without them.
const COSTLIEST: usize = 12;

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
    /// What the classes are called, by number.
    pub classes: Vec<String>,
    settings: Settings,
    count: Option<u32>,
    interrupt: Interrupt,
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
    /// Whether to measure what each layer costs.
    pub layers: bool,
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
    /// What each layer costs.
    pub layers: Vec<LayerLoss>,
    /// What to keep.
    pub rescue: Option<Rescue>,
    /// What FP32 and INT8 find in some of the samples.
    pub pictures: Vec<Drawn>,
}

fn labels(labels: &fleet::Labels, classes: &[String]) -> Result<Labels, LabelError> {
    match labels {
        fleet::Labels::Folders(path) => Labels::folders(path, classes),
        fleet::Labels::Csv(path) => Labels::csv(path, classes),
        fleet::Labels::Coco(path) => Labels::coco(path, classes),
        fleet::Labels::Masks(path) => Labels::masks(path),
    }
}

/// The names of the classes; those of the labels where the fleet file has none.
fn names(names: Option<&Names>) -> Result<Vec<String>, LabelError> {
    match names {
        None => Ok(Vec::new()),
        Some(Names::List(names)) => Ok(names.clone()),
        Some(Names::File(path)) => class_names(path),
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
        let mut classes = names(evaluation.names.as_ref())?;
        let labels = evaluation.labels.as_ref().map(|found| labels(found, &classes)).transpose()?;
        if let Some(labels) = labels.as_ref().filter(|_| classes.is_empty()) {
            classes = labels.classes().to_vec();
        }
        let count = count.or(evaluation.count);
        let wanted = Choose { model, onnx: &onnx, recipe, evaluation: &evaluation, count };
        let (dataset, about, seen) = wanted.choose(sidecar.as_ref(), interrupt)?;
        let settings = settings(&onnx, &evaluation, dataset.inputs().pipeline());
        Ok(Self {
            name: model.name.to_string(),
            path,
            table: found.table,
            sidecar,
            folder: folder_of(&model.onnx).to_owned(),
            running: recipe.map(|recipe| recipe.running.clone()).unwrap_or_default(),
            labels,
            classes,
            count,
            interrupt: interrupt.clone(),
            settings,
            onnx,
            dataset,
            about,
            seen,
        })
    }

    /// Runs it. `step` is told what is being done.
    ///
    /// # Errors
    /// [`EvaluateError`], and `Interrupted` where the user raised it.
    pub fn run(&self, wish: &Wish, step: &dyn Fn(&str)) -> anyhow::Result<Outcome> {
        self.compare(wish, step).map_err(|error| match self.interrupt.check() {
            // The network that failed was told to.
            Err(interrupted) => interrupted.into(),
            Ok(()) => error.into(),
        })
    }

    fn compare(&self, wish: &Wish, step: &dyn Fn(&str)) -> Result<Outcome, EvaluateError> {
        let bench = Bench { folder: &self.folder, running: &self.running };
        let opened =
            bench.open(&self.onnx).map_err(|source| EvaluateError::Open { which: "FP32", source })?;
        let stoppable = |network| -> Box<dyn Network> {
            Box::new(Stoppable { network, interrupt: self.interrupt.clone() })
        };
        let (fp32, because) = (stoppable(opened.what), opened.because);
        let (searching, networks) = (Cell::new(false), Cell::new(0u32));
        let open = |model: &Model| -> Result<Box<dyn Network>, SourceError> {
            networks.set(networks.get() + 1);
            if searching.get() {
                step(&format!("network {} of the search", networks.get()));
            }
            bench.open(model).map(|opened| stoppable(opened.what))
        };
        let kept =
            self.sidecar.iter().flat_map(|sidecar| sidecar.keep.iter().chain(&sidecar.rescued)).cloned();
        let study = Study { model: &self.onnx, options: simulated(kept.collect()), open: &open };
        let scales = derive::scales(&self.table);
        let samples = DatasetSamples::new(&self.dataset, self.labels.as_ref(), self.count);
        let evaluator = Evaluator::new(&*fp32, &samples, &self.settings);
        step(&format!("{} samples", evaluator.len()));
        let (int8, _) = study.int8(&scales)?;
        let evaluation = evaluator.run(&*int8)?.evaluation;
        let ranking = match wish.rank {
            0 => Vec::new(),
            _ => {
                step("ranking tensors");
                rank_tensors(&study, &scales, &evaluator, PROBED)?
            }
        };
        let layers = if wish.layers {
            let probe = Evaluator::new(&*fp32, &samples, &self.settings).first(PROBED_BY_LAYER);
            let progress =
                |done: usize, total: usize| step(&format!("what layers cost: {done} of {total} networks"));
            sensitivity(&study, &scales, &probe, COSTLIEST, &progress)?
        } else {
            Vec::new()
        };
        let rescue = match wish.rescue {
            Some(target) => {
                networks.set(0);
                searching.set(true);
                let probe = Evaluator::new(&*fp32, &samples, &self.settings).first(PROBED);
                let found = rescue(&study, &scales, &probe, &evaluator, target, &RescueOptions::default())?;
                searching.set(false);
                Some(found)
            }
            None => None,
        };
        let drawing = Drawing {
            dataset: &self.dataset,
            samples: &samples,
            settings: &self.settings,
            classes: &self.classes,
            networks: [&*fp32, &*int8],
        };
        if wish.pictures > 0 {
            step("drawing");
        }
        let pictures = drawing.draw(wish.pictures)?;
        Ok(Outcome {
            model: self.name.clone(),
            table: self.path.clone(),
            about: self.about.clone(),
            because,
            evaluation,
            ranking,
            layers,
            rescue,
            pictures,
        })
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

/// What decides about the samples.
struct Choose<'a> {
    model: &'a fleet::Model,
    onnx: &'a Model,
    recipe: Option<&'a Recipe>,
    evaluation: &'a fleet::Evaluation,
    /// How many are wanted, at most.
    count: Option<u32>,
}

impl Choose<'_> {
    /// The samples: those of the fleet file, or those that calibration left aside. With them, what they are, and whether
    /// calibration has seen all of them.
    fn choose(
        &self,
        sidecar: Option<&Sidecar>,
        interrupt: &Interrupt,
    ) -> anyhow::Result<(Dataset, String, bool)> {
        let Self { model, onnx, recipe, evaluation, .. } = *self;
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
        let inputs =
            Inputs::resolve(onnx, &shapes, found, model.name.as_str()).map_err(CalibrateError::from)?;
        let seed = recipe.map_or(0, |recipe| recipe.seed);
        let pairing = recipe.map_or(Pairing::default(), |recipe| recipe.pairing);
        let cancelled = || interrupt.is_raised();
        let choose = |count| {
            let sampling = Sampling { count, seed, shard: None, pairing };
            Dataset::choose(inputs, sampling, &cancelled).map_err(CalibrateError::from)
        };
        let wanted = self.count.unwrap_or(u32::MAX);
        let (Some(recipe), None) = (recipe, &evaluation.samples) else {
            return Ok((choose(wanted)?, "named under `evaluate`".to_owned(), false));
        };
        if recipe.thresholds.algorithm == Chosen::Auto {
            let (_, splits) = split::split(&choose(recipe.count)?, seed, &cancelled)?;
            let about = "seen by neither calibration nor the choice of `auto`".to_owned();
            return Ok((splits.report, about, false));
        }
        // So many that as many as are wanted are left: each file that is chosen is read.
        let dataset = choose(wanted.saturating_add(recipe.count))?;
        // What calibration could not read is of no use here either.
        let known = sidecar.iter().flat_map(|sidecar| {
            let counted = sidecar.dataset.images.iter().map(|image| image.name.as_str());
            counted.chain(sidecar.dataset.skipped.iter().map(|skipped| skipped.name.as_str()))
        });
        let counted: HashSet<&str> = known.collect();
        let is_unseen = |at: &usize| !counted.contains(dataset.images()[*at].name.as_str());
        let unseen: Vec<usize> = (0..dataset.len()).filter(is_unseen).collect();
        if sidecar.is_none() || unseen.is_empty() {
            return Ok((dataset, "those that it was calibrated with".to_owned(), true));
        }
        Ok((dataset.subset(&unseen), "left aside by calibration".to_owned(), false))
    }
}
