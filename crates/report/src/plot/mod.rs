//! Single figures as SVG, and as PNG for where SVG is not shown.
//!
//! A figure means the same without colour: what saturates is drawn as an outline and not filled, thresholds differ in
//! their dashes, and each bears its name.

pub(crate) mod axis;
mod histogram;
mod labels;
mod raster;
mod sqnr;

use std::fmt;

use maud::{Markup, PreEscaped, html};

pub use histogram::histogram;
pub(crate) use histogram::{range, why_empty};
pub use raster::{MAX_PIXELS, png};
pub use sqnr::sqnr;

/// A figure. Its `Display` is its markup.
#[derive(Clone, Debug, PartialEq)]
pub struct Svg {
    /// Columns of the drawing, in its own units: pixels at a scale of 1.
    pub width: f32,
    /// Rows.
    pub height: f32,
    markup: String,
}

impl fmt::Display for Svg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.markup)
    }
}

/// Where a figure is to be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// In the report, whose style sheet has its colours and whose text has its heading.
    Inside,
    /// In a file of its own, on white.
    Light,
    /// In a file of its own, on black.
    Dark,
}

/// How figures look, in colours that a page or [`colours`] defines.
pub(crate) const STYLE: &str = include_str!("plot.css");

/// The colours of both looks by name: on white, on black. Text has a contrast of 4.5 to 1 and more in both.
pub(crate) const COLOURS: [(&str, &str, &str); 7] = [
    ("paper", "#ffffff", "#14171c"),
    ("ink", "#1b1f24", "#e8eaed"),
    ("muted", "#59636e", "#9ba5b1"),
    ("line", "#dde1e6", "#2f353d"),
    ("bar", "#3568a8", "#6fa3e0"),
    ("accent", "#b4430b", "#ff9d5c"),
    ("raised", "#f5f6f8", "#1d2127"),
];

/// The drawing's frame around what it shows.
fn frame(look: Look, width: f32, height: f32, about: &str, content: Markup) -> Svg {
    let markup = html! {
        svg class="plot" xmlns="http://www.w3.org/2000/svg" viewBox={ "0 0 " (width) " " (height) }
            width=[(look != Look::Inside).then_some(width)] height=[(look != Look::Inside).then_some(height)]
            role="img" aria-label=(about) {
            @if look != Look::Inside {
                title { (about) }
                style { (PreEscaped(style(look))) }
                rect width="100%" height="100%" fill=(colour("paper", look)) {}
            }
            (content)
        }
    };
    Svg { width, height, markup: markup.into_string() }
}

/// The style sheet of a file of its own, which has no other one to name its colours.
fn style(look: Look) -> String {
    let mut text = STYLE.to_owned();
    for (name, ..) in COLOURS {
        text = text.replace(&format!("var(--{name})"), colour(name, look));
    }
    format!("\n.plot text {{ font-family: \"DejaVu Sans\", sans-serif; }}\n{text}")
}

fn colour(name: &str, look: Look) -> &'static str {
    let found = COLOURS.iter().find(|colour| colour.0 == name);
    found.map_or("#808080", |(_, light, dark)| if look == Look::Dark { dark } else { light })
}

/// A coordinate with one digit after the point, as short as it can be.
fn coordinate(x: f64) -> String {
    let text = format!("{x:.1}");
    match text.strip_suffix(".0") {
        Some("-0") => "0".to_owned(),
        Some(whole) => whole.to_owned(),
        None => text,
    }
}
