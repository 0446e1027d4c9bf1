//! A histogram of one tensor's magnitudes, in one pass.
//!
//! Calibration needs 2048 bins over `[0, max|x|]`, and the maximum is known only at the end. Three ways exist:
//! a first pass for the maximum runs the model twice; a range fixed by the first batch and doubled as needed
//! (as TensorRT is described to do) makes the result depend on the order of the images; this one needs one
//! pass and depends on nothing but the multiset of values:
//!
//! - There are [`FINE`] bins over `[0, 2^e)`, where `2^e` is the smallest power of two that is strictly greater
//!   than every magnitude. Bin widths are powers of two, so all grids are nested.
//! - When a greater value comes, `e` grows and neighbouring pairs of bins are added up. That is exact, since
//!   `floor(x / 2w) = floor(floor(x / w) / 2)`: the counts are those that the wider grid would have had from
//!   the start. Hence order, batch size and sharding cannot matter, and [`Histogram::merge`] is exact.
//! - The maximum is kept exactly beside the counts, and [`Histogram::rebin`] brings them onto `[0, max|x|]`.
//!   8192 to 16384 fine bins lie in that range: 4 to 8 for each bin of the entropy search.
//!
//! Counts are integers. NaN and infinities are counted apart and never binned.

use rayon::prelude::*;

use crate::CalibError;

/// The number of bins over `[0, 2^e)`.
pub const FINE: usize = 1 << 14;
/// `FINE` is 2 to this power.
pub(crate) const FINE_LOG2: i32 = 14;
/// The smallest `e`. Below it all values share few bins; no scale that small is of use, and the bin width
/// stays a normal binary32.
pub(crate) const MIN_EXPONENT: i32 = -100;

/// The greatest count taken from elsewhere. The search computes with binary64, which is exact up to here, and
/// sums of thousands of such histograms do not overflow.
pub(crate) const MOST: u64 = 1 << 53;

/// Values that are scanned, then binned: 64 KiB, which stay in the second-level cache.
const BLOCK: usize = 1 << 14;
/// Values whose bin numbers are computed together, in vector registers, before counting.
const LANE: usize = 128;
/// Slices up to this length are counted without scratch, which would cost more to clear than it saves.
const SMALL: usize = 1 << 13;
/// The least number of values that are worth a thread and a histogram of their own.
const PARALLEL: usize = 1 << 17;
/// Extra slots that take turns counting zeros: half of a ReLU's output would else wait for one memory cell.
const ZERO_SLOTS: usize = 16;

/// A histogram of the magnitudes of one tensor, with its exact extremes.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    /// The bins cover `[0, 2^exponent)`.
    exponent: i32,
    /// `FINE` counts, or none before the first finite value.
    bins: Vec<u64>,
    count: u64,
    min: f32,
    max: f32,
    nan: u64,
    infinite: u64,
}

/// The content of a histogram, for storing it and for backends that count on their own.
#[derive(Clone, Debug, PartialEq)]
pub struct HistogramParts {
    /// The bins cover `[0, 2^exponent)`; see [`Histogram::exponent_for`].
    pub exponent: i32,
    /// [`FINE`] counts, or none where no finite value was seen.
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

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

impl Histogram {
    /// An empty histogram.
    pub fn new() -> Self {
        Self {
            exponent: MIN_EXPONENT,
            bins: Vec::new(),
            count: 0,
            min: f32::INFINITY,
            max: f32::NEG_INFINITY,
            nan: 0,
            infinite: 0,
        }
    }

    /// The `e` that a tensor of this greatest magnitude has: the smallest with `2^e > amax`, at least -100.
    pub fn exponent_for(amax: f32) -> i32 {
        // The exponent field of a normal number in [2^(e-1), 2^e) is e + 126.
        ((amax.abs().to_bits() >> 23) as i32 - 126).max(MIN_EXPONENT)
    }

    /// Counts values.
    pub fn add(&mut self, values: &[f32]) {
        if values.len() <= SMALL {
            self.add_small(values);
        } else {
            // Scratch counts have 32 bits.
            values.chunks(1 << 30).for_each(|part| self.add_large(part));
        }
    }

    /// Counts values on all threads of the current rayon pool; worth it from about 100,000 values on.
    pub fn add_parallel(&mut self, values: &[f32]) {
        let parts = values.par_chunks(values.len().div_ceil(rayon::current_num_threads()).max(PARALLEL));
        let counted: Vec<Self> = parts
            .map(|part| {
                let mut histogram = Self::new();
                histogram.add(part);
                histogram
            })
            .collect();
        counted.iter().for_each(|histogram| self.merge(histogram));
    }

