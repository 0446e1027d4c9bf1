//! Segmentation: the class of each pixel, whether two networks agree on it, and whether it is right.

use serde::{Deserialize, Serialize};

use crate::MetricsError;
use crate::classes::share;

/// The label of a pixel that does not count (Pascal VOC's borders, and padding).
pub const IGNORED: u8 = 255;

/// The class of each pixel of the first sample, with height and width.
///
/// - `[1, classes, height, width]` and `[classes, height, width]`: the class of the highest score; NaN is never it.
/// - with one class, or of shape `[1, height, width]`: 1 where the score is above `threshold`, else 0.
///
/// # Errors
/// [`MetricsError::Pixels`], also for more than 255 classes; [`MetricsError::Shape`].
pub fn pixel_classes(
    values: &[f32],
    shape: &[usize],
    threshold: f32,
) -> Result<(Vec<u8>, usize, usize), MetricsError> {
    let (classes, height, width) = match *shape {
        [_, classes, height, width] | [classes, height, width] => (classes, height, width),
        _ => return Err(MetricsError::Pixels { shape: shape.to_vec() }),
    };
    if classes == 0 || classes > usize::from(IGNORED) {
        return Err(MetricsError::Pixels { shape: shape.to_vec() });
    }
    let pixels = height * width;
    let Some(first) = values.get(..classes * pixels) else {
        return Err(MetricsError::Shape { shape: shape.to_vec(), values: values.len() });
    };
    if classes == 1 {
        return Ok((first.iter().map(|&value| u8::from(value > threshold)).collect(), height, width));
    }
    let mut best = vec![0; pixels];
    for pixel in 0..pixels {
        let mut highest = f32::NEG_INFINITY;
        for class in 0..classes {
            let score = first[class * pixels + pixel];
            if score > highest {
                (highest, best[pixel]) = (score, class as u8);
            }
        }
    }
    Ok((best, height, width))
}

/// How many pixels two networks give the same class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PixelAgreement {
    /// How many pixels there were.
    pub pixels: u64,
    /// How many are of one class in both.
    pub equal: u64,
}

impl PixelAgreement {
    /// Adds one sample.
    ///
    /// # Errors
    /// [`MetricsError::Length`].
    pub fn add(&mut self, reference: &[u8], other: &[u8]) -> Result<(), MetricsError> {
        if reference.len() != other.len() {
            return Err(MetricsError::Length { reference: reference.len(), other: other.len() });
        }
        self.pixels += reference.len() as u64;
        self.equal += reference.iter().zip(other).filter(|(a, b)| a == b).count() as u64;
        Ok(())
    }

    /// Adds another's pixels.
    pub fn merge(&mut self, other: &Self) {
        self.pixels += other.pixels;
        self.equal += other.equal;
    }

    /// The share of equal pixels, from 0 to 1; `None` without pixels.
    pub fn share(&self) -> Option<f64> {
        share(self.equal, self.pixels)
    }
}

/// How often a pixel of each class was given each class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confusion {
    classes: usize,
    /// By label, then by what was found.
    counts: Vec<u64>,
}

impl Confusion {
    /// No pixels yet. Takes `8 * classes * classes` bytes; at most 255 classes.
    pub fn new(classes: usize) -> Self {
        let classes = classes.min(usize::from(IGNORED));
        Self { classes, counts: vec![0; classes * classes] }
    }

    /// Adds one sample; pixels whose label is [`IGNORED`] do not count.
    ///
    /// # Errors
    /// [`MetricsError::Length`] and [`MetricsError::Class`]; nothing has been added then.
    pub fn add(&mut self, labels: &[u8], found: &[u8]) -> Result<(), MetricsError> {
        if labels.len() != found.len() {
            return Err(MetricsError::Length { reference: labels.len(), other: found.len() });
        }
        let counted = || labels.iter().zip(found).filter(|(label, _)| **label != IGNORED);
        let beyond = |&class: &u8| usize::from(class) >= self.classes;
        if let Some(&class) = counted().flat_map(|(a, b)| [a, b]).find(|class| beyond(class)) {
            return Err(MetricsError::Class { classes: self.classes, found: usize::from(class) });
        }
        for (&label, &found) in labels.iter().zip(found).filter(|(label, _)| **label != IGNORED) {
            self.counts[usize::from(label) * self.classes + usize::from(found)] += 1;
        }
        Ok(())
    }

