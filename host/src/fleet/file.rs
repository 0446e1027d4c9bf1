//! What the fleet file may say: its keys and their defaults, and nothing about what they mean together.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use trt_calib::sidecar::Propagate;
use trt_calib::{Algorithm, EntropyParams, Mode};
use trt_dataset::Pairing;
use trt_imaging::Preprocess;
use trt_inference::{Choice, OnNan};
use trt_metrics::{Format, Groups};
use trt_wire::{
    BackendChoice, HookName, ModelName, OnUnsupported, PluginName, Precision, RuntimeName, ShapeRange,
};

use super::recipe::Chosen;
use super::value::{self, Parsed};

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(
    rename_all = "kebab-case",
    deny_unknown_fields,
    expecting = "a map of `models`, `defaults`, `devices` and `groups`"
)]
pub struct FleetFile {
    #[serde(default)]
    pub models: BTreeMap<Parsed<ModelName>, ModelFile>,
    #[serde(default)]
    pub defaults: DefaultsFile,
    #[serde(default)]
    pub devices: BTreeMap<String, DeviceFile>,
    #[serde(default)]
    pub groups: BTreeMap<String, Vec<String>>,
}

/// `models.<name>`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, expecting = "a map of a model's keys")]
pub struct ModelFile {
    pub onnx: String,
    pub precision: Precision,
    #[serde(default, deserialize_with = "value::shapes")]
    pub shapes: BTreeMap<String, ShapeRange>,
    #[serde(default, deserialize_with = "value::bytes")]
    pub workspace: Option<u64>,
    pub on_unsupported: Option<OnUnsupported>,
    pub other_layers: Option<OtherLayers>,
    #[serde(default)]
    pub keep: Vec<String>,
    #[serde(default, deserialize_with = "value::dla")]
    pub dla: Option<u32>,
    #[serde(default, deserialize_with = "value::level")]
    pub optimization_level: Option<u8>,
    #[serde(default)]
    pub backend: BackendChoice,
    #[serde(default)]
    pub plugins: Vec<Parsed<PluginName>>,
    pub runtime: Option<Parsed<RuntimeName>>,
    pub calibration: Option<CalibrationFile>,
    pub evaluate: Option<EvaluateFile>,
    #[serde(default)]
    pub verify: VerifyFile,
    pub hook: Option<Parsed<HookName>>,
}

/// What the layers of an INT8 engine that are not INT8 run in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OtherLayers {
    #[default]
    Fp16,
    Fp32,
}

impl From<OtherLayers> for Precision {
    fn from(layers: OtherLayers) -> Self {
        match layers {
            OtherLayers::Fp16 => Self::Fp16,
            OtherLayers::Fp32 => Self::Fp32,
        }
    }
}

/// `models.<name>.calibration`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, expecting = "a map of the calibration's keys")]
pub struct CalibrationFile {
    pub images: Option<value::OneOrMany>,
    pub inputs: Option<BTreeMap<String, InputFile>>,
    pub preprocess: Option<Preprocess>,
    pub pairing: Option<PairingWord>,
    #[serde(default, deserialize_with = "value::positive")]
    pub count: Option<u32>,
    pub seed: Option<u64>,
    #[serde(default, deserialize_with = "value::positive")]
    pub batch: Option<u32>,
    #[serde(default, deserialize_with = "value::chosen")]
    pub algorithm: Option<Chosen>,
    pub overrides: Option<BTreeMap<String, value::Named<Algorithm>>>,
    pub entropy: Option<EntropyFile>,
    pub histogram: Option<Mode>,
    #[serde(default, deserialize_with = "value::propagate")]
    pub propagate: Option<Propagate>,
    pub backend: Option<Choice>,
    pub tensorrt_dir: Option<String>,
    pub onnxruntime: Option<String>,
    pub devices: Option<Vec<u32>>,
    pub tf32: Option<bool>,
    pub on_nan: Option<OnNan>,
    #[serde(default, deserialize_with = "value::file_or_false")]
    pub histograms: Option<Option<String>>,
    pub table: Option<String>,
    pub output: Option<String>,
    #[serde(default, deserialize_with = "value::share")]
    pub max_undecodable: Option<f64>,
}

/// How samples of several inputs find each other.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PairingWord {
    Name,
    Order,
}

impl From<PairingWord> for Pairing {
    fn from(word: PairingWord) -> Self {
        match word {
            PairingWord::Name => Self::Name,
            PairingWord::Order => Self::Order,
        }
    }
}

