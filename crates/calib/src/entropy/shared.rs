//! The search with levels that share bins, as ncnn has it.
//!
//! With `p` the counts over their sum and `i` bins kept: `P` is `p` with the tail in its last bin; level `l` covers
//! the bins from `l*i/levels` to `(l+1)*i/levels`, a bin that an edge divides belonging to both in proportion; `Q` is
//! the mean of its level, or of both in proportion. [`SMOOTHING`] is added to every bin of both, and the loss is
//! the sum of `P ln (P / Q)`, neither being normalized again.

use super::{SMOOTHING, Sums, x_ln_y};

pub(super) struct Shared<'a> {
    sums: &'a Sums,
    levels: usize,
    total: f64,
    /// The sum of `(p + SMOOTHING) ln (p + SMOOTHING)` over the bins before each.
    own: Vec<f64>,
}

impl<'a> Shared<'a> {
    pub fn new(sums: &'a Sums, levels: usize) -> Self {
        let total = sums.count(0, sums.bins()).max(1.0);
        let mut own = Vec::with_capacity(sums.bins() + 1);
        let mut sum = 0.0;
        own.push(sum);
        for bin in 0..sums.bins() {
            let p = sums.count(bin, bin + 1) / total + SMOOTHING;
            sum += x_ln_y(p, p);
            own.push(sum);
        }
        Self { sums, levels, total, own }
    }

    pub fn divergence(&self, kept: usize) -> f64 {
        let tail = self.share(kept, self.sums.bins());
        let last = self.share(kept - 1, kept) + SMOOTHING + tail;
        let mut cross = 0.0;
        let mut level = self.level(0, kept);
        for next in 1..=self.levels {
            let whole = level.start.div_ceil(self.levels)..level.end / self.levels;
            let p = self.share(whole.start, whole.end) + SMOOTHING * whole.len() as f64;
            cross += x_ln_y(p, level.mean + SMOOTHING);
            if next == self.levels {
                // The last bin lies within the last level, and has the tail.
                cross += x_ln_y(tail, level.mean + SMOOTHING);
                break;
            }
            let following = self.level(next, kept);
            let (bin, part) =
                (level.end / self.levels, (level.end % self.levels) as f64 / self.levels as f64);
            if part > 0.0 {
                let q = part * level.mean + (1.0 - part) * following.mean;
                cross += x_ln_y(self.share(bin, bin + 1) + SMOOTHING, q + SMOOTHING);
            }
            level = following;
        }
        // Equal losses must be equal for a tie: the sums are exact to less than this.
        ((self.own[kept - 1] + x_ln_y(last, last) - cross) * 1e12).round() / 1e12
    }

    fn level(&self, level: usize, kept: usize) -> Level {
        let (start, end) = (level * kept, (level + 1) * kept);
        let width = kept as f64 / self.levels as f64;
        Level { start, end, mean: (self.below(end) - self.below(start)) / width }
    }

    /// The share of the counts below an edge, given in parts of a bin.
    fn below(&self, edge: usize) -> f64 {
        let (bin, part) = (edge / self.levels, edge % self.levels);
        let inside =
            if part == 0 { 0.0 } else { self.share(bin, bin + 1) * part as f64 / self.levels as f64 };
        self.share(0, bin) + inside
    }

    fn share(&self, start: usize, end: usize) -> f64 {
        self.sums.count(start, end) / self.total
    }
}

/// A level, its edges in parts of a bin: there are as many to a bin as levels.
struct Level {
    start: usize,
    end: usize,
    mean: f64,
}
