//! Where in the network quantization costs how much.

use maud::{Markup, html};

use super::axis::Scale;
use super::histogram::middle_cut;
use super::{Look, Svg, coordinate, frame};
use crate::TensorReport;
use crate::text::{number, visible};

const WIDTH: f64 = 960.0;
const LEFT: f64 = 40.0;
const RIGHT: f64 = WIDTH - 14.0;
const TOP: f64 = 26.0;
const BOTTOM: f64 = 216.0;
/// How many of the worst are named.
const NAMED: usize = 3;

/// Draws each tensor's signal-to-quantization-noise ratio in the order of computation: so far as dots, or as rings for
/// those kept in higher precision, and its own as crosses. `None` where fewer than two tensors have one so far.
pub fn sqnr(tensors: &[TensorReport], look: Look) -> Option<Svg> {
    let points: Vec<(usize, f64, &TensorReport)> = tensors
        .iter()
        .enumerate()
        .filter_map(|(at, tensor)| Some((at, tensor.sqnr_db.filter(|db| db.is_finite())?, tensor)))
        .collect();
    if points.len() < 2 {
        return None;
    }
    let own: Vec<(usize, f64)> = tensors
        .iter()
        .enumerate()
        .filter_map(|(at, tensor)| Some((at, tensor.own_db.filter(|db| db.is_finite())?)))
        .collect();
    let values = points.iter().map(|point| point.1).chain(own.iter().map(|point| point.1));
    let (low, high) = (values.clone().fold(0.0, f64::min), values.fold(10.0, f64::max));
    let x = Scale { low: 0.0, high: (tensors.len() - 1) as f64, from: LEFT + 8.0, to: RIGHT - 8.0 };
    let y = Scale { low, high, from: BOTTOM, to: TOP };
    let place = |point: &(usize, f64, &TensorReport)| (x.at(point.0 as f64), y.at(point.1));
    let (mut dots, mut rings) = (String::new(), String::new());
    for point in &points {
        let (x, y) = place(point);
        if point.2.kept.is_some() {
            rings +=
                &format!("M{} {}a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0-7 0", coordinate(x - 3.5), coordinate(y));
        } else {
            dots += &format!("M{} {}h0", coordinate(x), coordinate(y));
        }
    }
    let crosses = own.iter().fold(String::new(), |path, &(at, db)| {
        let (x, y) = (x.at(at as f64), y.at(db));
        path + &format!("M{} {}h5m-2.5-2.5v5", coordinate(x - 2.5), coordinate(y))
    });
    let mut worst = points.clone();
    worst.sort_by(|a, b| a.1.total_cmp(&b.1));
    worst.truncate(NAMED);
    let about = format!(
        "Signal-to-quantization-noise ratio of {} tensors in the order of computation, from {} to {} dB",
        points.len(),
        number(worst[0].1),
        number(high)
    );
    let content = html! {
        (axes(&y))
        @if !crosses.is_empty() { path.crosses d=(crosses) {} }
        path.dots d=(dots) {}
        path.rings d=(rings) {}
        @for (name, x, y) in names(worst.iter().map(|point| (point.2.name.as_str(), place(point)))) {
            @let ends = x > WIDTH / 2.0;
            text.label x=(coordinate(if ends { x - 7.0 } else { x + 7.0 })) y=(coordinate(y))
                text-anchor=(if ends { "end" } else { "start" }) { (name) }
        }
    };
    Some(frame(look, WIDTH as f32, (BOTTOM + 26.0) as f32, &about, content))
}

/// Names and where they stand, each at least a line away from the one before.
fn names<'a>(points: impl Iterator<Item = (&'a str, (f64, f64))>) -> Vec<(String, f64, f64)> {
    let mut placed: Vec<(String, f64, f64)> = Vec::new();
    for (name, (x, y)) in points {
        let mut line = y + 4.0;
        while let Some(other) = placed.iter().find(|other| (other.2 - line).abs() < 13.0) {
            line = other.2 - 13.0;
        }
        placed.push((middle_cut(&visible(name), 48), x, line));
    }
    placed
}

fn axes(y: &Scale) -> Markup {
    let ticks = y.ticks(5);
    let lines = ticks
        .iter()
        .fold(String::new(), |path, tick| path + &format!("M{LEFT} {}H{RIGHT}", coordinate(y.at(*tick))));
    html! {
        path.grid d=(lines) {}
        @for tick in &ticks {
            text x=(coordinate(LEFT - 6.0)) y=(coordinate(y.at(*tick) + 4.0)) text-anchor="end" { (number(*tick)) }
        }
        text x="8" y="12" { "dB" }
        text x=(coordinate(LEFT)) y=(coordinate(BOTTOM + 20.0)) { "input" }
        text x=(coordinate(RIGHT)) y=(coordinate(BOTTOM + 20.0)) text-anchor="end" { "output, in the order of computation" }
    }
}
