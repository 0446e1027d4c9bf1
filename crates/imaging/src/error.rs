//! Everything that can go wrong between a file and a network's input.

use std::error::Error;
use std::io;

use crate::{Channels, Format, Preset, Size};

/// Why an image could not be decoded, or a preprocessing not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImagingError {
    /// The file has no bytes.
    #[error("the image file is empty")]
    Empty,

    /// The first bytes are those of no format that is decoded here.
    #[error("not a JPEG, PNG, BMP or WebP image but {looks_like}")]
    UnknownFormat {
        /// The format's name, or the first bytes.
        looks_like: String,
    },

    /// The file ends before the image does.
    #[error("the {format} image is truncated")]
    Truncated {
        /// What the file is.
        format: Format,
    },

    /// The decoder gave up.
    #[error("the {format} image is corrupt")]
    Corrupt {
        /// What the file is.
        format: Format,
        /// The decoder's own words.
        source: Box<dyn Error + Send + Sync>,
    },

    /// The file may be in order but uses a feature that the decoder lacks.
    #[error("the {format} image uses a feature that is not supported")]
    Unsupported {
        /// What the file is.
        format: Format,
        /// The decoder's own words.
        source: Box<dyn Error + Send + Sync>,
    },

    /// The file is larger than [`crate::Limits::file_bytes`].
    #[error("the image file is larger than {limit} bytes: {bytes}")]
    FileTooLarge {
        /// Its size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },

    /// The image has more pixels than [`crate::Limits::pixels`].
    #[error("the image has more than {limit} pixels: {width}x{height}")]
    TooManyPixels {
        /// Announced columns.
        width: u32,
        /// Announced rows.
        height: u32,
        /// The limit.
        limit: u64,
    },

    /// The image has no pixels.
    #[error("the image has no pixels: {width}x{height}")]
    ZeroSize {
        /// Announced columns.
        width: u32,
        /// Announced rows.
        height: u32,
    },

    /// A [`crate::Picture`]'s pixels do not match its size: the caller's mistake.
    #[error("the picture needs {expected} bytes of pixels: {found}")]
    PictureLength {
        /// `3 * width * height`.
        expected: u64,
        /// What there is.
        found: usize,
    },

    /// The output slice is not [`crate::Pipeline::output_len`] long: the caller's mistake.
    #[error("the preprocessed image needs {expected} values of room: {found}")]
    OutputLength {
        /// What the pipeline writes.
        expected: usize,
        /// What the caller gave.
        found: usize,
    },

    /// Neither the configuration nor the model nor the preset has a size.
    #[error("the preprocessed image has no size: neither `size` nor the model's input fixes it")]
    SizeUnknown,

    /// The configuration and the model want different sizes.
    #[error("`size` is {configured} but the model's input is {model}")]
    SizeConflict {
        /// The key's value.
        configured: Size,
        /// The model's.
        model: Size,
    },

    /// A side is zero, or the image larger than anything a network takes.
    #[error("sides of a preprocessed image go from 1 to {limit}: {size}")]
    SizeRange {
        /// What was asked.
        size: Size,
        /// The longest side.
        limit: u32,
    },

    /// A crop would reach beyond the resized image.
    #[error("`shorter-side` must be from {least} to {limit}: {found}")]
    ShorterSide {
        /// The longer side of the crop.
        least: u32,
        /// The largest sensible value.
        limit: u32,
        /// What was asked.
        found: u32,
    },

    /// A key that the chosen resizing does not read.
    #[error("`{key}` has no meaning without `resize: {needs}`")]
    UnusedKey {
        /// The key.
        key: &'static str,
        /// The resize mode that reads it.
        needs: &'static str,
    },

    /// `mean` or `std` is neither one value nor one for each channel.
    #[error("`{key}` needs one value or one for each of {expected} channel(s): {found}")]
    StatisticsLength {
        /// `mean` or `std`.
        key: &'static str,
        /// Channels of the output.
        expected: usize,
        /// Values given.
        found: usize,
    },

    /// `channels` differs from the preset's, whose `mean` and `std` are bound to its order.
    #[error("preset `{preset}` lists its mean and std for `rgb`, which does not fit: `{channels}`")]
    PresetChannels {
        /// The preset.
        preset: Preset,
        /// The channels asked for.
        channels: Channels,
    },

    /// A number with which the arithmetic gives no finite result.
    #[error("`{key}` must be finite{}: {value}", if *.nonzero { " and not zero" } else { "" })]
    BadNumber {
        /// `scale`, `mean` or `std`.
        key: &'static str,
        /// Zero is excluded too.
        nonzero: bool,
        /// What was asked.
        value: f64,
    },
}

