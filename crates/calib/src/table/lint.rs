//! What is suspicious in a table that can be read.

use std::fmt;

use super::{CalibrationTable, TensorName};

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Met in tables that work, though seldom meant.
    Warning,
    /// The table as a whole, or this tensor, will not quantize as meant.
    Error,
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LintKind {
    /// The scale is not a number.
    NotANumber,
    /// The scale is infinite: calibration met an infinite activation, as attention masks are.
    Infinite,
    /// The scale is exactly zero: the tensor was zero, or not a float tensor, all through calibration.
    Zero,
    /// The scale is below zero.
    Negative,
    /// The scale exceeds 1e6.
    Huge,
    /// The scale is below 1e-8.
    Tiny,
    /// The name has an earlier entry, with the same scale or another.
    Duplicate {
        /// The line of the earlier entry.
        first_line: usize,
        /// Whether both have the same scale.
        same_scale: bool,
    },
    /// The entry has no name.
    EmptyName,
    /// The scales look like 127/amax instead of amax/127.
    Inverted {
        /// The median of the positive finite scales.
        median: f32,
    },
}

/// One finding.
#[derive(Clone, Debug, PartialEq)]
pub struct Lint {
    /// How much it matters.
    pub severity: Severity,
    /// The line, from 1, in the table as it is written; `None` for the whole table.
    pub line: Option<usize>,
    /// The tensor; `None` for the whole table.
    pub tensor: Option<TensorName>,
    /// The scale; `None` for the whole table.
    pub scale: Option<f32>,
    /// What was found.
    pub kind: LintKind,
}

impl LintKind {
    fn severity(self) -> Severity {
        match self {
            Self::NotANumber | Self::Negative | Self::Inverted { .. } => Severity::Error,
            Self::Duplicate { same_scale: false, .. } => Severity::Error,
            _ => Severity::Warning,
        }
    }

    /// Why it matters, in one clause.
    pub fn reason(self) -> String {
        match self {
            Self::NotANumber => "the scale is not a number: an activation was NaN during calibration".to_owned(),
            Self::Infinite => {
                "the scale is infinite: every value of this tensor quantizes to 0; attention masks look like this"
                    .to_owned()
            }
            Self::Zero => "the scale is 0: the tensor was always 0 during calibration, or holds no floats".to_owned(),
            Self::Negative => "the scale is negative, which no calibrator writes".to_owned(),
            Self::Huge => {
                "the scale exceeds 1e6: a mask or an overflow set the range, and ordinary values quantize to 0"
                    .to_owned()
            }
            Self::Tiny => "the scale is below 1e-8: the tensor hardly ever left 0 during calibration".to_owned(),
            Self::Duplicate { first_line, same_scale: true } => format!("repeats line {first_line}"),
            Self::Duplicate { first_line, same_scale: false } => {
                format!("contradicts line {first_line}, and which of both TensorRT takes is not known")
            }
            Self::EmptyName => "the entry has no tensor name".to_owned(),
            Self::Inverted { median } => format!(
                "the median scale is {median}, so these may be 127/amax, as some tools write, instead of amax/127"
            ),
        }
    }
}

impl fmt::Display for Lint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        if let Some(tensor) = &self.tensor {
            write!(f, "`{tensor}`: ")?;
        }
        f.write_str(&self.kind.reason())
    }
}

/// Lists what is suspicious, by line, findings about the whole table last.
pub fn lint(table: &CalibrationTable) -> Vec<Lint> {
    let mut found = Vec::new();
    for (index, entry) in table.entries().iter().enumerate() {
        let scale = entry.scale();
        let mut add = |kind: LintKind| {
            found.push(Lint {
                severity: kind.severity(),
                line: Some(line_of(index)),
                tensor: Some(entry.name.clone()),
                scale: Some(scale),
                kind,
            });
        };
        if entry.name.as_bytes().is_empty() {
            add(LintKind::EmptyName);
        }
        if let Some(kind) = suspicious(scale) {
            add(kind);
        }
    }
    found.extend(duplicates(table));
    found.sort_by_key(|lint| lint.line);
    if let Some(median) = median_scale(table).filter(|&median| median > 10.0) {
        let kind = LintKind::Inverted { median };
        found.push(Lint { severity: kind.severity(), line: None, tensor: None, scale: None, kind });
    }
    found
}

/// The header is line 1.
fn line_of(index: usize) -> usize {
    index + 2
}

fn suspicious(scale: f32) -> Option<LintKind> {
    match scale {
        s if s.is_nan() => Some(LintKind::NotANumber),
        f32::INFINITY => Some(LintKind::Infinite),
        s if s < 0.0 => Some(LintKind::Negative),
        0.0 => Some(LintKind::Zero),
        s if s > 1e6 => Some(LintKind::Huge),
        s if s < 1e-8 => Some(LintKind::Tiny),
        _ => None,
    }
}

