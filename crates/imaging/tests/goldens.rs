//! Decoding and resizing against OpenCV's results, which `scripts/make-imaging-goldens` made.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use trt_imaging::{Layout, Picture, Preprocess, decode};

#[derive(Deserialize)]
struct Goldens {
    decoded: Vec<DecodedCase>,
    resized: Vec<ResizedCase>,
}

#[derive(Deserialize)]
struct DecodedCase {
    file: PathBuf,
    expected: PathBuf,
    notes: Vec<String>,
}

#[derive(Deserialize)]
struct ResizedCase {
    file: PathBuf,
    preprocess: Preprocess,
    expected: PathBuf,
}

fn data(name: impl AsRef<Path>) -> Vec<u8> {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data")).join(name);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn goldens() -> Goldens {
    serde_json::from_slice(&data("goldens.json")).expect("goldens.json is what the script writes")
}

fn picture(name: impl AsRef<Path>) -> Picture {
    decode(&data(name)).expect("a golden is an image").picture
}

/// Largest and mean difference.
fn difference(ours: &[u8], theirs: &[u8]) -> (u8, f64) {
    assert_eq!(ours.len(), theirs.len());
    let differences = || ours.iter().zip(theirs).map(|(a, b)| a.abs_diff(*b));
    let sum: f64 = differences().map(f64::from).sum();
    (differences().max().unwrap_or(0), sum / ours.len() as f64)
}

#[test]
fn files_decode_to_the_pixels_of_opencv_and_say_what_became_of_them() {
    let cases = goldens().decoded;
    assert!(cases.len() > 30);
    for DecodedCase { file, expected, notes } in cases {
        let name = file.display();
        let ours = decode(&data(&file)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let theirs = picture(expected);
        assert_eq!((ours.picture.width, ours.picture.height), (theirs.width, theirs.height), "{name}");
        assert_eq!(ours.notes.iter().map(ToString::to_string).collect::<Vec<_>>(), notes, "{name}");
        let (largest, mean) = difference(&ours.picture.pixels, &theirs.pixels);
        // Bit for bit; a change of a decoder that costs this is to be noticed, though the
        // preprocessing as a whole would stand 4 levels and a mean of 0.25.
        assert_eq!(largest, 0, "{name}: mean {mean}");
    }
}

#[test]
fn pictures_are_resized_within_one_of_opencv() {
    let cases = goldens().resized;
    assert!(cases.len() > 10);
    for (index, ResizedCase { file, preprocess, expected }) in cases.into_iter().enumerate() {
        let preprocess = Preprocess {
            scale: Some(1.0),
            mean: Some(vec![0.0]),
            std: Some(vec![1.0]),
            layout: Some(Layout::Nhwc),
            ..preprocess
        };
        let pipeline = preprocess.resolve(None).expect("the script writes valid keys");
        let mut values = vec![f32::NAN; pipeline.output_len()];
        pipeline.run(&picture(file), &mut values).expect("the buffer has the pipeline's length");
        let channels = pipeline.channels.count();
        let ours: Vec<u8> = values.iter().map(|&value| value as u8).collect();
        // A grey golden is replicated when it is decoded.
        let theirs: Vec<u8> =
            picture(expected).pixels.chunks_exact(3).flat_map(|pixel| pixel[..channels].to_vec()).collect();
        let (largest, mean) = difference(&ours, &theirs);
        println!("resize-{index}: {largest}, {mean:.4}");
        assert!(largest <= 1, "resize-{index}: {largest}, {mean}");
    }
}
