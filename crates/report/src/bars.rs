//! A histogram with few bars, as a figure can show it.

use serde::{Deserialize, Serialize};
use trt_calib::Counts;

/// Counts of magnitudes in equal bars from 0 on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Bars {
    /// The width of a bar.
    pub width: f64,
    /// How many values fell into each; none where no value was seen, or only zeros.
    pub counts: Vec<u64>,
}

impl Bars {
    /// How many bars a figure has at most.
    pub const SHOWN: usize = 128;
    /// How many bars serve for shares.
    pub(crate) const FINE: usize = 1 << 13;

    /// The counts of a tensor in at most `most` bars; in TensorRT's mode as many of its bins make a bar as needed.
    pub fn of(counts: &Counts, most: usize) -> Self {
        let amax = counts.amax().map_or(0.0, f64::from);
        if amax == 0.0 || most == 0 {
            return Self::default();
        }
        match counts {
            Counts::Canonical(histogram) => Self { width: amax / most as f64, counts: histogram.rebin(most) },
            Counts::TensorRt(histogram) => {
                let (width, bins) = histogram.bins();
                // The range doubles, so that up to half of it may be empty.
                let used = bins.iter().rposition(|&count| count > 0).map_or(0, |last| last + 1);
                let together = used.div_ceil(most).max(1);
                Self {
                    width: width * together as f64,
                    counts: bins[..used].chunks(together).map(|bins| bins.iter().sum()).collect(),
                }
            }
        }
    }

    /// The share of values above a magnitude, taking those within a bar as evenly spread; `None` without values.
    pub fn share_beyond(&self, magnitude: f64) -> Option<f64> {
        let sum = |counts: &[u64]| counts.iter().map(|&count| count as f64).sum::<f64>();
        let all = sum(&self.counts);
        if all == 0.0 || !magnitude.is_finite() {
            return None;
        }
        let at = (magnitude / self.width).clamp(0.0, self.counts.len() as f64);
        let bar = at as usize;
        let within = self.counts.get(bar).map_or(0.0, |&count| count as f64 * (1.0 - (at - bar as f64)));
        Some((sum(self.counts.get(bar + 1..).unwrap_or_default()) + within) / all)
    }

    /// Where the bars end.
    pub fn end(&self) -> f64 {
        self.width * self.counts.len() as f64
    }

    /// The greatest count.
    pub fn highest(&self) -> u64 {
        self.counts.iter().copied().max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trt_calib::Mode;

    fn counts(mode: Mode, batches: &[&[f32]]) -> Counts {
        let mut counts = Counts::new(mode);
        batches.iter().for_each(|batch| counts.add(batch));
        counts
    }

    #[test]
    fn bars_hold_every_value_in_both_modes() {
        let first: Vec<f32> = (0..1000).map(|i| i as f32 / 500.0 - 1.0).collect();
        let second = [3.0, -5.0];
        for mode in [Mode::Canonical, Mode::TensorRt] {
            let bars = Bars::of(&counts(mode, &[&first, &second]), Bars::SHOWN);
            assert!(bars.counts.len() <= Bars::SHOWN, "{mode:?}: {}", bars.counts.len());
            assert_eq!(bars.counts.iter().sum::<u64>(), 1002, "{mode:?}");
            assert!((bars.end() - 5.0).abs() < 0.1, "{mode:?}: {}", bars.end());
            assert_eq!(bars.counts.last(), Some(&1), "{mode:?}");
        }
    }

    #[test]
    fn tensors_without_a_range_have_no_bars() {
        for mode in [Mode::Canonical, Mode::TensorRt] {
            for batch in [&[][..], &[0.0, -0.0], &[f32::NAN, f32::INFINITY]] {
                assert_eq!(Bars::of(&counts(mode, &[batch]), 128), Bars::default(), "{mode:?} {batch:?}");
            }
        }
    }

    #[test]
    fn the_share_beyond_a_threshold_is_counted_from_above() {
        let bars = Bars { width: 0.5, counts: vec![4, 3, 2, 1] };
        for (magnitude, share) in [(-1.0, 1.0), (0.0, 1.0), (0.5, 0.6), (1.25, 0.2), (2.0, 0.0), (9.0, 0.0)] {
            let found = bars.share_beyond(magnitude).unwrap();
            assert!((found - share).abs() < 1e-12, "{magnitude}: {found}");
        }
        assert_eq!(bars.share_beyond(f64::NAN), None);
        assert_eq!(Bars::default().share_beyond(1.0), None);
    }
}
