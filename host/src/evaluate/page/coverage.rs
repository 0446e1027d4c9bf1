//! What has a scale and what runs in INT8, and which ranges look wrong.

use trt_calib::set::{Counted, HistogramSet};
use trt_calib::{Algorithm, Sidecar};
use trt_onnx::demand;
use trt_report::{Coverage, Layer, Reason, TensorReport};

use super::Material;
use crate::calibrate::derive;

/// A range is suspicious if its end is so many times what 99.99 % of the values stay below.
const FAR: f64 = 20.0;
/// A threshold is suspicious if more than this share of the values lies beyond it: outliers are few.
const CLIPPED: f64 = 0.05;
/// The largest number of FP16.
const FP16: f32 = 65_504.0;

/// Coverage with every reason.
pub(super) fn coverage(material: &Material<'_>) -> Coverage {
    let Material { sidecar, .. } = material;
    let scales = derive::scales(material.table);
    let keep = [&sidecar.keep[..], &sidecar.rescued].concat();
    let demand = demand(material.onnx, &|name| scales.get(name).copied(), &keep);
    let missing = demand.tensors.iter().filter_map(|tensor| {
        let why = sidecar.without_scale.get(&tensor.name).cloned();
        Some(reason(&tensor.name, why.or(Some(tensor.missing.as_ref()?.to_string()))?))
    });
    let layers = demand.layers.iter().filter_map(|layer| {
        let because = layer.not_int8.as_ref()?.to_string();
        Some(Layer { name: super::plain(&layer.node), operator: layer.op.clone(), because })
    });
    let counted = material.set.map_or(&[][..], |set| &set.tensors);
    let constant = material.samples.map_or(Vec::new(), |samples| {
        let because = || "it had the same values in every sample".to_owned();
        samples.unchanging.iter().map(|input| reason(input, because())).collect()
    });
    Coverage {
        wanted: demand.tensors.len() as u64,
        without_scale: missing.collect(),
        layers: demand.layers.len() as u64,
        not_int8: layers.collect(),
        dead: counted.iter().filter(|tensor| is_dead(tensor)).map(dead).collect(),
        suspicious: suspicious(sidecar, material.set),
        constant_inputs: constant,
    }
}

fn reason(name: &str, because: String) -> Reason {
    Reason { name: name.to_owned(), because }
}

/// Whether a tensor was 0 throughout.
fn is_dead(tensor: &Counted) -> bool {
    (tensor.counts.min(), tensor.counts.max()) == (Some(0.0), Some(0.0))
}

fn dead(tensor: &Counted) -> Reason {
    reason(&tensor.name, "it was 0 throughout".to_owned())
}

/// Tensors whose range is hardly what was meant.
fn suspicious(sidecar: &Sidecar, set: Option<&HistogramSet>) -> Vec<Reason> {
    let mut found = Vec::new();
    let most_of_it: Option<Algorithm> = "percentile:99.99".parse().ok();
    for (name, record) in &sidecar.tensors {
        let mut add = |because: String| found.push(reason(name, because));
        if record.zero_range {
            add(format!("it was {} throughout", record.min));
        }
        if record.nan > 0 {
            add(format!("{} of its values were NaN", record.nan));
        }
        if record.amax > FP16 {
            add(format!(
                "its values reach {}, which FP16 cannot hold: where it is not INT8 it must be FP32",
                record.amax
            ));
        }
        let counted = set.and_then(|set| set.tensors.iter().find(|tensor| tensor.name == *name));
        let most = counted.and_then(|tensor| Some(most_of_it?.threshold(&tensor.counts).ok()?.value));
        let beyond = counted.and_then(|tensor| {
            let report = TensorReport::new(name, &tensor.counts);
            report.with_threshold("", record.threshold, true, &tensor.counts).chosen()?.beyond
        });
        if let Some(beyond) = beyond.filter(|beyond| *beyond > CLIPPED) {
            let percent = 100.0 * beyond;
            add(format!(
                "{percent:.1} % of its values lie beyond its threshold: another algorithm may serve it better"
            ));
        }
        if let Some(most) = most.filter(|most| *most > 0.0 && f64::from(record.amax) > FAR * most) {
            add(format!(
                "its values reach {:.1} times what 99.99 % of them stay below: a few outliers make its range",
                f64::from(record.amax) / most
            ));
        }
    }
    found
}
