//! The histogram of one tensor with its thresholds.

use std::fmt::Write as _;

use maud::{Markup, html};

use super::axis::{CountScale, Scale, short};
use super::labels::{self, GAP, Label};
use super::{Look, Svg, coordinate, frame};
use crate::Bars;
use crate::TensorReport;
use crate::text::{count, number, percent, visible};

const WIDTH: f64 = 640.0;
const LEFT: f64 = 46.0;
const RIGHT: f64 = WIDTH - 14.0;
/// The height of the bars.
const TALL: f64 = 150.0;
/// The height of a row of labels.
const ROW: f64 = 16.0;
/// The height of the heading of a file of its own.
const HEADING: f64 = 48.0;
/// Below the bars: numbers, then what they are.
const BELOW: f64 = 36.0;
/// Thresholds beyond this multiple of the greatest magnitude stand at the right end. Entropy's may be twice as great.
const FARTHEST: f64 = 2.1;

/// Draws how often each magnitude occurred, the counts on a logarithmic scale, with all thresholds.
///
/// What the chosen threshold keeps is filled, what saturates is an outline. A tensor without bars has a sentence instead.
pub fn histogram(tensor: &TensorReport, look: Look) -> Svg {
    let bars = &tensor.bars;
    let heading = if look == Look::Inside { 0.0 } else { HEADING };
    let end = range(tensor);
    let x = Scale { low: 0.0, high: end, from: LEFT, to: RIGHT };
    let labels = labels::place(&tensor.thresholds, |value| x.at(value), 0.0, WIDTH);
    let rows = labels.iter().map(|label| label.row + 1).max().unwrap_or(0);
    let top = heading + 8.0 + ROW * rows as f64;
    let bottom = top + TALL;
    let y = CountScale::new(bars.highest(), bottom, top);
    let chosen = tensor.chosen().map_or(f64::INFINITY, |mark| mark.value);
    let content = html! {
        @if look != Look::Inside { (heading_of(tensor)) }
        @if bars.counts.is_empty() {
            text.empty x=(coordinate(WIDTH / 2.0)) y=(coordinate(top + TALL / 2.0)) text-anchor="middle" {
                (why_empty(tensor))
            }
        } @else {
            (count_axis(&y))
            path.within d=(area(bars, 0.0, chosen, &x, &y, bottom)) {}
            @if chosen < bars.end() { path.beyond d=(area(bars, chosen, bars.end(), &x, &y, bottom)) {} }
            (magnitude_axis(&x, bottom))
            @for label in &labels { (threshold(label, top, bottom)) }
        }
    };
    frame(look, WIDTH as f32, (bottom + BELOW) as f32, &about(tensor), content)
}

/// Where the scale of magnitudes ends.
pub(crate) fn range(tensor: &TensorReport) -> f64 {
    let end = tensor.bars.end();
    let marks = tensor.thresholds.iter().map(|mark| mark.value).filter(|value| *value <= FARTHEST * end);
    marks.fold(end, f64::max)
}

/// The figure in a sentence, for those who cannot see it.
fn about(tensor: &TensorReport) -> String {
    let mut text = format!("Histogram of the magnitudes of {}", visible(&tensor.name));
    for mark in &tensor.thresholds {
        let chosen = if mark.chosen { ", chosen" } else { "" };
        // Text in memory takes whatever is written.
        let _ = write!(text, "; {} at {}{chosen}", visible(&mark.algorithm), number(mark.value));
    }
    text
}

fn heading_of(tensor: &TensorReport) -> Markup {
    let range = match (tensor.min, tensor.max) {
        (Some(min), Some(max)) => format!(" from {} to {}", number(min.into()), number(max.into())),
        _ => String::new(),
    };
    let beyond = tensor.chosen().and_then(|mark| mark.beyond);
    let beyond = beyond.map_or(String::new(), |share| format!("; {} saturate", percent(share)));
    html! {
        text.heading x="14" y="22" { (middle_cut(&visible(&tensor.name), 68)) }
        text x="14" y="40" { (count(tensor.count)) " finite values" (range) (beyond) }
    }
}

