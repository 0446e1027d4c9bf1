//! Evaluation, ranking, rescue and choice on networks of a few nodes, run by rten.

mod runs;
mod tiny;

use std::collections::BTreeMap;

use runs::open;
use tiny::{Layer, chain, identity, noise, sample, scales};
use trt_calib::{Algorithm, Counts, Mode};
use trt_evaluate::{
    ChooseOptions, Classification, EvaluateError, Evaluator, Label, Rescue, RescueOptions, Sample, Samples,
    Settings, Study, Target, Task, TaskFigures, choose, evaluate, rank_tensors, rescue, sensitivity,
};
use trt_onnx::{Model, SimulateOptions};

const CLASSES: usize = 8;

/// Scores of 8 classes, and a ninth feature that no class looks at and that is huge now and then.
fn classifier() -> Model {
    let mut weight = identity(CLASSES);
    weight.push(vec![0.0; CLASSES]);
    chain(&[Layer { values: ("x", "scores"), weight }])
}

fn samples(seed: u64, count: usize) -> Vec<Sample> {
    let mut noise = noise(seed);
    let one = |number: usize| {
        let mut values: Vec<f32> = (0..CLASSES).map(|_| noise()).collect();
        let label = (0..CLASSES).max_by(|&a, &b| values[a].total_cmp(&values[b])).unwrap();
        values.push(if number.is_multiple_of(16) { 1000.0 } else { noise() });
        sample(number, values, Some(Label::Class(label)))
    };
    (0..count).map(one).collect()
}

fn settings() -> Settings {
    Settings { task: Some(Task::Classification(Classification::default())), ..Settings::default() }
}

fn study(model: &Model) -> Study<'_> {
    Study { model, options: SimulateOptions::default(), open: &open }
}

/// What a calibration on these samples counted of the input.
fn counts(samples: &[Sample]) -> Counts {
    let mut counts = Counts::new(Mode::Canonical);
    samples.iter().for_each(|sample| counts.add(sample.inputs[0].values.as_f32().unwrap()));
    counts
}

#[test]
fn a_clipped_outlier_costs_nothing_and_an_unclipped_one_everything() {
    let model = classifier();
    let (fp32, samples) = (open(&model).unwrap(), samples(1, 64));
    for (scale, least, most) in [(1.0 / 127.0, 0.9, 1.0), (1000.0 / 127.0, 0.0, 0.3)] {
        let (int8, _) = study(&model).int8(&scales(&[("x", scale)])).unwrap();
        let found = evaluate(fp32.as_ref(), int8.as_ref(), &samples, &settings()).unwrap();
        let agreement = found.agreement.as_ref().unwrap();
        assert!((least..=most).contains(&agreement.mean), "{scale}: {found:?}");
        assert_eq!((found.samples, agreement.samples, found.left_out.len()), (64, 64, 0));
        let Some(TaskFigures::Classification { agreement: both, fp32, int8 }) = &found.task else {
            panic!("{found:?}")
        };
        // Labels are what FP32 says, so that agreement is accuracy.
        assert_eq!(fp32.unwrap().top1_share(), Some(1.0));
        assert_eq!(int8.unwrap().top1_share(), both.top1_share());
        assert_eq!(both.top1_share(), Some(agreement.mean));
        assert!(found.fp32_backend.starts_with("rten "), "{}", found.fp32_backend);
        assert_eq!(
            serde_json::from_str::<trt_evaluate::Evaluation>(&serde_json::to_string(&found).unwrap())
                .unwrap(),
            found
        );
    }
}

#[test]
fn figures_depend_neither_on_memory_nor_on_threads() {
    let model = classifier();
    let (fp32, samples) = (open(&model).unwrap(), samples(2, 50));
    let (int8, _) = study(&model).int8(&scales(&[("x", 0.01)])).unwrap();
    let run = |cache_bytes: usize, threads: usize| {
        let settings = Settings { cache_bytes, ..settings() };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let evaluator = Evaluator::new(fp32.as_ref(), &samples, &settings);
        let twice = pool.install(|| [evaluator.run(int8.as_ref()), evaluator.run(int8.as_ref())]);
        twice.map(|run| {
            let mut evaluation = run.unwrap().evaluation;
            evaluation.seconds = 0.0;
            evaluation
        })
    };
    let first = run(0, 1);
    assert_eq!(first[0], first[1]);
    for other in [run(1 << 20, 1), run(500, 3), run(0, 4)] {
        assert_eq!(other, first);
    }
}

/// Samples of which every third cannot be read.
struct Holes(Vec<Sample>);