/// `models.<name>.calibration.entropy`: written as [`EntropyParams`](trt_calib::EntropyParams) read it, but for hyphens.
#[derive(Debug, Deserialize, Serialize)]
#[serde(
    rename_all(deserialize = "kebab-case"),
    deny_unknown_fields,
    expecting = "a map of the entropy search's parameters"
)]
pub struct EntropyFile {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preset: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bins: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stride: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub levels: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_bin: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub q_source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level_edge: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lone_tail: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ties: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub whole: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub most_clipped: Option<u32>,
}

impl EntropyFile {
    /// The parameters; what is not said is as in the preset. They are not checked.
    pub fn params(&self) -> serde_json::Result<EntropyParams> {
        serde_json::to_value(self).and_then(serde_json::from_value)
    }
}

impl FromStr for EntropyFile {
    type Err = serde_yaml::Error;

    /// From the command line: a preset, or keys with values, `stride=2,levels=128`.
    fn from_str(text: &str) -> Result<Self, serde_yaml::Error> {
        let yaml = match text.contains('=') {
            true => text.replace(',', "\n").replace('=', ": "),
            false => format!("preset: {text:?}"),
        };
        serde_yaml::from_str(&yaml)
    }
}

/// `models.<name>.evaluate`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, expecting = "a map of the evaluation's keys")]
pub struct EvaluateFile {
    pub images: Option<value::OneOrMany>,
    pub preprocess: Option<Preprocess>,
    pub inputs: Option<BTreeMap<String, InputFile>>,
    #[serde(default, deserialize_with = "value::positive")]
    pub count: Option<u32>,
    pub labels: Option<LabelsFile>,
    pub names: Option<value::ListOrFile>,
    pub detector: Option<Format>,
    #[serde(default)]
    pub groups: BTreeMap<String, Groups>,
}

/// `models.<name>.evaluate.labels`.
#[derive(Debug, Deserialize)]
#[serde(
    rename_all = "kebab-case",
    deny_unknown_fields,
    expecting = "one of `{folders: ...}`, `{csv: ...}`, `{coco: ...}` and `{masks: ...}`"
)]
pub struct LabelsFile {
    pub folders: Option<String>,
    pub csv: Option<String>,
    pub coco: Option<String>,
    pub masks: Option<String>,
}

/// `models.<name>.calibration.inputs.<input>`.
#[derive(Debug, Deserialize)]
#[serde(
    rename_all = "kebab-case",
    deny_unknown_fields,
    expecting = "`{images: ..., preprocess: ...}` or `{arrays: ...}`"
)]
pub struct InputFile {
    pub images: Option<value::OneOrMany>,
    pub preprocess: Option<Preprocess>,
    pub arrays: Option<value::OneOrMany>,
}

/// NVIDIA's advice for ImageNet classifiers is about 500 images (TensorRT developer guide, "Post-Training
/// Quantization Using Calibration").
pub const DEFAULT_COUNT: u32 = 512;

/// Costs the least memory.
pub const DEFAULT_BATCH: u32 = 1;

/// The share of images that may be undecodable.
pub const DEFAULT_MAX_UNDECODABLE: f64 = 0.05;

/// `models.<name>.verify`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, expecting = "a map such as `{required: true}`")]
pub struct VerifyFile {
    #[serde(default = "default_required")]
    pub required: bool,
}

fn default_required() -> bool {
    true
}

impl Default for VerifyFile {
    fn default() -> Self {
        Self { required: default_required() }
    }
}

/// `defaults`: what a device takes where it says nothing itself.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, expecting = "a map of the devices' defaults")]
pub struct DefaultsFile {
    #[serde(default, deserialize_with = "value::port")]
    pub port: Option<u16>,
    pub user: Option<String>,
    pub identity: Option<String>,
    pub known_hosts: Option<String>,
    pub agent_socket: Option<String>,
}

/// SSH's own port.
pub const DEFAULT_PORT: u16 = 22;

/// `devices.<name>`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, expecting = "a map of a device's keys, such as `{}`")]
pub struct DeviceFile {
    pub host: Option<String>,
    #[serde(default, deserialize_with = "value::port")]
    pub port: Option<u16>,
    pub user: Option<String>,
    pub identity: Option<String>,
    pub known_hosts: Option<String>,
    pub agent_socket: Option<String>,
    pub socket: Option<String>,
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    pub models: Option<Vec<String>>,
}
