//! What a path in the fleet file means.

use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

/// A path that means nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    #[error("the path is empty")]
    Empty,
    #[error("`~` cannot be resolved, since the environment variable `HOME` is not set")]
    NoHome,
    #[error("`~` means your own home folder and must be followed by `/`")]
    OtherHome,
}

/// What relative paths and `~/` are relative to.
#[derive(Debug, Clone)]
pub struct Base<'a> {
    folder: &'a Path,
    home: Option<OsString>,
}

impl<'a> Base<'a> {
    /// The folder of `file`, and the user's home folder.
    pub fn of(file: &'a Path) -> Self {
        let home = std::env::var_os("HOME").filter(|home| !home.is_empty());
        Self { folder: file.parent().unwrap_or(Path::new("")), home }
    }

    /// The same with another home folder.
    #[cfg(test)]
    pub fn with_home(self, home: Option<&str>) -> Self {
        Self { home: home.map(OsString::from), ..self }
    }

    /// The folder that `text` starts from, and the rest of `text`; an absolute path replaces the folder on `join`.
    pub fn split<'t>(&self, text: &'t str) -> Result<(PathBuf, &'t str), PathError> {
        match text.strip_prefix('~') {
            _ if text.is_empty() => Err(PathError::Empty),
            None => Ok((self.folder.to_owned(), text)),
            Some(rest) if rest.is_empty() || rest.starts_with('/') => {
                let home = self.home.as_ref().ok_or(PathError::NoHome)?;
                Ok((PathBuf::from(home), rest.trim_start_matches('/')))
            }
            Some(_) => Err(PathError::OtherHome),
        }
    }

    /// The path that `text` means.
    pub fn resolve(&self, text: &str) -> Result<PathBuf, PathError> {
        let (folder, rest) = self.split(text)?;
        Ok(folder.join(rest))
    }
}

/// A path in the form in which two spellings of it are equal: absolute, without `.` and `..`. Looks at no file, so
/// that links count as folders.
pub fn plain(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut plain = PathBuf::new();
    for part in absolute.components() {
        match part {
            Component::CurDir => {}
            // The root's parent is the root.
            Component::ParentDir => drop(plain.pop()),
            part => plain.push(part),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_a_path_are_equal_once_they_are_plain() {
        for spelling in ["/a/b/c", "/a/./b//c", "/a/x/../b/c", "/../a/b/c/", "/a/b/c/x/y/../.."] {
            assert_eq!(plain(Path::new(spelling)), Path::new("/a/b/c"), "{spelling}");
        }
        assert_eq!(plain(Path::new("x/../t")), std::env::current_dir().unwrap().join("t"));
    }

    #[test]
    fn paths_are_relative_to_the_file_and_tilde_is_home() {
        let base = Base::of(Path::new("etc/fleet.yaml")).with_home(Some("/home/ada"));
        for (text, meaning) in [
            ("a.onnx", Ok("etc/a.onnx")),
            ("../a.onnx", Ok("etc/../a.onnx")),
            ("/a.onnx", Ok("/a.onnx")),
            ("~/a.onnx", Ok("/home/ada/a.onnx")),
            ("~//a.onnx", Ok("/home/ada/a.onnx")),
            ("~", Ok("/home/ada/")),
            ("a~b", Ok("etc/a~b")),
            ("~bob/a.onnx", Err(PathError::OtherHome)),
            ("", Err(PathError::Empty)),
        ] {
            assert_eq!(base.resolve(text), meaning.map(PathBuf::from), "{text}");
        }
        assert_eq!(base.with_home(None).resolve("~/a"), Err(PathError::NoHome));
        assert_eq!(Base::of(Path::new("fleet.yaml")).resolve("a.onnx"), Ok(PathBuf::from("a.onnx")));
    }
}
