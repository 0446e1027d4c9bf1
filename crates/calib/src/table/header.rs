//! The first line of a calibration table.

use std::fmt;

use super::TableError;

/// The version of a TensorRT library as tables write it and as `getInferLibVersion` returns it.
///
/// Below 10 it is `major*1000 + minor*100 + patch` (8601 is 8.6.1), from 10 on
/// `major*10000 + minor*100 + patch` (100300 is 10.3.0).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableVersion(u32);

impl TableVersion {
    /// Takes the number as the library or a header gives it.
    ///
    /// `None` for numbers that neither encoding produces (below 1.0.0, or 10000 to 99999).
    pub fn from_raw(raw: u32) -> Option<Self> {
        (matches!(raw, 1000..=9999 | 100_000..=999_999)).then_some(Self(raw))
    }

    /// Encodes a release: `(8, 6, 1)` is 8601 and `(10, 3, 0)` is 100300.
    ///
    /// `None` where a part does not fit its digits (minor 9 and patch 99 are the largest below 10, 99 and 99
    /// from 10 on) or the major version is not within 1 to 99.
    pub fn from_release(major: u32, minor: u32, patch: u32) -> Option<Self> {
        match major {
            1..=9 if minor <= 9 && patch <= 99 => Some(Self(major * 1000 + minor * 100 + patch)),
            10..=99 if minor <= 99 && patch <= 99 => Some(Self(major * 10_000 + minor * 100 + patch)),
            _ => None,
        }
    }

    /// The number as tables write it.
    pub fn raw(self) -> u32 {
        self.0
    }

    /// Major, minor and patch.
    pub fn release(self) -> (u32, u32, u32) {
        let major_unit = if self.0 < 10_000 { 1000 } else { 10_000 };
        (self.0 / major_unit, self.0 % major_unit / 100, self.0 % 100)
    }
}

impl fmt::Display for TableVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (major, minor, patch) = self.release();
        write!(f, "{major}.{minor}.{patch}")
    }
}

/// The calibrator class a table names; TensorRT accepts a table only for a calibrator of that class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TableAlgorithm {
    /// `IInt8EntropyCalibrator2`, the class of trtexec and of nearly every table met.
    EntropyCalibration2,
    /// `IInt8MinMaxCalibrator`.
    MinMaxCalibration,
    /// `IInt8EntropyCalibrator`, the older entropy calibrator.
    EntropyCalibration,
}

impl TableAlgorithm {
    /// All of them, in the order in which messages list them.
    pub const ALL: [Self; 3] = [Self::EntropyCalibration2, Self::MinMaxCalibration, Self::EntropyCalibration];

    /// The word in the header.
    pub fn word(self) -> &'static str {
        match self {
            Self::EntropyCalibration2 => "EntropyCalibration2",
            Self::MinMaxCalibration => "MinMaxCalibration",
            Self::EntropyCalibration => "EntropyCalibration",
        }
    }
}

impl fmt::Display for TableAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// The first line of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Header {
    /// `TRT-<version>-<algorithm>`.
    Modern {
        /// The library that wrote the table, or for which its header was rewritten.
        version: TableVersion,
        /// The calibrator class.
        algorithm: TableAlgorithm,
    },
    /// The legacy calibrator's `0 <cutoff> <quantile>`, without a version.
    Legacy(LegacyHeader),
}

/// The legacy calibrator's header: algorithm 0, then two binary64 in hex. It is written only as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegacyHeader {
    text: String,
    cutoff_bits: u64,
    quantile_bits: u64,
}

impl LegacyHeader {
    /// The regression cutoff, 1.0 in the tables met.
    pub fn cutoff(&self) -> f64 {
        f64::from_bits(self.cutoff_bits)
    }

    /// The quantile, 0.99999 in the tables met.
    pub fn quantile(&self) -> f64 {
        f64::from_bits(self.quantile_bits)
    }
}

impl Header {
    /// A header of today's form.
    pub fn new(version: TableVersion, algorithm: TableAlgorithm) -> Self {
        Self::Modern { version, algorithm }
    }

    /// The version, which a legacy header does not have.
    pub fn version(&self) -> Option<TableVersion> {
        match self {
            Self::Modern { version, .. } => Some(*version),
            Self::Legacy(_) => None,
        }
    }

    /// The calibrator class; `None` for the legacy calibrator.
    pub fn algorithm(&self) -> Option<TableAlgorithm> {
        match self {
            Self::Modern { algorithm, .. } => Some(*algorithm),
            Self::Legacy(_) => None,
        }
    }

    /// Parses the first line, without its line end.
    pub(super) fn parse(line: &[u8]) -> Result<Self, TableError> {
        let unreadable = || TableError::Header { found: excerpt(line) };
        let text = std::str::from_utf8(line).map_err(|_| unreadable())?.trim_end();
        if let Some(rest) = text.strip_prefix("TRT-") {
            let (number, word) = rest.split_once('-').ok_or_else(unreadable)?;
            let version = decimal(number)
                .and_then(TableVersion::from_raw)
                .ok_or_else(|| TableError::HeaderVersion { found: excerpt(number.as_bytes()) })?;
            let algorithm = TableAlgorithm::ALL
                .into_iter()
                .find(|a| a.word() == word)
                .ok_or_else(|| TableError::HeaderAlgorithm { found: excerpt(word.as_bytes()) })?;
            return Ok(Self::Modern { version, algorithm });
        }
        legacy(text).map(Self::Legacy).ok_or_else(unreadable)
    }
}

