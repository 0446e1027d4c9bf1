//! Boxes, how much they overlap, and the suppression of those that show the same object.

use serde::{Deserialize, Serialize};

/// An upright box, in any unit; pixels mostly. Right and bottom lie behind the last pixel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct BBox {
    /// Left edge.
    pub left: f32,
    /// Top edge.
    pub top: f32,
    /// Right edge.
    pub right: f32,
    /// Bottom edge.
    pub bottom: f32,
}

impl BBox {
    /// Its area; 0 for one that is turned inside out or not a number.
    pub fn area(&self) -> f64 {
        let side = |from: f32, to: f32| (f64::from(to) - f64::from(from)).max(0.0);
        side(self.left, self.right) * side(self.top, self.bottom)
    }

    /// The area that both cover.
    pub fn intersection(&self, other: &Self) -> f64 {
        Self {
            left: self.left.max(other.left),
            top: self.top.max(other.top),
            right: self.right.min(other.right),
            bottom: self.bottom.min(other.bottom),
        }
        .area()
    }

    /// Intersection over union, from 0 to 1; 0 where neither has an area.
    pub fn iou(&self, other: &Self) -> f64 {
        let common = self.intersection(other);
        let union = self.area() + other.area() - common;
        if union > 0.0 { common / union } else { 0.0 }
    }

    /// The part inside `0..width` and `0..height`.
    pub fn clipped(&self, width: f32, height: f32) -> Self {
        let (x, y) = (|x: f32| x.max(0.0).min(width), |y: f32| y.max(0.0).min(height));
        Self { left: x(self.left), top: y(self.top), right: x(self.right), bottom: y(self.bottom) }
    }
}

/// Something that a network found.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Detection {
    /// Where.
    pub bbox: BBox,
    /// What: the class, from 0.
    pub class: u32,
    /// How sure it is, usually from 0 to 1.
    pub score: f32,
}

/// Non-maximum suppression: of detections of one class that overlap by more than `iou`, the best one stays.
///
/// The rest comes back best first, `limit` at most. Of equal scores the one that came first stays. (The greedy
/// procedure of Felzenszwalb et al., "Object Detection with Discriminatively Trained Part Based Models", 2010,
/// section 7.2, by class.)
pub fn suppress(mut detections: Vec<Detection>, iou: f64, limit: usize) -> Vec<Detection> {
    detections.retain(|detection| !detection.score.is_nan());
    detections.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut kept: Vec<Detection> = Vec::new();
    for detection in detections {
        if kept.len() == limit {
            break;
        }
        let same =
            |other: &Detection| other.class == detection.class && other.bbox.iou(&detection.bbox) > iou;
        if !kept.iter().any(same) {
            kept.push(detection);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bbox(left: f32, top: f32, right: f32, bottom: f32) -> BBox {
        BBox { left, top, right, bottom }
    }

    #[test]
    fn boxes_overlap_by_their_common_area() {
        let unit = bbox(0.0, 0.0, 10.0, 10.0);
        for (other, expected) in [
            (unit, 1.0),
            (bbox(5.0, 0.0, 15.0, 10.0), 1.0 / 3.0),
            (bbox(10.0, 0.0, 20.0, 10.0), 0.0),
            (bbox(2.0, 2.0, 4.0, 4.0), 0.04),
            (bbox(8.0, 8.0, 2.0, 2.0), 0.0),
            (bbox(f32::NAN, 0.0, 10.0, 10.0), 1.0),
        ] {
            assert!((unit.iou(&other) - expected).abs() < 1e-9 || other.left.is_nan(), "{other:?}");
            assert!((0.0..=1.0).contains(&unit.iou(&other)), "{other:?}");
        }
        assert_eq!(BBox::default().iou(&BBox::default()), 0.0);
        assert_eq!(bbox(-5.0, 3.0, 30.0, 40.0).clipped(20.0, 10.0), bbox(0.0, 3.0, 20.0, 10.0));
    }

    #[test]
    fn the_best_of_boxes_that_overlap_stays_in_its_class() {
        let at = |left: f32, class: u32, score: f32| Detection {
            bbox: bbox(left, 0.0, left + 10.0, 10.0),
            class,
            score,
        };
        let all =
            vec![at(0.0, 0, 0.5), at(1.0, 0, 0.9), at(0.5, 1, 0.7), at(30.0, 0, 0.6), at(0.0, 0, f32::NAN)];
        let kept: Vec<(u32, f32)> =
            suppress(all.clone(), 0.5, 10).iter().map(|d| (d.class, d.score)).collect();
        assert_eq!(kept, [(0, 0.9), (1, 0.7), (0, 0.6)]);
        assert_eq!(suppress(all.clone(), 0.5, 1).len(), 1);
        assert_eq!(suppress(all, 0.9, 10).len(), 4);
    }
}
