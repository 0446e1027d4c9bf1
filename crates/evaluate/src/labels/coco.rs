//! COCO's JSON of boxes.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use serde::Deserialize;
use trt_metrics::{BBox, Truth};

use super::{Known, LabelError, class, key};

/// The largest file that is read, in bytes; COCO's own training set has 448 MB.
const MOST: u64 = 1 << 30;

#[derive(Deserialize)]
struct File {
    images: Vec<Image>,
    annotations: Vec<Annotation>,
    #[serde(default)]
    categories: Vec<Category>,
}

#[derive(Deserialize)]
struct Image {
    id: i64,
    file_name: String,
}

#[derive(Deserialize)]
struct Annotation {
    image_id: i64,
    category_id: i64,
    /// Left, top, width, height in pixels.
    bbox: Option<[f32; 4]>,
    #[serde(default)]
    iscrowd: u8,
}

#[derive(Deserialize)]
struct Category {
    id: i64,
    name: String,
}

/// The boxes of each file, and the names of the classes.
pub(super) fn read(path: &Path, classes: &[String]) -> Known<Vec<Truth>> {
    let failed =
        |source: trt_files::ReadError| LabelError::Read { path: path.to_owned(), source: source.into() };
    let content = trt_files::read_capped(path, MOST).map_err(failed)?;
    let file: File = serde_json::from_slice(&content)
        .map_err(|source| LabelError::Json { path: path.to_owned(), source })?;
    if file.images.is_empty() {
        return Err(LabelError::Empty { path: path.to_owned() });
    }
    let mut categories: Vec<&Category> = file.categories.iter().collect();
    categories.sort_by_key(|category| category.id);
    let mut numbers = HashMap::new();
    for (at, category) in categories.iter().enumerate() {
        let number = if classes.is_empty() { Some(at) } else { class(&category.name, classes) };
        numbers.insert(category.id, (number, category.name.as_str()));
    }
    let names = match classes {
        [] => categories.iter().map(|category| category.name.clone()).collect(),
        named => named.to_vec(),
    };
    let mut boxes: HashMap<i64, Vec<Truth>> =
        file.images.iter().map(|image| (image.id, Vec::new())).collect();
    for (at, annotation) in file.annotations.iter().enumerate() {
        let refused =
            |reason: String| LabelError::Annotation { path: path.to_owned(), annotation: at, reason };
        let Some(of_image) = boxes.get_mut(&annotation.image_id) else {
            return Err(refused(format!("is of an image that is not listed: {}", annotation.image_id)));
        };
        let (number, name) = match numbers.get(&annotation.category_id) {
            Some(known) => *known,
            None => {
                return Err(refused(format!(
                    "is of a category that is not listed: {}",
                    annotation.category_id
                )));
            }
        };
        let Some(number) = number else {
            let (path, class) = (path.to_owned(), name.to_owned());
            return Err(LabelError::UnknownClass { path, class, known: classes.len() });
        };
        let Some([left, top, width, height]) = annotation.bbox else {
            return Err(refused("has no `bbox`".to_owned()));
        };
        if ![left, top, width, height].iter().all(|value| value.is_finite()) || width < 0.0 || height < 0.0 {
            return Err(refused(format!("has no box: {:?}", [left, top, width, height])));
        }
        let bbox = BBox { left, top, right: left + width, bottom: top + height };
        of_image.push(Truth { bbox, class: number as u32, crowd: annotation.iscrowd != 0 });
    }
    let mut files = BTreeMap::new();
    for image in &file.images {
        let name = key(&image.file_name);
        let found = boxes.remove(&image.id).unwrap_or_default();
        if files.insert(name.clone(), found).is_some() {
            return Err(LabelError::Twice { path: path.to_owned(), file: name });
        }
    }
    Ok((files, names))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Label, Labels};

    fn labels(annotations: &str, classes: &[&str]) -> Result<Labels, LabelError> {
        let text = format!(
            r#"{{"info": {{}}, "images": [{{"id": 7, "file_name": "a.jpg", "width": 64}}, {{"id": 8, "file_name": "b.jpg"}}],
            "categories": [{{"id": 18, "name": "dog"}}, {{"id": 1, "name": "person"}}], "annotations": [{annotations}]}}"#
        );
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("instances.json");
        std::fs::write(&path, text).unwrap();
        let classes: Vec<String> = classes.iter().map(ToString::to_string).collect();
        Labels::coco(&path, &classes)
    }

    #[test]
    fn boxes_have_corners_and_classes_in_the_order_of_ids() {
        let one = r#"{"image_id": 7, "category_id": 18, "bbox": [1, 2, 10, 20], "iscrowd": 1, "area": 3.5}"#;
        for (classes, number) in [(&[][..], 1), (&["x", "y", "dog", "person"], 2)] {
            let labels = labels(one, classes).unwrap();
            let bbox = BBox { left: 1.0, top: 2.0, right: 11.0, bottom: 22.0 };
            let expected = Label::Boxes(vec![Truth { bbox, class: number, crowd: true }]);
            assert_eq!(labels.of(Path::new("val/a.jpg")).unwrap(), Some(expected));
            assert_eq!(labels.of(Path::new("val/b.jpg")).unwrap(), Some(Label::Boxes(vec![])));
            assert_eq!(labels.of(Path::new("val/c.jpg")).unwrap(), None);
        }
        assert_eq!(labels(one, &[]).unwrap().classes(), ["person", "dog"]);
    }

    #[test]
    fn annotations_that_make_no_sense_are_refused_by_number() {
        for (annotation, words) in [
            (r#"{"image_id": 9, "category_id": 1, "bbox": [1, 2, 3, 4]}"#, "image that is not listed: 9"),
            (r#"{"image_id": 7, "category_id": 2, "bbox": [1, 2, 3, 4]}"#, "category that is not listed: 2"),
            (r#"{"image_id": 7, "category_id": 1, "bbox": [1, 2, -3, 4]}"#, "has no box"),
            (r#"{"image_id": 7, "category_id": 1}"#, "has no `bbox`"),
            (r#"{"image_id": 7}"#, "not a COCO file"),
        ] {
            let found = labels(annotation, &[]).unwrap_err().to_string();
            assert!(found.contains(words), "{annotation}: {found}");
        }
        let one = r#"{"image_id": 7, "category_id": 18, "bbox": [1, 2, 3, 4]}"#;
        assert!(
            matches!(labels(one, &["person"]), Err(LabelError::UnknownClass { class, .. }) if class == "dog")
        );
    }
}
