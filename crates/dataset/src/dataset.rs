//! Which samples are used, and what identifies them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;
use trt_calib::Digest;
use trt_calib::sidecar::{Image, fingerprint};

use crate::error::DatasetError;
use crate::input::Inputs;
use crate::pairing::{self, Pairing, Part};
use crate::sampling::{Shard, sample};

/// Which of all samples are chosen.
#[derive(Debug, Clone, Copy)]
pub struct Sampling {
    /// How many, at most.
    pub count: u32,
    /// Which of them, if there are more.
    pub seed: u64,
    /// Which part of the chosen ones; all of them without.
    pub shard: Option<Shard>,
    /// How samples of several inputs find each other.
    pub pairing: Pairing,
}

/// Samples that were chosen, in the order of their files.
#[derive(Debug, Clone)]
pub struct Dataset {
    inputs: Arc<Inputs>,
    /// For each sample, a part of each feed.
    samples: Vec<Vec<Part>>,
    images: Vec<Image>,
    fingerprint: Digest,
    available: usize,
}

impl Dataset {
    /// Chooses samples and hashes their files, on all cores. `cancelled` is asked before each file.
    ///
    /// The choice depends on the number of samples there are, the count and the seed, and on nothing else.
    ///
    /// # Errors
    /// The variants of [`DatasetError`] from `Unequal` to `Read`, and [`DatasetError::Interrupted`].
    pub fn choose(
        inputs: Inputs,
        sampling: Sampling,
        cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<Self, DatasetError> {
        let all = pairing::pair(&inputs, sampling.pairing)?;
        if all.is_empty() {
            return Err(DatasetError::NoSamples);
        }
        let chosen: Vec<usize> = sample(all.len(), sampling.count as usize, sampling.seed).collect();
        let in_shard = |(at, _): &(usize, &usize)| sampling.shard.is_none_or(|shard| shard.has(*at));
        let samples: Vec<_> =
            chosen.iter().enumerate().filter(in_shard).map(|(_, &at)| all[at].clone()).collect();
        if let Some(shard) = sampling.shard
            && samples.is_empty()
        {
            return Err(DatasetError::EmptyShard { shard: shard.to_string(), chosen: chosen.len() });
        }
        let files = hashes(&inputs, &samples, cancelled)?;
        // Names are relative to the folder of all files, not of those that happen to be chosen.
        let folders: Vec<PathBuf> = inputs.feeds.iter().map(|files| common_folder(files)).collect();
        let images = samples.iter().map(|parts| record(&inputs, parts, &folders, &files)).collect();
        Ok(Self::of(Arc::new(inputs), samples, images, all.len()))
    }

    fn of(inputs: Arc<Inputs>, samples: Vec<Vec<Part>>, images: Vec<Image>, available: usize) -> Self {
        let fingerprint = fingerprint(&images);
        Self { inputs, samples, images, fingerprint, available }
    }

    /// How many samples there are.
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// How many there were to choose from.
    pub fn available(&self) -> usize {
        self.available
    }

    /// What they are fed to.
    pub fn inputs(&self) -> &Inputs {
        &self.inputs
    }

    /// Their records for provenance, in order: a file's name, size and hash.
    ///
    /// Of a stacked array, the name ends with `#` and the place, and the hash is of the file's hash and the place. Of
    /// several files, names are joined by ` + `, sizes are added, and the hash is of their hashes.
    pub fn images(&self) -> &[Image] {
        &self.images
    }

    /// One hash over all of them. Samples that turn out to be undecodable are part of it: nobody knows yet.
    pub fn fingerprint(&self) -> Digest {
        self.fingerprint
    }

    /// What a sample is called in messages: its path as it was found.
    pub fn label(&self, at: usize) -> String {
        let part = |(feed, part): (usize, &Part)| pairing::label(&self.inputs, feed, *part);
        self.samples[at].iter().enumerate().map(part).collect::<Vec<_>>().join(" + ")
    }

    /// The file of a sample that is an image; `None` unless exactly one input takes images.
    pub fn image_path(&self, at: usize) -> Option<&Path> {
        let mut images = self.inputs.inputs.iter().filter(|input| input.pipeline.is_some());
        match (images.next(), images.next()) {
            (Some(input), None) => Some(self.file(at, input.feed).0),
            _ => None,
        }
    }

    /// The samples at these positions, in this order.
    pub fn subset(&self, positions: &[usize]) -> Self {
        let samples = positions.iter().map(|&at| self.samples[at].clone()).collect();
        let images = positions.iter().map(|&at| self.images[at].clone()).collect();
        Self::of(self.inputs.clone(), samples, images, self.available)
    }

    /// The file that a feed has for a sample, and the place in it.
    pub(crate) fn file(&self, at: usize, feed: usize) -> (&Path, Option<u64>) {
        let part = self.samples[at][feed];
        (&self.inputs.feeds[feed][part.file], part.row)
    }
}

/// Size and hash of each file, by its feed and its position there.
type Hashes = HashMap<(usize, usize), (u64, Digest)>;

/// Reads each file once, however many samples are in it.
fn hashes(
    inputs: &Inputs,
    samples: &[Vec<Part>],
    cancelled: &(dyn Fn() -> bool + Sync),
) -> Result<Hashes, DatasetError> {
    let keys =
        samples.iter().flat_map(|parts| parts.iter().enumerate().map(|(feed, part)| (feed, part.file)));
    let mut keys: Vec<(usize, usize)> = keys.collect();
    keys.sort_unstable();
    keys.dedup();
    let hash = |&(feed, file): &(usize, usize)| {
        if cancelled() {
            return Err(DatasetError::Interrupted);
        }
        let path = &inputs.feeds[feed][file];
        let hashed =
            trt_files::hash(path).map_err(|source| DatasetError::Read { path: path.clone(), source })?;
        Ok(((feed, file), hashed))
    };
    keys.par_iter().map(hash).collect()
}

/// What provenance keeps of a sample.
fn record(inputs: &Inputs, parts: &[Part], folders: &[PathBuf], files: &Hashes) -> Image {
    let one = |(feed, part): (usize, &Part)| {
        let name = name_in(&inputs.feeds[feed][part.file], &folders[feed]);
        let (size, hash) = files[&(feed, part.file)];
        match part.row {
            None => Image { name, size, hash },
            Some(row) => {
                let hash = Digest::of(&[hash.as_bytes().as_slice(), &row.to_le_bytes()].concat());
                Image { name: pairing::placed(Path::new(&name), *part), size, hash }
            }
        }
    };
    let mut parts: Vec<Image> = parts.iter().enumerate().map(one).collect();
    match parts.len() {
        1 => parts.remove(0),
        _ => Image {
            name: parts.iter().map(|part| part.name.as_str()).collect::<Vec<_>>().join(" + "),
            size: parts.iter().map(|part| part.size).sum(),
            hash: Digest::of(&parts.iter().flat_map(|part| *part.hash.as_bytes()).collect::<Vec<u8>>()),
        },
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
    fn names_are_relative_to_the_folder_of_all_images() {
        let files = ["/d/a/x.jpg", "/d/a/y.jpg", "/d/b/c/z.jpg"].map(PathBuf::from);
        let folder = common_folder(&files);
        assert_eq!(folder, Path::new("/d"));
        assert_eq!(files.map(|file| name_in(&file, &folder)), ["a/x.jpg", "a/y.jpg", "b/c/z.jpg"]);
        assert_eq!(common_folder(&[PathBuf::from("x.jpg")]), Path::new(""));
    }
}
