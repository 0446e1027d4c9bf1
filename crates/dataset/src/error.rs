//! What can go wrong with a dataset, and what mends it.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use trt_imaging::ImagingError;
use trt_inference::SourceError;

use crate::Elem;

/// Why there are no samples, or why they could not be counted.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// The model takes nothing.
    #[error("the model has no input")]
    NoInput,
    /// Samples are given for an input that the model does not have.
    #[error("samples are given for an input that the model does not have: `{input}`")]
    UnknownSource {
        /// The name.
        input: String,
        /// The model's inputs.
        known: Vec<String>,
    },
    /// Samples are given twice for the same input.
    #[error("samples are given twice for input `{input}`")]
    TwoSources {
        /// Its name.
        input: String,
    },
    /// An input gets nothing.
    #[error("no samples are given for {}: {}", if inputs.len() == 1 { "input" } else { "inputs" }, inputs.join(", "))]
    Unfed {
        /// The inputs.
        inputs: Vec<String>,
        /// How many inputs the model has.
        of: usize,
    },
    /// The input takes strings.
    #[error("input `{input}` takes strings, which no calibration can give it")]
    Strings {
        /// Its name.
        input: String,
    },
    /// The input's elements are of no type that samples have.
    #[error("the elements of input `{input}` are {elements}, which samples cannot be")]
    Elements {
        /// Its name.
        input: String,
        /// What they are.
        elements: String,
    },
    /// The input does not hold images.
    #[error("input `{input}` takes no images: {reason}")]
    NotImages {
        /// Its name.
        input: String,
        /// Why.
        reason: String,
    },
    /// A dimension is open in the model and nothing fixes it.
    #[error("the {axis} of input `{input}` is open in the model, and no shape fixes it")]
    OpenShape {
        /// Its name.
        input: String,
        /// Which dimension.
        axis: String,
        /// The model's name in the fleet file; empty without one.
        model: String,
        /// Whether the input takes images.
        images: bool,
    },
    /// The configured shape contradicts the model.
    #[error("the shape configured for input `{input}` does not fit the model's {model}: {configured}")]
    Shape {
        /// Its name.
        input: String,
        /// The model's shape.
        model: String,
        /// The configured one.
        configured: String,
    },
    /// A shape is configured for an input that the model does not have.
    #[error("`shapes` names an input that the model does not have: `{input}`")]
    UnknownInput {
        /// The name.
        input: String,
        /// The model's inputs.
        known: Vec<String>,
    },
    /// The preprocessing cannot give what the model takes.
    #[error("the preprocessing does not fit input `{input}`: {source}")]
    Preprocess {
        /// The input's name.
        input: String,
        /// Why.
        source: ImagingError,
    },
    /// The channels of preprocessing and model differ.
    #[error("input `{input}` has {model} channels, and the preprocessing gives: {preprocess}")]
    Channels {
        /// The input's name.
        input: String,
        /// The model's.
        model: u64,
        /// The preprocessing's.
        preprocess: usize,
    },
    /// Images come one at a time, and the input takes more, while another input has no batch.
    #[error("input `{input}` takes {batch} images at once, but the model's inputs share no batch dimension")]
    Batchless {
        /// Its name.
        input: String,
        /// How many.
        batch: u64,
    },
    /// There are more or fewer samples of one input than of another.
    #[error("the inputs have different numbers of samples, and `{path}` has no partner: {counts}")]
    Unequal {
        /// What is left over.
        path: String,
        /// How many there are of each.
        counts: String,
    },
    /// A sample of one input has no partner of the same name.
    #[error("`{path}` has no partner of the same name among the samples for input `{input}`")]
    NoPartner {
        /// What has none.
        path: String,
        /// Where it is missing.
        input: String,
    },
    /// Two samples of one input have the same name.
    #[error("two samples for input `{input}` have the same name, so that pairs cannot be told: `{name}`")]
    SameName {
        /// The input's name.
        input: String,
        /// The name.
        name: String,
    },
    /// There is nothing to choose from.
    #[error("there are no samples")]
    NoSamples,
    /// A shard that gets nothing.
    #[error("shard {shard} has no sample, since only so many are chosen: {chosen}")]
    EmptyShard {
        /// Which.
        shard: String,
        /// How many samples are chosen.
        chosen: usize,
    },
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Not one sample could be decoded.
    #[error("none of the {count} samples could be decoded; the first, {name}: {source}")]
    AllUndecodable {
        /// How many there are.
        count: usize,
        /// The first.
        name: String,
        /// What is wrong with it.
        source: SampleError,
    },
    /// More samples are broken than the configuration tolerates.
    #[error("{} of {total} samples could not be decoded, more than the share of {limit}: {}", bad.len(), some(bad))]
    Undecodable {
        /// Each with its reason.
        bad: Vec<String>,
        /// How many samples there are.
        total: usize,
        /// The share that is tolerated.
        limit: f64,
    },
    /// Every sample that could be decoded was left out, since it gave NaN.
    #[error("all samples were left out, since each gives values that are not a number: {}", some(bad))]
    AllNotANumber {
        /// Each with its reason.
        bad: Vec<String>,
    },
    /// The model's batch size is fixed, and there are fewer samples.
    #[error("the model takes batches of exactly {batch} samples, and there are: {samples}")]
    SmallBatch {
        /// The model's batch size.
        batch: usize,
        /// How many samples there are.
        samples: usize,
    },
    /// The backend could not do its part.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The checkpoint cannot be kept.
    #[error("the checkpoint cannot be kept: {source}")]
    Checkpoint {
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The caller wants it to end.
    #[error("interrupted")]
    Interrupted,
}

