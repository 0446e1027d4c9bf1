//! Whether TensorRT used the calibration table, from what it says in its log.
//!
//! TensorRT returns an engine whether it used the table, calibrated with what it was given, or made ranges up: neither
//! its result nor the exit code of `trtexec` tells. The words of the log do, and they are the same from 8.0 to 10.x.

use std::collections::BTreeSet;

use trt_wire::{Failure, FailureCode, Retry};

/// TensorRT asked a calibrator for its cache; the calibrator's name follows.
const READING: &str = "Reading Calibration Cache for calibrator:";
/// The scales are those of the cache.
const GENERATED: &str = "Generated calibration scales using calibration cache";
/// The header is of another version or another calibrator; TensorRT says the same to both.
const MISMATCH: &str = "Calibration table does not match calibrator algorithm type";
/// TensorRT ran the network on batches of the calibrator's.
const CALIBRATED: [&str; 2] = ["Calibrated batch", "Calibration completed"];
/// There is no calibrator, so whoever builds makes the ranges up: the options that `trtexec` prints, and TensorRT's words.
const INVENTED: [&str; 2] = ["Calibration: Dynamic", "Calibrator is not being used"];
/// A tensor without a scale; its name is between this and [`MISSING_END`]. The second form is that of early 8.x.
const MISSING: [&str; 2] = ["Missing scale and zero-point for tensor ", "Missing dynamic range for tensor "];
const MISSING_END: &str = ", expect fall back";
/// More names than the largest table known has; beyond it nobody reads on.
const MOST_MISSING: usize = 10_000;

/// Collects what the log says about the table. Feed it every line.
#[derive(Debug, Clone, Default)]
pub struct Proof {
    /// The log says that the table was read.
    read: bool,
    /// The calibrator's own account of that, where it is ours.
    was_read: Option<bool>,
    generated: bool,
    rejected: bool,
    calibrated: Option<String>,
    invented: Option<String>,
    missing: BTreeSet<String>,
}

/// How a build ignored the table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Ignored {
    /// TensorRT read the table and did not accept its header.
    #[error("TensorRT rejected the calibration table: its log says `{MISMATCH}`")]
    Rejected,
    /// TensorRT calibrated instead of using the table.
    #[error("TensorRT calibrated by itself instead of using the calibration table: {sign}")]
    Calibrated {
        /// How that is known: a line of the log, or a call.
        sign: String,
    },
    /// There was no calibrator, and the ranges are made up.
    #[error("the INT8 ranges are made up instead of those of the calibration table: the log says `{line}`")]
    Invented {
        /// The line of the log.
        line: String,
    },
    /// TensorRT never looked at the table.
    #[error("TensorRT never asked for the calibration table")]
    NeverRead,
    /// The log does not say that the scales are those of the table.
    #[error("TensorRT's log does not say that the calibration table was used: it lacks `{lacks}`")]
    Unproven {
        /// The words that TensorRT says in every build that uses a table.
        lacks: &'static str,
    },
}

impl Ignored {
    /// What a user can do about it.
    pub fn hint(&self) -> Option<String> {
        let instead = "`precision: fp16` builds without a table meanwhile";
        Some(match self {
            Self::Rejected => format!(
                "the table's header was written for exactly this TensorRT, so please report this with the log; {instead}"
            ),
            Self::Calibrated { .. } | Self::Invented { .. } | Self::NeverRead | Self::Unproven { .. } => {
                format!(
                    "its INT8 ranges are not those of the table, so the engine was thrown away; please report this with \
                 the log; {instead}"
                )
            }
        })
    }
}

impl From<Ignored> for Failure {
    fn from(ignored: Ignored) -> Self {
        let hint = ignored.hint();
        Self { hint, ..Self::new(FailureCode::BuildFailed, Retry::AfterFix, ignored.to_string()) }
    }
}

impl Proof {
    /// Looks at one message of the log, whatever stands before and after its words.
    pub fn see(&mut self, text: &str) {
        for line in text.lines() {
            self.read |= line.contains(READING);
            self.generated |= line.contains(GENERATED);
            self.rejected |= line.contains(MISMATCH);
            if self.calibrated.is_none() && CALIBRATED.iter().any(|words| line.contains(words)) {
                self.calibrated = Some(format!("its log says `{}`", line.trim()));
            }
            if self.invented.is_none() && INVENTED.iter().any(|words| line.contains(words)) {
                self.invented = Some(line.trim().to_owned());
            }
            if self.missing.len() < MOST_MISSING
                && let Some(tensor) = missing_scale(line)
            {
                self.missing.insert(tensor.to_owned());
            }
        }
    }

