//! Names that become file names on the device, and are therefore restricted.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A name that cannot be used as a folder name on a device.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a name has 1 to 64 characters out of `A-Z a-z 0-9 . _ -` and starts with a letter or a digit, not: {0:?}"
)]
pub struct NameError(pub String);

fn check(text: &str) -> Result<(), NameError> {
    let fits = (1..=64).contains(&text.len())
        && text.as_bytes()[0].is_ascii_alphanumeric()
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    if fits { Ok(()) } else { Err(NameError(text.to_owned())) }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                check(text).map(|()| Self(text.to_owned()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                check(&text).map(|()| Self(text))
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }
    };
}

name! {
    /// A model, as the fleet file calls it; a folder below `models/` on the device.
    ModelName
}
name! {
    /// A hook that the device's own configuration defines; the wire can only name it.
    HookName
}

name! {
    /// A TensorRT plugin library that the device's own configuration defines.
    PluginName
}
name! {
    /// A place to build in that the device's own configuration defines: a TensorRT folder, or a worker command such as
    /// `docker run …`.
    RuntimeName
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_leave_their_folder_are_refused() {
        for bad in ["", ".", "..", "-x", "a/b", "a b", "ä", "<<", &"x".repeat(65)] {
            assert!(bad.parse::<ModelName>().is_err(), "{bad}");
        }
        for good in ["yolov5s", "PP-OCRv4_det.1", "0"] {
            assert_eq!(good.parse::<ModelName>().unwrap().as_str(), good);
        }
    }
}
