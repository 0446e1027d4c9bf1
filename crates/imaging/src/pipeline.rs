//! A preprocessing with nothing left open.

use serde::{Deserialize, Serialize};

use crate::{Channels, ImagingError, Layout, Picture, Runner, Size};

/// The longest side of an output, and of the picture that a crop is taken from.
const LONGEST_SIDE: u32 = 16_384;

/// How a picture is brought to the output's size. Always OpenCV's `INTER_LINEAR`: two taps a side,
/// pixel centres aligned, no antialiasing when shrinking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Resize {
    /// `cv2.resize(picture, size)`.
    Stretch,
    /// Ultralytics' `LetterBox` with `auto=False`: scaled by `r = min(height / h, width / w)`,
    /// sides rounded, centred, an odd column or row of padding at the right or bottom.
    Letterbox {
        /// Value of the border in pixel units; it is normalised like a pixel.
        pad: u8,
    },
    /// torchvision's `Resize(shorter_side)` and `CenterCrop(size)`, with OpenCV's filter.
    #[serde(rename_all = "kebab-case")]
    Crop {
        /// Shorter side of the resized picture; at least the longer side of the output.
        shorter_side: u32,
    },
}

/// What is done to each picture, as a plain value: it travels in manifests and table sidecars.
///
/// Fields serialise in the order of declaration and nothing is optional, so that equal pipelines
/// have equal JSON and the text can be hashed or compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Pipeline {
    /// Spatial size of the output.
    pub size: Size,
    /// How the picture gets there.
    pub resize: Resize,
    /// Channels of the output and their order.
    pub channels: Channels,
    /// Factor of the pixels (0 to 255).
    pub scale: f64,
    /// Subtracted after scaling, one for each channel, in the order of `channels`.
    pub mean: Vec<f64>,
    /// Divisor after that, one for each channel.
    pub std: Vec<f64>,
    /// Order of the axes.
    pub layout: Layout,
}

impl Pipeline {
    /// Number of values that one image gives: `channels * width * height`.
    pub fn output_len(&self) -> usize {
        self.channels.count() * self.size.width as usize * self.size.height as usize
    }

    /// Shape of one image: `[1, C, H, W]` or `[1, H, W, C]`.
    pub fn shape(&self) -> [usize; 4] {
        let (channels, rows, columns) =
            (self.channels.count(), self.size.height as usize, self.size.width as usize);
        match self.layout {
            Layout::Nchw => [1, channels, rows, columns],
            Layout::Nhwc => [1, rows, columns, channels],
        }
    }

    /// What a pixel value of one channel becomes, in 64 bits.
    pub(crate) fn normalise(&self, channel: usize, pixel: u8) -> f64 {
        (f64::from(pixel) * self.scale - self.mean[channel]) / self.std[channel]
    }

    /// Checks what [`crate::Preprocess::resolve`] guarantees, for values that came another way.
    ///
    /// # Errors
    /// [`ImagingError::SizeRange`], [`ImagingError::ShorterSide`],
    /// [`ImagingError::StatisticsLength`] and [`ImagingError::BadNumber`].
    pub fn check(&self) -> Result<(), ImagingError> {
        let Size { width, height } = self.size;
        let longest = width.max(height);
        if width.min(height) == 0 || longest > LONGEST_SIDE {
            return Err(ImagingError::SizeRange { size: self.size, limit: LONGEST_SIDE });
        }
        if let Resize::Crop { shorter_side: found } = self.resize
            && !(longest..=2 * LONGEST_SIDE).contains(&found)
        {
            return Err(ImagingError::ShorterSide { least: longest, limit: 2 * LONGEST_SIDE, found });
        }
        let expected = self.channels.count();
        for (key, values) in [("mean", &self.mean), ("std", &self.std)] {
            if values.len() != expected {
                return Err(ImagingError::StatisticsLength { key, expected, found: values.len() });
            }
        }
        let factors = std::iter::once(("scale", true, self.scale));
        let means = self.mean.iter().map(|&value| ("mean", false, value));
        let divisors = self.std.iter().map(|&value| ("std", true, value));
        for (key, nonzero, value) in factors.chain(means).chain(divisors) {
            // Zero as a 32-bit number counts: the values end in that type.
            if !value.is_finite() || (nonzero && value as f32 == 0.0) {
                return Err(ImagingError::BadNumber { key, nonzero, value });
            }
        }
        for channel in 0..expected {
            for pixel in [0, u8::MAX] {
                if !(self.normalise(channel, pixel) as f32).is_finite() {
                    let value = self.std[channel];
                    return Err(ImagingError::BadNumber { key: "std", nonzero: true, value });
                }
            }
        }
        Ok(())
    }

    /// Prepares tables and buffers for many pictures. One for each thread.
    ///
    /// # Errors
    /// As for [`Pipeline::check`].
    pub fn runner(&self) -> Result<Runner, ImagingError> {
        Runner::new(self.clone())
    }

    /// Preprocesses one picture into `out`, which holds [`Pipeline::output_len`] values.
    ///
    /// For more than a few pictures, a [`Runner`] saves the preparation.
    ///
    /// # Errors
    /// As for [`Pipeline::check`] and [`Runner::run`].
    pub fn run(&self, picture: &Picture, out: &mut [f32]) -> Result<(), ImagingError> {
        self.runner()?.run(picture, out)
    }
}
