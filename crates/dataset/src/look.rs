//! What is remembered of a sample's values, to tell samples that are alike, or empty.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use trt_imaging::Picture;
use trt_inference::Values;

/// What was seen of the values for one input.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Look {
    /// Of a picture, before preprocessing.
    Picture(PictureLook),
    /// Of an array.
    Array {
        /// Equal for equal values. It means nothing outside this process.
        digest: u64,
        /// Whether all elements are the same.
        constant: bool,
    },
}

/// What was seen of a picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PictureLook {
    /// Where it gets darker from one cell to the next, on a grid of 9 columns and rows: 64 comparisons across and 64 down
    /// (dHash; N. Krawetz, "Kind of like that", 2013, who takes those across only).
    pub hash: u128,
    /// The standard deviation of its luma, in units of pixels (0 to 255).
    pub deviation: f32,
    /// Equal for equal pixels on the grid that was looked at. It means nothing outside this process.
    pub digest: u64,
}

/// Columns and rows of the grid of cells.
const CELLS: usize = 9;
/// At most so many pixels of a row or column of a cell are looked at: enough for a mean, however large the picture.
const TAPS: usize = 16;
/// How much darker a cell must be than the one before, in units of luma: smaller steps are noise of the codec.
const STEP: f32 = 1.0;

impl PictureLook {
    /// Looks at a picture; at some 20,000 pixels of a large one.
    pub fn of(picture: &Picture) -> Self {
        let (columns, rows) = (taps(picture.width as usize), taps(picture.height as usize));
        let mut digest = DefaultHasher::new();
        (picture.width, picture.height).hash(&mut digest);
        let mut cells = [[0.0f32; CELLS]; CELLS];
        let (mut sum, mut squares, mut count) = (0.0f64, 0.0f64, 0usize);
        for (row, ys) in rows.iter().enumerate() {
            for (column, xs) in columns.iter().enumerate() {
                let mut total = 0.0;
                for y in ys {
                    for x in xs {
                        let at = 3 * (y * picture.width as usize + x);
                        let pixel = &picture.pixels[at..at + 3];
                        digest.write(pixel);
                        let luma = 0.299 * f32::from(pixel[0])
                            + 0.587 * f32::from(pixel[1])
                            + 0.114 * f32::from(pixel[2]);
                        total += luma;
                        sum += f64::from(luma);
                        squares += f64::from(luma) * f64::from(luma);
                    }
                }
                let pixels = xs.len() * ys.len();
                count += pixels;
                cells[row][column] = total / pixels as f32;
            }
        }
        let mean = sum / count as f64;
        let deviation = (squares / count as f64 - mean * mean).max(0.0).sqrt() as f32;
        let mut hash = 0;
        for a in 0..CELLS - 1 {
            for b in 0..CELLS - 1 {
                let across = cells[a][b] > cells[a][b + 1] + STEP;
                let down = cells[a][b] > cells[a + 1][b] + STEP;
                hash = hash << 2 | u128::from(across) << 1 | u128::from(down);
            }
        }
        Self { hash, deviation, digest: digest.finish() }
    }
}

/// Which pixels of an axis are looked at, for each cell; at least one, so that cells of a small picture overlap.
fn taps(side: usize) -> [Vec<usize>; CELLS] {
    std::array::from_fn(|cell| {
        let (start, end) = (cell * side / CELLS, ((cell + 1) * side / CELLS));
        let end = end.max(start + 1);
        (start..end).step_by((end - start).div_ceil(TAPS)).collect()
    })
}

impl Look {
    /// Looks at an array.
    pub fn of_values(values: &Values) -> Self {
        fn look<T: Copy, B: Eq + std::hash::Hash>(values: &[T], bits: impl Fn(T) -> B) -> Look {
            let mut digest = DefaultHasher::new();
            let mut constant = true;
            for &value in values {
                bits(value).hash(&mut digest);
                constant &= bits(value) == bits(values[0]);
            }
            Look::Array { digest: digest.finish(), constant }
        }
        match values {
            Values::F32(values) => look(values, f32::to_bits),
            Values::F16(values) => look(values, |value| value.to_bits()),
            Values::F64(values) => look(values, f64::to_bits),
            Values::I64(values) => look(values, |value| value),
            Values::I32(values) => look(values, |value| value),
            Values::I8(values) => look(values, |value| value),
            Values::U8(values) => look(values, |value| value),
            Values::Bool(values) => look(values, |value| value),
        }
    }

    /// Equal for equal values, within this process.
    pub fn digest(&self) -> u64 {
        match self {
            Self::Picture(look) => look.digest,
            Self::Array { digest, .. } => *digest,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(width: u32, height: u32, of: impl Fn(u32, u32) -> u8) -> Picture {
        let pixels = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
        Picture { width, height, pixels: pixels.flat_map(|(x, y)| [of(x, y); 3]).collect() }
    }

    #[test]
    fn a_picture_that_gets_darker_is_known_by_it() {
        let across = PictureLook::of(&picture(90, 90, |x, _| 200 - 2 * x as u8));
        let down = PictureLook::of(&picture(90, 90, |_, y| 200 - 2 * y as u8));
        assert_eq!((across.hash, down.hash), (u128::MAX / 3 * 2, u128::MAX / 3));
        let smaller = PictureLook::of(&picture(45, 60, |x, _| 200 - 4 * x as u8));
        assert_eq!(smaller.hash, across.hash);
        assert_ne!(smaller.digest, across.digest);
    }

    #[test]
    fn deviation_is_that_of_all_pixels() {
        let stripes = PictureLook::of(&picture(90, 90, |x, _| if x % 2 == 0 { 100 } else { 120 }));
        assert!((stripes.deviation - 10.0).abs() < 1e-3, "{}", stripes.deviation);
        for side in [1, 2, 7, 1000] {
            let flat = PictureLook::of(&picture(side, side, |_, _| 77));
            assert_eq!((flat.hash, flat.deviation), (0, 0.0));
        }
    }

    #[test]
    fn an_array_is_constant_if_its_elements_are_equal() {
        for (values, expected) in [
            (Values::F32(vec![1.0, 1.0]), true),
            (Values::F32(vec![0.0, -0.0]), false),
            (Values::I64(vec![7]), true),
            (Values::U8(vec![]), true),
            (Values::Bool(vec![true, false]), false),
        ] {
            let Look::Array { constant, digest } = Look::of_values(&values) else { panic!("an array") };
            assert_eq!(constant, expected, "{values:?}");
            assert_eq!(digest, Look::of_values(&values).digest());
        }
    }
}
