//! What a table's ranges tell of its tensors: what saturates, what never moved, what is hardly meant.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;
use trt_calib::set::Counted;
use trt_calib::sidecar::TensorRecord;
use trt_calib::{Algorithm, Counts};
use trt_onnx::{Demand, Layer, Model, demand};

use super::report::list;
use crate::ui::Ui;

/// A range is suspicious if it is so many times what 99.99 % of the values stay below: few of the 127 levels are used.
const FAR: f64 = 20.0;
/// So large a share of saturated values is suspicious.
const MANY: f64 = 0.01;
/// The largest number of FP16.
const FP16: f32 = 65_504.0;
/// Shares of saturated values that are worth a line, at least.
const WORTH_TELLING: f64 = 1e-4;

/// What is to be known of ranges.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Health {
    /// The share of each tensor's values that exceed its threshold, 0 to 1; tensors without such values are left out.
    pub saturation: BTreeMap<String, f64>,
    /// Tensors that were 0 throughout, and so have no scale.
    pub dead: Vec<String>,
    /// Why other ranges are hardly what was meant.
    pub suspicious: BTreeMap<String, String>,
}

impl Health {
    /// Looks at what was recorded of each tensor, and at the histograms if they are at hand: without them nothing is known
    /// of dead tensors and of lone outliers.
    pub fn of(records: &BTreeMap<String, TensorRecord>, counted: &[Counted]) -> Self {
        let saturated = records.iter().filter(|(_, record)| record.beyond > 0.0);
        let is_dead = |counts: &Counts| counts.amax() == Some(0.0);
        let counts: HashMap<&str, &Counts> =
            counted.iter().map(|one| (one.name.as_str(), &one.counts)).collect();
        let suspicious = records.iter().filter_map(|(name, record)| {
            Some((name.clone(), suspicion(record, counts.get(name.as_str()).copied())?))
        });
        Self {
            saturation: saturated.map(|(name, record)| (name.clone(), record.beyond)).collect(),
            dead: counted.iter().filter(|one| is_dead(&one.counts)).map(|one| one.name.clone()).collect(),
            suspicious: suspicious.collect(),
        }
    }

    /// Tensors with values beyond their range, the most first, so far as it is worth a line.
    fn saturated(&self) -> Vec<(&String, f64)> {
        let mut most: Vec<_> = self.saturation.iter().map(|(name, share)| (name, *share)).collect();
        most.retain(|(_, share)| *share >= WORTH_TELLING);
        most.sort_by(|a, b| b.1.total_cmp(&a.1));
        most
    }

    /// Says it in a few lines; all with `-v`.
    pub fn say(&self, ui: &Ui) {
        let most = self.saturated();
        if let Some((name, share)) = most.first() {
            ui.say(format_args!(
                "  {} tensor(s) have values beyond their range, the most of them `{name}`: {:.2} %",
                self.saturation.len(),
                100.0 * share
            ));
            most.iter()
                .for_each(|(name, share)| ui.detail(format_args!("    `{name}`: {:.2} %", 100.0 * share)));
        }
        if !self.dead.is_empty() {
            ui.warn(format_args!("{} tensor(s) were 0 throughout, and have no scale", self.dead.len()));
            self.dead.iter().for_each(|name| ui.detail(format_args!("    `{name}`")));
        }
        if !self.suspicious.is_empty() {
            ui.warn(format_args!("{} range(s) are suspicious", self.suspicious.len()));
            list(ui, &self.suspicious);
        }
    }

    /// Prints all of it.
    pub fn print(&self, ui: &Ui) {
        let most = self.saturated();
        ui.print(format_args!("{} tensors have values beyond their range", self.saturation.len()));
        most.iter().for_each(|(name, share)| ui.print(format_args!("  `{name}`: {:.2} %", 100.0 * share)));
        ui.print(format_args!("{} tensors were 0 throughout", self.dead.len()));
        self.dead.iter().for_each(|name| ui.print(format_args!("  `{name}`")));
        ui.print(format_args!("{} ranges are suspicious", self.suspicious.len()));
        self.suspicious.iter().for_each(|(name, why)| ui.print(format_args!("  `{name}`: {why}")));
    }
}

