//! What a report shows. Every list may be empty: its section then says that there is nothing, or is left out where
//! there was nothing to look for.
//!
//! Figures are `None` where they are not defined or were not measured; infinite ones are shown as exact equality, and
//! JSON has no word for them, so they come back from it as `None`.

use serde::{Deserialize, Serialize};

use crate::{Embedded, Provenance, TensorReport};

/// All that a report shows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReportData {
    /// What was calibrated, with what and from what.
    pub provenance: Provenance,
    /// What a reader must know first: decisions and warnings, each a sentence.
    pub notes: Vec<String>,
    /// INT8 against FP32, for each set of samples that was evaluated; the one to quote first.
    pub results: Vec<Results>,
    /// What `auto` chose among.
    pub choice: Option<Choice>,
    /// The activations, in the order of computation.
    pub tensors: Vec<TensorReport>,
    /// What single layers cost, the costliest first; empty where that was not measured.
    pub layers: Vec<LayerCost>,
    /// What has a scale and what runs in INT8. `None` if nobody looked.
    pub coverage: Option<Coverage>,
    /// The samples. `None` if nobody looked.
    pub dataset: Option<DatasetReport>,
    /// Pictures of the same sample in FP32 and INT8.
    pub side_by_side: Vec<SideBySide>,
    /// Tensors that got another one's range.
    pub propagated: Vec<Propagated>,
}

/// INT8 against FP32 on a set of samples.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Results {
    /// The set's name, such as `report`.
    pub split: String,
    /// What the set is, such as `seen by neither calibration nor selection`.
    pub about: String,
    /// How many samples it has.
    pub samples: u64,
    /// How close the outputs are.
    pub outputs: Vec<OutputFigures>,
    /// The task's own measures.
    pub measures: Vec<Measure>,
    /// What the figures of [`Results::classes`] are, such as `average precision at IoU 0.5`.
    pub of_classes: String,
    /// Each class against its labels; empty where there are none.
    pub classes: Vec<ClassFigures>,
}

/// A class against its labels.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClassFigures {
    /// Its name, or its number.
    pub name: String,
    /// How many of its objects, or pixels, are labelled.
    pub labelled: u64,
    /// FP32's figure, from 0 to 1.
    pub fp32: Option<f64>,
    /// INT8's figure.
    pub int8: Option<f64>,
}

/// How close an output is, or a group of its channels.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct OutputFigures {
    /// The output's ONNX value name.
    pub output: String,
    /// Which of its channels: `boxes`, `objectness`. `None` for all.
    pub group: Option<String>,
    /// The cosine of the angle between the two.
    pub cosine: Option<f64>,
    /// The signal-to-quantization-noise ratio, in dB.
    pub sqnr_db: Option<f64>,
    /// The largest absolute difference.
    pub max_error: Option<f64>,
}

/// A measure of the task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measure {
    /// What it is called: `top-1`, `mAP50`, `box matches at IoU 0.5`.
    pub name: String,
    /// What it is measured against.
    pub against: Against,
    /// The FP32 model's value; `None` for agreement with FP32.
    pub fp32: Option<f64>,
    /// The INT8 model's value.
    pub int8: Option<f64>,
    /// The standard error of the INT8 model's value.
    pub standard_error: Option<f64>,
    /// How the values are to be read.
    pub unit: Unit,
}

/// What a [`Measure`] compares with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Against {
    /// What FP32 says.
    Fp32,
    /// What the labels say.
    Labels,
}

/// How a value is to be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// Between 0 and 1, shown in percent.
    #[default]
    Share,
    /// In decibels.
    Decibel,
    /// A plain number.
    Number,
}

/// What `auto` chose among, and why it chose as it did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Choice {
    /// Why the winner won, in a sentence.
    pub because: String,
    /// The set of samples that decided.
    pub split: String,
    /// How many samples it has.
    pub samples: u64,
    /// What the candidates' figures are, the deciding one first.
    pub columns: Vec<Column>,
    /// The candidates, best first.
    pub candidates: Vec<Candidate>,
    /// Tensors that have another algorithm than the model.
    pub overrides: Vec<Override>,
}

