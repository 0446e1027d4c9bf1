//! From files to samples: what belongs together.

use std::collections::HashMap;
use std::path::Path;

use rayon::prelude::*;

use crate::array::{self, Rows};
use crate::error::DatasetError;
use crate::input::Inputs;

/// How the samples of several inputs find each other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Pairing {
    /// By the names of their files without extension, and by their place in a stacked array. Where each input has one
    /// file, whatever its name, by the place alone.
    #[default]
    Name,
    /// In the order of their paths.
    Order,
}

/// A sample's values for the inputs of one feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    /// The file's position in the feed.
    pub file: usize,
    /// Its place in a stacked array.
    pub row: Option<u64>,
}

/// All samples there are, in the order of the first feed: a part for each feed.
pub(crate) fn pair(inputs: &Inputs, pairing: Pairing) -> Result<Vec<Vec<Part>>, DatasetError> {
    let feeds: Vec<Vec<Part>> = (0..inputs.feeds.len()).map(|feed| parts(inputs, feed)).collect();
    let [first, others @ ..] = feeds.as_slice() else { return Err(DatasetError::NoInput) };
    if others.is_empty() {
        return Ok(first.iter().map(|part| vec![*part]).collect());
    }
    let single = inputs.feeds.iter().all(|files| files.len() == 1);
    match pairing {
        Pairing::Name if !single => by_name(inputs, &feeds),
        Pairing::Name | Pairing::Order => by_order(inputs, &feeds),
    }
}

/// The parts of one feed, in the order of its files.
fn parts(inputs: &Inputs, feed: usize) -> Vec<Part> {
    let files = &inputs.feeds[feed];
    let one = |file| vec![Part { file, row: None }];
    let input = inputs.inputs.iter().find(|input| input.feed == feed && input.pipeline.is_none());
    let Some(input) = input else { return (0..files.len()).flat_map(one).collect() };
    let of_file = |file: usize| match array::rows(&files[file], &input.name, &input.shape) {
        Ok(Rows::Stack(rows @ 2..)) => (0..rows).map(|row| Part { file, row: Some(row) }).collect(),
        // What is wrong with a file is told when it is loaded: it costs one sample.
        Ok(Rows::One | Rows::Stack(_)) | Err(_) => one(file),
    };
    let lists: Vec<Vec<Part>> = (0..files.len()).into_par_iter().map(of_file).collect();
    lists.concat()
}

fn by_order(inputs: &Inputs, feeds: &[Vec<Part>]) -> Result<Vec<Vec<Part>>, DatasetError> {
    let shortest = feeds.iter().map(Vec::len).min().unwrap_or_default();
    if let Some(longer) = feeds.iter().position(|parts| parts.len() > shortest) {
        let count = |(feed, parts): (usize, &Vec<Part>)| format!("{}: {}", fed(inputs, feed), parts.len());
        let counts: Vec<_> = feeds.iter().enumerate().map(count).collect();
        let path = label(inputs, longer, feeds[longer][shortest]);
        return Err(DatasetError::Unequal { path, counts: counts.join(", ") });
    }
    Ok((0..shortest).map(|at| feeds.iter().map(|parts| parts[at]).collect()).collect())
}

fn by_name(inputs: &Inputs, feeds: &[Vec<Part>]) -> Result<Vec<Vec<Part>>, DatasetError> {
    let mut named = Vec::with_capacity(feeds.len());
    for (feed, parts) in feeds.iter().enumerate() {
        let mut names = HashMap::with_capacity(parts.len());
        for part in parts {
            let path = &inputs.feeds[feed][part.file];
            let name = (path.file_stem().unwrap_or_default(), part.row);
            if names.insert(name, *part).is_some() {
                let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                return Err(DatasetError::SameName { input: fed(inputs, feed).to_owned(), name });
            }
        }
        named.push(names);
    }
    let stem =
        |feed: usize, part: &Part| (inputs.feeds[feed][part.file].file_stem().unwrap_or_default(), part.row);
    let partner = |feed: usize, part: &Part, other: usize| {
        named[other].get(&stem(feed, part)).copied().ok_or_else(|| DatasetError::NoPartner {
            path: label(inputs, feed, *part),
            input: fed(inputs, other).to_owned(),
        })
    };
    for (feed, parts) in feeds.iter().enumerate().skip(1) {
        parts.iter().try_for_each(|part| partner(feed, part, 0).map(drop))?;
    }
    let sample = |part: &Part| {
        (0..feeds.len()).map(|other| if other == 0 { Ok(*part) } else { partner(0, part, other) }).collect()
    };
    feeds[0].iter().map(sample).collect()
}

/// The first input of a feed, for messages.
fn fed(inputs: &Inputs, feed: usize) -> &str {
    inputs.inputs.iter().find(|input| input.feed == feed).map_or("", |input| input.name.as_str())
}

/// What a part is called in messages: its file's path, and its place in a stack.
pub(crate) fn label(inputs: &Inputs, feed: usize, part: Part) -> String {
    placed(&inputs.feeds[feed][part.file], part)
}

/// A path, or whatever stands for it, with the place in a stack.
pub(crate) fn placed(path: &Path, part: Part) -> String {
    match part.row {
        None => path.display().to_string(),
        Some(row) => format!("{}#{row}", path.display()),
    }
}
