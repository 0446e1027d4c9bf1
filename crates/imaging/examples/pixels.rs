//! Writes an image's pixels as raw bytes, decoded or also resized, to compare with other software.
//!
//! `pixels IMAGE OUT [KEYS]`, where `KEYS` are preprocessing keys in JSON or YAML. Pixels are not
//! normalised and come as rows, columns, channels. `scripts/make-imaging-goldens --compare` uses it.

use std::error::Error;
use std::{env, fs};

use trt_imaging::{Layout, Preprocess, decode};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let (image, out, keys) = match arguments.as_slice() {
        [image, out] => (image, out, None),
        [image, out, keys] => (image, out, Some(keys)),
        _ => return Err("usage: pixels IMAGE OUT [KEYS]".into()),
    };
    let decoded = decode(&fs::read(image)?)?;
    for note in &decoded.notes {
        eprintln!("{note}");
    }
    let Some(keys) = keys else {
        fs::write(out, decoded.picture.pixels)?;
        return Ok(());
    };
    let preprocess = Preprocess {
        scale: Some(1.0),
        mean: Some(vec![0.0]),
        std: Some(vec![1.0]),
        layout: Some(Layout::Nhwc),
        ..serde_yaml::from_str(keys)?
    };
    let pipeline = preprocess.resolve(None)?;
    let mut values = vec![0.0; pipeline.output_len()];
    pipeline.run(&decoded.picture, &mut values)?;
    fs::write(out, values.iter().map(|&value| value as u8).collect::<Vec<u8>>())?;
    Ok(())
}
