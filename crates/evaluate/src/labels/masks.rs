//! PNG files whose pixels are classes.

use std::io::Cursor;
use std::path::Path;

use png::{BitDepth, ColorType, Transformations};
use trt_imaging::Size;

use super::LabelError;
use crate::Mask;

/// The largest file, in bytes, and the most pixels: a few kilobytes can announce gigabytes of them.
const MOST_BYTES: u64 = 64 << 20;
const MOST_PIXELS: u64 = 128_000_000;

pub(super) fn read(path: &Path) -> Result<Mask, LabelError> {
    let failed =
        |source: trt_files::ReadError| LabelError::Read { path: path.to_owned(), source: source.into() };
    let content = trt_files::read_capped(path, MOST_BYTES).map_err(failed)?;
    decode(&content).map_err(|reason| LabelError::Mask { path: path.to_owned(), reason })
}

fn decode(content: &[u8]) -> Result<Mask, String> {
    let mut decoder = png::Decoder::new(Cursor::new(content));
    // As they are stored: indices of a palette are the classes, and its colours are nothing.
    decoder.set_transformations(Transformations::IDENTITY);
    let mut reader = decoder.read_info().map_err(|error| error.to_string())?;
    let info = reader.info();
    let (width, height, depth) = (info.width, info.height, info.bit_depth);
    if !matches!(info.color_type, ColorType::Grayscale | ColorType::Indexed) || depth == BitDepth::Sixteen {
        return Err(format!("its pixels are {:?} of {:?} bits", info.color_type, depth as u8));
    }
    if u64::from(width) * u64::from(height) > MOST_PIXELS {
        return Err(format!("it has more than {MOST_PIXELS} pixels: {width}x{height}"));
    }
    let size = reader.output_buffer_size().ok_or("it is too large")?;
    let mut buffer = vec![0; size];
    let frame = reader.next_frame(&mut buffer).map_err(|error| error.to_string())?;
    let bits = depth as usize;
    let mut classes = Vec::with_capacity(width as usize * height as usize);
    for row in buffer.chunks_exact(frame.line_size).take(height as usize) {
        let pixel = |column: usize| {
            let first = column * bits;
            (row[first / 8] >> (8 - bits - first % 8)) & (u16::MAX >> (16 - bits)) as u8
        };
        classes.extend((0..width as usize).map(pixel));
    }
    Ok(Mask { size: Size { width, height }, classes })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Label, Labels};

    fn encoded(color: ColorType, depth: BitDepth, width: u32, rows: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let height = (rows.len() / (width as usize * color.samples() * depth as usize).div_ceil(8)) as u32;
        let mut encoder = png::Encoder::new(&mut bytes, width, height);
        encoder.set_color(color);
        encoder.set_depth(depth);
        if color == ColorType::Indexed {
            encoder.set_palette([0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0].as_slice());
        }
        encoder.write_header().unwrap().write_image_data(rows).unwrap();
        bytes
    }

    #[test]
    fn classes_are_grey_values_or_indices_of_a_palette() {
        for (color, depth, width, rows, expected) in [
            (ColorType::Grayscale, BitDepth::Eight, 2, &[0, 1, 255, 7][..], &[0, 1, 255, 7][..]),
            (ColorType::Indexed, BitDepth::Eight, 2, &[0, 1, 2, 3], &[0, 1, 2, 3]),
            (ColorType::Indexed, BitDepth::Two, 3, &[0b00_01_10_00, 0b11_00_01_00], &[0, 1, 2, 3, 0, 1]),
            (ColorType::Grayscale, BitDepth::One, 3, &[0b101_00000], &[1, 0, 1]),
        ] {
            let mask = decode(&encoded(color, depth, width, rows)).unwrap();
            assert_eq!(mask.classes, expected, "{color:?} {depth:?}");
            assert_eq!(mask.size, Size { width, height: expected.len() as u32 / width });
        }
    }

    #[test]
    fn what_is_no_mask_is_refused_with_the_reason() {
        let colours = encoded(ColorType::Rgb, BitDepth::Eight, 1, &[1, 2, 3]);
        assert!(decode(&colours).unwrap_err().contains("Rgb"));
        assert!(decode(b"no png").is_err());
        let whole = encoded(ColorType::Grayscale, BitDepth::Eight, 64, &[7; 64 * 64]);
        assert!(decode(&whole[..whole.len() / 2]).is_err());
        let mut huge = whole;
        huge[16..24].copy_from_slice(&[0, 1, 0, 0, 0, 1, 0, 0]); // 65536x65536, and a checksum that is wrong now.
        assert!(decode(&huge).is_err());
    }

    #[test]
    fn a_mask_has_the_name_of_its_image() {
        let folder = tempfile::tempdir().unwrap();
        let bytes = encoded(ColorType::Grayscale, BitDepth::Eight, 1, &[3]);
        std::fs::write(folder.path().join("a.b.png"), bytes).unwrap();
        let labels = Labels::masks(folder.path()).unwrap();
        let mask = Mask { size: Size::square(1), classes: vec![3] };
        assert_eq!(labels.of(Path::new("images/a.b.jpg")).unwrap(), Some(Label::Mask(mask)));
        assert_eq!(labels.of(Path::new("images/c.jpg")).unwrap(), None);
        assert!(Labels::masks(&folder.path().join("no")).is_err());
    }
}
