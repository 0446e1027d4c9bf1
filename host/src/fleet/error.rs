//! What can be wrong with a fleet file, a choice of devices or a set of images, and what mends it.

use std::fmt;
use std::path::{Path, PathBuf};

use super::problem::Problem;

/// A place in a file, counted from 1, shown as `trt-deploy.yaml:12:5`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Place {
    /// The file as the user named it.
    pub file: PathBuf,
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

impl Place {
    /// The place in `file` right behind `before`, the text from its start.
    pub fn at_end_of(file: &Path, before: &str) -> Self {
        let last = before.rsplit('\n').next().unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        Self { file: file.to_owned(), line, column: last.chars().count() + 1 }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file.display(), self.line, self.column)
    }
}

/// A fleet file that cannot be used, or a choice that fits nothing in it.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// The file is not there.
    #[error("there is no fleet file: {}", file.display())]
    NotFound { file: PathBuf },
    /// A file is in the way of a new one.
    #[error("there is a fleet file already: {}", file.display())]
    Exists { file: PathBuf },
    /// The file cannot be written.
    #[error("cannot write the fleet file {}", file.display())]
    Write { file: PathBuf, source: std::io::Error },
    /// The file cannot be read.
    #[error("cannot read the fleet file {}", file.display())]
    Read { file: PathBuf, source: std::io::Error },
    /// The file is too large to be a fleet file.
    #[error("{}: the file is larger than a fleet file may be, in bytes: {limit}", file.display())]
    TooLarge { file: PathBuf, limit: u64 },
    /// The file says nothing.
    #[error("{}: the file is empty", file.display())]
    Empty { file: PathBuf },
    /// Something in the file is wrong.
    #[error("{at}: {problem}")]
    At { at: Place, problem: Box<Problem> },
    /// A verb was given a model that the file does not have.
    #[error("there is no such model in {}: `{name}`", file.display())]
    NoSuchModel { file: PathBuf, name: String, known: Vec<String> },
    /// A verb was given a target that the file does not have.
    #[error("there is no such device or group in {}: `{name}`", file.display())]
    NoSuchTarget { file: PathBuf, name: String, known: Vec<String> },
    /// A verb was given neither targets nor a selector.
    #[error("no device was chosen")]
    NothingChosen { known: Vec<String> },
    /// No device fits.
    #[error("no device fits what was chosen: {chosen}")]
    NoDevice { chosen: String, labels: Vec<String> },
}

/// The one of `known` that a user who wrote `name` may have meant.
pub fn nearest<'a>(name: &str, known: &'a [String]) -> Option<&'a str> {
    let likeness = |other: &String| strsim::jaro_winkler(&name.to_lowercase(), &other.to_lowercase());
    let best = known.iter().map(|other| (likeness(other), other)).max_by(|a, b| a.0.total_cmp(&b.0));
    best.filter(|(likeness, _)| *likeness >= 0.75).map(|(_, other)| other.as_str())
}

/// `did you mean`, or what there is.
pub(super) fn suggest(name: &str, known: &[String], what: &str) -> String {
    match nearest(name, known) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None if known.is_empty() => format!("the fleet file has no {what} yet"),
        None => format!("{what}: {}", list(known)),
    }
}

/// The first of the names; as many as a section of the fleet file has keys.
fn list(names: &[String]) -> String {
    const SHOWN: usize = 16;
    let quoted: Vec<_> = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
    let more = names.len().saturating_sub(SHOWN);
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    quoted.join(", ") + &rest
}

pub(super) const REFERENCE: &str = "`trt-deploy init --reference` prints every key with its meaning";

impl FleetError {
    /// What mends it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NotFound { .. } => "`trt-deploy init` writes one; `--config FILE` names another".to_owned(),
            Self::Exists { .. } => "`--force` replaces it, `--dry-run` only prints the new one".into(),
            Self::Write { .. } => "check the folder's permissions and free space".into(),
            Self::Read { .. } => {
                "check that this is a file that you may read, or name another with `--config FILE`".into()
            }
            Self::TooLarge { .. } => "name the fleet file with `--config FILE`".into(),
            Self::Empty { .. } => format!("`trt-deploy init --force` writes a small one; {REFERENCE}"),
            Self::At { problem, .. } => return problem.hint(),
            Self::NoSuchModel { name, known, .. } => suggest(name, known, "models"),
            Self::NoSuchTarget { name, known, .. } => suggest(name, known, "devices and groups"),
            Self::NothingChosen { known } if known.is_empty() => "the fleet file has no devices yet".into(),
            Self::NothingChosen { known } => {
                format!("name devices or groups, or select with `-l key=value`: {}", list(known))
            }
            Self::NoDevice { labels, .. } if labels.is_empty() => {
                "no device of the fleet file has labels; add `labels: {key: value}`".into()
            }
            Self::NoDevice { labels, .. } => format!("labels there are: {}", list(labels)),
        })
    }
}
