//! Values with more than one spelling, or with limits. Errors are raised inside visitors, since only there does the
//! parser attach line and column.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Unexpected, Visitor};
use trt_calib::CalibError;
use trt_calib::sidecar::Propagate;
use trt_wire::ShapeRange;

use super::recipe::{ALGORITHMS, Chosen};

/// A value that is parsed from a string.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Parsed<T>(pub T);

impl<'de, T: FromStr<Err: fmt::Display>> Deserialize<'de> for Parsed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text<T>(PhantomData<T>);
        impl<T: FromStr<Err: fmt::Display>> Visitor<'_> for Text<T> {
            type Value = Parsed<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                text.parse().map(Parsed).map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Text(PhantomData))
    }
}

/// An algorithm, or `auto`.
pub fn chosen<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Chosen>, D::Error> {
    Named::deserialize(deserializer).map(|Named(chosen)| Some(chosen))
}

/// An algorithm by its name; for a wrong one, the message lists those there are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Named<T>(pub T);

impl<'de, T: FromStr<Err = CalibError>> Deserialize<'de> for Named<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name<T>(PhantomData<T>);
        impl<T: FromStr<Err = CalibError>> Visitor<'_> for Name<T> {
            type Value = Named<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of an algorithm")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                text.parse().map(Named).map_err(|error| match error {
                    CalibError::UnknownAlgorithm { .. } => E::unknown_variant(text, &ALGORITHMS),
                    other => E::custom(other),
                })
            }
        }
        deserializer.deserialize_str(Name(PhantomData))
    }
}

/// A file, or `false` for none.
pub fn file_or_false<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    struct FileOrFalse;
    impl Visitor<'_> for FileOrFalse {
        type Value = Option<String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a file, or `false`")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
            Ok(Some(text.to_owned()))
        }

        fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
            if value { Err(E::invalid_value(Unexpected::Bool(value), &self)) } else { Ok(None) }
        }
    }
    deserializer.deserialize_any(FileOrFalse).map(Some)
}

/// What shares a scale: a word, or `true` for what every TensorRT shares and `false` for nothing.
pub fn propagate<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Propagate>, D::Error> {
    struct Word;
    impl Visitor<'_> for Word {
        type Value = Propagate;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("`copies` (or `true`), `all`, or `none` (or `false`)")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Propagate, E> {
            text.parse().map_err(|_| E::invalid_value(Unexpected::Str(text), &self))
        }

        fn visit_bool<E: Error>(self, shared: bool) -> Result<Propagate, E> {
            Ok(if shared { Propagate::Copies } else { Propagate::None })
        }
    }
    deserializer.deserialize_any(Word).map(Some)
}

/// A string, or a sequence of strings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OneOrMany(pub Vec<String>);

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrManyVisitor;
        impl<'de> Visitor<'de> for OneOrManyVisitor {
            type Value = OneOrMany;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a folder, a glob, a list file, or a sequence of these")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(OneOrMany(vec![text.to_owned()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
                let all = Vec::deserialize(SeqAccessDeserializer::new(seq))?;
                if all.is_empty() {
                    return Err(A::Error::invalid_length(0, &self));
                }
                Ok(OneOrMany(all))
            }
        }
        deserializer.deserialize_any(OneOrManyVisitor)
    }
}

/// Strings in a sequence, or a file that holds them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListOrFile {
    List(Vec<String>),
    File(String),
}

impl<'de> Deserialize<'de> for ListOrFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ListOrFileVisitor;
        impl<'de> Visitor<'de> for ListOrFileVisitor {
            type Value = ListOrFile;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a file, or a sequence of names")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(ListOrFile::File(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(seq)).map(ListOrFile::List)
            }
        }
        deserializer.deserialize_any(ListOrFileVisitor)
    }
}

/// Whole numbers from `MIN` to `MAX`.
struct Whole<const MIN: u64, const MAX: u64>;

impl<const MIN: u64, const MAX: u64> Visitor<'_> for Whole<MIN, MAX> {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a whole number from {MIN} to {MAX}")
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<u64, E> {
        match value {
            _ if (MIN..=MAX).contains(&value) => Ok(value),
            _ => Err(E::invalid_value(Unexpected::Unsigned(value), &self)),
        }
    }
}

