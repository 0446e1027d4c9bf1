//! A histogram as TensorRT is described to keep it: the first batch decides the width of the bins.
//!
//! Source: NVIDIA's MLPerf Inference v0.5 submission (`closed/NVIDIA/calibration.md`): the range is set by the first
//! batch and doubled as needed, with bins of the same width and more of them.
//!
//! So the result depends on the order of the images and on the batch size, and two histograms of the same tensor have
//! no bins in common: there is no merging. Every algorithm works on it. Entropy finds `(i + 0.5) * width` with `i` up to
//! the number of bins, which is what TensorRT's tables show: after a range doubled, up to twice the greatest magnitude.

use crate::CalibError;
use crate::histogram::{Extremes, MOST};

/// The number of bins over the range of the first batch.
pub const LINEAR: usize = 2048;
const MAX_BINS: usize = LinearHistogram::MAX_BINS;

/// A histogram of the magnitudes of one tensor in equal bins, which grow in number and not in width.
#[derive(Clone, Debug, PartialEq)]
pub struct LinearHistogram {
    /// The width of a bin; 0 before the first value that is not 0.
    width: f64,
    /// `LINEAR` times a power of two, or none before the first value that is not 0.
    bins: Vec<u64>,
    /// Zeros seen before there was a width; they belong to the first bin.
    zeros: u64,
    min: f32,
    max: f32,
    count: u64,
    nan: u64,
    infinite: u64,
}

/// The content of a histogram, for storing it.
#[derive(Clone, Debug, PartialEq)]
pub struct LinearParts {
    /// The width of a bin; 0 where no value but 0 was seen.
    pub width: f64,
    /// [`LINEAR`] times a power of two counts; a single one where all values were 0; none where there was no value.
    pub bins: Vec<u64>,
    /// The least finite value, and +infinity where there was none.
    pub min: f32,
    /// The greatest finite value, and -infinity where there was none.
    pub max: f32,
    /// The number of NaN.
    pub nan: u64,
    /// The number of infinities of both signs.
    pub infinite: u64,
}

impl Default for LinearHistogram {
    fn default() -> Self {
        Self::new()
    }
}

impl LinearHistogram {
    /// The most bins: five doublings. What TensorRT does about a first batch of next to nothing is unknown; here, from
    /// there on, bins double in width.
    pub const MAX_BINS: usize = LINEAR << 5;

    /// An empty histogram.
    pub fn new() -> Self {
        Self {
            width: 0.0,
            bins: Vec::new(),
            zeros: 0,
            min: f32::INFINITY,
            max: f32::NEG_INFINITY,
            count: 0,
            nan: 0,
            infinite: 0,
        }
    }

    /// Counts the values of one batch.
    pub fn add(&mut self, values: &[f32]) {
        let mut finite = Vec::new();
        let mut seen = Extremes::of(values);
        let mut kept = values;
        if !seen.all_finite() {
            finite.extend(values.iter().filter(|x| x.is_finite()));
            let nan = values.iter().filter(|x| x.is_nan()).count();
            self.nan += nan as u64;
            self.infinite += (values.len() - finite.len() - nan) as u64;
            seen = Extremes::of(&finite);
            kept = &finite;
        }
        if kept.is_empty() {
            return;
        }
        self.count += kept.len() as u64;
        (self.min, self.max) = (self.min.min(seen.min + 0.0), self.max.max(seen.max + 0.0));
        let amax = f64::from(seen.max.max(-seen.min));
        if self.bins.is_empty() && amax == 0.0 {
            self.zeros += kept.len() as u64;
            return;
        }
        self.widen_to(amax);
        let last = self.bins.len() - 1;
        for x in kept {
            self.bins[((f64::from(x.abs()) / self.width) as usize).min(last)] += 1;
        }
    }

    /// Makes room for magnitudes up to `amax`, above 0 the first time.
    fn widen_to(&mut self, amax: f64) {
        if self.bins.is_empty() {
            self.width = amax / LINEAR as f64;
            self.bins = vec![0; LINEAR];
            self.bins[0] = std::mem::take(&mut self.zeros);
        }
        while amax > self.width * self.bins.len() as f64 {
            if self.bins.len() < MAX_BINS {
                self.bins.resize(2 * self.bins.len(), 0);
            } else {
                self.width *= 2.0;
                for bin in 0..MAX_BINS {
                    // In ascending order, bins are read before they are written.
                    self.bins[bin] = self.bins.get(2 * bin..2 * bin + 2).map_or(0, |pair| pair.iter().sum());
                }
            }
        }
    }

    /// The greatest magnitude among finite values, exactly; `None` before the first.
    pub fn amax(&self) -> Option<f32> {
        (self.count > 0).then(|| self.max.max(-self.min).abs())
    }

    /// The least finite value, exactly; `None` before the first.
    pub fn min(&self) -> Option<f32> {
        (self.count > 0).then_some(self.min)
    }

    /// The greatest finite value, exactly; `None` before the first.
    pub fn max(&self) -> Option<f32> {
        (self.count > 0).then_some(self.max)
    }

    /// The number of finite values.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The number of NaN.
    pub fn nan(&self) -> u64 {
        self.nan
    }

    /// The number of infinities of both signs.
    pub fn infinite(&self) -> u64 {
        self.infinite
    }

    /// The width of a bin, and the counts: none before the first value that is not 0.
    pub fn bins(&self) -> (f64, &[u64]) {
        (self.width, &self.bins)
    }

