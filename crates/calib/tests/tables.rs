//! Tables as TensorRT writes them, and bytes that are none.

use std::{fs, path::PathBuf};

use proptest::prelude::*;
use trt_calib::table::{Severity, TableVersion, diff, lint};
use trt_calib::{CalibrationTable, Kind, sniff};

/// The collection of real tables, with the columns of its manifest; empty where it is not at hand.
fn real_tables() -> Vec<(Vec<String>, Vec<u8>)> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/calibration-tables"));
    let Ok(manifest) = fs::read_to_string(folder.join("MANIFEST.tsv")) else {
        eprintln!("skipped: the collection of real tables is not beside this checkout");
        return Vec::new();
    };
    let table = |line: &str| {
        let columns: Vec<String> = line.split('\t').map(str::to_owned).collect();
        let bytes = fs::read(folder.join(&columns[0])).unwrap();
        (columns, bytes)
    };
    manifest.lines().skip(1).map(table).collect()
}

/// A table with what is unusual in real ones: a colon, spaces, zero, infinity, absurd scales.
const SMALL: &[u8] = b"TRT-8601-EntropyCalibration2\n\
    input_1:0: 3c010a14\n\
    (Unnamed Layer* 1) [Constant]_output: 3b6e563c\n\
    onnx::MatMul_398_output: 0\n\
    mask: 7f800000\n\
    /model.0/act/Mul_output_0: 3c00f9f4\n";

fn without_cr(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().copied().filter(|&b| b != b'\r').collect()
}

#[test]
fn real_tables_are_written_as_they_were_read() {
    for (columns, bytes) in real_tables() {
        let name = &columns[0];
        let table = CalibrationTable::parse(&bytes).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(table.write(), without_cr(&bytes), "{name}");
        assert_eq!(table.header().to_string(), columns[4], "{name}");
        assert_eq!(table.entries().len().to_string(), columns[5], "{name}");
        assert_eq!(sniff(&bytes), Kind::TensorRtTable, "{name}");
        for entry in table.entries() {
            assert_eq!(table.get(entry.name.as_bytes()).map(f32::to_bits), Some(entry.scale_bits), "{name}");
        }
    }
}

#[test]
fn real_tables_have_the_zeros_and_infinities_of_their_manifest_and_no_other_faults() {
    use trt_calib::table::LintKind::{Huge, Infinite, Tiny, Zero};
    for (columns, bytes) in real_tables() {
        let name = &columns[0];
        let findings = lint(&CalibrationTable::parse(&bytes).unwrap());
        let count = |kind| findings.iter().filter(|l| l.kind == kind).count().to_string();
        assert_eq!(count(Zero), columns[7], "{name}");
        assert_eq!(count(Infinite), columns[8], "{name}");
        assert!(findings.iter().all(|l| matches!(l.kind, Zero | Infinite | Huge | Tiny)), "{name}");
        assert!(findings.iter().all(|l| l.severity == Severity::Warning), "{name}");
    }
}

#[test]
fn real_tables_move_to_another_library_with_their_scales() {
    for (columns, bytes) in real_tables() {
        let table = CalibrationTable::parse(&bytes).unwrap();
        let moved = table.clone().with_version(101_602).unwrap();
        assert_eq!(moved.header().version().map(TableVersion::release), Some((10, 16, 2)), "{}", columns[0]);
        assert!(diff(&table, &moved).same_scales(), "{}", columns[0]);
        assert_eq!(CalibrationTable::parse(&moved.write()), Ok(moved), "{}", columns[0]);
    }
}

#[test]
fn foreign_files_are_named() {
    let cases: [(&[u8], &str); 5] = [
        (b"conv1/out 10.5\ninput 1.25\n", "ONNX Runtime"),
        (include_bytes!("data/ort-calibration.flatbuffers"), "flatbuffer"),
        (b"ptrt\0\0\0\0\xef\0\0\0\0\0\0\0", "timing cache"),
        (b"ftrt\0\0\0\0", "engine plan"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
    ];
    for (bytes, named) in cases {
        let error = CalibrationTable::parse(bytes).unwrap_err().to_string();
        assert!(error.contains(named), "{error}");
    }
}

/// What the small table becomes by a few changes: replaced, inserted, removed and repeated bytes.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let at = any::<prop::sample::Index>();
    let byte = prop_oneof![any::<u8>(), prop::sample::select(b":\n\r -0fFxX.".to_vec())];
    prop::collection::vec((0..4, at, byte), 1..8).prop_map(|changes| {
        let mut bytes = SMALL.to_vec();
        for (what, at, byte) in changes {
            let at = at.index(bytes.len());
            match what {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                2 if bytes.len() > 1 => drop(bytes.remove(at)),
                _ => bytes.extend_from_within(at..),
            }
        }
        bytes
    })
}

fn parse_and_write_agree(bytes: &[u8]) -> Result<(), TestCaseError> {
    sniff(bytes);
    match CalibrationTable::parse(bytes) {
        Ok(table) => {
            lint(&table);
            let written = table.write();
            let again = CalibrationTable::parse(&written);
            prop_assert_eq!(again.as_ref(), Ok(&table));
            prop_assert_eq!(again.map(|t| t.write()), Ok(written));
        }
        Err(error) => prop_assert!(error.hint().is_some() && error.to_string().len() < 1000),
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        parse_and_write_agree(&bytes)?;
    }

    #[test]
    fn any_lines_are_read_or_refused(lines in prop::collection::vec(any::<u8>(), 0..300)) {
        parse_and_write_agree(&[b"TRT-8601-EntropyCalibration2\n", &lines[..]].concat())?;
    }

    #[test]
    fn a_mutated_table_is_read_or_refused(bytes in mutated()) {
        parse_and_write_agree(&bytes)?;
    }
}

/// Cut and flipped real tables, at places spread over each file.
#[test]
fn damaged_real_tables_are_read_or_refused() {
    for (_, bytes) in real_tables() {
        for part in 0..40 {
            let at = bytes.len() * part / 40;
            parse_and_write_agree(&bytes[..at]).unwrap();
            parse_and_write_agree(&bytes[at..]).unwrap();
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (part % 8);
            parse_and_write_agree(&flipped).unwrap();
        }
    }
}