impl ImagingError {
    /// What the user can do about it; `None` where only a caller's mistake leads here.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Empty | Self::Truncated { .. } => {
                "copy the file again from where it came, or take it out of `images`".to_owned()
            }
            Self::UnknownFormat { .. } => {
                "convert the file to PNG or JPEG, or narrow `images` with a pattern such as `*.jpg`"
                    .to_owned()
            }
            Self::Corrupt { .. } => {
                "open the file in a viewer and save it anew, or take it out of `images`".to_owned()
            }
            Self::Unsupported { .. } => "convert the file to an 8-bit PNG".to_owned(),
            Self::FileTooLarge { .. } | Self::TooManyPixels { .. } | Self::ZeroSize { .. } => {
                "scale the image to a size that a camera gives, or take it out of `images`".to_owned()
            }
            Self::PictureLength { .. } | Self::OutputLength { .. } => return None,
            Self::SizeUnknown => {
                "set `size` in `preprocess`, for example `size: 640` or `size: {width: 960, height: 544}`"
                    .to_owned()
            }
            Self::SizeConflict { .. } => {
                "remove `size` from `preprocess` to take the model's, or change `shapes`".to_owned()
            }
            Self::SizeRange { limit, .. } => format!("set `size` in `preprocess` to at most {limit} a side"),
            Self::ShorterSide { .. } => {
                "remove `shorter-side` from `preprocess` to get 256 for a crop of 224, in proportion"
                    .to_owned()
            }
            Self::UnusedKey { key, needs } => {
                format!("remove `{key}` from `preprocess`, or set `resize: {needs}`")
            }
            Self::StatisticsLength { key, .. } => {
                format!("list `{key}` in the order of `channels`, such as `{key}: [0.5, 0.5, 0.5]`")
            }
            Self::PresetChannels { channels, .. } => {
                format!("set `mean` and `std` in `preprocess`, in the order of `{channels}`")
            }
            Self::BadNumber { key, .. } => {
                format!("correct `{key}` in `preprocess`; the output is (pixel * scale - mean) / std")
            }
        })
    }

    /// Sorts a decoder's error into ours.
    pub(crate) fn from_codec(format: Format, source: image::ImageError) -> Self {
        if ends_early(&source) {
            return Self::Truncated { format };
        }
        match source {
            image::ImageError::Unsupported(_) => Self::Unsupported { format, source: Box::new(source) },
            _ => Self::Corrupt { format, source: Box::new(source) },
        }
    }
}

/// Whether the end of the file lies at the bottom of a decoder's error.
fn ends_early(error: &image::ImageError) -> bool {
    let is_eof = |error: &io::Error| error.kind() == io::ErrorKind::UnexpectedEof;
    if let image::ImageError::IoError(error) = error
        && is_eof(error)
    {
        return true;
    }
    let mut next = error.source();
    while let Some(cause) = next {
        if cause.downcast_ref::<io::Error>().is_some_and(is_eof) {
            return true;
        }
        next = cause.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One of each. The match makes the compiler ask for new ones.
    fn all() -> Vec<ImagingError> {
        use ImagingError::*;
        let size = Size::square(1);
        let source = || Box::<dyn Error + Send + Sync>::from("why");
        let all = vec![
            Empty,
            UnknownFormat { looks_like: "GIF".to_owned() },
            Truncated { format: Format::Png },
            Corrupt { format: Format::Png, source: source() },
            Unsupported { format: Format::Jpeg, source: source() },
            FileTooLarge { bytes: 2, limit: 1 },
            TooManyPixels { width: 2, height: 2, limit: 1 },
            ZeroSize { width: 0, height: 1 },
            PictureLength { expected: 3, found: 2 },
            OutputLength { expected: 3, found: 2 },
            SizeUnknown,
            SizeConflict { configured: size, model: size },
            SizeRange { size, limit: 1 },
            ShorterSide { least: 1, limit: 2, found: 3 },
            UnusedKey { key: "pad", needs: "letterbox" },
            StatisticsLength { key: "mean", expected: 3, found: 2 },
            PresetChannels { preset: Preset::Imagenet, channels: Channels::Bgr },
            BadNumber { key: "std", nonzero: true, value: 0.0 },
        ];
        let numbers: Vec<usize> = all
            .iter()
            .map(|error| match error {
                Empty => 0,
                UnknownFormat { .. } => 1,
                Truncated { .. } => 2,
                Corrupt { .. } => 3,
                Unsupported { .. } => 4,
                FileTooLarge { .. } => 5,
                TooManyPixels { .. } => 6,
                ZeroSize { .. } => 7,
                PictureLength { .. } => 8,
                OutputLength { .. } => 9,
                SizeUnknown => 10,
                SizeConflict { .. } => 11,
                SizeRange { .. } => 12,
                ShorterSide { .. } => 13,
                UnusedKey { .. } => 14,
                StatisticsLength { .. } => 15,
                PresetChannels { .. } => 16,
                BadNumber { .. } => 17,
            })
            .collect();
        assert_eq!(numbers, (0..18).collect::<Vec<_>>());
        all
    }

    #[test]
    fn every_error_of_a_user_has_a_hint_and_no_message_ends_with_a_full_stop() {
        for error in all() {
            let callers =
                matches!(error, ImagingError::PictureLength { .. } | ImagingError::OutputLength { .. });
            assert_eq!(error.hint().is_none(), callers, "{error:?}");
            let message = error.to_string();
            assert!(!message.ends_with('.'), "{message}");
            assert!(!message.starts_with(|first: char| first.is_uppercase()), "{message}");
        }
    }
}
