//! What a calibration says of itself, for people and as JSON.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use trt_calib::Algorithm;
use trt_calib::sidecar::Skipped;

use crate::ui::{self, Ui};

/// How a calibration went.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The algorithm.
    pub algorithm: Algorithm,
    /// What ran the model.
    pub backend: String,
    /// Images asked for.
    pub requested: u64,
    /// Images there are.
    pub available: usize,
    /// Images counted.
    pub used: usize,
    /// Images that could not be decoded, and why.
    pub skipped: Vec<Skipped>,
    /// Images that fill no batch of a model whose batch size is fixed.
    pub left_over: usize,
    /// What decoding changed, and for how many images.
    pub notes: BTreeMap<String, usize>,
    /// Float activations that have a scale.
    pub with_scale: usize,
    /// Why other float activations have none.
    pub without_scale: BTreeMap<String, String>,
    /// Those of them that held infinities, and how many.
    pub with_infinities: BTreeMap<String, u64>,
    /// Nodes in the bodies of If, Loop and Scan, whose values are not calibrated.
    pub subgraph_nodes: usize,
    /// From looking for the model to having written the table, in seconds.
    pub seconds: f64,
    /// The part of it that decoding the images and running the model took.
    pub counting_seconds: f64,
}

impl Report {
    /// The share of the model's float activations that have a scale, 0 to 1.
    pub fn coverage(&self) -> f64 {
        self.with_scale as f64 / (self.with_scale + self.without_scale.len()).max(1) as f64
    }

    /// Says it.
    pub fn say(&self, ui: &Ui) {
        const SHOWN: usize = 5;
        let time = Duration::from_secs_f64(self.seconds);
        let rate = self.used as f64 / self.counting_seconds.max(1e-9);
        ui.say(format_args!(
            "  {} images at {rate:.1} images/s, {} in all, {}, {} backend",
            self.used,
            ui::duration(time),
            self.algorithm,
            self.backend
        ));
        if self.requested > self.available as u64 {
            ui.say(format_args!("  {} images asked for, there are {}", self.requested, self.available));
        }
        if !self.skipped.is_empty() {
            ui.warn(format_args!("{} image(s) could not be decoded", self.skipped.len()));
            list(ui, SHOWN, self.skipped.iter().map(|skipped| (&skipped.name, &skipped.reason)));
        }
        if self.left_over > 0 {
            ui.warn(format_args!(
                "{} image(s) were left out, since they fill no batch of the model's fixed size",
                self.left_over
            ));
        }
        for (note, images) in &self.notes {
            ui.say(format_args!("  {images} image(s): {note}"));
        }
        let all = self.with_scale + self.without_scale.len();
        ui.say(format_args!(
            "  {} of {all} float activations have a scale ({:.1} %)",
            self.with_scale,
            100.0 * self.coverage()
        ));
        list(ui, SHOWN, &self.without_scale);
        if !self.with_infinities.is_empty() {
            ui.warn(format_args!(
                "{} activation(s) held infinities and have no scale",
                self.with_infinities.len()
            ));
        }
        if self.subgraph_nodes > 0 {
            ui.warn(format_args!(
                "{} node(s) in the bodies of If, Loop or Scan were not calibrated",
                self.subgraph_nodes
            ));
        }
    }
}

/// The first few of a list of names with reasons; all of them with `-v`.
fn list<'a>(ui: &Ui, shown: usize, items: impl IntoIterator<Item = (&'a String, &'a String)>) {
    let mut more = 0;
    for (at, (name, reason)) in items.into_iter().enumerate() {
        let line = format!("    `{name}`: {reason}");
        if at < shown {
            ui.say(line);
        } else {
            ui.detail(line);
            more += 1;
        }
    }
    if more > 0 {
        ui.say(format_args!("    and {more} more (`-v`, or the table's `.json`, lists all)"));
    }
}

/// How a table came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// It was made now.
    Computed,
    /// It was made before, from the same model, images and settings.
    Reused,
    /// It was made elsewhere and is used as it is.
    Foreign,
}

/// A table that is ready to be used, as JSON shows it.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// The model's name.
    pub model: String,
    /// The table.
    pub table: PathBuf,
    /// How it came about.
    pub origin: Origin,
    /// Scales in it.
    pub entries: usize,
    /// Why a table that was there was made anew.
    pub stale: Vec<String>,
    /// What was noticed.
    pub warnings: Vec<String>,
    /// How the calibration went, if there was one.
    pub report: Option<Report>,
}
