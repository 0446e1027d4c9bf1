//! What the parser lets pass and a fleet file does not: `<<`, duplicate keys, tags, alias bombs.

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, Visitor};

use super::{Step, dotted};
use crate::fleet::problem::Problem;

/// Aliases can make a small file large; a fleet of ten thousand devices stays below this number of keys and values.
pub const MAX_VALUES: usize = 500_000;

/// More brackets than this within each other are refused; the parser's time grows with the square of their depth.
pub const MAX_BRACKETS: usize = 1024;

/// The offset of the first bracket that lies too deep, found without parsing: brackets in comments and quotes count.
pub fn too_deep(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    text.bytes().position(|byte| {
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth > MAX_BRACKETS
    })
}

/// Why the scan stopped.
#[derive(Debug)]
pub enum Found {
    /// The document is empty.
    Nothing,
    /// Something is refused.
    Problem(Problem),
}

/// Walks over everything and stops at the first thing that is refused.
#[derive(Debug, Default)]
pub struct Scan {
    steps: Vec<Step>,
    values: usize,
    /// Why it stopped, if it did; its error only tells the place.
    pub found: Option<Found>,
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
