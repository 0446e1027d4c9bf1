//! The title, what matters most, and where it all comes from.

use maud::{Markup, html};

use super::parts::{cosine, name, prose, value};
use crate::Provenance;
use crate::data::{Against, OutputFigures, ReportData, Results, Unit};
use crate::text::{count, percent, visible};

/// The title, the most important figures, and what must be known first.
pub(super) fn head(data: &ReportData) -> Markup {
    let from = &data.provenance;
    html! {
        header {
            p.kind { "INT8 calibration report" }
            h1 { (visible(&from.model)) }
            p.lead {
                "Table " (name(&from.table)) ", " (prose(&from.algorithm)) " on " (prose(&from.backend)) ", "
                time datetime=(visible(&from.created)) { (visible(&from.created)) }
            }
            div.tiles { (tiles(data)) }
            @if !data.notes.is_empty() {
                div.notes role="note" {
                    h2 { "Know this first" }
                    ul { @for note in &data.notes { li { (prose(note)) } } }
                }
            }
        }
    }
}

fn tiles(data: &ReportData) -> Markup {
    let results = data.results.first();
    html! {
        @if let Some(results) = results {
            @for measure in results.measures.iter().take(2) {
                @let about = match (measure.against, measure.fp32) {
                    (Against::Fp32, _) => "agreement with FP32".to_owned(),
                    (Against::Labels, None) => "against labels".to_owned(),
                    (Against::Labels, Some(fp32)) => format!("FP32: {}", value(Some(fp32), measure.unit).into_string()),
                };
                (tile(&measure.name, &value(measure.int8, measure.unit), &about))
            }
            @if let Some(worst) = worst(results) {
                (tile("Least cosine of an output", &cosine(worst.cosine), &label(worst)))
            }
        }
        @if let Some(coverage) = &data.coverage {
            @let missing = coverage.without_scale.len() as u64;
            @let about = format!("{} of {}", count(coverage.wanted.saturating_sub(missing)), count(coverage.wanted));
            (tile("Activations with a scale", &share(missing, coverage.wanted), &about))
            @let fp = coverage.not_int8.len() as u64;
            @let about = format!("{} of {}", count(coverage.layers.saturating_sub(fp)), count(coverage.layers));
            (tile("Layers in INT8", &share(fp, coverage.layers), &about))
        }
    }
}

fn tile(title: &str, figure: &Markup, about: &str) -> Markup {
    html! { div.tile { div.what { (visible(title)) } div.figure { (figure) } div.about { (visible(about)) } } }
}

/// What is left of a whole.
fn share(missing: u64, all: u64) -> Markup {
    if all == 0 {
        value(None, Unit::Share)
    } else {
        html! { (percent(all.saturating_sub(missing) as f64 / all as f64)) }
    }
}

/// The output, or group of its channels, that INT8 changes most.
fn worst(results: &Results) -> Option<&OutputFigures> {
    let known = results.outputs.iter().filter(|output| output.cosine.is_some_and(|cosine| !cosine.is_nan()));
    known.min_by(|a, b| a.cosine.unwrap_or(1.0).total_cmp(&b.cosine.unwrap_or(1.0)))
}

fn label(figures: &OutputFigures) -> String {
    match &figures.group {
        Some(group) => format!("{}, {group}", figures.output),
        None => figures.output.clone(),
    }
}

/// All that is needed to make the table again.
pub(super) fn provenance(from: &Provenance) -> Markup {
    let seed = from.seed.to_string();
    let facts = [
        ("Model", &from.model),
        ("Hash of the model", &from.model_hash),
        ("Table", &from.table),
        ("Algorithm", &from.algorithm),
        ("Counting", &from.mode),
        ("Backend", &from.backend),
        ("Dataset", &from.dataset),
        ("Seed", &seed),
        ("Tool", &from.tool),
        ("Made", &from.created),
    ];
    let more = from.more.iter().map(|fact| (fact.label.as_str(), &fact.value));
    html! {
        dl.facts { @for (label, fact) in facts.into_iter().chain(more) { @if !fact.is_empty() {
            div { dt { (prose(label)) } dd { (prose(fact)) } }
        } } }
    }
}
