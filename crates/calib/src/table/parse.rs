//! Reading a table from untrusted bytes.

use super::header::{Header, excerpt};
use super::{CalibrationTable, Entry, MAX_BYTES, TableError, TensorName};
use crate::sniff::{Kind, sniff};

pub(super) fn parse(bytes: &[u8]) -> Result<CalibrationTable, TableError> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(TableError::Empty);
    }
    // A foreign file is named even when it is larger than any table.
    match sniff(bytes) {
        Kind::TensorRtTable | Kind::Unknown => {}
        kind => return Err(TableError::Foreign { kind }),
    }
    if bytes.len() > MAX_BYTES {
        return Err(TableError::TooLarge { bytes: bytes.len() });
    }
    let mut lines = bytes.split(|&b| b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let header = Header::parse(lines.next().unwrap_or_default())?;
    let mut entries = Vec::new();
    for (line, text) in (2..).zip(lines) {
        if !text.iter().all(u8::is_ascii_whitespace) {
            entries.push(entry(line, text)?);
        }
    }
    CalibrationTable::new(header, entries)
}

/// Reads `<tensor>: <hex>`. Names contain colons in practice, so the last one counts, as in trtexec.
fn entry(line: usize, text: &[u8]) -> Result<Entry, TableError> {
    let colon = text
        .iter()
        .rposition(|&b| b == b':')
        .ok_or_else(|| TableError::NoColon { line, found: excerpt(text) })?;
    let name = TensorName::new(&text[..colon])?;
    let hex = text[colon + 1..].trim_ascii();
    let scale_bits = scale_bits(hex).ok_or_else(|| bad_scale(line, &name, hex))?;
    Ok(Entry { name, scale_bits })
}

/// 1 to 8 hex digits and nothing else (`from_str_radix` alone would take a sign).
fn scale_bits(hex: &[u8]) -> Option<u32> {
    let digits = (1..=8).contains(&hex.len()) && hex.iter().all(u8::is_ascii_hexdigit);
    let text = std::str::from_utf8(hex).ok().filter(|_| digits)?;
    u32::from_str_radix(text, 16).ok()
}

/// Tells apart the mistakes that other writers of tables make.
fn bad_scale(line: usize, name: &TensorName, hex: &[u8]) -> TableError {
    let (name, found) = (name.to_string(), excerpt(hex));
    let number = std::str::from_utf8(hex).is_ok_and(|text| text.parse::<f64>().is_ok());
    if hex.is_empty() {
        TableError::EmptyScale { line, name }
    } else if hex.iter().all(u8::is_ascii_hexdigit) {
        TableError::WideScale { line, name, found }
    } else if number {
        TableError::DecimalScale { line, name, found }
    } else {
        TableError::NotHex { line, name, found }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "TRT-8601-EntropyCalibration2\n";

    fn entries(lines: &str) -> Result<Vec<(String, u32)>, TableError> {
        let table = CalibrationTable::parse(format!("{HEADER}{lines}").as_bytes())?;
        Ok(table.entries().iter().map(|e| (e.name.to_string(), e.scale_bits)).collect())
    }

    #[test]
    fn lines_are_split_on_the_last_colon() {
        for (line, name, bits) in [
            ("input_1:0: 3c010204", "input_1:0", 0x3c01_0204),
            ("onnx::MatMul_398: 0", "onnx::MatMul_398", 0),
            (
                "(Unnamed Layer* 12) [Shuffle]_output: 7f800000",
                "(Unnamed Layer* 12) [Shuffle]_output",
                0x7f80_0000,
            ),
            ("a:3c", "a", 0x3c),
            ("a: 0003C\r", "a", 0x3c),
            (": 1", "", 1),
        ] {
            assert_eq!(entries(line).unwrap(), [(name.to_owned(), bits)], "{line}");
        }
    }

    #[test]
    fn names_need_not_be_text() {
        let mut bytes = HEADER.as_bytes().to_vec();
        bytes.extend_from_slice(b"a\xff\x00\r: 3f800000\n");
        let table = CalibrationTable::parse(&bytes).unwrap();
        assert_eq!(table.get(b"a\xff\x00\r"), Some(1.0));
        assert_eq!(table.write(), bytes);
    }

    #[test]
    fn a_bad_line_is_named_with_the_mistake_of_its_writer() {
        let name = || "a".to_owned();
        let found = |text: &str| text.to_owned();
        for (lines, error) in [
            ("b: 1\na 3c010204\n", TableError::NoColon { line: 3, found: found("a 3c010204") }),
            ("a: \n", TableError::EmptyScale { line: 2, name: name() }),
            ("\n\na:", TableError::EmptyScale { line: 4, name: name() }),
            ("a: 0.0079", TableError::DecimalScale { line: 2, name: name(), found: found("0.0079") }),
            ("a: 1e-05", TableError::DecimalScale { line: 2, name: name(), found: found("1e-05") }),
            ("a: -1", TableError::DecimalScale { line: 2, name: name(), found: found("-1") }),
            ("a: +1", TableError::DecimalScale { line: 2, name: name(), found: found("+1") }),
            ("a: nan", TableError::DecimalScale { line: 2, name: name(), found: found("nan") }),
            (
                "a: 3f80000000000000",
                TableError::WideScale { line: 2, name: name(), found: found("3f80000000000000") },
            ),
            ("a: 0x3c010204", TableError::NotHex { line: 2, name: name(), found: found("0x3c010204") }),
            ("a: 3c 01", TableError::NotHex { line: 2, name: name(), found: found("3c 01") }),
        ] {
            assert_eq!(entries(lines), Err(error), "{lines}");
        }
    }

    #[test]
    fn hostile_sizes_are_refused() {
        let many = ":0\n".repeat(super::super::MAX_ENTRIES + 1);
        assert!(matches!(entries(&many), Err(TableError::TooManyEntries { .. })));
        assert!(matches!(entries(&"x".repeat(MAX_BYTES)), Err(TableError::TooLarge { .. })));
        assert!(matches!(entries(&format!("{}: 0", "x".repeat(5000))), Err(TableError::NameTooLong { .. })));
    }

    #[test]
    fn nothing_and_white_space_are_an_empty_table() {
        for bytes in [&b""[..], b"\n", b" \r\n\r\n"] {
            assert_eq!(CalibrationTable::parse(bytes), Err(TableError::Empty));
        }
        assert!(entries("").unwrap().is_empty());
    }
}
