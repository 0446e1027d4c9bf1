//! Which parameters of the entropy search make the table that somebody else made from the same data.
//!
//! TensorRT's search is not public in full. With a table that it wrote, and histograms counted from the same model and
//! data, the parameters whose thresholds agree best can be told. Two things spoil the agreement and no parameter mends
//! them: a tensor whose scale TensorRT took from another one (behind a max-pool, say), and other counts, in
//! [`Mode::TensorRt`](crate::Mode) because of another order of the images.

use rayon::prelude::*;

use crate::entropy::{At, FirstBin, LevelEdge, LoneTail, QSource, Ties};
use crate::method::bin_width;
use crate::{CalibrationTable, Counts, EntropyParams, HistogramSet, Method, Preset};

/// How far scales agree with those of a table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Agreement {
    /// Tensors that have counts and a positive scale in the table; those without a threshold agree in nothing.
    pub compared: usize,
    /// How many scales have the same bits.
    pub equal: usize,
    /// How many thresholds are at most the width of a bin apart.
    pub within_a_bin: usize,
    /// The median of `|own - theirs| / theirs`.
    pub median_difference: f64,
}

/// Parameters and how far they agree.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fit {
    /// The parameters.
    pub params: EntropyParams,
    /// How far their scales agree with the table's.
    pub agreement: Agreement,
}

/// Compares the scales of a method with a table's; `None` where they have no tensor in common.
pub fn agreement(set: &HistogramSet, table: &CalibrationTable, method: &Method) -> Option<Agreement> {
    let pairs = pairs(set, table);
    let distances = pairs
        .par_iter()
        .map(|&(counts, scale)| {
            let width = bin_width(counts, &method.entropy);
            distance(method.threshold(counts).map_or(f64::NAN, |found| found.value), scale, width)
        })
        .collect();
    summary(distances)
}

/// Tries combinations of parameters, best first; of those that agree equally well, the most usual first. Empty where
/// the sets have no tensor in common.
///
/// All combinations of what the public texts leave open are tried with several strides, and the [presets](Preset); then,
/// from the best on, other numbers of bins, starts, strides and levels, one at a time as long as that helps.
pub fn fit(set: &HistogramSet, table: &CalibrationTable) -> Vec<Fit> {
    let pairs = pairs(set, table);
    let mut ranked = Vec::new();
    try_all(&pairs, open_points(), &mut ranked);
    loop {
        let best: Vec<Fit> = ranked.iter().take(STARTS).copied().collect();
        try_all(&pairs, best.iter().flat_map(|fit| neighbours(&fit.params)).collect(), &mut ranked);
        if ranked[..best.len()] == best {
            return ranked;
        }
    }
}

/// How many of the best are improved upon.
const STARTS: usize = 3;

/// Tensors of both, with the scale that they have in the table.
fn pairs<'a>(set: &'a HistogramSet, table: &CalibrationTable) -> Vec<(&'a Counts, f32)> {
    let scale = |name: &str| table.get(name.as_bytes()).filter(|scale| scale.is_finite() && *scale > 0.0);
    set.tensors.iter().filter_map(|tensor| Some((&tensor.counts, scale(&tensor.name)?))).collect()
}

