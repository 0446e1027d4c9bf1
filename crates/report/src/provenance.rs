//! Where a table comes from, in words.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use trt_calib::Sidecar;

/// What was calibrated, with what and from what. All of it is text as a reader wants it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Provenance {
    /// The ONNX file's name.
    pub model: String,
    /// The hash of that file.
    pub model_hash: String,
    /// The table's file name.
    pub table: String,
    /// The algorithm, such as `entropy`, or `auto: mse`.
    pub algorithm: String,
    /// How values were counted: `canonical` or `tensorrt`.
    pub mode: String,
    /// What ran the model, with its version and settings.
    pub backend: String,
    /// The name of the dataset's folder or list.
    pub dataset: String,
    /// The seed of the sample.
    pub seed: u64,
    /// This tool and its version.
    pub tool: String,
    /// When, in RFC 3339.
    pub created: String,
    /// What else is needed to repeat it: hashes, preprocessing, shapes.
    pub more: Vec<Fact>,
}

impl Provenance {
    /// What a table's sidecar records; `table` is the table's file name.
    pub fn of(sidecar: &Sidecar, table: &str) -> Self {
        let fact = |label: String, value: String| Fact { label, value };
        let text = |value: &Value| if value.is_null() { String::new() } else { value.to_string() };
        let mut more: Vec<Fact> = Vec::new();
        more.extend(
            sidecar
                .model
                .external
                .iter()
                .map(|(file, hash)| fact(format!("Hash of `{file}`"), hash.to_string())),
        );
        let shape = |dims: &Vec<u64>| dims.iter().map(u64::to_string).collect::<Vec<_>>().join("x");
        more.extend(
            sidecar.shapes.iter().map(|(input, dims)| fact(format!("Shape of `{input}`"), shape(dims))),
        );
        more.extend([
            fact(
                "Samples".into(),
                format!("{} of {} asked for", sidecar.dataset.count, sidecar.dataset.requested),
            ),
            fact("Fingerprint of the samples".into(), sidecar.dataset.fingerprint.to_string()),
            fact("Hash of the table".into(), sidecar.table.to_string()),
            fact("Preprocessing".into(), text(&sidecar.preprocessing)),
            fact("Batch".into(), sidecar.batch.to_string()),
            fact("Parameters of the entropy search".into(), text(&sidecar.params)),
            fact("Shared ranges".into(), sidecar.propagate.to_string()),
        ]);
        let settings: Vec<String> =
            sidecar.backend.settings.iter().map(|(key, value)| format!("{key} {value}")).collect();
        let settings =
            if settings.is_empty() { String::new() } else { format!(" ({})", settings.join(", ")) };
        let chosen = if sidecar.auto.is_null() { "" } else { "auto: " };
        Self {
            model: sidecar.model.file.clone(),
            model_hash: sidecar.model.hash.to_string(),
            table: table.to_owned(),
            algorithm: format!("{chosen}{}", sidecar.algorithm),
            mode: text(&serde_json::json!(sidecar.mode)).trim_matches('"').to_owned(),
            backend: format!("{} {}{settings}", sidecar.backend.name, sidecar.backend.version),
            dataset: String::new(),
            seed: sidecar.dataset.seed,
            tool: format!("trt-deploy {}", sidecar.tool_version),
            created: sidecar.created.clone(),
            more,
        }
    }
}

/// A label and its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// What it is.
    pub label: String,
    /// Its value.
    pub value: String,
}
