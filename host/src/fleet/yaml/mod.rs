//! A YAML text with places: parsing into structs, what the parser itself does not refuse, and where a key stands.

mod scan;
mod walk;

use std::path::Path;

use serde::de::{DeserializeOwned, DeserializeSeed};

use self::scan::{Found, Scan};
use self::walk::Walk;
use super::error::{FleetError, Place};
use super::problem::Problem;

/// One step from the root of the document to a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Key(String),
    Index(usize),
}

impl From<&str> for Step {
    fn from(key: &str) -> Self {
        Self::Key(key.to_owned())
    }
}

impl From<usize> for Step {
    fn from(index: usize) -> Self {
        Self::Index(index)
    }
}

/// The steps as people write them: `models.yolo.shapes`, `groups.edge[2]`.
pub fn dotted(steps: &[Step]) -> String {
    let mut text = String::new();
    for step in steps {
        match step {
            Step::Key(key) if text.is_empty() => text.push_str(key),
            Step::Key(key) => text.extend([".", key]),
            Step::Index(index) => text.push_str(&format!("[{index}]")),
        }
    }
    text
}

/// The text of a YAML file.
#[derive(Debug, Clone, Copy)]
pub struct Yaml<'a> {
    pub file: &'a Path,
    pub text: &'a str,
}

impl Yaml<'_> {
    /// Parses the document, after refusing what serde would let pass: `<<`, duplicate keys, tags, alias bombs.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, FleetError> {
        if let Some(offset) = scan::too_deep(self.text) {
            let at = Place::at_end_of(self.file, &self.text[..offset]);
            return Err(FleetError::At {
                at,
                problem: Problem::TooDeep { limit: scan::MAX_BRACKETS }.into(),
            });
        }
        let mut scan = Scan::default();
        let scanned = scan.deserialize(serde_yaml::Deserializer::from_str(self.text));
        scanned
            .and_then(|()| T::deserialize(serde_yaml::Deserializer::from_str(self.text)))
            .map_err(|error| self.explain(&error, scan))
    }

    /// Where the value at the end of `steps` stands, or its key if `at_key`. Where there is no such value, such as one
    /// that comes from a default, the key of the innermost section that there is.
    ///
    /// The parser tells places only with errors, so this walks there and fails on purpose.
    pub fn locate(&self, steps: &[Step], at_key: bool) -> Place {
        let walk = Walk { steps, at_key };
        match (walk.deserialize(serde_yaml::Deserializer::from_str(self.text)), steps.split_last()) {
            (Ok(()), Some((_, outer))) => self.locate(outer, true),
            (result, _) => self.place(result.err().as_ref()),
        }
    }

    fn place(&self, error: Option<&serde_yaml::Error>) -> Place {
        let location = error.and_then(serde_yaml::Error::location);
        let (line, column) = location.map_or((1, 1), |location| (location.line(), location.column()));
        Place { file: self.file.to_owned(), line, column }
    }

    /// The parser's error in our words.
    fn explain(&self, error: &serde_yaml::Error, scan: Scan) -> FleetError {
        let at = self.place(Some(error));
        let text = error.to_string();
        if matches!(scan.found, Some(Found::Nothing)) || text.starts_with("EOF while parsing") {
            return FleetError::Empty { file: self.file.to_owned() };
        }
        let text = text.replacen(&format!(" at line {} column {}", at.line, at.column), "", 1);
        let problem = match scan.found {
            Some(Found::Problem(problem)) => problem,
            _ if text.contains("cannot start any token") && self.line(at.line).contains('\t') => Problem::Tab,
            _ if text.contains("repetition limit") => Problem::TooManyValues { limit: scan::MAX_VALUES },
            _ if text.contains("more than one document") => Problem::SecondDocument,
            _ => explain_serde(&text).unwrap_or(Problem::Invalid { problem: text }),
        };
        FleetError::At { at, problem: problem.into() }
    }

    fn line(&self, number: usize) -> &str {
        self.text.lines().nth(number.saturating_sub(1)).unwrap_or_default()
    }
}

/// Serde's messages about keys and words, taken apart so that the nearest known one can be offered.
fn explain_serde(text: &str) -> Option<Problem> {
    let split = |marker: &str| {
        let (path, rest) = text.split_once(marker)?;
        (path.is_empty() || path.ends_with(": ")).then(|| (path.trim_end_matches(": ").to_owned(), rest))
    };
    let quoted = |list: &str| list.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    if let Some((section, rest)) = split("unknown field `") {
        let (key, known) = rest.split_once("`, expected ")?;
        return Some(Problem::UnknownKey { key: key.to_owned(), section, known: quoted(known) });
    }
    if let Some((key, rest)) = split("unknown variant `") {
        let (word, known) = rest.split_once("`, expected ")?;
        return Some(Problem::UnknownWord { word: word.to_owned(), key, known: quoted(known) });
    }
    let (section, rest) = split("missing field `")?;
    Some(Problem::MissingKey { key: rest.strip_suffix('`')?.to_owned(), section })
}
