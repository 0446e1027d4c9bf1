//! The calibration table as the running library accepts it.

use std::collections::HashSet;

use trt_calib::CalibrationTable;
use trt_calib::table::{Entry, Header, TableAlgorithm, TableError, TableVersion};
use trt_wire::{CalibratorClass, Decision};

use crate::worker::words::{count, few_quoted};

/// The header of the legacy calibrator with the cutoff (1.0) and the quantile (0.99999) of the tables met.
const LEGACY: &[u8] = b"0 3ff0000000000000 3fefffeb074a771d\n";

/// What the calibrator returns, and what became of the table on the way.
#[derive(Debug)]
pub struct Prepared {
    /// The scales under the header of the running library.
    pub table: CalibrationTable,
    /// Scales that were left out.
    pub decisions: Vec<Decision>,
}

/// Writes the header for this very library and calibrator, and leaves out what must not be INT8.
///
/// TensorRT takes scales as they are, whatever algorithm made them, but rejects a header of another major version or of
/// another calibrator. `version` is what the library says of itself (8601, 100300). Left out are the tensors in `keep`
/// and the scales that are no positive normal number, as attention masks have.
///
/// # Errors
/// [`TableError::HeaderVersion`] for a number that is no TensorRT version.
pub fn prepare(
    table: &CalibrationTable,
    class: CalibratorClass,
    version: u32,
    keep: &[String],
) -> Result<Prepared, TableError> {
    let header = header(table, class, version)?;
    let keep: HashSet<&[u8]> = keep.iter().map(|name| name.as_bytes()).collect();
    let mut absurd = Vec::new();
    let usable = |entry: &&Entry| {
        let is_kept = keep.contains(entry.name.as_bytes());
        let is_positive = entry.scale().is_normal() && entry.scale() > 0.0;
        if !is_kept && !is_positive {
            absurd.push(entry.name.to_string());
        }
        !is_kept && is_positive
    };
    let entries = table.entries().iter().filter(usable).cloned().collect();
    let table = CalibrationTable::new(header, entries)?;
    let mut decisions = Vec::new();
    if !absurd.is_empty() {
        decisions.push(Decision {
            what: format!("{} left out of INT8 ({})", count(absurd.len(), "tensor"), few_quoted(&absurd)),
            because: "their scales in the calibration table are not positive numbers".into(),
        });
    }
    Ok(Prepared { table, decisions })
}

fn header(table: &CalibrationTable, class: CalibratorClass, version: u32) -> Result<Header, TableError> {
    let algorithm = match class {
        CalibratorClass::EntropyCalibration2 => TableAlgorithm::EntropyCalibration2,
        CalibratorClass::MinMaxCalibration => TableAlgorithm::MinMaxCalibration,
        CalibratorClass::EntropyCalibration => TableAlgorithm::EntropyCalibration,
        // It has no version; a legacy table's own one stays as it is.
        CalibratorClass::LegacyCalibration => {
            return match table.header() {
                header @ Header::Legacy(_) => Ok(header.clone()),
                Header::Modern { .. } => Ok(CalibrationTable::parse(LEGACY)?.header().clone()),
            };
        }
    };
    let version = TableVersion::from_raw(version)
        .ok_or_else(|| TableError::HeaderVersion { found: version.to_string() })?;
    Ok(Header::new(version, algorithm))
}

#[cfg(test)]
mod tests {
    use CalibratorClass::*;

    use super::*;

    fn table(text: &str) -> CalibrationTable {
        CalibrationTable::parse(text.as_bytes()).unwrap()
    }

    fn written(text: &str, class: CalibratorClass, version: u32) -> String {
        String::from_utf8(prepare(&table(text), class, version, &[]).unwrap().table.write()).unwrap()
    }

