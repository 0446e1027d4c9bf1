//! Trained networks on photographs (`TRT_TEST_PHOTOS`), and the same graphs in ONNX Runtime for Python.

mod runs;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use runs::open;
use trt_calib::Algorithm;
use trt_evaluate::{
    Classification, Detection, Evaluator, Findings, Sample, Settings, Study, Task, TaskFigures, annotated,
    find, side_by_side,
};
use trt_imaging::{Picture, Pipeline, Preprocess, Preset, ResizeMode, Size, decode};
use trt_inference::{Batch, Choice, Content, Observed, Subject, Tensor, open_source};
use trt_metrics::Format;
use trt_onnx::{Model, SimulateOptions, simulate};

/// Photographs by name, as many as wanted, or a reason to skip.
fn photographs(count: usize) -> Option<Vec<(PathBuf, Picture)>> {
    let Some(folder) = env::var_os("TRT_TEST_PHOTOS") else {
        test_support::skip("`TRT_TEST_PHOTOS` names no folder of photographs");
        return None;
    };
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "jpg"));
    paths.sort();
    let decoded = paths.into_iter().filter_map(|path| {
        let picture = decode(&fs::read(&path).unwrap()).ok()?.picture;
        Some((path, picture))
    });
    Some(decoded.take(count).collect())
}

fn sample(name: &Path, picture: &Picture, input: &str, pipeline: &Pipeline) -> Sample {
    let mut values = vec![0.0; pipeline.output_len()];
    pipeline.run(picture, &mut values).unwrap();
    Sample {
        name: name.display().to_string(),
        inputs: vec![Tensor::f32(input, pipeline.shape(), values)],
        picture: Some(Size { width: picture.width, height: picture.height }),
        label: None,
    }
}

/// What rten counts of every activation of these samples.
fn calibrate(model: &Model, samples: &[Sample]) -> Vec<Observed> {
    let activations: Vec<String> =
        model.activations().into_iter().map(|activation| activation.name).collect();
    let subject = Subject { model, folder: model.folder().unwrap(), activations: &activations };
    let source = open_source(&subject, Choice::Rten, &trt_inference::Settings::default()).unwrap().what;
    for sample in samples {
        let content = Content::Tensors(sample.inputs.clone());
        source.accumulate(Batch { content, samples: vec![sample.name.clone()] }).unwrap();
    }
    source.finish().unwrap().observed
}

fn scales(observed: &[Observed], algorithm: Algorithm) -> BTreeMap<String, f32> {
    let scale =
        |tensor: &Observed| Some((tensor.name.clone(), algorithm.threshold(&tensor.counts).ok()?.scale()));
    observed.iter().filter_map(scale).collect()
}

fn efficientnet() -> (Preprocess, Task) {
    let preprocess = Preprocess {
        resize: Some(ResizeMode::Crop),
        scale: Some(1.0),
        mean: Some(vec![127.0]),
        std: Some(vec![128.0]),
        ..Preprocess::default()
    };
    (preprocess, Task::Classification(Classification::default()))
}

