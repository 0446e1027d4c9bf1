//! TensorRT INT8 calibration tables: reading, writing, checking and comparing them.
//!
//! A table is text: a header naming library version and calibrator class, then a line
//! `<tensor name>: <hex>` per tensor, the hex being the bits of a binary32 scale (threshold / 127) without
//! leading zeros. No public grammar exists; this one was read off tables written by TensorRT 6.0 to 10.10.

mod compare;
mod error;
mod header;
mod lint;
mod parse;

pub use compare::{Change, Coverage, TableDiff, coverage, coverage_with_initializers, diff};
pub use error::TableError;
pub use header::{Header, LegacyHeader, TableAlgorithm, TableVersion};
pub use lint::{Lint, LintKind, Severity, lint};

use std::fmt::{self, Write as _};

/// The largest table accepted, in bytes. The largest met has 3656 entries and about 200 kB.
pub const MAX_BYTES: usize = 16 << 20;
/// The most entries accepted.
pub const MAX_ENTRIES: usize = 1 << 18;
/// The longest tensor name accepted, in bytes. The longest met has 125.
pub const MAX_NAME: usize = 4096;

/// A tensor's name: any bytes but a line feed, since tables promise no encoding.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TensorName(Box<[u8]>);

impl TensorName {
    /// Takes a name from a model or another tool.
    ///
    /// # Errors
    /// [`TableError::NameUnwritable`] with a line feed, which would end the line of the table, and
    /// [`TableError::NameTooLong`] beyond [`MAX_NAME`] bytes.
    pub fn new(name: impl AsRef<[u8]>) -> Result<Self, TableError> {
        let bytes = name.as_ref();
        if bytes.len() > MAX_NAME {
            return Err(TableError::NameTooLong { name: header::excerpt(bytes), bytes: bytes.len() });
        }
        if bytes.contains(&b'\n') {
            return Err(TableError::NameUnwritable { name: header::excerpt(bytes) });
        }
        Ok(Self(bytes.into()))
    }

    /// The bytes as they stand in the table.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for TensorName {
    /// The text, with bytes that are not UTF-8 replaced and control characters escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in String::from_utf8_lossy(&self.0).chars() {
            if c.is_control() { write!(f, "{}", c.escape_default())? } else { f.write_char(c)? }
        }
        Ok(())
    }
}

