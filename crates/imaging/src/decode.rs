//! Files to pictures, as `cv2.imread` with its default `IMREAD_COLOR` does it.

use std::fmt;
use std::io::Cursor;

use image::codecs::bmp::BmpDecoder;
use image::codecs::png::PngDecoder;
use image::codecs::webp::WebPDecoder;
use image::metadata::Orientation;
use image::{ColorType, DynamicImage, ImageDecoder, ImageResult, RgbImage};

use crate::sniff::looks_like;
use crate::{Format, ImagingError, Picture, jpeg};

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
    /// Most pixels, width times height. Memory at work is at most 24 bytes for each.
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
/// truncated and corrupt files, which are an error here and half-grey images there.
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
    if format == Format::WebP && webp_len(bytes).is_none_or(|announced| announced > bytes.len() as u64) {
        return Err(ImagingError::Truncated { format });
    }
    let raw = match format {
        Format::Jpeg => jpeg::read(bytes, limits),
        Format::Bmp => read(BmpDecoder::new(Cursor::new(bytes)), format, limits),
        Format::Png => read(PngDecoder::new(Cursor::new(bytes)), format, limits),
        Format::WebP => read(WebPDecoder::new(Cursor::new(bytes)), format, limits),
    }?;
    Ok(orient(raw))
}

/// The file length that a RIFF header announces. The decoder calls a shorter file corrupt.
fn webp_len(bytes: &[u8]) -> Option<u64> {
    let size = bytes.get(4..8)?.try_into().ok()?;
    Some(u64::from(u32::from_le_bytes(size)) + 8)
}

/// Three interleaved channels, not yet turned.
pub(crate) struct Raw {
    pub width: u32,
    pub height: u32,
    pub pixels: Vec<u8>,
    pub notes: Vec<Note>,
    pub orientation: Orientation,
}

/// Refuses announced sizes before memory is taken for them.
pub(crate) fn check_pixels(width: u32, height: u32, limits: &Limits) -> Result<(), ImagingError> {
    if width == 0 || height == 0 {
        return Err(ImagingError::ZeroSize { width, height });
    }
    if u64::from(width) * u64::from(height) > limits.pixels {
        return Err(ImagingError::TooManyPixels { width, height, limit: limits.pixels });
    }
    Ok(())
}

/// Reads with a decoder of the `image` crate.
fn read(
    decoder: ImageResult<impl ImageDecoder>,
    format: Format,
    limits: &Limits,
) -> Result<Raw, ImagingError> {
    let refused = |error| ImagingError::from_codec(format, error);
    let mut decoder = decoder.map_err(refused)?;
    let (width, height) = decoder.dimensions();
    check_pixels(width, height, limits)?;
    let mut codec_limits = image::Limits::default();
    codec_limits.max_alloc = Some(limits.pixels.saturating_mul(16));
    decoder.set_limits(codec_limits).map_err(refused)?;
    let orientation = decoder.orientation().map_err(refused)?;
    let color = decoder.color_type();
    // The length fits: it is at most 8 bytes for each of the pixels just counted.
    let mut raw = vec![0; decoder.total_bytes() as usize];
    decoder.read_image(&mut raw).map_err(refused)?;
    let mut notes = Vec::new();
    let pixels = to_rgb(color, raw, &mut notes);
    Ok(Raw { width, height, pixels, notes, orientation })
}

/// Reduces the codec's pixels (16-bit ones in native byte order) to 8-bit RGB.
fn to_rgb(color: ColorType, raw: Vec<u8>, notes: &mut Vec<Note>) -> Vec<u8> {
    let channels = usize::from(color.channel_count());
    let wide = usize::from(color.bytes_per_pixel()) == 2 * channels;
    let bytes = if wide {
        notes.push(Note::SixteenBitReduced);
        raw.as_chunks().0.iter().map(|&value| (u16::from_ne_bytes(value) >> 8) as u8).collect()
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

fn orient(raw: Raw) -> Decoded {
    let Raw { width, height, pixels, mut notes, orientation } = raw;
    if orientation == Orientation::NoTransforms {
        return Decoded { picture: Picture { width, height, pixels }, notes };
    }
    let image = RgbImage::from_raw(width, height, pixels).expect("a pixel is three bytes");
    let mut image = DynamicImage::ImageRgb8(image);
    image.apply_orientation(orientation);
    notes.push(Note::Oriented(orientation.to_exif()));
    let picture = Picture { width: image.width(), height: image.height(), pixels: image.into_bytes() };
    Decoded { picture, notes }
}