    /// Adds another's pixels; both have the same number of classes.
    pub fn merge(&mut self, other: &Self) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(own, other)| *own += other);
    }

    /// Intersection over union of each class: `right / (labelled + found - right)`; `None` for a class that is neither
    /// in the labels nor in what was found.
    pub fn iou(&self) -> Vec<Option<f64>> {
        let of = |class: usize| {
            let at = |label: usize, found: usize| self.counts[label * self.classes + found];
            let (labelled, found): (u64, u64) =
                (0..self.classes).fold((0, 0), |(l, f), other| (l + at(class, other), f + at(other, class)));
            let right = at(class, class);
            share(right, labelled + found - right)
        };
        (0..self.classes).map(of).collect()
    }

    /// How many labelled pixels each class has.
    pub fn labelled(&self) -> Vec<u64> {
        self.counts.chunks(self.classes.max(1)).map(|found| found.iter().sum()).collect()
    }

    /// Mean of [`Confusion::iou`] over the classes that have one (Long et al., "Fully Convolutional Networks for
    /// Semantic Segmentation", 2015, section 5); `None` without pixels.
    pub fn miou(&self) -> Option<f64> {
        let known: Vec<f64> = self.iou().into_iter().flatten().collect();
        (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
    }

    /// The share of pixels that are right.
    pub fn accuracy(&self) -> Option<f64> {
        let right = (0..self.classes).map(|class| self.counts[class * (self.classes + 1)]).sum();
        share(right, self.counts.iter().sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pixel_has_the_class_of_its_highest_score() {
        let nan = f32::NAN;
        let scores = [0.1, 0.9, nan, 0.5, 0.2, 0.3, 0.1, 0.5];
        assert_eq!(pixel_classes(&scores, &[1, 2, 2, 2], 0.5).unwrap(), (vec![1, 0, 1, 0], 2, 2));
        assert_eq!(pixel_classes(&scores, &[1, 1, 2, 4], 0.4).unwrap().0, [0, 1, 0, 1, 0, 0, 0, 1]);
        assert!(pixel_classes(&scores, &[1, 8], 0.5).is_err());
        assert!(pixel_classes(&scores, &[1, 2, 2, 3], 0.5).is_err());
        assert!(pixel_classes(&scores, &[1, 256, 1, 1], 0.5).is_err());
    }

    #[test]
    fn overlap_is_counted_by_class_without_ignored_pixels() {
        let mut confusion = Confusion::new(4);
        confusion.add(&[0, 0, 1, 1, IGNORED, 2], &[0, 1, 1, 1, 3, 0]).unwrap();
        // Class 0: 1 of {0, 0, 2->0}; class 1: 2 of 3; class 2: 0 of 1; class 3: nowhere.
        assert_eq!(confusion.iou(), [Some(1.0 / 3.0), Some(2.0 / 3.0), Some(0.0), None]);
        assert!((confusion.miou().unwrap() - 1.0 / 3.0).abs() < 1e-12);
        assert_eq!(confusion.accuracy(), Some(0.6));
        assert_eq!(confusion.labelled(), [2, 2, 1, 0]);
        let mut twice = confusion.clone();
        twice.merge(&confusion);
        assert_eq!(twice.miou(), confusion.miou());
        assert_eq!(Confusion::new(3).miou(), None);
    }

    #[test]
    fn a_class_beyond_the_last_is_refused_and_nothing_is_counted() {
        let mut confusion = Confusion::new(2);
        assert_eq!(confusion.add(&[0, 2], &[0, 0]), Err(MetricsError::Class { classes: 2, found: 2 }));
        assert_eq!(confusion, Confusion::new(2));
        assert!(confusion.add(&[0], &[]).is_err());
    }

    #[test]
    fn equal_pixels_are_counted() {
        let mut agreement = PixelAgreement::default();
        agreement.add(&[0, 1, 2, 3], &[0, 1, 2, 0]).unwrap();
        assert_eq!(agreement.share(), Some(0.75));
        assert!(agreement.add(&[0], &[]).is_err());
    }
}