/// Why a sample is left out.
#[derive(Debug, thiserror::Error)]
pub enum SampleError {
    /// The image cannot be decoded.
    #[error(transparent)]
    Imaging(#[from] ImagingError),
    /// The array cannot be read.
    #[error(transparent)]
    Array(#[from] ArrayError),
    /// A decoder has a defect, which one sample brings out.
    #[error("the decoder failed in a way that it should not: {reason}")]
    Panicked {
        /// What the panic said.
        reason: String,
    },
    /// A part of the sample, for one of several inputs, is broken.
    #[error("input `{input}`: {source}")]
    Part {
        /// The input's name.
        input: String,
        /// What is wrong.
        source: Box<SampleError>,
    },
}

/// Why an array file gives no sample.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArrayError {
    /// The file has no bytes.
    #[error("the array file is empty")]
    Empty,
    /// It is no array.
    #[error("it is no array of NumPy's: {reason}")]
    Corrupt {
        /// Why.
        reason: String,
    },
    /// It ends before the array does.
    #[error("the array is truncated: it has {expected} bytes, and the file still has: {found}")]
    Truncated {
        /// What the header says.
        expected: u64,
        /// What there is.
        found: u64,
    },
    /// Elements that are no numbers, or no numbers that are known here.
    #[error("elements of this type cannot be read: `{found}`")]
    Type {
        /// NumPy's name of it.
        found: String,
    },
    /// The input's type cannot hold a value.
    #[error("its {stored} cannot become {} without loss: element {at} is {value}", elem.name())]
    Lossy {
        /// The file's type.
        stored: String,
        /// The input's.
        elem: Elem,
        /// The first such element.
        at: usize,
        /// Its value.
        value: String,
    },
    /// The shape is not that of the model's input.
    #[error(
        "a sample has the shape {expected} (or that of several, with one more dimension in front), not: {found}"
    )]
    Shape {
        /// One sample's.
        expected: String,
        /// The array's.
        found: String,
    },
    /// Samples lie across each other.
    #[error("the samples of the stacked array lie in Fortran's order, so that no single one can be read")]
    Fortran,
    /// A sample that takes too much memory.
    #[error("one sample has more than {limit} bytes: {bytes}")]
    TooLarge {
        /// Its size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// A stack of more samples than can be kept in mind.
    #[error("the stack has more than {limit} samples: {samples}")]
    TooMany {
        /// How many there are.
        samples: u64,
        /// The limit.
        limit: u64,
    },
    /// The archive has no array for the input.
    #[error("the archive has no array `{name}`, only: {}", known.join(", "))]
    NoArray {
        /// The input's name.
        name: String,
        /// The arrays there are.
        known: Vec<String>,
    },
    /// The archive is none, or is broken.
    #[error("the archive cannot be read: {reason}")]
    Archive {
        /// Why.
        reason: String,
    },
    /// The file cannot be read.
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
}

/// How many broken samples a message names.
const SHOWN: usize = 5;

/// The first few of a list.
fn some(items: &[String]) -> String {
    let more = items.len().saturating_sub(SHOWN);
    let mut text = items.iter().take(SHOWN).cloned().collect::<Vec<_>>().join("; ");
    if more > 0 {
        text.push_str(&format!("; and {more} more (`-v` or `--json` lists all)"));
    }
    text
}

impl DatasetError {
    /// The broken samples that are too many, each with its reason; the message names the first few.
    pub fn undecodable(&self) -> &[String] {
        match self {
            Self::Undecodable { bad, .. } | Self::AllNotANumber { bad } => bad,
            _ => &[],
        }
    }

