//! A file name and a class a line.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::{Known, LabelError, class, key};

/// The largest file that is read, in bytes: some ten million lines.
const MOST: u64 = 1 << 30;

/// What a first line calls the class, if it is a line of titles.
const TITLES: [&str; 6] = ["class", "label", "category", "target", "class_id", "class_name"];

/// The class of each file, and the names of the classes.
pub(super) fn read(path: &Path, classes: &[String]) -> Known<usize> {
    let failed =
        |source: trt_files::ReadError| LabelError::Read { path: path.to_owned(), source: source.into() };
    let content = trt_files::read_capped(path, MOST).map_err(failed)?;
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .comment(Some(b'#'))
        .trim(csv::Trim::All)
        .from_reader(&content[..]);
    let mut rows: Vec<(u64, String, String)> = Vec::new();
    for (at, record) in reader.records().enumerate() {
        let refused = |line: u64, reason: String| LabelError::Line { path: path.to_owned(), line, reason };
        let record = record.map_err(|error| {
            let line = error.position().map_or(at as u64 + 1, csv::Position::line);
            refused(line, error.to_string())
        })?;
        let line = record.position().map_or(at as u64 + 1, csv::Position::line);
        match (record.get(0), record.get(1), record.len()) {
            (Some(_), Some(title), _) if at == 0 && TITLES.contains(&title.to_lowercase().as_str()) => {}
            (Some(file), Some(class), 2) if !file.is_empty() && !class.is_empty() => {
                rows.push((line, key(file), class.to_owned()));
            }
            (.., fields) => return Err(refused(line, format!("it has {fields} fields, or an empty one"))),
        }
    }
    if rows.is_empty() {
        return Err(LabelError::Empty { path: path.to_owned() });
    }
    let names: BTreeSet<&String> = rows.iter().map(|(_, _, class)| class).collect();
    let numbers = names.iter().all(|name| name.parse::<usize>().is_ok());
    let known: Vec<String> = match (classes, numbers) {
        ([], true) => Vec::new(),
        ([], false) => names.into_iter().cloned().collect(),
        (named, _) => named.to_vec(),
    };
    let mut files = BTreeMap::new();
    for (_, file, name) in rows {
        let Some(class) = class(&name, &known) else {
            return Err(LabelError::UnknownClass { path: path.to_owned(), class: name, known: known.len() });
        };
        if files.insert(file.clone(), class).is_some() {
            return Err(LabelError::Twice { path: path.to_owned(), file });
        }
    }
    Ok((files, known))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Label, Labels};

    fn labels(text: &str, classes: &[&str]) -> Result<Labels, LabelError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("labels.csv");
        std::fs::write(&path, text).unwrap();
        let classes: Vec<String> = classes.iter().map(ToString::to_string).collect();
        Labels::csv(&path, &classes)
    }

    #[test]
    fn classes_are_numbers_names_or_members_of_a_list() {
        for (text, classes, expected) in [
            ("a.jpg,3\nb.jpg,7\n", &[][..], 7),
            ("file,label\na.jpg, 3\n\"b.jpg\",\"7\"\n", &[], 7),
            ("a.jpg,dog\nb.jpg,cat\n", &[], 0),
            ("a.jpg,dog\nb.jpg,cat\n", &["dog", "cat"], 1),
            ("# note\na.jpg,0\n./b.jpg,1\n", &["dog", "cat"], 1),
        ] {
            let found = labels(text, classes).unwrap().of(Path::new("/images/b.jpg")).unwrap();
            assert_eq!(found, Some(Label::Class(expected)), "{text:?}");
        }
    }

    #[test]
    fn a_file_that_is_no_list_of_labels_is_refused() {
        assert!(matches!(labels("", &[]), Err(LabelError::Empty { .. })));
        assert!(matches!(labels("a.jpg,1\nb.jpg\n", &[]), Err(LabelError::Line { line: 2, .. })));
        assert!(matches!(labels("a.jpg,1,2\n", &[]), Err(LabelError::Line { line: 1, .. })));
        assert!(matches!(labels("a.jpg,1\na.jpg,2\n", &[]), Err(LabelError::Twice { .. })));
        assert!(matches!(labels("a.jpg,2\n", &["x", "y"]), Err(LabelError::UnknownClass { known: 2, .. })));
        assert!(matches!(labels("a.jpg,\u{fffd}\n", &["x"]), Err(LabelError::UnknownClass { .. })));
    }
}
