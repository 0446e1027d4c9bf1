//! What can go wrong while calibrating, and what mends it.

use std::io;
use std::path::PathBuf;

use trt_calib::CalibError;
use trt_calib::set::SetError;
use trt_calib::table::TableError;
use trt_dataset::DatasetError;
use trt_evaluate::EvaluateError;
use trt_inference::SourceError;
use trt_onnx::OnnxError;

use super::keep::KeepError;
use crate::fleet::FilesError;
use crate::interrupt::Interrupted;

/// Why there is no calibration table.
#[derive(Debug, thiserror::Error)]
pub enum CalibrateError {
    /// The fleet file says nothing about the model's calibration.
    #[error("model `{model}` has no calibration")]
    NoCalibration { model: String },
    /// The model file cannot be used.
    #[error("{}: {source}", path.display())]
    Model { path: PathBuf, source: OnnxError },
    /// The model brings its own scales.
    #[error("{}: the model holds QuantizeLinear or DequantizeLinear nodes and needs no table", path.display())]
    Quantized { path: PathBuf },
    /// `keep` names an activation that the model does not have.
    #[error(transparent)]
    Keep(#[from] KeepError),
    /// `overrides` names an activation that the model does not have.
    #[error("`overrides` names nothing that the model computes: `{pattern}`")]
    Override { pattern: String },
    /// No activation could get a scale.
    #[error("the model has no float activation")]
    NoActivation,
    /// The samples cannot be found.
    #[error("{0}")]
    Files(#[from] FilesError),
    /// The samples cannot be used, or not be counted.
    #[error(transparent)]
    Dataset(DatasetError),
    /// `auto` needs samples for three purposes.
    #[error("`algorithm: auto` needs at least {least} distinct samples, and there are: {samples}")]
    FewForAuto { least: usize, samples: usize },
    /// A shard makes no table, and what `auto` chooses needs one.
    #[error(
        "`algorithm: auto` measures on samples that no shard counts, and a shard must count what all others do"
    )]
    AutoShard,
    /// What the user asked for needs counts that add up.
    #[error("{what} needs counts that add up, and the histograms' mode is `tensorrt`")]
    Unmergeable { what: &'static str },
    /// What the user asked for needs histograms that are kept.
    #[error("{what} needs histograms that are kept, and `histograms` is `false`")]
    NotKept { what: &'static str },
    /// A file of histograms cannot be used.
    #[error("{}: {source}", path.display())]
    Histograms { path: PathBuf, source: Box<SetError> },
    /// A file of histograms is not what the user takes it for.
    #[error("{} does not fit: {why}", path.display())]
    OtherHistograms { path: PathBuf, why: String },
    /// INT8 could not be held against FP32.
    #[error(transparent)]
    Evaluate(#[from] EvaluateError),
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    /// TensorRT's own calibrator is asked for what it cannot do.
    #[error("TensorRT's own calibrator, `backend: tensorrt`, has no {what}")]
    OwnCalibrator { what: String },
    /// There is no TensorRT to make the table.
    #[error("no TensorRT can calibrate here: {reason}")]
    NoTensorRt { reason: String },
    /// The backend could not do its part.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// An algorithm could not do its part for the whole model.
    #[error(transparent)]
    Calib(#[from] CalibError),
    /// A table cannot be used.
    #[error("{}: {source}", path.display())]
    Table { path: PathBuf, source: TableError },
    /// A table does not fit the model.
    #[error("{} belongs to another model: {why}", path.display())]
    OtherModel { path: PathBuf, why: String },
    /// A table's provenance names another model.
    #[error("{} was made from another model, or another version of it: `{made_from}`", path.display())]
    OtherSource { path: PathBuf, made_from: String },
    /// The table was edited.
    #[error("{} is not the table that was written with its `.json`: it was edited", path.display())]
    Edited { path: PathBuf },
    /// There is a table that this tool did not make.
    #[error("{} is in the way: {why}", path.display())]
    Foreign { path: PathBuf, why: String },
    /// The table cannot be written.
    #[error("cannot write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    /// The table's provenance cannot be put into words.
    #[error("the table's provenance cannot be recorded")]
    Provenance { source: serde_json::Error },
    /// Ctrl-C.
    #[error("interrupted")]
    Interrupted(#[from] Interrupted),
}

/// How many broken samples a message names.
pub const SHOWN: usize = 5;

impl From<DatasetError> for CalibrateError {
    fn from(error: DatasetError) -> Self {
        match error {
            DatasetError::Interrupted => Self::Interrupted(Interrupted),
            DatasetError::Source(error) => Self::Source(error),
            other => Self::Dataset(other),
        }
    }
}

impl CalibrateError {
    /// Whether activations were not numbers.
    pub fn is_not_a_number(&self) -> bool {
        matches!(
            self,
            Self::Source(SourceError::NotANumber { .. }) | Self::Dataset(DatasetError::AllNotANumber { .. })
        )
    }

    /// The broken samples that are too many, each with its reason.
    pub fn undecodable(&self) -> &[String] {
        match self {
            Self::Dataset(DatasetError::Undecodable { bad, .. }) => bad,
            _ => &[],
        }
    }

    /// What mends it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoCalibration { model } => {
                format!("add `calibration:` to `models.{model}` in the fleet file, with `images` or `table`")
            }
            Self::Model { source, .. } => return source.hint(),
            Self::Quantized { .. } => {
                "remove `calibration` from the model in the fleet file: its own scales are used".to_owned()
            }
            Self::Keep(error) => return error.hint(),
            Self::NoActivation => "check that `onnx` names the model that you mean".to_owned(),
            Self::Files(error) => return error.hint(),
            Self::Dataset(error) => return error.hint(),
            Self::Evaluate(error) => return error.hint(),
            Self::Override { .. } => {
                "names are those of ONNX values, as in a calibration table (`trt-deploy table show`); `*` stands for any \
                 text"
                    .to_owned()
            }
            Self::FewForAuto { .. } => "give more images, raise `count`, or name an algorithm".to_owned(),
            Self::AutoShard => {
                "name an algorithm for the shards; `table derive` tries others on the merged histograms".to_owned()
            }
            Self::Unmergeable { .. } => "set `histogram: canonical` (`--histogram-mode canonical`)".to_owned(),
            Self::NotKept { .. } => "name a file in `histograms` (`--histograms FILE`), or remove the key".to_owned(),
            Self::Histograms { source, .. } => return source.hint(),
            Self::OtherHistograms { .. } => {
                "`trt-deploy table histogram FILE` says what they were made from; `trt-deploy calibrate` makes new ones"
                    .to_owned()
            }
            Self::Read { source, .. } if source.kind() == io::ErrorKind::InvalidInput => {
                "name a file: pipes and devices are not read, since what they give cannot be read again".to_owned()
            }
            Self::Read { .. } => "check that this is a file, that it is there, and that you may read it".to_owned(),
            Self::OwnCalibrator { .. } => {
                "it has `entropy`, `entropy1`, `minmax` and `legacy`, on one GPU, for all tensors alike; leave the rest out, \
                 or choose another `backend` (`--backend auto`)"
                    .to_owned()
            }
            Self::NoTensorRt { .. } => {
                "install TensorRT 8 or 10 and NVIDIA's driver, name the folder of its libraries in `tensorrt-dir` \
                 (`--tensorrt-dir DIR`), or choose another `backend` (`--backend auto`)"
                    .to_owned()
            }
            Self::Source(error) => return error.hint(),
            Self::Calib(error) => return error.hint(),
            Self::Table { source, .. } => return source.hint(),
            Self::OtherModel { .. } => {
                "give the table of this very model, or `images` in place of `table` to make one".to_owned()
            }
            Self::OtherSource { path, .. } => format!(
                "make the table anew from this model; if its scales are right all the same, remove {}.json, and it is \
                 used without a check",
                path.display()
            ),
            Self::Provenance { .. } => "this is a defect of trt-deploy: please report it".to_owned(),
            Self::Edited { path } | Self::Foreign { path, .. } => format!(
                "`--force` replaces it; to use it as it is, write `table: {}` in place of `images`",
                path.display()
            ),
            Self::Write { .. } => "check the folder's permissions and the free space (`df -h`)".to_owned(),
            Self::Interrupted(_) => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One value of every variant that a user can cause.
    fn every_variant() -> Vec<CalibrateError> {
        let (text, path) = (|| "x".to_owned(), || PathBuf::from("x"));
        let denied = || io::Error::from(io::ErrorKind::PermissionDenied);
        let mut all = vec![
            CalibrateError::NoCalibration { model: text() },
            CalibrateError::Model { path: path(), source: OnnxError::NoGraph },
            CalibrateError::Quantized { path: path() },
            CalibrateError::Keep(KeepError::Unknown { pattern: text(), near: vec![] }),
            CalibrateError::Keep(KeepError::Unknown { pattern: text(), near: vec![text()] }),
            CalibrateError::Keep(KeepError::Node { node: text(), outputs: vec![text()] }),
            CalibrateError::Keep(KeepError::Everything),
            CalibrateError::NoActivation,
            CalibrateError::Files(FilesError::Path { text: text(), source: crate::fleet::PathError::Empty }),
            CalibrateError::Dataset(DatasetError::NoSamples),
            CalibrateError::Evaluate(EvaluateError::NoSamples { first: None }),
            CalibrateError::Override { pattern: text() },
            CalibrateError::FewForAuto { least: 3, samples: 1 },
            CalibrateError::AutoShard,
            CalibrateError::Unmergeable { what: "`--resume`" },
            CalibrateError::NotKept { what: "`--resume`" },
            CalibrateError::Histograms { path: path(), source: Box::new(SetError::Nothing) },
            CalibrateError::OtherHistograms { path: path(), why: text() },
            CalibrateError::Read { path: path(), source: denied() },
            CalibrateError::Read { path: path(), source: io::ErrorKind::InvalidInput.into() },
            CalibrateError::OwnCalibrator { what: text() },
            CalibrateError::NoTensorRt { reason: text() },
            CalibrateError::Calib(CalibError::UnknownAlgorithm { found: text() }),
            CalibrateError::Table { path: path(), source: TableError::Empty },
            CalibrateError::OtherModel { path: path(), why: text() },
            CalibrateError::OtherSource { path: path(), made_from: text() },
            CalibrateError::Provenance { source: serde_json::from_str::<u8>("x").unwrap_err() },
            CalibrateError::Edited { path: path() },
            CalibrateError::Foreign { path: path(), why: text() },
            CalibrateError::Write { path: path(), source: denied() },
        ];
        all.extend(
            [
                SourceError::Unsupported { node: None, reason: text() },
                SourceError::Foreign { node: text(), domain: text(), reason: text() },
                SourceError::Load { node: None, reason: text() },
                SourceError::ExternalData { path: path(), source: denied() },
                SourceError::Run { node: Some(text()), reason: text() },
                SourceError::Panicked { reason: text() },
                SourceError::NotANumber { tensor: text(), count: 1, samples: vec![text()] },
            ]
            .map(CalibrateError::Source),
        );
        all
    }

    #[test]
    fn whatever_a_user_can_cause_has_a_hint() {
        for error in every_variant() {
            assert!(error.hint().is_some_and(|hint| !hint.is_empty()), "{error:?}");
        }
    }

    #[test]
    fn messages_end_without_a_full_stop() {
        for error in every_variant() {
            assert!(!error.to_string().ends_with('.'), "{error}");
        }
    }
}
