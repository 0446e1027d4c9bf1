//! What has a scale, what runs in INT8, and what looks wrong.

use maud::{Markup, html};

use super::parts::{findings, grouped, long_table, name};
use super::tensors::saturation;
use crate::data::{Coverage, Propagated, ReportData};
use crate::text::{number, percent, visible};

/// How many of the tensors that saturate most are listed.
const MOST_SATURATED: usize = 40;

/// Scales, precision, saturation and suspicion.
pub(super) fn coverage(data: &ReportData) -> Markup {
    html! {
        @match &data.coverage {
            Some(coverage) => (found(coverage)),
            None => p.fine { "Nobody looked at it: " code { "trt-deploy table check --onnx MODEL" } " does." },
        }
        (saturated(data))
    }
}

fn found(coverage: &Coverage) -> Markup {
    let layers = coverage.not_int8.iter().map(|layer| {
        (layer.because.as_str(), html! { (name(&layer.name)) " (" (visible(&layer.operator)) ")" })
    });
    html! {
        (findings("Activations without a scale", &coverage.without_scale, "Every activation that TensorRT wants a scale for has one."))
        (grouped("Layers not in INT8", layers, "Every layer may run in INT8."))
        (findings("Dead tensors", &coverage.dead, "No tensor was 0 throughout."))
        (findings("Suspicious ranges", &coverage.suspicious, "No range looks odd."))
        (findings("Inputs that never changed", &coverage.constant_inputs, "Every input changed from sample to sample."))
    }
}

fn saturated(data: &ReportData) -> Markup {
    let mut shares: Vec<(usize, f64)> = data
        .tensors
        .iter()
        .enumerate()
        .filter_map(|(at, tensor)| Some((at, saturation(tensor).filter(|share| *share > 0.0)?)))
        .collect();
    shares.sort_by(|a, b| b.1.total_cmp(&a.1));
    let all = shares.len();
    shares.truncate(MOST_SATURATED);
    let rows: Vec<Vec<Markup>> = shares
        .iter()
        .map(|&(at, share)| {
            let tensor = &data.tensors[at];
            vec![
                html! { a href={ "#t" (at) } { (name(&tensor.name)) } },
                html! { @if let Some(mark) = tensor.chosen() { (number(mark.value)) } },
                html! { @if let Some(amax) = tensor.amax() { (number(amax.into())) } },
                html! { (percent(share)) },
            ]
        })
        .collect();
    html! {
        h3 { "Saturation" @if all > 0 { " " span.count { (all) } } }
        @if rows.is_empty() { p.fine { "No value lies beyond its tensor's threshold." } }
        @else {
            @if all > MOST_SATURATED { p { "The " (MOST_SATURATED) " tensors that saturate most; the histograms have all of them." } }
            (long_table(
                "Tensors by the share of values beyond their threshold", 1,
                &["Tensor", "Threshold", "Greatest magnitude", "Saturates"], &rows, "tensor",
            ))
        }
    }
}

/// Tensors that got another one's range.
pub(super) fn propagated(all: &[Propagated]) -> Markup {
    let through = |one: &Propagated| html! { (one.through.as_deref().map(visible).unwrap_or_default()) };
    let rows: Vec<Vec<Markup>> =
        all.iter().map(|one| vec![name(&one.tensor), through(one), name(&one.from)]).collect();
    html! {
        @if rows.is_empty() { p.fine { "Every tensor has the range that was counted of it." } }
        @else {
            p { "As TensorRT does it, a tensor on either side of an operator that only moves values has the same range as the other." }
            (long_table("Propagated ranges", 3, &["Tensor", "Through", "Has the range of"], &rows, "tensor"))
        }
    }
}
