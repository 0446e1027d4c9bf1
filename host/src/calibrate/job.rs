//! What is to be calibrated, wherever the wish comes from.

use std::collections::BTreeMap;
use std::path::PathBuf;

use trt_calib::Algorithm;
use trt_calib::table::TableVersion;
use trt_imaging::Preprocess;

use crate::fleet::{ImageCalibration, ImagesError, Model};

/// Shapes to calibrate at, by input.
pub type Shapes = BTreeMap<String, Vec<u64>>;

/// The header's version of tables that are made here: TensorRT 10.3.0, of JetPack 6.2.
///
/// TensorRT rejects the table of another major version, so the agent writes its own library's version before it uses
/// a table. The one in the file only has to be a version that there was.
pub const TABLE_VERSION: u32 = 100_300;

/// A table to be made from images.
#[derive(Debug, Clone)]
pub struct Job {
    /// The model's name in the fleet file; empty without a fleet file.
    pub model: String,
    /// The ONNX file.
    pub onnx: PathBuf,
    /// The shape to calibrate at, for inputs that leave it open.
    pub shapes: Shapes,
    /// All images there are, sorted by path.
    pub images: Vec<PathBuf>,
    /// How many of them are used, at most.
    pub count: u32,
    /// Which of them, if there are more.
    pub seed: u64,
    /// Images per run of the model, where the model leaves it open.
    pub batch: u32,
    /// How thresholds are derived.
    pub algorithm: Algorithm,
    /// How an image becomes the input.
    pub preprocess: Preprocess,
    /// The table; its sidecar lies beside it.
    pub output: PathBuf,
    /// The TensorRT version in the table's header.
    pub version: TableVersion,
    /// The share of images that may be undecodable.
    pub max_undecodable: f64,
    /// Activations that get no scale, since they are to stay in higher precision: names, or patterns with `*`.
    pub keep: Vec<String>,
    /// Whether a table that is in the way is replaced.
    pub force: bool,
}

impl Job {
    /// The wish of a fleet file. Looks for the images, but at none of them.
    ///
    /// # Errors
    /// [`ImagesError`].
    pub fn of_fleet(model: &Model, calibration: &ImageCalibration, force: bool) -> Result<Self, ImagesError> {
        let dims = |dims: &[i64]| dims.iter().map(|side| side.unsigned_abs()).collect();
        Ok(Self {
            model: model.name.to_string(),
            onnx: model.onnx.clone(),
            shapes: model
                .build
                .shapes
                .iter()
                .map(|(input, range)| (input.clone(), dims(&range.opt)))
                .collect(),
            images: calibration.images.list()?,
            count: calibration.count,
            seed: calibration.seed,
            batch: calibration.batch,
            algorithm: calibration.algorithm,
            preprocess: calibration.preprocess.clone(),
            output: calibration.output.clone(),
            version: TableVersion::from_raw(TABLE_VERSION).expect("a version that there was"),
            max_undecodable: calibration.max_undecodable,
            keep: model.build.keep.clone(),
            force,
        })
    }

    /// The model's name, or its file's without a fleet file.
    pub fn label(&self) -> String {
        match self.model.as_str() {
            "" => self.onnx.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
            name => name.to_owned(),
        }
    }
}