impl Samples for Holes {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn load(&self, index: usize) -> Result<Sample, String> {
        if index.is_multiple_of(3) {
            Err(format!("{}: truncated", self.0[index].name))
        } else {
            Ok(self.0[index].clone())
        }
    }
}

#[test]
fn a_sample_that_cannot_be_read_is_left_out_and_said_to_be() {
    let model = classifier();
    let fp32 = open(&model).unwrap();
    let found = evaluate(fp32.as_ref(), fp32.as_ref(), &Holes(samples(3, 7)), &settings()).unwrap();
    assert_eq!(found.samples, 4);
    assert_eq!(found.left_out.iter().map(|left| left.index).collect::<Vec<_>>(), [0, 3, 6]);
    assert_eq!(found.left_out[1].why, "sample 3: truncated");
    assert_eq!(found.outputs[0].all.cosine, Some(1.0));
    let none = evaluate(fp32.as_ref(), fp32.as_ref(), &Holes(samples(3, 1)), &settings()).unwrap_err();
    assert!(matches!(none, EvaluateError::NoSamples { first: Some(_) }), "{none}");
}

#[test]
fn labels_of_another_task_are_refused() {
    let model = classifier();
    let fp32 = open(&model).unwrap();
    let mut samples = samples(3, 2);
    samples[1].label = Some(Label::Boxes(vec![]));
    let error = evaluate(fp32.as_ref(), fp32.as_ref(), &samples, &settings()).unwrap_err();
    assert_eq!(error.to_string(), "the labels are boxes, and the task is classification");
}

#[test]
fn auto_takes_the_algorithm_that_clips_the_outlier() {
    let model = classifier();
    let fp32 = open(&model).unwrap();
    let calibration = counts(&samples(4, 160));
    let derive = |algorithm: Algorithm, overrides: &BTreeMap<String, Algorithm>| {
        let algorithm = overrides.get("x").copied().unwrap_or(algorithm);
        let threshold = algorithm.threshold(&calibration).map_err(|error| error.to_string())?;
        Ok(scales(&[("x", threshold.scale())]))
    };
    let settings = settings();
    let (selection, report) = (samples(5, 96), samples(6, 96));
    let select = Evaluator::new(fp32.as_ref(), &selection, &settings);
    let judge = Evaluator::new(fp32.as_ref(), &report, &settings);
    let percentile: Algorithm = "percentile:99".parse().unwrap();
    let options = ChooseOptions::default();
    let run = |algorithms: &[Algorithm]| {
        let mut chosen = choose(&study(&model), algorithms, &derive, &select, &judge, &options).unwrap();
        chosen.report.seconds = 0.0;
        chosen.report_default.iter_mut().for_each(|report| report.seconds = 0.0);
        chosen.candidates.iter_mut().filter_map(|c| c.evaluation.as_mut()).for_each(|e| e.seconds = 0.0);
        chosen
    };
    let chosen = run(&[Algorithm::MinMax, percentile]);
    assert_eq!(chosen.algorithm, percentile, "{}", chosen.because);
    assert!(chosen.because.contains("top-1 agreement"), "{}", chosen.because);
    let agreement = |evaluation: &trt_evaluate::Evaluation| evaluation.agreement.as_ref().unwrap().mean;
    assert!(agreement(&chosen.report) > 0.9, "{:?}", chosen.report);
    assert!(agreement(chosen.report_default.as_ref().unwrap()) < 0.3, "{:?}", chosen.report_default);
    assert_eq!(
        chosen.candidates.iter().map(|c| c.algorithm).collect::<Vec<_>>(),
        [Algorithm::MinMax, percentile]
    );
    assert!(chosen.overrides.is_empty(), "{:?}", chosen.trials);
    assert_eq!(chosen, run(&[Algorithm::MinMax, percentile]));

    // A little more of the same is no reason to leave the default.
    let chosen = run(&[percentile, "percentile:99.05".parse().unwrap()]);
    assert_eq!(chosen.algorithm, percentile, "{}", chosen.because);
    assert!(chosen.report_default.is_none());
}

