//! Putting together what several machines counted.

use std::collections::HashSet;

use super::{Counted, HistogramSet, Provenance, SetError};
use crate::Mode;
use crate::sidecar::{Dataset, Image, fingerprint};

pub(super) fn merge(sets: Vec<HistogramSet>) -> Result<HistogramSet, SetError> {
    let mut sets = sets.into_iter();
    let mut merged = sets.next().ok_or(SetError::Nothing)?;
    sort(&mut merged);
    for set in sets {
        merged.provenance = provenance(merged.provenance, set.provenance)?;
        differ("modes", &merged.mode, &set.mode)?;
        if merged.mode != Mode::Canonical {
            return Err(SetError::Differ {
                what: "modes",
                first: "tensorrt".to_owned(),
                other: "tensorrt, whose bins the first batch of each decides".to_owned(),
            });
        }
        same_tensors(&merged, set.tensors.iter().map(|tensor| tensor.name.as_str()))?;
        for (own, other) in merged.tensors.iter_mut().zip(&set.tensors) {
            own.counts
                .merge(&other.counts)
                .map_err(|source| SetError::Counts { name: other.name.clone(), source })?;
        }
        // What one of them could not count is not counted in the whole; the reasons may differ.
        let known: HashSet<&str> = merged.omitted.iter().map(|omitted| omitted.name.as_str()).collect();
        let new: Vec<_> =
            set.omitted.into_iter().filter(|omitted| !known.contains(omitted.name.as_str())).collect();
        merged.omitted.extend(new);
        sort(&mut merged);
    }
    Ok(merged)
}

/// What has no order of its own gets one, so that the order of merging does not show.
fn sort(set: &mut HistogramSet) {
    let Provenance { tool_versions, dataset, shards, backends, .. } = &mut set.provenance;
    tool_versions.sort_unstable();
    tool_versions.dedup();
    shards.sort_unstable();
    backends.sort_unstable();
    backends.dedup();
    dataset.images.sort_by(|a, b| (&a.name, a.hash.as_bytes()).cmp(&(&b.name, b.hash.as_bytes())));
    dataset.skipped.sort_by(|a, b| (&a.name, &a.reason).cmp(&(&b.name, &b.reason)));
    dataset.skipped.dedup();
}

fn differ<T: PartialEq + std::fmt::Debug>(what: &'static str, first: &T, other: &T) -> Result<(), SetError> {
    if first == other {
        return Ok(());
    }
    Err(SetError::Differ { what, first: format!("{first:?}"), other: format!("{other:?}") })
}

fn same_tensors<'a>(
    merged: &HistogramSet,
    names: impl ExactSizeIterator<Item = &'a str>,
) -> Result<(), SetError> {
    let differ = |first: String, other: String| Err(SetError::Differ { what: "tensors", first, other });
    if merged.tensors.len() != names.len() {
        return differ(format!("{} of them", merged.tensors.len()), format!("{} of them", names.len()));
    }
    for (Counted { name, .. }, other) in merged.tensors.iter().zip(names) {
        if name != other {
            return differ(format!("`{name}`"), format!("`{other}`"));
        }
    }
    Ok(())
}

fn provenance(first: Provenance, other: Provenance) -> Result<Provenance, SetError> {
    // A renamed model is the same model.
    let hashes = |p: &Provenance| (p.model.hash.hex(), p.model.external.clone());
    differ("models", &hashes(&first), &hashes(&other))?;
    if let Some((key, first, other)) =
        crate::sidecar::first_difference(&first.preprocessing, &other.preprocessing)
    {
        return Err(SetError::Differ {
            what: "preprocessing",
            first: format!("`{key}` = {first}"),
            other: format!("{other}"),
        });
    }
    differ("shapes", &first.shapes, &other.shapes)?;
    let own: HashSet<(&str, u64, &[u8; 32])> = first.dataset.images.iter().map(identity).collect();
    if let Some(image) = other.dataset.images.iter().find(|image| own.contains(&identity(image))) {
        return Err(SetError::SampleTwice { name: image.name.clone() });
    }
    let one_selection = {
        let selection =
            |dataset: &Dataset| (dataset.requested, dataset.seed, *dataset.fingerprint.as_bytes());
        !first.shards.is_empty()
            && !other.shards.is_empty()
            && selection(&first.dataset) == selection(&other.dataset)
    };
    if one_selection {
        if let Some(shard) = other.shards.iter().find(|shard| first.shards.contains(shard)) {
            return Err(SetError::ShardTwice { shard: *shard });
        }
        let of = |p: &Provenance| p.shards.first().map(|shard| shard.of);
        differ("numbers of shards", &of(&first), &of(&other))?;
    }
    let mut merged = first;
    merged.tool_versions.extend(other.tool_versions);
    merged.backends.extend(other.backends);
    merged.batch = merged.batch.max(other.batch);
    merged.created = merged.created.max(other.created);
    let dataset = &mut merged.dataset;
    dataset.count += other.dataset.count;
    dataset.images.extend(other.dataset.images);
    dataset.skipped.extend(other.dataset.skipped);
    if one_selection {
        merged.shards.extend(other.shards);
    } else {
        merged.shards.clear();
        dataset.requested += other.dataset.requested;
        dataset.fingerprint = fingerprint(&dataset.images);
    }
    Ok(merged)
}

fn identity(image: &Image) -> (&str, u64, &[u8; 32]) {
    (&image.name, image.size, image.hash.as_bytes())
}
