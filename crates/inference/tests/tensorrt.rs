//! TensorRT's own calibrator, as far as it can be seen without TensorRT: a recorder in its place writes down what it is
//! given, and a stub in CUDA's place is the GPU's memory. The recorder asks for batches as TensorRT does and then writes a
//! table of two words, which is none.

use std::path::PathBuf;
use std::process::Command;

use nvinfer::SearchPath;
use trt_calib::Algorithm;
use trt_inference::tensorrt::{Supply, TensorRt};
use trt_inference::{Batch, Content, SourceError, TableSource, Tensor};

/// Set in a child process: the folder with the libraries.
const CHILD: &str = "TABLE_SOURCE_CHILD";
/// Set there too: which algorithm, and what is wrong with the batches.
const CASE: &str = "TABLE_SOURCE_CASE";

/// A folder with the libraries of a TensorRT version and a CUDA driver.
fn stage(version: u32) -> tempfile::TempDir {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = |name: &str| folder.path().join(name);
    let recorder = std::env::current_exe().unwrap().with_file_name("librecorder.so");
    let major = if version < 10_000 { version / 1_000 } else { version / 10_000 };
    for name in ["libnvinfer", "libnvonnxparser", "libnvinfer_plugin"] {
        // One file under all names, so that the loader makes one library of them.
        std::fs::hard_link(&recorder, path(&format!("{name}.so.{major}"))).unwrap();
    }
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../cuda/tests/stub/driver.c");
    let library = path("libcuda.so.1");
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .arg(&library)
        .args([source, "-lpthread"])
        .status();
    assert!(compiled.unwrap().success());
    std::fs::write(path("model.onnx"), "any").unwrap();
    std::fs::write(path("log"), "").unwrap();
    folder
}

/// Runs [`child`] in a process where these libraries are; what it says, and what was recorded.
fn calibrate(version: u32, case: &str) -> (String, String) {
    let folder = stage(version);
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env(CHILD, folder.path())
        .env(CASE, case)
        .env("LD_LIBRARY_PATH", folder.path())
        .env("RECORDER_VERSION", version.to_string())
        .env("RECORDER_LOG", folder.path().join("log"))
        .env("STUB_CUDA_LOG", folder.path().join("cuda.log"))
        .output()
        .unwrap();
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{text}");
    (text, std::fs::read_to_string(folder.path().join("log")).unwrap())
}

fn batch(side: usize, name: &str) -> Batch {
    let tensor = Tensor::f32(name, vec![2, 3, side, side], vec![0.5; 6 * side * side]);
    Batch { content: Content::Tensors(vec![tensor]), samples: vec!["a".to_owned(), "b".to_owned()] }
}

/// What happens in the child process; nothing in any other.
#[test]
fn child() {
    let Some(folder) = std::env::var_os(CHILD).map(PathBuf::from) else { return };
    let case = std::env::var(CASE).unwrap();
    let algorithm: Algorithm = case.split(' ').next().unwrap().parse().unwrap();
    let search = SearchPath::only([&folder]);
    let mut source = match TensorRt::open(&search, 0, &folder.join("model.onnx"), algorithm) {
        Ok(source) => source,
        Err(error) => return println!("outcome: {error}"),
    };
    println!("backend: {:?}", source.backend());
    let mut left = 3;
    let flaw = case.split(' ').nth(1).unwrap_or_default().to_owned();
    let supply: Supply = Box::new(move || {
        left -= 1;
        match (left, flaw.as_str()) {
            (-1, _) => Ok(None),
            (1, "small") => Ok(Some(batch(112, "images"))),
            (1, "fails") => Err(SourceError::Run { node: None, reason: "a file is gone".to_owned() }),
            (_, "other") => Ok(Some(batch(224, "pictures"))),
            _ => Ok(Some(batch(224, "images"))),
        }
    });
    match source.table(supply) {
        Ok(table) => println!("outcome: {} scales", table.entries().len()),
        Err(error) => println!("outcome: {error}"),
    }
}

/// How many batches were given, by the addresses in the record.
fn given(log: &str) -> usize {
    log.lines().filter(|line| line.contains("getBatch(images) -> true, 0x") && !line.ends_with("0x0")).count()
}

#[test]
fn every_batch_reaches_the_calibrator_of_the_algorithm() {
    for (version, algorithm, number) in [
        (8601, "entropy", 2),
        (100_300, "entropy", 2),
        (100_300, "entropy1", 1),
        (8201, "minmax", 3),
        (100_300, "legacy:0.999:0.5", 0),
    ] {
        let (text, log) = calibrate(version, algorithm);
        assert_eq!(given(&log), 3, "{version} {algorithm}: {text}\n{log}");
        assert!(log.contains(&format!("getAlgorithm() -> {number}")), "{log}");
        assert!(log.contains("writeCalibrationCache"), "{log}");
        assert!(
            text.contains("outcome: the model could not be run: TensorRT's calibration table: "),
            "{text}"
        );
        if number == 0 {
            assert!(log.contains("quantile 0.999, cutoff 0.5"), "{log}");
        }
    }
}

#[test]
fn what_is_wrong_with_a_batch_is_said_rather_than_what_comes_of_it() {
    for (case, batches, words) in [
        ("entropy small", 1, "all batches must have the shape of the first"),
        ("entropy fails", 1, "a file is gone"),
        ("entropy other", 0, "input `images` does not fit the model: the samples have nothing for it"),
    ] {
        let (text, log) = calibrate(100_300, case);
        assert!(text.contains(words), "{case}: {text}");
        assert_eq!(given(&log), batches, "{case}: {log}");
    }
}

#[test]
fn what_has_no_calibrator_is_refused() {
    for (version, algorithm, words) in [
        (110_000, "entropy", "TensorRT 11.0.0 has no calibrators any more"),
        (100_300, "mse", "TensorRT has no calibrator for `mse`"),
    ] {
        let (text, _) = calibrate(version, algorithm);
        assert!(text.contains(words), "{text}");
    }
}
