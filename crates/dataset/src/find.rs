//! From what `images` or `inputs` says to a list of files.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use trt_files::read_capped;
use trt_imaging::is_image_path;

/// The largest list that is read, in bytes: a million long paths.
const MAX_LIST_BYTES: u64 = 256 << 20;

/// One entry: a text, and the folder that it starts from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where a relative `text` starts. Its own brackets and stars are literal.
    pub folder: PathBuf,
    /// A folder, a glob, a list file, or a file.
    pub text: String,
}

/// Which files a folder or a glob yields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Those with an image's extension.
    Images,
    /// `.npy` and `.npz`.
    Arrays,
}

/// Files that cannot be found.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// Nothing is there.
    #[error("there is no such folder, file or list: {}", path.display())]
    NotFound {
        /// What was looked for.
        path: PathBuf,
    },
    /// A folder or list cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The folder or list.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A pattern that is none.
    #[error("the pattern is wrong: `{pattern}`")]
    Pattern {
        /// As it was written.
        pattern: String,
        /// Why.
        source: glob::PatternError,
    },
    /// A pipe or a device.
    #[error("this is neither a folder nor a regular file: {}", path.display())]
    NotAFile {
        /// What it is not.
        path: PathBuf,
    },
    /// A folder, pattern or list with no such file.
    #[error("there are no {} in: {from}", wanted.plural())]
    None {
        /// What was searched.
        from: String,
        /// For what.
        wanted: Wanted,
    },
    /// A line of a list names a file that is not there.
    #[error("{}:{line}: there is no such file: {}", list.display(), path.display())]
    NotListed {
        /// The list.
        list: PathBuf,
        /// Which line, counted from 1.
        line: usize,
        /// What it names.
        path: PathBuf,
    },
}

impl FindError {
    /// What mends it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NotFound { .. } => {
                "name a folder, a glob such as `photos/**/*.jpg`, or a list file `.txt`, relative to the fleet file".into()
            }
            Self::None { wanted: Wanted::Images, .. } => {
                "images are told by their extension: `.jpg`, `.png`, `.bmp` or `.webp`; `photos/**/*.jpg` also looks in \
                 the folders below"
                    .into()
            }
            Self::None { wanted: Wanted::Arrays, .. } => {
                "arrays are told by their extension: `.npy` or `.npz`, as `numpy.save` and `numpy.savez` write them".into()
            }
            Self::NotAFile { .. } => "save it to a file: pipes and devices cannot be read twice".into(),
            Self::Read { .. } => "check the permissions, and that a list is UTF-8 text".into(),
            Self::Pattern { .. } => "put a literal bracket into brackets: `[[]`".into(),
            Self::NotListed { .. } => "paths in a list are relative to the list; one path a line".into(),
        })
    }
}

impl Wanted {
    /// What people call them.
    pub fn plural(self) -> &'static str {
        match self {
            Self::Images => "images",
            Self::Arrays => "arrays",
        }
    }

    fn takes(self, path: &Path) -> bool {
        let is = |ext: &str| path.extension().is_some_and(|own| own.eq_ignore_ascii_case(ext));
        match self {
            Self::Images => is_image_path(path),
            Self::Arrays => is("npy") || is("npz"),
        }
    }
}

/// The files that `entries` stand for, each once, sorted by path. `~/` in a list is `home`.
///
/// - A folder stands for the wanted files directly in it, told by their extension.
/// - A `.txt` file is a list: one path a line, relative to the list; empty lines and lines with `#` are skipped.
/// - What exists is never a pattern. Otherwise `*`, `?`, `[abc]` and `**` make a glob; a glob yields the wanted files,
///   and none behind a leading dot that it does not spell out.
/// - Files that are named one by one are taken whatever their extension.
///
/// # Errors
/// Every variant of [`FindError`]; each entry must yield a file.
pub fn find(entries: &[Entry], wanted: Wanted, home: Option<&Path>) -> Result<Vec<PathBuf>, FindError> {
    let mut files = BTreeSet::new();
    for entry in entries {
        let found = entry.list(wanted, home)?;
        if found.is_empty() {
            return Err(FindError::None { from: entry.path().display().to_string(), wanted });
        }
        files.extend(found);
    }
    Ok(files.into_iter().collect())
}

impl Entry {
    fn path(&self) -> PathBuf {
        self.folder.join(&self.text)
    }

