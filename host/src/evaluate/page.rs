//! What calibration and evaluation found, as a report shows it.

use trt_calib::set::HistogramSet;
use trt_calib::{Algorithm, CalibrationTable, Method, Sidecar};
use trt_evaluate::{Evaluation, TaskFigures, TensorLoss};
use trt_onnx::{Model, demand};
use trt_report::{
    Against, Candidate, Choice, Column, Coverage, DatasetReport, Layer, Measure, OutputFigures, Override,
    Propagated, Provenance, Reason, ReportData, Results, Split, TensorReport, Unit,
};

use crate::calibrate::derive;

/// What there is to show.
#[derive(Debug)]
pub struct Material<'a> {
    /// The table's file name.
    pub name: &'a str,
    /// The table.
    pub table: &'a CalibrationTable,
    /// Its provenance.
    pub sidecar: &'a Sidecar,
    /// The model.
    pub onnx: &'a Model,
    /// The histograms, if they were kept.
    pub set: Option<&'a HistogramSet>,
    /// What was measured, on what.
    pub evaluation: Option<(&'a Evaluation, &'a str)>,
    /// What loses most.
    pub ranking: &'a [TensorLoss],
}

/// All of it.
pub fn data(material: &Material<'_>) -> ReportData {
    let Material { sidecar, evaluation, .. } = material;
    let propagated = sidecar.propagated.iter().map(|one| Propagated {
        tensor: one.tensor.clone(),
        from: one.from.clone(),
        through: Some(through(material.onnx, &one.tensor)).filter(|op| !op.is_empty()),
    });
    ReportData {
        provenance: Provenance::of(sidecar, material.name),
        notes: notes(material),
        results: evaluation.iter().map(|(evaluation, about)| results(evaluation, about)).collect(),
        choice: choice(sidecar),
        tensors: material.set.map(|set| tensors(material, set)).unwrap_or_default(),
        layers: Vec::new(),
        coverage: Some(coverage(material)),
        dataset: Some(dataset(sidecar)),
        side_by_side: Vec::new(),
        propagated: propagated.collect(),
    }
}

fn notes(material: &Material<'_>) -> Vec<String> {
    let mut notes = Vec::new();
    if material.set.is_none() {
        notes.push("The histograms were not kept, so that tensors cannot be shown.".to_owned());
    }
    if material.evaluation.is_none() {
        notes.push("INT8 was not held against FP32; `trt-deploy evaluate` does.".to_owned());
    }
    if !material.sidecar.rescued.is_empty() {
        notes.push(format!("Kept by a rescue: {}.", material.sidecar.rescued.join(", ")));
    }
    notes
}

/// The operator that computes a value.
fn through(onnx: &Model, name: &str) -> String {
    let found = onnx.activations().into_iter().find(|activation| activation.name == name);
    found.and_then(|activation| activation.op_type).unwrap_or_default()
}

fn results(evaluation: &Evaluation, about: &str) -> Results {
    let figures = |output: &str, group: Option<&str>, figures: &trt_metrics::Figures| OutputFigures {
        output: output.to_owned(),
        group: group.map(str::to_owned),
        cosine: figures.cosine,
        sqnr_db: figures.sqnr,
        max_error: figures.max_error,
    };
    Results {
        split: "report".to_owned(),
        about: about.to_owned(),
        samples: evaluation.samples,
        outputs: evaluation.parts().map(|(output, group, found)| figures(output, group, found)).collect(),
        measures: measures(evaluation),
    }
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
    let mut labelled = |name: &str, fp32: Option<f64>, int8: Option<f64>| {
        if fp32.is_some() || int8.is_some() {
            let name = name.to_owned();
            let (against, standard_error, unit) = (Against::Labels, None, Unit::Share);
            all.push(Measure { name, against, fp32, int8, standard_error, unit });
        }
    };
    match &evaluation.task {
        Some(TaskFigures::Classification { agreement, fp32, int8 }) => {
            let share = |of: &Option<trt_metrics::Accuracy>,
                         top: fn(&trt_metrics::Accuracy) -> Option<f64>| {
                of.as_ref().and_then(top)
            };
            let (top1, top5) = (trt_metrics::Accuracy::top1_share, trt_metrics::Accuracy::top5_share);
            labelled("top-1 accuracy", share(fp32, top1), share(int8, top1));
            labelled("top-5 accuracy", share(fp32, top5), share(int8, top5));
            all.push(Measure {
                name: "top-5 agreement".to_owned(),
                against: Against::Fp32,
                fp32: None,
                int8: agreement.top5_share(),
                standard_error: None,
                unit: Unit::Share,
            });
        }
        Some(TaskFigures::Detection { map50_fp32, map50_int8, .. }) => {
            labelled("mAP50", *map50_fp32, *map50_int8);
        }
        Some(TaskFigures::Segmentation { miou_fp32, miou_int8, .. }) => {
            labelled("mIoU", *miou_fp32, *miou_int8);
        }
        None => {}
    }
    all
}