    /// Adds what a calibrator of our own saw, which no log can hide.
    pub fn see_calibrator(&mut self, was_read: bool, batch_was_asked: bool) {
        self.was_read = Some(was_read);
        if batch_was_asked && self.calibrated.is_none() {
            self.calibrated = Some("it asked the calibrator for a batch".to_owned());
        }
    }

    /// The tensors that TensorRT had no scale for, by name, sorted.
    pub fn missing(&self) -> impl Iterator<Item = &str> {
        self.missing.iter().map(String::as_str)
    }

    /// Whether the table was used.
    ///
    /// # Errors
    /// [`Ignored`], the most telling reason first: a rejected table is calibrated over and never used.
    pub fn used(&self) -> Result<(), Ignored> {
        match self {
            Self { rejected: true, .. } => Err(Ignored::Rejected),
            Self { calibrated: Some(sign), .. } => Err(Ignored::Calibrated { sign: sign.clone() }),
            Self { invented: Some(line), .. } => Err(Ignored::Invented { line: line.clone() }),
            _ if !self.was_read.unwrap_or(self.read) => Err(Ignored::NeverRead),
            Self { read: false, .. } => Err(Ignored::Unproven { lacks: READING }),
            Self { generated: false, .. } => Err(Ignored::Unproven { lacks: GENERATED }),
            _ => Ok(()),
        }
    }

    /// Whether the log says that the table was refused or replaced, which explains a build that failed as well.
    pub fn contradicted(&self) -> Option<Ignored> {
        let tells = |ignored: &Ignored| !matches!(ignored, Ignored::NeverRead | Ignored::Unproven { .. });
        self.used().err().filter(tells)
    }
}

