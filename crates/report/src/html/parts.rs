//! What sections are made of.

use maud::{Markup, html};

use crate::data::{Reason, Unit};
use crate::text::{count, number, percent, plural, visible};

/// A name from a model or a dataset.
pub(super) fn name(text: &str) -> Markup {
    html! { code { (visible(text)) } }
}

/// A sentence whose backticks enclose literals.
pub(super) fn prose(text: &str) -> Markup {
    let text = visible(text);
    // An odd number of backticks encloses nothing in the end.
    let whole = text.matches('`').count().is_multiple_of(2);
    html! {
        @if whole {
            @for (at, part) in text.split('`').enumerate() {
                @if at % 2 == 1 { code { (part) } } @else { (part) }
            }
        } @else { (text) }
    }
}

/// A value as its unit is read; a dash where there is none.
pub(super) fn value(value: Option<f64>, unit: Unit) -> Markup {
    let Some(value) = value.filter(|value| !value.is_nan()) else {
        return html! { span.none title="not measured" { "–" } };
    };
    let text = match unit {
        Unit::Share => percent(value),
        Unit::Decibel if value == f64::INFINITY => "exact".to_owned(),
        Unit::Decibel => format!("{value:.1} dB"),
        Unit::Number => number(value),
    };
    html! { (text) }
}

/// A cosine: as many nines as it has, and a digit after them.
pub(super) fn cosine(cosine: Option<f64>) -> Markup {
    match cosine.filter(|cosine| !cosine.is_nan()) {
        None => value(None, Unit::Number),
        Some(1.0) => html! { "1" },
        Some(cosine) => {
            let nines = -(1.0 - cosine).abs().max(1e-12).log10();
            html! { (format!("{cosine:.*}", (nines.ceil() as usize + 1).clamp(4, 9))) }
        }
    }
}

/// A table with a caption; cells after the first `texts` columns hold figures and stand at the right.
pub(super) fn table(caption: &str, texts: usize, header: &[&str], rows: &[Vec<Markup>]) -> Markup {
    html! {
        div.scroll role="region" tabindex="0" aria-label=(caption) {
            table {
                caption { (caption) }
                thead { tr {
                    @for (at, title) in header.iter().enumerate() { th scope="col" .n[at >= texts] { (title) } }
                } }
                tbody { @for row in rows { tr {
                    @for (at, cell) in row.iter().enumerate() {
                        @if at == 0 { th scope="row" { (cell) } } @else { td.n[at >= texts] { (cell) } }
                    }
                } } }
            }
        }
    }
}

/// How many rows of a long table are seen before it is opened.
const SEEN: usize = 12;

/// A table of which only the first rows are seen at once where it is long.
pub(super) fn long_table(
    caption: &str,
    texts: usize,
    header: &[&str],
    rows: &[Vec<Markup>],
    noun: &str,
) -> Markup {
    if rows.len() <= SEEN + 3 {
        return table(caption, texts, header, rows);
    }
    let rest = format!("{caption}, continued");
    html! {
        (table(caption, texts, header, &rows[..SEEN]))
        details { summary { (plural((rows.len() - SEEN) as u64, noun)) " more" } (table(&rest, texts, header, &rows[SEEN..])) }
    }
}

/// Findings in one heading: each reason once, with everything that it applies to. `none` says that there is nothing.
pub(super) fn findings(title: &str, reasons: &[Reason], none: &str) -> Markup {
    let items = reasons.iter().map(|reason| (reason.because.as_str(), html! { (name(&reason.name)) }));
    grouped(title, items, none)
}

/// The same for things that are more than a name.
pub(super) fn grouped<'a>(title: &str, items: impl Iterator<Item = (&'a str, Markup)>, none: &str) -> Markup {
    let mut groups: Vec<(&str, Vec<Markup>)> = Vec::new();
    for (because, item) in items {
        match groups.iter_mut().find(|group| group.0 == because) {
            Some(group) => group.1.push(item),
            None => groups.push((because, vec![item])),
        }
    }
    let all: usize = groups.iter().map(|group| group.1.len()).sum();
    html! {
        h3 { (title) @if all > 0 { " " span.count { (count(all as u64)) } } }
        @if groups.is_empty() { p.fine { (none) } }
        @else {
            ul.reasons { @for (because, items) in &groups { li {
                @if items.len() <= FEW {
                    @for (at, item) in items.iter().enumerate() { @if at > 0 { ", " } (item) }
                    span.because { (prose(because)) }
                } @else {
                    details {
                        summary { strong { (count(items.len() as u64)) } span.because { (prose(because)) } }
                        ul.names { @for item in items { li { (item) } } }
                    }
                }
            } } }
        }
    }
}

/// How many names stand in a line.
const FEW: usize = 3;
