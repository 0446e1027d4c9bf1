//! What a release is made of: a set of blobs and one manifest.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{BlobId, BuildSpec, HookName, ModelName, Verification};

/// An input or output of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TensorInfo {
    /// The ONNX value name.
    pub name: String,
    /// The ONNX element type in lower case, such as `float` or `int64`.
    pub element: String,
    /// The shape; a negative entry is dynamic.
    pub dims: Vec<i64>,
}

/// As much of a model as a plan needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelSummary {
    /// The version of the default operator set.
    pub opset: i64,
    /// The graph already holds QuantizeLinear/DequantizeLinear nodes.
    pub has_qdq: bool,
    /// Inputs that are not initializers.
    pub inputs: Vec<TensorInfo>,
    /// Outputs.
    pub outputs: Vec<TensorInfo>,
    /// How often each operator occurs.
    pub operators: BTreeMap<String, u64>,
}

/// A file of the model: the ONNX itself, or external data beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// The path below the model's folder, with `/` between its parts.
    pub path: String,
    /// Its content.
    pub blob: BlobId,
    /// Its size in bytes.
    pub size: u64,
}

/// The calibration table that goes with a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableEntry {
    /// Its content.
    pub blob: BlobId,
    /// Its size in bytes.
    pub size: u64,
    /// The algorithm word of its header, such as `EntropyCalibration2`.
    pub algorithm: String,
    /// How many tensors have a scale.
    pub tensors: u64,
}

/// Everything that defines a release, apart from the device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of this format.
    pub format: u32,
    /// The model's name.
    pub model: ModelName,
    /// The model's files; the first one is the ONNX, the others its external data.
    pub files: Vec<FileEntry>,
    /// The calibration table, if there is one.
    pub table: Option<TableEntry>,
    /// What the plan needs to know about the model.
    pub summary: ModelSummary,
    /// What the user asks for.
    pub build: BuildSpec,
    /// Whether the release must be verified before it is activated.
    pub verification: Verification,
    /// The hook to run after activation, by its name in the device's configuration.
    pub hook: Option<HookName>,
}

impl Manifest {
    /// The version of the format that this crate writes.
    pub const FORMAT: u32 = 2;

    /// Every blob the manifest names, with its size, without repetition.
    pub fn blobs(&self) -> BTreeMap<BlobId, u64> {
        let files = self.files.iter().map(|file| (file.blob, file.size));
        files.chain(self.table.iter().map(|table| (table.blob, table.size))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = r#"{"format": 2, "model": "net", "files": [], "table": null,
        "summary": {"opset": 13, "has_qdq": false, "inputs": [], "outputs": [], "operators": {}},
        "build": {"precision": "fp32", "shapes": {}, "workspace": null, "on_unsupported": "fail", "other_layers": "fp16",
                  "keep": [], "dla": null, "optimization_level": null, "backend": "auto",
                  "plugins": ["yolo"], "runtime": "triton"},
        "verification": {"required": false}, "hook": "restart"}"#;

    #[test]
    fn a_manifest_names_runtimes_plugins_and_hooks_and_cannot_bring_paths() {
        let parse = |text: &str| serde_json::from_str::<Manifest>(text);
        parse(MANIFEST).unwrap();
        for name in ["\"yolo\"", "\"triton\"", "\"restart\""] {
            for path in ["/usr/lib/libevil.so", "../libevil.so", "..", "-rf", "sh -c reboot", ""] {
                let text = MANIFEST.replace(name, &format!("{path:?}"));
                assert!(parse(&text).is_err(), "{text}");
            }
            let argv = MANIFEST.replace(name, r#"{"argv": ["sh"]}"#);
            assert!(parse(&argv).is_err(), "{argv}");
        }
    }

    #[test]
    fn what_a_manifest_has_no_field_for_is_not_carried_on() {
        let more = r#""worker": ["sh"], "tensorrt_dir": "/tmp", "plugin_paths": ["/tmp/x.so"], "keep":"#;
        let parsed: Manifest = serde_json::from_str(&MANIFEST.replacen("\"keep\":", more, 1)).unwrap();
        assert_eq!(parsed, serde_json::from_str(MANIFEST).unwrap());
    }
}
