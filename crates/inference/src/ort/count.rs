//! Counting a batch's activations on all threads, while they lie in ONNX Runtime's memory.
//!
//! The work is cut into pieces of one tensor each, about equal, so that neither many small tensors nor a few large ones
//! leave a thread without work. Canonical counts do not depend on how it is cut; TensorRT's mode takes a tensor whole.

use std::sync::{Mutex, PoisonError};

use half::slice::HalfFloatSliceExt as _;
use rayon::prelude::*;
use trt_calib::{Counts, Mode};

use super::Floats;

/// The least piece worth its own histogram, which has to be cleared and merged.
const PIECE: usize = 1 << 18;
/// Pieces for each thread, so that nobody waits long for the last one.
const TURNS: usize = 4;
/// Values converted to 32 bits at a time: 64 KiB of them.
const BLOCK: usize = 1 << 14;

/// An activation in memory, and its counts.
pub struct Counted<'a> {
    pub values: Floats<'a>,
    pub counts: &'a Mutex<Counts>,
}

impl Floats<'_> {
    pub fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::F16(values) => values.len(),
            Self::F64(values) => values.len(),
        }
    }

    /// The part that starts at `start`, of `len` values or what there is.
    fn part(&self, start: usize, len: usize) -> Self {
        let range = start..self.len().min(start + len);
        match self {
            Self::F32(values) => Self::F32(&values[range]),
            Self::F16(values) => Self::F16(&values[range]),
            Self::F64(values) => Self::F64(&values[range]),
        }
    }

    /// The position of the first NaN.
    pub fn first_nan(&self) -> Option<usize> {
        match self {
            Self::F32(values) => values.iter().position(|x| x.is_nan()),
            Self::F16(values) => values.iter().position(|x| x.is_nan()),
            Self::F64(values) => values.iter().position(|x| x.is_nan()),
        }
    }

    /// How many NaN there are.
    pub fn nan(&self) -> u64 {
        let count = match self {
            Self::F32(values) => values.iter().filter(|x| x.is_nan()).count(),
            Self::F16(values) => values.iter().filter(|x| x.is_nan()).count(),
            Self::F64(values) => values.iter().filter(|x| x.is_nan()).count(),
        };
        count as u64
    }

    /// Adds the values to `counts`; in one go, where `whole` says that they are a batch to it.
    fn add_to(&self, counts: &mut Counts, whole: bool) {
        let block = if whole { self.len().max(1) } else { BLOCK };
        let mut wide = Vec::new();
        match self {
            Self::F32(values) => counts.add(values),
            Self::F16(values) => values.chunks(block).for_each(|block| {
                wide.resize(block.len(), 0.0);
                block.convert_to_f32_slice(&mut wide);
                counts.add(&wide);
            }),
            Self::F64(values) => values.chunks(block).for_each(|block| {
                wide.clear();
                wide.extend(block.iter().map(|&x| x as f32));
                counts.add(&wide);
            }),
        }
    }
}

/// Adds every tensor's values to its counts, on the threads of the current pool.
pub fn count(tensors: &[Counted<'_>], mode: Mode) {
    let total: usize = tensors.iter().map(|tensor| tensor.values.len()).sum();
    let size = match mode {
        Mode::Canonical => (total / (rayon::current_num_threads() * TURNS)).max(PIECE),
        Mode::TensorRt => usize::MAX,
    };
    let mut pieces: Vec<(&Counted<'_>, usize)> = Vec::new();
    for tensor in tensors.iter().filter(|tensor| tensor.values.len() > 0) {
        pieces.extend((0..tensor.values.len()).step_by(size).map(|start| (tensor, start)));
    }
    // The largest first: what is left at the end is small.
    pieces.sort_by_key(|(tensor, start)| std::cmp::Reverse((tensor.values.len() - start).min(size)));
    pieces.par_iter().with_max_len(1).for_each(|(tensor, start)| {
        let lock = || tensor.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if tensor.values.len() <= size {
            tensor.values.add_to(&mut lock(), mode == Mode::TensorRt);
        } else {
            let mut own = Counts::new(mode);
            tensor.values.part(*start, size).add_to(&mut own, false);
            lock().merge(&own).expect("canonical counts can be merged");
        }
    });
}

#[cfg(test)]
mod tests {
    use half::f16;

    use super::*;

    /// Numbers of all sizes, some of them zero.
    fn values(len: usize) -> Vec<f32> {
        (0..len).map(|n| (n * 7919 % 1000) as f32 / 100.0 - 2.0).collect()
    }

    #[test]
    fn pieces_give_the_counts_of_the_whole() {
        for (mode, len) in [
            (Mode::Canonical, 0),
            (Mode::Canonical, 1000),
            (Mode::Canonical, 5 * PIECE + 17),
            (Mode::TensorRt, 5 * PIECE + 17),
        ] {
            let (long, short) = (values(len), values(77));
            let counts = [Mutex::new(Counts::new(mode)), Mutex::new(Counts::new(mode))];
            let tensors = [
                Counted { values: Floats::F32(&short), counts: &counts[0] },
                Counted { values: Floats::F32(&long), counts: &counts[1] },
            ];
            count(&tensors, mode);
            for (counts, values) in counts.iter().zip([short.as_slice(), &long]) {
                let mut expected = Counts::new(mode);
                expected.add(values);
                assert_eq!(*counts.lock().unwrap(), expected, "{mode:?}, {len} values");
            }
        }
    }

    #[test]
    fn floats_of_other_widths_are_counted_as_floats() {
        let single: Vec<f32> = values(2 * BLOCK + 5).into_iter().map(|x| f16::from_f32(x).to_f32()).collect();
        let half: Vec<f16> = single.iter().map(|&x| f16::from_f32(x)).collect();
        let double: Vec<f64> = single.iter().map(|&x| f64::from(x)).collect();
        for mode in [Mode::Canonical, Mode::TensorRt] {
            let counted = [Floats::F32(&single), Floats::F16(&half), Floats::F64(&double)].map(|values| {
                let counts = Mutex::new(Counts::new(mode));
                count(&[Counted { values, counts: &counts }], mode);
                counts.into_inner().unwrap()
            });
            assert_eq!(counted[1], counted[0]);
            assert_eq!(counted[2], counted[0]);
        }
    }

    #[test]
    fn what_is_not_a_number_is_found() {
        let half = [f16::ONE, f16::NAN, f16::NAN];
        assert_eq!((Floats::F16(&half).first_nan(), Floats::F16(&half).nan()), (Some(1), 2));
        assert_eq!(
            (Floats::F32(&[1.0, f32::INFINITY]).first_nan(), Floats::F64(&[f64::NAN]).nan()),
            (None, 1)
        );
    }
}
