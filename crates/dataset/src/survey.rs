//! What stands out in a dataset: samples that are alike, samples that show nothing, inputs that never change.

use std::collections::{BTreeMap, HashMap, HashSet};

use rayon::prelude::*;
use trt_inference::Wants;

use crate::dataset::Dataset;
use crate::error::{DatasetError, SampleError};
use crate::load::{Decode, Loader};
use crate::look::Look;

/// Pictures whose luma deviates less than this, in units of pixels (0 to 255), show nothing.
const FLAT: f32 = 2.0;
/// Pictures are near-duplicates if at most so many of the 128 comparisons differ.
const NEAR: u32 = 6;

/// What stands out, by positions in the dataset.
#[derive(Debug, Default)]
pub struct Survey {
    /// Samples that are nearly the same: the same scene scaled, compressed anew or slightly edited. Each group has at
    /// least two, ascending; a sample is in one group at most.
    pub near_duplicates: Vec<Vec<usize>>,
    /// Samples whose picture is nearly of one colour.
    pub flat: Vec<usize>,
    /// Samples with an array whose elements are all equal, and the input that takes it.
    pub constant: Vec<(usize, String)>,
    /// Inputs that get the same values from every sample, of two or more.
    pub unchanging: Vec<String>,
    /// Samples that could not be looked at, and why.
    pub undecodable: BTreeMap<usize, SampleError>,
}

/// Looks at every sample, on all cores, without running the model. `cancelled` is asked before each.
///
/// A run gives the same at less cost: [`Tally::survey`](crate::Tally::survey). This is for what must be known before, as
/// for [`split`](crate::split).
///
/// # Errors
/// [`DatasetError::Read`], [`DatasetError::Preprocess`] and [`DatasetError::Interrupted`].
pub fn survey(
    dataset: &Dataset,
    decode: Decode,
    cancelled: &(dyn Fn() -> bool + Sync),
) -> Result<Survey, DatasetError> {
    let look = |loader: &mut Result<Loader<'_>, Option<DatasetError>>, at: usize| {
        if cancelled() {
            return Err(DatasetError::Interrupted);
        }
        match loader {
            Ok(loader) => Ok((at, loader.load(at)?.map(|loaded| loaded.looks))),
            // Told once; the other samples of the thread have nothing to add.
            Err(error) => Err(error.take().unwrap_or(DatasetError::Interrupted)),
        }
    };
    let found: Vec<(usize, Result<Vec<Look>, SampleError>)> = (0..dataset.len())
        .into_par_iter()
        .map_init(|| Loader::new(dataset, Wants::Pictures, decode).map_err(Some), look)
        .collect::<Result<_, _>>()?;
    let (mut looks, mut undecodable) = (BTreeMap::new(), BTreeMap::new());
    for (at, sample) in found {
        match sample {
            Ok(sample) => drop(looks.insert(at, sample)),
            Err(error) => drop(undecodable.insert(at, error)),
        }
    }
    Ok(Survey { undecodable, ..Survey::of(dataset, &looks) })
}

impl Survey {
    /// What stands out among samples that were looked at: what was seen of each, for each of the model's inputs.
    pub fn of(dataset: &Dataset, looks: &BTreeMap<usize, Vec<Look>>) -> Self {
        let inputs = &dataset.inputs().inputs;
        let is_flat = |look: &Look| matches!(look, Look::Picture(look) if look.deviation < FLAT);
        let flat: Vec<usize> =
            looks.iter().filter(|(_, looks)| looks.iter().any(is_flat)).map(|(at, _)| *at).collect();
        let constant = looks.iter().flat_map(|(at, looks)| {
            let constant = looks.iter().zip(inputs).filter(|(look, input)| {
                // One element is what it is.
                matches!(look, Look::Array { constant: true, .. })
                    && input.shape.iter().product::<usize>() > 1
            });
            constant.map(|(_, input)| (*at, input.name.clone()))
        });
        let unchanging = inputs.iter().enumerate().filter(|(input, _)| {
            let values: HashSet<u64> =
                looks.values().filter_map(|looks| looks.get(*input)).map(Look::digest).collect();
            looks.len() > 1 && values.len() == 1
        });
        Self {
            near_duplicates: near_duplicates(looks),
            constant: constant.collect(),
            unchanging: unchanging.map(|(_, input)| input.name.clone()).collect(),
            flat,
            undecodable: BTreeMap::new(),
        }
    }
}

/// Groups of samples whose pictures are near each other and whose arrays are equal.
fn near_duplicates(looks: &BTreeMap<usize, Vec<Look>>) -> Vec<Vec<usize>> {
    let positions: Vec<usize> = looks.keys().copied().collect();
    let looks: Vec<&[Look]> = looks.values().map(Vec::as_slice).collect();
    let mut groups = Groups::new(positions.len());
    // Of 8 bands of 16 comparisons, 6 that differ leave two whole: who is near shares a band.
    let mut bands: HashMap<(usize, u64), Vec<usize>> = HashMap::new();
    for (at, looks) in looks.iter().enumerate() {
        let hash = looks.iter().find_map(|look| match look {
            Look::Picture(look) => Some(look.hash),
            Look::Array { .. } => None,
        });
        match (hash, looks.first()) {
            (Some(hash), _) => {
                let band = |band: usize| (band, (hash >> (16 * band)) as u64 & 0xffff);
                (0..8).for_each(|at_band| bands.entry(band(at_band)).or_default().push(at));
            }
            (None, Some(look)) => bands.entry((8, look.digest())).or_default().push(at),
            (None, None) => {}
        }
    }
    for members in bands.values() {
        for (place, &a) in members.iter().enumerate() {
            for &b in &members[..place] {
                if groups.root(a) != groups.root(b) && are_near(looks[a], looks[b]) {
                    groups.join(a, b);
                }
            }
        }
    }
    let groups = groups.into_groups().into_iter().filter(|group| group.len() > 1);
    groups.map(|group| group.into_iter().map(|at| positions[at]).collect()).collect()
}

fn are_near(a: &[Look], b: &[Look]) -> bool {
    a.iter().zip(b).all(|pair| match pair {
        // Pictures that show nothing are alike in that alone: they are reported as flat.
        (Look::Picture(a), Look::Picture(b)) => {
            a.digest == b.digest
                || (a.deviation >= FLAT && b.deviation >= FLAT && (a.hash ^ b.hash).count_ones() <= NEAR)
        }
        (a, b) => a.digest() == b.digest(),
    })
}

/// Which of many belong together (disjoint sets).
pub(crate) struct Groups(Vec<usize>);

impl Groups {
    /// Each by itself.
    pub fn new(count: usize) -> Self {
        Self((0..count).collect())
    }

    /// The one that stands for all of a group: its least.
    pub fn root(&mut self, mut at: usize) -> usize {
        while self.0[at] != at {
            self.0[at] = self.0[self.0[at]];
            at = self.0[at];
        }
        at
    }

    /// Puts two groups together.
    pub fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.0[a.max(b)] = a.min(b);
    }

    /// All groups, in the order of their first members; members ascending.
    pub fn into_groups(mut self) -> Vec<Vec<usize>> {
        let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        (0..self.0.len()).for_each(|at| groups.entry(self.root(at)).or_default().push(at));
        groups.into_values().collect()
    }
}
