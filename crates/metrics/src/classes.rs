//! Classifiers: which classes come first, whether two networks agree on them, and whether they are right.

use serde::{Deserialize, Serialize};

/// The `count` classes of the highest scores, best first. Of equal scores the lower class comes first, and a NaN comes
/// after everything.
pub fn top(scores: &[f32], count: usize) -> Vec<usize> {
    // NaN before everything, in the ascending order of these keys.
    let key =
        |class: usize| (!scores[class].is_nan(), if scores[class].is_nan() { 0.0 } else { scores[class] });
    let mut best: Vec<usize> = Vec::with_capacity(count.min(scores.len()) + 1);
    for class in 0..scores.len() {
        let place = best.partition_point(|&other| key(other) >= key(class));
        if place < count {
            best.insert(place, class);
            best.truncate(count);
        }
    }
    best
}

/// How often two networks name the same class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Agreement {
    /// How many samples there were.
    pub samples: u64,
    /// How often both put the same class first.
    pub top1: u64,
    /// How often the reference's first class is among the other's first five.
    pub top5: u64,
}

impl Agreement {
    /// Adds the scores of one sample; returns whether both put the same class first.
    pub fn add(&mut self, reference: &[f32], other: &[f32]) -> bool {
        let Some(&first) = top(reference, 1).first() else { return false };
        let found = top(other, 5);
        let equal = found.first() == Some(&first);
        self.samples += 1;
        self.top1 += u64::from(equal);
        self.top5 += u64::from(found.contains(&first));
        equal
    }

    /// Adds another's samples.
    pub fn merge(&mut self, other: &Self) {
        self.samples += other.samples;
        self.top1 += other.top1;
        self.top5 += other.top5;
    }

    /// The share of samples with the same first class, from 0 to 1; `None` without samples.
    pub fn top1_share(&self) -> Option<f64> {
        share(self.top1, self.samples)
    }

    /// The share of samples in which the reference's first class is among the other's first five.
    pub fn top5_share(&self) -> Option<f64> {
        share(self.top5, self.samples)
    }
}

/// How often a network is right.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Accuracy {
    /// How many samples had a label.
    pub samples: u64,
    /// How often the label came first.
    pub top1: u64,
    /// How often it was among the first five.
    pub top5: u64,
}

impl Accuracy {
    /// Adds the scores of one sample and its class.
    pub fn add(&mut self, scores: &[f32], label: usize) {
        let found = top(scores, 5);
        self.samples += 1;
        self.top1 += u64::from(found.first() == Some(&label));
        self.top5 += u64::from(found.contains(&label));
    }

    /// Adds another's samples.
    pub fn merge(&mut self, other: &Self) {
        self.samples += other.samples;
        self.top1 += other.top1;
        self.top5 += other.top5;
    }

    /// Top-1 accuracy, from 0 to 1; `None` without samples.
    pub fn top1_share(&self) -> Option<f64> {
        share(self.top1, self.samples)
    }

    /// Top-5 accuracy.
    pub fn top5_share(&self) -> Option<f64> {
        share(self.top5, self.samples)
    }
}

pub(crate) fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_classes_come_first_and_nan_last() {
        let cases: [(&[f32], usize, &[usize]); 7] = [
            (&[0.1, 0.7, 0.2], 2, &[1, 2]),
            (&[0.5, 0.5, 0.5], 2, &[0, 1]),
            (&[f32::NAN, 0.1], 2, &[1, 0]),
            (&[f32::NAN, f32::NEG_INFINITY], 1, &[1]),
            (&[f32::NAN, f32::NAN], 2, &[0, 1]),
            (&[1.0], 5, &[0]),
            (&[], 5, &[]),
        ];
        for (scores, count, expected) in cases {
            assert_eq!(top(scores, count), expected, "{scores:?}");
        }
    }

    #[test]
    fn agreement_and_accuracy_count_first_and_first_five() {
        let ramp =
            |first: usize| -> Vec<f32> { (0..8).map(|i| -((i as f32) - first as f32).abs()).collect() };
        let mut agreement = Agreement::default();
        assert!(agreement.add(&ramp(3), &ramp(3)));
        assert!(!agreement.add(&ramp(3), &ramp(4)));
        assert!(!agreement.add(&ramp(0), &ramp(7)));
        assert_eq!(agreement, Agreement { samples: 3, top1: 1, top5: 2 });
        let mut accuracy = Accuracy::default();
        accuracy.add(&ramp(3), 3);
        accuracy.add(&ramp(3), 5);
        accuracy.add(&ramp(3), 7);
        assert_eq!(accuracy, Accuracy { samples: 3, top1: 1, top5: 2 });
        assert_eq!(accuracy.top1_share(), Some(1.0 / 3.0));
        let mut sum = accuracy;
        sum.merge(&accuracy);
        assert_eq!((sum.samples, sum.top5_share()), (6, Some(2.0 / 3.0)));
        assert_eq!(Accuracy::default().top1_share(), None);
    }
}
