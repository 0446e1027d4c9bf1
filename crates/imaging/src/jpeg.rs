//! JPEG, with the arithmetic of libjpeg-turbo, which is OpenCV's decoder.
//!
//! The standard leaves rounding and chroma upsampling to the decoder. The `image` crate's own
//! (`zune-jpeg`) rounds chroma twice in one direction and treats the last row and column otherwise:
//! up to 21 levels and on average 0.4 from OpenCV. `libjpeg-turbo-rs` is a Rust translation of the
//! original and gave every one of 604 files of Debian's `opencv-doc` bit for bit
//! (`scripts/make-imaging-goldens --compare`).

use image::metadata::Orientation;
use libjpeg_turbo_rs::{DecodeLimits, Decoder, JpegError, PixelFormat};

use crate::decode::{Note, Raw, check_pixels};
use crate::{Format, ImagingError, Limits};

/// More scans than any encoder writes; each costs a pass over all pixels.
const MOST_SCANS: usize = 500;

/// Bytes of working memory for each pixel that a progressive CMYK image may need, generously.
const BYTES_PER_PIXEL: u64 = 24;

/// Decodes to three interleaved channels.
///
/// Data that ends inside the image or makes no sense is an error, where libjpeg fills the rest with
/// grey: such an image would go into a calibration as if it were whole.
pub(crate) fn read(bytes: &[u8], limits: &Limits) -> Result<Raw, ImagingError> {
    let bounds = DecodeLimits {
        max_width: usize::MAX,
        max_height: usize::MAX,
        max_pixels: limits.pixels,
        max_scans: MOST_SCANS,
        max_memory: Some(limits.pixels.saturating_mul(BYTES_PER_PIXEL)),
    };
    let mut decoder = Decoder::new_with_limits(bytes, bounds).map_err(refused)?;
    let (width, height) = (u32::from(decoder.header().width), u32::from(decoder.header().height));
    check_pixels(width, height, limits)?;
    let components = decoder.header().components.len();
    if components == 4 && !is_usual_cmyk(&decoder) {
        return Err(refused(JpegError::Unsupported("subsampled inks".to_owned())));
    }
    decoder.set_output_format(match components {
        1 => PixelFormat::Grayscale,
        4 => PixelFormat::Cmyk,
        _ => PixelFormat::Rgb,
    });
    let image = decoder.decode_image().map_err(refused)?;
    let (pixels, note) = match components {
        1 => (image.data.iter().flat_map(|&grey| [grey; 3]).collect(), Some(Note::GreyReplicated)),
        4 => (from_cmyk(&image.data), Some(Note::CmykConverted)),
        _ => (image.data, None),
    };
    let orientation = image.exif_data.as_deref().and_then(Orientation::from_exif_chunk);
    Ok(Raw {
        width,
        height,
        pixels,
        notes: note.into_iter().collect(),
        orientation: orientation.unwrap_or(Orientation::NoTransforms),
    })
}

/// Whether black is as fine as the first ink, and the others as fine, or coarser as in 4:2:2 or 4:2:0.
///
/// On other combinations of sampling factors, which are rare, the decoder panics or is not OpenCV.
fn is_usual_cmyk(decoder: &Decoder<'_>) -> bool {
    let factors: Vec<(u8, u8)> = decoder
        .header()
        .components
        .iter()
        .map(|component| (component.horizontal_sampling, component.vertical_sampling))
        .collect();
    matches!(factors[..], [(1, 1) | (2, 1) | (2, 2), (1, 1), (1, 1), black] if black == factors[0])
}

/// OpenCV's conversion: inks are taken as stored inverted, as Adobe's programs do, and multiplied
/// with black.
fn from_cmyk(pixels: &[u8]) -> Vec<u8> {
    let convert = |ink: u8, black: u8| {
        let black = i32::from(black);
        (black - (((255 - i32::from(ink)) * black) >> 8)) as u8
    };
    pixels
        .as_chunks()
        .0
        .iter()
        .flat_map(|&[c, m, y, k]| [convert(c, k), convert(m, k), convert(y, k)])
        .collect()
}

fn refused(error: JpegError) -> ImagingError {
    let format = Format::Jpeg;
    match error {
        JpegError::UnexpectedEof => ImagingError::Truncated { format },
        error @ JpegError::Unsupported(_) => ImagingError::Unsupported { format, source: Box::new(error) },
        error => ImagingError::Corrupt { format, source: Box::new(error) },
    }
}
