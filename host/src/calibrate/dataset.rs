//! Which images are used, and what identifies them.

use std::path::{Path, PathBuf};

use rayon::prelude::*;
use trt_calib::Digest;
use trt_calib::sidecar::{Image, fingerprint};

use super::error::CalibrateError;
use trt_files as files;
use crate::interrupt::Interrupt;

/// The images that were chosen, sorted by path.
#[derive(Debug)]
pub struct Dataset {
    /// The files.
    pub files: Vec<PathBuf>,
    /// Their records, in the same order.
    pub images: Vec<Image>,
    /// One hash over all of them. Images that turn out to be undecodable are part of it: nobody knows yet.
    pub fingerprint: Digest,
}

impl Dataset {
    /// Chooses `count` of `all` (sorted by path) and hashes them, on all cores.
    ///
    /// # Errors
    /// [`CalibrateError::Read`] and [`CalibrateError::Interrupted`].
    pub fn choose(
        all: &[PathBuf],
        count: u32,
        seed: u64,
        interrupt: &Interrupt,
    ) -> Result<Self, CalibrateError> {
        // Names are relative to the folder of all images, not of those that happen to be chosen.
        let folder = common_folder(all);
        let chosen: Vec<PathBuf> =
            sample(all.len(), count as usize, seed).map(|at| all[at].clone()).collect();
        let record = |file: &PathBuf| {
            interrupt.check()?;
            let (size, hash) =
                files::hash(file).map_err(|source| CalibrateError::Read { path: file.clone(), source })?;
            Ok(Image { name: name_in(file, &folder), size, hash })
        };
        let images = chosen.par_iter().map(record).collect::<Result<Vec<_>, CalibrateError>>()?;
        let fingerprint = fingerprint(&images);
        Ok(Self { files: chosen, images, fingerprint })
    }
}

/// `count` of `total` positions, ascending; all of them if there are no more.
///
/// Selection sampling with SplitMix64: each set of positions is equally likely, and the same on every machine, since
/// neither a library nor the file system's order has a part in it.
fn sample(total: usize, count: usize, seed: u64) -> impl Iterator<Item = usize> {
    let mut random = SplitMix64(seed);
    let mut wanted = count.min(total);
    (0..total).filter(move |at| {
        let take = random.below((total - at) as u64) < wanted as u64;
        wanted -= usize::from(take);
        take
    })
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

/// The deepest folder that all files are in.
fn common_folder(files: &[PathBuf]) -> PathBuf {
    let mut folders = files.iter().map(|file| file.parent().unwrap_or(Path::new("")));
    let Some(first) = folders.next() else { return PathBuf::new() };
    folders.fold(first.to_owned(), |common, folder| {
        common.components().zip(folder.components()).take_while(|(a, b)| a == b).map(|(a, _)| a).collect()
    })
}

/// The file's path in `folder`, with `/`.
fn name_in(file: &Path, folder: &Path) -> String {
    let inside = file.strip_prefix(folder).unwrap_or(file);
    inside.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/")
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
    }

    #[test]
    fn every_position_is_as_likely_as_any_other() {
        let mut hits = [0; 20];
        for seed in 0..2000 {
            sample(20, 5, seed).for_each(|at| hits[at] += 1);
        }
        // 500 expected; the standard deviation is 19.
        assert!(hits.iter().all(|n| (400..=600).contains(n)), "{hits:?}");
    }

    #[test]
    fn names_are_relative_to_the_folder_of_all_images() {
        let files = ["/d/a/x.jpg", "/d/a/y.jpg", "/d/b/c/z.jpg"].map(PathBuf::from);
        let folder = common_folder(&files);
        assert_eq!(folder, Path::new("/d"));
        assert_eq!(files.map(|file| name_in(&file, &folder)), ["a/x.jpg", "a/y.jpg", "b/c/z.jpg"]);
        assert_eq!(common_folder(&[PathBuf::from("x.jpg")]), Path::new(""));
    }
}
