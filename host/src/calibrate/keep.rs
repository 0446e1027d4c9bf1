//! Which activations are kept in higher precision: from what the user writes to names of the model.

use std::collections::BTreeSet;

use crate::fleet::nearest;

/// A name or a pattern that fits none of the model's activations.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`keep` names nothing that the model computes: `{pattern}`")]
pub struct KeepError {
    /// What was written.
    pub pattern: String,
    /// The activations that may have been meant.
    pub near: Vec<String>,
}

/// How many names a hint holds.
const SHOWN: usize = 3;

impl KeepError {
    fn new(pattern: &str, names: &[&str]) -> Self {
        let mut rest: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut near = Vec::new();
        while near.len() < SHOWN
            && let Some(found) = nearest(&pattern.replace('*', ""), &rest).map(str::to_owned)
        {
            rest.retain(|name| *name != found);
            near.push(found);
        }
        Self { pattern: pattern.to_owned(), near }
    }

    /// What mends it.
    pub fn hint(&self) -> Option<String> {
        let meant = self.near.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" or ");
        Some(match self.near[..] {
            [] => "names are those of ONNX values, as in a calibration table (`trt-deploy table show`); `*` stands for \
                   any text"
                .to_owned(),
            _ => format!("did you mean {meant}? `*` stands for any text"),
        })
    }
}

/// The activations that the patterns fit, sorted, each once. A pattern is a name in which `*` stands for any text; no
/// other character is special, since names hold brackets, dots and slashes.
///
/// # Errors
/// [`KeepError`] for the first pattern that fits no activation.
pub fn resolve<'a>(
    patterns: &[String],
    activations: impl IntoIterator<Item = &'a str>,
) -> Result<Vec<String>, KeepError> {
    if patterns.is_empty() {
        return Ok(Vec::new());
    }
    let names: Vec<&str> = activations.into_iter().collect();
    let mut kept = BTreeSet::new();
    for pattern in patterns {
        let fitting: Vec<_> = names.iter().filter(|name| fits(pattern, name)).collect();
        if fitting.is_empty() {
            return Err(KeepError::new(pattern, &names));
        }
        kept.extend(fitting.into_iter().map(|&name| name.to_owned()));
    }
    Ok(kept.into_iter().collect())
}

/// Whether `pattern` describes the whole of `name`.
fn fits(pattern: &str, name: &str) -> bool {
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
            resolve(&patterns.iter().map(|&pattern| pattern.to_owned()).collect::<Vec<_>>(), names)
        };
        assert_eq!(keep(&[]).unwrap(), [""; 0]);
        assert_eq!(keep(&["head/*", "images", "*a"]).unwrap(), ["head/a", "head/b", "images"]);
        let error = keep(&["images", "haed/a"]).unwrap_err();
        assert_eq!(error.to_string(), "`keep` names nothing that the model computes: `haed/a`");
        assert_eq!(error.near[0], "head/a");
        assert!(error.hint().unwrap().starts_with("did you mean `head/a`"));
        assert!(keep(&["*zzzz*"]).unwrap_err().hint().unwrap().contains("table show"));
    }
}
