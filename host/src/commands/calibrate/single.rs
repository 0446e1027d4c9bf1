//! A model that the command line describes, without a fleet file: the keys of `calibration` as options.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use trt_calib::sidecar::Propagate;
use trt_calib::table::TableVersion;
use trt_calib::{Algorithm, CalibError, EntropyParams, Mode};
use trt_dataset::Wanted;
use trt_imaging::Preprocess;
use trt_inference::{Choice, OnNan};

use crate::calibrate::{Job, Shapes, TABLE_VERSION};
use crate::fleet::{
    Chosen, EntropyFile, Evaluation, Files, FilesError, PairingWord, Recipe, Running, Source, Thresholds,
    histograms_of,
};

/// A model without a fleet file.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Without a fleet file")]
#[group(id = "samples", args = ["images", "array"], multiple = true)]
pub struct Single {
    /// The model
    #[arg(long, value_name = "FILE", conflicts_with = "models", requires = "samples")]
    pub onnx: Option<PathBuf>,
    /// Folder, glob or list of images; may be repeated
    #[arg(long, value_name = "WHERE", requires = "onnx", requires = "preprocess")]
    images: Vec<String>,
    /// `imagenet`, `yolo`, `plain`, or keys as in the fleet file: `{size: 640, mean: 0.5, std: 0.5}`
    #[arg(long, value_name = "HOW", requires = "onnx", value_parser = preprocess)]
    preprocess: Option<Preprocess>,
    /// `.npy` or `.npz` files for an input, or for all without images; may be repeated
    #[arg(long, value_name = "[INPUT=]WHERE", requires = "onnx", value_parser = array)]
    array: Vec<(Option<String>, String)>,
    /// How samples of several inputs find each other: by `name`, or in the `order` of their paths
    #[arg(long, value_name = "HOW", requires = "onnx", value_parser = word::<PairingWord>, default_value = "name")]
    pairing: PairingWord,
    /// `auto`, `entropy`, `entropy1`, `minmax`, `mse`, `percentile[:P]` or `legacy[:Q:C]`
    #[arg(long, value_name = "NAME", requires = "onnx", value_parser = chosen, default_value = "entropy")]
    algorithm: Chosen,
    /// An algorithm for the tensors of this name, `*` in it for any text; may be repeated
    #[arg(long = "override", value_name = "NAME=ALGORITHM", requires = "onnx", value_parser = overriding)]
    overrides: Vec<(String, Algorithm)>,
    /// The entropy search: a preset (`tensorrt`, `migacz`, `pytorch-quantization`, `ncnn`), or keys as in the fleet file: `stride=2,levels=128`
    #[arg(long, value_name = "HOW", requires = "onnx", value_parser = entropy)]
    entropy: Option<EntropyParams>,
    /// How values are counted: `canonical`, or `tensorrt` for comparisons with its own tables
    #[arg(long, value_name = "MODE", requires = "onnx", value_parser = word::<Mode>, default_value = "canonical")]
    histogram_mode: Mode,
    /// What shares a scale with what it comes from: `copies`, as in every TensorRT, `all` (concats and slices too), or `none`
    #[arg(long, value_name = "WHAT", requires = "onnx", default_value_t)]
    propagate: Propagate,
    /// What runs the model: `auto`, `rten`, `onnxruntime`, `cuda` or `tensorrt`
    #[arg(long, value_name = "NAME", requires = "onnx", value_parser = word::<Choice>, default_value = "auto")]
    backend: Choice,
    /// ONNX Runtime's library, if it is not where the system has libraries
    #[arg(long, value_name = "FILE", requires = "onnx")]
    onnxruntime: Option<PathBuf>,
    /// The folder of TensorRT's libraries, if it is not where the system has libraries
    #[arg(long, value_name = "DIR", requires = "onnx")]
    tensorrt_dir: Option<PathBuf>,
    /// GPUs by number: `0,1`
    #[arg(long, value_name = "NUMBERS", requires = "onnx", value_delimiter = ',')]
    devices: Vec<u32>,
    /// Let no convolution on a GPU round its inputs to TF32
    #[arg(long, requires = "onnx")]
    no_tf32: bool,
    /// When an activation is not a number: `fail`, or `skip-image`
    #[arg(long, value_name = "WHAT", requires = "onnx", value_parser = word::<OnNan>, default_value = "fail")]
    on_nan: OnNan,
    /// Where histograms are kept, or `false`; beside the table with the ending `.histograms` by default
    #[arg(long, value_name = "FILE", requires = "onnx")]
    histograms: Option<String>,
    /// Shape to calibrate at, if the model leaves it open; may be repeated
    #[arg(long, value_name = "INPUT:1x3xHxW", requires = "onnx", value_parser = shape)]
    shape: Vec<(String, Vec<u64>)>,
    /// Samples to use, at most
    #[arg(long, value_name = "N", requires = "onnx", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..))]
    count: u32,
    /// Which samples, if there are more
    #[arg(long, value_name = "N", requires = "onnx", default_value_t = 0)]
    seed: u64,
    /// Samples per run of the model
    #[arg(long, value_name = "N", requires = "onnx", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    batch: u32,
    /// Share of samples that may be undecodable
    #[arg(long, value_name = "SHARE", requires = "onnx", default_value_t = 0.05, value_parser = share)]
    max_undecodable: f64,
    /// Activation to keep in higher precision, without a scale: a name, `*` in it for any text; may be repeated
    #[arg(long, value_name = "NAME", requires = "onnx")]
    keep: Vec<String>,
    /// The table; beside the model with the ending `.cache` by default
    #[arg(long, short, value_name = "FILE", requires = "onnx")]
    output: Option<PathBuf>,
}