#[test]
fn auto_mends_a_single_tensor_that_another_algorithm_serves_better() {
    // Two layers: the first one's input has outliers that do not count, the second one's outliers that do.
    let mut first = identity(CLASSES);
    first.push(vec![0.0; CLASSES]);
    let model = chain(&[
        Layer { values: ("x", "y"), weight: first },
        Layer { values: ("y", "scores"), weight: identity(CLASSES) },
    ]);
    let fp32 = open(&model).unwrap();
    let derive = |algorithm: Algorithm, overrides: &BTreeMap<String, Algorithm>| {
        let of = |name: &str| overrides.get(name).copied().unwrap_or(algorithm);
        let minmax = |name: &str| of(name) == Algorithm::MinMax;
        let x = if minmax("x") { 1000.0 } else { 1.0 };
        let y = if minmax("y") { 1.0 } else { 0.2 };
        Ok(scales(&[("x", x / 127.0), ("y", y / 127.0)]))
    };
    let settings = settings();
    let (selection, report) = (samples(5, 96), samples(6, 96));
    let select = Evaluator::new(fp32.as_ref(), &selection, &settings);
    let judge = Evaluator::new(fp32.as_ref(), &report, &settings);
    let mse = Algorithm::Mse;
    let algorithms = [Algorithm::MinMax, mse];
    let chosen =
        choose(&study(&model), &algorithms, &derive, &select, &judge, &ChooseOptions::default()).unwrap();
    let repaired = if chosen.algorithm == mse { ("y", Algorithm::MinMax) } else { ("x", mse) };
    assert_eq!(
        chosen.overrides,
        BTreeMap::from([(repaired.0.to_owned(), repaired.1)]),
        "{:?}",
        chosen.trials
    );
    let agreement = chosen.report.agreement.unwrap();
    assert!(agreement.mean > 0.9, "{agreement:?}");
}