    /// What mends it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoInput => "check that `onnx` names the model that you mean".to_owned(),
            Self::UnknownSource { known, .. } | Self::UnknownInput { known, .. } => {
                format!("the model's inputs: {}", quoted(known))
            }
            Self::TwoSources { input } => format!("give the samples of `{input}` in one place"),
            Self::Unfed { of: 1, .. } => "give `images`, or `inputs` with `.npy` or `.npz` files".to_owned(),
            Self::Unfed { inputs, .. } => format!(
                "add `{}` under `inputs` with a folder of `.npy` files, or give `.npz` archives with an array for each \
                 input, named as the input",
                inputs.first().map_or("", String::as_str)
            ),
            Self::Strings { input } => {
                format!("cut the model before `{input}` is turned into numbers, or give a table made elsewhere as `table:`")
            }
            Self::Elements { .. } => {
                "export the model with float32 inputs, or calibrate elsewhere and give the file as `table:`".to_owned()
            }
            Self::NotImages { input, .. } => format!(
                "give its samples as arrays: `{input}` under `inputs`, with a folder of `.npy` files"
            ),
            Self::OpenShape { input, model, images: true, .. } if model.is_empty() => {
                format!("add `--shape {input}:1x3x640x640` with the size to calibrate at")
            }
            Self::OpenShape { input, model, images: true, .. } => format!(
                "set `models.{model}.shapes.{input}.opt` in the fleet file, for example `[1, 3, 640, 640]`, or `size` \
                 in `preprocess`"
            ),
            Self::OpenShape { input, model, .. } if model.is_empty() => {
                format!("add `--shape {input}:1x128` with the shape to calibrate at")
            }
            Self::OpenShape { input, model, .. } => {
                format!("set `models.{model}.shapes.{input}.opt` in the fleet file, for example `[1, 128]`")
            }
            Self::Shape { input, .. } => {
                format!("correct `shapes.{input}` (or `--shape`): it must keep the model's fixed dimensions")
            }
            Self::Preprocess { source, .. } => return source.hint(),
            Self::Channels { .. } => {
                "set `channels` in `preprocess` to `rgb`, `bgr` or `grey`, or `layout: nhwc` if channels come last"
                    .to_owned()
            }
            Self::Batchless { .. } => "export the model with a batch size of 1, or give its samples as arrays".to_owned(),
            Self::Unequal { .. } | Self::NoPartner { .. } => {
                "give each input as many samples, with the same file names but for the extension".to_owned()
            }
            Self::SameName { .. } => {
                "rename one of the files, or set `pairing: order` to pair them in the order of their paths".to_owned()
            }
            Self::NoSamples => "check what `images` or `inputs` names".to_owned(),
            Self::EmptyShard { .. } => "use fewer shards, or raise `count`".to_owned(),
            Self::Read { source, .. } if source.kind() == io::ErrorKind::InvalidInput => {
                "name a file: pipes and devices are not read, since what they give cannot be read again".to_owned()
            }
            Self::Read { .. } => "check that this is a file, that it is there, and that you may read it".to_owned(),
            Self::AllUndecodable { source, .. } => return source.hint(),
            Self::Undecodable { .. } => {
                "remove or repair the files, or raise `calibration.max-undecodable` (`--max-undecodable`)".to_owned()
            }
            Self::AllNotANumber { .. } => {
                "check `preprocess` and run the model in FP32 on one of them: a model with such values cannot be quantized"
                    .to_owned()
            }
            Self::SmallBatch { batch, .. } => {
                format!("give at least {batch} samples, or export the model with a dynamic batch size")
            }
            Self::Source(error) => return error.hint(),
            Self::Checkpoint { .. } => "check the folder's permissions and the free space (`df -h`)".to_owned(),
            Self::Interrupted => return None,
        })
    }
}

impl SampleError {
    /// What mends it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Imaging(_) => {
                "check what `images` names: JPEG, PNG, BMP and WebP files are read".to_owned()
            }
            Self::Array(error) => return error.hint(),
            Self::Panicked { .. } => {
                "remove the file, and report it: this is a defect of trt-deploy".to_owned()
            }
            Self::Part { source, .. } => return source.hint(),
        })
    }
}

