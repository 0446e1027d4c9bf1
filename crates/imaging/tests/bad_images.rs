//! What is not a whole image is an error with a type, and never a panic.

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use trt_imaging::{ImagingError, Limits, decode, decode_within};

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data"))
}

fn data(name: &str) -> Vec<u8> {
    fs::read(folder().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Every image of the goldens that is to be decoded, in a fixed order.
fn all() -> Vec<(String, Vec<u8>)> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder())
        .expect("the goldens are there")
        .map(|entry| entry.expect("the folder can be read").path())
        .filter(|path| trt_imaging::is_image_path(path))
        .collect();
    paths.sort();
    let named = |path: PathBuf| path.file_name().expect("a file has a name").to_string_lossy().into_owned();
    paths.into_iter().map(named).map(|name| (name.clone(), data(&name))).collect()
}

#[test]
fn what_is_no_image_is_named() {
    assert!(matches!(decode(b""), Err(ImagingError::Empty)));
    let error = decode(b"GIF89a").expect_err("GIF is not decoded").to_string();
    assert_eq!(error, "not a JPEG, PNG, BMP or WebP image but GIF");
    let error = decode(b"\0\0\0\x18ftypheic").expect_err("HEIC is not decoded").to_string();
    assert_eq!(error, "not a JPEG, PNG, BMP or WebP image but HEIC");
}

#[test]
fn a_file_that_ends_early_is_an_error_at_every_tenth_of_its_length() {
    for (name, bytes) in all() {
        for tenth in 1..10 {
            let error = decode(&bytes[..bytes.len() * tenth / 10]);
            assert!(error.is_err(), "{name} cut to {tenth} tenths");
        }
    }
    for name in ["baseline-420.jpg", "progressive-420.jpg", "rgb.png", "rgb.bmp", "lossy.webp"] {
        let bytes = data(name);
        let error = decode(&bytes[..bytes.len() / 2]).expect_err("half an image is none");
        assert!(matches!(error, ImagingError::Truncated { .. }), "{name}: {error:?}");
    }
}

#[test]
fn announced_sizes_are_checked_before_memory_is_taken() {
    // A JPEG of 65535 x 65535 in a few hundred bytes: the frame header's height and width.
    let mut jpeg = data("grey.jpg");
    let frame = jpeg.windows(2).position(|pair| pair == [0xff, 0xc0]).expect("a baseline frame");
    jpeg[frame + 5..frame + 9].fill(0xff);
    // A BMP of 2^30 x 2^30.
    let mut bmp = data("rgb.bmp");
    bmp[18..26].copy_from_slice(&[0, 0, 0, 0x40, 0, 0, 0, 0x40]);
    for (name, bytes) in [("jpeg", jpeg), ("bmp", bmp)] {
        let error = decode(&bytes).expect_err("a bomb is refused");
        let refused = matches!(error, ImagingError::TooManyPixels { .. } | ImagingError::Corrupt { .. });
        assert!(refused, "{name}: {error:?}");
    }
}

#[test]
fn limits_are_those_of_the_caller() {
    let (width, height) = (45, 35);
    for name in ["baseline-420.jpg", "rgb.png", "lossy.webp"] {
        let bytes = data(name);
        let pixels = width * height;
        let fits = Limits { file_bytes: bytes.len() as u64, pixels };
        assert!(decode_within(&bytes, &fits).is_ok(), "{name}");
        let error = decode_within(&bytes, &Limits { pixels: pixels - 1, ..fits }).expect_err("one too many");
        assert_eq!(error.to_string(), "the image has more than 1574 pixels: 45x35", "{name}");
        let small = Limits { file_bytes: fits.file_bytes - 1, ..fits };
        let error = decode_within(&bytes, &small).expect_err("a byte too many");
        assert!(matches!(error, ImagingError::FileTooLarge { .. }), "{name}: {error:?}");
    }
}

#[test]
fn a_jpeg_without_rows_is_an_error() {
    let mut jpeg = data("grey.jpg");
    let frame = jpeg.windows(2).position(|pair| pair == [0xff, 0xc0]).expect("a baseline frame");
    jpeg[frame + 5..frame + 7].fill(0);
    assert!(decode(&jpeg).is_err());
}

#[test]
fn cmyk_with_coarser_black_is_refused() {
    let mut jpeg = data("cmyk.jpg");
    let frame = jpeg.windows(2).position(|pair| pair == [0xff, 0xc0]).expect("a baseline frame");
    // Sampling factors of the first component: 2 x 2, of the other three 1 x 1.
    jpeg[frame + 11] = 0x22;
    let error = decode(&jpeg).expect_err("the decoder cannot do it");
    assert!(matches!(error, ImagingError::Unsupported { .. }), "{error:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..Default::default() })]

    /// `IMAGING_FUZZ_CASES` makes a longer run of it.
    #[test]
    fn mutated_images_never_panic(
        which in any::<prop::sample::Index>(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        early in any::<bool>(),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let images = all();
        let mut bytes = which.get(&images).1.clone();
        for (at, value) in edits {
            // Headers are where sizes and offsets are.
            let reach = if early { bytes.len().min(200) } else { bytes.len() };
            bytes[at.index(reach)] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let limits = Limits { pixels: 1_000_000, ..Limits::default() };
        if let Ok(decoded) = decode_within(&bytes, &limits) {
            prop_assert!(decoded.picture.check().is_ok());
        }
    }

    #[test]
    fn noise_behind_a_signature_never_panics(
        signature in prop::sample::select(vec![
            b"\xff\xd8\xff".to_vec(),
            b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec(),
            b"RIFF\0\0\x01\0WEBPVP8 ".to_vec(),
            b"BM".to_vec(),
        ]),
        noise in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let limits = Limits { pixels: 1_000_000, ..Limits::default() };
        if let Ok(decoded) = decode_within(&[signature, noise].concat(), &limits) {
            prop_assert!(decoded.picture.check().is_ok());
        }
    }
}

fn cases() -> u32 {
    std::env::var("IMAGING_FUZZ_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(400)
}
