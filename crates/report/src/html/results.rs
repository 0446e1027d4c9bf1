//! INT8 against FP32, and how the algorithm was chosen.

use maud::{Markup, html};

use super::parts::{cosine, long_table, name, prose, table, value};
use crate::data::{Against, Choice, Results, Unit};
use crate::text::{count, number, plural, visible};

/// The figures of every set of samples.
pub(super) fn results(all: &[Results]) -> Markup {
    html! {
        @if all.is_empty() {
            p.fine { "Nothing was evaluated: " code { "trt-deploy evaluate" } " measures INT8 against FP32." }
        }
        @for results in all {
            h3 { (visible(&results.split)) " " span.count { (plural(results.samples, "sample")) } }
            @if !results.about.is_empty() { p { (prose(&results.about)) } }
            @if !results.measures.is_empty() { (measures(results)) }
            @if !results.outputs.is_empty() { (outputs(results)) }
            @if !results.classes.is_empty() { (classes(results)) }
        }
    }
}

fn classes(results: &Results) -> Markup {
    let rows: Vec<Vec<Markup>> = results
        .classes
        .iter()
        .map(|class| {
            vec![
                html! { (visible(&class.name)) },
                html! { (count(class.labelled)) },
                value(class.fp32, Unit::Share),
                html! { strong { (value(class.int8, Unit::Share)) } },
                change(class.fp32, class.int8, Unit::Share),
            ]
        })
        .collect();
    let caption = format!("Classes: {}", results.of_classes);
    long_table(&caption, 1, &["Class", "Labelled", "FP32", "INT8", "Change"], &rows, "row")
}

fn measures(results: &Results) -> Markup {
    let rows: Vec<Vec<Markup>> = results
        .measures
        .iter()
        .map(|measure| {
            let against = match measure.against {
                Against::Fp32 => "FP32",
                Against::Labels => "labels",
            };
            vec![
                html! { (visible(&measure.name)) },
                html! { (against) },
                value(measure.fp32, measure.unit),
                html! { strong { (value(measure.int8, measure.unit)) } },
                change(measure.fp32, measure.int8, measure.unit),
                html! { @if measure.standard_error.is_some() { "± " } (value(measure.standard_error, measure.unit)) },
            ]
        })
        .collect();
    let caption = format!("Measures on {}", visible(&results.split));
    table(&caption, 2, &["Measure", "Against", "FP32", "INT8", "Change", "Standard error"], &rows)
}

/// How much INT8 differs: percentage points for shares, with a sign.
fn change(fp32: Option<f64>, int8: Option<f64>, unit: Unit) -> Markup {
    let Some(difference) = fp32.zip(int8).map(|(fp32, int8)| int8 - fp32) else {
        return value(None, unit);
    };
    let (scaled, points) =
        if unit == Unit::Share { (100.0 * difference, " points") } else { (difference, "") };
    let sign = if scaled > 0.0 {
        "+"
    } else if scaled < 0.0 {
        "−"
    } else {
        ""
    };
    let size = if unit == Unit::Share { format!("{:.2}", scaled.abs()) } else { number(scaled.abs()) };
    html! { (sign) (size) (points) }
}

fn outputs(results: &Results) -> Markup {
    let rows: Vec<Vec<Markup>> = results
        .outputs
        .iter()
        .map(|output| {
            vec![
                name(&output.output),
                html! { @match &output.group { Some(group) => (visible(group)), None => "all" } },
                cosine(output.cosine),
                value(output.sqnr_db, Unit::Decibel),
                value(output.max_error, Unit::Number),
            ]
        })
        .collect();
    let caption = format!("Outputs on {}", visible(&results.split));
    html! {
        (table(&caption, 2, &["Output", "Channels", "Cosine", "SQNR", "Largest error"], &rows))
        p.key { "SQNR: signal-to-quantization-noise ratio. 20 dB mean that the error is a tenth of the signal." }
    }
}

/// The candidates and why the winner won.
pub(super) fn choice(choice: &Choice) -> Markup {
    let header: Vec<String> = ["Algorithm".to_owned(), "Remark".to_owned()]
        .into_iter()
        .chain(choice.columns.iter().map(|column| visible(&column.name).into_owned()))
        .collect();
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    let rows: Vec<Vec<Markup>> = choice
        .candidates
        .iter()
        .map(|candidate| {
            let remark = html! {
                @if candidate.chosen { span.badge.won { "◆ chosen" } " " }
                @if let Some(note) = &candidate.note { (prose(note)) }
            };
            let values = choice
                .columns
                .iter()
                .enumerate()
                .map(|(at, column)| value(candidate.values.get(at).copied().flatten(), column.unit));
            [name(&candidate.algorithm), remark].into_iter().chain(values).collect()
        })
        .collect();
    let overrides: Vec<Vec<Markup>> = choice
        .overrides
        .iter()
        .map(|own| vec![name(&own.tensor), name(&own.algorithm), prose(&own.because)])
        .collect();
    let caption = format!("Candidates on {}, {}", visible(&choice.split), plural(choice.samples, "sample"));
    html! {
        p.verdict { (prose(&choice.because)) }
        (table(&caption, 2, &header, &rows))
        @if !overrides.is_empty() {
            (long_table(
                "Tensors with an algorithm of their own", 3, &["Tensor", "Algorithm", "Why"], &overrides, "tensor",
            ))
        }
    }
}