/// A figure of every candidate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// What it is.
    pub name: String,
    /// How it is to be read.
    pub unit: Unit,
}

/// An algorithm that might have been chosen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Candidate {
    /// The algorithm.
    pub algorithm: String,
    /// Whether it was chosen.
    pub chosen: bool,
    /// A value for each of the [`Choice::columns`].
    pub values: Vec<Option<f64>>,
    /// What is to be said of it, such as why it was not evaluated.
    pub note: Option<String>,
}

/// A tensor that has an algorithm of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Override {
    /// The tensor.
    pub tensor: String,
    /// Its algorithm.
    pub algorithm: String,
    /// Who or what wanted it.
    pub because: String,
}

/// What a layer costs: mean signal-to-quantization-noise ratios of the model's outputs, in dB.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LayerCost {
    /// The node's name.
    pub name: String,
    /// Its operator.
    pub operator: String,
    /// With this layer alone in INT8.
    pub only_db: Option<f64>,
    /// With everything in INT8 but this layer.
    pub without_db: Option<f64>,
    /// Why it is kept in higher precision; `None` if it is not.
    pub kept: Option<String>,
}

/// What has a scale and what runs in INT8.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Coverage {
    /// How many activations TensorRT would want a scale for.
    pub wanted: u64,
    /// Those that lack one.
    pub without_scale: Vec<Reason>,
    /// How many layers the model has.
    pub layers: u64,
    /// Those that will not run in INT8.
    pub not_int8: Vec<Layer>,
    /// Tensors that were 0 throughout.
    pub dead: Vec<Reason>,
    /// Tensors whose range is hardly what was meant.
    pub suspicious: Vec<Reason>,
    /// Inputs that never changed.
    pub constant_inputs: Vec<Reason>,
}

/// Something and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// What.
    pub name: String,
    /// Why.
    pub because: String,
}

/// A layer and why it is as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// The node's name.
    pub name: String,
    /// Its operator.
    pub operator: String,
    /// Why.
    pub because: String,
}

/// The samples.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DatasetReport {
    /// What the samples were used for.
    pub splits: Vec<Split>,
    /// Samples that are almost alike.
    pub near_duplicates: Vec<NearDuplicates>,
    /// Samples that are almost of one colour.
    pub near_constant: Vec<Reason>,
    /// Samples that were left out.
    pub skipped: Vec<Reason>,
    /// Pictures of samples.
    pub contact_sheet: Vec<Thumbnail>,
    /// How many more samples there are than pictures.
    pub not_shown: u64,
}

/// A part of the samples.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Split {
    /// Its name: `calibration`, `selection`, `report`.
    pub name: String,
    /// How many samples it has.
    pub samples: u64,
    /// How many were asked for.
    pub requested: u64,
    /// The hash over its samples; empty where there is none.
    pub fingerprint: String,
}

/// Samples that are almost alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NearDuplicates {
    /// Their names.
    pub names: Vec<String>,
    /// How they were found to be alike, such as `same pixels` or `3 of 64 bits differ`.
    pub because: String,
}

/// A small picture of a sample.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thumbnail {
    /// The sample's name.
    pub name: String,
    /// What it was used for; empty where there is but one use.
    pub split: String,
    /// The picture.
    pub image: Embedded,
}

/// The same sample as several models see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SideBySide {
    /// The sample's name.
    pub name: String,
    /// What there is to see, such as `5 boxes in both, 1 only in FP32`.
    pub finding: String,
    /// The pictures, from left to right, usually `FP32` and `INT8`.
    pub panels: Vec<Panel>,
}

/// One picture of [`SideBySide`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Panel {
    /// What it shows: `FP32`, `INT8`, `labels`.
    pub label: String,
    /// The picture, annotated.
    pub image: Embedded,
}

/// A tensor that got another one's range.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Propagated {
    /// The tensor.
    pub tensor: String,
    /// Where its range comes from.
    pub from: String,
    /// The operator in between, such as `MaxPool`, where it is known.
    pub through: Option<String>,
}
