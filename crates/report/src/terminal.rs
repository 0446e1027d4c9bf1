//! A histogram drawn with characters.
//!
//! Nothing in it needs colour: thresholds are letters with a legend, and the chosen one is called so.

use std::fmt::Write as _;

use crate::TensorReport;
use crate::plot::{axis, why_empty};
use crate::text::{count, number, percent, visible};

/// What a terminal can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Its columns; fewer than [`Style::NARROWEST`] are taken as that many.
    pub width: usize,
    /// Rows of bars.
    pub height: usize,
    /// Whether it shows block and line characters; else everything is ASCII but for names.
    pub unicode: bool,
    /// Whether it shows colours.
    pub colour: bool,
}

impl Style {
    /// The least width that is drawn for.
    pub const NARROWEST: usize = 40;
    /// The greatest: beyond it, bars are no easier to read.
    const WIDEST: usize = 132;

    /// The style for an output: its width if it is a terminal, and the environment's variables.
    ///
    /// Colours need a terminal, and neither `NO_COLOR` (see no-color.org) nor `TERM=dumb`; block characters need a
    /// UTF-8 locale in the first of `LC_ALL`, `LC_CTYPE` and `LANG` that is set.
    pub fn of(width: Option<usize>, variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(|name| set(name)).unwrap_or_default();
        let locale = locale.to_ascii_lowercase();
        let dumb = set("TERM").is_some_and(|term| term == "dumb");
        Self {
            width: width.unwrap_or(80).min(Self::WIDEST),
            height: 12,
            unicode: locale.ends_with("utf-8") || locale.ends_with("utf8"),
            colour: width.is_some() && !dumb && set("NO_COLOR").is_none(),
        }
    }
}

/// The characters of a drawing.
struct Characters {
    /// Parts of a full block, from the least to all of it.
    blocks: &'static [char],
    axis: char,
    corner: char,
    floor: char,
    tick: char,
    /// Between figures of one line.
    dot: &'static str,
}

const UNICODE: Characters = Characters {
    blocks: &['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'],
    axis: '┤',
    corner: '└',
    floor: '─',
    tick: '┴',
    dot: " · ",
};

const ASCII: Characters =
    Characters { blocks: &['.', ':', '#'], axis: '|', corner: '+', floor: '-', tick: '^', dot: ", " };

/// Columns of the counts beside the bars.
const GUTTER: usize = 5;

/// Draws how often each magnitude occurred, on a logarithmic scale, with all thresholds; lines end with a line feed.
pub fn histogram(tensor: &TensorReport, style: &Style) -> String {
    let characters = if style.unicode { &UNICODE } else { &ASCII };
    let mut text = heading(tensor, characters);
    if tensor.bars.counts.is_empty() {
        return text + why_empty(tensor) + "\n";
    }
    let columns = style.width.clamp(Style::NARROWEST, Style::WIDEST) - GUTTER - 2;
    let end = crate::plot::range(tensor);
    bars(&mut text, tensor, style, characters, columns, end);
    let letters = letters(tensor, columns, end);
    floor(&mut text, &letters, characters, columns, end, style);
    legend(&mut text, tensor, style);
    text
}

fn heading(tensor: &TensorReport, characters: &Characters) -> String {
    let mut parts = vec![format!("{} values", count(tensor.count))];
    if let (Some(min), Some(max)) = (tensor.min, tensor.max) {
        parts.push(format!("from {} to {}", number(min.into()), number(max.into())));
    }
    let others = [("NaN", tensor.nan), ("infinite", tensor.infinite)];
    parts.extend(others.iter().filter(|(_, n)| *n > 0).map(|(what, n)| format!("{} {what}", count(*n))));
    format!("{}\n{}\n", visible(&tensor.name), parts.join(characters.dot))
}

/// How many values fell into each column: those of a bar go to the columns that it covers, in proportion.
fn columns_of(tensor: &TensorReport, columns: usize, end: f64) -> Vec<f64> {
    let per_column = end / columns as f64;
    let mut sums = vec![0.0; columns];
    for (at, &n) in tensor.bars.counts.iter().enumerate() {
        let (start, stop) = (at as f64 * tensor.bars.width, (at + 1) as f64 * tensor.bars.width);
        let (first, last) = ((start / per_column) as usize, (stop / per_column) as usize);
        for (column, sum) in sums.iter_mut().enumerate().take(last.saturating_add(1)).skip(first) {
            let overlap = stop.min((column + 1) as f64 * per_column) - start.max(column as f64 * per_column);
            *sum += n as f64 * (overlap / tensor.bars.width).max(0.0);
        }
    }
    sums
}

