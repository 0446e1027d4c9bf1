//! NVIDIA's own compiled Python bindings on the recorder: this is what makes the slot table NVIDIA's and not ours.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use nvinfer::{BuilderFlag, HardwareCompatibility, LayerKind, MemoryPool, PreviewFeature, TacticSource};

use recorder::golden::Version;
use test_support::skip;

use crate::stage::{Stage, text};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/abi/nvidia/main.py");

/// The wheels that PyPI has, by the number of the library that they were compiled for.
pub const WHEELS: [(i32, &str); 10] = [
    (8601, "8.6.1"),
    (100001, "10.0.1"),
    (100300, "10.3.0"),
    (100800, "10.8.0.43"),
    (101303, "10.13.3.9"),
    (101601, "10.16.1.11"),
    (110000, "11.0.0.114"),
    (110400, "11.4.0.106"),
    (10400, "rtx-1.4.0.76"),
    (10701, "rtx-1.7.1.116"),
];

/// Python and the compiled module of a version, where `scripts/test` put them.
fn wheel(version: &str) -> Option<(PathBuf, PathBuf)> {
    let python = std::env::var_os("TRT_TEST_PYTHON")?;
    let name = if version.starts_with("rtx") { "tensorrt_rtx.so" } else { "tensorrt.so" };
    let module = PathBuf::from(std::env::var_os("TRT_TEST_BINDINGS")?).join(version).join(name);
    module.is_file().then_some((python.into(), module))
}

/// Drives a version's bindings; `None` if they are not here. Else the lines that the script printed, or what went elsewhere
/// than it was meant to.
pub fn drive(number: i32, plants: &str) -> Option<(Stage, Result<Vec<String>, String>)> {
    let (_, name) = WHEELS.iter().find(|(known, _)| *known == number)?;
    let (python, module) = wheel(name)?;
    let stage = Stage::new(number, plants);
    let output = stage.command(python).arg(SCRIPT).arg(module).arg(stage.path().join("rows")).output();
    let output = output.expect("a Python process");
    let result = match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_string).collect()),
        false => Err(text(&output)),
    };
    Some((stage, result))
}

/// The rows that NVIDIA's bindings call in each version; `None` without the bindings.
pub fn covered() -> Option<Vec<(Version, BTreeSet<String>)>> {
    let drive = |(number, _): &(i32, _)| {
        let (stage, result) = drive(*number, "")?;
        result.unwrap_or_else(|found| panic!("{}: {found}", stage.version));
        Some((stage.version, stage.called()))
    };
    WHEELS.iter().map(drive).collect()
}

#[test]
fn nvidias_own_bindings_call_the_slots_of_the_golden_text() {
    let Some(covered) = covered() else {
        return skip("no Python bindings of TensorRT; scripts/test installs them and sets TRT_TEST_BINDINGS");
    };
    for (version, called) in covered {
        let missed: Vec<String> =
            crate::stage::rows_of(version).into_iter().filter(|row| !called.contains(row)).collect();
        let expected: &[&str] = match version.column {
            // They delete parsers of TensorRT 8, where our binding calls destroy().
            0 => &["IParser::destroy"],
            // Methods of TensorRT-RTX 1.4 that Python does not get to see.
            3 => &["VBuilder::platformHasFastFp16", "VBuilder::platformHasFastInt8"],
            _ => &[],
        };
        assert_eq!(missed, expected, "{version}");
        eprintln!("{version}: {} rows called by NVIDIA's bindings", called.len());
    }
}

#[test]
fn nvidias_own_bindings_delete_every_object_that_they_own() {
    for (number, _) in WHEELS {
        let Some((stage, result)) = drive(number, "") else {
            return skip("no Python bindings of TensorRT");
        };
        result.unwrap_or_else(|found| panic!("{}: {found}", stage.version));
        let [made, deleted] = stage.objects();
        assert_eq!(made, deleted, "{}", stage.version);
        for class in [
            "IBuilder",
            "IBuilderConfig",
            "INetworkDefinition",
            "IHostMemory",
            "ITimingCache",
            "IRuntime",
            "ICudaEngine",
            "IExecutionContext",
            "IEngineInspector",
            "IParser",
        ] {
            let one = format!("{class}#1");
            assert!(made.contains(&one), "{} makes no {class}", stage.version);
        }
    }
}

/// Python's spelling is not always that of the headers.
fn plain(name: &str) -> String {
    name.replace('_', "")
}

#[test]
fn nvidias_own_bindings_have_the_enum_values_of_our_table() {
    for (number, _) in WHEELS {
        let Some((stage, result)) = drive(number, "") else {
            return skip("no Python bindings of TensorRT");
        };
        let (lines, version) =
            (result.expect("a clean run"), nvinfer::Version::from_number(number).expect("known"));
        let value = |line: &String| {
            let (name, value) = line.strip_prefix("value ")?.split_once(' ')?;
            Some((plain(name), value.parse::<i32>().ok()?))
        };
        let theirs: BTreeMap<String, i32> = lines.iter().filter_map(value).collect();
        let mut compared = 0;
        for (name, ours) in our_values(version) {
            let found = theirs.get(&plain(name)).copied();
            // The table has of RTX what is used there, so values may be missing, but none may differ.
            if ours.is_some() || !stage.version.is_rtx() {
                assert_eq!(ours, found, "{name} in {}", stage.version);
                compared += 1;
            }
        }
        eprintln!("{}: {compared} enum values, present or absent, as in NVIDIA's bindings", stage.version);
        assert!(compared > 70, "{compared} compared");
    }
}

/// Every value of our table, `None` where the version has none.
fn our_values(version: nvinfer::Version) -> Vec<(&'static str, Option<i32>)> {
    macro_rules! all {
        ($($enum:ident)*) => {
            [$($enum::ALL.iter().map(|e| (e.name(), e.value(version).ok())).collect::<Vec<_>>()),*].concat()
        };
    }
    all!(BuilderFlag TacticSource PreviewFeature HardwareCompatibility MemoryPool LayerKind)
}
