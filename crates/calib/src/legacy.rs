//! The legacy calibrator's threshold, as far as it is public; see [`crate::Method::threshold`].

use crate::algorithm::Legacy;
use crate::density::Density;

pub(crate) fn threshold(density: &Density<'_>, Legacy { quantile, cutoff }: Legacy) -> f64 {
    if cutoff.get() == 1.0 {
        return density.quantile(quantile.get());
    }
    let seen = (cutoff.get() * density.end()) as usize;
    let rate = -slope(&density.counts()[..seen]);
    // The quantile of an exponential distribution.
    let position = if rate > 0.0 { -(1.0 - quantile.get()).ln() / rate } else { f64::INFINITY };
    density.magnitude(position)
}

/// The slope of the line through the logarithms of the counts, by least squares weighted with the counts: their
/// logarithms vary as one over the count. 0 where there is no line.
fn slope(counts: &[u64]) -> f64 {
    let points = || {
        let bins = counts.iter().enumerate().skip(1).filter(|(_, count)| **count > 0);
        bins.map(|(bin, &count)| (bin as f64 + 0.5, (count as f64).ln(), count as f64))
    };
    let weight: f64 = points().map(|(_, _, w)| w).sum();
    let mean_x = points().map(|(x, _, w)| w * x).sum::<f64>() / weight;
    let mean_y = points().map(|(_, y, w)| w * y).sum::<f64>() / weight;
    let (mut xy, mut xx) = (0.0, 0.0);
    for (x, y, w) in points() {
        xy += w * (x - mean_x) * (y - mean_y);
        xx += w * (x - mean_x) * (x - mean_x);
    }
    if xx > 0.0 { xy / xx } else { 0.0 }
}
