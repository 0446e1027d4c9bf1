//! Content-derived identities that cannot be mixed: full in JSON, eight hex digits for people.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A string that is not 64 lower-case hex digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an id is 64 lower-case hex digits, not: {0}")]
pub struct IdError(pub String);

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name([u8; 32]);

        impl $name {
            /// The id made of these 32 bytes.
            pub const fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// The BLAKE3 hash of `data`.
            pub fn of(data: &[u8]) -> Self {
                Self(*blake3::hash(data).as_bytes())
            }

            /// All 64 hex digits, as used in file names and JSON.
            pub fn full(&self) -> String {
                blake3::Hash::from_bytes(self.0).to_hex().to_string()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.full()[..8])
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let canonical = text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
                match blake3::Hash::from_hex(text) {
                    Ok(hash) if canonical => Ok(Self(*hash.as_bytes())),
                    _ => Err(IdError(text.to_owned())),
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;

            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.full()
            }
        }
    };
}

id! {
    /// The BLAKE3 hash of a file's bytes: an ONNX, its external data, a calibration table.
    BlobId
}
id! {
    /// What an engine depends on: files, table, build plan, TensorRT, GPU and L4T.
    EngineKey
}
id! {
    /// One release of a model on a device: its manifest and the engine built from it.
    ReleaseId
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_short_for_people_and_full_in_json() {
        let id = BlobId::of(b"abc");
        assert_eq!(id.to_string(), "6437b3ac");
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(json.len(), 66);
        assert_eq!(serde_json::from_str::<BlobId>(&json).unwrap(), id);
    }

    #[test]
    fn anything_but_64_lower_case_hex_digits_is_refused() {
        let good = BlobId::of(b"").full();
        for bad in ["", "6437b3ac", &good.to_uppercase(), &format!("{good}0"), &good.replace(&good[..1], "/")]
        {
            assert!(bad.parse::<BlobId>().is_err(), "{bad}");
        }
    }
}
