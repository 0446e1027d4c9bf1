//! The entropy search: which part of the range to keep.
//!
//! The histogram has 2048 bins over `[0, amax]`, the first of which is discarded (zeros and near-zeros carry
//! no information about the range). For each `i` from 128 to 2048:
//!
//! - `P` is the first `i` bins, everything beyond added to the last of them, as clipping does;
//! - `Q` is the first `i` bins (without that tail) quantized to 127 levels: level `l` covers the bins from
//!   `l*i/127` to `(l+1)*i/127`, both rounded down, and its count is spread evenly over its bins that are not
//!   empty;
//! - the loss is `KL(P || Q)` of both, normalized. A tail that falls on an empty bin, where `Q` is 0, is compared
//!   with a count of one. With an infinite loss instead, a lone value far out could never be clipped if all
//!   others lie within the first 128 bins. Where all values are in the tail, the loss is infinite;
//! - a range that clips more than 10 % of the counts is not tried. Without such a limit the loss has minima that are none:
//!   where all kept counts lie in the last bin, `P` and `Q` are equal, and a spike (the grey border of letterboxed
//!   images) is compared best where it is the last bin. TensorRT's tables of detectors hardly clip such inputs
//!   (`images: 3c00f9f4`, `3c008912`); without the limit a third of the pixels went, with it a twenty-fifth.
//!
//! The threshold is the centre of bin `i` for the `i` of least loss, the greatest such `i` if there are
//! several: `(i + 0.5) * amax / 2048`. With `i = 2048` nothing is clipped, and there the tail is empty and
//! the loss finite, so that there always is a result.
//!
//! Sources: NVIDIA's MLPerf Inference v0.5 submission (`closed/NVIDIA/calibration.md`) for the discarded bin,
//! the 127 levels and the centre; S. Migacz, "8-bit inference with TensorRT" (GTC 2017) for 2048 bins, `i` from
//! 128 and `Q` without the tail. Tables written by TensorRT show `i = 2048` and `i = 2047` as 2048.5/2048/127
//! (`3c010a14`) and 2047.5/2048/127 (`3c00f9f4`). How levels are cut and how ties and empty bins count is
//! our choice; nothing is known to be bit-equal to TensorRT. All of it is in [`EntropyParams`], what others do in
//! [`Preset`], and [`crate::fit()`] finds what comes closest to a table. One thing is known to be unlike TensorRT:
//! sigmoids that reach 1 often have 2047.5 in its tables, and nearly always 2048.5 here.
//!
//! `Q` is constant within a level, so a level needs two prefix sums instead of its bins, and for the about 127
//! neighbouring `i` with the same two widths of levels, logarithms are shared: 35 thousand of them per tensor.

mod params;
mod shared;

pub use params::{At, EntropyParams, FirstBin, LevelEdge, LoneTail, Preset, QSource, SMOOTHING, Ties};

/// The bins kept at least loss.
pub(crate) struct Best {
    pub bin: usize,
    pub divergence: f64,
}

/// Searches checked parameters over `counts`, the last of which is not empty where they are of `params.bins` bins.
pub(crate) fn search(counts: &[u64], params: &EntropyParams) -> Best {
    let bins = counts.len();
    // Counts of TensorRT's mode have a number of bins of their own.
    let start = params.start.min(bins);
    let params = &EntropyParams { start, levels: params.levels.min(start), ..*params };
    let sums = Sums::new(counts, params.first_bin);
    let most = sums.count(0, bins) * f64::from(params.most_clipped) / 100.0;
    let kept = (start..bins)
        .step_by(params.stride)
        .filter(|&kept| sums.count(kept, bins) <= most)
        .chain(params.whole.then_some(bins));
    if params.level_edge == LevelEdge::Shared {
        let shared = shared::Shared::new(&sums, params.levels);
        return best(bins, params.ties, kept.map(|kept| (kept, shared.divergence(kept))));
    }
    let mut rows = LevelRows::new(&sums);
    let losses = kept.map(|kept| {
        rows.widen_to(kept / params.levels);
        (kept, divergence(&sums, &rows, kept, params))
    });
    best(bins, params.ties, losses)
}

/// The least loss; all bins where no loss is finite.
fn best(bins: usize, ties: Ties, losses: impl Iterator<Item = (usize, f64)>) -> Best {
    let mut best = Best { bin: bins, divergence: f64::INFINITY };
    for (bin, divergence) in losses {
        if divergence < best.divergence || (ties == Ties::Last && divergence == best.divergence) {
            best = Best { bin, divergence };
        }
    }
    best
}

