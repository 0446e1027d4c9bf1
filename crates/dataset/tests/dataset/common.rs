//! Small models, arrays and images.

use std::io::{Cursor, Write as _};
use std::path::{Path, PathBuf};

use prost::Message as _;
use trt_dataset::{Dataset, DatasetError, Form, Inputs, Pairing, Sampling, Shapes, Source};
use trt_imaging::Preprocess;
use trt_onnx::Model;
use trt_onnx::proto::*;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

pub const FLOAT: i32 = elem::FLOAT;
pub const INT64: i32 = elem::INT64;

fn value(name: &str, elem_type: i32, dims: &[i64]) -> ValueInfoProto {
    let dim = |&size: &i64| Dimension {
        value: Some(if size > 0 { DimValue::Value(size) } else { DimValue::Param(format!("N{size}")) }),
        ..Default::default()
    };
    let shape = TensorShapeProto { dim: dims.iter().map(dim).collect() };
    let tensor = TensorType { elem_type: Some(elem_type), shape: Some(shape) };
    let r#type = TypeProto { value: Some(TypeValue::Tensor(tensor)), ..Default::default() };
    ValueInfoProto { name: Some(name.to_owned()), r#type: Some(r#type), ..Default::default() }
}

/// A model with these inputs, by name, type and shape; sizes that are not above 0 are symbols.
pub fn model(inputs: &[(&str, i32, &[i64])]) -> Model {
    let node = |(name, ..): &(&str, i32, &[i64])| NodeProto {
        input: vec![name.to_string()],
        output: vec![format!("{name}_out")],
        op_type: Some("Identity".to_owned()),
        ..Default::default()
    };
    let output =
        |(name, elem_type, dims): &(&str, i32, &[i64])| value(&format!("{name}_out"), *elem_type, dims);
    let graph = GraphProto {
        node: inputs.iter().map(node).collect(),
        name: Some("g".to_owned()),
        input: inputs.iter().map(|(name, elem_type, dims)| value(name, *elem_type, dims)).collect(),
        output: inputs.iter().map(output).collect(),
        ..Default::default()
    };
    let opset = OperatorSetIdProto { version: Some(17), ..Default::default() };
    let proto = ModelProto {
        ir_version: Some(8),
        graph: Some(graph),
        opset_import: vec![opset],
        ..Default::default()
    };
    Model::from_bytes(proto.encode_to_vec(), None).unwrap()
}

/// A `.npy` file of any elements.
pub fn npy_of(descr: &str, shape: &[usize], data: &[u8]) -> Vec<u8> {
    let sides: String = shape.iter().map(|side| format!("{side}, ")).collect();
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({sides}), }}\n");
    [b"\x93NUMPY\x01\x00", &(header.len() as u16).to_le_bytes()[..], header.as_bytes(), data].concat()
}

/// A `.npy` file of 32-bit floats.
pub fn npy(shape: &[usize], values: &[f32]) -> Vec<u8> {
    npy_of("<f4", shape, &values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>())
}

/// A `.npz` file.
pub fn npz(arrays: &[(&str, Vec<u8>)], compressed: bool) -> Vec<u8> {
    let method = if compressed { CompressionMethod::Deflated } else { CompressionMethod::Stored };
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, array) in arrays {
        let options = SimpleFileOptions::default().compression_method(method);
        archive.start_file(format!("{name}.npy"), options).unwrap();
        archive.write_all(array).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

/// Writes a file, and gives its path.
pub fn file(folder: &Path, name: &str, content: &[u8]) -> PathBuf {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, content).unwrap();
    path
}

/// Writes an image of 4 by 4 pixels of one colour.
pub fn image(folder: &Path, name: &str, colour: u8) -> PathBuf {
    let path = folder.join(name);
    image::RgbImage::from_pixel(4, 4, image::Rgb([colour; 3])).save(&path).unwrap();
    path
}

/// Arrays for all inputs that no other source names.
pub fn arrays(files: &[PathBuf]) -> Source {
    Source { input: None, files: files.to_vec(), form: Form::Arrays }
}

/// Arrays for one input.
pub fn arrays_for(input: &str, files: &[PathBuf]) -> Source {
    Source { input: Some(input.to_owned()), ..arrays(files) }
}

/// Images for the input that takes them.
pub fn images(files: &[PathBuf]) -> Source {
    Source { input: None, files: files.to_vec(), form: Form::Images(Preprocess::default()) }
}

pub fn resolve(model: &Model, sources: Vec<Source>) -> Result<Inputs, DatasetError> {
    Inputs::resolve(model, &Shapes::new(), sources, "")
}

/// All samples.
pub const ALL: Sampling = Sampling { count: 1000, seed: 0, shard: None, pairing: Pairing::Name };

pub fn choose(inputs: Inputs, sampling: Sampling) -> Result<Dataset, DatasetError> {
    Dataset::choose(inputs, sampling, &|| false)
}

/// All samples of a model's sources.
pub fn dataset(model: &Model, sources: Vec<Source>) -> Dataset {
    choose(resolve(model, sources).unwrap(), ALL).unwrap()
}