/// The tensor that a line says has no scale. Names may hold commas and spaces, so the last ending counts.
fn missing_scale(line: &str) -> Option<&str> {
    let rest = MISSING.iter().find_map(|words| Some(line.split_once(words)?.1))?;
    let name = rest.rsplit_once(MISSING_END).map_or(rest, |(name, _)| name).trim();
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const READ: &str = "Reading Calibration Cache for calibrator: EntropyCalibration2";
    const USED: &str = "Generated calibration scales using calibration cache. Make sure that calibration cache has \
                        latest scales.";

    fn proof(lines: &[&str]) -> Proof {
        let mut proof = Proof::default();
        lines.iter().for_each(|line| proof.see(line));
        proof
    }

    #[test]
    fn only_a_log_with_all_the_right_words_proves_that_the_table_was_used() {
        let calibrated = |line: &str| Ignored::Calibrated { sign: format!("its log says `{line}`") };
        let batch = "Calibrated batch 0 in 0.0107 seconds.";
        let completed = "Calibration completed in 2.31 seconds.";
        let invented = |line: &str| Ignored::Invented { line: line.into() };
        let cases: [(&str, &[&str], Result<(), Ignored>); 13] = [
            ("used", &[READ, USED], Ok(())),
            ("used, as trtexec prints it", &["[03/04/2024-10:11:12] [I] [TRT] ", READ, USED], Ok(())),
            (
                "used, in one message",
                &[
                    "Reading Calibration Cache for calibrator: MinMaxCalibration\nGenerated calibration scales using calibration cache.",
                ],
                Ok(()),
            ),
            ("nothing said", &[], Err(Ignored::NeverRead)),
            (
                "other words only",
                &["Some tactics do not have sufficient workspace memory to run."],
                Err(Ignored::NeverRead),
            ),
            ("read and not used", &[READ], Err(Ignored::Unproven { lacks: GENERATED })),
            ("used and not read", &[USED], Err(Ignored::NeverRead)),
            (
                "rejected",
                &[READ, "Calibration table does not match calibrator algorithm type."],
                Err(Ignored::Rejected),
            ),
            (
                "rejected and calibrated again",
                &[READ, "[E] Calibration table does not match calibrator algorithm type.", batch, completed],
                Err(Ignored::Rejected),
            ),
            ("calibrated on a random batch", &[batch, completed], Err(calibrated(batch))),
            ("without a calibrator", &["Calibration: Dynamic"], Err(invented("Calibration: Dynamic"))),
            (
                "without a calibrator, in TensorRT's words",
                &["Calibrator is not being used. Users must provide dynamic range for all tensors."],
                Err(invented(
                    "Calibrator is not being used. Users must provide dynamic range for all tensors.",
                )),
            ),
            ("calibrated although the table was used", &[READ, USED, completed], Err(calibrated(completed))),
        ];
        for (what, lines, expected) in cases {
            assert_eq!(proof(lines).used(), expected, "{what}");
        }
    }

    #[test]
    fn the_calibrators_own_account_outweighs_the_log() {
        let with = |lines: &[&str], was_read, batch| {
            let mut proof = proof(lines);
            proof.see_calibrator(was_read, batch);
            proof.used()
        };
        assert_eq!(with(&[READ, USED], true, false), Ok(()));
        assert_eq!(with(&[READ, USED], false, false), Err(Ignored::NeverRead));
        assert_eq!(with(&[USED], true, false), Err(Ignored::Unproven { lacks: READING }));
        let Err(Ignored::Calibrated { sign }) = with(&[READ, USED], true, true) else {
            panic!("a batch was asked for")
        };
        assert!(sign.contains("batch"), "{sign}");
    }

    #[test]
    fn tensors_without_a_scale_are_collected_once_whatever_their_names_hold() {
        let line = |name: &str| {
            format!(
                "Missing scale and zero-point for tensor {name}, expect fall back to non-int8 implementation for any \
                 layer consuming or producing given tensor"
            )
        };
        let names = ["(Unnamed Layer* 12) [Shuffle]_output", "a, expect fall back, b", "input_1:0", "x"];
        let mut seen = Proof::default();
        for name in names.iter().chain(&["x"]) {
            seen.see(&line(name));
        }
        seen.see("[W] [TRT] Missing dynamic range for tensor y, expect fall back to non-int8 implementation");
        seen.see("Missing scale and zero-point for tensor ");
        let mut expected: Vec<&str> = names.to_vec();
        expected.push("y");
        assert_eq!(seen.missing().collect::<Vec<_>>(), expected);
        assert_eq!(seen.used(), Err(Ignored::NeverRead), "a missing scale proves nothing");
    }

    #[test]
    fn a_failed_build_is_explained_by_the_table_only_if_the_log_says_so() {
        assert_eq!(proof(&[READ]).contradicted(), None);
        assert_eq!(proof(&[]).contradicted(), None);
        assert_eq!(proof(&[READ, MISMATCH]).contradicted(), Some(Ignored::Rejected));
        assert!(proof(&["Calibration completed in 1 s"]).contradicted().is_some());
    }

    #[test]
    fn a_hostile_log_fills_no_memory() {
        let mut proof = Proof::default();
        for number in 0..20_000 {
            proof.see(&format!("Missing scale and zero-point for tensor t{number}, expect fall back to"));
        }
        assert_eq!(proof.missing().count(), MOST_MISSING);
    }

    #[test]
    fn every_reason_has_a_hint_and_is_a_failed_build() {
        // The compiler asks for a place here for every new reason.
        let after = |ignored: Option<&Ignored>| match ignored {
            None => Some(Ignored::Rejected),
            Some(Ignored::Rejected) => Some(Ignored::Calibrated { sign: "x".into() }),
            Some(Ignored::Calibrated { .. }) => Some(Ignored::Invented { line: "x".into() }),
            Some(Ignored::Invented { .. }) => Some(Ignored::NeverRead),
            Some(Ignored::NeverRead) => Some(Ignored::Unproven { lacks: GENERATED }),
            Some(Ignored::Unproven { .. }) => None,
        };
        for ignored in std::iter::successors(after(None), |ignored| after(Some(ignored))) {
            let failure = Failure::from(ignored);
            assert_eq!(failure.code, FailureCode::BuildFailed);
            assert!(failure.hint.is_some_and(|hint| hint.contains("fp16")), "{}", failure.message);
        }
    }
}