impl fmt::Display for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Modern { version, algorithm } => write!(f, "TRT-{}-{algorithm}", version.raw()),
            Self::Legacy(legacy) => f.write_str(&legacy.text),
        }
    }
}

/// Reads `0 3ff0000000000000 3fefffeb074a771d`.
fn legacy(text: &str) -> Option<LegacyHeader> {
    let mut words = text.split(' ');
    let (algorithm, cutoff, quantile) = (words.next()?, words.next()?, words.next()?);
    if algorithm != "0" || words.next().is_some() {
        return None;
    }
    let (cutoff_bits, quantile_bits) = (hex64(cutoff)?, hex64(quantile)?);
    Some(LegacyHeader { text: text.to_owned(), cutoff_bits, quantile_bits })
}

/// 1 to 16 hex digits and nothing else (`from_str_radix` alone would take a sign).
fn hex64(text: &str) -> Option<u64> {
    let digits = (1..=16).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit());
    digits.then(|| u64::from_str_radix(text, 16).ok()).flatten()
}

/// Decimal digits without sign, leading zero or anything else, so that writing gives the same text back.
fn decimal(text: &str) -> Option<u32> {
    let digits = !text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// The first bytes of something unreadable, made printable.
pub(super) fn excerpt(bytes: &[u8]) -> String {
    const SHOWN: usize = 60;
    let mut text = bytes[..bytes.len().min(SHOWN)].escape_ascii().to_string();
    if bytes.len() > SHOWN {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_encoded_in_two_ways() {
        for (raw, release, shown) in [
            (5105, (5, 1, 5), "5.1.5"),
            (6001, (6, 0, 1), "6.0.1"),
            (7203, (7, 2, 3), "7.2.3"),
            (8001, (8, 0, 1), "8.0.1"),
            (8510, (8, 5, 10), "8.5.10"),
            (8601, (8, 6, 1), "8.6.1"),
            (100_300, (10, 3, 0), "10.3.0"),
            (101_000, (10, 10, 0), "10.10.0"),
            (101_602, (10, 16, 2), "10.16.2"),
        ] {
            let version = TableVersion::from_raw(raw).unwrap();
            assert_eq!(version.release(), release);
            assert_eq!(version.to_string(), shown);
            assert_eq!(TableVersion::from_release(release.0, release.1, release.2), Some(version));
        }
    }

    #[test]
    fn numbers_of_neither_encoding_are_refused() {
        for raw in [0, 999, 10_000, 86_010, 99_999, 1_000_000, u32::MAX] {
            assert_eq!(TableVersion::from_raw(raw), None, "{raw}");
        }
        for (major, minor, patch) in [(0, 1, 1), (8, 10, 0), (8, 6, 100), (10, 100, 0), (100, 0, 0)] {
            assert_eq!(TableVersion::from_release(major, minor, patch), None, "{major}.{minor}.{patch}");
        }
    }

    #[test]
    fn headers_are_written_as_they_were_read() {
        for text in [
            "TRT-5105-EntropyCalibration2",
            "TRT-8601-EntropyCalibration",
            "TRT-100300-MinMaxCalibration",
            "0 3ff0000000000000 3fefffeb074a771d",
        ] {
            assert_eq!(Header::parse(text.as_bytes()).unwrap().to_string(), text);
        }
    }

    #[test]
    fn the_legacy_header_holds_a_cutoff_and_a_quantile() {
        let Header::Legacy(legacy) = Header::parse(b"0 3ff0000000000000 3fefffeb074a771d").unwrap() else {
            panic!("a legacy header");
        };
        assert_eq!(legacy.cutoff(), 1.0);
        assert!((legacy.quantile() - 0.99999).abs() < 1e-9);
    }

    #[test]
    fn broken_headers_say_what_is_broken() {
        type Check = fn(&TableError) -> bool;
        let cases: [(&str, Check); 9] = [
            ("TRT-8XXX-EntropyCalibration2", |e| matches!(e, TableError::HeaderVersion { .. })),
            ("TRT-08601-EntropyCalibration2", |e| matches!(e, TableError::HeaderVersion { .. })),
            ("TRT--EntropyCalibration2", |e| matches!(e, TableError::HeaderVersion { .. })),
            ("TRT-86010-EntropyCalibration2", |e| matches!(e, TableError::HeaderVersion { .. })),
            ("TRT-8601-EntropyCalibration3", |e| matches!(e, TableError::HeaderAlgorithm { .. })),
            ("TRT-8601", |e| matches!(e, TableError::Header { .. })),
            ("trt-8601-EntropyCalibration2", |e| matches!(e, TableError::Header { .. })),
            ("0 3ff0000000000000", |e| matches!(e, TableError::Header { .. })),
            ("0 +ff0000000000000 3fefffeb074a771d", |e| matches!(e, TableError::Header { .. })),
        ];
        for (text, expected) in cases {
            let error = Header::parse(text.as_bytes()).unwrap_err();
            assert!(expected(&error), "{text}: {error:?}");
        }
    }
}
