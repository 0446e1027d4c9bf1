//! Tables as TensorRT writes them, and bytes that are none.

use std::fs;

use proptest::prelude::*;
use trt_calib::table::{Severity, TableVersion, diff, lint};
use trt_calib::{CalibrationTable, Kind, sniff};

/// A table and what is known of it.
struct Sample {
    name: String,
    bytes: Vec<u8>,
    header: String,
    entries: usize,
    zeros: usize,
    infinities: usize,
}

/// Tables in each way of writing that was met: as TensorRT 8 does, by the legacy calibrator, with Windows line ends, and
/// with names and scales that are unusual. Header, entries, zeros, infinities.
const MADE: [(&str, &str, [usize; 3], &[u8]); 4] = [
    (
        "unpadded hex",
        "TRT-8510-EntropyCalibration2",
        [4, 0, 0],
        b"TRT-8510-EntropyCalibration2\nimages: 3c010a14\nconv1/out: 3d8c\nlow: 9184e7\nlast: 7ac3\n",
    ),
    (
        "legacy header",
        "0 3ff0000000000000 3fefffeb074a771d",
        [2, 0, 0],
        b"0 3ff0000000000000 3fefffeb074a771d\nvolume: 3ca1b2c3\n(Unnamed Layer* 3) [Convolution]_output: 3e0f1e2d\n",
    ),
    (
        "Windows line ends",
        "TRT-7203-MinMaxCalibration",
        [3, 1, 0],
        b"TRT-7203-MinMaxCalibration\r\ndata: 3c810204\r\nmask: 0\r\nprob: 3b00f1e2\r\n",
    ),
    (
        "colons, zeros and infinities",
        "TRT-101300-EntropyCalibration2",
        [5, 2, 1],
        b"TRT-101300-EntropyCalibration2\nonnx::MatMul_12_output: 3b1df5a4\ninput_1:0: 3c010204\na: b: 0\n\
          m\xc3\xa4\xff: 0\nscores: 7f800000\n",
    ),
];

/// Our own tables, and the collection of real ones with the columns of its manifest, where it is at hand.
fn samples() -> Vec<Sample> {
    let made =
        |&(name, header, [entries, zeros, infinities], bytes): &(&str, &str, [usize; 3], &[u8])| Sample {
            name: name.to_owned(),
            bytes: bytes.to_vec(),
            header: header.to_owned(),
            entries,
            zeros,
            infinities,
        };
    let mut samples: Vec<Sample> = MADE.iter().map(made).collect();
    let Some(folder) = test_support::shared("calibration-tables") else { return samples };
    let manifest = fs::read_to_string(folder.join("MANIFEST.tsv")).unwrap();
    samples.extend(manifest.lines().skip(1).map(|line| {
        let columns: Vec<&str> = line.split('\t').collect();
        let number = |column: usize| columns[column].parse().unwrap();
        Sample {
            name: columns[0].to_owned(),
            bytes: fs::read(folder.join(columns[0])).unwrap(),
            header: columns[4].to_owned(),
            entries: number(5),
            zeros: number(7),
            infinities: number(8),
        }
    }));
    samples
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
fn tables_are_written_as_they_were_read() {
    for Sample { name, bytes, header, entries, .. } in samples() {
        let table = CalibrationTable::parse(&bytes).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(table.write(), without_cr(&bytes), "{name}");
        assert_eq!(table.header().to_string(), header, "{name}");
        assert_eq!(table.entries().len(), entries, "{name}");
        assert_eq!(sniff(&bytes), Kind::TensorRtTable, "{name}");
        for entry in table.entries() {
            assert_eq!(table.get(entry.name.as_bytes()).map(f32::to_bits), Some(entry.scale_bits), "{name}");
        }
    }
}

#[test]
fn tables_have_the_zeros_and_infinities_that_are_known_of_them_and_no_other_faults() {
    use trt_calib::table::LintKind::{Huge, Infinite, Tiny, Zero};
    for Sample { name, bytes, zeros, infinities, .. } in samples() {
        let findings = lint(&CalibrationTable::parse(&bytes).unwrap());
        let count = |kind| findings.iter().filter(|l| l.kind == kind).count();
        assert_eq!((count(Zero), count(Infinite)), (zeros, infinities), "{name}");
        assert!(findings.iter().all(|l| matches!(l.kind, Zero | Infinite | Huge | Tiny)), "{name}");
        assert!(findings.iter().all(|l| l.severity == Severity::Warning), "{name}");
    }
}

#[test]
fn tables_move_to_another_library_with_their_scales() {
    for Sample { name, bytes, .. } in samples() {
        let table = CalibrationTable::parse(&bytes).unwrap();
        let moved = table.clone().with_version(101_602).unwrap();
        assert_eq!(moved.header().version().map(TableVersion::release), Some((10, 16, 2)), "{name}");
        assert!(diff(&table, &moved).same_scales(), "{name}");
        assert_eq!(CalibrationTable::parse(&moved.write()), Ok(moved), "{name}");
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

/// Cut and flipped, at places spread over each file.
#[test]
fn damaged_tables_are_read_or_refused() {
    for Sample { bytes, .. } in samples() {
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
