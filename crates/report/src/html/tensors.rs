//! Every tensor: what it costs to quantize it, its histogram, its thresholds.

use maud::{Markup, PreEscaped, html};

use super::parts::{long_table, name, prose, table, value};
use crate::data::{TensorReport, Unit};
use crate::plot::{self, Look};
use crate::text::{count, number, percent, visible};

/// Tensors by what quantizing each of them costs, the worst first.
pub(super) fn ranking(tensors: &[TensorReport]) -> Markup {
    let mut ranked: Vec<(usize, f64, &TensorReport)> = tensors
        .iter()
        .enumerate()
        .filter_map(|(at, tensor)| Some((at, tensor.sqnr_db.filter(|db| !db.is_nan())?, tensor)))
        .collect();
    ranked.sort_by(|a, b| a.1.total_cmp(&b.1));
    if ranked.is_empty() {
        return html! {
            p.fine { "It was not measured: " code { "trt-deploy evaluate" } " ranks tensors by what they cost." }
        };
    }
    let rows: Vec<Vec<Markup>> = ranked
        .iter()
        .map(|(at, db, tensor)| {
            let kept = html! { @if let Some(why) = &tensor.kept { span.badge { "kept" } " " (prose(why)) } };
            vec![
                html! { a href={ "#t" (at) } { (name(&tensor.name)) } },
                html! { (tensor.operator.as_deref().map(visible).unwrap_or_default()) },
                kept,
                value(Some(*db), Unit::Decibel),
            ]
        })
        .collect();
    html! {
        p {
            "Only the one tensor is quantized and all else stays in FP32; the less its signal-to-quantization-noise "
            "ratio (SQNR), the more it costs."
        }
        @if let Some(svg) = plot::sqnr(tensors, Look::Inside) {
            figure.wide {
                (PreEscaped(svg.to_string()))
                figcaption { "SQNR of each tensor in the order of computation. Dots: INT8. Rings: kept in higher precision." }
            }
        }
        (long_table("Tensors, the costliest first", 3, &["Tensor", "Operator", "Precision", "SQNR"], &rows, "tensor"))
    }
}

/// A histogram of every tensor, folded up.
pub(super) fn histograms(tensors: &[TensorReport]) -> Markup {
    html! {
        p {
            "How often each magnitude occurred. What the chosen threshold keeps is filled; what lies beyond it saturates "
            "and is drawn as an outline."
        }
        div #tools hidden {
            label { "Find " input #find type="search" placeholder="part of a name" autocomplete="off" spellcheck="false"; }
            label { "Sort by " select #order {
                option value="" { "order of computation" }
                option value="sqnr" { "SQNR, least first" }
                option value="beyond" { "saturation, most first" }
                option value="amax" { "range, greatest first" }
            } }
            output #shown for="find" aria-live="polite" {}
        }
        div #list { @for (at, tensor) in tensors.iter().enumerate() { (one(at, tensor)) } }
    }
}

/// The share of a tensor's values that saturates.
pub(super) fn saturation(tensor: &TensorReport) -> Option<f64> {
    tensor.chosen().and_then(|mark| mark.beyond)
}

fn one(at: usize, tensor: &TensorReport) -> Markup {
    // The script sorts upwards, so that what should come first is negative.
    let falling =
        |value: Option<f64>| value.filter(|value| value.is_finite()).map(|value| (-value).to_string());
    html! {
        details.tensor data-name=(visible(&tensor.name))
            data-sqnr=[tensor.sqnr_db.filter(|db| db.is_finite())]
            data-beyond=[falling(saturation(tensor))]
            data-amax=[falling(tensor.amax().map(f64::from))] {
            summary { (line(tensor)) }
            // Links lead here: browsers open what is around it.
            div.body id={ "t" (at) } {
                figure { (PreEscaped(plot::histogram(tensor, Look::Inside).to_string())) }
                (facts(tensor))
            }
        }
    }
}

/// A tensor in a line.
fn line(tensor: &TensorReport) -> Markup {
    html! {
        (name(&tensor.name))
        span.brief {
            @if let Some(operator) = &tensor.operator { span { (visible(operator)) } }
            @if let Some(mark) = tensor.chosen() {
                span { (visible(&mark.algorithm)) " " (number(mark.value)) }
                @if let Some(beyond) = mark.beyond.filter(|beyond| *beyond > 0.0) {
                    span { (percent(beyond)) " saturate" }
                }
            }
            @if let Some(db) = tensor.sqnr_db { span { (value(Some(db), Unit::Decibel)) } }
            @if tensor.without_scale.is_some() { span.badge { "no scale" } }
            @if tensor.kept.is_some() { span.badge { "kept" } }
            @if tensor.bars.counts.is_empty() { span.badge { (plot::why_empty(tensor)) } }
        }
    }
}

fn facts(tensor: &TensorReport) -> Markup {
    let rows: Vec<Vec<Markup>> = tensor
        .thresholds
        .iter()
        .map(|mark| {
            vec![
                name(&mark.algorithm),
                html! { @if mark.chosen { span.badge.won { "◆ chosen" } } },
                value(Some(mark.value), Unit::Number),
                value(Some(mark.value / 127.0), Unit::Number),
                value(mark.beyond, Unit::Share),
            ]
        })
        .collect();
    html! {
        p.range {
            (count(tensor.count)) " finite values"
            @if let (Some(min), Some(max)) = (tensor.min, tensor.max) {
                " from " (number(min.into())) " to " (number(max.into()))
            }
            @if tensor.nan > 0 { ", " (count(tensor.nan)) " NaN" }
            @if tensor.infinite > 0 { ", " (count(tensor.infinite)) " infinite" }
            "."
        }
        @if let Some(why) = &tensor.without_scale { p { strong { "No scale: " } (prose(why)) } }
        @if let Some(why) = &tensor.kept { p { strong { "Kept in higher precision: " } (prose(why)) } }
        @if !rows.is_empty() {
            (table("Thresholds", 2, &["Algorithm", "Table", "Threshold", "Scale", "Saturates"], &rows))
        }
    }
}
