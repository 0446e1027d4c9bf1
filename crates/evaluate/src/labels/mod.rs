//! What is in the samples, as somebody has written it down.

mod coco;
mod csv;
mod error;
mod folders;
mod masks;
mod names;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use error::LabelError;
pub use names::class_names;

use crate::Label;

/// Labels of images, by their paths.
#[derive(Debug, Clone)]
pub struct Labels {
    kind: Kind,
    classes: Vec<String>,
}

#[derive(Debug, Clone)]
enum Kind {
    /// By the folder that the image is in.
    Folders(BTreeMap<String, usize>),
    /// By the image's path, or the end of it.
    Files(BTreeMap<String, Label>),
    /// By a mask of the image's name in this folder.
    Masks(PathBuf),
}

impl Labels {
    /// A folder with a folder for each class.
    ///
    /// With `classes`, a folder is named as its class. Without: if every folder is a number, that is the class;
    /// otherwise classes are numbered in the order of their names, as torchvision's `ImageFolder` does.
    ///
    /// # Errors
    /// [`LabelError::Read`], [`LabelError::Empty`], [`LabelError::UnknownClass`].
    pub fn folders(root: &Path, classes: &[String]) -> Result<Self, LabelError> {
        let (folders, classes) = folders::read(root, classes)?;
        Ok(Self { kind: Kind::Folders(folders), classes })
    }

    /// A CSV file with a file name and a class in each line; a line of titles may come first.
    ///
    /// A class is a number, or a name: of `classes`, or without them in the order of all names in the file.
    ///
    /// # Errors
    /// [`LabelError::Read`], [`LabelError::Line`], [`LabelError::Empty`], [`LabelError::UnknownClass`],
    /// [`LabelError::Twice`].
    pub fn csv(path: &Path, classes: &[String]) -> Result<Self, LabelError> {
        let (files, classes) = csv::read(path, classes)?;
        let files = files.into_iter().map(|(file, class)| (file, Label::Class(class))).collect();
        Ok(Self { kind: Kind::Files(files), classes })
    }

    /// A COCO JSON file with boxes.
    ///
    /// Classes are those of `classes` by name, or without them the file's categories in the order of their ids: 0 to 79
    /// for COCO's own, as detectors number them. Crowds are kept as such: nobody has to find them.
    ///
    /// # Errors
    /// [`LabelError::Read`], [`LabelError::Json`], [`LabelError::Empty`], [`LabelError::UnknownClass`],
    /// [`LabelError::Annotation`], [`LabelError::Twice`].
    pub fn coco(path: &Path, classes: &[String]) -> Result<Self, LabelError> {
        let (files, classes) = coco::read(path, classes)?;
        let files = files.into_iter().map(|(file, boxes)| (file, Label::Boxes(boxes))).collect();
        Ok(Self { kind: Kind::Files(files), classes })
    }

    /// A folder with a PNG for each image, of the same name, whose pixels are classes: grey values or the indices of a
    /// palette. 255 is ignored.
    ///
    /// # Errors
    /// [`LabelError::Read`] if there is no such folder; the masks are read when they are asked for.
    pub fn masks(folder: &Path) -> Result<Self, LabelError> {
        let read = |source| LabelError::Read { path: folder.to_owned(), source };
        std::fs::read_dir(folder).map_err(read)?;
        Ok(Self { kind: Kind::Masks(folder.to_owned()), classes: Vec::new() })
    }

    /// The names of the classes, by number; empty where they have none.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// What is in an image; `None` if nobody has said so.
    ///
    /// # Errors
    /// Of masks: [`LabelError::Read`], [`LabelError::Mask`].
    pub fn of(&self, image: &Path) -> Result<Option<Label>, LabelError> {
        match &self.kind {
            Kind::Folders(folders) => {
                let folder = image.parent().and_then(Path::file_name).and_then(|name| name.to_str());
                Ok(folder.and_then(|folder| folders.get(folder)).map(|class| Label::Class(*class)))
            }
            Kind::Files(files) => Ok(by_path(files, image).cloned()),
            Kind::Masks(folder) => {
                let Some(stem) = image.file_stem() else { return Ok(None) };
                let mut path = folder.join(stem);
                path.as_mut_os_string().push(".png");
                if path.exists() { masks::read(&path).map(|mask| Some(Label::Mask(mask))) } else { Ok(None) }
            }
        }
    }
}

/// What is said of each file or folder, and the names of the classes.
type Known<T> = Result<(BTreeMap<String, T>, Vec<String>), LabelError>;

/// Looks a path up by as much of its end as is written down, the longest first.
fn by_path<'a, T>(files: &'a BTreeMap<String, T>, image: &Path) -> Option<&'a T> {
    let text = image.to_str()?.replace('\\', "/");
    let mut rest = text.as_str();
    loop {
        if let Some(found) = files.get(rest) {
            return Some(found);
        }
        rest = rest.split_once('/')?.1;
    }
}

/// A file's name as it is looked up.
fn key(file: &str) -> String {
    let file = file.trim().replace('\\', "/");
    file.strip_prefix("./").map(str::to_owned).unwrap_or(file)
}

/// The class of that name or, without names, number.
fn class(text: &str, classes: &[String]) -> Option<usize> {
    let named = classes.iter().position(|class| class == text);
    named.or_else(|| text.parse().ok().filter(|class| classes.is_empty() || *class < classes.len()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn class_folders_are_numbers_or_names_in_order() {
        let names = |names: &[&str]| -> Vec<String> { names.iter().map(ToString::to_string).collect() };
        for (folders, classes, image, expected) in [
            (&["3", "12"][..], &[][..], "12/a.jpg", Some(12)),
            (&["dog", "cat"], &[], "dog/a.jpg", Some(1)),
            (&["dog", "cat"], &["dog", "cow", "cat"], "cat/a.jpg", Some(2)),
            (&["dog", "cat"], &[], "bird/a.jpg", None),
        ] {
            let root = tempfile::tempdir().unwrap();
            folders.iter().for_each(|folder| fs::create_dir(root.path().join(folder)).unwrap());
            let labels = Labels::folders(root.path(), &names(classes)).unwrap();
            let found = labels.of(&root.path().join(image)).unwrap();
            assert_eq!(found, expected.map(Label::Class), "{folders:?} {classes:?} {image}");
        }
        let root = tempfile::tempdir().unwrap();
        assert!(matches!(Labels::folders(root.path(), &[]), Err(LabelError::Empty { .. })));
        fs::create_dir(root.path().join("bird")).unwrap();
        let found = Labels::folders(root.path(), &names(&["cat"]));
        assert!(matches!(found, Err(LabelError::UnknownClass { class, .. }) if class == "bird"));
    }

    #[test]
    fn a_path_is_found_by_its_end() {
        let files: BTreeMap<String, u32> = [("b.jpg".to_owned(), 1), ("a/b.jpg".to_owned(), 2)].into();
        for (path, expected) in [
            ("/x/a/b.jpg", Some(2)),
            ("/x/c/b.jpg", Some(1)),
            ("b.jpg", Some(1)),
            ("/x/ab.jpg", None),
            ("", None),
        ] {
            assert_eq!(by_path(&files, Path::new(path)).copied(), expected, "{path}");
        }
    }
}
