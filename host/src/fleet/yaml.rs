//! A YAML text with places: parsing into structs, what the parser itself does not refuse, and where a key stands.

use std::collections::HashSet;
use std::fmt;
use std::path::Path;

use serde::de::{Deserialize, DeserializeOwned, DeserializeSeed, Deserializer, IgnoredAny};
use serde::de::{EnumAccess, Error, MapAccess, SeqAccess, Visitor};

use super::error::{FleetError, Place};
use super::problem::Problem;

/// Aliases can make a small file large; a fleet of ten thousand devices stays below this number of keys and values.
const MAX_VALUES: usize = 500_000;

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
            _ => explain_serde(&text).unwrap_or(Problem::Invalid { problem: text }),
        };
        FleetError::At { at, problem }
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

/// Why the scan stopped.
#[derive(Debug)]
enum Found {
    Nothing,
    Problem(Problem),
}

/// Walks over everything and stops at the first thing that is refused.
#[derive(Debug, Default)]
struct Scan {
    steps: Vec<Step>,
    values: usize,
    found: Option<Found>,
}

impl Scan {
    /// The text of the error is never shown: [`Yaml::explain`] looks at `found`.
    fn stop<T, E: Error>(&mut self, found: Found) -> Result<T, E> {
        self.found = Some(found);
        Err(E::custom("refused"))
    }

    fn refuse<T, E: Error>(&mut self, problem: Problem) -> Result<T, E> {
        self.stop(Found::Problem(problem))
    }

    fn count<E: Error>(&mut self) -> Result<(), E> {
        self.values += 1;
        match self.values {
            0..=MAX_VALUES => Ok(()),
            _ => self.refuse(Problem::TooManyValues { limit: MAX_VALUES }),
        }
    }
}

impl<'de> DeserializeSeed<'de> for &mut Scan {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &mut Scan {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        self.count()
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        self.count()
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        self.count()
    }

    fn visit_i128<E: Error>(self, _: i128) -> Result<(), E> {
        self.count()
    }

    fn visit_u128<E: Error>(self, _: u128) -> Result<(), E> {
        self.count()
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        self.count()
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        self.count()
    }

    fn visit_none<E: Error>(self) -> Result<(), E> {
        self.visit_unit()
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        if self.steps.is_empty() { self.stop(Found::Nothing) } else { self.count() }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        self.count()?;
        self.steps.push(Step::Index(0));
        while seq.next_element_seed(&mut *self)?.is_some() {
            if let Some(Step::Index(index)) = self.steps.last_mut() {
                *index += 1;
            }
        }
        self.steps.pop();
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        self.count()?;
        let mut seen = HashSet::new();
        while let Some(key) = map.next_key_seed(ScanKey { scan: &mut *self, seen: &seen })? {
            self.steps.push(Step::Key(key.clone()));
            seen.insert(key);
            map.next_value_seed(&mut *self)?;
            self.steps.pop();
        }
        Ok(())
    }

    fn visit_enum<A: EnumAccess<'de>>(self, data: A) -> Result<(), A::Error> {
        let (tag, _) = data.variant::<String>()?;
        self.refuse(Problem::Tag { tag })
    }
}

/// A key of the map that is being scanned.
struct ScanKey<'a> {
    scan: &'a mut Scan,
    seen: &'a HashSet<String>,
}

impl<'de> DeserializeSeed<'de> for ScanKey<'_> {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for ScanKey<'_> {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a word as key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<String, E> {
        self.scan.count()?;
        match key {
            "<<" => self.scan.refuse(Problem::MergeKey),
            _ if self.seen.contains(key) => {
                let section = dotted(&self.scan.steps);
                self.scan.refuse(Problem::DuplicateKey { key: key.to_owned(), section })
            }
            _ => Ok(key.to_owned()),
        }
    }
}

/// Goes to the end of `steps` and fails there; succeeds only if there is no such place.
#[derive(Debug, Clone, Copy)]
struct Walk<'a> {
    steps: &'a [Step],
    at_key: bool,
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.steps.first() {
            None => deserializer.deserialize_any(Stop),
            Some(Step::Key(_)) => deserializer.deserialize_map(self),
            Some(Step::Index(_)) => deserializer.deserialize_seq(self),
        }
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the way to a value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Some((Step::Key(wanted), steps)) = self.steps.split_first() else { return Ok(()) };
        let stop_at = (self.at_key && steps.is_empty()).then_some(wanted.as_str());
        while let Some(key) = map.next_key_seed(WalkKey { stop_at })? {
            if key == *wanted {
                map.next_value_seed(Walk { steps, ..self })?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Some((Step::Index(wanted), steps)) = self.steps.split_first() else { return Ok(()) };
        for _ in 0..*wanted {
            seq.next_element::<IgnoredAny>()?;
        }
        seq.next_element_seed(Walk { steps, ..self })?;
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }
}

/// A key on the way; fails at the one to stop at.
struct WalkKey<'a> {
    stop_at: Option<&'a str>,
}

impl<'de> DeserializeSeed<'de> for WalkKey<'_> {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for WalkKey<'_> {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a word as key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<String, E> {
        if self.stop_at == Some(key) { Err(E::custom("here")) } else { Ok(key.to_owned()) }
    }
}

/// Fails at whatever value it meets: a visitor without methods does just that.
struct Stop;

impl Visitor<'_> for Stop {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("to stop here")
    }
}
