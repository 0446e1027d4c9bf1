//! What TensorRT 8.x and 10.x do with a calibration table, SIMULATED: the rules for its header, and what the log says.
//!
//! The words are those of real logs, since it is by them that a worker knows whether its table was used.

use trt_calib::CalibrationTable;
use trt_calib::table::TableAlgorithm;
use trt_onnx::Model;
use trt_wire::{CalibratorClass, Failure, FailureCode};

use crate::device::Device;
use crate::say::failure;

const READING: &str = "Reading Calibration Cache for calibrator: ";
const GENERATED: &str = "Generated calibration scales using calibration cache. Make sure that calibration cache has latest scales.";
const MISMATCH: &str = "Calibration table does not match calibrator algorithm type.";
const CALIBRATED: &str = "Calibration completed in 0.1 seconds.";

/// The table as the calibrator hands it over: with the version of the library that reads it.
pub fn with_own_version(table: CalibrationTable, device: &Device) -> CalibrationTable {
    let [major, minor, patch] = device.version();
    let number =
        if major < 10 { major * 1000 + minor * 100 + patch } else { major * 10_000 + minor * 100 + patch };
    // A version that was never released has no number; such a table is rejected below, as it would be in reality.
    table.clone().with_version(number).unwrap_or(table)
}

/// Hands the table over and logs what TensorRT would. `ignored` is for a TensorRT that does not look at it.
pub fn hand_over(
    table: &CalibrationTable,
    class: CalibratorClass,
    device: &Device,
    ignored: bool,
    log: &mut Vec<String>,
) {
    if ignored {
        log.push("Calibrated batch 0 in 0.1 seconds.".into());
        log.push(CALIBRATED.into());
        return;
    }
    log.push(format!("{READING}{}", word(class)));
    if is_accepted(table, class, device) {
        log.push(GENERATED.into());
    } else {
        log.push(MISMATCH.into());
        log.push(CALIBRATED.into());
    }
}

/// The same major version, and the calibrator's own word.
fn is_accepted(table: &CalibrationTable, class: CalibratorClass, device: &Device) -> bool {
    let header = table.header();
    let same_major = header.version().is_some_and(|version| version.release().0 == device.version()[0]);
    let same_word = match header.algorithm() {
        Some(algorithm) => algorithm.word() == word(class),
        None => class == CalibratorClass::LegacyCalibration,
    };
    same_word && (same_major || class == CalibratorClass::LegacyCalibration)
}

/// The algorithm that a class stands for, in a header.
pub fn algorithm(class: CalibratorClass) -> Option<TableAlgorithm> {
    match class {
        CalibratorClass::EntropyCalibration2 => Some(TableAlgorithm::EntropyCalibration2),
        CalibratorClass::MinMaxCalibration => Some(TableAlgorithm::MinMaxCalibration),
        CalibratorClass::EntropyCalibration => Some(TableAlgorithm::EntropyCalibration),
        CalibratorClass::LegacyCalibration => None,
    }
}

fn word(class: CalibratorClass) -> &'static str {
    algorithm(class).map_or("LegacyCalibration", TableAlgorithm::word)
}

/// Says which of the model's tensors the table has no scale for; returns their names.
pub fn missing(model: &Model, table: &CalibrationTable, log: &mut Vec<String>) -> Vec<String> {
    let names = model.activations().into_iter().map(|activation| activation.name);
    let missing: Vec<String> = names.filter(|name| table.get(name.as_bytes()).is_none()).collect();
    log.extend(missing.iter().map(|name| {
        format!("Missing scale and zero-point for tensor {name}, expect fall back to non-int8 implementation for any layer consuming or producing given tensor")
    }));
    missing
}

/// A build whose log does not prove that the table was used is thrown away.
pub fn prove(log: &[String]) -> Result<(), Failure> {
    let says = |words: &str| log.iter().any(|line| line.starts_with(words));
    if says(READING) && says(GENERATED) && !says(MISMATCH) && !says(CALIBRATED) {
        return Ok(());
    }
    let why = if says(MISMATCH) { MISMATCH } else { "it calibrated by itself" };
    Err(failure(
        FailureCode::BuildFailed,
        format_args!("TensorRT did not use the calibration table: {why}"),
        "the engine was thrown away, since its ranges are not those of the table; use `precision: fp16` meanwhile",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Module;

    fn log(header: &str, class: CalibratorClass, ignored: bool) -> Vec<String> {
        let table = CalibrationTable::parse(format!("{header}\nx: 3c010a14\n").as_bytes()).unwrap();
        let mut log = Vec::new();
        hand_over(&table, class, &Device::of("8.2.1", Module::Nano), ignored, &mut log);
        log
    }

    #[test]
    fn a_header_of_another_major_or_another_word_is_rejected() {
        use CalibratorClass::*;
        for (header, class, accepted) in [
            ("TRT-8201-EntropyCalibration2", EntropyCalibration2, true),
            ("TRT-8601-EntropyCalibration2", EntropyCalibration2, true),
            ("TRT-100300-EntropyCalibration2", EntropyCalibration2, false),
            ("TRT-8201-MinMaxCalibration", EntropyCalibration2, false),
            ("TRT-8201-MinMaxCalibration", MinMaxCalibration, true),
            ("0 3ff0000000000000 3fefffeb074a771d", LegacyCalibration, true),
            ("0 3ff0000000000000 3fefffeb074a771d", EntropyCalibration2, false),
        ] {
            assert_eq!(prove(&log(header, class, false)).is_ok(), accepted, "{header} {class:?}");
            let failure = prove(&log(header, class, true)).unwrap_err();
            assert!(failure.message.contains("calibrated by itself"), "{failure}");
        }
    }

    #[test]
    fn the_worker_writes_the_version_that_will_read_the_table() {
        let table = CalibrationTable::parse(b"TRT-100300-EntropyCalibration2\nx: 3c010a14\n").unwrap();
        let own = with_own_version(table, &Device::of("8.2.1", Module::Nano));
        assert_eq!(own.header().to_string(), "TRT-8201-EntropyCalibration2");
    }
}
