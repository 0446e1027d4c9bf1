//! What FP32 and INT8 find in samples, drawn.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Serialize;
use trt_dataset::Dataset;
use trt_evaluate::{EvaluateError, Findings, Sample, Samples, Settings, Task, annotated, find, side_by_side};
use trt_files::read_capped;
use trt_imaging::Picture;
use trt_inference::Network;
use trt_metrics::match_boxes;

/// One sample, drawn.
#[derive(Debug, Serialize)]
pub struct Drawn {
    /// The sample's name.
    pub sample: String,
    /// The name of a file for it, without ending; no two are the same.
    pub file: String,
    /// What FP32 finds.
    pub fp32: Findings,
    /// What INT8 finds.
    pub int8: Findings,
    /// Both pictures side by side, as PNG.
    #[serde(skip)]
    pub png: Vec<u8>,
    /// The two pictures by themselves.
    #[serde(skip)]
    pub halves: [Picture; 2],
    /// What there is to see, in a sentence.
    pub finding: String,
}

/// What is drawn, and with what.
pub struct Drawing<'a> {
    /// The samples' files.
    pub dataset: &'a Dataset,
    /// The samples.
    pub samples: &'a dyn Samples,
    /// What the networks are for.
    pub settings: &'a Settings,
    /// What the classes are called.
    pub classes: &'a [String],
    /// FP32 and INT8.
    pub networks: [&'a dyn Network; 2],
}

/// How many samples are looked at for each one that is drawn, until there are enough in which something was found.
const LOOKED_AT: usize = 4;
/// How far two boxes overlap that show the same object.
const SAME: f64 = 0.5;

impl Drawing<'_> {
    /// Draws so many samples, at most: those in which one of the two networks finds something before others, else in
    /// their order. Samples that are no images cannot be drawn.
    ///
    /// # Errors
    /// [`EvaluateError`].
    pub fn draw(&self, count: usize) -> Result<Vec<Drawn>, EvaluateError> {
        let Some(task) = self.settings.task.as_ref().filter(|_| count > 0) else { return Ok(Vec::new()) };
        let (mut telling, mut others) = (Vec::new(), Vec::new());
        for index in 0..self.samples.len().min(LOOKED_AT * count) {
            let Some(path) = self.dataset.image_path(index) else { continue };
            let Ok(sample) = self.samples.load(index) else { continue };
            let found = self.find(task, &sample)?;
            let shows = found.iter().any(shows_something);
            if shows { &mut telling } else { &mut others }.push((path, sample, found));
            if telling.len() == count {
                break;
            }
        }
        others.truncate(count - telling.len());
        let mut files = BTreeSet::new();
        let mut drawn = Vec::new();
        for (path, sample, found) in telling.into_iter().chain(others) {
            if let Some(one) = self.one(path, &sample, &found, &mut files)? {
                drawn.push(one);
            }
        }
        Ok(drawn)
    }

    fn find(&self, task: &Task, sample: &Sample) -> Result<[Findings; 2], EvaluateError> {
        let found = |which, network: &dyn Network| -> Result<Findings, EvaluateError> {
            let failed = |source| EvaluateError::Network { which, sample: sample.name.clone(), source };
            let outputs = network.run(&sample.inputs).map_err(failed)?;
            find(task, self.settings.pipeline.as_ref(), sample, &outputs)
        };
        Ok([found("FP32", self.networks[0])?, found("INT8", self.networks[1])?])
    }

    fn one(
        &self,
        path: &Path,
        sample: &Sample,
        found: &[Findings; 2],
        files: &mut BTreeSet<String>,
    ) -> Result<Option<Drawn>, EvaluateError> {
        let bytes = read_capped(path, trt_imaging::Limits::default().file_bytes).ok();
        let Some(decoded) = bytes.and_then(|bytes| trt_imaging::decode(&bytes).ok()) else { return Ok(None) };
        let half = |title: &str, found: &Findings| {
            annotated(&sample.name, &decoded.picture, title, found, self.classes)
        };
        let halves = [half("FP32", &found[0])?, half("INT8", &found[1])?];
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        // Folders of classes may hold files of one name.
        let mut file = stem.to_string();
        let mut number = 2;
        while !files.insert(file.clone()) {
            file = format!("{stem}-{number}");
            number += 1;
        }
        let png = side_by_side(&sample.name, &halves)?;
        let [fp32, int8] = found.clone();
        let (sample, finding) = (sample.name.clone(), self.finding(found));
        Ok(Some(Drawn { sample, file, fp32, int8, png, halves, finding }))
    }

    /// What there is to see.
    fn finding(&self, [fp32, int8]: &[Findings; 2]) -> String {
        let class = |class: usize| match self.classes.get(class).filter(|name| !name.is_empty()) {
            Some(name) => format!("`{name}`"),
            None => format!("class {class}"),
        };
        match (fp32, int8) {
            (Findings::Boxes(fp32), Findings::Boxes(int8)) => {
                let found = match_boxes(fp32, int8, SAME);
                match (found.matched, found.lost, found.extra) {
                    (0, 0, 0) => "neither finds anything".to_owned(),
                    (same, lost, extra) => {
                        format!("{same} in both, {lost} only in FP32, {extra} only in INT8")
                    }
                }
            }
            (Findings::Classes(fp32), Findings::Classes(int8)) => match (fp32.first(), int8.first()) {
                (Some((own, _)), Some((other, _))) if own == other => format!("both say {}", class(*own)),
                (Some((own, _)), Some((other, _))) => {
                    format!("FP32 says {}, INT8 {}", class(*own), class(*other))
                }
                _ => String::new(),
            },
            (Findings::Mask(fp32), Findings::Mask(int8)) => {
                let equal = fp32.classes.iter().zip(&int8.classes).filter(|(a, b)| a == b).count();
                let share = 100.0 * equal as f64 / fp32.classes.len().max(1) as f64;
                format!("{share:.1} % of the pixels are of the same class")
            }
            _ => String::new(),
        }
    }
}

/// Whether there is more to see than the photograph.
fn shows_something(found: &Findings) -> bool {
    match found {
        Findings::Boxes(boxes) => !boxes.is_empty(),
        Findings::Classes(classes) => !classes.is_empty(),
        Findings::Mask(mask) => mask.classes.iter().any(|class| ![0, trt_metrics::IGNORED].contains(class)),
    }
}
