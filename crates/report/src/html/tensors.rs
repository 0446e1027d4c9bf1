//! Every tensor: what it costs to quantize it, its histogram, its thresholds.

use maud::{Markup, PreEscaped, html};

use super::parts::{long_table, name, prose, table, value};
use crate::TensorReport;
use crate::data::{LayerCost, Unit};
use crate::plot::{self, Look};
use crate::text::{count, number, percent, visible};

/// Tensors by how far INT8 has taken them from FP32, the worst first, and layers by what they cost.
pub(super) fn ranking(tensors: &[TensorReport], layers: &[LayerCost]) -> Markup {
    let mut ranked: Vec<(usize, &TensorReport)> = tensors
        .iter()
        .enumerate()
        .filter(|(_, tensor)| [tensor.sqnr_db, tensor.own_db].iter().flatten().any(|db| !db.is_nan()))
        .collect();
    if ranked.is_empty() && layers.is_empty() {
        return html! {
            p.fine { "It was not measured: " code { "trt-deploy evaluate" } " ranks tensors by what they lose." }
        };
    }
    // What has no figure comes last.
    let figure = |tensor: &TensorReport| tensor.sqnr_db.filter(|db| !db.is_nan()).unwrap_or(f64::INFINITY);
    ranked.sort_by(|a, b| figure(a.1).total_cmp(&figure(b.1)));
    let rows: Vec<Vec<Markup>> = ranked
        .iter()
        .map(|(at, tensor)| {
            vec![
                html! { a href={ "#t" (at) } { (name(&tensor.name)) } },
                html! { (tensor.operator.as_deref().map(visible).unwrap_or_default()) },
                precision(tensor.kept.as_deref()),
                value(tensor.sqnr_db, Unit::Decibel),
                value(tensor.own_db, Unit::Decibel),
            ]
        })
        .collect();
    html! {
        p {
            "Signal-to-quantization-noise ratio (SQNR) of each tensor: the less, the more it loses. "
            strong { "So far" } " is the error of all layers before it, " strong { "own" }
            " the error that its own threshold brings."
        }
        @if let Some(svg) = plot::sqnr(tensors, Look::Inside) {
            figure.wide tabindex="0" {
                (PreEscaped(svg.to_string()))
                figcaption { "SQNR in the order of computation. Dots: so far. Rings: so far, kept in higher precision. Crosses: own." }
            }
        }
        @if !rows.is_empty() {
            (long_table("Tensors, the worst first", 3, &["Tensor", "Operator", "Precision", "So far", "Own"], &rows, "tensor"))
        }
        @if !layers.is_empty() { (costs(layers)) }
    }
}

fn precision(kept: Option<&str>) -> Markup {
    html! { @if let Some(why) = kept { span.badge { "kept" } " " (prose(why)) } }
}

fn costs(layers: &[LayerCost]) -> Markup {
    let rows: Vec<Vec<Markup>> = layers
        .iter()
        .map(|layer| {
            vec![
                name(&layer.name),
                html! { (visible(&layer.operator)) },
                precision(layer.kept.as_deref()),
                value(layer.only_db, Unit::Decibel),
                value(layer.without_db, Unit::Decibel),
            ]
        })
        .collect();
    html! {
        h3 { "Layers" }
        p { "Mean SQNR of the outputs with one layer alone in INT8, and with all but that layer." }
        (long_table("Layers, the costliest first", 3, &["Layer", "Operator", "Precision", "Alone", "Without it"], &rows, "layer"))
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