    fn add_small(&mut self, values: &[f32]) {
        let mut finite = Vec::new();
        let values = self.see(values, &mut finite);
        self.grow(Self::exponent_for(self.amax_or_zero()));
        if values.is_empty() {
            return;
        }
        let scale = self.inverse_width();
        let bins = self.bins_mut();
        for_each_slot(values, scale, |slot| bins[if slot < FINE { slot } else { 0 }] += 1);
    }

    fn add_large(&mut self, values: &[f32]) {
        let mut scratch = [0u32; FINE + ZERO_SLOTS];
        let mut finite = Vec::new();
        for block in values.chunks(BLOCK) {
            let block = self.see(block, &mut finite);
            let exponent = Self::exponent_for(self.amax_or_zero());
            if exponent > self.exponent {
                self.take(&mut scratch);
                self.grow(exponent);
            }
            for_each_slot(block, self.inverse_width(), |slot| scratch[slot] += 1);
        }
        self.take(&mut scratch);
    }

    /// Notes the extremes and the number of values; gives back the finite ones, by way of `finite` where
    /// there are others.
    fn see<'a>(&mut self, values: &'a [f32], finite: &'a mut Vec<f32>) -> &'a [f32] {
        let mut seen = Extremes::of(values);
        let mut kept = values;
        if !seen.all_finite() {
            finite.clear();
            finite.extend(values.iter().filter(|x| x.is_finite()));
            let nan = values.iter().filter(|x| x.is_nan()).count();
            self.nan += nan as u64;
            self.infinite += (values.len() - finite.len() - nan) as u64;
            seen = Extremes::of(finite);
            kept = finite;
        }
        self.count += kept.len() as u64;
        // Adding 0 turns -0 into 0, so that which zero comes first does not matter.
        self.min = self.min.min(seen.min + 0.0);
        self.max = self.max.max(seen.max + 0.0);
        kept
    }

    /// Moves scratch counts into the bins. There are no bins before the first finite value.
    fn take(&mut self, scratch: &mut [u32; FINE + ZERO_SLOTS]) {
        if self.count == 0 {
            return;
        }
        let (fine, zeros) = scratch.split_at_mut(FINE);
        fine[0] += zeros.iter().sum::<u32>();
        for (bin, count) in self.bins_mut().iter_mut().zip(fine.iter()) {
            *bin += u64::from(*count);
        }
        scratch.fill(0);
    }

    fn bins_mut(&mut self) -> &mut [u64] {
        if self.bins.is_empty() {
            self.bins = vec![0; FINE];
        }
        &mut self.bins
    }

    /// Widens the range to `[0, 2^exponent)`, adding up neighbouring bins.
    fn grow(&mut self, exponent: i32) {
        let shift = (exponent - self.exponent).max(0);
        self.exponent += shift;
        if shift == 0 || self.bins.is_empty() {
            return;
        }
        let merged = 1usize << shift.min(FINE_LOG2);
        for bin in 0..FINE {
            let first = bin * merged;
            // In ascending order, bins are read before they are written.
            self.bins[bin] = self.bins.get(first..first + merged).map_or(0, |bins| bins.iter().sum());
        }
    }

    /// 1 / (width of a bin): an exact power of two.
    fn inverse_width(&self) -> f32 {
        f32::from_bits(((127 + FINE_LOG2 - self.exponent) as u32) << 23)
    }

    /// Adds the counts of another histogram of the same tensor, as if its values had been added here.
    pub fn merge(&mut self, other: &Self) {
        self.grow(other.exponent);
        self.count += other.count;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.nan += other.nan;
        self.infinite += other.infinite;
        if !other.bins.is_empty() {
            let shift = (self.exponent - other.exponent).min(FINE_LOG2);
            let bins = self.bins_mut();
            for (bin, count) in other.bins.iter().enumerate() {
                bins[bin >> shift] += count;
            }
        }
    }

    /// The greatest magnitude among finite values, exactly; `None` before the first.
    pub fn amax(&self) -> Option<f32> {
        (self.count > 0).then(|| self.amax_or_zero())
    }

