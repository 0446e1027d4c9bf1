//! Bringing fine counts onto the linear bins of the threshold search.

use crate::histogram::{FINE, FINE_LOG2, Histogram};

impl Histogram {
    /// The counts in `bins` equal bins over `[0, amax]`, the last one closed: it always holds the value `amax`.
    ///
    /// Within a fine bin values are taken as evenly spread (in the last one, up to `amax`). The cumulative
    /// count at each edge is that interpolation in exact rational arithmetic, rounded down; a bin's count is
    /// the difference of two. So counts are whole, the total is kept, and every platform has the same result.
    ///
    /// Where all values are 0 they are in the last bin (`amax` is 0). Empty for an empty histogram or no bins.
    pub fn rebin(&self, bins: usize) -> Vec<u64> {
        if self.bins().is_empty() || bins == 0 {
            return Vec::new();
        }
        let edges = Edges::new(self, bins as u128);
        let mut cumulative = Cumulative { fine: self.bins(), next: 0, below: 0 };
        let mut counts = Vec::with_capacity(bins);
        let mut before = 0;
        for edge in 1..bins as u128 {
            let at = edges.below(edge, &mut cumulative);
            counts.push(at - before);
            before = at;
        }
        counts.push(self.count() - before);
        counts
    }
}

/// The edges of the bins in units of `1 / (UNIT * bins)` of a fine bin, in which they are whole numbers.
struct Edges {
    /// `amax` in units of `1 / UNIT` of a fine bin: its 24 significant bits.
    amax: u128,
    bins: u128,
}

/// Fine bins are `2^(e-14)` wide and `amax` is a multiple of `2^(e-24)`.
const UNIT: u128 = 1 << (24 - FINE_LOG2);

impl Edges {
    fn new(histogram: &Histogram, bins: u128) -> Self {
        let amax = f64::from(histogram.amax().unwrap_or(0.0));
        // Exact, but for magnitudes below 2^-100, where the range is wider than `amax` needs.
        Self { amax: (amax * 2f64.powi(24 - histogram.exponent())) as u128, bins }
    }

    /// How many values are below the `edge`-th edge, which lies before `amax`.
    fn below(&self, edge: u128, cumulative: &mut Cumulative<'_>) -> u64 {
        let (fine_width, position) = (UNIT * self.bins, self.amax * edge);
        let bin = (position / fine_width) as usize;
        let last = (self.amax / UNIT) as usize;
        let within = position - bin as u128 * fine_width;
        let (below, count) = cumulative.at(bin);
        if bin < last {
            return below + share(count, within, fine_width);
        }
        // The last fine bin ends at `amax`, and at least that value stays above the edge.
        let width = (self.amax - last as u128 * UNIT) * self.bins;
        let share = if width == 0 { 0 } else { share(count, within, width) };
        below + share.min(count.saturating_sub(1))
    }
}

/// `count * part / whole`, rounded down.
fn share(count: u64, part: u128, whole: u128) -> u64 {
    (u128::from(count) * part / whole) as u64
}

/// A running sum over fine bins; edges come in ascending order.
struct Cumulative<'a> {
    fine: &'a [u64],
    next: usize,
    below: u64,
}

impl Cumulative<'_> {
    /// How many values are in earlier fine bins, and how many in this one.
    fn at(&mut self, bin: usize) -> (u64, u64) {
        debug_assert!(bin >= self.next && bin < FINE);
        self.below += self.fine[self.next..bin].iter().sum::<u64>();
        self.next = bin;
        (self.below, self.fine[bin])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(values: &[f32]) -> Histogram {
        let mut histogram = Histogram::new();
        histogram.add(values);
        histogram
    }

    #[test]
    fn a_power_of_two_range_is_binned_exactly() {
        let values: Vec<f32> = (0..=4096).map(|i| i as f32 / 4096.0).collect();
        let counts = histogram(&values).rebin(2048);
        assert_eq!(counts[..2047], [2; 2047]);
        assert_eq!(counts[2047], 3, "the last bin is closed");
    }

    #[test]
    fn the_greatest_value_is_in_the_last_bin_and_the_total_is_kept() {
        for amax in [1.0f32, 0.999_999_94, 1.000_000_1, 3.0, 6.0, 1e-30, 3e38, 1e-37, 1e-45] {
            for bins in [1, 2, 127, 2048, 4096, 100_000] {
                let values = [0.0, amax / 3.0, amax / 2.0, -amax * 0.9, amax];
                let counts = histogram(&values).rebin(bins);
                assert_eq!(counts.len(), bins);
                assert_eq!(counts.iter().sum::<u64>(), 5, "{amax} {bins}");
                assert!(*counts.last().unwrap() > 0, "{amax} {bins}");
            }
        }
    }

    #[test]
    fn values_lie_within_a_fine_bin_of_where_they_belong() {
        for amax in [1.0f32, 1.3, 1.999, 5.5e-9] {
            for part in [0.01f32, 0.3, 0.77, 0.999] {
                let counts = histogram(&[amax, amax * part]).rebin(2048);
                let found = counts.iter().position(|&c| c > 0).unwrap() as f32;
                assert!((found + 0.5 - part * 2048.0).abs() < 1.0, "{amax} {part}: {found}");
            }
        }
    }

    #[test]
    fn nothing_and_zeros_have_defined_bins() {
        assert!(histogram(&[]).rebin(4).is_empty());
        assert!(histogram(&[f32::NAN]).rebin(4).is_empty());
        assert!(histogram(&[1.0]).rebin(0).is_empty());
        assert_eq!(histogram(&[0.0, -0.0]).rebin(4), [0, 0, 0, 2]);
    }
}