#[test]
fn efficientnet_in_int8_mostly_says_what_it_says_in_fp32_and_python_agrees() {
    let Some(path) = test_support::shared("models/efficientnet_lite0.onnx") else { return };
    let Some(photographs) = photographs(48) else { return };
    let (preprocess, task) = efficientnet();
    let pipeline = preprocess.resolve(Some(Size::square(224))).unwrap();
    let samples: Vec<Sample> =
        photographs.iter().map(|(path, picture)| sample(path, picture, "images", &pipeline)).collect();
    // Every other one is for calibration.
    let (seen, unseen): (Vec<_>, Vec<_>) = samples.into_iter().enumerate().partition(|(at, _)| at % 2 == 0);
    let [seen, unseen] =
        [seen, unseen].map(|part| part.into_iter().map(|(_, sample)| sample).collect::<Vec<_>>());
    let model = Model::load(&path).unwrap();
    let observed = calibrate(&model, &seen);
    let scales = scales(&observed, Algorithm::default());
    let study = Study { model: &model, options: SimulateOptions::default(), open: &open };
    let (fp32, (int8, report)) = (open(&model).unwrap(), study.int8(&scales).unwrap());
    assert!(report.quantized.len() >= 40, "{}", report.quantized.len());
    let settings = Settings { task: Some(task), pipeline: Some(pipeline), ..Settings::default() };
    let found = Evaluator::new(fp32.as_ref(), &unseen, &settings).run(int8.as_ref()).unwrap().evaluation;
    let agreement = found.agreement.clone().unwrap();
    eprintln!("{} samples, {agreement:?}, {:?}", found.samples, found.outputs[0].all);
    assert!(agreement.mean >= 0.6, "{agreement:?}");
    assert!(found.mean_sqnr.unwrap() > 5.0, "{:?}", found.mean_sqnr);

    let Some(python) = test_support::python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let mut simulated = model.clone();
    simulate(&mut simulated, &|name| scales.get(name).copied(), &SimulateOptions::default()).unwrap();
    simulated.save(at("int8.onnx")).unwrap();
    let bytes: Vec<u8> = (unseen.iter())
        .flat_map(|sample| {
            sample.inputs[0].values.as_f32().unwrap().iter().flat_map(|value| value.to_le_bytes())
        })
        .collect();
    fs::write(at("inputs.f32"), bytes).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/compare.py");
    let output = Command::new(python)
        .arg(script)
        .args([&path, &at("int8.onnx"), &at("inputs.f32")])
        .args(["3", "224", "224"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let expected: BTreeMap<String, f64> = serde_json::from_slice(&output.stdout).unwrap();
    eprintln!("Python: {expected:?}");
    let Some(TaskFigures::Classification { agreement: both, .. }) = found.task else {
        panic!("{:?}", found.task)
    };
    let all = found.outputs[0].all;
    // A value on the edge between two steps goes one way in rten and the other in ONNX Runtime.
    let one = 1.0 / unseen.len() as f64 + 1e-9;
    for (name, own, tolerance) in [
        ("cosine", all.cosine.unwrap(), 0.005),
        ("sqnr", all.sqnr.unwrap(), 0.5),
        ("max_error", all.max_error.unwrap(), 0.2 * expected["max_error"]),
        ("top1", both.top1_share().unwrap(), one),
        ("top5", both.top5_share().unwrap(), one),
    ] {
        assert!((own - expected[name]).abs() <= tolerance, "{name}: {own} is not {}", expected[name]);
    }
}

#[test]
fn a_trained_detector_finds_the_same_in_int8_and_is_drawn_side_by_side() {
    let Some(path) = env::var_os("TRT_TEST_YOLOV5S") else {
        return test_support::skip("`TRT_TEST_YOLOV5S` names no detector (scripts/make-yolov5s)");
    };
    let Some(photographs) = photographs(usize::MAX) else { return };
    // With something in them that COCO has.
    let wanted = ["messi5.jpg", "fruits.jpg", "apple.jpg", "orange.jpg", "baboon.jpg", "stuff.jpg"];
    let known = |path: &Path| wanted.iter().any(|wanted| path.ends_with(wanted));
    let photographs: Vec<(PathBuf, Picture)> =
        photographs.into_iter().filter(|(path, _)| known(path)).collect();
    let pipeline = Preprocess::preset(Preset::Yolo).resolve(Some(Size::square(640))).unwrap();
    let samples: Vec<Sample> =
        photographs.iter().map(|(path, picture)| sample(path, picture, "images", &pipeline)).collect();
    let model = Model::load(Path::new(&path)).unwrap();
    let scales = scales(&calibrate(&model, &samples), Algorithm::default());
    let study = Study { model: &model, options: SimulateOptions::default(), open: &open };
    let (fp32, (int8, _)) = (open(&model).unwrap(), study.int8(&scales).unwrap());
    let format: Format = serde_json::from_str("\"yolov5\"").unwrap();
    let task = Task::Detection(Detection::new(format));
    let settings =
        Settings { task: Some(task.clone()), pipeline: Some(pipeline.clone()), ..Settings::default() };
    let found = Evaluator::new(fp32.as_ref(), &samples, &settings).run(int8.as_ref()).unwrap().evaluation;
    let Some(TaskFigures::Detection { matches, .. }) = found.task else { panic!("{:?}", found.task) };
    eprintln!("{matches:?} {:?}", found.agreement);
    for (_, group, figures) in found.parts() {
        eprintln!("{group:?} {figures:?}");
    }
    assert_eq!(found.outputs[0].groups.len(), 4);
    assert!(matches.matched >= 4 && matches.agreement().unwrap() > 0.5, "{matches:?}");

    let mut drawn = 0;
    for ((path, picture), sample) in photographs.iter().zip(&samples) {
        let findings = |network: &dyn trt_inference::Network| {
            find(&task, Some(&pipeline), sample, &network.run(&sample.inputs).unwrap()).unwrap()
        };
        let [fp32, int8] = [fp32.as_ref(), int8.as_ref()].map(findings);
        let Findings::Boxes(boxes) = &fp32 else { panic!("{fp32:?}") };
        for detection in boxes {
            let inside = |x: f32, limit: u32| (0.0..=limit as f32).contains(&x);
            assert!(
                inside(detection.bbox.right, picture.width) && inside(detection.bbox.bottom, picture.height)
            );
        }
        drawn += usize::from(!boxes.is_empty());
        let half = |title, found| annotated(&sample.name, picture, title, found, &[]).unwrap();
        let png = side_by_side(&sample.name, &[half("FP32", &fp32), half("INT8", &int8)]).unwrap();
        if let Some(folder) = env::var_os("TRT_TEST_PICTURES") {
            let name = path.file_stem().unwrap().to_str().unwrap();
            fs::write(Path::new(&folder).join(format!("{name}.png")), png).unwrap();
        }
    }
    assert!(drawn >= 2, "{drawn}");
}
