//! Which tensors share a scale with what they come from, as a user asks for it.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// Which tensors share a scale with what they come from: `none`, `copies` or `all`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Propagate {
    /// None: each has a scale of its own.
    None,
    /// Those that hold the same values in another order, or the greatest of them: what max-pooling, reshape, transpose
    /// and resizing to the nearest give, as in the tables of every TensorRT.
    #[default]
    Copies,
    /// These, what a concat reads, and what is sliced, split off or gathered.
    All,
}

impl Propagate {
    /// Every one of them, in the order of what they share.
    pub const EVERY: [Self; 3] = [Self::None, Self::Copies, Self::All];

    /// What sidecars mean that do not say it: they come from a version that shared nothing.
    pub(super) fn absent() -> Self {
        Self::None
    }

    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Copies => "copies",
            Self::All => "all",
        }
    }
}

impl fmt::Display for Propagate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A word that is none of `none`, `copies` and `all`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("want `none`, `copies` or `all`, and not: `{found}`")]
pub struct UnknownPropagate {
    /// The word.
    pub found: String,
}

impl FromStr for Propagate {
    type Err = UnknownPropagate;

    fn from_str(text: &str) -> Result<Self, UnknownPropagate> {
        let found = || UnknownPropagate { found: text.to_owned() };
        Self::EVERY.into_iter().find(|one| one.word() == text).ok_or_else(found)
    }
}

impl Serialize for Propagate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.word())
    }
}

/// From a sidecar: a word; of earlier versions `true` for what is `all` now, and `false`.
impl<'de> Deserialize<'de> for Propagate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Word;
        impl Visitor<'_> for Word {
            type Value = Propagate;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`none`, `copies` or `all`")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Propagate, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_bool<E: de::Error>(self, shared: bool) -> Result<Propagate, E> {
                Ok(if shared { Propagate::All } else { Propagate::None })
            }
        }
        deserializer.deserialize_any(Word)
    }
}
