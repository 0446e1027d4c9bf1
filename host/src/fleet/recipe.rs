//! How a calibration table is made, with the words in which the fleet file and the command line say it alike.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Serialize, Serializer};
use trt_calib::sidecar::Propagate;
use trt_calib::{Algorithm, CalibError, EntropyParams, Mode};
use trt_dataset::{Form, Pairing};
use trt_imaging::Preprocess;
use trt_inference::{Choice, OnNan};
use trt_metrics::{Format, Groups};

use super::files::{Files, FilesError};

/// How a table is made from samples.
#[derive(Debug, Clone, PartialEq)]
pub struct Recipe {
    /// The samples to choose from.
    pub samples: Vec<Source>,
    /// How samples of several inputs find each other.
    pub pairing: Pairing,
    /// How many are used, at most; at least 1.
    pub count: u32,
    /// Which ones are chosen if there are more.
    pub seed: u64,
    /// Samples per run of the model; at least 1. It does not change the table.
    pub batch: u32,
    /// How scales are chosen.
    pub thresholds: Thresholds,
    /// What runs the model, and how.
    pub running: Running,
    /// Where the table is written, and its sidecar beside it.
    pub output: PathBuf,
    /// Where the histograms are kept, if they are.
    pub histograms: Option<PathBuf>,
    /// The share of the samples, from 0 to 1, that may turn out to be undecodable.
    pub max_undecodable: f64,
}

/// Where a table's histograms are kept if nothing else is said: `<table>.histograms`.
pub fn histograms_of(table: &Path) -> PathBuf {
    let mut name = table.as_os_str().to_owned();
    name.push(".histograms");
    name.into()
}

/// Where the samples of an input come from.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    /// The input; the one that fits, where nothing is said.
    pub input: Option<String>,
    /// The files.
    pub files: Files,
    /// How an image becomes the input; `None` for arrays, which are taken as they are.
    pub preprocess: Option<Preprocess>,
}

impl Source {
    /// Its key in the fleet file.
    pub fn key(&self) -> &'static str {
        if self.preprocess.is_some() { "images" } else { "arrays" }
    }

    /// The same with its files found.
    ///
    /// # Errors
    /// As [`Files::list`].
    pub fn find(&self) -> Result<trt_dataset::Source, FilesError> {
        let form = self.preprocess.clone().map_or(Form::Arrays, Form::Images);
        Ok(trt_dataset::Source { input: self.input.clone(), files: self.files.list()?, form })
    }
}

/// How scales are chosen from histograms. None of it needs the model to run again.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Thresholds {
    /// The algorithm, for all tensors without one of their own.
    pub algorithm: Chosen,
    /// Algorithms of single tensors, by name, with `*` for any text.
    pub overrides: BTreeMap<String, Algorithm>,
    /// The parameters of the entropy algorithms.
    pub entropy: EntropyParams,
    /// Which tensors share a scale with what they come from.
    pub propagate: Propagate,
}

/// How INT8 is held against FP32.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Evaluation {
    /// The samples; the parts of the calibration's that it has not seen if absent.
    pub samples: Option<Vec<Source>>,
    /// How many are used, at most; all if absent.
    pub count: Option<u32>,
    /// What is in them.
    pub labels: Option<Labels>,
    /// What the classes are called, by number.
    pub names: Option<Names>,
    /// How the outputs of a detector are read.
    pub detector: Option<Format>,
    /// Channels that are compared by themselves, by output.
    pub groups: BTreeMap<String, Groups>,
}

/// Where the names of classes come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Names {
    /// These.
    List(Vec<String>),
    /// A file with a name in each line.
    File(PathBuf),
}

/// Where labels come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Labels {
    /// A folder with a folder for each class, named by its number or in the order of the classes.
    Folders(PathBuf),
    /// A CSV file: a file name and a class a line.
    Csv(PathBuf),
    /// A COCO JSON file of boxes.
    Coco(PathBuf),
    /// A folder of masks, one for each image, whose pixels are classes.
    Masks(PathBuf),
}

/// What runs the model, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct Running {
    /// What runs it.
    pub backend: Choice,
    /// ONNX Runtime's library; looked for where the system has libraries if absent.
    pub onnxruntime: Option<PathBuf>,
    /// The folder of TensorRT's libraries; looked for where the system has libraries if absent.
    pub tensorrt_dir: Option<PathBuf>,
    /// GPUs by number; the first one if empty.
    pub devices: Vec<u32>,
    /// Whether convolutions on a GPU may round their inputs to TF32.
    pub tf32: bool,
    /// What becomes of a sample in which an activation is not a number.
    pub on_nan: OnNan,
    /// How values are counted.
    pub histogram: Mode,
}

impl Default for Running {
    fn default() -> Self {
        Self {
            backend: Choice::default(),
            onnxruntime: None,
            tensorrt_dir: None,
            devices: Vec::new(),
            tf32: true,
            on_nan: OnNan::default(),
            histogram: Mode::default(),
        }
    }
}

/// The algorithm that a user asks for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Chosen {
    /// The one that loses least, as measured on samples that calibration has not seen.
    Auto,
    /// This one.
    Of(Algorithm),
}

/// The word for [`Chosen::Auto`].
pub const AUTO: &str = "auto";

/// How the algorithms are written, for messages.
pub const ALGORITHMS: [&str; 7] =
    ["auto", "entropy", "entropy1", "minmax", "mse", "percentile:99.99", "legacy:0.99999:1"];

impl Default for Chosen {
    fn default() -> Self {
        Self::Of(Algorithm::default())
    }
}

impl FromStr for Chosen {
    type Err = CalibError;

    fn from_str(text: &str) -> Result<Self, CalibError> {
        if text == AUTO { Ok(Self::Auto) } else { text.parse().map(Self::Of) }
    }
}

impl fmt::Display for Chosen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str(AUTO),
            Self::Of(algorithm) => write!(f, "{algorithm}"),
        }
    }
}

impl Serialize for Chosen {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