    #[test]
    fn the_header_is_that_of_the_running_library_and_of_the_calibrator() {
        let legacy = "0 3ff0000000000000 3fefffeb074a771d";
        let cases = [
            ("TRT-8601-EntropyCalibration2", EntropyCalibration2, 8601, "TRT-8601-EntropyCalibration2"),
            ("TRT-8601-EntropyCalibration2", EntropyCalibration2, 100_300, "TRT-100300-EntropyCalibration2"),
            ("TRT-100300-EntropyCalibration2", EntropyCalibration2, 8201, "TRT-8201-EntropyCalibration2"),
            ("TRT-8400-MinMaxCalibration", MinMaxCalibration, 8201, "TRT-8201-MinMaxCalibration"),
            ("TRT-8400-MinMaxCalibration", EntropyCalibration2, 101_602, "TRT-101602-EntropyCalibration2"),
            ("TRT-7203-EntropyCalibration", EntropyCalibration, 8001, "TRT-8001-EntropyCalibration"),
            (legacy, EntropyCalibration2, 8502, "TRT-8502-EntropyCalibration2"),
            (legacy, LegacyCalibration, 8502, legacy),
            (
                "0 3ff0000000000000 3fe0000000000000",
                LegacyCalibration,
                100_300,
                "0 3ff0000000000000 3fe0000000000000",
            ),
            ("TRT-8601-EntropyCalibration2", LegacyCalibration, 8601, legacy),
        ];
        for (header, class, version, expected) in cases {
            let text = written(&format!("{header}\na:0: 3c010204\nb: 1a2b3c4\n"), class, version);
            assert_eq!(text, format!("{expected}\na:0: 3c010204\nb: 1a2b3c4\n"), "{header} as {class:?}");
        }
        let wrong = prepare(&table("TRT-8601-EntropyCalibration2\n"), EntropyCalibration2, 10_701, &[]);
        assert!(matches!(wrong, Err(TableError::HeaderVersion { .. })));
    }

    #[test]
    fn kept_tensors_and_absurd_scales_are_left_out_and_only_the_latter_need_a_word() {
        let text = "TRT-8601-EntropyCalibration2\n\
                    good: 3c010204\nmask: 7f800000\nzero: 0\nnan: 7fc00000\nneg: bc010204\ntiny: 1\nkept: 3c010204\n\
                    kept too: 7f800000\n";
        let keep = ["kept".to_owned(), "kept too".to_owned(), "not in the table".to_owned()];
        let prepared = prepare(&table(text), EntropyCalibration2, 8601, &keep).unwrap();
        assert_eq!(prepared.table.write(), b"TRT-8601-EntropyCalibration2\ngood: 3c010204\n");
        let texts: Vec<String> = prepared.decisions.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "5 tensors left out of INT8 (`mask`, `zero`, `nan`, `neg`, `tiny`), because their scales in the \
              calibration table are not positive numbers"
            ]
        );
    }

    #[test]
    fn tables_that_tensorrt_wrote_keep_their_scales() {
        let Some(dir) = test_support::shared("calibration-tables") else { return };
        let files = std::fs::read_dir(&dir).unwrap().flatten().map(|file| file.path());
        let tables: Vec<_> = files.filter(|path| path.extension().is_some_and(|e| e == "cache")).collect();
        assert!(!tables.is_empty(), "{} holds tables", dir.display());
        for path in tables {
            let original = CalibrationTable::parse(&std::fs::read(&path).unwrap()).unwrap();
            let prepared = prepare(&original, EntropyCalibration2, 100_300, &[]).unwrap().table;
            assert!(prepared.write().starts_with(b"TRT-100300-EntropyCalibration2\n"), "{}", path.display());
            for entry in prepared.entries() {
                let before = original.get(entry.name.as_bytes()).map(f32::to_bits);
                assert_eq!(before, Some(entry.scale_bits), "{}: {}", path.display(), entry.name);
            }
            let usable = original
                .entries()
                .iter()
                .filter(|entry| entry.scale() >= f32::MIN_POSITIVE && entry.scale() < f32::MAX);
            assert_eq!(prepared.entries().len(), usable.count(), "{}", path.display());
        }
    }
}
