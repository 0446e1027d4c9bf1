//! Prints the values of all enums in a release's `NvInfer.h`: a line `Enum::kVALUE number` for each.
//!
//! bindgen reads the header through libclang and tells each value to a callback; the Rust code that it would generate is
//! thrown away, since its vtables are wrong. `tools/abi values` calls this for each release and joins the lines; see
//! docs/adding-a-tensorrt-version.md.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use bindgen::callbacks::{EnumVariantCustomBehavior, EnumVariantValue, ParseCallbacks};

const USAGE: &str = "usage: enum-values HEADER INCLUDE_DIR…";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((header, folders)) = arguments.split_first() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match read(header, folders) {
        Ok(values) => {
            values.iter().for_each(|(name, value)| println!("{name} {value}"));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: libclang cannot read {header}: {error}");
            ExitCode::from(1)
        }
    }
}

/// `Enum::kVALUE` -> value.
type Values = BTreeMap<String, i128>;

fn read(header: &str, folders: &[String]) -> Result<Values, bindgen::BindgenError> {
    let collector = Collector::default();
    bindgen::Builder::default()
        .header(header)
        .clang_args(["-x", "c++", "-std=c++17", "-w"])
        .clang_args(folders.iter().map(|folder| format!("-I{folder}")))
        .allowlist_type("nvinfer1::.*")
        .parse_callbacks(Box::new(collector.clone()))
        .generate()?;
    Ok(std::mem::take(&mut *collector.0.lock().expect("no panic while it was held")))
}

/// Hears of every value while bindgen reads.
#[derive(Debug, Default, Clone)]
struct Collector(Arc<Mutex<Values>>);

impl ParseCallbacks for Collector {
    fn enum_variant_behavior(
        &self,
        name: Option<&str>,
        variant: &str,
        value: EnumVariantValue,
    ) -> Option<EnumVariantCustomBehavior> {
        let name = name?.rsplit("::").next()?.trim_start_matches("enum ");
        // TensorRT's enums have names and their values begin with k; those of the system's headers do not.
        if variant.starts_with('k') && !name.contains('(') {
            let value = match value {
                EnumVariantValue::Boolean(value) => i128::from(value),
                EnumVariantValue::Signed(value) => i128::from(value),
                EnumVariantValue::Unsigned(value) => i128::from(value),
            };
            self.0.lock().expect("no panic while it was held").insert(format!("{name}::{variant}"), value);
        }
        None
    }
}
