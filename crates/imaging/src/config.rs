//! The `preprocess` key of a model: a preset's name, or a map of the keys below.
//!
//! ```yaml
//! preprocess: imagenet
//! # or
//! preprocess:
//!   preset: yolo              # optional base: imagenet | yolo | plain (default)
//!   size: 640                 # or {width: 960, height: 544}; default: the model's input
//!   resize: letterbox         # stretch | letterbox | crop
//!   pad: 114                  # letterbox only: 0..255, before normalising
//!   shorter-side: 256         # crop only: resize to this first; default size * 256 / 224
//!   channels: rgb             # rgb | bgr | grey
//!   scale: 1/255              # a number or a fraction
//!   mean: [0.485, 0.456, 0.406]   # one number or one for each channel, in the order of `channels`
//!   std: [0.229, 0.224, 0.225]
//!   layout: nchw              # nchw | nhwc
//! ```
//!
//! The output is `(pixel * scale - mean) / std`, with pixels from 0 to 255.

mod values;

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use crate::ImagingError;
use crate::pipeline::{Pipeline, Resize};

/// Width and height in pixels. In YAML `{width: 960, height: 544}`, or one number for a square;
/// never a list, whose order nobody agrees on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub struct Size {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

impl Size {
    /// A square.
    pub const fn square(side: u32) -> Self {
        Self { width: side, height: side }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

/// A named set of defaults for every key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// Torchvision's classifiers: shorter side to 256, centre crop of 224, RGB from 0 to 1,
    /// ImageNet's mean and std. The filter is OpenCV's, without Pillow's antialiasing.
    Imagenet,
    /// Ultralytics' YOLO: letterbox with grey 114 on 640x640, RGB from 0 to 1.
    Yolo,
    /// Stretched to the model's size, RGB from 0 to 1.
    Plain,
}

/// How a picture is brought to the size of the network's input. See [`Resize`] for the geometry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResizeMode {
    /// Both sides to the size, whatever the proportions.
    Stretch,
    /// As large as fits, centred, the rest filled with `pad`.
    Letterbox,
    /// The shorter side to `shorter-side`, then cut from the middle.
    Crop,
}

/// Channels of the output and their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Channels {
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red, as networks trained on OpenCV's images expect.
    Bgr,
    /// One channel of luma, `0.299 R + 0.587 G + 0.114 B`, taken before resizing.
    Grey,
}

impl Channels {
    /// Their number: 3, or 1 for grey.
    pub const fn count(self) -> usize {
        match self {
            Self::Rgb | Self::Bgr => 3,
            Self::Grey => 1,
        }
    }
}

/// Order of the output's axes, of which the first is always 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// Batch, channel, row, column.
    Nchw,
    /// Batch, row, column, channel.
    Nhwc,
}

/// What the user wrote. [`Preprocess::resolve`] makes a [`Pipeline`] of it.
///
/// Deserialises from a preset's name or a map; unknown keys and names are errors that list the
/// known ones. Without a preset, the defaults are [`Preset::Plain`]'s.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self", rename_all = "kebab-case", deny_unknown_fields)]
pub struct Preprocess {
    /// Where the other keys' defaults come from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<Preset>,
    /// Size of the output. Without it, the model's input decides, then the preset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<Size>,
    /// How the picture is brought to that size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resize: Option<ResizeMode>,
    /// Value of a letterbox's border, in pixel units, the same for all channels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pad: Option<u8>,
    /// Shorter side of the resized picture from which a crop is taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shorter_side: Option<u32>,
    /// Channels and their order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channels: Option<Channels>,
    /// Factor of the pixels; in YAML also a fraction such as `1/255`.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "values::fraction")]
    pub scale: Option<f64>,
    /// Subtracted after scaling: one value or one for each channel, in the order of `channels`.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "values::numbers")]
    pub mean: Option<Vec<f64>>,
    /// Divisor after that, in the same form.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "values::numbers")]
    pub std: Option<Vec<f64>>,
    /// Order of the axes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layout: Option<Layout>,
}

impl Preprocess {
    /// A preset as it is.
    pub fn preset(preset: Preset) -> Self {
        Self { preset: Some(preset), ..Self::default() }
    }

    /// Checks all that can be known before a model is: for configuration checkers.
    ///
    /// # Errors
    /// As for [`Preprocess::resolve`], less those that concern the model's size.
    pub fn check(&self) -> Result<(), ImagingError> {
        // Any crop contains one pixel, so that this stand-in for an unknown size breaks no rule.
        self.resolve(self.size.or(Some(Size::square(1)))).map(drop)
    }