impl Single {
    /// The wish of the command line. Looks at no file.
    ///
    /// # Errors
    /// [`FilesError::Path`].
    pub fn job(&self, onnx: &Path, force: bool) -> Result<Job, FilesError> {
        let output = self.output.clone().unwrap_or_else(|| onnx.with_extension("cache"));
        let histograms = match self.histograms.as_deref() {
            None => Some(histograms_of(&output)),
            Some("false") => None,
            Some(file) => Some(file.into()),
        };
        Ok(Job {
            model: String::new(),
            onnx: onnx.to_owned(),
            shapes: self.shape.iter().cloned().collect::<Shapes>(),
            recipe: Recipe {
                samples: self.samples()?,
                pairing: self.pairing.into(),
                count: self.count,
                seed: self.seed,
                batch: self.batch,
                thresholds: Thresholds {
                    algorithm: self.algorithm,
                    overrides: self.overrides.iter().cloned().collect(),
                    entropy: self.entropy.unwrap_or_default(),
                    propagate: self.propagate,
                },
                running: Running {
                    backend: self.backend,
                    onnxruntime: self.onnxruntime.clone(),
                    tensorrt_dir: self.tensorrt_dir.clone(),
                    devices: self.devices.clone(),
                    tf32: !self.no_tf32,
                    on_nan: self.on_nan,
                    histogram: self.histogram_mode,
                },
                output,
                histograms,
                max_undecodable: self.max_undecodable,
            },
            version: TableVersion::from_raw(TABLE_VERSION).expect("a version that there was"),
            keep: self.keep.clone(),
            evaluation: Evaluation::default(),
            force,
            shard: None,
            resume: false,
        })
    }

    fn samples(&self) -> Result<Vec<Source>, FilesError> {
        let mut sources = Vec::new();
        // The parser sees to it that preprocessing comes with images, and that there are samples at all.
        if !self.images.is_empty() {
            let files = Files::of_arguments(Wanted::Images, &self.images)?;
            sources.push(Source { input: None, files, preprocess: self.preprocess.clone() });
        }
        let mut arrays: BTreeMap<Option<String>, Vec<String>> = BTreeMap::new();
        for (input, place) in &self.array {
            arrays.entry(input.clone()).or_default().push(place.clone());
        }
        for (input, places) in arrays {
            let files = Files::of_arguments(Wanted::Arrays, &places)?;
            sources.push(Source { input, files, preprocess: None });
        }
        Ok(sources)
    }
}

fn preprocess(text: &str) -> Result<Preprocess, String> {
    let preprocess: Preprocess = serde_yaml::from_str(text).map_err(|error| error.to_string())?;
    preprocess.check().map_err(|error| error.to_string())?;
    Ok(preprocess)
}

/// An algorithm, or `auto`.
pub fn chosen(text: &str) -> Result<Chosen, String> {
    text.parse().map_err(|error: CalibError| match error.hint() {
        Some(hint) => format!("{error}; {hint}"),
        None => error.to_string(),
    })
}

