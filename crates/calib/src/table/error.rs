//! What can be wrong with a table.

use super::{MAX_BYTES, MAX_ENTRIES, MAX_NAME, TableAlgorithm};
use crate::sniff::Kind;

/// Why bytes are not a calibration table, or a table cannot be written as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// The file is of another kind.
    #[error("not a TensorRT calibration table but {kind}")]
    Foreign {
        /// What the content looks like.
        kind: Kind,
    },
    /// The file has no content.
    #[error("the calibration table is empty")]
    Empty,
    /// The file exceeds [`MAX_BYTES`].
    #[error("the calibration table has more than {MAX_BYTES} bytes: {bytes}")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// There are more entries than [`MAX_ENTRIES`].
    #[error("the calibration table has more than {MAX_ENTRIES} entries: {entries}")]
    TooManyEntries {
        /// How many.
        entries: usize,
    },
    /// The first line is no header.
    #[error("line 1 is not a header `TRT-<version>-<algorithm>`: `{found}`")]
    Header {
        /// The line.
        found: String,
    },
    /// The header's version is no TensorRT version.
    #[error("not the version number of a TensorRT calibration table: `{found}`")]
    HeaderVersion {
        /// The number or what stands in its place.
        found: String,
    },
    /// The header's algorithm is unknown.
    #[error("line 1 names an unknown calibration algorithm: `{found}`")]
    HeaderAlgorithm {
        /// The word.
        found: String,
    },
    /// A legacy table has no version that could be kept.
    #[error("a legacy calibration table has no TensorRT version to write into a header")]
    LegacyVersion,
    /// A line has no colon.
    #[error("line {line} is not `<tensor>: <hex>`: `{found}`")]
    NoColon {
        /// The line's number, from 1.
        line: usize,
        /// The line.
        found: String,
    },
    /// Nothing follows the last colon.
    #[error("line {line} has no scale for tensor: `{name}`")]
    EmptyScale {
        /// The line's number, from 1.
        line: usize,
        /// The tensor.
        name: String,
    },
    /// The scale is a decimal number.
    #[error("line {line}: the scale of tensor `{name}` is not hex but a decimal number: `{found}`")]
    DecimalScale {
        /// The line's number, from 1.
        line: usize,
        /// The tensor.
        name: String,
        /// What stands in place of the hex.
        found: String,
    },
    /// The scale has more than eight digits.
    #[error("line {line}: the scale of tensor `{name}` has more than 8 hex digits: `{found}`")]
    WideScale {
        /// The line's number, from 1.
        line: usize,
        /// The tensor.
        name: String,
        /// What stands in place of the hex.
        found: String,
    },
    /// The scale is not hex at all.
    #[error("line {line}: the scale of tensor `{name}` is not hex: `{found}`")]
    NotHex {
        /// The line's number, from 1.
        line: usize,
        /// The tensor.
        name: String,
        /// What stands in place of the hex.
        found: String,
    },
    /// A name exceeds [`MAX_NAME`].
    #[error("the tensor name starting with `{name}` has more than {MAX_NAME} bytes: {bytes}")]
    NameTooLong {
        /// How it starts.
        name: String,
        /// Its length.
        bytes: usize,
    },
    /// A name contains a line feed, which ends a line of the table.
    #[error("a tensor name contains a line feed: `{name}`")]
    NameUnwritable {
        /// The name.
        name: String,
    },
}

impl TableError {
    /// What mends it, in one sentence.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Foreign { kind } => return Some(kind.advice().to_owned()),
            Self::Empty => "calibrate again; a calibrator that was stopped leaves an empty file".to_owned(),
            Self::TooLarge { .. } | Self::TooManyEntries { .. } => {
                "check that `table` names a calibration table: the largest one known has 3656 entries"
                    .to_owned()
            }
            Self::Header { .. } => "start the file with a line such as `TRT-8601-EntropyCalibration2`; \
                 some tools write only the entries, or change the header's case"
                .to_owned(),
            Self::HeaderVersion { found } if found.contains(['X', 'x']) => {
                "the tool that wrote this table left a placeholder instead of a version: \
                 write 8601 for TensorRT 8.6.1, 100300 for 10.3.0"
                    .to_owned()
            }
            Self::HeaderVersion { .. } => {
                "write 8601 for TensorRT 8.6.1, 100300 for 10.3.0, without leading zeros".to_owned()
            }
            Self::HeaderAlgorithm { .. } => {
                format!(
                    "write one of these into line 1: {}",
                    TableAlgorithm::ALL.map(|a| a.word()).join(", ")
                )
            }
            Self::LegacyVersion => "give the TensorRT version to write the table for".to_owned(),
            Self::NoColon { .. } => {
                "each line after the first is a tensor name, a colon, and its scale in hex; \
                 the line may have been cut or wrapped"
                    .to_owned()
            }
            Self::EmptyScale { .. } => {
                "the tool that wrote this table strips zeros off its hex, which leaves \
                 nothing of a scale of 0: write `0`, or remove the line"
                    .to_owned()
            }
            Self::DecimalScale { .. } => {
                "the tool that wrote this table writes decimals: TensorRT expects the \
                 bits of the binary32 scale in hex, 3c010204 for 1/127"
                    .to_owned()
            }
            Self::WideScale { found, .. } if found.len() == 16 => {
                "the tool that wrote this table writes binary64: convert the scales to binary32, 8 digits"
                    .to_owned()
            }
            Self::WideScale { .. } | Self::NotHex { .. } => {
                "write the bits of the binary32 scale as 1 to 8 hex digits, without `0x`".to_owned()
            }
            Self::NameTooLong { .. } | Self::NameUnwritable { .. } => {
                "rename the tensor in the ONNX file".to_owned()
            }
        };
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_is_worded_as_the_style_asks_and_has_a_hint() {
        let text = || "x".to_owned();
        let errors = [
            TableError::Foreign { kind: Kind::Onnx },
            TableError::Empty,
            TableError::TooLarge { bytes: 1 },
            TableError::TooManyEntries { entries: 1 },
            TableError::Header { found: text() },
            TableError::HeaderVersion { found: text() },
            TableError::HeaderVersion { found: "1".to_owned() },
            TableError::HeaderAlgorithm { found: text() },
            TableError::LegacyVersion,
            TableError::NoColon { line: 2, found: text() },
            TableError::EmptyScale { line: 2, name: text() },
            TableError::DecimalScale { line: 2, name: text(), found: text() },
            TableError::WideScale { line: 2, name: text(), found: text() },
            TableError::WideScale { line: 2, name: text(), found: "3f80000000000000".to_owned() },
            TableError::NotHex { line: 2, name: text(), found: text() },
            TableError::NameTooLong { name: text(), bytes: 1 },
            TableError::NameUnwritable { name: text() },
        ];
        for error in errors {
            let (message, hint) = (error.to_string(), error.hint().unwrap_or_default());
            assert!(message.starts_with(char::is_lowercase), "{message}");
            assert!(!message.ends_with('.') && !message.contains("  "), "{message}");
            assert!(!hint.is_empty() && !hint.contains("  "), "{hint}");
        }
    }
}
