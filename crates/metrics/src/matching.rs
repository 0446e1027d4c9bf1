//! Whether two networks find the same objects.

use serde::{Deserialize, Serialize};

use crate::Detection;

/// What became of the reference's detections in the other network, over all samples.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Matches {
    /// Detections of the reference that the other has too.
    pub matched: u64,
    /// Detections of the reference that the other has not.
    pub lost: u64,
    /// Detections of the other that the reference has not.
    pub extra: u64,
    /// Sum of the overlaps of those that match.
    pub overlap: f64,
}

impl Matches {
    /// Adds another's counts.
    pub fn merge(&mut self, other: &Self) {
        self.matched += other.matched;
        self.lost += other.lost;
        self.extra += other.extra;
        self.overlap += other.overlap;
    }

    /// `2 matched / (2 matched + lost + extra)`, the F1 score with the reference as the truth; `None` where neither
    /// found anything.
    pub fn agreement(&self) -> Option<f64> {
        crate::classes::share(2 * self.matched, 2 * self.matched + self.lost + self.extra)
    }

    /// The mean overlap (IoU) of those that match.
    pub fn mean_iou(&self) -> Option<f64> {
        (self.matched > 0).then(|| self.overlap / self.matched as f64)
    }
}

/// Pairs detections of one class whose boxes overlap by at least `iou`, those that overlap most first.
pub fn match_boxes(reference: &[Detection], other: &[Detection], iou: f64) -> Matches {
    let mut pairs = Vec::new();
    for (i, own) in reference.iter().enumerate() {
        for (j, found) in other.iter().enumerate().filter(|(_, found)| found.class == own.class) {
            let overlap = own.bbox.iou(&found.bbox);
            if overlap >= iou && overlap > 0.0 {
                pairs.push((overlap, i, j));
            }
        }
    }
    pairs.sort_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    let (mut taken, mut given) = (vec![false; reference.len()], vec![false; other.len()]);
    let mut matches = Matches::default();
    for (overlap, i, j) in pairs {
        if !taken[i] && !given[j] {
            (taken[i], given[j]) = (true, true);
            matches.matched += 1;
            matches.overlap += overlap;
        }
    }
    matches.lost = reference.len() as u64 - matches.matched;
    matches.extra = other.len() as u64 - matches.matched;
    matches
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BBox;

    fn at(left: f32, class: u32) -> Detection {
        Detection { bbox: BBox { left, top: 0.0, right: left + 10.0, bottom: 10.0 }, class, score: 0.5 }
    }

    #[test]
    fn boxes_match_one_to_one_by_class_and_overlap() {
        type Case<'a> = (&'a [Detection], &'a [Detection], (u64, u64, u64));
        let cases: [Case; 6] = [
            (&[], &[], (0, 0, 0)),
            (&[at(0.0, 1)], &[at(1.0, 1)], (1, 0, 0)),
            (&[at(0.0, 1)], &[at(1.0, 2)], (0, 1, 1)),
            (&[at(0.0, 1)], &[at(6.0, 1)], (0, 1, 1)),
            (&[at(0.0, 1)], &[at(1.0, 1), at(0.5, 1)], (1, 0, 1)),
            // Greedy by overlap: 2 takes 1.5, and 0 is left with 3, which is too far.
            (&[at(0.0, 1), at(2.0, 1)], &[at(1.5, 1), at(5.0, 1)], (1, 1, 1)),
        ];
        for (reference, other, expected) in cases {
            let found = match_boxes(reference, other, 0.5);
            assert_eq!((found.matched, found.lost, found.extra), expected, "{reference:?} {other:?}");
        }
        let mut sum = match_boxes(&[at(0.0, 1)], &[at(0.0, 1)], 0.5);
        sum.merge(&match_boxes(&[at(0.0, 1)], &[], 0.5));
        assert_eq!((sum.agreement(), sum.mean_iou()), (Some(2.0 / 3.0), Some(1.0)));
        assert_eq!(Matches::default().agreement(), None);
    }
}
