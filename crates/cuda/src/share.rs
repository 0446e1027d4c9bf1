//! Which block counts what.

/// What it costs a block to begin with a tensor and to add its counters up, in values that it counts in that time.
const OVERHEAD: usize = 4096;
/// Parts of a tensor start at multiples of this, which keeps them aligned to what is read at once.
const GRAIN: usize = 8192;

/// A part of a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// The tensor's position in the list.
    pub tensor: usize,
    /// Its first value.
    pub start: usize,
    /// Its number of values.
    pub len: usize,
}

/// Cuts tensors of these lengths into contiguous shares of about equal cost, at most `blocks` of them. So a block has few
/// parts, and adds its counters up no more often than it has.
pub fn share(lens: &[usize], blocks: usize) -> Vec<Vec<Part>> {
    let blocks = blocks.max(1);
    let cost: usize = lens.iter().filter(|len| **len > 0).map(|len| len + OVERHEAD).sum();
    let budget = (cost / blocks + OVERHEAD).max(2 * GRAIN);
    let mut shares: Vec<Vec<Part>> = Vec::new();
    let mut own = Vec::new();
    let mut spent = 0;
    for (tensor, &len) in lens.iter().enumerate() {
        let mut start = 0;
        while start < len {
            let is_last = shares.len() + 1 == blocks;
            if !is_last && !own.is_empty() && spent + OVERHEAD + GRAIN.min(len - start) > budget {
                shares.push(std::mem::take(&mut own));
                spent = 0;
                continue;
            }
            let room = budget.saturating_sub(spent + OVERHEAD).next_multiple_of(GRAIN);
            let rest = len - start;
            // What would be left for a block of its own is taken along.
            let part = if is_last || rest < room + GRAIN { rest } else { room };
            own.push(Part { tensor, start, len: part });
            spent += part + OVERHEAD;
            start += part;
        }
    }
    if !own.is_empty() {
        shares.push(own);
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_has_one_block() {
        let cases: [(&str, Vec<usize>); 6] = [
            ("nothing", vec![]),
            ("empty tensors", vec![0, 0]),
            ("small ones", vec![1, 0, 5, 4097]),
            ("one large one", vec![100_000_000]),
            ("many equal ones", vec![1_000_003; 370]),
            ("a mixture", (0..300).map(|n| if n % 7 == 0 { 3_211_264 } else { n }).collect()),
        ];
        for (what, lens) in &cases {
            for blocks in [1, 2, 132, 396] {
                let shares = share(lens, blocks);
                assert!(shares.len() <= blocks, "{what}, {blocks}: {}", shares.len());
                assert!(shares.iter().all(|parts| !parts.is_empty()), "{what}");
                let mut next = vec![0; lens.len()];
                for part in shares.iter().flatten() {
                    assert_eq!(part.start, next[part.tensor], "{what}");
                    assert!(part.len > 0 && part.start % GRAIN == 0, "{what}: {part:?}");
                    next[part.tensor] += part.len;
                }
                assert_eq!(&next, lens, "{what}, {blocks}");
            }
        }
    }

    #[test]
    fn blocks_have_about_the_same_to_do() {
        for lens in [vec![100_000_000], vec![3_211_264; 53], (1..400).map(|n| n * 1000).collect()] {
            let shares = share(&lens, 396);
            let cost = |parts: &Vec<Part>| parts.iter().map(|part| part.len + OVERHEAD).sum::<usize>();
            let most = shares.iter().map(cost).max().unwrap_or(0);
            let mean = shares.iter().map(cost).sum::<usize>() / 396;
            assert!(most <= mean + mean / 8 + 4 * GRAIN, "{most} and {mean}, {} shares", shares.len());
        }
    }
}
