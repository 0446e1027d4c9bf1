//! What has a scale and what runs in INT8, and which ranges look wrong.

use trt_onnx::demand;
use trt_report::{Coverage, Layer, Reason};

use super::Material;
use crate::calibrate::{Health, derive};

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
    let health = Health::of(&sidecar.tensors, material.set.map_or(&[][..], |set| &set.tensors));
    let constant = material.samples.map_or(Vec::new(), |samples| {
        let because = || "it had the same values in every sample".to_owned();
        samples.unchanging.iter().map(|input| reason(input, because())).collect()
    });
    Coverage {
        wanted: demand.tensors.len() as u64,
        without_scale: missing.collect(),
        layers: demand.layers.len() as u64,
        not_int8: layers.collect(),
        dead: health.dead.iter().map(|name| reason(name, "it was 0 throughout".to_owned())).collect(),
        suspicious: health.suspicious.into_iter().map(|(name, because)| reason(&name, because)).collect(),
        constant_inputs: constant,
    }
}

fn reason(name: &str, because: String) -> Reason {
    Reason { name: name.to_owned(), because }
}