impl ArrayError {
    /// What mends it.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Empty | Self::Corrupt { .. } | Self::Truncated { .. } | Self::Archive { .. } => {
                "write the file again with `numpy.save` or `numpy.savez`"
            }
            Self::Type { .. } => "save it with a plain type: `numpy.save(path, array.astype('float32'))`",
            Self::Lossy { elem, .. } => {
                return Some(format!("save it as the model takes it: `array.astype('{}')`", elem.name()));
            }
            Self::Shape { .. } => {
                "save arrays of the shape that the model takes, or correct `shapes` (`--shape`)"
            }
            Self::Fortran => "save it with `numpy.save(path, numpy.ascontiguousarray(array))`",
            Self::TooMany { .. } => "save a part of them: calibration takes a few hundred samples",
            Self::TooLarge { .. } => "correct `shapes` (`--shape`): no input is that large",
            Self::NoArray { .. } => {
                "name the arrays as the model's inputs: `numpy.savez(path, **{'input': array})`"
            }
            Self::Io(_) => "check that this is a file, that it is there, and that you may read it",
        };
        Some(text.to_owned())
    }
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text() -> String {
        "x".to_owned()
    }

    fn every_array_error() -> Vec<ArrayError> {
        vec![
            ArrayError::Empty,
            ArrayError::Corrupt { reason: text() },
            ArrayError::Truncated { expected: 2, found: 1 },
            ArrayError::Type { found: text() },
            ArrayError::Lossy { stored: text(), elem: Elem::F32, at: 0, value: text() },
            ArrayError::Shape { expected: text(), found: text() },
            ArrayError::Fortran,
            ArrayError::TooLarge { bytes: 2, limit: 1 },
            ArrayError::TooMany { samples: 2, limit: 1 },
            ArrayError::NoArray { name: text(), known: vec![text()] },
            ArrayError::Archive { reason: text() },
            ArrayError::Io(io::ErrorKind::PermissionDenied.into()),
        ]
    }

    /// Every variant that a user can cause.
    fn every_error() -> Vec<DatasetError> {
        let open = |model: &str, images| DatasetError::OpenShape {
            input: text(),
            axis: text(),
            model: model.to_owned(),
            images,
        };
        let read = |kind: io::ErrorKind| DatasetError::Read { path: "x".into(), source: kind.into() };
        let source = || SampleError::Panicked { reason: text() };
        let nan = || SourceError::NotANumber { tensor: text(), count: 1, samples: vec![text()] };
        vec![
            DatasetError::NoInput,
            DatasetError::UnknownSource { input: text(), known: vec![text()] },
            DatasetError::TwoSources { input: text() },
            DatasetError::Unfed { inputs: vec![text()], of: 1 },
            DatasetError::Unfed { inputs: vec![text()], of: 2 },
            DatasetError::Strings { input: text() },
            DatasetError::Elements { input: text(), elements: text() },
            DatasetError::NotImages { input: text(), reason: text() },
            open("", true),
            open("m", true),
            open("", false),
            open("m", false),
            DatasetError::Shape { input: text(), model: text(), configured: text() },
            DatasetError::UnknownInput { input: text(), known: vec![text()] },
            DatasetError::Preprocess { input: text(), source: ImagingError::SizeUnknown },
            DatasetError::Channels { input: text(), model: 1, preprocess: 3 },
            DatasetError::Batchless { input: text(), batch: 2 },
            DatasetError::Unequal { path: text(), counts: text() },
            DatasetError::NoPartner { path: text(), input: text() },
            DatasetError::SameName { input: text(), name: text() },
            DatasetError::NoSamples,
            DatasetError::EmptyShard { shard: text(), chosen: 1 },
            read(io::ErrorKind::InvalidInput),
            read(io::ErrorKind::NotFound),
            DatasetError::AllUndecodable { count: 1, name: text(), source: source() },
            DatasetError::Undecodable { bad: vec![text()], total: 1, limit: 0.0 },
            DatasetError::AllNotANumber { bad: vec![text()] },
            DatasetError::SmallBatch { batch: 2, samples: 1 },
            DatasetError::Source(nan()),
            DatasetError::Checkpoint { source: "x".into() },
        ]
    }

    #[test]
    fn every_error_has_a_hint_and_no_full_stop() {
        for error in every_error() {
            assert!(error.hint().is_some_and(|hint| !hint.is_empty()), "{error:?}");
            assert!(!error.to_string().ends_with('.'), "{error}");
        }
        for error in every_array_error() {
            assert!(error.hint().is_some_and(|hint| !hint.is_empty()), "{error:?}");
            let error = SampleError::Part { input: text(), source: Box::new(error.into()) };
            assert!(error.hint().is_some() && !error.to_string().ends_with('.'), "{error}");
        }
        assert_eq!(DatasetError::Interrupted.hint(), None);
    }

    #[test]
    fn a_message_names_the_first_few() {
        let bad = (0..7).map(|at| format!("{at}.jpg")).collect();
        let error = DatasetError::Undecodable { bad, total: 9, limit: 0.1 };
        assert!(error.to_string().ends_with("4.jpg; and 2 more (`-v` or `--json` lists all)"), "{error}");
        assert_eq!(error.undecodable().len(), 7);
    }
}