fn choice(sidecar: &Sidecar) -> Option<Choice> {
    let chosen: trt_evaluate::Chosen = {
        let mut value = sidecar.auto.get("choice")?.clone();
        timed(&mut value);
        serde_json::from_value(value).ok()?
    };
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
    let overrides = chosen.overrides.iter().map(|(tensor, algorithm)| Override {
        tensor: tensor.clone(),
        algorithm: algorithm.to_string(),
        because: "auto: it loses less for this tensor".to_owned(),
    });
    Some(Choice {
        because: chosen.because.clone(),
        split: "selection".to_owned(),
        samples: chosen.candidates.iter().filter_map(|one| Some(one.evaluation.as_ref()?.samples)).max()?,
        columns: vec![
            Column { name: "mean SQNR".to_owned(), unit: Unit::Decibel },
            Column { name: "agreement with FP32".to_owned(), unit: Unit::Share },
        ],
        candidates: chosen.candidates.iter().map(candidate).collect(),
        overrides: overrides.collect(),
    })
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

fn tensors(material: &Material<'_>, set: &HistogramSet) -> Vec<TensorReport> {
    let Material { sidecar, onnx, .. } = material;
    let operators: std::collections::HashMap<String, Option<String>> =
        onnx.activations().into_iter().map(|activation| (activation.name, activation.op_type)).collect();
    let loss = |name: &str| material.ranking.iter().find(|loss| loss.name == name);
    let report = |tensor: &trt_calib::set::Counted| {
        let (name, counts) = (tensor.name.as_str(), &tensor.counts);
        let mut report = TensorReport::new(name, counts);
        report.operator = operators.get(name).cloned().flatten();
        let own = sidecar.overrides.get(name).copied().unwrap_or(sidecar.algorithm);
        let record = sidecar.tensors.get(name);
        if let Some(record) = record {
            report = report.with_threshold(&own.to_string(), record.threshold, true, counts);
        }
        for algorithm in Algorithm::candidates().into_iter().filter(|other| record.is_none() || *other != own)
        {
            if let Ok(threshold) = Method::from(algorithm).threshold(counts) {
                report = report.with_threshold(&algorithm.to_string(), threshold.value, false, counts);
            }
        }
        report.without_scale = sidecar.without_scale.get(name).cloned();
        let kept = sidecar.keep.iter().chain(&sidecar.rescued).any(|kept| kept == name);
        report.kept = report.without_scale.clone().filter(|_| kept);
        report.sqnr_db = loss(name).and_then(|loss| loss.own.as_ref()).and_then(|own| own.sqnr);
        report
    };
    set.tensors.iter().map(report).collect()
}

fn coverage(material: &Material<'_>) -> Coverage {
    let Material { sidecar, .. } = material;
    let scales = derive::scales(material.table);
    let keep = [&sidecar.keep[..], &sidecar.rescued].concat();
    let demand = demand(material.onnx, &|name| scales.get(name).copied(), &keep);
    let reason = |name: &str, because: String| Reason { name: name.to_owned(), because };
    let missing = demand.tensors.iter().filter_map(|tensor| {
        let why = sidecar.without_scale.get(&tensor.name).cloned();
        Some(reason(&tensor.name, why.or(Some(tensor.missing.as_ref()?.to_string()))?))
    });
    let layers = demand.layers.iter().filter_map(|layer| {
        let because = layer.not_int8.as_ref()?.to_string();
        Some(Layer { name: layer.node.clone(), operator: layer.op.clone(), because })
    });
    let constant = sidecar.tensors.iter().filter(|(_, record)| record.zero_range);
    let dead = |why: &&String| why.contains("was 0 during calibration");
    Coverage {
        wanted: demand.tensors.len() as u64,
        without_scale: missing.collect(),
        layers: demand.layers.len() as u64,
        not_int8: layers.collect(),
        dead: sidecar
            .without_scale
            .iter()
            .filter(|(_, why)| dead(why))
            .map(|(name, why)| reason(name, why.clone()))
            .collect(),
        suspicious: constant
            .map(|(name, record)| reason(name, format!("it was {} throughout", record.min)))
            .collect(),
        constant_inputs: Vec::new(),
    }
}

fn dataset(sidecar: &Sidecar) -> DatasetReport {
    let found = &sidecar.dataset;
    let split = Split {
        name: "calibration".to_owned(),
        samples: found.count,
        requested: found.requested,
        fingerprint: found.fingerprint.to_string(),
    };
    let others = sidecar.auto.get("splits").and_then(|splits| splits.as_array()).into_iter().flatten();
    let others = others.filter_map(|split| {
        let name = split.get("name")?.as_str().filter(|name| *name != "calibration")?.to_owned();
        let samples = split.get("samples")?.as_u64()?;
        let fingerprint = split.get("fingerprint")?.as_str().unwrap_or_default().to_owned();
        Some(Split { name, samples, requested: samples, fingerprint })
    });
    let skipped = found.skipped.iter();
    DatasetReport {
        splits: std::iter::once(split).chain(others).collect(),
        skipped: skipped.map(|one| Reason { name: one.name.clone(), because: one.reason.clone() }).collect(),
        ..DatasetReport::default()
    }
}