    fn list(&self, wanted: Wanted, home: Option<&Path>) -> Result<Vec<PathBuf>, FindError> {
        let path = self.path();
        match fs::metadata(&path) {
            Ok(found) if found.is_dir() => folder(&path, wanted),
            Ok(found) if found.is_file() && path.extension().is_some_and(|ext| ext == "txt") => {
                lines(&path, home)
            }
            Ok(found) if found.is_file() => Ok(vec![path]),
            Ok(_) => Err(FindError::NotAFile { path }),
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(FindError::Read { path, source }),
            Err(_) if self.text.contains(['*', '?', '[']) => self.glob(wanted),
            Err(_) => Err(FindError::NotFound { path }),
        }
    }

    fn glob(&self, wanted: Wanted) -> Result<Vec<PathBuf>, FindError> {
        let folder = glob::Pattern::escape(&self.folder.to_string_lossy());
        let pattern = Path::new(&folder).join(&self.text).to_string_lossy().into_owned();
        let options = glob::MatchOptions { require_literal_leading_dot: true, ..Default::default() };
        let paths = glob::glob_with(&pattern, options)
            .map_err(|source| FindError::Pattern { pattern: self.text.clone(), source })?;
        let mut files = Vec::new();
        for path in paths {
            let path = path
                .map_err(|error| FindError::Read { path: error.path().to_owned(), source: error.into() })?;
            if wanted.takes(&path) && path.is_file() {
                files.push(path);
            }
        }
        Ok(files)
    }
}

fn folder(path: &Path, wanted: Wanted) -> Result<Vec<PathBuf>, FindError> {
    let read = |source| FindError::Read { path: path.to_owned(), source };
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(read)? {
        let file = entry.map_err(read)?.path();
        if wanted.takes(&file) && file.is_file() {
            files.push(file);
        }
    }
    Ok(files)
}

fn lines(list: &Path, home: Option<&Path>) -> Result<Vec<PathBuf>, FindError> {
    let unreadable = |source| FindError::Read { path: list.to_owned(), source };
    let bytes = read_capped(list, MAX_LIST_BYTES).map_err(|error| unreadable(error.into()))?;
    let invalid = |error| unreadable(io::Error::new(io::ErrorKind::InvalidData, error));
    let text = String::from_utf8(bytes).map_err(invalid)?;
    let folder = list.parent().unwrap_or(Path::new(""));
    let mut files = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let path = match (line.strip_prefix("~/"), home) {
            (Some(rest), Some(home)) => home.join(rest.trim_start_matches('/')),
            _ => folder.join(line),
        };
        if !path.is_file() {
            return Err(FindError::NotListed { list: list.to_owned(), line: number + 1, path });
        }
        files.push(path);
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(folder: &Path, text: &str, wanted: Wanted) -> Result<Vec<String>, FindError> {
        let entry = Entry { folder: folder.to_owned(), text: text.to_owned() };
        let name = |path: PathBuf| path.strip_prefix(folder).unwrap_or(&path).display().to_string();
        Ok(find(&[entry], wanted, Some(folder))?.into_iter().map(name).collect())
    }

    #[test]
    fn folders_globs_lists_and_files_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        fs::create_dir(path.join("sub")).unwrap();
        for name in ["b.JPG", "a.png", "c.npy", "odd.xyz", "sub/d.jpg", "sub/e.npz", "[1].bmp"] {
            fs::write(path.join(name), name).unwrap();
        }
        fs::write(path.join("list.txt"), "# a list\n\nsub/d.jpg\n~/odd.xyz\n").unwrap();
        fs::write(path.join("bad.txt"), "a.png\nnone.png\n").unwrap();
        let cases: [(&str, Wanted, &[&str]); 8] = [
            ("", Wanted::Images, &["[1].bmp", "a.png", "b.JPG"]),
            ("", Wanted::Arrays, &["c.npy"]),
            ("**/*", Wanted::Images, &["[1].bmp", "a.png", "b.JPG", "sub/d.jpg"]),
            ("**/*", Wanted::Arrays, &["c.npy", "sub/e.npz"]),
            ("[1].bmp", Wanted::Images, &["[1].bmp"]),
            ("[ab].*", Wanted::Images, &["a.png", "b.JPG"]),
            ("odd.xyz", Wanted::Images, &["odd.xyz"]),
            ("list.txt", Wanted::Images, &["odd.xyz", "sub/d.jpg"]),
        ];
        for (text, wanted, expected) in cases {
            assert_eq!(found(path, text, wanted).unwrap(), expected, "`{text}`");
        }
        let error = |text| found(path, text, Wanted::Arrays).unwrap_err();
        assert!(matches!(error("nothing"), FindError::NotFound { .. }));
        assert!(matches!(error("*.jpg"), FindError::None { .. }));
        assert!(matches!(error("[*"), FindError::Pattern { .. }));
        assert!(matches!(error("bad.txt"), FindError::NotListed { line: 2, .. }));
        assert!(matches!(error("list.txt/x"), FindError::Read { .. }));
    }
}
