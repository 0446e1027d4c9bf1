//! Pictures inside a page.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use serde::{Deserialize, Serialize};
use trt_imaging::{ImagingError, Picture};

use crate::ReportError;

/// A picture as a page carries it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Embedded {
    /// How the bytes are to be read.
    pub mime: Mime,
    /// The file's bytes in base64.
    pub base64: String,
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

/// The format of an [`Embedded`] picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mime {
    /// JPEG.
    #[serde(rename = "image/jpeg")]
    Jpeg,
    /// PNG.
    #[serde(rename = "image/png")]
    Png,
}

impl Mime {
    /// The name in a `data:` address.
    pub fn name(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
        }
    }
}

/// JPEG quality: what is drawn on a picture stays crisp, and a page of them small.
const QUALITY: u8 = 82;

impl Embedded {
    /// A picture as JPEG, made smaller until neither side exceeds `side` pixels (1 to 65,535); it is never made larger.
    ///
    /// # Errors
    /// [`ReportError::Picture`] where the picture's size and pixels contradict each other, [`ReportError::Encode`].
    pub fn jpeg(picture: &Picture, side: u32) -> Result<Self, ReportError> {
        picture.check().map_err(|source| ReportError::Picture { source })?;
        let (width, height) = within(picture.width, picture.height, side.clamp(1, u32::from(u16::MAX)));
        let small;
        let pixels = if (width, height) == (picture.width, picture.height) {
            &picture.pixels
        } else {
            small = shrink(picture, width, height)?;
            &small
        };
        let mut bytes = Vec::new();
        let mut encoder = Encoder::new(&mut bytes, QUALITY);
        encoder.set_sampling_factor(SamplingFactor::F_2_2);
        encoder.set_optimized_huffman_tables(true);
        encoder
            .encode(pixels, width as u16, height as u16, ColorType::Rgb)
            .map_err(|source| ReportError::Encode { source })?;
        Ok(Self { mime: Mime::Jpeg, base64: STANDARD.encode(&bytes), width, height })
    }

    /// The address that shows it.
    pub(crate) fn address(&self) -> String {
        format!("data:{};base64,{}", self.mime.name(), self.base64)
    }
}

/// The size with the same proportions and no side above `side`.
fn within(width: u32, height: u32, side: u32) -> (u32, u32) {
    let longest = width.max(height);
    if longest <= side {
        return (width, height);
    }
    let scaled = |length: u32| {
        let rounded = (u64::from(length) * u64::from(side) + u64::from(longest) / 2) / u64::from(longest);
        rounded.max(1) as u32
    };
    (scaled(width), scaled(height))
}

fn shrink(picture: &Picture, width: u32, height: u32) -> Result<Vec<u8>, ReportError> {
    // Its size was checked; what the resizer may still say is of the same kind.
    let wrong = || ReportError::Picture {
        source: ImagingError::ZeroSize { width: picture.width, height: picture.height },
    };
    let from = ImageRef::new(picture.width, picture.height, &picture.pixels, PixelType::U8x3)
        .map_err(|_| wrong())?;
    let mut to = Image::new(width, height, PixelType::U8x3);
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
    Resizer::new().resize(&from, &mut to, &options).map_err(|_| wrong())?;
    Ok(to.into_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flat(width: u32, height: u32, colour: [u8; 3]) -> Picture {
        Picture { width, height, pixels: colour.repeat((width * height) as usize) }
    }

    #[test]
    fn a_picture_keeps_its_proportions_and_colours() {
        for (size, side, expected) in [
            ((640, 480), 160, (160, 120)),
            ((480, 640), 160, (120, 160)),
            ((1000, 1), 10, (10, 1)),
            ((8, 8), 160, (8, 8)),
        ] {
            let embedded = Embedded::jpeg(&flat(size.0, size.1, [200, 40, 90]), side).unwrap();
            assert_eq!((embedded.width, embedded.height), expected);
            let bytes = STANDARD.decode(&embedded.base64).unwrap();
            let decoded = trt_imaging::decode(&bytes).unwrap().picture;
            assert_eq!((decoded.width, decoded.height), expected);
            for (found, wanted) in decoded.pixels.iter().zip([200u8, 40, 90].iter().cycle()) {
                assert!(found.abs_diff(*wanted) <= 4, "{found} instead of {wanted}");
            }
        }
    }

    #[test]
    fn a_damaged_picture_is_refused() {
        let picture = Picture { pixels: vec![0; 5], ..flat(2, 2, [0; 3]) };
        assert!(matches!(Embedded::jpeg(&picture, 8), Err(ReportError::Picture { .. })));
        let long = Embedded::jpeg(&flat(70_000, 1, [0; 3]), 80_000).unwrap();
        assert_eq!((long.width, long.height), (65_535, 1), "as long as JPEG can be");
    }
}
