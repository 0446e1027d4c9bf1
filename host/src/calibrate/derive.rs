//! From histograms to a table.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;
use serde::Serialize;
use trt_calib::set::HistogramSet;
use trt_calib::sidecar::{Propagated, TensorRecord};
use trt_calib::table::{Entry, Header, TableVersion};
use trt_calib::{Algorithm, CalibrationTable, Counts, EntropyParams, Method, Threshold};
use trt_onnx::Propagation;

use super::error::CalibrateError;

/// How every threshold is chosen, with nothing left open.
#[derive(Debug, Clone)]
pub struct Choices<'a> {
    /// The algorithm of all tensors that are not in `overrides`.
    pub algorithm: Algorithm,
    /// Those with another one, by name.
    pub overrides: &'a BTreeMap<String, Algorithm>,
    /// The parameters of the entropy search.
    pub entropy: EntropyParams,
    /// Which tensors share a scale; none if ranges do not propagate.
    pub propagation: &'a Propagation,
    /// Tensors that get no scale, and why.
    pub without: &'a BTreeMap<String, &'static str>,
    /// The TensorRT version in the table's header.
    pub version: TableVersion,
    /// Thresholds that were derived before, for callers that derive many tables from one set.
    pub memo: Option<&'a Memo>,
}

/// Thresholds by tensor and algorithm.
pub type Memo = Mutex<HashMap<(String, Algorithm), Result<Threshold, String>>>;

/// A table and what it rests on.
#[derive(Debug, Clone)]
pub struct Derived {
    /// The table, its entries in the order of computation.
    pub table: CalibrationTable,
    /// What was seen of each tensor that has a scale.
    pub tensors: BTreeMap<String, TensorRecord>,
    /// Why other float activations have none.
    pub without_scale: BTreeMap<String, String>,
    /// Those of them that held infinities, and how many.
    pub with_infinities: BTreeMap<String, u64>,
    /// Tensors that have another one's scale, sorted.
    pub propagated: Vec<Propagated>,
    /// Overrides that do nothing, since the tensor has another one's scale.
    pub idle_overrides: Vec<IdleOverride>,
}

/// An override that does nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IdleOverride {
    /// The tensor.
    pub tensor: String,
    /// Whose scale it has.
    pub from: String,
}

/// Why a tensor of `keep` has no scale.
pub const KEPT: &str = "it is kept in higher precision";
/// Why a rescued one has none.
pub const RESCUED: &str = "it is kept in higher precision, since a rescue found that it must be";

impl Choices<'_> {
    /// The threshold that a tensor's own histogram gives.
    fn threshold(&self, name: &str, counts: &Counts) -> Result<Threshold, String> {
        let infinite = counts.infinite();
        if infinite > 0 {
            // The finite values do not make its range: no scale can hold what it holds.
            return Err(format!(
                "{infinite} of its {} values are infinite, as in an attention mask",
                counts.count() + infinite
            ));
        }
        let algorithm = self.overrides.get(name).copied().unwrap_or(self.algorithm);
        let derive =
            || Method { algorithm, entropy: self.entropy }.threshold(counts).map_err(|why| why.to_string());
        let Some(memo) = self.memo else { return derive() };
        let key = (name.to_owned(), algorithm);
        let known = memo.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        known.unwrap_or_else(|| {
            let threshold = derive();
            memo.lock().unwrap_or_else(PoisonError::into_inner).insert(key, threshold.clone());
            threshold
        })
    }

    /// Derives every threshold, on all cores.
    ///
    /// A tensor with another one's range has a scale even where its own histogram has none to give, unless it held
    /// infinities; where the other one has none, it has its own.
    ///
    /// # Errors
    /// [`CalibrateError::NoActivation`] where not one tensor gets a scale.
    pub fn derive(&self, set: &HistogramSet) -> Result<Derived, CalibrateError> {
        let thresholds: HashMap<&str, Result<Threshold, String>> = set
            .tensors
            .par_iter()
            .map(|tensor| (tensor.name.as_str(), self.threshold(&tensor.name, &tensor.counts)))
            .collect();
        let leaders: HashMap<&str, &str> = self
            .propagation
            .groups
            .iter()
            .flat_map(|group| {
                group.members.iter().map(|member| (member.name.as_str(), group.leader.as_str()))
            })
            .collect();
        let (mut entries, mut tensors) = (Vec::new(), BTreeMap::new());
        let mut without_scale: BTreeMap<String, String> =
            set.omitted.iter().map(|tensor| (tensor.name.clone(), tensor.why.clone())).collect();
        let mut with_infinities = BTreeMap::new();
        let (mut propagated, mut idle_overrides) = (Vec::new(), Vec::new());
        for tensor in &set.tensors {
            let (name, counts) = (tensor.name.as_str(), &tensor.counts);
            if let Some(why) = self.without.get(name) {
                without_scale.insert(name.to_owned(), (*why).to_owned());
                continue;
            }
            if counts.infinite() > 0 {
                with_infinities.insert(name.to_owned(), counts.infinite());
            }
            let leader = leaders.get(name).filter(|leader| {
                counts.infinite() == 0 && thresholds.get(**leader).is_some_and(Result::is_ok)
            });
            let from = leader.copied().unwrap_or(name);
            let entry = thresholds[from].clone().and_then(|threshold| {
                let entry = Entry::new(name, threshold.scale()).map_err(|why| why.to_string())?;
                Ok((entry, record(counts, threshold)))
            });
            match entry {
                Ok((entry, record)) => {
                    entries.push(entry);
                    tensors.insert(name.to_owned(), record);
                    if leader.is_some() {
                        let (tensor, from) = (name.to_owned(), from.to_owned());
                        if self.overrides.get(name).is_some_and(|own| self.overrides.get(&from) != Some(own))
                        {
                            let idle = IdleOverride { tensor: tensor.clone(), from: from.clone() };
                            idle_overrides.push(idle);
                        }
                        propagated.push(Propagated { tensor, from });
                    }
                }
                Err(why) => drop(without_scale.insert(name.to_owned(), why)),
            }
        }
        if entries.is_empty() {
            return Err(CalibrateError::NoActivation);
        }
        propagated.sort();
        let header = Header::new(self.version, self.algorithm.table_algorithm());
        let table = CalibrationTable::new(header, entries)
            .map_err(|source| CalibrateError::Table { path: "the new table".into(), source })?;
        Ok(Derived { table, tensors, without_scale, with_infinities, propagated, idle_overrides })
    }
}

