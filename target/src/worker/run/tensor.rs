//! Tensors in files, against what an engine wants.

use std::fs;

use nvinfer::DataType;
use trt_wire::worker::TensorFile;
use trt_wire::{Failure, FailureCode, Retry};

/// The ONNX name of an element type; `None` for types smaller than a byte and unknown ones.
pub fn element(data_type: DataType) -> Option<&'static str> {
    Some(match data_type {
        DataType::Float => "float",
        DataType::Half => "float16",
        DataType::Bf16 => "bfloat16",
        DataType::Fp8 => "float8e4m3fn",
        DataType::Int64 => "int64",
        DataType::Int32 => "int32",
        DataType::Int8 => "int8",
        DataType::Uint8 => "uint8",
        DataType::Bool => "bool",
        DataType::E8m0 | DataType::Fp4 | DataType::Int4 | DataType::Other(_) => return None,
    })
}

/// Bytes of a tensor; `None` if an extent is negative or the product is too large for this machine.
pub fn size(data_type: DataType, dims: &[i64]) -> Option<usize> {
    usize::try_from(data_type.bytes_of(dims)?).ok()
}

/// Reads an input's file as the engine wants it: TensorRT 8 makes 32-bit integers of an ONNX file's 64-bit ones.
///
/// `shape` is the engine's, -1 where dynamic.
///
/// # Errors
/// [`FailureCode::BadRequest`] for another element type, a shape that does not fit, or a file of another size.
pub fn read(name: &str, tensor: &TensorFile, wanted: DataType, shape: &[i64]) -> Result<Vec<u8>, Failure> {
    let fits = tensor.dims.len() == shape.len()
        && tensor.dims.iter().zip(shape).all(|(extent, want)| *want < 0 || extent == want);
    if !fits {
        return Err(bad_input(format!(
            "the engine's input `{name}` has the shape {shape:?}, and the data has {:?}",
            tensor.dims
        )));
    }
    let Some(element) = element(wanted) else {
        return Err(bad_input(format!(
            "the engine's input `{name}` has a type that no file can hold: {wanted:?}"
        )));
    };
    let narrow = wanted == DataType::Int32 && tensor.element == "int64";
    if tensor.element != element && !narrow {
        return Err(bad_input(format!(
            "the engine's input `{name}` holds {element}, and the data holds: {}",
            tensor.element
        )));
    }
    let in_file = if narrow { DataType::Int64 } else { wanted };
    let data = fs::read(&tensor.file).map_err(|error| {
        bad_input(format!(
            "the data of input `{name}` cannot be read from `{}`: {error}",
            tensor.file.display()
        ))
    })?;
    if size(in_file, &tensor.dims) != Some(data.len()) {
        return Err(bad_input(format!(
            "the data of input `{name}` does not fill {:?} of {}; bytes: {}",
            tensor.dims,
            tensor.element,
            data.len()
        )));
    }
    if narrow { narrowed(name, &data) } else { Ok(data) }
}

fn narrowed(name: &str, data: &[u8]) -> Result<Vec<u8>, Failure> {
    let mut narrow = Vec::with_capacity(data.len() / 2);
    for bytes in data.as_chunks::<8>().0 {
        let wide = i64::from_le_bytes(*bytes);
        let value = i32::try_from(wide).map_err(|_| {
            bad_input(format!("the engine's input `{name}` holds int32, and the data holds: {wide}"))
        })?;
        narrow.extend_from_slice(&value.to_le_bytes());
    }
    Ok(narrow)
}

/// An input that the engine does not take.
pub fn bad_input(message: String) -> Failure {
    Failure::new(FailureCode::BadRequest, Retry::AfterFix, message)
        .with_hint("give every input the shape and the type that the model's `shapes` and its ONNX file say")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(dir: &tempfile::TempDir, element: &str, dims: &[i64], data: &[u8]) -> TensorFile {
        let file = dir.path().join("input.bin");
        fs::write(&file, data).unwrap();
        TensorFile { element: element.into(), dims: dims.to_vec(), file }
    }

    #[test]
    fn data_that_fits_is_taken_and_integers_are_narrowed_for_tensorrt_8() {
        let dir = tempfile::tempdir().unwrap();
        let floats = file(&dir, "float", &[2, 3], &[7; 24]);
        assert_eq!(read("x", &floats, DataType::Float, &[-1, 3]).unwrap(), [7; 24]);
        let empty = file(&dir, "uint8", &[0, 3], &[]);
        assert_eq!(read("x", &empty, DataType::Uint8, &[-1, 3]).unwrap(), [0; 0]);
        let wide: Vec<u8> = [1i64, -2, i64::from(i32::MIN)].iter().flat_map(|v| v.to_le_bytes()).collect();
        let narrow: Vec<u8> = [1i32, -2, i32::MIN].iter().flat_map(|v| v.to_le_bytes()).collect();
        let integers = file(&dir, "int64", &[3], &wide);
        assert_eq!(read("ids", &integers, DataType::Int32, &[3]).unwrap(), narrow);
        assert_eq!(read("ids", &integers, DataType::Int64, &[3]).unwrap(), wide);
    }

    #[test]
    fn data_that_does_not_fit_is_refused_with_both_sides() {
        let dir = tempfile::tempdir().unwrap();
        let huge = (i64::from(i32::MAX) + 1).to_le_bytes();
        type Case<'a> = (&'a str, &'a [i64], &'a [u8], DataType, &'a [i64], &'a str);
        let cases: [Case; 8] = [
            ("float", &[2], &[0; 8], DataType::Float, &[3], "[3]"),
            ("float", &[2], &[0; 8], DataType::Float, &[1, 2], "[1, 2]"),
            ("float16", &[2], &[0; 4], DataType::Float, &[2], "float16"),
            ("int32", &[2], &[0; 8], DataType::Int64, &[2], "int32"),
            ("float", &[2], &[0; 7], DataType::Float, &[2], "bytes: 7"),
            ("float", &[-1], &[0; 8], DataType::Float, &[-1], "[-1]"),
            ("int64", &[1], &huge, DataType::Int32, &[1], "2147483648"),
            ("int4", &[2], &[0; 1], DataType::Int4, &[2], "Int4"),
        ];
        for (element, dims, data, wanted, shape, words) in cases {
            let failure = read("x", &file(&dir, element, dims, data), wanted, shape).unwrap_err();
            assert!(
                failure.message.contains("`x`") && failure.message.contains(words),
                "{}",
                failure.message
            );
            assert!(failure.hint.is_some());
        }
        let absent = TensorFile { element: "float".into(), dims: vec![1], file: "/nonexistent/x.bin".into() };
        let failure = read("x", &absent, DataType::Float, &[1]).unwrap_err();
        assert!(failure.message.contains("/nonexistent/x.bin"), "{}", failure.message);
    }
}