/// Why a range is hardly what was meant; of several reasons the first.
fn suspicion(record: &TensorRecord, counts: Option<&Counts>) -> Option<String> {
    if record.zero_range {
        return Some(format!("it was {} throughout", record.min));
    }
    if record.nan > 0 {
        return Some(format!("{} of its values were NaN", record.nan));
    }
    if record.amax > FP16 {
        return Some(format!("it reaches {}, which FP16 cannot hold", record.amax));
    }
    if record.beyond > MANY {
        return Some(format!("{:.1} % of its values lie beyond its range", 100.0 * record.beyond));
    }
    let most = Algorithm::PERCENTILE.threshold(counts?).ok()?.value;
    (record.threshold > FAR * most).then(|| {
        format!("its range ends at {:.4}, and 99.99 % of its values lie below {most:.4}", record.threshold)
    })
}

/// Which layers may run in INT8, and why the others do not.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Layers {
    /// How many there are.
    pub all: usize,
    /// Those that will not, in the order of computation.
    pub not_int8: Vec<Layer>,
}

impl Layers {
    /// With these scales, and these tensors kept in higher precision.
    pub fn of(model: &Model, scales: &BTreeMap<String, f32>, keep: &[String]) -> Self {
        demand(model, &|name| scales.get(name).copied(), keep).into()
    }

    /// Says it: the first few without `-v`, or all.
    pub fn say(&self, ui: &Ui) {
        ui.say(format_args!("  {} of {} layers may run in INT8", self.all - self.not_int8.len(), self.all));
        let lines: Vec<_> = self.not_int8.iter().map(|layer| (name(layer), why(layer))).collect();
        list(ui, lines.iter().map(|(name, why)| (name, why)));
    }
}

impl From<Demand> for Layers {
    fn from(demand: Demand) -> Self {
        let all = demand.layers.len();
        Self { all, not_int8: demand.layers.into_iter().filter(|layer| layer.not_int8.is_some()).collect() }
    }
}

/// A layer for people: what it is called has quotes of its own where it has a name.
fn name(layer: &Layer) -> String {
    format!("{} ({})", layer.node.trim_matches('`'), layer.op)
}

/// Why it will not run in INT8.
pub fn why(layer: &Layer) -> String {
    layer.not_int8.as_ref().map(ToString::to_string).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use trt_calib::Mode;

    use super::*;

    fn counts(values: &[f32]) -> Counts {
        let mut counts = Counts::new(Mode::Canonical);
        counts.add(values);
        counts
    }

    #[test]
    fn each_suspicion_has_its_words_and_an_ordinary_range_has_none() {
        let fine = TensorRecord {
            amax: 1.0,
            min: 0.0,
            max: 1.0,
            threshold: 1.0,
            beyond: 0.0,
            nan: 0,
            infinite: 0,
            zero_range: false,
        };
        let spread: Vec<f32> = (0..50_000).map(|n| n as f32 / 50_000.0).collect();
        let lone: Vec<f32> = spread.iter().copied().chain([100.0]).collect();
        for (record, values, words) in [
            (fine, &spread, None),
            (TensorRecord { zero_range: true, min: 0.5, ..fine }, &spread, Some("it was 0.5 throughout")),
            (TensorRecord { nan: 3, ..fine }, &spread, Some("3 of its values were NaN")),
            (TensorRecord { amax: 7e4, ..fine }, &spread, Some("it reaches 70000, which FP16 cannot hold")),
            (
                TensorRecord { beyond: 0.02, ..fine },
                &spread,
                Some("2.0 % of its values lie beyond its range"),
            ),
            (
                TensorRecord { threshold: 100.0, ..fine },
                &lone,
                Some("its range ends at 100.0000, and 99.99 %"),
            ),
            (TensorRecord { threshold: 1.5, ..fine }, &lone, None),
        ] {
            let found = suspicion(&record, Some(&counts(values)));
            assert_eq!(found.is_some(), words.is_some(), "{found:?}");
            assert!(found.unwrap_or_default().starts_with(words.unwrap_or_default()), "{words:?}");
        }
    }

    #[test]
    fn what_was_0_throughout_is_dead() {
        let tensor = |name: &str, values: &[f32]| Counted { name: name.to_owned(), counts: counts(values) };
        let counted =
            [tensor("zero", &[0.0; 9]), tensor("one", &[1.0; 9]), tensor("never", &[f32::INFINITY; 9])];
        assert_eq!(Health::of(&BTreeMap::new(), &counted).dead, ["zero"]);
    }
}
