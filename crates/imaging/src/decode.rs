//! Files to pictures, as `cv2.imread` with its default `IMREAD_COLOR` does it.

use std::fmt;
use std::io::Cursor;

use image::metadata::Orientation;
use image::{ColorType, DynamicImage, ImageDecoder, ImageReader, RgbImage};

use crate::jpeg::{self, Markers};
use crate::sniff::looks_like;
use crate::{Format, ImagingError, Picture};

/// A picture and what was done to the file's pixels to make it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// The pixels.
    pub picture: Picture,
    /// What the picture has lost or gained, in the order in which it happened. Empty for most files.
    pub notes: Vec<Note>,
}

/// A change between the file's pixels and the picture's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Note {
    /// Four inks became three colours: each is multiplied with black, stored inverted as Adobe does.
    CmykConverted,
    /// The high byte of each 16-bit value was kept.
    SixteenBitReduced,
    /// The alpha channel was dropped and the colours below it kept; nothing was blended.
    AlphaDropped,
    /// One channel became three equal ones.
    GreyReplicated,
    /// The picture was turned as its EXIF orientation (2 to 8) says.
    Oriented(u8),
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CmykConverted => f.write_str("CMYK converted to RGB"),
            Self::SixteenBitReduced => f.write_str("16-bit reduced to 8"),
            Self::AlphaDropped => f.write_str("alpha dropped"),
            Self::GreyReplicated => f.write_str("grey replicated to RGB"),
            Self::Oriented(orientation) => write!(f, "rotated by EXIF orientation {orientation}"),
        }
    }
}

/// What a single image may cost. A few kilobytes can announce gigabytes of pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Largest file, in bytes.
    pub file_bytes: u64,
    /// Most pixels, width times height.
    pub pixels: u64,
}

impl Default for Limits {
    /// 256 MiB and 128 megapixels, which admits the largest telephone cameras in common use.
    fn default() -> Self {
        Self { file_bytes: 256 << 20, pixels: 128_000_000 }
    }
}

/// Decodes a JPEG, PNG, BMP or WebP file into 8-bit RGB, within the default [`Limits`].
///
/// - **Grey** is replicated, **palettes** and 1, 2 and 4-bit values are expanded.
/// - **16-bit** values lose their low byte.
/// - **Alpha** is dropped, not blended: the colour that the file stores below transparency shows.
/// - **CMYK** and YCCK JPEG are taken as stored inverted, as Adobe's programs write them.
/// - **EXIF orientation** is applied.
/// - Of an **animation**, the first frame is taken.
/// - Colour profiles and gamma are ignored.
///
/// All of it is what OpenCV's `IMREAD_COLOR` does, apart from the order of the channels and from
/// truncated files, which are an error here and half-grey images there.
///
/// # Errors
/// [`ImagingError::Empty`], [`ImagingError::UnknownFormat`], [`ImagingError::Truncated`],
/// [`ImagingError::Corrupt`], [`ImagingError::Unsupported`], [`ImagingError::FileTooLarge`],
/// [`ImagingError::TooManyPixels`], [`ImagingError::ZeroSize`].
pub fn decode(bytes: &[u8]) -> Result<Decoded, ImagingError> {
    decode_within(bytes, &Limits::default())
}

/// [`decode`] within limits of the caller's choice.
///
/// # Errors
/// As for [`decode`].
pub fn decode_within(bytes: &[u8], limits: &Limits) -> Result<Decoded, ImagingError> {
    if bytes.is_empty() {
        return Err(ImagingError::Empty);
    }
    if bytes.len() as u64 > limits.file_bytes {
        return Err(ImagingError::FileTooLarge { bytes: bytes.len() as u64, limit: limits.file_bytes });
    }
    let format =
        Format::of(bytes).ok_or_else(|| ImagingError::UnknownFormat { looks_like: looks_like(bytes) })?;
    let markers = match format {
        Format::Jpeg => jpeg::markers(bytes),
        _ => Markers { components: 0, complete: true },
    };
    if !markers.complete {
        return Err(ImagingError::Truncated { format });
    }
    read(bytes, format, markers.components == 4, limits).map_err(|error| match error {
        Failure::Codec(source) => ImagingError::from_codec(format, source),
        Failure::Refused(error) => error,
    })
}

/// Either the codec's error, still to be classified, or one of ours.
enum Failure {
    Codec(image::ImageError),
    Refused(ImagingError),
}

impl From<image::ImageError> for Failure {
    fn from(source: image::ImageError) -> Self {
        Self::Codec(source)
    }
}

fn read(bytes: &[u8], format: Format, cmyk: bool, limits: &Limits) -> Result<Decoded, Failure> {
    let mut decoder = ImageReader::with_format(Cursor::new(bytes), format.codec()).into_decoder()?;
    let (width, height) = decoder.dimensions();
    if width == 0 || height == 0 {
        return Err(Failure::Refused(ImagingError::ZeroSize { width, height }));
    }
    if u64::from(width) * u64::from(height) > limits.pixels {
        return Err(Failure::Refused(ImagingError::TooManyPixels { width, height, limit: limits.pixels }));
    }
    let mut codec_limits = image::Limits::default();
    codec_limits.max_alloc = Some(limits.pixels.saturating_mul(16));
    decoder.set_limits(codec_limits)?;

    let mut notes = Vec::new();
    if cmyk {
        notes.push(Note::CmykConverted);
    }
    let color = decoder.color_type();
    let orientation = decoder.orientation()?;
    // The product fits: it is at most 8 bytes for each of the pixels just counted.
    let mut raw = vec![0; decoder.total_bytes() as usize];
    decoder.read_image(&mut raw)?;
    let pixels = to_rgb(color, raw, &mut notes);
    let picture = orient(Picture { width, height, pixels }, orientation, &mut notes);
    Ok(Decoded { picture, notes })
}

/// Reduces the codec's pixels (16-bit ones in native byte order) to 8-bit RGB.
fn to_rgb(color: ColorType, raw: Vec<u8>, notes: &mut Vec<Note>) -> Vec<u8> {
    let channels = usize::from(color.channel_count());
    let wide = usize::from(color.bytes_per_pixel()) / channels == 2;
    let bytes = if wide {
        notes.push(Note::SixteenBitReduced);
        raw.chunks_exact(2).map(|value| (u16::from_ne_bytes([value[0], value[1]]) >> 8) as u8).collect()
    } else {
        raw
    };
    if color.has_alpha() {
        notes.push(Note::AlphaDropped);
    }
    if !color.has_color() {
        notes.push(Note::GreyReplicated);
        return bytes.chunks_exact(channels).flat_map(|pixel| [pixel[0]; 3]).collect();
    }
    if channels == 3 {
        return bytes;
    }
    bytes.chunks_exact(channels).flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect()
}

fn orient(picture: Picture, orientation: Orientation, notes: &mut Vec<Note>) -> Picture {
    if orientation == Orientation::NoTransforms {
        return picture;
    }
    let Picture { width, height, pixels } = picture;
    let image = RgbImage::from_raw(width, height, pixels).expect("a pixel is three bytes");
    let mut image = DynamicImage::ImageRgb8(image);
    image.apply_orientation(orientation);
    notes.push(Note::Oriented(orientation.to_exif()));
    Picture { width: image.width(), height: image.height(), pixels: image.into_bytes() }
}