/// A long name without its middle: beginnings tell the part of the network, endings the tensor.
pub(super) fn middle_cut(name: &str, most: usize) -> String {
    let length = name.chars().count();
    if length <= most {
        return name.to_owned();
    }
    let kept = most.saturating_sub(1);
    let head: String = name.chars().take(kept / 2).collect();
    let tail: String = name.chars().skip(length - (kept - kept / 2)).collect();
    format!("{head}…{tail}")
}

/// Why there is nothing to draw.
pub(crate) fn why_empty(tensor: &TensorReport) -> &'static str {
    match tensor.count {
        0 if tensor.nan + tensor.infinite > 0 => "no value is finite",
        0 => "no value was seen",
        _ => "every value is 0",
    }
}

fn count_axis(y: &CountScale) -> Markup {
    let ticks = y.ticks();
    let lines = ticks
        .iter()
        .fold(String::new(), |path, tick| path + &format!("M{LEFT} {}H{RIGHT}", coordinate(y.at(*tick))));
    html! {
        path.grid d=(lines) {}
        @for tick in &ticks {
            text x=(coordinate(LEFT - 6.0)) y=(coordinate(y.at(*tick) + 4.0)) text-anchor="end" { (short(*tick)) }
        }
    }
}

fn magnitude_axis(x: &Scale, bottom: f64) -> Markup {
    let ticks = x.ticks(6);
    let marks = ticks.iter().fold(format!("M{LEFT} {0}H{RIGHT}", coordinate(bottom)), |path, tick| {
        path + &format!("M{} {}v4", coordinate(x.at(*tick)), coordinate(bottom))
    });
    html! {
        path.axis d=(marks) {}
        @for tick in &ticks {
            text x=(coordinate(x.at(*tick))) y=(coordinate(bottom + 16.0)) text-anchor="middle" { (number(*tick)) }
        }
        text x=(coordinate(RIGHT)) y=(coordinate(bottom + 31.0)) text-anchor="end" { "magnitude |x|, values on a log scale" }
    }
}

/// The outline of the bars between two magnitudes, closed along the axis.
fn area(bars: &Bars, from: f64, to: f64, x: &Scale, y: &CountScale, bottom: f64) -> String {
    let mut path = format!("M{} {}", coordinate(x.at(from)), coordinate(bottom));
    let mut height = coordinate(bottom);
    for (at, &count) in bars.counts.iter().enumerate() {
        let (start, end) = (at as f64 * bars.width, (at + 1) as f64 * bars.width);
        if end <= from || start >= to {
            continue;
        }
        let level = coordinate(y.at(count));
        if level != height {
            // Text in memory takes whatever is written.
            let _ = write!(path, "H{}V{level}", coordinate(x.at(start.max(from))));
            height = level;
        }
    }
    path + &format!("H{}V{}z", coordinate(x.at(to.min(bars.end()))), coordinate(bottom))
}

/// The dashes of thresholds that were not chosen, each told from the others.
const DASHES: [&str; 6] = ["7 3", "2 3", "9 3 2 3", "4 4", "12 4", "6 2 2 2 2 2"];

fn threshold(label: &Label, top: f64, bottom: f64) -> Markup {
    let upper = top - ROW * (label.row + 1) as f64 + 3.0;
    let (x, baseline) = (coordinate(label.x), coordinate(upper + 9.0));
    let beside = coordinate(if label.ends { label.x - GAP } else { label.x + GAP });
    let anchor = if label.ends { "end" } else { "start" };
    html! {
        path.mark.chosen[label.chosen] d={ "M" (x) " " (coordinate(upper)) "V" (coordinate(bottom)) }
            stroke-dasharray=[(!label.chosen).then(|| DASHES[label.dash % DASHES.len()])] {}
        text.label.winner[label.chosen] x=(beside) y=(baseline) text-anchor=(anchor) { (label.text) }
    }
}