    /// The content, for storing it.
    pub fn into_parts(self) -> LinearParts {
        let Self { width, mut bins, zeros, min, max, count: _, nan, infinite } = self;
        if bins.is_empty() && zeros > 0 {
            bins.push(zeros);
        }
        LinearParts { width, bins, min, max, nan, infinite }
    }

    /// Takes counts made elsewhere.
    ///
    /// # Errors
    /// [`CalibError::Histogram`] where the parts contradict each other.
    pub fn from_parts(parts: LinearParts) -> Result<Self, CalibError> {
        if let Some(reason) = contradiction(&parts) {
            return Err(CalibError::Histogram { reason });
        }
        let LinearParts { width, mut bins, min, max, nan, infinite } = parts;
        let count = bins.iter().sum();
        let zeros = if width == 0.0 { bins.pop().unwrap_or(0) } else { 0 };
        Ok(Self { width, bins, zeros, min, max, count, nan, infinite })
    }
}

fn contradiction(parts: &LinearParts) -> Option<&'static str> {
    let LinearParts { width, bins, min, max, nan, infinite } = parts;
    let sum = bins.iter().fold(0u64, |sum, &bin| sum.saturating_add(bin));
    let amax = f64::from(max.max(-min).abs());
    if [sum, *nan, *infinite].iter().any(|&n| n > MOST) {
        Some("a count exceeds 2^53")
    } else if sum == 0 {
        let empty = *width == 0.0 && bins.is_empty() && *min == f32::INFINITY && *max == f32::NEG_INFINITY;
        (!empty).then_some("there is no count, but a range")
    } else if !min.is_finite()
        || !max.is_finite()
        || min > max
        || [min, max].map(|x| x.to_bits()).contains(&(1 << 31))
    {
        Some("the least and the greatest value are not a finite range")
    } else if *width == 0.0 {
        (bins.len() != 1 || amax > 0.0).then_some("there are values other than 0, but no width")
    } else if !(width.is_finite() && *width > 0.0) {
        Some("the width of the bins is not a positive number")
    } else if bins.len() < LINEAR || bins.len() > MAX_BINS || !bins.len().is_power_of_two() {
        Some("the number of bins is not 2048 times a power of two up to 32")
    } else {
        let last = ((amax / width) as usize).min(bins.len() - 1);
        let right = bins[last] > 0
            && bins[last + 1..].iter().all(|&bin| bin == 0)
            && amax <= width * bins.len() as f64;
        (!right).then_some("the last count is not that of the greatest magnitude")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(batches: &[&[f32]]) -> LinearHistogram {
        let mut histogram = LinearHistogram::new();
        batches.iter().for_each(|batch| histogram.add(batch));
        histogram
    }

    #[test]
    fn the_first_batch_decides_the_width_and_later_ones_the_number() {
        let found = histogram(&[&[0.0, -0.0], &[-1.0, 0.25, f32::NAN], &[3.9, f32::INFINITY, 0.0]]);
        let (width, bins) = found.bins();
        assert_eq!((width, bins.len()), (1.0 / 2048.0, 4 * LINEAR));
        let counted: Vec<_> = bins.iter().enumerate().filter(|(_, count)| **count > 0).collect();
        assert_eq!(counted, [(0, &3), (512, &1), (2047, &1), (7987, &1)]);
        assert_eq!((found.count(), found.nan(), found.infinite()), (6, 1, 1));
        assert_eq!((found.min(), found.max(), found.amax()), (Some(-1.0), Some(3.9), Some(3.9)));
    }

    #[test]
    fn the_order_of_the_batches_matters() {
        let (small, large): (&[f32], &[f32]) = (&[0.3, 0.5], &[0.7, 1.3]);
        assert_ne!(histogram(&[small, large]).bins().0, histogram(&[large, small]).bins().0);
    }

    #[test]
    fn a_first_batch_of_next_to_nothing_does_not_fill_the_memory() {
        let found = histogram(&[&[1e-30], &[1.0], &[0.5, 1e30]]);
        assert_eq!(found.bins().1.len(), MAX_BINS);
        assert_eq!(found.bins().1.iter().sum::<u64>(), 4);
        assert!(found.bins().0 * MAX_BINS as f64 >= 1e30);
    }

    #[test]
    fn parts_are_taken_back_and_damaged_ones_are_refused() {
        for batches in [&[][..], &[&[][..]], &[&[0.0]], &[&[f32::NAN]], &[&[1.0, 0.3], &[5.0]]] {
            let found = histogram(batches);
            assert_eq!(LinearHistogram::from_parts(found.clone().into_parts()), Ok(found));
        }
        let good = histogram(&[&[1.0, 0.3], &[5.0]]).into_parts();
        let damage: [fn(&mut LinearParts); 9] = [
            |p| p.width = 0.0,
            |p| p.width = f64::NAN,
            |p| p.width *= 4.0,
            |p| p.bins.truncate(2048),
            |p| p.bins.push(0),
            |p| p.bins[3] = u64::MAX,
            |p| p.max = f32::NAN,
            |p| p.min = 6.0,
            |p| p.bins.fill(0),
        ];
        for (number, damage) in damage.into_iter().enumerate() {
            let mut parts = good.clone();
            damage(&mut parts);
            assert!(LinearHistogram::from_parts(parts).is_err(), "{number}");
        }
    }
}
