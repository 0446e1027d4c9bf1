//! What was measured, and how the algorithm was chosen.

use trt_calib::Sidecar;
use trt_evaluate::{Chosen, Evaluation, TaskFigures};
use trt_report::{
    Against, Candidate, Choice, ClassFigures, Column, Measure, OutputFigures, Override, Results, Unit,
};

/// The figures of an evaluation; `split` and `about` say on which samples, `names` what the classes are called.
pub(super) fn results(evaluation: &Evaluation, split: &str, about: &str, names: &[String]) -> Results {
    let figures = |output: &str, group: Option<&str>, figures: &trt_metrics::Figures| OutputFigures {
        output: output.to_owned(),
        group: group.map(str::to_owned),
        cosine: figures.cosine,
        sqnr_db: super::decibel(figures.sqnr),
        max_error: figures.max_error,
    };
    Results {
        split: split.to_owned(),
        about: about.to_owned(),
        samples: evaluation.samples,
        outputs: evaluation.parts().map(|(output, group, found)| figures(output, group, found)).collect(),
        measures: measures(evaluation),
        of_classes: of_classes(evaluation).to_owned(),
        classes: classes(evaluation, names),
    }
}

/// What the figures of [`classes`] are.
pub fn of_classes(evaluation: &Evaluation) -> &'static str {
    match evaluation.task {
        Some(TaskFigures::Detection { .. }) => "average precision at IoU 0.5",
        Some(TaskFigures::Segmentation { .. }) => "intersection over union",
        _ => "",
    }
}

/// Each class against its labels.
pub fn classes(evaluation: &Evaluation, names: &[String]) -> Vec<ClassFigures> {
    let (Some(TaskFigures::Detection { classes, .. }) | Some(TaskFigures::Segmentation { classes, .. })) =
        &evaluation.task
    else {
        return Vec::new();
    };
    let named = |class: usize| names.get(class).filter(|name| !name.is_empty()).cloned();
    let figures = |found: &trt_evaluate::ClassFigures| ClassFigures {
        name: named(found.class).unwrap_or_else(|| found.class.to_string()),
        labelled: found.labelled,
        fp32: found.fp32,
        int8: found.int8,
    };
    classes.iter().map(figures).collect()
}

/// The task's own figures: agreement with FP32, and quality against labels.
pub fn measures(evaluation: &Evaluation) -> Vec<Measure> {
    let mut all = Vec::new();
    if let Some(share) = &evaluation.agreement {
        all.push(Measure {
            name: share.what.clone(),
            against: Against::Fp32,
            fp32: None,
            int8: Some(share.mean),
            standard_error: Some(share.standard_error),
            unit: Unit::Share,
        });
    }
    let agreement = |name: &str, int8: Option<f64>| Measure {
        name: name.to_owned(),
        against: Against::Fp32,
        fp32: None,
        int8,
        standard_error: None,
        unit: Unit::Share,
    };
    let labelled = |name: &str, fp32: Option<f64>, int8: Option<f64>| {
        let (against, standard_error, unit) = (Against::Labels, None, Unit::Share);
        let measure = Measure { name: name.to_owned(), against, fp32, int8, standard_error, unit };
        (fp32.is_some() || int8.is_some()).then_some(measure)
    };
    match &evaluation.task {
        Some(TaskFigures::Classification { agreement: agree, fp32, int8 }) => {
            let share = |of: &Option<trt_metrics::Accuracy>,
                         top: fn(&trt_metrics::Accuracy) -> Option<f64>| {
                of.as_ref().and_then(top)
            };
            let (top1, top5) = (trt_metrics::Accuracy::top1_share, trt_metrics::Accuracy::top5_share);
            all.extend(labelled("top-1 accuracy", share(fp32, top1), share(int8, top1)));
            all.extend(labelled("top-5 accuracy", share(fp32, top5), share(int8, top5)));
            all.push(agreement("top-5 agreement", agree.top5_share()));
        }
        Some(TaskFigures::Detection { matches, map50_fp32, map50_int8, .. }) => {
            all.push(agreement("box matches (F1 at IoU 0.5)", matches.agreement()));
            all.extend(labelled("mAP50", *map50_fp32, *map50_int8));
        }
        Some(TaskFigures::Segmentation { miou_fp32, miou_int8, .. }) => {
            all.extend(labelled("mIoU", *miou_fp32, *miou_int8));
        }
        None => {}
    }
    all
}

/// What `auto` chose, as the sidecar records it.
pub(super) fn chosen(sidecar: &Sidecar) -> Option<Chosen> {
    let mut value = sidecar.auto.get("choice")?.clone();
    timed(&mut value);
    serde_json::from_value(value).ok()
}

/// What `auto` chose among.
pub(super) fn choice(chosen: &Chosen) -> Choice {
    let candidate = |one: &trt_evaluate::Candidate| {
        let evaluation = one.evaluation.as_ref();
        let agreement = evaluation.and_then(|found| found.agreement.as_ref()).map(|share| share.mean);
        Candidate {
            algorithm: one.algorithm.to_string(),
            chosen: one.algorithm == chosen.algorithm,
            values: vec![evaluation.and_then(|found| found.mean_sqnr), agreement],
            note: Some(one.verdict.clone()),
        }
    };
    let gain = |tensor: &str| {
        let taken = chosen.trials.iter().find(|trial| trial.taken && trial.tensor == tensor);
        taken.map_or(String::new(), |trial| format!(": {:.2} ± {:.2} dB", trial.gain, trial.error))
    };
    let overrides = chosen.overrides.iter().map(|(tensor, algorithm)| Override {
        tensor: tensor.clone(),
        algorithm: algorithm.to_string(),
        because: format!("auto: a sample gains by it{}", gain(tensor)),
    });
    Choice {
        because: format!("Chosen since {}.", chosen.because),
        split: "selection".to_owned(),
        samples: chosen
            .candidates
            .iter()
            .filter_map(|one| Some(one.evaluation.as_ref()?.samples))
            .max()
            .unwrap_or(0),
        columns: vec![
            Column { name: "mean SQNR".to_owned(), unit: Unit::Decibel },
            Column { name: "agreement with FP32".to_owned(), unit: Unit::Share },
        ],
        candidates: chosen.candidates.iter().map(candidate).collect(),
        overrides: overrides.collect(),
    }
}

/// Sidecars leave out how long an evaluation took.
fn timed(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Object(map) => {
            map.values_mut().for_each(timed);
            if map.contains_key("fp32-backend") {
                map.insert("seconds".to_owned(), 0.0.into());
            }
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(timed),
        _ => {}
    }
}