/// A whole number of at least 1.
pub fn positive<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    deserializer.deserialize_u64(Whole::<1, { u32::MAX as u64 }>).map(|value| Some(value as u32))
}

/// A DLA core; no Jetson has more than two.
pub fn dla<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    deserializer.deserialize_u64(Whole::<0, 1>).map(|value| Some(value as u32))
}

/// A builder optimization level.
pub fn level<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u8>, D::Error> {
    deserializer.deserialize_u64(Whole::<0, 5>).map(|value| Some(value as u8))
}

/// A TCP port.
pub fn port<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u16>, D::Error> {
    deserializer.deserialize_u64(Whole::<1, { u16::MAX as u64 }>).map(|value| Some(value as u16))
}

/// A share from 0 to 1.
pub fn share<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    struct Share;
    impl Visitor<'_> for Share {
        type Value = f64;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a share from 0 to 1, such as 0.05")
        }

        fn visit_f64<E: Error>(self, value: f64) -> Result<f64, E> {
            match value {
                0.0..=1.0 => Ok(value),
                _ => Err(E::invalid_value(Unexpected::Float(value), &self)),
            }
        }
    }
    deserializer.deserialize_f64(Share).map(Some)
}

/// A size in bytes: a number, or a string such as `512MiB`.
pub fn bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    struct Bytes;
    impl Visitor<'_> for Bytes {
        type Value = Option<u64>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a size such as `512MiB` (KiB, MiB, GiB, KB, MB, GB), or a number of bytes")
        }

        fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
            match value {
                0 => Err(E::invalid_value(Unexpected::Unsigned(0), &self)),
                _ => Ok(Some(value)),
            }
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
            match parse_bytes(text) {
                Some(value) => self.visit_u64(value),
                None => Err(E::invalid_value(Unexpected::Str(text), &self)),
            }
        }
    }
    deserializer.deserialize_any(Bytes)
}

fn parse_bytes(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let factor: u64 = match unit.trim_start() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// Shapes by input name.
pub fn shapes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, ShapeRange>, D::Error> {
    let shapes = BTreeMap::<String, Shape>::deserialize(deserializer)?;
    Ok(shapes.into_iter().map(|(name, Shape(range))| (name, range)).collect())
}

/// `{min, opt, max}`, or one list for an input that never changes its shape.
struct Shape(ShapeRange);

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ShapeVisitor;
        impl<'de> Visitor<'de> for ShapeVisitor {
            type Value = Shape;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`{min: [...], opt: [...], max: [...]}`, or one list such as `[1, 3, 640, 640]`")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Shape, A::Error> {
                let dims = Vec::<i64>::deserialize(SeqAccessDeserializer::new(seq))?;
                checked(ShapeRange { min: dims.clone(), opt: dims.clone(), max: dims })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Shape, A::Error> {
                checked(ShapeRange::deserialize(MapAccessDeserializer::new(map))?)
            }
        }
        deserializer.deserialize_any(ShapeVisitor)
    }
}

/// What TensorRT asks of an optimization profile, told in the user's words.
fn checked<E: Error>(range: ShapeRange) -> Result<Shape, E> {
    let ShapeRange { min, opt, max } = &range;
    if min.len() != opt.len() || opt.len() != max.len() {
        let ranks = [min.len(), opt.len(), max.len()];
        return Err(E::custom(format_args!(
            "`min`, `opt` and `max` must have as many dimensions each, not: {} / {} / {}",
            ranks[0], ranks[1], ranks[2]
        )));
    }
    if let Some(bad) = [min, opt, max].into_iter().flatten().find(|dim| **dim < 1) {
        return Err(E::custom(format_args!("every dimension must be a positive number, not: {bad}")));
    }
    for (axis, ((min, opt), max)) in min.iter().zip(opt).zip(max).enumerate() {
        if min > opt || opt > max {
            return Err(E::custom(format_args!(
                "dimension {axis} must satisfy `min` <= `opt` <= `max`, not: {min} / {opt} / {max}"
            )));
        }
    }
    Ok(Shape(range))
}
