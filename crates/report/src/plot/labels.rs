//! Names of thresholds above a figure, in as many rows as it takes for none to cover another one or its line.

use crate::Mark;
use crate::text::{number, visible};

/// A name at its line. Thresholds that cannot be told apart share one.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Label {
    pub text: String,
    pub chosen: bool,
    /// Where the line stands.
    pub x: f64,
    /// Whether the text ends at the line, and does not begin there.
    pub ends: bool,
    /// The row, from 0 next to the figure upwards.
    pub row: usize,
    /// Which dashes the line has, from 0 on; the chosen one has none.
    pub dash: usize,
}

/// The width of a character at 11 pixels, on the safe side.
const CHARACTER: f64 = 6.8;
/// Between a line and its text.
pub(super) const GAP: f64 = 5.0;
/// Lines nearer than this are one.
const TOGETHER: f64 = 1.5;

impl Label {
    fn span(&self) -> (f64, f64) {
        let width = self.text.chars().count() as f64 * CHARACTER + GAP;
        if self.ends { (self.x - width, self.x) } else { (self.x, self.x + width) }
    }

    /// Whether the two are in each other's way: texts in one row, or the line of the higher one through the lower text.
    fn collides(&self, other: &Self) -> bool {
        let (high, low) = if self.row >= other.row { (self, other) } else { (other, self) };
        let ((a, b), (c, d)) = (high.span(), low.span());
        if high.row == low.row { a < d && c < b } else { (c - 2.0..d + 2.0).contains(&high.x) }
    }
}

/// Places the labels of thresholds that stand at `at(value)`, between `left` and `right`.
pub(super) fn place(marks: &[Mark], at: impl Fn(f64) -> f64, left: f64, right: f64) -> Vec<Label> {
    let mut sorted: Vec<&Mark> = marks.iter().filter(|mark| mark.value.is_finite()).collect();
    sorted.sort_by(|a, b| a.value.total_cmp(&b.value));
    let together = |a: &&Mark, b: &&Mark| (at(a.value) - at(b.value)).abs() < TOGETHER;
    let mut labels: Vec<Label> = sorted.chunk_by(together).map(|marks| label(marks, &at)).collect();
    let mut dashes = 0..;
    for label in labels.iter_mut().filter(|label| !label.chosen) {
        label.dash = dashes.next().unwrap_or(0);
    }
    // Those on the left begin at their lines, those on the right end there: as many as make the best figure.
    let arrangements = (0..=labels.len()).map(|turn| arrange(&labels, turn));
    let mut best = arrangements.min_by_key(|placed| cost(placed, left, right)).unwrap_or_default();
    best.sort_by(|a, b| a.x.total_cmp(&b.x));
    best
}

/// Places labels, of which all from the `turn`-th on end at their lines, each in the lowest row that is free.
///
/// They are taken from the turn outwards, so that no line runs through the text of one that was placed before.
fn arrange(labels: &[Label], turn: usize) -> Vec<Label> {
    let (begin, end) = labels.split_at(turn);
    let mut placed: Vec<Label> = Vec::new();
    let outwards =
        begin.iter().rev().map(|label| (label, false)).chain(end.iter().map(|label| (label, true)));
    for (label, ends) in outwards {
        let mut rows = (0..=labels.len()).map(|row| Label { row, ends, ..label.clone() });
        let free = rows.clone().find(|label| !placed.iter().any(|other| label.collides(other)));
        // Above all others nothing but a line can be crossed.
        placed.extend(free.or_else(|| rows.next_back()));
    }
    placed
}

/// How far an arrangement is from a good one: texts outside, texts that are crossed, rows.
fn cost(placed: &[Label], left: f64, right: f64) -> (usize, usize, usize) {
    let outside = |label: &&Label| label.span().0 < left || label.span().1 > right;
    let crossed =
        |(at, label): (usize, &Label)| placed[..at].iter().filter(|other| label.collides(other)).count();
    (
        placed.iter().filter(outside).count(),
        placed.iter().enumerate().map(crossed).sum(),
        placed.iter().map(|label| label.row).sum(),
    )
}

fn label(marks: &[&Mark], at: impl Fn(f64) -> f64) -> Label {
    let shown = marks.iter().find(|mark| mark.chosen).unwrap_or(&marks[0]);
    let mut names: Vec<String> = marks.iter().map(|mark| visible(&mark.algorithm).into_owned()).collect();
    names.dedup();
    let chosen = if shown.chosen { "\u{25c6} " } else { "" };
    Label {
        text: format!("{chosen}{} {}", names.join(" = "), number(shown.value)),
        chosen: shown.chosen,
        x: at(shown.value),
        ends: false,
        row: 0,
        dash: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(algorithm: &str, value: f64, chosen: bool) -> Mark {
        Mark { algorithm: algorithm.to_owned(), value, chosen, beyond: None }
    }

    #[test]
    fn labels_of_any_thresholds_stay_clear_of_each_other() {
        let names = ["entropy", "minmax", "mse", "percentile:99.9", "percentile:99.99", "legacy:0.99999:1"];
        for seed in 0..200u64 {
            // A fixed scatter: the fractional parts of multiples of an irrational number.
            let value = |i: u64| ((seed * 7 + i) as f64 * 0.618_034).fract() * 10.0;
            let marks: Vec<Mark> =
                (0u64..).zip(names).map(|(i, name)| mark(name, value(i), i == 0)).collect();
            let labels = place(&marks, |v| 50.0 + 57.0 * v, 0.0, 640.0);
            for (i, label) in labels.iter().enumerate() {
                let (from, to) = label.span();
                assert!(from >= 0.0 && to <= 640.0, "{label:?}");
                for other in &labels[..i] {
                    assert!(!label.collides(other), "{label:?} {other:?}");
                }
            }
            assert_eq!(labels.iter().filter(|label| label.chosen).count(), 1);
        }
    }

    #[test]
    fn equal_thresholds_share_a_label() {
        let marks = [mark("minmax", 6.0, false), mark("entropy", 6.001, true), mark("mse", 2.0, false)];
        let labels = place(&marks, |v| 100.0 * v, 0.0, 600.0);
        let texts: Vec<&str> = labels.iter().map(|label| label.text.as_str()).collect();
        assert_eq!(texts, ["mse 2", "\u{25c6} minmax = entropy 6.001"]);
        assert!(place(&[mark("mse", f64::NAN, false)], |v| v, 0.0, 1.0).is_empty());
    }
}