impl fmt::Debug for TensorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{self}`")
    }
}

/// One line of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The tensor.
    pub name: TensorName,
    /// The bits of its scale; kept as bits so that NaN payloads and signed zeros survive.
    pub scale_bits: u32,
}

impl Entry {
    /// An entry for a tensor of a model.
    ///
    /// # Errors
    /// Those of [`TensorName::new`].
    pub fn new(name: impl AsRef<[u8]>, scale: f32) -> Result<Self, TableError> {
        Ok(Self { name: TensorName::new(name)?, scale_bits: scale.to_bits() })
    }

    /// The scale: the real value of one step of INT8.
    pub fn scale(&self) -> f32 {
        f32::from_bits(self.scale_bits)
    }
}

/// A calibration table: a header and a scale per tensor.
#[derive(Clone, Debug)]
pub struct CalibrationTable {
    header: Header,
    entries: Vec<Entry>,
    /// Positions in `entries` by name, equal names in the order of the file.
    by_name: Vec<u32>,
}

/// Two tables are equal when they are written as the same bytes.
impl PartialEq for CalibrationTable {
    fn eq(&self, other: &Self) -> bool {
        self.header == other.header && self.entries == other.entries
    }
}

impl Eq for CalibrationTable {}

impl CalibrationTable {
    /// Puts a table together; the entries are written in the order given.
    ///
    /// # Errors
    /// [`TableError::TooManyEntries`] beyond [`MAX_ENTRIES`].
    pub fn new(header: Header, entries: Vec<Entry>) -> Result<Self, TableError> {
        if entries.len() > MAX_ENTRIES {
            return Err(TableError::TooManyEntries { entries: entries.len() });
        }
        let mut by_name: Vec<u32> = (0u32..).take(entries.len()).collect();
        by_name.sort_by_key(|&i| &entries[i as usize].name);
        Ok(Self { header, entries, by_name })
    }

    /// Reads a table.
    ///
    /// Line ends may be LF or CRLF, the last one may be missing, empty lines are skipped, and hex may be
    /// padded or in capitals: what TensorRT itself never writes is not kept.
    ///
    /// # Errors
    /// A [`TableError`] with the line, and with a hint where the mistake is one that other tools make. A file
    /// that is something else altogether is named ([`TableError::Foreign`]).
    pub fn parse(bytes: &[u8]) -> Result<Self, TableError> {
        parse::parse(bytes)
    }

    /// The bytes of the file: as TensorRT writes them, with LF, hex without leading zeros.
    pub fn write(&self) -> Vec<u8> {
        let mut out = self.header.to_string().into_bytes();
        out.push(b'\n');
        for entry in &self.entries {
            out.extend_from_slice(entry.name.as_bytes());
            out.extend_from_slice(format!(": {:x}\n", entry.scale_bits).as_bytes());
        }
        out
    }

    /// The header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The entries, in the order of the file.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The scale of a tensor; the last one where a name occurs twice (which [`lint`] reports).
    pub fn get(&self, name: &[u8]) -> Option<f32> {
        let name_at = |position: &u32| self.entries[*position as usize].name.as_bytes();
        let end = self.by_name.partition_point(|position| name_at(position) <= name);
        let position = self.by_name[..end].last()?;
        (name_at(position) == name).then(|| self.entries[*position as usize].scale())
    }

    /// The same scales under another header.
    pub fn with_header(mut self, header: Header) -> Self {
        self.header = header;
        self
    }

    /// The same scales for the library that says `table_version` of itself (`getInferLibVersion`: 8601,
    /// 100300). TensorRT rejects a table of another major version, so what is sent to a device is always
    /// rewritten to its exact version.
    ///
    /// A legacy table becomes an `EntropyCalibration2` one: TensorRT uses scales as they are, and that is the
    /// class that trtexec and the agent offer.
    ///
    /// # Errors
    /// [`TableError::HeaderVersion`] for a number that is no TensorRT version.
    pub fn with_version(self, table_version: u32) -> Result<Self, TableError> {
        let version = TableVersion::from_raw(table_version)
            .ok_or_else(|| TableError::HeaderVersion { found: table_version.to_string() })?;
        let algorithm = self.header.algorithm().unwrap_or(TableAlgorithm::EntropyCalibration2);
        Ok(self.with_header(Header::new(version, algorithm)))
    }

    /// The same scales for another calibrator class.
    ///
    /// # Errors
    /// [`TableError::LegacyVersion`] for a legacy table: call [`Self::with_version`] first.
    pub fn with_algorithm(self, algorithm: TableAlgorithm) -> Result<Self, TableError> {
        let version = self.header.version().ok_or(TableError::LegacyVersion)?;
        Ok(self.with_header(Header::new(version, algorithm)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> CalibrationTable {
        CalibrationTable::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_scale_is_found_by_the_bytes_of_its_name() {
        let table = table("TRT-8601-EntropyCalibration2\nb:0: 3c010204\na: 3d418306\n b: 0\n");
        assert_eq!(table.get(b"b:0").map(f32::to_bits), Some(0x3c01_0204));
        assert_eq!(table.get(b"a").map(f32::to_bits), Some(0x3d41_8306));
        assert_eq!(table.get(b" b"), Some(0.0));
        for absent in [&b""[..], b"b", b"b:", b"A", b"zz", b"\xff"] {
            assert_eq!(table.get(absent), None);
        }
    }

    #[test]
    fn the_last_of_two_entries_of_one_name_counts() {
        let table = table("TRT-8601-EntropyCalibration2\na: 3f800000\nb: 1\na: 40000000\n");
        assert_eq!(table.get(b"a"), Some(2.0));
    }

    #[test]
    fn the_header_is_rewritten_for_a_device() {
        let minmax = table("TRT-8400-MinMaxCalibration\na: 3c010204\n");
        let moved = minmax
            .with_version(100_300)
            .and_then(|t| t.with_algorithm(TableAlgorithm::EntropyCalibration2))
            .unwrap();
        assert_eq!(moved.write(), b"TRT-100300-EntropyCalibration2\na: 3c010204\n");
    }

    #[test]
    fn a_legacy_table_is_written_as_read_until_a_version_is_asked_for() {
        let text = "0 3ff0000000000000 3fefffeb074a771d\na: 3c010204\n";
        assert_eq!(table(text).write(), text.as_bytes());
        assert!(matches!(
            table(text).with_algorithm(TableAlgorithm::EntropyCalibration2),
            Err(TableError::LegacyVersion)
        ));
        let modern = table(text).with_version(8601).unwrap();
        assert_eq!(modern.write(), b"TRT-8601-EntropyCalibration2\na: 3c010204\n");
    }

    #[test]
    fn a_name_that_would_break_the_table_is_refused() {
        assert!(matches!(Entry::new("a\nb: 0", 1.0), Err(TableError::NameUnwritable { .. })));
        assert!(matches!(Entry::new("x".repeat(MAX_NAME + 1), 1.0), Err(TableError::NameTooLong { .. })));
        assert!(Entry::new("x".repeat(MAX_NAME), 1.0).is_ok());
    }

    #[test]
    fn names_are_shown_printable() {
        assert_eq!(TensorName::new(b"a\xff\tb\x1b[0m").unwrap().to_string(), "a\u{fffd}\\tb\\u{1b}[0m");
    }
}
