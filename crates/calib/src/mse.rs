//! The threshold with the least expected squared error of INT8.
//!
//! With `s` = threshold / 127, a magnitude `x` becomes `s * min(round(x / s), 127)`. That rises by `s` at each
//! `(j - 1/2) s` for `j` = 1 to 127, so that with the density `f`
//!
//! ```text
//! E(s) = M - 2 s * sum over j of H((j - 1/2) s),   H(x) = integral from x on of (u - x) f(u) du,
//! ```
//!
//! `M` being the integral of `u^2 f(u)`: expand the square of each rise and sum by parts. `H` is a table over the
//! bins, quadratic within one, so a threshold costs 127 look-ups.
//!
//! Two kinds of values are no density but points, and many activations have them: zeros (ReLU), and the greatest
//! magnitude (ReLU6 and other saturation). What the first bin has more than the second counts as zeros, which have no
//! error; what the last one has more than the one before counts as values of the greatest magnitude.
//!
//! Thresholds are tried in 256 steps to the octave, from the greatest magnitude down to where clipping alone costs more
//! than the best found, and then in steps of a sixteenth of those about the best. Of equal errors the greatest counts.

use crate::density::Density;

/// Levels above 0.
const LEVELS: usize = 127;
/// Thresholds tried per octave at first.
const COARSE: u32 = 256;
/// Steps into which each of those is divided about the best.
const FINE_STEPS: u32 = 16;

pub(crate) fn threshold(density: &Density<'_>) -> f64 {
    let excess = Excess::new(density);
    let end = density.end();
    let mut best = (f64::INFINITY, end);
    let mut step_of_best = 0.0;
    let (mut octave, mut going) = (end, true);
    while going && octave >= 1.0 {
        let step = octave / f64::from(2 * COARSE);
        for at in 0..COARSE {
            let tried = octave - f64::from(at) * step;
            if excess.clipped(tried) >= best.0 {
                going = false;
                break;
            }
            let error = excess.error(tried);
            if error < best.0 {
                best = (error, tried);
                step_of_best = step;
            }
        }
        octave /= 2.0;
    }
    let (fine, centre) = (step_of_best / f64::from(FINE_STEPS), best.1);
    for at in (1..2 * FINE_STEPS).rev() {
        let tried = centre + (f64::from(at) - f64::from(FINE_STEPS)) * fine;
        if tried <= end && at != FINE_STEPS {
            let error = excess.error(tried);
            if error < best.0 {
                best = (error, tried);
            }
        }
    }
    density.magnitude(best.1)
}

/// Integrals from the start of each bin on.
struct Excess {
    bins: Vec<Bin>,
    end: f64,
}

/// The integrals of `f(u)`, of `(u - x) f(u)` and of `(u - x)^2 f(u)` from the start `x` of a bin on, and the density
/// in the bin.
#[derive(Clone, Copy, Default)]
struct Bin {
    above: f64,
    excess: f64,
    squared: f64,
    density: f64,
}

impl Excess {
    fn new(density: &Density<'_>) -> Self {
        let counts = density.counts();
        let last = counts.len() - 1;
        let count = |bin: usize| counts[bin] as f64;
        let mut bins = vec![Bin::default(); counts.len()];
        let mut after = Bin::default();
        for bin in (0..counts.len()).rev() {
            let width = density.end_of(bin) - bin as f64;
            // What lies at the end of the last bin, and what is no density in the first.
            let (mut spread, mut at_end) = (count(bin), 0.0);
            if bin == last {
                let before = if bin == 0 { 0.0 } else { count(bin - 1) };
                spread = if width > 0.0 { spread.min(before * width) } else { 0.0 };
                at_end = count(bin) - spread;
            } else if bin == 0 {
                spread = spread.min(count(1));
            }
            let above = after.above + at_end;
            bins[bin] = Bin {
                above: above + spread,
                excess: after.excess + above * width + spread * width / 2.0,
                squared: after.squared
                    + 2.0 * width * after.excess
                    + above * width * width
                    + spread * width * width / 3.0,
                density: if width > 0.0 { spread / width } else { 0.0 },
            };
            after = bins[bin];
        }
        Self { bins, end: density.end() }
    }

    /// The expected squared error of this threshold, times the number of values, in squares of the width of a bin.
    fn error(&self, threshold: f64) -> f64 {
        let step = threshold / LEVELS as f64;
        let sum: f64 = (0..LEVELS).map(|level| self.excess((level as f64 + 0.5) * step)).sum();
        (self.bins[0].squared - 2.0 * step * sum).max(0.0)
    }

    /// The integral of `(u - x) f(u)` from `x` on, for `0 <= x`.
    fn excess(&self, x: f64) -> f64 {
        if x >= self.end {
            return 0.0;
        }
        let number = (x as usize).min(self.bins.len() - 1);
        let (bin, inside) = (&self.bins[number], x - number as f64);
        bin.excess - inside * (bin.above - inside * bin.density / 2.0)
    }

    /// No more than what clipping alone costs at this threshold.
    fn clipped(&self, threshold: f64) -> f64 {
        self.bins.get(threshold.ceil() as usize).map_or(0.0, |bin| bin.squared)
    }
}
