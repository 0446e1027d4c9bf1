//! What can go wrong while calibrating, and what mends it.

use std::io;
use std::path::PathBuf;

use trt_calib::CalibError;
use trt_calib::table::TableError;
use trt_imaging::ImagingError;
use trt_inference::SourceError;
use trt_onnx::OnnxError;

use super::keep::KeepError;
use crate::fleet::ImagesError;
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
    /// The model has no input, or more than one.
    #[error("calibration needs a model with one input, and this one has {}", inputs(names))]
    Inputs { names: Vec<String> },
    /// The input does not hold images.
    #[error("input `{input}` takes no images: {reason}")]
    NotImages { input: String, reason: String },
    /// A dimension is open in the model and nothing fixes it.
    #[error("the {axis} of input `{input}` is open in the model, and no shape fixes it")]
    OpenShape { input: String, axis: &'static str, model: String },
    /// The configured shape contradicts the model.
    #[error("the shape configured for input `{input}` does not fit the model's {model}: {configured}")]
    Shape { input: String, model: String, configured: String },
    /// A shape is configured for an input that the model does not have.
    #[error("`shapes` names an input that the model does not have: `{input}`")]
    UnknownInput { input: String, known: String },
    /// The preprocessing cannot give what the model takes.
    #[error("the preprocessing does not fit input `{input}`: {source}")]
    Preprocess { input: String, source: ImagingError },
    /// The channels of preprocessing and model differ.
    #[error("input `{input}` has {model} channels, and the preprocessing gives: {preprocess}")]
    Channels { input: String, model: u64, preprocess: usize },
    /// `keep` names an activation that the model does not have.
    #[error(transparent)]
    Keep(#[from] KeepError),
    /// No activation could get a scale.
    #[error("the model has no float activation")]
    NoActivation,
    /// The images cannot be found.
    #[error("{0}")]
    Images(#[from] ImagesError),
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    /// Not one image could be decoded.
    #[error("none of the {count} images could be decoded; the first, {}: {source}", path.display())]
    AllUndecodable { count: usize, path: PathBuf, source: ImageError },
    /// More images are broken than the configuration tolerates.
    #[error("{} of {total} images could not be decoded, more than the share of {limit}: {}", bad.len(), some(bad))]
    Undecodable { bad: Vec<String>, total: usize, limit: f64 },
    /// The model's batch size is fixed, and there are fewer images.
    #[error("the model takes batches of exactly {batch} images, and there are: {images}")]
    SmallBatch { batch: usize, images: usize },
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

/// Why an image is left out.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The file cannot be decoded.
    #[error(transparent)]
    Imaging(#[from] ImagingError),
    /// The decoder has a defect, which one image brings out.
    #[error("the decoder failed in a way that it should not: {reason}")]
    Panicked { reason: String },
}

/// How many broken images a message names.
pub const SHOWN: usize = 5;

/// The first few of a list.
fn some(items: &[String]) -> String {
    let more = items.len().saturating_sub(SHOWN);
    let mut text = items.iter().take(SHOWN).cloned().collect::<Vec<_>>().join("; ");
    if more > 0 {
        text.push_str(&format!("; and {more} more (`-v` or `--json` lists all)"));
    }
    text
}

fn inputs(names: &[String]) -> String {
    match names {
        [] => "none".to_owned(),
        _ => format!("{}: {}", names.len(), names.join(", ")),
    }
}

impl CalibrateError {
    /// The broken images that are too many, each with its reason.
    pub fn undecodable(&self) -> &[String] {
        match self {
            Self::Undecodable { bad, .. } => bad,
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
            Self::Inputs { .. } => {
                "models with several inputs are not supported yet: calibrate elsewhere and give the file as `table:`"
                    .to_owned()
            }
            Self::NotImages { .. } => {
                "only float inputs of four dimensions are supported yet: calibrate elsewhere and give the file as \
                 `table:`"
                    .to_owned()
            }
            Self::OpenShape { input, model, .. } if model.is_empty() => {
                format!("add `--shape {input}:1x3x640x640` with the size to calibrate at")
            }
            Self::OpenShape { input, model, .. } => format!(
                "set `models.{model}.shapes.{input}.opt` in the fleet file, for example `[1, 3, 640, 640]`, or `size` \
                 in `preprocess`"
            ),
            Self::Shape { input, .. } => {
                format!("correct `shapes.{input}` (or `--shape`): it must keep the model's fixed dimensions")
            }
            Self::UnknownInput { known, .. } => format!("the model's input: `{known}`"),
            Self::Preprocess { source, .. } => return source.hint(),
            Self::Channels { .. } => {
                "set `channels` in `preprocess` to `rgb`, `bgr` or `grey`, or `layout: nhwc` if channels come last"
                    .to_owned()
            }
            Self::Keep(error) => return error.hint(),
            Self::NoActivation => "check that `onnx` names the model that you mean".to_owned(),
            Self::Images(error) => return error.hint(),
            Self::Read { source, .. } if source.kind() == io::ErrorKind::InvalidInput => {
                "name a file: pipes and devices are not read, since what they give cannot be read again".to_owned()
            }
            Self::Read { .. } => "check that this is a file, that it is there, and that you may read it".to_owned(),
            Self::AllUndecodable { .. } => {
                "check what `images` names: JPEG, PNG, BMP and WebP files are read".to_owned()
            }
            Self::Undecodable { .. } => {
                "remove or repair the files, or raise `calibration.max-undecodable` (`--max-undecodable`)".to_owned()
            }
            Self::SmallBatch { batch, .. } => {
                format!("give at least {batch} images, or export the model with a dynamic batch size")
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
        let no_size = || ImagingError::SizeUnknown;
        let denied = || io::Error::from(io::ErrorKind::PermissionDenied);
        let mut all = vec![
            CalibrateError::NoCalibration { model: text() },
            CalibrateError::Model { path: path(), source: OnnxError::NoGraph },
            CalibrateError::Quantized { path: path() },
            CalibrateError::Inputs { names: vec![] },
            CalibrateError::NotImages { input: text(), reason: text() },
            CalibrateError::OpenShape { input: text(), axis: "height", model: text() },
            CalibrateError::OpenShape { input: text(), axis: "height", model: String::new() },
            CalibrateError::Shape { input: text(), model: text(), configured: text() },
            CalibrateError::UnknownInput { input: text(), known: text() },
            CalibrateError::Preprocess { input: text(), source: no_size() },
            CalibrateError::Channels { input: text(), model: 4, preprocess: 3 },
            CalibrateError::Keep(KeepError::Unknown { pattern: text(), near: vec![] }),
            CalibrateError::Keep(KeepError::Unknown { pattern: text(), near: vec![text()] }),
            CalibrateError::Keep(KeepError::Node { node: text(), outputs: vec![text()] }),
            CalibrateError::Keep(KeepError::Everything),
            CalibrateError::NoActivation,
            CalibrateError::Images(ImagesError::NotFound { path: path() }),
            CalibrateError::Read { path: path(), source: denied() },
            CalibrateError::Read { path: path(), source: io::ErrorKind::InvalidInput.into() },
            CalibrateError::AllUndecodable { count: 1, path: path(), source: ImagingError::Empty.into() },
            CalibrateError::Undecodable { bad: vec![text()], total: 2, limit: 0.1 },
            CalibrateError::SmallBatch { batch: 8, images: 2 },
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

    #[test]
    fn a_long_list_of_broken_images_is_cut() {
        let bad = (0..7).map(|n| n.to_string()).collect();
        let error = CalibrateError::Undecodable { bad, total: 9, limit: 0.05 };
        assert_eq!(
            error.to_string(),
            "7 of 9 images could not be decoded, more than the share of 0.05: 0; 1; 2; 3; 4; and 2 more \
             (`-v` or `--json` lists all)"
        );
    }
}