    fn amax_or_zero(&self) -> f32 {
        if self.min > self.max { 0.0 } else { self.max.max(-self.min).abs() }
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

    /// The width of a fine bin: a power of two.
    pub(crate) fn width(&self) -> f64 {
        f64::from(self.inverse_width()).recip()
    }

    /// The exponent of the range `[0, 2^e)` of the fine bins.
    pub(crate) fn exponent(&self) -> i32 {
        self.exponent
    }

    /// The fine counts: [`FINE`] of them, or none.
    pub(crate) fn bins(&self) -> &[u64] {
        &self.bins
    }

    /// The content, for storing it.
    pub fn into_parts(self) -> HistogramParts {
        let Self { exponent, bins, count: _, min, max, nan, infinite } = self;
        HistogramParts { exponent, bins, min, max, nan, infinite }
    }

    /// Takes counts made elsewhere: read from a file, or counted on a GPU.
    ///
    /// # Errors
    /// [`CalibError::Histogram`] where the parts contradict each other.
    pub fn from_parts(parts: HistogramParts) -> Result<Self, CalibError> {
        let HistogramParts { exponent, bins, min, max, nan, infinite } = parts;
        let sum = bins.iter().fold(0u64, |sum, &bin| sum.saturating_add(bin));
        let histogram = Self { exponent, bins, count: sum, min, max, nan, infinite };
        let too_many = [sum, nan, infinite].iter().any(|&n| n > MOST);
        let reason = if too_many { Some("a count exceeds 2^53") } else { histogram.contradiction() };
        match reason {
            None => Ok(histogram),
            Some(reason) => Err(CalibError::Histogram { reason }),
        }
    }

    fn contradiction(&self) -> Option<&'static str> {
        if self.count == 0 {
            let empty = self.min == f32::INFINITY
                && self.max == f32::NEG_INFINITY
                && self.exponent == MIN_EXPONENT
                && self.bins.is_empty();
            return (!empty).then_some("there is no count, but a range");
        }
        let finite = self.min.is_finite() && self.max.is_finite() && self.min <= self.max;
        if self.bins.len() != FINE {
            Some("the number of bins is not 16384")
        } else if !finite || self.min.to_bits() == 1 << 31 || self.max.to_bits() == 1 << 31 {
            Some("the least and the greatest value are not a finite range")
        } else if self.exponent != Self::exponent_for(self.amax_or_zero()) {
            Some("the exponent is not that of the greatest magnitude")
        } else {
            let last = (self.amax_or_zero() * self.inverse_width()) as usize;
            let right = self.bins[last] > 0 && self.bins[last + 1..].iter().all(|&bin| bin == 0);
            (!right).then_some("the last count is not that of the greatest magnitude")
        }
    }
}

/// The extremes of a slice, NaN left out.
pub(crate) struct Extremes {
    pub min: f32,
    pub max: f32,
    nan: bool,
}

impl Extremes {
    /// One pass that the compiler turns into vector instructions: independent lanes, no branches, and
    /// comparisons that give the lane's value back where the other one is NaN.
    pub fn of(values: &[f32]) -> Self {
        const LANES: usize = 16;
        let mut min = [f32::INFINITY; LANES];
        let mut max = [f32::NEG_INFINITY; LANES];
        let mut nan = [false as u32; LANES];
        let (chunks, rest) = values.as_chunks::<LANES>();
        for chunk in chunks {
            for (lane, &x) in chunk.iter().enumerate() {
                min[lane] = if x < min[lane] { x } else { min[lane] };
                max[lane] = if x > max[lane] { x } else { max[lane] };
                nan[lane] |= u32::from(x.is_nan());
            }
        }
        let lanes = min.iter().chain(rest).copied();
        Self {
            min: lanes.fold(f32::INFINITY, f32::min),
            max: max.iter().chain(rest).copied().fold(f32::NEG_INFINITY, f32::max),
            nan: nan.iter().any(|&n| n != 0) || rest.iter().any(|x| x.is_nan()),
        }
    }

    /// Whether no value is NaN or infinite. The extremes of an empty slice are infinite, in the other order.
    pub fn all_finite(&self) -> bool {
        !self.nan && self.min != f32::NEG_INFINITY && self.max != f32::INFINITY
    }
}

/// Calls `count` with the slot of each value: its bin, or for a zero one of the slots from [`FINE`] on.
#[inline(always)]
fn for_each_slot(values: &[f32], scale: f32, mut count: impl FnMut(usize)) {
    let (lanes, rest) = values.as_chunks::<LANE>();
    for lane in lanes {
        let mut slots = [0u32; LANE];
        for (turn, (slot, x)) in slots.iter_mut().zip(lane).enumerate() {
            *slot = slot_of(x.abs() * scale, (turn % ZERO_SLOTS) as u32);
        }
        slots.iter().for_each(|&slot| count(slot as usize));
    }
    rest.iter().for_each(|x| count(slot_of(x.abs() * scale, 0) as usize));
}

/// `floor(x)` for `0 < x < FINE`, and `FINE + turn` for 0.
///
/// Adding 2^23 leaves the nearest integer in the low bits of the sum; where that was rounded up, it is one too
/// many. Plain `as u32` saturates, which keeps the compiler from vectorising: it is seven times slower.
#[inline(always)]
fn slot_of(x: f32, turn: u32) -> u32 {
    const TWO_23: f32 = 8_388_608.0;
    let sum = x + TWO_23;
    let rounded_up = u32::from(sum - TWO_23 > x);
    let bin = (sum.to_bits() - rounded_up) & (FINE as u32 - 1);
    if x == 0.0 { FINE as u32 + turn } else { bin }
}