/// `KL(P || Q) = (sum P ln P - sum P ln Q) / |P| - ln |P| + ln |Q|`, with P and Q not normalized.
fn divergence(sums: &Sums, rows: &LevelRows<'_>, kept: usize, params: &EntropyParams) -> f64 {
    let (width, wider) = (kept / params.levels, kept % params.levels);
    // P ln Q of all levels but the last, which has the tail. Levels start at `l * kept / levels`; rounding up is
    // rounding down with as much as can be added without a change.
    let rounding = if params.level_edge == LevelEdge::Up { params.levels - 1 } else { 0 };
    let (mut start, mut remainder, mut cross) = (0, rounding, 0.0);
    for _ in 1..params.levels {
        remainder += wider;
        let extra = usize::from(remainder >= params.levels);
        remainder -= extra * params.levels;
        cross += rows.term(start, extra);
        start += width + extra;
    }

    let (total, tail) = (sums.count(0, sums.bins()), sums.count(kept, sums.bins()));
    if tail == total {
        return f64::INFINITY;
    }
    let (inside, used) = (sums.count(start, kept), sums.used(start, kept));
    let last = sums.count(kept - 1, kept);
    let lone = last == 0.0 && tail > 0.0;
    let q_total = match params.q_source {
        QSource::WithoutTail if lone && params.lone_tail == LoneTail::Infinite => return f64::INFINITY,
        // Of the last bin's P ln Q nothing is added: ln 1 is 0.
        QSource::WithoutTail if lone => {
            cross += x_ln_y(inside, inside / used);
            total - tail + 1.0
        }
        QSource::WithoutTail => {
            cross += x_ln_y(inside + tail, inside / used);
            total - tail
        }
        QSource::WithTail => {
            let used = used + f64::from(u8::from(lone));
            cross += x_ln_y(inside + tail, (inside + tail) / used);
            total
        }
    };
    let own = sums.x_ln_x(kept - 1) + x_ln_y(last + tail, last + tail);
    ((own - cross) / total - total.ln() + q_total.ln()).max(0.0)
}

/// `x ln y`, and 0 where `x` is.
fn x_ln_y(x: f64, y: f64) -> f64 {
    if x > 0.0 { x * y.ln() } else { 0.0 }
}

/// Prefix sums over the bins. Counts below 2^53 are exact as `f64`.
struct Sums {
    counts: Vec<u64>,
    used: Vec<u32>,
    x_ln_x: Vec<f64>,
}

impl Sums {
    fn new(counts: &[u64], first_bin: FirstBin) -> Self {
        let length = counts.len() + 1;
        let mut sums = Self {
            counts: Vec::with_capacity(length),
            used: Vec::with_capacity(length),
            x_ln_x: Vec::with_capacity(length),
        };
        let (mut sum, mut used, mut own) = (0u64, 0u32, 0.0);
        for bin in 0..length {
            sums.counts.push(sum);
            sums.used.push(used);
            sums.x_ln_x.push(own);
            let from = if bin == 0 && first_bin == FirstBin::Second { 1 } else { bin };
            let count = match counts.get(from) {
                Some(&count) if bin > 0 || first_bin != FirstBin::Discard => count,
                _ => 0,
            };
            sum += count;
            used += u32::from(count > 0);
            own += x_ln_y(count as f64, count as f64);
        }
        sums
    }

    fn bins(&self) -> usize {
        self.counts.len() - 1
    }

    /// The count of the bins from `start` to before `end`.
    fn count(&self, start: usize, end: usize) -> f64 {
        (self.counts[end] - self.counts[start]) as f64
    }

    /// How many bins from `start` to before `end` are not empty.
    fn used(&self, start: usize, end: usize) -> f64 {
        f64::from(self.used[end] - self.used[start])
    }

    /// The sum of `x ln x` over the bins before `end`.
    fn x_ln_x(&self, end: usize) -> f64 {
        self.x_ln_x[end]
    }
}

/// `S ln (S / n)` of every level of two widths: S is its count, n how many of its bins are not empty.
struct LevelRows<'a> {
    sums: &'a Sums,
    width: usize,
    /// By start of the level; for `width` and `width + 1`.
    rows: [Vec<f64>; 2],
}

impl<'a> LevelRows<'a> {
    fn new(sums: &'a Sums) -> Self {
        Self { sums, width: 0, rows: [Vec::new(), Vec::new()] }
    }

    /// Makes the rows for `width` and `width + 1`.
    fn widen_to(&mut self, width: usize) {
        if width == self.width {
            return;
        }
        let narrow = if width == self.width + 1 && self.width > 0 {
            std::mem::take(&mut self.rows[1])
        } else {
            self.row(width)
        };
        self.rows = [narrow, self.row(width + 1)];
        self.width = width;
    }

    fn row(&self, width: usize) -> Vec<f64> {
        let term = |start: usize| {
            let end = (start + width).min(self.sums.bins());
            let count = self.sums.count(start, end);
            x_ln_y(count, count / self.sums.used(start, end))
        };
        (0..self.sums.bins()).map(term).collect()
    }

    /// The term of the level that starts at `start` and has `extra` (0 or 1) bins more than the lesser width.
    fn term(&self, start: usize, extra: usize) -> f64 {
        self.rows[extra][start]
    }
}
