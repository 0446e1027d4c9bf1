//! What is to be calibrated, wherever the wish comes from.

use std::collections::BTreeMap;
use std::path::PathBuf;

use trt_calib::table::TableVersion;
use trt_dataset::Shard;

use crate::fleet::{Evaluation, Model, Recipe};

/// Shapes to calibrate at, by input.
pub type Shapes = BTreeMap<String, Vec<u64>>;

/// The header's version of tables that are made here: TensorRT 10.3.0, of JetPack 6.2.
///
/// TensorRT rejects the table of another major version, so the agent writes its own library's version before it uses
/// a table. The one in the file only has to be a version that there was.
pub const TABLE_VERSION: u32 = 100_300;

/// A table to be made.
#[derive(Debug, Clone)]
pub struct Job {
    /// The model's name in the fleet file; empty without a fleet file.
    pub model: String,
    /// The ONNX file.
    pub onnx: PathBuf,
    /// The shape to calibrate at, for inputs that leave it open.
    pub shapes: Shapes,
    /// How its table is made.
    pub recipe: Recipe,
    /// The TensorRT version in the table's header.
    pub version: TableVersion,
    /// Activations that get no scale, since they are to stay in higher precision: names, or patterns with `*`.
    pub keep: Vec<String>,
    /// How INT8 is held against FP32.
    pub evaluation: Evaluation,
    /// Whether a table that is in the way is replaced.
    pub force: bool,
    /// The part of the samples to count; no table is made then.
    pub shard: Option<Shard>,
    /// Whether to go on with what an interrupted run has left.
    pub resume: bool,
}

impl Job {
    /// The wish of a fleet file. Looks at no file.
    pub fn of_fleet(model: &Model, recipe: &Recipe, force: bool) -> Self {
        Self {
            model: model.name.to_string(),
            onnx: model.onnx.clone(),
            shapes: Self::shapes_of(model),
            recipe: recipe.clone(),
            version: TableVersion::from_raw(TABLE_VERSION).expect("a version that there was"),
            keep: model.build.keep.clone(),
            evaluation: model.evaluation.clone().unwrap_or_default(),
            force,
            shard: None,
            resume: false,
        }
    }

    /// The shapes that the engine's profile is optimised for.
    pub fn shapes_of(model: &Model) -> Shapes {
        let dims = |dims: &[i64]| dims.iter().map(|side| side.unsigned_abs()).collect();
        model.build.shapes.iter().map(|(input, range)| (input.clone(), dims(&range.opt))).collect()
    }

    /// The model's name, or its file's without a fleet file.
    pub fn label(&self) -> String {
        match self.model.as_str() {
            "" => self.onnx.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
            name => name.to_owned(),
        }
    }
}