fn bars(
    text: &mut String,
    tensor: &TensorReport,
    style: &Style,
    characters: &Characters,
    columns: usize,
    end: f64,
) {
    let sums = columns_of(tensor, columns, end);
    let steps = characters.blocks.len();
    let rows = style.height.clamp(4, 64);
    let highest = sums.iter().copied().fold(1.0, f64::max).ceil() as u64;
    let scale = axis::CountScale::new(highest, 0.0, (rows * steps) as f64);
    // What is there at all is seen: at least one step.
    let level = |n: f64| if n > 0.0 { (scale.at(n.ceil() as u64).round() as usize).max(1) } else { 0 };
    let levels: Vec<usize> = sums.into_iter().map(level).collect();
    let ticks: Vec<(usize, u64)> = scale
        .ticks()
        .into_iter()
        .map(|tick| ((scale.at(tick) / steps as f64).ceil() as usize - 1, tick))
        .collect();
    let chosen = tensor.chosen().map_or(f64::INFINITY, |mark| mark.value);
    let kept = ((chosen / end * columns as f64).round().min(columns as f64)) as usize;
    for row in (0..rows).rev() {
        let tick =
            ticks.iter().find(|tick| tick.0 == row).map(|tick| axis::short(tick.1)).unwrap_or_default();
        let line: String = levels
            .iter()
            .map(|level| match level.saturating_sub(row * steps) {
                0 => ' ',
                above => characters.blocks[above.min(steps) - 1],
            })
            .collect();
        let (within, beyond) = split(&line, kept);
        let beyond = beyond.trim_end();
        let within = if beyond.is_empty() { within.trim_end() } else { within };
        let axis = characters.axis;
        line_feed(
            text,
            format_args!("{tick:>GUTTER$} {axis}{}{}", paint(within, BLUE, style), paint(beyond, DIM, style)),
        );
    }
}

/// The text before and from a character on.
fn split(line: &str, at: usize) -> (&str, &str) {
    let byte = line.char_indices().nth(at).map_or(line.len(), |(byte, _)| byte);
    line.split_at(byte)
}

/// The letter of each threshold and its column; the legend has the same letters.
fn letters(tensor: &TensorReport, columns: usize, end: f64) -> Vec<(usize, char, bool)> {
    let column = |value: f64| ((value / end * columns as f64) as usize).min(columns - 1);
    let letters = ('a'..='z').chain('A'..='Z').cycle();
    let marks = tensor.thresholds.iter().zip(letters);
    marks
        .filter(|(mark, _)| mark.value.is_finite())
        .map(|(mark, c)| (column(mark.value), c, mark.chosen))
        .collect()
}

/// The axis, the letters below it, and the ends of the scale.
fn floor(
    text: &mut String,
    letters: &[(usize, char, bool)],
    characters: &Characters,
    columns: usize,
    end: f64,
    style: &Style,
) {
    let mut axis = vec![characters.floor; columns];
    letters.iter().for_each(|letter| axis[letter.0] = characters.tick);
    let axis: String = axis.into_iter().collect();
    line_feed(text, format_args!("{:>GUTTER$} {}{axis}", "0", characters.corner));
    // Letters of one column stand below each other, the chosen one first.
    let mut waiting: Vec<(usize, char, bool)> = letters.to_vec();
    waiting.sort_by_key(|letter| (letter.0, !letter.2));
    while !waiting.is_empty() {
        let mut line = String::new();
        let (mut at, mut later) = (0, Vec::new());
        for letter in waiting {
            if letter.0 < at {
                later.push(letter);
                continue;
            }
            line.extend(std::iter::repeat_n(' ', letter.0 - at));
            line += &paint(letter.1.encode_utf8(&mut [0; 4]), if letter.2 { ORANGE } else { "" }, style);
            at = letter.0 + 1;
        }
        line_feed(text, format_args!("{:>GUTTER$}  {line}", ""));
        waiting = later;
    }
    let greatest = number(end);
    line_feed(text, format_args!("{:>GUTTER$}  0{greatest:>width$}", "", width = columns - 1));
}

fn legend(text: &mut String, tensor: &TensorReport, style: &Style) {
    let wide =
        tensor.thresholds.iter().map(|mark| visible(&mark.algorithm).chars().count()).max().unwrap_or(0);
    for (mark, letter) in tensor.thresholds.iter().zip(('a'..='z').chain('A'..='Z').cycle()) {
        let name = visible(&mark.algorithm);
        let beyond = mark.beyond.map_or(String::new(), |share| format!("  {:>9} beyond", percent(share)));
        let chosen = if mark.chosen { "  chosen" } else { "" };
        let line = format!("{letter}  {name:wide$}  {:>9}{beyond}{chosen}", number(mark.value));
        line_feed(text, format_args!("{}", paint(&line, if mark.chosen { ORANGE } else { "" }, style)));
    }
    if let Some(why) = &tensor.without_scale {
        line_feed(text, format_args!("no scale: {}", visible(why)));
    }
}

const BLUE: &str = "34";
const DIM: &str = "2";
const ORANGE: &str = "1;33";

/// Text in a colour, where there are colours and there is text.
fn paint(text: &str, colour: &str, style: &Style) -> String {
    if style.colour && !colour.is_empty() && !text.is_empty() {
        format!("\u{1b}[{colour}m{text}\u{1b}[0m")
    } else {
        text.to_owned()
    }
}

/// Adds a line. Text in memory takes whatever is written.
fn line_feed(text: &mut String, line: std::fmt::Arguments<'_>) {
    let start = text.len();
    let _ = write!(text, "{line}");
    text.truncate(start + text[start..].trim_end_matches(' ').len());
    text.push('\n');
}
