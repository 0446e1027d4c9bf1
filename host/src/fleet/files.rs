//! What `images` and `arrays` say, as places to look for files.

use std::path::{Path, PathBuf};

use trt_dataset::{Entry, FindError, Wanted, find};

use super::paths::{Base, PathError};

/// Files of samples as the fleet file names them: folders, globs, list files, single files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    wanted: Wanted,
    entries: Vec<Entry>,
}

/// Files that cannot be found.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// They are not there.
    #[error(transparent)]
    Find(#[from] FindError),
    /// The path means nothing.
    #[error("the path of the samples is wrong: `{text}`")]
    Path {
        /// What was written.
        text: String,
        /// Why.
        source: PathError,
    },
}

impl FilesError {
    /// What mends it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Find(error) => error.hint(),
            Self::Path { .. } => {
                Some("paths are absolute, relative to the fleet file, or start with `~/`".to_owned())
            }
        }
    }
}

impl Files {
    /// Files that `texts` name, relative to `base`. Looks at no file.
    pub(super) fn new(wanted: Wanted, texts: &[String], base: &Base<'_>) -> Result<Self, PathError> {
        let entry =
            |text: &String| base.split(text).map(|(folder, rest)| Entry { folder, text: rest.to_owned() });
        Ok(Self { wanted, entries: texts.iter().map(entry).collect::<Result<_, _>>()? })
    }

    /// Files that the command line names, relative to the working folder. Looks at no file.
    ///
    /// # Errors
    /// [`FilesError::Path`].
    pub fn of_arguments(wanted: Wanted, texts: &[String]) -> Result<Self, FilesError> {
        let wrong = |source| FilesError::Path { text: texts.join(", "), source };
        Self::new(wanted, texts, &Base::of(Path::new(""))).map_err(wrong)
    }

    /// The files, each once, sorted by path, as [`find`] says.
    ///
    /// # Errors
    /// [`FilesError::Find`]; each entry must yield a file.
    pub fn list(&self) -> Result<Vec<PathBuf>, FilesError> {
        let home = std::env::var_os("HOME").map(PathBuf::from);
        Ok(find(&self.entries, self.wanted, home.as_deref())?)
    }
}

/// The files that `text` stands for as a value of `images` in `fleet_file`.
///
/// # Errors
/// As [`Files::list`].
pub fn images_at(text: &str, fleet_file: &Path) -> Result<Vec<PathBuf>, FilesError> {
    let images = Files::new(Wanted::Images, &[text.to_owned()], &Base::of(fleet_file));
    images.map_err(|source| FilesError::Path { text: text.to_owned(), source })?.list()
}
