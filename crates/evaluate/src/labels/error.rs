//! What can be wrong with labels, and what mends it.

use std::io;
use std::path::PathBuf;

/// Why labels cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LabelError {
    /// A file or folder cannot be read.
    #[error("cannot read labels: {}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There are no labels in it.
    #[error("there are no labels in {}", path.display())]
    Empty {
        /// The file or folder.
        path: PathBuf,
    },
    /// A line of a CSV file is not a file name and a class.
    #[error("line {line} of {} is not a file name and a class: {reason}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What is wrong.
        reason: String,
    },
    /// A COCO file is no such JSON.
    #[error("not a COCO file: {}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        source: serde_json::Error,
    },
    /// An annotation of a COCO file makes no sense.
    #[error("annotation {annotation} of {} {reason}", path.display())]
    Annotation {
        /// The file.
        path: PathBuf,
        /// Its place in the list, from 0.
        annotation: usize,
        /// What is wrong.
        reason: String,
    },
    /// A class is not among those named.
    #[error("the labels {} name a class that is not among the {known} known: `{class}`", path.display())]
    UnknownClass {
        /// The file or folder.
        path: PathBuf,
        /// The class.
        class: String,
        /// How many are known.
        known: usize,
    },
    /// A file has two labels.
    #[error("the labels {} have two entries for a file: `{file}`", path.display())]
    Twice {
        /// The labels.
        path: PathBuf,
        /// The file.
        file: String,
    },
    /// A mask is not one class a pixel.
    #[error("not a mask: {}: {reason}", path.display())]
    Mask {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

impl LabelError {
    /// What mends it, in one sentence.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Read { .. } => "check `labels` and the permissions of what it names",
            Self::Empty { .. } => {
                "`labels` takes a folder of class folders, a CSV file, a COCO JSON file, or a folder of masks"
            }
            Self::Line { .. } => "write lines such as `dog/1.jpg,dog`, in UTF-8",
            Self::Json { .. } => "export boxes as COCO JSON, with `images`, `annotations` and `categories`",
            Self::Annotation { .. } => "export the labels again, or remove that annotation",
            Self::UnknownClass { .. } => {
                "check the list of the model's classes against the names in the labels"
            }
            Self::Twice { .. } => "keep one entry for each file, or write paths that tell the files apart",
            Self::Mask { .. } => {
                "save masks as PNG of 8 bits or fewer, grey or with a palette, without interlacing"
            }
        };
        Some(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_is_worded_as_the_style_asks_and_has_a_hint() {
        let (path, text) = (|| PathBuf::from("x"), || "x".to_owned());
        for error in [
            LabelError::Read { path: path(), source: io::ErrorKind::NotFound.into() },
            LabelError::Empty { path: path() },
            LabelError::Line { path: path(), line: 1, reason: text() },
            LabelError::Json { path: path(), source: serde_json::from_str::<u8>("").unwrap_err() },
            LabelError::Annotation { path: path(), annotation: 1, reason: text() },
            LabelError::UnknownClass { path: path(), class: text(), known: 1 },
            LabelError::Twice { path: path(), file: text() },
            LabelError::Mask { path: path(), reason: text() },
        ] {
            let message = error.to_string();
            assert!(message.starts_with(char::is_lowercase) && !message.ends_with('.'), "{message}");
            assert!(error.hint().is_some_and(|hint| !hint.is_empty()), "{message}");
        }
    }
}
