//! Which activations are kept in higher precision: from what the user writes to names of the model.

use std::collections::BTreeSet;

use trt_onnx::Model;

use crate::fleet::nearest;

/// A `keep` that cannot be meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeepError {
    /// A name or a pattern that fits none of the model's activations.
    #[error("`keep` names nothing that the model computes: `{pattern}`")]
    Unknown {
        /// What was written.
        pattern: String,
        /// The activations that may have been meant.
        near: Vec<String>,
    },
    /// A node's name, which is not that of what it computes.
    #[error("`keep` names a node, not what it computes: `{node}`")]
    Node {
        /// What was written.
        node: String,
        /// The names of its outputs.
        outputs: Vec<String>,
    },
    /// All of the model's activations.
    #[error("`keep` names everything that the model computes, and nothing is left for the lower precision")]
    Everything,
}

/// How many names a hint holds.
const SHOWN: usize = 3;

impl KeepError {
    fn unknown(pattern: &str, names: &[&str]) -> Self {
        let mut rest: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut near = Vec::new();
        while near.len() < SHOWN
            && let Some(found) = nearest(&pattern.replace('*', ""), &rest).map(str::to_owned)
        {
            rest.retain(|name| *name != found);
            near.push(found);
        }
        Self::Unknown { pattern: pattern.to_owned(), near }
    }

    /// What mends it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Unknown { near, .. } if near.is_empty() => {
                "names are those of ONNX values, as in a calibration table (`trt-deploy table show`); `*` stands for \
                 any text"
                    .to_owned()
            }
            Self::Unknown { near, .. } => {
                format!("did you mean {}? `*` stands for any text", quoted(near, " or "))
            }
            Self::Node { node, outputs } => match outputs.len() {
                1 => format!("`{node}` is a node; its output is {}", quoted(outputs, "")),
                _ => format!("`{node}` is a node; its outputs are {}", quoted(outputs, " and ")),
            },
            Self::Everything => {
                "name in `keep` only what loses too much, or set `precision: fp32` and remove `keep`".to_owned()
            }
        })
    }
}

fn quoted(names: &[String], between: &str) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(between)
}

/// The activations of the model that the patterns fit, as [`fitting`] says.
///
/// # Errors
/// [`KeepError`], for the first pattern if it is about one.
pub fn resolve(patterns: &[String], model: &Model) -> Result<Vec<String>, KeepError> {
    if patterns.is_empty() {
        return Ok(Vec::new());
    }
    let activations = model.activations();
    let kept = fitting(patterns, activations.iter().map(|activation| activation.name.as_str()));
    kept.map_err(|error| match error {
        KeepError::Unknown { pattern, near } => match model.outputs_of_node(&pattern) {
            Some(outputs) => KeepError::Node { node: pattern, outputs },
            None => KeepError::Unknown { pattern, near },
        },
        other => other,
    })
}

/// As [`resolve`], for the names of a table or of histograms.
///
/// # Errors
/// [`KeepError::Unknown`] and [`KeepError::Everything`].
pub fn among<'a>(
    patterns: &[String],
    names: impl IntoIterator<Item = &'a str>,
) -> Result<Vec<String>, KeepError> {
    if patterns.is_empty() { Ok(Vec::new()) } else { fitting(patterns, names) }
}

/// The activations that the patterns fit, sorted, each once. A pattern is a name in which `*` stands for any text; no
/// other character is special, since names hold brackets, dots and slashes.
///
/// # Errors
/// [`KeepError::Unknown`] for the first pattern that fits no activation, [`KeepError::Everything`] if nothing is left.
fn fitting<'a>(
    patterns: &[String],
    activations: impl IntoIterator<Item = &'a str>,
) -> Result<Vec<String>, KeepError> {
    let names: Vec<&str> = activations.into_iter().collect();
    let mut kept = BTreeSet::new();
    for pattern in patterns {
        let fitting: Vec<_> = names.iter().filter(|name| fits(pattern, name)).collect();
        if fitting.is_empty() {
            return Err(KeepError::unknown(pattern, &names));
        }
        kept.extend(fitting.into_iter().map(|&name| name.to_owned()));
    }
    if kept.len() == names.iter().collect::<BTreeSet<_>>().len() {
        return Err(KeepError::Everything);
    }
    Ok(kept.into_iter().collect())
}

/// Whether `pattern` describes the whole of `name`.
pub fn fits(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|start| name.strip_prefix(start)) else { return false };
    let Some(end) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        // The first place where a part fits leaves the most to those behind it.
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text_and_nothing_else_is_special() {
        for (pattern, name, expected) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("*", "", true),
            ("/model.22/*", "/model.22/dfl/conv/Conv_output_0", true),
            ("/model.22/*", "/model.2/dfl", false),
            ("*/Sigmoid_output_0", "/head/Sigmoid_output_0", true),
            ("*Sigmoid*", "/head/Sigmoid_output_0", true),
            ("a*a", "a", false),
            ("a*b*c", "axbxbc", true),
            ("a*b*c", "acb", false),
            ("a**c", "abc", true),
            ("x[0].?", "x[0].?", true),
            ("x[0].?", "x0.y", false),
            ("*ä*", "größe ä", true),
        ] {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn patterns_become_names_each_once_and_sorted() {
        let names = ["images", "head/b", "head/a", "output"];
        let keep = |patterns: &[&str]| {
            fitting(&patterns.iter().map(|&pattern| pattern.to_owned()).collect::<Vec<_>>(), names)
        };
        assert_eq!(keep(&["head/*", "images", "*a"]).unwrap(), ["head/a", "head/b", "images"]);
        let error = keep(&["images", "haed/a"]).unwrap_err();
        assert_eq!(error.to_string(), "`keep` names nothing that the model computes: `haed/a`");
        assert!(error.hint().unwrap().starts_with("did you mean `head/a`"));
        assert_eq!(keep(&["head/*", "*s", "output"]), Err(KeepError::Everything));
        assert_eq!(keep(&["*"]), Err(KeepError::Everything));
        assert!(keep(&["*zzzz*"]).unwrap_err().hint().unwrap().contains("table show"));
    }
}
