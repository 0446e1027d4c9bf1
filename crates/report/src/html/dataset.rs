//! The samples, and pictures of them.

use maud::{Markup, html};

use super::parts::{findings, grouped, name, prose, table};
use crate::data::{DatasetReport, SideBySide, Thumbnail};
use crate::text::{count, plural, visible};

/// What the samples were used for, what is odd about them, and what they look like.
pub(super) fn dataset(data: &DatasetReport) -> Markup {
    let splits: Vec<Vec<Markup>> = data
        .splits
        .iter()
        .map(|split| {
            vec![
                html! { (visible(&split.name)) },
                html! { @if !split.fingerprint.is_empty() { (name(&split.fingerprint)) } },
                html! { (count(split.requested)) },
                html! { (count(split.samples)) },
            ]
        })
        .collect();
    let duplicates = data.near_duplicates.iter().map(|alike| {
        let names =
            html! { @for (at, one) in alike.names.iter().enumerate() { @if at > 0 { " = " } (name(one)) } };
        (alike.because.as_str(), names)
    });
    html! {
        @if !splits.is_empty() { (table("Sets of samples", 2, &["Set", "Fingerprint", "Asked for", "Used"], &splits)) }
        (grouped("Near-duplicates", duplicates, "No two samples are almost alike."))
        (findings("Near-constant samples", &data.near_constant, "No sample is almost of one colour."))
        (findings("Samples left out", &data.skipped, "No sample was left out."))
        @if !data.contact_sheet.is_empty() {
            h3 { "Contact sheet" }
            div.sheet { @for thumbnail in &data.contact_sheet { (small(thumbnail)) } }
            @if data.not_shown > 0 { p.fine { (plural(data.not_shown, "more sample")) " not shown." } }
        }
    }
}

fn small(thumbnail: &Thumbnail) -> Markup {
    let (title, image) = (visible(&thumbnail.name), &thumbnail.image);
    html! {
        figure {
            img src=(image.address()) width=(image.width) height=(image.height) alt={ "Sample " (title) }
                loading="lazy" decoding="async";
            figcaption title=(title) {
                (title)
                @if !thumbnail.split.is_empty() { " " span.because { (visible(&thumbnail.split)) } }
            }
        }
    }
}

/// The same samples as FP32 and INT8 see them.
pub(super) fn side_by_side(all: &[SideBySide]) -> Markup {
    html! {
        @for sample in all {
            figure.pair {
                figcaption { (name(&sample.name)) @if !sample.finding.is_empty() { span.because { (prose(&sample.finding)) } } }
                div.panels { @for panel in &sample.panels {
                    figure {
                        img src=(panel.image.address()) width=(panel.image.width) height=(panel.image.height)
                            alt={ (visible(&sample.name)) " as " (visible(&panel.label)) " sees it" }
                            loading="lazy" decoding="async";
                        figcaption { (visible(&panel.label)) }
                    }
                } }
            }
        }
    }
}