/// An algorithm.
pub fn algorithm(text: &str) -> Result<Algorithm, String> {
    match chosen(text)? {
        Chosen::Of(algorithm) => Ok(algorithm),
        Chosen::Auto => Err("`auto` needs samples: use it with `trt-deploy calibrate`".to_owned()),
    }
}

/// `name=algorithm`; the name may hold `=` itself.
pub fn overriding(text: &str) -> Result<(String, Algorithm), String> {
    match text.rsplit_once('=').map(|(name, algorithm)| (name, chosen(algorithm))) {
        Some((name, Ok(Chosen::Of(algorithm)))) if !name.is_empty() => Ok((name.to_owned(), algorithm)),
        Some((_, Ok(Chosen::Auto))) => Err("`auto` chooses for the model as a whole".to_owned()),
        Some((_, Err(error))) => Err(error),
        _ => Err("want `name=algorithm`".to_owned()),
    }
}

/// Parameters of the entropy search, as in the fleet file.
pub fn entropy(text: &str) -> Result<EntropyParams, String> {
    let file: EntropyFile = text.parse().map_err(|error: serde_yaml::Error| error.to_string())?;
    let params = file.params().map_err(|error| error.to_string())?;
    params.check().map_err(|error| error.to_string())?;
    Ok(params)
}

/// `input=place`, or a place for whatever gets nothing else.
fn array(text: &str) -> Result<(Option<String>, String), String> {
    match text.split_once('=') {
        None if !text.is_empty() => Ok((None, text.to_owned())),
        Some((input, place)) if !input.is_empty() && !place.is_empty() => {
            Ok((Some(input.to_owned()), place.to_owned()))
        }
        _ => Err("want `input=files.npy`".to_owned()),
    }
}

/// One of the words that the fleet file has for it, too.
fn word<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    let value = serde_json::Value::String(text.to_owned());
    serde_json::from_value(value).map_err(|error| error.to_string())
}

/// `input:1x3x640x640`; the input's name may hold colons itself.
fn shape(text: &str) -> Result<(String, Vec<u64>), String> {
    let (input, dims) = text.rsplit_once(':').ok_or("want `input:1x3x640x640`")?;
    let positive = |side: &str| side.parse().ok().filter(|side| *side > 0);
    let dims: Option<Vec<u64>> = dims.split('x').map(positive).collect();
    match dims {
        Some(dims) if !input.is_empty() => Ok((input.to_owned(), dims)),
        _ => Err("want `input:1x3x640x640`, with positive numbers".to_owned()),
    }
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "want a share from 0 to 1".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_is_an_input_and_positive_sides() {
        assert_eq!(shape("x:1x3x640x480"), Ok(("x".to_owned(), vec![1, 3, 640, 480])));
        assert_eq!(shape("input_1:0:1x3x8x8"), Ok(("input_1:0".to_owned(), vec![1, 3, 8, 8])));
        for wrong in ["x", ":1x3", "x:", "x:1x0", "x:1xy", "x:-1"] {
            assert!(shape(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn preprocessing_is_a_preset_or_keys() {
        assert!(preprocess("imagenet").is_ok());
        assert!(preprocess("{preset: yolo, size: 320}").is_ok());
        for wrong in ["imagnet", "{sizes: 3}", "{scale: 0}"] {
            assert!(preprocess(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_entropy_search_is_a_preset_or_keys() {
        let default = EntropyParams::default();
        assert_eq!(entropy("tensorrt"), Ok(default));
        assert_ne!(entropy("ncnn"), Ok(default));
        let found = entropy("levels=128,first-bin=keep").unwrap();
        assert_eq!((found.levels, found.stride), (128, default.stride));
        for (wrong, words) in [
            ("tensort", "tensort"),
            ("levls=128", "levls"),
            ("levels=0", "levels"),
            ("levels=many", "many"),
            ("", ""),
        ] {
            let error = entropy(wrong).expect_err(wrong);
            assert!(error.contains(words), "{wrong}: {error}");
        }
    }

    #[test]
    fn a_share_is_a_number_from_0_to_1() {
        assert_eq!(share("0.05"), Ok(0.05));
        assert!(["-0.1", "1.1", "nan", "x"].iter().all(|text| share(text).is_err()));
    }
}