/// Adds what has not been tried yet, keeping the order.
fn try_all(pairs: &[(&Counts, f32)], tried: Vec<EntropyParams>, ranked: &mut Vec<Fit>) {
    // A search finds bins; where in them the threshold lies costs no other search.
    let mut searches: Vec<EntropyParams> = Vec::new();
    for params in tried {
        let search = EntropyParams { at: At::Centre, ..params };
        let known = ranked.iter().any(|fit| EntropyParams { at: At::Centre, ..fit.params } == search);
        if !known && !searches.contains(&search) && params.check().is_ok() {
            searches.push(search);
        }
    }
    for search in searches {
        let found: Vec<_> = pairs
            .par_iter()
            .map(|&(counts, scale)| {
                let method = Method { entropy: search, ..Method::default() };
                let bin = method.threshold(counts).ok().and_then(|found| found.bin);
                (bin, bin_width(counts, &search), scale)
            })
            .collect();
        for at in [At::Centre, At::Edge] {
            let own = |bin: Option<usize>, width| bin.map_or(f64::NAN, |bin| at.position(bin) * width);
            let distances =
                found.iter().map(|&(bin, width, scale)| distance(own(bin, width), scale, width)).collect();
            let params = EntropyParams { at, ..search };
            ranked.extend(summary(distances).map(|agreement| Fit { params, agreement }));
        }
    }
    // Stable: what was tried first stays first.
    ranked.sort_by(|a, b| {
        rank(&a.agreement).partial_cmp(&rank(&b.agreement)).unwrap_or(std::cmp::Ordering::Equal)
    });
}

/// Less is better.
fn rank(agreement: &Agreement) -> (usize, usize, f64) {
    let Agreement { compared, equal, within_a_bin, median_difference } = *agreement;
    (compared - equal, compared - within_a_bin, median_difference)
}

/// Whether two thresholds have the same scale, whether they are a bin apart at most, and their relative difference.
fn distance(own: f64, scale: f32, width: f64) -> (bool, bool, f64) {
    if own.is_nan() {
        return (false, false, f64::INFINITY);
    }
    let theirs = f64::from(scale) * 127.0;
    let apart = (own - theirs).abs();
    // The table's scale is rounded to binary32.
    let rounding = theirs * f64::from(f32::EPSILON);
    ((own / 127.0) as f32 == scale, apart <= width + rounding, apart / theirs)
}

fn summary(mut distances: Vec<(bool, bool, f64)>) -> Option<Agreement> {
    distances.sort_by(|a, b| a.2.total_cmp(&b.2));
    let (_, _, median_difference) = *distances.get(distances.len() / 2)?;
    Some(Agreement {
        compared: distances.len(),
        equal: distances.iter().filter(|(equal, ..)| *equal).count(),
        within_a_bin: distances.iter().filter(|(_, near, _)| *near).count(),
        median_difference,
    })
}

/// The presets, and every combination of the open points that makes a difference.
fn open_points() -> Vec<EntropyParams> {
    let mut all = Preset::ALL.map(Preset::params).to_vec();
    let default = EntropyParams::default();
    for levels in [127, 128] {
        for first_bin in [FirstBin::Discard, FirstBin::Keep, FirstBin::Second] {
            let open = EntropyParams { levels, first_bin, ..default };
            all.push(EntropyParams { level_edge: LevelEdge::Shared, ties: Ties::First, ..open });
            for level_edge in [LevelEdge::Down, LevelEdge::Up] {
                for ties in [Ties::Last, Ties::First] {
                    let open = EntropyParams { level_edge, ties, ..open };
                    all.push(open);
                    all.push(EntropyParams { lone_tail: LoneTail::Infinite, ..open });
                    all.push(EntropyParams { q_source: QSource::WithTail, ..open });
                }
            }
        }
    }
    // A stride hides all else: the best of every one differ. Long ones cost little.
    let strides =
        [2, 4, 8, 16].map(|stride| all.iter().map(move |open| EntropyParams { stride, ..*open }).collect());
    [vec![all.clone()], strides.to_vec()].concat().concat()
}

/// The same with one number changed.
fn neighbours(params: &EntropyParams) -> Vec<EntropyParams> {
    let mut all = vec![EntropyParams { whole: !params.whole, ..*params }];
    all.extend([512, 1000, 1024, 2001, 2048, 4096].map(|bins| EntropyParams { bins, ..*params }));
    all.extend([64, 96, 100, 120, 126, 127, 128].map(|levels| EntropyParams { levels, ..*params }));
    all.extend([64, 127, 128, 129, 256, 512].map(|start| EntropyParams { start, ..*params }));
    all.extend([1, 2, 4, 8, 16, 32, 64].map(|stride| EntropyParams { stride, ..*params }));
    all
}
