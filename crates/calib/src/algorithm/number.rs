//! The numbers that algorithms have, within their bounds.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use crate::CalibError;

/// A share of the whole: above 0, at most 1.
///
/// No value is NaN or -0, so equal numbers have equal bits.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
pub struct Share(f64);

/// A share in percent: above 0, at most 100.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
pub struct Percent(f64);

impl Share {
    /// All.
    pub const ALL: Self = Self(1.0);

    /// `None` unless `0 < value <= 1`.
    pub const fn new(value: f64) -> Option<Self> {
        if value > 0.0 && value <= 1.0 { Some(Self(value)) } else { None }
    }

    /// The number.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl Percent {
    /// `None` unless `0 < value <= 100`.
    pub const fn new(value: f64) -> Option<Self> {
        if value > 0.0 && value <= 100.0 { Some(Self(value)) } else { None }
    }

    /// The number, 99.99 for 99.99 %.
    pub fn get(self) -> f64 {
        self.0
    }
}

/// What both types have in common: comparison by bits, and decimal text that gives the same number back.
macro_rules! number {
    ($type:ident, $wanted:literal) => {
        impl Eq for $type {}

        impl Hash for $type {
            fn hash<H: Hasher>(&self, state: &mut H) {
                self.0.to_bits().hash(state);
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }

        impl FromStr for $type {
            type Err = CalibError;

            fn from_str(text: &str) -> Result<Self, CalibError> {
                text.parse()
                    .ok()
                    .and_then(Self::new)
                    .ok_or_else(|| CalibError::Number { wanted: $wanted, found: text.to_owned() })
            }
        }
    };
}

number!(Share, "above 0 and at most 1");
number!(Percent, "above 0 and at most 100");
