//! Counts as a density: what the algorithms that integrate see.

use crate::Counts;

/// Counts of equal bins from 0 on, positions being in units of their width.
pub(crate) struct Density<'a> {
    /// The width of a bin.
    width: f64,
    /// The counts up to the last bin that is not empty, which ends at `amax`.
    counts: &'a [u64],
    /// The greatest magnitude.
    amax: f64,
    total: f64,
}

impl<'a> Density<'a> {
    /// Takes counts with this greatest magnitude, above 0.
    pub fn new(counts: &'a Counts, amax: f64) -> Self {
        let (width, bins) = match counts {
            Counts::Canonical(histogram) => (histogram.width(), histogram.bins()),
            Counts::TensorRt(histogram) => histogram.bins(),
        };
        // A value at the end of TensorRT's range belongs to the last bin.
        let last = ((amax / width) as usize).min(bins.len() - 1);
        Self { width, counts: &bins[..=last], amax, total: counts.count() as f64 }
    }

    /// The counts; there is at least one.
    pub fn counts(&self) -> &[u64] {
        self.counts
    }

    /// The end of a bin in units of bins; the last one ends at the greatest magnitude.
    pub fn end_of(&self, bin: usize) -> f64 {
        if bin + 1 == self.counts.len() { self.end() } else { (bin + 1) as f64 }
    }

    /// The greatest magnitude in units of bins.
    pub fn end(&self) -> f64 {
        self.amax / self.width
    }

    /// The magnitude at a position in units of bins, at most the greatest.
    pub fn magnitude(&self, position: f64) -> f64 {
        (position * self.width).min(self.amax)
    }

    /// The number of values whose magnitude exceeds one; a bin's own are taken to lie evenly in it.
    pub fn beyond(&self, magnitude: f64) -> f64 {
        let position = magnitude / self.width;
        let first = (position.max(0.0) as usize).min(self.counts.len() - 1);
        let end = self.end_of(first);
        let part = (end - position).max(0.0) / (end - first as f64);
        let above: u64 = self.counts[first + 1..].iter().sum();
        above as f64 + self.counts[first] as f64 * part.min(1.0)
    }

    /// The point below which a share of all values lies.
    pub fn quantile(&self, share: f64) -> f64 {
        let wanted = share * self.total;
        let mut below = 0;
        for (bin, &count) in self.counts.iter().enumerate() {
            if count > 0 && (below + count) as f64 >= wanted {
                let part = (wanted - below as f64) / count as f64;
                let position = bin as f64 + part * (self.end_of(bin) - bin as f64);
                return if share < 1.0 { self.magnitude(position) } else { self.amax };
            }
            below += count;
        }
        self.amax
    }
}
