//! Which of many: a generator that is the same on every machine, and what is drawn with it.

use std::fmt;
use std::str::FromStr;

/// A part of the work, for several machines or jobs: the `index`-th of `of` parts, counted from 1; as text `2/8`.
///
/// The parts are disjoint and together complete: each takes every `of`-th of the chosen samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    index: usize,
    of: usize,
}

/// A text that is no part.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a shard is `i/n` with i from 1 to n, not: `{found}`")]
pub struct ShardError {
    /// The text.
    pub found: String,
}

impl Shard {
    /// The `index`-th of `of` parts; `None` unless `1 <= index <= of`.
    pub fn new(index: usize, of: usize) -> Option<Self> {
        (1..=of).contains(&index).then_some(Self { index, of })
    }

    /// Which part, from 1.
    pub fn index(self) -> usize {
        self.index
    }

    /// Of how many.
    pub fn of(self) -> usize {
        self.of
    }

    /// Whether the part has the chosen sample at this position.
    pub(crate) fn has(self, position: usize) -> bool {
        position % self.of == self.index - 1
    }
}

impl FromStr for Shard {
    type Err = ShardError;

    fn from_str(text: &str) -> Result<Self, ShardError> {
        let parsed = text.split_once('/').and_then(|(index, of)| {
            let number = |text: &str| text.trim().parse().ok();
            Self::new(number(index)?, number(of)?)
        });
        parsed.ok_or_else(|| ShardError { found: text.to_owned() })
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}

/// `count` of `total` positions, ascending; all of them if there are no more.
///
/// Selection sampling with SplitMix64: each set of positions is equally likely, and the same on every machine, since
/// neither a library nor the file system's order has a part in it.
pub(crate) fn sample(total: usize, count: usize, seed: u64) -> impl Iterator<Item = usize> {
    let mut random = SplitMix64(seed);
    let mut wanted = count.min(total);
    (0..total).filter(move |at| {
        let take = random.below((total - at) as u64) < wanted as u64;
        wanted -= usize::from(take);
        take
    })
}

/// Every order of `items` is equally likely (R. Durstenfeld, "Algorithm 235: random permutation", CACM 1964).
pub(crate) fn shuffle<T>(items: &mut [T], seed: u64) {
    let mut random = SplitMix64(seed);
    for end in (1..items.len()).rev() {
        items.swap(end, random.below(end as u64 + 1) as usize);
    }
}

/// The generator of G. Steele, D. Lea and C. Flood, "Fast splittable pseudorandom number generators" (OOPSLA 2014).
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`; its bias, `limit / 2^64`, is beyond measuring.
    fn below(&mut self, limit: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(limit)) >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_is_the_published_one() {
        // The first numbers for seed 1234567, from the authors' reference program.
        let mut random = SplitMix64(1_234_567);
        assert_eq!(random.next(), 6_457_827_717_110_365_317);
        assert_eq!(random.next(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn a_sample_has_the_size_asked_for_and_no_repeats() {
        for (total, count, size) in [(0, 5, 0), (5, 0, 0), (5, 9, 5), (5, 5, 5), (100, 17, 17)] {
            let chosen: Vec<usize> = sample(total, count, 7).collect();
            assert_eq!(chosen.len(), size);
            assert!(chosen.is_sorted_by(|a, b| a < b) && chosen.iter().all(|at| *at < total));
        }
    }

    #[test]
    fn the_seed_decides_the_sample() {
        let of = |seed| sample(1000, 10, seed).collect::<Vec<_>>();
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
        // Tables in use were made from this choice: it must not change.
        assert_eq!(of(1), [98, 160, 265, 340, 389, 481, 565, 725, 842, 911]);
    }

    #[test]
    fn every_position_is_as_likely_as_any_other() {
        let mut hits = [0; 20];
        let mut firsts = [0; 4];
        for seed in 0..2000 {
            sample(20, 5, seed).for_each(|at| hits[at] += 1);
            let mut order = [0, 1, 2, 3];
            shuffle(&mut order, seed);
            firsts[order[0]] += 1;
        }
        // 500 expected of either; the standard deviation is 19.
        assert!(hits.iter().chain(&firsts).all(|n| (400..=600).contains(n)), "{hits:?} {firsts:?}");
    }

    #[test]
    fn shards_are_disjoint_and_complete() {
        for of in 1..5 {
            let shards: Vec<_> = (1..=of).map(|index| Shard::new(index, of).unwrap()).collect();
            assert!((0..20).all(|at| shards.iter().filter(|shard| shard.has(at)).count() == 1));
        }
    }

    #[test]
    fn a_shard_is_written_as_a_fraction() {
        assert_eq!("2/8".parse::<Shard>().unwrap().to_string(), "2/8");
        for text in ["0/8", "9/8", "1/0", "1", "a/b", "", "-1/2", "1/2/3"] {
            assert!(text.parse::<Shard>().is_err(), "{text}");
        }
    }
}