fn duplicates(table: &CalibrationTable) -> Vec<Lint> {
    let entries = table.entries();
    let mut found = Vec::new();
    for same_name in table.by_name.chunk_by(|&a, &b| entries[a as usize].name == entries[b as usize].name) {
        let first = same_name[0] as usize;
        for &again in &same_name[1..] {
            let entry = &entries[again as usize];
            let same_scale = entry.scale_bits == entries[first].scale_bits;
            let kind = LintKind::Duplicate { first_line: line_of(first), same_scale };
            found.push(Lint {
                severity: kind.severity(),
                line: Some(line_of(again as usize)),
                tensor: Some(entry.name.clone()),
                scale: Some(entry.scale()),
                kind,
            });
        }
    }
    found
}

fn median_scale(table: &CalibrationTable) -> Option<f32> {
    let mut scales: Vec<f32> =
        table.entries().iter().map(|e| e.scale()).filter(|s| s.is_finite() && *s > 0.0).collect();
    let middle = scales.len() / 2;
    (!scales.is_empty()).then(|| *scales.select_nth_unstable_by(middle, f32::total_cmp).1)
}

#[cfg(test)]
mod tests {
    use super::super::{Entry, Header, TableAlgorithm, TableVersion};
    use super::*;

    fn table(scales: &[(&str, f32)]) -> CalibrationTable {
        let version = TableVersion::from_raw(8601).unwrap();
        let entries = scales.iter().map(|(name, scale)| Entry::new(name, *scale).unwrap()).collect();
        CalibrationTable::new(Header::new(version, TableAlgorithm::EntropyCalibration2), entries).unwrap()
    }

    #[test]
    fn absurd_scales_are_reported_with_their_line() {
        for (scale, kind, severity) in [
            (f32::NAN, LintKind::NotANumber, Severity::Error),
            (f32::INFINITY, LintKind::Infinite, Severity::Warning),
            (f32::NEG_INFINITY, LintKind::Negative, Severity::Error),
            (-0.5, LintKind::Negative, Severity::Error),
            (0.0, LintKind::Zero, Severity::Warning),
            (-0.0, LintKind::Zero, Severity::Warning),
            (7.9e35, LintKind::Huge, Severity::Warning),
            (7.9e-15, LintKind::Tiny, Severity::Warning),
        ] {
            let found = lint(&table(&[
                ("good", 0.01),
                ("great", 1e6),
                ("small", 1e-8),
                ("bad", scale),
                ("fine", 0.1),
            ]));
            assert_eq!(found.len(), 1, "{scale}");
            assert_eq!((found[0].line, found[0].kind, found[0].severity), (Some(5), kind, severity));
        }
    }

    #[test]
    fn duplicates_point_to_the_first_entry() {
        let found = lint(&table(&[("a", 0.1), ("b", 0.1), ("a", 0.1), ("a", 0.2)]));
        let kinds: Vec<_> = found.iter().map(|l| (l.line, l.kind)).collect();
        assert_eq!(
            kinds,
            [
                (Some(4), LintKind::Duplicate { first_line: 2, same_scale: true }),
                (Some(5), LintKind::Duplicate { first_line: 2, same_scale: false }),
            ]
        );
    }

    #[test]
    fn inverted_scales_are_suspected_by_their_median() {
        let amax = [1.0f32, 6.0, 2.5, 0.8];
        let inverted: Vec<_> = amax.iter().map(|a| ("", 127.0 / a)).collect();
        let named: Vec<_> = ["a", "b", "c", "d"].iter().zip(&inverted).map(|(n, (_, s))| (*n, *s)).collect();
        let found = lint(&table(&named));
        assert!(
            matches!(found[..], [Lint { line: None, kind: LintKind::Inverted { median }, .. }] if median > 10.0)
        );
        assert_eq!(found[0].to_string(), found[0].kind.reason());
        let right: Vec<_> = ["a", "b", "c", "d"].iter().zip(amax).map(|(n, a)| (*n, a / 127.0)).collect();
        assert_eq!(lint(&table(&right)), []);
    }

    #[test]
    fn a_finding_names_line_tensor_and_reason() {
        let found = lint(&table(&[("mask", f32::INFINITY), ("", 0.1)]));
        assert_eq!(
            found[0].to_string(),
            "line 2: `mask`: the scale is infinite: every value of this tensor quantizes to 0; \
             attention masks look like this"
        );
        assert_eq!(found[1].kind, LintKind::EmptyName);
    }
}
