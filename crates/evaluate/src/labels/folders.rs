//! A folder for each class.

use std::fs;
use std::path::Path;

use super::{Known, LabelError};

/// The class of each folder, and the names of the classes.
pub(super) fn read(root: &Path, classes: &[String]) -> Known<usize> {
    let failed = |source| LabelError::Read { path: root.to_owned(), source };
    let mut names = Vec::new();
    for entry in fs::read_dir(root).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        // Hidden folders are those of tools.
        if entry.path().is_dir() && !name.starts_with('.') {
            names.push(name);
        }
    }
    names.sort();
    if names.is_empty() {
        return Err(LabelError::Empty { path: root.to_owned() });
    }
    if classes.is_empty() {
        if let Ok(numbers) = names.iter().map(|name| name.parse()).collect::<Result<Vec<usize>, _>>() {
            return Ok((names.into_iter().zip(numbers).collect(), Vec::new()));
        }
        let numbered = names.iter().cloned().zip(0..).collect();
        return Ok((numbered, names));
    }
    let class = |name: String| match super::class(&name, classes) {
        Some(class) => Ok((name, class)),
        None => Err(LabelError::UnknownClass { path: root.to_owned(), class: name, known: classes.len() }),
    };
    Ok((names.into_iter().map(class).collect::<Result<_, _>>()?, classes.to_vec()))
}