/// Layers that mix a little, from `x` by way of these values; every activation lies between -2 and 2.
fn deep(values: &[&'static str]) -> Model {
    let mut noise = noise(11);
    let mut layer = |values| {
        let mut weight = identity(CLASSES);
        weight.iter_mut().flatten().for_each(|value| *value += (noise() - 0.5) / 8.0);
        Layer { values, weight }
    };
    let layers: Vec<Layer> = values.windows(2).map(|pair| layer((pair[0], pair[1]))).collect();
    chain(&layers)
}

const SHORT: [&str; 5] = ["x", "a", "b", "c", "scores"];
const LONG: [&str; 9] = ["x", "a", "b", "c", "d", "e", "f", "g", "scores"];

fn plain_samples(count: usize) -> Vec<Sample> {
    let mut noise = noise(12);
    (0..count).map(|number| sample(number, (0..CLASSES).map(|_| noise()).collect(), None)).collect()
}

/// All scales right, but those of `bad`, which are 60 times too coarse.
fn planted(bad: &[&str]) -> BTreeMap<String, f32> {
    let scale = |name: &&str| if bad.contains(name) { 120.0 / 127.0 } else { 2.0 / 127.0 };
    LONG.iter().map(|name| ((*name).to_owned(), scale(name))).collect()
}

fn rescued(values: &[&'static str], bad: &[&str], target: &str, options: &RescueOptions) -> Rescue {
    let model = deep(values);
    let (fp32, samples, settings) = (open(&model).unwrap(), plain_samples(24), Settings::default());
    let judge = Evaluator::new(fp32.as_ref(), &samples, &settings);
    let probe = Evaluator::new(fp32.as_ref(), &samples, &settings).first(6);
    let target: Target = target.parse().unwrap();
    rescue(&study(&model), &planted(bad), &probe, &judge, target, options).unwrap()
}

#[test]
fn rescue_keeps_the_one_activation_that_is_to_blame() {
    for target in ["sqnr>=30", "cosine>=0.999"] {
        let found = rescued(&SHORT, &["b"], target, &RescueOptions::default());
        assert!(found.reached && found.note.is_none(), "{found:?}");
        // The layer that reads `b` leaves INT8 with either.
        assert!(found.keep == ["b"] || found.keep == ["c"], "{:?}", found.order);
        assert!(found.value_before < found.target.least && found.value_after >= found.target.least);
        assert_eq!((found.layers_before, found.layers_after), (4, 2));
        assert_eq!(found.order.len(), 5);
    }
}

#[test]
fn rescue_keeps_two_activations_where_two_are_to_blame() {
    let found = rescued(&LONG, &["b", "f"], "sqnr>=28", &RescueOptions::default());
    let mut keep = found.keep.clone();
    keep.sort();
    assert!(found.reached && keep.len() == 2, "{found:?}");
    assert!(["b", "c"].contains(&keep[0].as_str()) && ["f", "g"].contains(&keep[1].as_str()), "{keep:?}");
}

#[test]
fn rescue_says_so_where_nothing_is_to_be_done_or_nothing_can_be() {
    let found = rescued(&SHORT, &["b"], "cosine>=-1", &RescueOptions::default());
    assert!(found.reached && found.keep.is_empty() && found.evaluations == 1, "{found:?}");
    let found = rescued(&SHORT, &["b"], "cosine>=1.5", &RescueOptions::default());
    assert!(!found.reached && found.note.unwrap().contains("FP32"), "{:?}", found.keep);
    // INT8 with 1 activation kept cannot be that good.
    let found = rescued(&SHORT, &["b"], "sqnr>=100", &RescueOptions { most: 1, ..RescueOptions::default() });
    assert!(!found.reached && found.note.as_deref().unwrap().contains("does not suffice"), "{found:?}");
    assert!(found.value_after > found.value_before && found.keep.len() == 1);
    // With all of them kept it is FP32.
    let found = rescued(&SHORT, &["b"], "sqnr>=150", &RescueOptions::default());
    assert!(found.reached && found.layers_after == 0, "{found:?}");
}

#[test]
fn rescue_stops_when_its_evaluations_are_spent() {
    let found =
        rescued(&SHORT, &["b"], "sqnr>=30", &RescueOptions { evaluations: 4, ..RescueOptions::default() });
    assert!(found.evaluations <= 5, "{}", found.evaluations);
    assert!(found.reached && found.note.as_deref().unwrap().contains("spent"), "{found:?}");
}

#[test]
fn rescue_by_a_figure_that_is_not_there_names_what_it_needs() {
    let model = deep(&SHORT);
    let (fp32, samples, settings) = (open(&model).unwrap(), plain_samples(2), Settings::default());
    let evaluator = Evaluator::new(fp32.as_ref(), &samples, &settings);
    let target: Target = "map50>=-0.01".parse().unwrap();
    let options = RescueOptions::default();
    let error =
        rescue(&study(&model), &planted(&["b"]), &evaluator, &evaluator, target, &options).unwrap_err();
    assert!(matches!(error, EvaluateError::Unmeasured { .. }) && error.hint().unwrap().contains("`labels`"));
}

#[test]
fn the_ranking_names_the_tensor_with_the_bad_scale_and_where_its_error_shows() {
    let model = deep(&SHORT);
    let (fp32, samples, settings) = (open(&model).unwrap(), plain_samples(24), Settings::default());
    let evaluator = Evaluator::new(fp32.as_ref(), &samples, &settings);
    let ranked = rank_tensors(&study(&model), &planted(&["b"]), &evaluator, 8).unwrap();
    let by_name: BTreeMap<&str, &trt_evaluate::TensorLoss> =
        ranked.iter().map(|loss| (loss.name.as_str(), loss)).collect();
    assert_eq!(by_name.keys().copied().collect::<Vec<_>>(), ["a", "b", "c", "scores", "x"]);
    // The error of `b` shows in what is computed from it.
    let accumulated = |name: &str| by_name[name].accumulated.sqnr.unwrap();
    assert!(accumulated("x") == 200.0 && accumulated("a") > 30.0 && accumulated("b") > 30.0);
    assert!(accumulated("c") < 15.0 && accumulated("scores") < 15.0);
    assert!(["c", "scores"].contains(&ranked[0].name.as_str()));
    // Of its own, `b` has the worst; the output is not rounded at all.
    let own = |name: &str| by_name[name].own.map(|own| own.sqnr.unwrap());
    assert!(own("b").unwrap() < 15.0 && own("a").unwrap() > 30.0 && own("x").unwrap() > 30.0);
    assert_eq!((own("scores"), by_name["b"].clipped), (None, Some(0.0)));
}

#[test]
fn the_most_sensitive_layer_is_the_one_that_reads_the_bad_scale() {
    let model = deep(&SHORT);
    let (fp32, samples, settings) = (open(&model).unwrap(), plain_samples(8), Settings::default());
    let evaluator = Evaluator::new(fp32.as_ref(), &samples, &settings);
    let last = std::cell::Cell::new((0, 0));
    let progress = |done, total| last.set((done, total));
    let losses = sensitivity(&study(&model), &planted(&["b"]), &evaluator, 2, &progress).unwrap();
    assert_eq!(last.get(), (6, 6), "four alone, and all but the two costliest");
    assert_eq!(losses.len(), 4);
    assert_eq!((losses[0].output.as_str(), losses[0].op.as_str()), ("c", "MatMul"));
    assert!(losses[0].only < 15.0 && losses[1].only > 30.0, "{losses:?}");
    let without: Vec<bool> = losses.iter().map(|loss| loss.without.is_some()).collect();
    assert_eq!(without, [true, true, false, false]);
    assert!(losses[0].without > Some(30.0), "{losses:?}");
}
