//! Parses the ONNX, and tells of a refusal so that the model can be mended.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::path::Path;

use nvinfer::{Error, Network, ParserError, Version};
use trt_wire::{Decision, Failure, FailureCode, Retry};

use super::failure;
use super::log::Log;

/// A failure shows this many of the parser's errors; the log has all.
const ERRORS_SHOWN: usize = 10;

/// Fills the network from the file. `lost_plugins` says why TensorRT's own plugins are not there, if they should be: every
/// refusal tells of it, because the parser does not always say that it is a plugin that it lacks.
///
/// # Errors
/// [`FailureCode::BadModel`] with the nodes and operators that the parser refuses.
pub fn run(
    network: &mut Network,
    model: &Path,
    version: Version,
    lost_plugins: Option<&Decision>,
    log: &Log,
) -> Result<(), Failure> {
    network.parse_file(model).map_err(|error| match error {
        Error::Parse { errors } => {
            for error in &errors {
                log.note(&format!("parser: {error} [{}:{} {}]", error.file, error.line, error.function));
            }
            let failure = refused(&errors, &version);
            match lost_plugins {
                Some(lost) => Failure { message: format!("{}; {lost}", failure.message), ..failure },
                None => failure,
            }
        }
        error => failure(FailureCode::BadModel, &error, error.hint()),
    })
}

/// The failure that shows what the parser of `tensorrt` refuses.
pub fn refused(errors: &[ParserError], tensorrt: &dyn Display) -> Failure {
    let shown: Vec<String> = errors.iter().take(ERRORS_SHOWN).map(ToString::to_string).collect();
    let mut message = format!("TensorRT's ONNX parser refuses the model: {}", shown.join("; "));
    match errors.len().saturating_sub(ERRORS_SHOWN) {
        0 => {}
        more => message.push_str(&format!("; and {more} more errors, which are in the log")),
    }
    let unsupported: BTreeSet<&str> = errors.iter().filter_map(unsupported).collect();
    let hint = if unsupported.is_empty() {
        "export the model with operators that this TensorRT supports, or simplify it (onnxslim, onnxsim)"
            .to_owned()
    } else {
        let operators: Vec<String> = unsupported.iter().map(|op| format!("`{op}`")).collect();
        format!(
            "{tensorrt} does not know {}: name a plugin library that does under `plugins`, or export the model without",
            operators.join(", ")
        )
    };
    Failure::new(FailureCode::BadModel, Retry::AfterFix, message).with_hint(hint)
}

/// The operator that the parser has no importer and no plugin for. TensorRT 8 says it in its text only.
fn unsupported(error: &ParserError) -> Option<&str> {
    /// `nvonnxparser::ErrorCode::kUNSUPPORTED_NODE`.
    const UNSUPPORTED_NODE: i32 = 8;
    let text = error.description.as_str();
    let after = |words: &str| {
        let rest = text.split_once(words)?.1.trim_start();
        rest.split(|c: char| c.is_whitespace() || ",;.\"'`".contains(c))
            .next()
            .filter(|word| !word.is_empty())
    };
    let by_text = ["No importer registered for op:", "could not find plugin:", "could not find plugin"]
        .iter()
        .find_map(|words| after(words));
    let is_unsupported =
        error.code == UNSUPPORTED_NODE || by_text.is_some() || text.contains("Plugin not found");
    let operator = error.operator.as_deref().filter(|operator| !operator.is_empty());
    if is_unsupported { operator.or(by_text) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version() -> Version {
        Version::from_number(8201).expect("a version")
    }

    fn error(code: i32, description: &str, operator: Option<&str>) -> ParserError {
        ParserError {
            code,
            description: description.into(),
            node: Some(3),
            node_name: operator.map(|_| "head/act".into()),
            operator: operator.map(Into::into),
            file: "ModelImporter.cpp".into(),
            line: 726,
            function: "importModel".into(),
        }
    }

    #[test]
    fn operators_without_an_importer_are_named_for_every_version() {
        let cases = [
            (
                error(
                    8,
                    "Plugin not found, are the plugin name, version, and namespace correct?",
                    Some("Gelu"),
                ),
                Some("Gelu"),
            ),
            (
                error(
                    1,
                    "In node 3 (importFallbackPluginImporter): UNSUPPORTED_NODE: Assertion failed: creator && \"Plugin not found, are the plugin name, version, and namespace correct?\"",
                    None,
                ),
                None,
            ),
            (
                error(8, "No importer registered for op: Frobnicate. Attempting to import as plugin.", None),
                Some("Frobnicate"),
            ),
            (error(8, "getPluginCreator could not find plugin: DCNv2 version: 1", None), Some("DCNv2")),
            (error(6, "Assertion failed: axis >= 0 && axis < nbDims", Some("Concat")), None),
            (error(8, "something else", None), None),
        ];
        for (error, expected) in cases {
            assert_eq!(unsupported(&error), expected, "{}", error.description);
        }
    }

    #[test]
    fn a_refusal_shows_ten_errors_and_counts_the_others() {
        let errors: Vec<ParserError> =
            (0..23).map(|number| error(6, &format!("bad shape {number}"), Some("Concat"))).collect();
        let failure = refused(&errors, &version());
        assert_eq!(failure.code, FailureCode::BadModel);
        assert!(failure.message.contains("node 3 `head/act` (Concat): bad shape 9"), "{}", failure.message);
        assert!(
            failure.message.ends_with("; and 13 more errors, which are in the log"),
            "{}",
            failure.message
        );
        assert!(!failure.message.contains("bad shape 10"));
    }

    #[test]
    fn the_hint_names_the_operators_and_where_plugins_are_named() {
        let errors = [error(8, "x", Some("Gelu")), error(8, "x", Some("Abc")), error(8, "x", Some("Gelu"))];
        assert_eq!(
            refused(&errors, &version()).hint.as_deref(),
            Some(
                "TensorRT 8.2.1 does not know `Abc`, `Gelu`: name a plugin library that does under `plugins`, or export \
                 the model without"
            )
        );
    }
}
