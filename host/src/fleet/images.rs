//! From what `images` says to a list of files.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use trt_imaging::is_image_path;

use super::error::{ImagesError, Place};
use super::paths::{Base, PathError};
use trt_files::read_capped;

/// The largest list that is read, in bytes: a million long paths.
const MAX_LIST_BYTES: u64 = 256 << 20;

/// Images as the fleet file names them: folders, globs, list files, single images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Images {
    sources: Vec<Source>,
}

/// One entry: a text, and the folder that it starts from.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Source {
    folder: PathBuf,
    text: String,
}

impl Images {
    /// Images that `texts` name, relative to `base`. Looks at no file.
    pub(super) fn new(texts: &[String], base: &Base<'_>) -> Result<Self, PathError> {
        let source =
            |text: &String| base.split(text).map(|(folder, rest)| Source { folder, text: rest.to_owned() });
        Ok(Self { sources: texts.iter().map(source).collect::<Result<_, _>>()? })
    }

    /// Images that the command line names, relative to the working folder. Looks at no file.
    ///
    /// # Errors
    /// [`ImagesError::Path`].
    pub fn of_arguments(texts: &[String]) -> Result<Self, ImagesError> {
        let wrong = |source| ImagesError::Path { text: texts.join(", "), source };
        Self::new(texts, &Base::of(Path::new(""))).map_err(wrong)
    }

    /// The files, each once, sorted by path.
    ///
    /// - A folder stands for the images directly in it, told by their extension.
    /// - A `.txt` file is a list: one path a line, relative to the list; empty lines and lines with `#` are skipped.
    /// - What exists is never a pattern. Otherwise `*`, `?`, `[abc]` and `**` make a glob; a glob yields the
    ///   files with an image's extension.
    /// - Files that are named one by one are taken whatever their extension.
    ///
    /// # Errors
    /// Every variant of [`ImagesError`]; each entry must yield an image.
    pub fn list(&self) -> Result<Vec<PathBuf>, ImagesError> {
        let mut files = BTreeSet::new();
        for source in &self.sources {
            let found = source.list()?;
            if found.is_empty() {
                return Err(ImagesError::None { from: source.path().display().to_string() });
            }
            files.extend(found);
        }
        Ok(files.into_iter().collect())
    }
}

/// The files that `text` stands for as a value of `images` in `fleet_file`.
///
/// # Errors
/// As [`Images::list`].
pub fn images_at(text: &str, fleet_file: &Path) -> Result<Vec<PathBuf>, ImagesError> {
    let images = Images::new(&[text.to_owned()], &Base::of(fleet_file));
    images.map_err(|source| ImagesError::Path { text: text.to_owned(), source })?.list()
}

impl Source {
    fn path(&self) -> PathBuf {
        self.folder.join(&self.text)
    }

    fn list(&self) -> Result<Vec<PathBuf>, ImagesError> {
        let path = self.path();
        match fs::metadata(&path) {
            Ok(found) if found.is_dir() => folder(&path),
            Ok(found) if found.is_file() && path.extension().is_some_and(|ext| ext == "txt") => lines(&path),
            Ok(found) if found.is_file() => Ok(vec![path]),
            Ok(_) => Err(ImagesError::NotAFile { path }),
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(ImagesError::Read { path, source })
            }
            Err(_) if self.text.contains(['*', '?', '[']) => self.glob(),
            Err(_) => Err(ImagesError::NotFound { path }),
        }
    }

    fn glob(&self) -> Result<Vec<PathBuf>, ImagesError> {
        // The folder's own brackets and stars are literal.
        let folder = glob::Pattern::escape(&self.folder.to_string_lossy());
        let pattern = Path::new(&folder).join(&self.text).to_string_lossy().into_owned();
        let options = glob::MatchOptions { require_literal_leading_dot: true, ..Default::default() };
        let paths = glob::glob_with(&pattern, options)
            .map_err(|source| ImagesError::Pattern { pattern: self.text.clone(), source })?;
        let mut files = Vec::new();
        for path in paths {
            let path = path
                .map_err(|error| ImagesError::Read { path: error.path().to_owned(), source: error.into() })?;
            if is_image_path(&path) && path.is_file() {
                files.push(path);
            }
        }
        Ok(files)
    }
}

fn folder(path: &Path) -> Result<Vec<PathBuf>, ImagesError> {
    let read = |source| ImagesError::Read { path: path.to_owned(), source };
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(read)? {
        let file = entry.map_err(read)?.path();
        if is_image_path(&file) && file.is_file() {
            files.push(file);
        }
    }
    Ok(files)
}

fn lines(list: &Path) -> Result<Vec<PathBuf>, ImagesError> {
    let unreadable = |source| ImagesError::Read { path: list.to_owned(), source };
    let bytes = read_capped(list, MAX_LIST_BYTES).map_err(|error| unreadable(error.into()))?;
    let invalid = |error| unreadable(io::Error::new(io::ErrorKind::InvalidData, error));
    let text = String::from_utf8(bytes).map_err(invalid)?;
    let base = Base::of(list);
    let mut files = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let path =
            base.resolve(line).map_err(|source| ImagesError::Path { text: line.to_owned(), source })?;
        if !path.is_file() {
            let at = Place { file: list.to_owned(), line: number + 1, column: 1 };
            return Err(ImagesError::NotListed { at, path });
        }
        files.push(path);
    }
    Ok(files)
}
