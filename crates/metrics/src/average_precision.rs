//! How good a detector is against labelled boxes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{BBox, Detection};

/// A labelled object.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Truth {
    /// Where.
    pub bbox: BBox,
    /// What: the class, from 0.
    pub class: u32,
    /// Whether the box surrounds several objects (COCO's `iscrowd`): nobody has to find it, and whatever is found in it
    /// does not count.
    pub crowd: bool,
}

/// The most detections of one class in one sample that count, best first (COCO's `maxDets`).
const MOST: usize = 100;

/// Detections of many samples, each right or wrong, from which average precision is computed.
///
/// The procedure and the interpolation are those of COCO (`pycocotools.cocoeval`, all areas, 100 detections a class and
/// sample): detections, best first, each take the free object of their class that they overlap most, by the given IoU at
/// least; average precision is the mean of the interpolated precision at the **101 recalls** 0, 0.01, ..., 1.
#[derive(Debug, Clone, PartialEq)]
pub struct AveragePrecision {
    iou: f64,
    classes: BTreeMap<u32, Class>,
}

#[derive(Debug, Clone, Default, PartialEq)]
struct Class {
    truths: u64,
    /// Score, and whether it is right, in the order of the samples.
    found: Vec<(f32, bool)>,
}

impl AveragePrecision {
    /// Nothing yet; 0.5 gives AP50 and mAP50.
    pub fn new(iou: f64) -> Self {
        Self { iou, classes: BTreeMap::new() }
    }

    /// Adds one sample. Boxes of both are in the same unit.
    pub fn add(&mut self, detections: &[Detection], truths: &[Truth]) {
        let mut by_class: BTreeMap<u32, (Vec<&Detection>, Vec<&Truth>)> = BTreeMap::new();
        for detection in detections.iter().filter(|detection| !detection.score.is_nan()) {
            by_class.entry(detection.class).or_default().0.push(detection);
        }
        for truth in truths {
            by_class.entry(truth.class).or_default().1.push(truth);
        }
        for (class, (mut detections, mut truths)) in by_class {
            detections.sort_by(|a, b| b.score.total_cmp(&a.score));
            detections.truncate(MOST);
            truths.sort_by_key(|truth| truth.crowd);
            let class = self.classes.entry(class).or_default();
            class.truths += truths.iter().filter(|truth| !truth.crowd).count() as u64;
            let mut taken = vec![false; truths.len()];
            for detection in detections {
                match best(detection, &truths, &taken, self.iou) {
                    Some(at) if truths[at].crowd => {}
                    Some(at) => {
                        taken[at] = true;
                        class.found.push((detection.score, true));
                    }
                    None => class.found.push((detection.score, false)),
                }
            }
        }
    }

    /// Adds another's samples, behind its own.
    pub fn merge(&mut self, other: &Self) {
        for (&class, other) in &other.classes {
            let own = self.classes.entry(class).or_default();
            own.truths += other.truths;
            own.found.extend_from_slice(&other.found);
        }
    }

    /// How many labelled objects each class has, crowds aside; classes without any are left out.
    pub fn labelled(&self) -> BTreeMap<u32, u64> {
        let classes = self.classes.iter().map(|(&number, class)| (number, class.truths));
        classes.filter(|(_, truths)| *truths > 0).collect()
    }

    /// Average precision of each class that has labelled objects, from 0 to 1.
    pub fn by_class(&self) -> BTreeMap<u32, f64> {
        let labelled = self.classes.iter().filter(|(_, class)| class.truths > 0);
        labelled.map(|(&number, class)| (number, class.average_precision())).collect()
    }

    /// Their mean: mAP; `None` without labelled objects.
    pub fn mean(&self) -> Option<f64> {
        let classes = self.by_class();
        (!classes.is_empty()).then(|| classes.values().sum::<f64>() / classes.len() as f64)
    }
}

/// The free object that a detection overlaps most. Crowds come last, are never taken, and count only where no object
/// matches; of equal overlaps the later one is chosen, as in pycocotools.
fn best(detection: &Detection, truths: &[&Truth], taken: &[bool], iou: f64) -> Option<usize> {
    let mut least = iou.min(1.0 - 1e-10);
    let mut chosen: Option<usize> = None;
    for (at, truth) in truths.iter().enumerate().filter(|(at, _)| !taken[*at]) {
        if truth.crowd && chosen.is_some_and(|chosen| !truths[chosen].crowd) {
            break;
        }
        let overlap = if truth.crowd {
            // What lies in a crowd belongs to it, however small.
            let area = detection.bbox.area();
            if area > 0.0 { detection.bbox.intersection(&truth.bbox) / area } else { 0.0 }
        } else {
            detection.bbox.iou(&truth.bbox)
        };
        if overlap >= least {
            (least, chosen) = (overlap, Some(at));
        }
    }
    chosen
}

