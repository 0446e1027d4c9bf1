//! What became of the samples.

use std::collections::BTreeMap;

use trt_calib::sidecar::Skipped;

use crate::dataset::Dataset;
use crate::error::SampleError;
use crate::look::Look;
use crate::survey::Survey;

/// What became of the samples, by their positions in the dataset.
#[derive(Debug, Default)]
pub struct Tally {
    /// Those that were counted, ascending once the run has ended.
    pub used: Vec<usize>,
    /// Those that could not be decoded, and why.
    pub undecodable: BTreeMap<usize, SampleError>,
    /// Those that were left out since they make an activation NaN, and what the backend says of it.
    pub not_a_number: BTreeMap<usize, String>,
    /// Those that fill no batch of a model whose batch size is fixed, ascending.
    pub left_over: Vec<usize>,
    /// What decoding changed, and for how many samples.
    pub notes: BTreeMap<String, usize>,
    /// What was seen of those that were counted; not of those that an earlier run had counted.
    pub looks: BTreeMap<usize, Vec<Look>>,
}

impl Tally {
    /// The samples that were left out, with the reason, as provenance records them; in the order of the dataset.
    pub fn skipped(&self, dataset: &Dataset) -> Vec<Skipped> {
        let undecodable = self.undecodable.iter().map(|(at, error)| (*at, error.to_string()));
        let not_a_number = self.not_a_number.iter().map(|(at, why)| (*at, why.clone()));
        let left_over =
            self.left_over.iter().map(|at| (*at, "it fills no batch of the model's fixed size".to_owned()));
        let all: BTreeMap<usize, String> = undecodable.chain(not_a_number).chain(left_over).collect();
        let skipped =
            |(at, reason): (usize, String)| Skipped { name: dataset.images()[at].name.clone(), reason };
        all.into_iter().map(skipped).collect()
    }

    /// What stands out among the samples that were counted.
    pub fn survey(&self, dataset: &Dataset) -> Survey {
        Survey::of(dataset, &self.looks)
    }
}
