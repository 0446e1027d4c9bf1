//! From the keys of `calibration` and `evaluate` to a recipe and a trial.

use std::collections::BTreeMap;
use std::path::PathBuf;

use trt_calib::EntropyParams;
use trt_dataset::Wanted;
use trt_imaging::Preprocess;
use trt_wire::ModelName;

use super::{Assembly, step};
use crate::fleet::file::{
    CalibrationFile, DEFAULT_BATCH, DEFAULT_COUNT, DEFAULT_MAX_UNDECODABLE, EntropyFile, EvaluateFile,
    InputFile,
};
use crate::fleet::files::Files;
use crate::fleet::problem::Problem;
use crate::fleet::recipe::{Evaluation, Labels, Names, Running, Source, Thresholds, histograms_of};
use crate::fleet::value::{ListOrFile, Named, OneOrMany};
use crate::fleet::yaml::{Step, dotted};
use crate::fleet::{Calibration, Recipe};

impl Assembly<'_> {
    pub(super) fn calibration(&mut self, model: &ModelName, file: CalibrationFile) -> Option<Calibration> {
        let steps = ["models".into(), model.as_str().into(), "calibration".into()];
        let Some(table) = &file.table else { return self.recipe(model, &steps, file) };
        // A table is used as it is. A key that says how to make one would be believed, and do nothing.
        for (other, given) in [
            ("images", file.images.is_some()),
            ("inputs", file.inputs.is_some()),
            ("pairing", file.pairing.is_some()),
            ("count", file.count.is_some()),
            ("seed", file.seed.is_some()),
            ("batch", file.batch.is_some()),
            ("algorithm", file.algorithm.is_some()),
            ("overrides", file.overrides.is_some()),
            ("entropy", file.entropy.is_some()),
            ("histogram", file.histogram.is_some()),
            ("propagate", file.propagate.is_some()),
            ("backend", file.backend.is_some()),
            ("onnxruntime", file.onnxruntime.is_some()),
            ("tensorrt-dir", file.tensorrt_dir.is_some()),
            ("devices", file.devices.is_some()),
            ("tf32", file.tf32.is_some()),
            ("on-nan", file.on_nan.is_some()),
            ("histograms", file.histograms.is_some()),
            ("preprocess", file.preprocess.is_some()),
            ("output", file.output.is_some()),
            ("max-undecodable", file.max_undecodable.is_some()),
        ] {
            if given {
                self.exclusive(&steps, "table", other);
            }
        }
        Some(Calibration::Table(self.path(&step(&steps, "table"), table)))
    }

    fn recipe(
        &mut self,
        model: &ModelName,
        steps: &[Step],
        mut file: CalibrationFile,
    ) -> Option<Calibration> {
        let samples = self.samples(steps, file.images.take(), file.preprocess.take(), file.inputs.take())?;
        let output = file.output.unwrap_or_else(|| format!("calibration/{model}.cache"));
        let output = self.path(&step(steps, "output"), &output);
        let histograms = match file.histograms {
            None => Some(histograms_of(&output)),
            Some(None) => None,
            Some(Some(text)) => Some(self.path(&step(steps, "histograms"), &text)),
        };
        let entropy = self.entropy(steps, file.entropy);
        let (thresholds, running) = (Thresholds::default(), Running::default());
        let overrides = file.overrides.unwrap_or_default();
        Some(Calibration::Recipe(Box::new(Recipe {
            samples,
            pairing: file.pairing.map(Into::into).unwrap_or_default(),
            count: file.count.unwrap_or(DEFAULT_COUNT),
            seed: file.seed.unwrap_or_default(),
            batch: file.batch.unwrap_or(DEFAULT_BATCH),
            thresholds: Thresholds {
                algorithm: file.algorithm.unwrap_or(thresholds.algorithm),
                overrides: overrides.into_iter().map(|(name, Named(algorithm))| (name, algorithm)).collect(),
                entropy,
                propagate: file.propagate.unwrap_or(thresholds.propagate),
            },
            running: Running {
                backend: file.backend.unwrap_or(running.backend),
                onnxruntime: self.optional_path(steps, "onnxruntime", file.onnxruntime.as_deref()),
                tensorrt_dir: self.optional_path(steps, "tensorrt-dir", file.tensorrt_dir.as_deref()),
                devices: file.devices.unwrap_or(running.devices),
                tf32: file.tf32.unwrap_or(running.tf32),
                on_nan: file.on_nan.unwrap_or(running.on_nan),
                histogram: file.histogram.unwrap_or(running.histogram),
            },
            output,
            histograms,
            max_undecodable: file.max_undecodable.unwrap_or(DEFAULT_MAX_UNDECODABLE),
        })))
    }

    pub(super) fn evaluation(&mut self, model: &ModelName, file: EvaluateFile) -> Evaluation {
        let steps = ["models".into(), model.as_str().into(), "evaluate".into()];
        let given = file.images.is_some() || file.inputs.is_some() || file.preprocess.is_some();
        let samples =
            given.then(|| self.samples(&steps, file.images, file.preprocess, file.inputs)).flatten();
        let labels = file.labels.and_then(|labels| {
            let steps = step(&steps, "labels");
            type Kind = (&'static str, Option<String>, fn(PathBuf) -> Labels);
            let kinds: [Kind; 4] = [
                ("folders", labels.folders, Labels::Folders),
                ("csv", labels.csv, Labels::Csv),
                ("coco", labels.coco, Labels::Coco),
                ("masks", labels.masks, Labels::Masks),
            ];
            let mut given = kinds.into_iter().filter_map(|(key, path, make)| Some((key, path?, make)));
            let Some((one, path, make)) = given.next() else {
                self.report.at_key(&steps, |section| Problem::NoLabels { section });
                return None;
            };
            for (other, ..) in given {
                self.exclusive(&steps, one, other);
            }
            Some(make(self.path(&step(&steps, one), &path)))
        });
        let names = file.names.map(|names| match names {
            ListOrFile::List(names) => Names::List(names),
            ListOrFile::File(path) => Names::File(self.path(&step(&steps, "names"), &path)),
        });
        let (detector, groups) = (file.detector, file.groups);
        Evaluation { samples, count: file.count, labels, names, detector, groups }
    }

    /// What goes into the inputs, said for the only one or for each.
    pub(super) fn samples(
        &mut self,
        steps: &[Step],
        images: Option<OneOrMany>,
        preprocess: Option<Preprocess>,
        inputs: Option<BTreeMap<String, InputFile>>,
    ) -> Option<Vec<Source>> {
        let Some(inputs) = inputs else {
            let Some(images) = images else {
                self.report.at_key(steps, |section| Problem::NoCalibrationSource { section });
                return None;
            };
            return Some(vec![self.images(steps, None, &images, preprocess)?]);
        };
        for (other, given) in [("images", images.is_some()), ("preprocess", preprocess.is_some())] {
            if given {
                self.exclusive(steps, "inputs", other);
            }
        }
        let steps = step(steps, "inputs");
        if inputs.is_empty() {
            self.report.at_key(&steps, |section| Problem::NoInputSource { section });
            return None;
        }
        let mut sources = Vec::new();
        for (name, input) in inputs {
            let steps = step(&steps, &name);
            sources.push(match (input.images, input.arrays) {
                (Some(_), Some(_)) => {
                    self.exclusive(&steps, "images", "arrays");
                    return None;
                }
                (Some(images), None) => self.images(&steps, Some(name), &images, input.preprocess)?,
                (None, Some(arrays)) => {
                    if input.preprocess.is_some() {
                        self.exclusive(&steps, "arrays", "preprocess");
                    }
                    let files = self.files(Wanted::Arrays, &step(&steps, "arrays"), &arrays)?;
                    Source { input: Some(name), files, preprocess: None }
                }
                (None, None) => {
                    self.report.at_key(&steps, |section| Problem::NoInputSource { section });
                    return None;
                }
            });
        }
        Some(sources)
    }

    fn images(
        &mut self,
        steps: &[Step],
        input: Option<String>,
        images: &OneOrMany,
        preprocess: Option<Preprocess>,
    ) -> Option<Source> {
        if preprocess.is_none() {
            self.report.at_key(steps, |section| Problem::NoPreprocess { section });
            return None;
        }
        let files = self.files(Wanted::Images, &step(steps, "images"), images)?;
        Some(Source { input, files, preprocess })
    }

    fn files(&mut self, kind: Wanted, steps: &[Step], texts: &OneOrMany) -> Option<Files> {
        let files = Files::new(kind, &texts.0, &self.base);
        files.map_err(|source| self.report.at_value(steps, |key| Problem::Path { key, source })).ok()
    }

    /// What is not said is as in the preset.
    fn entropy(&mut self, steps: &[Step], file: Option<EntropyFile>) -> EntropyParams {
        let Some(file) = file else { return EntropyParams::default() };
        let steps = step(steps, "entropy");
        match file.params().map(|params| (params, params.check())) {
            Ok((params, Ok(()))) => return params,
            Ok((_, Err(source))) => self.report.at_key(&steps, |key| Problem::Entropy { key, source }),
            Err(error) => {
                self.report.at_key(&steps, |key| Problem::Invalid { problem: format!("{key}: {error}") });
            }
        }
        EntropyParams::default()
    }

    /// `other` may not stand beside `one`.
    pub(super) fn exclusive(&mut self, steps: &[Step], one: &'static str, other: &'static str) {
        let section = dotted(steps);
        self.report.at_key(&step(steps, other), |_| Problem::Exclusive { section, one, other });
    }
}
