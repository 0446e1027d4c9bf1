//! The names of classes.

use std::path::Path;

use super::LabelError;

/// The largest file that is read, in bytes: a million names.
const MOST: u64 = 32 << 20;

/// Reads the names of classes from a file with a name in each line, the first of class 0. A line that is empty leaves its
/// class without a name; empty lines at the end are none.
///
/// # Errors
/// [`LabelError::Read`], [`LabelError::Empty`].
pub fn class_names(path: &Path) -> Result<Vec<String>, LabelError> {
    let failed =
        |source: trt_files::ReadError| LabelError::Read { path: path.to_owned(), source: source.into() };
    let bytes = trt_files::read_capped(path, MOST).map_err(failed)?;
    let text = String::from_utf8(bytes).map_err(|error| LabelError::Read {
        path: path.to_owned(),
        source: std::io::Error::new(std::io::ErrorKind::InvalidData, error),
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text).trim_end();
    if text.is_empty() {
        return Err(LabelError::Empty { path: path.to_owned() });
    }
    Ok(text.lines().map(|line| line.trim().to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_a_name_and_its_number_that_of_the_class() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("names.txt");
        for (text, expected) in [
            ("person\nbicycle\r\n", Some(&["person", "bicycle"][..])),
            ("\u{feff}a\n\n c d \n\n\n", Some(&["a", "", "c d"])),
            ("\n", None),
        ] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(
                class_names(&path).ok(),
                expected.map(|names| names.iter().map(ToString::to_string).collect())
            );
        }
        std::fs::write(&path, b"\xff").unwrap();
        assert!(matches!(class_names(&path), Err(LabelError::Read { .. })));
    }
}