impl Derived {
    /// A table that was not derived: nothing is known of its tensors.
    pub fn of_table(table: CalibrationTable, without_scale: BTreeMap<String, String>) -> Self {
        Self {
            table,
            tensors: BTreeMap::new(),
            without_scale,
            with_infinities: BTreeMap::new(),
            propagated: Vec::new(),
            idle_overrides: Vec::new(),
        }
    }

    /// How many of the activations have a scale: TensorRT's tables have names of its own making, too.
    pub fn with_scale(&self, activations: &[String]) -> usize {
        activations.iter().filter(|name| self.table.get(name.as_bytes()).is_some()).count()
    }

    /// The scale of each tensor that has one.
    pub fn scales(&self) -> BTreeMap<String, f32> {
        scales(&self.table)
    }
}

/// The scales of a table by ONNX value name.
pub fn scales(table: &CalibrationTable) -> BTreeMap<String, f32> {
    table.entries().iter().map(|entry| (entry.name.to_string(), entry.scale())).collect()
}

fn record(counts: &Counts, threshold: Threshold) -> TensorRecord {
    let (min, max) = (counts.min().unwrap_or(0.0), counts.max().unwrap_or(0.0));
    TensorRecord {
        amax: counts.amax().unwrap_or(0.0),
        min,
        max,
        threshold: threshold.value,
        beyond: counts.share_beyond(threshold.value),
        nan: counts.nan(),
        infinite: counts.infinite(),
        zero_range: min == max,
    }
}

/// The tensors that get no scale, and why.
pub fn without(keep: &[String], rescued: &[String]) -> BTreeMap<String, &'static str> {
    let kept = keep.iter().map(|name| (name.clone(), KEPT));
    rescued.iter().map(|name| (name.clone(), RESCUED)).chain(kept).collect()
}

/// The algorithm of each tensor that a pattern fits. An exact name goes before a pattern, a longer pattern before a
/// shorter one, and of equally long ones the first in the order of the alphabet.
///
/// # Errors
/// The first pattern that fits none of the names.
pub fn overrides<'p>(
    patterns: &'p BTreeMap<String, Algorithm>,
    names: &[&str],
) -> Result<BTreeMap<String, Algorithm>, &'p str> {
    let mut found = BTreeMap::new();
    let mut unused: BTreeSet<&str> = patterns.keys().map(String::as_str).collect();
    for &name in names {
        let fitting: Vec<_> =
            patterns.iter().filter(|(pattern, _)| super::keep::fits(pattern, name)).collect();
        unused.retain(|pattern| !fitting.iter().any(|(fits, _)| fits == pattern));
        let rank = |pattern: &str| (pattern == name, pattern.len());
        // `rev`, since of equals the last is taken.
        if let Some((_, algorithm)) = fitting.iter().rev().max_by_key(|(pattern, _)| rank(pattern)) {
            found.insert(name.to_owned(), **algorithm);
        }
    }
    match unused.first() {
        None => Ok(found),
        Some(pattern) => Err(pattern),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exact_name_goes_before_a_pattern_and_a_longer_pattern_before_a_shorter_one() {
        let patterns = |texts: &[(&str, &str)]| -> BTreeMap<String, Algorithm> {
            texts.iter().map(|(name, algorithm)| ((*name).to_owned(), algorithm.parse().unwrap())).collect()
        };
        let names = ["neck/relu", "neck/add", "head"];
        let all =
            patterns(&[("*", "mse"), ("neck/*", "minmax"), ("neck/add", "entropy1"), ("*add", "entropy")]);
        let found = overrides(&all, &names).unwrap();
        let words: Vec<_> = names.iter().map(|name| found[*name].to_string()).collect();
        assert_eq!(words, ["minmax", "entropy1", "mse"]);
        assert_eq!(overrides(&patterns(&[("head", "mse"), ("tail*", "mse")]), &names), Err("tail*"));
        assert!(overrides(&BTreeMap::new(), &names).unwrap().is_empty());
    }
}
