//! Disjoint parts of a dataset: to calibrate with, to choose with, to report on.

use std::cmp::Reverse;
use std::collections::HashMap;

use crate::dataset::Dataset;
use crate::sampling::shuffle;
use crate::survey::Groups;

/// Splits a dataset in proportion to `shares`; which sample goes where depends on `seed` alone.
///
/// The parts are disjoint and together complete. Samples of one of `groups`
/// ([`Survey::near_duplicates`](crate::Survey)), and those of the same content, stay together, so that no part knows
/// another one's answers. As long as there are enough groups, no share above zero goes without; how far sizes are from the
/// shares, is less than the largest group.
pub fn split(dataset: &Dataset, shares: &[u32], seed: u64, groups: &[Vec<usize>]) -> Vec<Dataset> {
    let parts = assign(units(dataset, groups), dataset.len(), shares, seed);
    parts.iter().map(|positions| dataset.subset(positions)).collect()
}

/// What must not be torn apart.
fn units(dataset: &Dataset, groups: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let mut units = Groups::new(dataset.len());
    for pair in groups.iter().flat_map(|group| group.windows(2)) {
        units.join(pair[0], pair[1]);
    }
    let mut first = HashMap::new();
    for (at, image) in dataset.images().iter().enumerate() {
        units.join(at, *first.entry(image.hash).or_insert(at));
    }
    units.into_groups()
}

/// Positions for each share, ascending.
fn assign(mut units: Vec<Vec<usize>>, total: usize, shares: &[u32], seed: u64) -> Vec<Vec<usize>> {
    shuffle(&mut units, seed);
    // Large ones while there is room for them; the order of equals is the shuffled one.
    units.sort_by_key(|unit| Reverse(unit.len()));
    let sum: u64 = shares.iter().map(|share| u64::from(*share)).sum::<u64>().max(1);
    let mut parts = vec![Vec::new(); shares.len()];
    let count = units.len();
    for (at, unit) in units.into_iter().enumerate() {
        let waiting = |part: usize| shares[part] > 0 && parts[part].is_empty();
        let urgent = (0..shares.len()).filter(|&part| waiting(part)).count() >= count - at;
        // What is missing of the share, in units of 1 / sum, so that it is exact.
        let missing = |part: usize| {
            i128::from(shares[part]) * total as i128 - parts[part].len() as i128 * i128::from(sum)
        };
        let open = (0..shares.len()).filter(|&part| shares[part] > 0 && (!urgent || waiting(part)));
        let Some(part) = open.max_by_key(|&part| (missing(part), Reverse(part))) else { break };
        parts[part].extend(unit);
    }
    parts.iter_mut().for_each(|part| part.sort_unstable());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn singles(count: usize) -> Vec<Vec<usize>> {
        (0..count).map(|at| vec![at]).collect()
    }

    #[test]
    fn parts_are_as_large_as_their_shares_disjoint_and_complete() {
        for (total, shares, sizes) in [
            (100, vec![60, 20, 20], vec![60, 20, 20]),
            (10, vec![1, 1, 1], vec![4, 3, 3]),
            (10, vec![98, 1, 1], vec![8, 1, 1]),
            (3, vec![1, 0, 2], vec![1, 0, 2]),
            (2, vec![5, 4, 3], vec![1, 1, 0]),
            (0, vec![1, 1], vec![0, 0]),
        ] {
            let parts = assign(singles(total), total, &shares, 7);
            assert_eq!(parts.iter().map(Vec::len).collect::<Vec<_>>(), sizes, "{total} by {shares:?}");
            let mut all = parts.concat();
            all.sort_unstable();
            assert_eq!(all, (0..total).collect::<Vec<_>>());
        }
    }

    #[test]
    fn what_belongs_together_stays_together() {
        for seed in 0..50 {
            let mut units = vec![(0..10).collect::<Vec<_>>(), vec![10, 11, 12]];
            units.extend((13..40).map(|at| vec![at]));
            let parts = assign(units.clone(), 40, &[2, 1, 1], seed);
            for unit in units {
                assert!(parts.iter().any(|part| unit.iter().all(|at| part.contains(at))), "{seed}: {unit:?}");
            }
            assert!(parts.iter().map(Vec::len).zip([20, 10, 10]).all(|(is, share)| is.abs_diff(share) <= 10));
        }
    }

    #[test]
    fn the_seed_decides() {
        let of = |seed| assign(singles(50), 50, &[1, 1], seed);
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
    }
}
