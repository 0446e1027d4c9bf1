//! Detection and segmentation through the evaluator, with networks that say what they are told to.

use trt_evaluate::{
    Detection, Evaluator, Label, Mask, Sample, Segmentation, Settings, Task, TaskFigures, evaluate,
};
use trt_imaging::{Preprocess, Preset, Size};
use trt_inference::{Backend, Network, SourceError, Tensor};
use trt_metrics::{BBox, Format, Preset as Detector, Truth};

/// Gives out its input: what a network says is what the sample holds.
struct Echo {
    outputs: Vec<String>,
    change: fn(&mut Vec<f32>),
}

impl Echo {
    fn new(change: fn(&mut Vec<f32>)) -> Self {
        Self { outputs: vec!["out".to_owned()], change }
    }
}

impl Network for Echo {
    fn backend(&self) -> Backend {
        Backend { name: "echo", version: "1".to_owned(), settings: Vec::new() }
    }

    fn outputs(&self) -> &[String] {
        &self.outputs
    }

    fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, SourceError> {
        let mut values = inputs[0].values.as_f32().unwrap().to_vec();
        (self.change)(&mut values);
        Ok(vec![Tensor::f32("out", inputs[0].shape.clone(), values)])
    }
}

/// Two candidates of a YOLOv5 with two classes, on a 640x480 photograph in a 640x640 letterbox.
fn detections() -> Sample {
    let values = vec![
        110.0, 190.0, 20.0, 20.0, 0.9, 0.1, 0.9, //
        400.0, 300.0, 80.0, 80.0, 0.8, 0.9, 0.1,
    ];
    // Of the photograph: 80 rows higher.
    let bbox = |left, top, side| BBox { left, top, right: left + side, bottom: top + side };
    let truths = vec![
        Truth { bbox: bbox(100.0, 100.0, 20.0), class: 1, crowd: false },
        Truth { bbox: bbox(360.0, 180.0, 80.0), class: 0, crowd: false },
    ];
    Sample {
        name: "photograph".to_owned(),
        inputs: vec![Tensor::f32("in", [1, 2, 7], values)],
        picture: Some(Size { width: 640, height: 480 }),
        label: Some(Label::Boxes(truths)),
    }
}

fn detector() -> Settings {
    let pipeline = Preprocess::preset(Preset::Yolo).resolve(Some(Size::square(640))).unwrap();
    let task = Task::Detection(Detection::new(Format::Known(Detector::YoloV5)));
    Settings { task: Some(task), pipeline: Some(pipeline), ..Settings::default() }
}

#[test]
fn a_detector_is_judged_in_pixels_of_the_photograph() {
    let fp32 = Echo::new(|_| {});
    // INT8 has lost the second object, and only the scores say so.
    let int8 = Echo::new(|values| values[7 + 4] = 0.1);
    let found = evaluate(&fp32, &int8, &vec![detections()], &detector()).unwrap();
    let Some(TaskFigures::Detection { matches, map50_fp32, map50_int8, labelled, classes }) = found.task
    else {
        panic!("{found:?}")
    };
    assert_eq!((matches.matched, matches.lost, matches.extra, labelled), (1, 1, 0, 1));
    // Below the score that is shown it is still found, for average precision.
    assert_eq!((map50_fp32, map50_int8), (Some(1.0), Some(1.0)));
    assert!(!classes.is_empty() && classes.iter().all(|class| class.fp32 == Some(1.0)), "{classes:?}");
    assert_eq!(classes.iter().map(|class| class.labelled).sum::<u64>(), 2);
    assert_eq!(found.agreement.unwrap().mean, 2.0 / 3.0);
    let sqnr = |group: &str| {
        let found = found.outputs[0].groups.iter().find(|found| found.group == group).unwrap();
        found.figures.sqnr.unwrap()
    };
    assert_eq!([sqnr("xy"), sqnr("wh"), sqnr("classes")], [200.0; 3]);
    assert!(sqnr("objectness") < 5.0 && found.outputs[0].all.sqnr.unwrap() > 50.0);

    // Moved beyond recognition: neither matched nor right.
    let int8 = Echo::new(|values| values[7] += 200.0);
    let found = evaluate(&fp32, &int8, &vec![detections()], &detector()).unwrap();
    let Some(TaskFigures::Detection { matches, map50_int8, .. }) = found.task else { panic!("{found:?}") };
    assert_eq!((matches.matched, matches.lost, matches.extra), (1, 1, 1));
    assert_eq!(map50_int8, Some(0.5));
}

#[test]
fn nan_in_int8_is_no_agreement() {
    let fp32 = Echo::new(|_| {});
    let int8 = Echo::new(|values| values.fill(f32::NAN));
    let found = evaluate(&fp32, &int8, &vec![detections()], &detector()).unwrap();
    assert_eq!((found.mean_sqnr, found.agreement.unwrap().mean), (Some(-200.0), 0.0));
    assert_eq!((found.outputs[0].all.broken, found.outputs[0].all.cosine), (14, None));
}

#[test]
fn a_segmentation_is_judged_by_masks_that_went_through_the_letterbox() {
    // A 4x2 photograph in a 4x4 letterbox: rows 1 and 2 hold it.
    let size = Size { width: 4, height: 2 };
    let mask = Mask { size, classes: vec![0, 0, 1, 1, 0, 0, 1, 255] };
    let scores: Vec<f32> = (0..16).map(|at| if at % 4 < 2 { -1.0 } else { 1.0 }).collect();
    let both: Vec<f32> = scores.iter().map(|score| -score).chain(scores.iter().copied()).collect();
    let sample = Sample {
        name: "photograph".to_owned(),
        inputs: vec![Tensor::f32("in", [1, 2, 4, 4], both)],
        picture: Some(size),
        label: Some(Label::Mask(mask)),
    };
    let pipeline = Preprocess::preset(Preset::Yolo).resolve(Some(Size::square(4))).unwrap();
    let task = Task::Segmentation(Segmentation::default());
    let settings = Settings { task: Some(task), pipeline: Some(pipeline), ..Settings::default() };
    let fp32 = Echo::new(|_| {});
    // The first pixel of the photograph, row 1 and column 0, becomes class 1.
    let int8 = Echo::new(|values| values[16 + 4] = 5.0);
    let samples = vec![sample];
    let run = Evaluator::new(&fp32, &samples, &settings).run(&int8).unwrap();
    let Some(TaskFigures::Segmentation { agreement, miou_fp32, miou_int8, labelled, classes }) =
        run.evaluation.task
    else {
        panic!("{run:?}")
    };
    assert_eq!((agreement.pixels, agreement.equal, labelled), (16, 15, 1));
    assert_eq!(miou_fp32, Some(1.0));
    // Of 7 labelled pixels, 4 are 0 (3 found) and 3 are 1 (4 found, 3 right).
    assert_eq!(miou_int8, Some((3.0 / 4.0 + 3.0 / 4.0) / 2.0));
    let overlaps: Vec<_> = classes.iter().map(|class| (class.labelled, class.fp32, class.int8)).collect();
    assert_eq!(overlaps, [(4, Some(1.0), Some(0.75)), (3, Some(1.0), Some(0.75))]);
    assert_eq!(run.shares, [Some(15.0 / 16.0)]);
}

#[test]
fn outputs_of_other_names_are_refused() {
    let fp32 = Echo::new(|_| {});
    let int8 = Echo { outputs: vec!["other".to_owned()], ..Echo::new(|_| {}) };
    let error = evaluate(&fp32, &int8, &vec![detections()], &detector()).unwrap_err();
    assert_eq!(error.to_string(), "the INT8 model has no such output: `out`");
}
