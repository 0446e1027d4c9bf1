//! The page: one file that fetches nothing.
//!
//! It says so itself: its Content-Security-Policy forbids everything but its own style sheet, pictures inside it and
//! its one script, which is named by its hash. So a name that slipped through escaping would still run nothing.
//! Without the script everything is there, too; it only filters and sorts.

mod coverage;
mod dataset;
mod head;
mod parts;
mod results;
mod tensors;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest as _, Sha256};

use crate::ReportData;
use crate::plot::{COLOURS, STYLE};
use crate::text::visible;

const PAGE_STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// A part of the page that the navigation leads to.
struct Section {
    id: &'static str,
    title: &'static str,
    content: Markup,
}

/// Makes a page of it all.
///
/// YOLOv5l's 560 tensors take about 2 MB; pictures come on top of that.
pub fn html(data: &ReportData) -> String {
    let sections = sections(data);
    let title = format!("{} in INT8", visible(&data.provenance.model));
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy());
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="referrer" content="no-referrer";
                meta name="generator" content=(visible(&data.provenance.tool));
                title { (title) }
                // Browsers look for an icon unless they are given one.
                link rel="icon" href="data:,";
                style { (PreEscaped(style())) }
            }
            body {
                a.skip href="#content" { "Skip to the content" }
                (head::head(data))
                nav aria-label="Sections" {
                    ul { @for section in &sections { li { a href={ "#" (section.id) } { (section.title) } } } }
                }
                main #content {
                    @for section in &sections {
                        section id=(section.id) aria-labelledby={ "h-" (section.id) } {
                            h2 id={ "h-" (section.id) } { (section.title) }
                            (section.content)
                        }
                    }
                }
                footer { p { "Made by " (visible(&data.provenance.tool)) ". This file fetches nothing from anywhere." } }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    page.into_string()
}

/// What there is to show, in the order of a reader's questions.
fn sections(data: &ReportData) -> Vec<Section> {
    let pictures = (!data.side_by_side.is_empty()).then(|| dataset::side_by_side(&data.side_by_side));
    [
        ("results", "INT8 against FP32", Some(results::results(&data.results))),
        ("choice", "Choice of the algorithm", data.choice.as_ref().map(results::choice)),
        ("pictures", "Side by side", pictures),
        ("ranking", "What each tensor loses", Some(tensors::ranking(&data.tensors, &data.layers))),
        ("coverage", "Coverage", Some(coverage::coverage(data))),
        ("tensors", "Histograms", Some(tensors::histograms(&data.tensors))),
        ("dataset", "Samples", data.dataset.as_ref().map(dataset::dataset)),
        ("propagated", "Propagated ranges", Some(coverage::propagated(&data.propagated))),
        ("provenance", "Provenance", Some(head::provenance(&data.provenance))),
    ]
    .into_iter()
    .filter_map(|(id, title, content)| Some(Section { id, title, content: content? }))
    .collect()
}

/// The style sheet: colours by name for both looks, the page's rules, the figures'.
fn style() -> String {
    let named = |pick: fn(&(&'static str, &'static str, &'static str)) -> (&'static str, &'static str)| {
        COLOURS.iter().map(pick).map(|(name, colour)| format!("--{name}:{colour};")).collect::<String>()
    };
    let (light, dark) = (named(|c| (c.0, c.1)), named(|c| (c.0, c.2)));
    format!(
        ":root{{color-scheme:light dark;{light}}}\n\
         @media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}\n{PAGE_STYLE}{STYLE}"
    )
}

/// What the page may do: as little as it needs.
fn policy() -> String {
    let hash = STANDARD.encode(Sha256::digest(SCRIPT));
    format!(
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{hash}'; \
         base-uri 'none'; form-action 'none'"
    )
}