    /// Fills in the preset and the size: what a model with this input is to be fed.
    ///
    /// `model` is the spatial size of the model's input, where it has one. The configured size must
    /// agree with it; without either, the preset's (224 or 640 square) is taken.
    ///
    /// # Errors
    /// [`ImagingError::SizeUnknown`], [`ImagingError::SizeConflict`], [`ImagingError::SizeRange`],
    /// [`ImagingError::ShorterSide`], [`ImagingError::UnusedKey`],
    /// [`ImagingError::StatisticsLength`], [`ImagingError::PresetChannels`] and
    /// [`ImagingError::BadNumber`].
    pub fn resolve(&self, model: Option<Size>) -> Result<Pipeline, ImagingError> {
        let preset = self.preset.unwrap_or(Preset::Plain);
        let size = match (self.size, model) {
            (Some(configured), Some(model)) if configured != model => {
                return Err(ImagingError::SizeConflict { configured, model });
            }
            (Some(size), _) | (None, Some(size)) => size,
            (None, None) => preset.size().ok_or(ImagingError::SizeUnknown)?,
        };
        let channels = self.channels.unwrap_or(Channels::Rgb);
        let own = self.mean.is_some() && self.std.is_some();
        if preset == Preset::Imagenet && channels != Channels::Rgb && !own {
            return Err(ImagingError::PresetChannels { preset, channels });
        }
        let (mean, std) = preset.statistics(channels);
        let pipeline = Pipeline {
            size,
            resize: self.resize(preset, size)?,
            channels,
            scale: self.scale.unwrap_or(1.0 / 255.0),
            mean: per_channel("mean", self.mean.as_deref(), mean, channels)?,
            std: per_channel("std", self.std.as_deref(), std, channels)?,
            layout: self.layout.unwrap_or(Layout::Nchw),
        };
        pipeline.check()?;
        Ok(pipeline)
    }

    fn resize(&self, preset: Preset, size: Size) -> Result<Resize, ImagingError> {
        let mode = self.resize.unwrap_or(preset.mode());
        if self.pad.is_some() && mode != ResizeMode::Letterbox {
            return Err(ImagingError::UnusedKey { key: "pad", needs: "letterbox" });
        }
        if self.shorter_side.is_some() && mode != ResizeMode::Crop {
            return Err(ImagingError::UnusedKey { key: "shorter-side", needs: "crop" });
        }
        Ok(match mode {
            ResizeMode::Stretch => Resize::Stretch,
            ResizeMode::Letterbox => Resize::Letterbox { pad: self.pad.unwrap_or(114) },
            ResizeMode::Crop => {
                // 256 / 224, the share of the picture that torchvision's and timm's recipes keep.
                let usual = u64::from(size.width.max(size.height)) * 8 / 7;
                let shorter_side = self.shorter_side.unwrap_or(u32::try_from(usual).unwrap_or(u32::MAX));
                Resize::Crop { shorter_side }
            }
        })
    }
}

/// One value for each channel: those given, one of them repeated, or the preset's.
fn per_channel(
    key: &'static str,
    given: Option<&[f64]>,
    preset: Vec<f64>,
    channels: Channels,
) -> Result<Vec<f64>, ImagingError> {
    let expected = channels.count();
    match given {
        None => Ok(preset),
        Some(&[one]) => Ok(vec![one; expected]),
        Some(values) if values.len() == expected => Ok(values.to_vec()),
        Some(values) => Err(ImagingError::StatisticsLength { key, expected, found: values.len() }),
    }
}

impl Preset {
    const ALL: [&str; 3] = ["imagenet", "yolo", "plain"];

    fn from_name(name: &str) -> Option<Self> {
        match name {
            "imagenet" => Some(Self::Imagenet),
            "yolo" => Some(Self::Yolo),
            "plain" => Some(Self::Plain),
            _ => None,
        }
    }

    fn size(self) -> Option<Size> {
        match self {
            Self::Imagenet => Some(Size::square(224)),
            Self::Yolo => Some(Size::square(640)),
            Self::Plain => None,
        }
    }

    fn mode(self) -> ResizeMode {
        match self {
            Self::Imagenet => ResizeMode::Crop,
            Self::Yolo => ResizeMode::Letterbox,
            Self::Plain => ResizeMode::Stretch,
        }
    }

    /// Mean and std, one for each channel. ImageNet's are torchvision's, in RGB order.
    fn statistics(self, channels: Channels) -> (Vec<f64>, Vec<f64>) {
        match self {
            Self::Imagenet => (vec![0.485, 0.456, 0.406], vec![0.229, 0.224, 0.225]),
            Self::Yolo | Self::Plain => (vec![0.0; channels.count()], vec![1.0; channels.count()]),
        }
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Imagenet => "imagenet",
            Self::Yolo => "yolo",
            Self::Plain => "plain",
        })
    }
}

impl fmt::Display for Channels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rgb => "rgb",
            Self::Bgr => "bgr",
            Self::Grey => "grey",
        })
    }
}

// An untagged enum would say the same in fewer lines, but loses every error's cause and place.
impl<'de> Deserialize<'de> for Preprocess {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameOrMap;

        impl<'de> Visitor<'de> for NameOrMap {
            type Value = Preprocess;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a preset ({}) or a map of preprocessing keys", Preset::ALL.join(", "))
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<Preprocess, E> {
                Preset::from_name(name)
                    .map(Preprocess::preset)
                    .ok_or_else(|| E::unknown_variant(name, &Preset::ALL))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Preprocess, A::Error> {
                Preprocess::deserialize(MapAccessDeserializer::new(map))
            }
        }

        deserializer.deserialize_any(NameOrMap)
    }
}

impl Serialize for Preprocess {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Self::serialize(self, serializer)
    }
}
