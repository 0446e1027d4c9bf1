//! What can be wrong with a file of histograms, or with putting several together.

use super::{FORMAT, MAX_BYTES, MAX_TENSORS, Shard};
use crate::{CalibError, Mode};

/// Why there is no set of histograms.
#[derive(Debug, thiserror::Error)]
pub enum SetError {
    /// The file exceeds [`MAX_BYTES`].
    #[error("a file of histograms has at most {MAX_BYTES} bytes: {bytes}")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// There are more than [`MAX_TENSORS`] tensors.
    #[error("a file of histograms has at most {MAX_TENSORS} tensors: {tensors}")]
    TooManyTensors {
        /// Their number.
        tensors: usize,
    },
    /// The bytes are no safetensors file, or a damaged one.
    #[error("the file holds no histograms, or is damaged")]
    Container {
        /// Where and why.
        #[source]
        source: safetensors::SafeTensorError,
    },
    /// It is a safetensors file of another tool.
    #[error("the file holds tensors, but nothing says that they are histograms")]
    Foreign,
    /// A later version wrote it.
    #[error("the histograms have format {found}, but this version reads up to: {FORMAT}")]
    Newer {
        /// Its format.
        found: u32,
    },
    /// What describes the tensors cannot be read.
    #[error("the description of the histograms cannot be read")]
    Description {
        /// Where and why.
        #[source]
        source: serde_json::Error,
    },
    /// A tensor of the description is missing, or there are more than it describes.
    #[error("the file does not hold the histograms that it describes: {reason}")]
    Contents {
        /// What is missing or wrong.
        reason: String,
    },
    /// The counts of a tensor contradict each other.
    #[error("the histogram of `{name}` cannot be used")]
    Counts {
        /// The tensor.
        name: String,
        /// Why.
        #[source]
        source: CalibError,
    },
    /// Two tensors have one name, or one has the name that the format reserves.
    #[error("the name cannot be given to a histogram, or was given before: `{name}`")]
    Name {
        /// The name.
        name: String,
    },
    /// A tensor was counted otherwise than the set says.
    #[error("the histogram was not counted in the mode of its set, {mode}: `{name}`")]
    Mode {
        /// The tensor.
        name: String,
        /// The mode of the set.
        mode: Mode,
    },
    /// There is nothing to merge.
    #[error("no histograms were given")]
    Nothing,
    /// Sets differ in what decides about the counts.
    #[error("histograms made with different {what} cannot be merged: {first} and {other}")]
    Differ {
        /// What differs: `models`, `preprocessing`, `shapes`, `modes` or `tensors`.
        what: &'static str,
        /// What the first set has.
        first: String,
        /// What another has.
        other: String,
    },
    /// A sample is in two sets.
    #[error("a sample would be counted twice: `{name}`")]
    SampleTwice {
        /// Its name.
        name: String,
    },
    /// A shard is in two sets.
    #[error("a shard would be counted twice: {}/{}", shard.index, shard.of)]
    ShardTwice {
        /// The shard.
        shard: Shard,
    },
}

impl SetError {
    /// What mends it, in one sentence.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::TooLarge { .. } | Self::Container { .. } | Self::Foreign => {
                "name a file that `trt-deploy calibrate --histograms` wrote"
            }
            Self::TooManyTensors { .. } => "calibrate a part of the model",
            Self::Newer { .. } => "update trt-deploy, or run `trt-deploy calibrate` to count anew",
            Self::Description { .. } | Self::Contents { .. } | Self::Counts { .. } | Self::Mode { .. } => {
                "run `trt-deploy calibrate` again to count anew"
            }
            Self::Name { .. } => "rename the tensor in the model",
            Self::Nothing => "name the files that `trt-deploy calibrate --shard` wrote",
            Self::Differ { what: "modes", .. } => "count every part with `histogram: canonical`",
            Self::Differ { .. } => "calibrate every part with the same model, `preprocess` and `shapes`",
            Self::SampleTwice { .. } => {
                "leave out one of the files, or calibrate with `--shard` to share samples out"
            }
            Self::ShardTwice { .. } => "name each file once, and give each run its own `--shard`",
        };
        Some(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_is_worded_as_the_style_asks_and_has_a_hint() {
        let name = || "relu1".to_owned();
        for error in [
            SetError::TooLarge { bytes: 1 },
            SetError::TooManyTensors { tensors: 1 },
            SetError::Container { source: safetensors::SafeTensorError::HeaderTooSmall },
            SetError::Foreign,
            SetError::Newer { found: 2 },
            SetError::Description { source: serde_json::from_str::<u32>("x").unwrap_err() },
            SetError::Contents { reason: "why".to_owned() },
            SetError::Counts { name: name(), source: CalibError::Unmergeable },
            SetError::Name { name: name() },
            SetError::Mode { name: name(), mode: Mode::Canonical },
            SetError::Nothing,
            SetError::Differ { what: "models", first: name(), other: name() },
            SetError::Differ { what: "modes", first: name(), other: name() },
            SetError::SampleTwice { name: name() },
            SetError::ShardTwice { shard: Shard { index: 1, of: 2 } },
        ] {
            let message = error.to_string();
            assert!(message.starts_with(char::is_lowercase) && !message.ends_with('.'), "{message}");
            assert!(error.hint().is_some_and(|hint| !hint.is_empty()), "{message}");
        }
    }
}