impl Class {
    fn average_precision(&self) -> f64 {
        let mut found = self.found.clone();
        found.sort_by(|a, b| b.0.total_cmp(&a.0)); // Stable: of equal scores the earlier sample comes first.
        let mut right = 0u64;
        let mut curve: Vec<(f64, f64)> = Vec::with_capacity(found.len());
        for (at, (_, is_right)) in found.iter().enumerate() {
            right += u64::from(*is_right);
            curve.push((right as f64 / self.truths as f64, right as f64 / (at + 1) as f64));
        }
        // Precision at a recall is the best one at that recall or beyond.
        for at in (1..curve.len()).rev() {
            curve[at - 1].1 = curve[at - 1].1.max(curve[at].1);
        }
        let at_recall = |step: u32| {
            let recall = f64::from(step) * 0.01;
            curve.get(curve.partition_point(|(reached, _)| *reached < recall)).map_or(0.0, |(_, p)| *p)
        };
        (0..=100).map(at_recall).sum::<f64>() / 101.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bbox(left: f32, top: f32, side: f32) -> BBox {
        BBox { left, top, right: left + side, bottom: top + side }
    }

    fn found(left: f32, class: u32, score: f32) -> Detection {
        Detection { bbox: bbox(left, 0.0, 10.0), class, score }
    }

    fn truth(left: f32, class: u32) -> Truth {
        Truth { bbox: bbox(left, 0.0, 10.0), class, crowd: false }
    }

    #[test]
    fn precision_is_interpolated_at_101_recalls() {
        let mut ap = AveragePrecision::new(0.5);
        assert_eq!(ap.mean(), None);
        ap.add(
            &[found(0.0, 0, 0.9), found(50.0, 0, 0.8), found(20.0, 0, 0.7)],
            &[truth(0.0, 0), truth(20.0, 0)],
        );
        // Right, wrong, right: precision 1 up to recall 0.5 (51 points), then 2/3 (50 points).
        let expected = (51.0 + 50.0 * 2.0 / 3.0) / 101.0;
        assert!((ap.mean().unwrap() - expected).abs() < 1e-12);
        // A class without labels is in no mean; one that is never found is 0.
        ap.add(&[found(0.0, 7, 0.9)], &[truth(0.0, 3)]);
        assert_eq!(ap.by_class().into_keys().collect::<Vec<_>>(), [0, 3]);
        assert_eq!(ap.labelled(), BTreeMap::from([(0, 2), (3, 1)]));
        assert!((ap.mean().unwrap() - expected / 2.0).abs() < 1e-12);
    }

    #[test]
    fn an_object_is_found_once() {
        let mut ap = AveragePrecision::new(0.5);
        ap.add(&[found(0.0, 0, 0.9), found(1.0, 0, 0.8)], &[truth(0.0, 0)]);
        assert_eq!(ap.classes[&0].found, [(0.9, true), (0.8, false)]);
    }

    #[test]
    fn what_is_found_in_a_crowd_does_not_count() {
        let crowd =
            Truth { bbox: BBox { left: 0.0, top: 0.0, right: 100.0, bottom: 100.0 }, class: 0, crowd: true };
        let mut ap = AveragePrecision::new(0.5);
        let detections = [found(0.0, 0, 0.9), found(50.0, 0, 0.8), found(70.0, 0, 0.7), found(300.0, 0, 0.6)];
        ap.add(&detections, &[crowd, truth(0.0, 0)]);
        assert_eq!(ap.classes[&0].found, [(0.9, true), (0.6, false)]);
        assert_eq!(ap.classes[&0].truths, 1);
    }

    #[test]
    fn merged_parts_are_the_whole() {
        let samples = [
            (vec![found(0.0, 0, 0.9), found(9.0, 1, 0.3)], vec![truth(1.0, 0)]),
            (vec![found(5.0, 0, 0.9)], vec![truth(80.0, 0), truth(9.0, 1)]),
        ];
        let (mut whole, mut parts) = (AveragePrecision::new(0.5), AveragePrecision::new(0.5));
        for (detections, truths) in &samples {
            whole.add(detections, truths);
            let mut part = AveragePrecision::new(0.5);
            part.add(detections, truths);
            parts.merge(&part);
        }
        assert_eq!(whole, parts);
    }
}
