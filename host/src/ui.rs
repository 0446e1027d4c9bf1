//! Everything the user sees: data on stdout, talk on stderr, bars only on a terminal.

use std::fmt::Display;
use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::time::Duration;

use comfy_table::{Table, presets};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use serde::Serialize;

/// What a bar counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Images, devices, files.
    Items,
    /// Bytes.
    Bytes,
}

/// The user's terminal.
#[derive(Debug)]
pub struct Ui {
    bars: MultiProgress,
    draws: bool,
    /// Without bars, a line at every tenth stands for them.
    counts: bool,
    json: bool,
    verbose: u8,
}

impl Ui {
    /// Bars are drawn if stderr is a terminal and nobody asked for JSON or `--no-progress`.
    pub fn new(json: bool, verbose: u8, no_progress: bool) -> Self {
        let draws = !no_progress && !json && std::io::stderr().is_terminal();
        let target = if draws { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let counts = !draws && !no_progress && !json;
        Self { bars: MultiProgress::with_draw_target(target), draws, counts, json, verbose }
    }

    /// Whether the user asked for more with `-v`.
    pub fn is_verbose(&self) -> bool {
        self.verbose > 0
    }

    /// Talk: a line on stderr, above the bars.
    pub fn say(&self, text: impl Display) {
        self.bars.suspend(|| eprintln!("{text}"));
    }

    /// Talk that only `-v` shows.
    pub fn detail(&self, text: impl Display) {
        if self.is_verbose() {
            self.say(text);
        }
    }

    /// Something the user should know about; it does not stop the work.
    pub fn warn(&self, text: impl Display) {
        self.say(format_args!("warning: {text}"));
    }

    /// Data for people: a line on stdout, silent with `--json`.
    pub fn print(&self, text: impl Display) {
        if !self.json {
            self.bars.suspend(|| {
                // A reader that went away (`| head`) is no error of ours.
                let _ = writeln!(std::io::stdout(), "{text}");
            });
        }
    }

    /// Data for programs: one JSON document on stdout, only with `--json`.
    pub fn json(&self, value: &impl Serialize) -> serde_json::Result<()> {
        if self.json {
            let text = serde_json::to_string_pretty(value)?;
            let _ = writeln!(std::io::stdout(), "{text}");
        }
        Ok(())
    }

    /// Progress with a known end. Without a terminal it says a line at every tenth, but none with `--no-progress`.
    pub fn bar(&self, label: &str, total: u64, unit: Unit) -> Bar<'_> {
        let template = match unit {
            Unit::Items => "{prefix:24} {wide_bar} {pos}/{len} {rate} {eta} left",
            Unit::Bytes => "{prefix:24} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta} left",
        };
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let rate = |state: &ProgressState, out: &mut dyn std::fmt::Write| {
            // What cannot be written to the terminal is no reason to stop.
            let _ = write!(out, "{:.1}/s", state.per_sec());
        };
        let style = style.with_key("rate", rate);
        let bar = self.bars.add(ProgressBar::new(total).with_style(style).with_prefix(label.to_owned()));
        Bar { ui: self, bar, label: label.to_owned(), said: Mutex::new(0) }
    }

    /// Work whose end nobody knows: its phase and how long it has taken.
    pub fn phase(&self, label: &str) -> Phase<'_> {
        let style = ProgressStyle::with_template("{prefix:24} {spinner} {elapsed} {wide_msg}")
            .unwrap_or_else(|_| ProgressStyle::default_spinner());
        let bar = self.bars.add(ProgressBar::new_spinner().with_style(style).with_prefix(label.to_owned()));
        if self.draws {
            bar.enable_steady_tick(Duration::from_millis(100));
        } else if !self.json {
            self.say(format_args!("{label} …"));
        }
        Phase { ui: self, bar, label: label.to_owned() }
    }
}

/// Progress with a known end; gone from the screen when dropped.
#[derive(Debug)]
pub struct Bar<'a> {
    ui: &'a Ui,
    bar: ProgressBar,
    label: String,
    said: Mutex<u64>,
}

impl Bar<'_> {
    /// Sets how much is done.
    pub fn set(&self, done: u64) {
        self.bar.set_position(done);
        let total = self.bar.length().unwrap_or(0).max(1);
        let tenth = done * 10 / total;
        if self.ui.counts {
            let mut said = self.said.lock().unwrap_or_else(|e| e.into_inner());
            if tenth > *said {
                *said = tenth;
                self.ui.say(format_args!("{}: {} %", self.label, tenth * 10));
            }
        }
    }
}

impl Drop for Bar<'_> {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Work without a known end; gone from the screen when dropped.
#[derive(Debug)]
pub struct Phase<'a> {
    ui: &'a Ui,
    bar: ProgressBar,
    label: String,
}

impl Phase<'_> {
    /// Says what is going on inside the phase.
    pub fn step(&self, text: &str) {
        self.bar.set_message(text.to_owned());
        if !self.ui.draws {
            self.ui.detail(format_args!("{}: {text}", self.label));
        }
    }
}

impl Drop for Phase<'_> {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// A table without lines, which begins at the left margin. Print its `trim_fmt()`.
pub fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    table.column_iter_mut().for_each(|column| {
        column.set_padding((0, 2));
    });
    table
}

/// A size for people, with binary units: `1.4 MiB`.
pub fn bytes(size: u64) -> String {
    indicatif::BinaryBytes(size).to_string()
}

/// A duration for people: `85 ms`, `3.2 s`, `4 min 07 s`.
pub fn duration(time: Duration) -> String {
    let millis = time.as_millis();
    match millis {
        0..1_000 => format!("{millis} ms"),
        1_000..60_000 => format!("{:.1} s", time.as_secs_f64()),
        _ => format!("{} min {:02} s", millis / 60_000, millis / 1_000 % 60),
    }
}
