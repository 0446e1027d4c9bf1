//! The slot table against the same facts in a text file.

use std::collections::BTreeMap;

use nvinfer::sys::slots::METHODS;
use nvinfer::sys::{Cell, Cells};

/// `name 8.x 10.x 11.x RTX-A RTX-B`.
fn golden() -> BTreeMap<&'static str, Cells> {
    let lines = include_str!("data/slots.txt").lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let mut words = line.split_whitespace();
            let name = words.next().expect(line);
            let cells: Vec<_> = words.map(parse).collect();
            (name, cells.try_into().expect(line))
        })
        .collect()
}

/// `-`, `slot` or `slot@minor`.
fn parse(cell: &str) -> Option<Cell> {
    let (slot, minor) = cell.split_once('@').unwrap_or((cell, "0"));
    (slot != "-").then(|| Cell { slot: slot.parse().expect(cell), since_minor: minor.parse().expect(cell) })
}

/// The rows of the source, those of one method joined.
fn source() -> BTreeMap<&'static str, Cells> {
    let mut rows = BTreeMap::<_, Cells>::new();
    for (name, cells) in METHODS {
        let row = rows.entry(*name).or_default();
        for (known, cell) in row.iter_mut().zip(cells).filter(|(_, cell)| cell.is_some()) {
            assert!(known.is_none(), "two rows of {name} claim the same family");
            *known = *cell;
        }
    }
    rows
}

#[test]
fn the_slot_table_says_what_the_headers_say() {
    let (golden, source) = (golden(), source());
    for (name, cells) in &golden {
        assert_eq!(source.get(name), Some(cells), "{name}");
    }
    let unproven: Vec<_> = source.keys().filter(|name| !golden.contains_key(*name)).collect();
    assert!(unproven.is_empty(), "rows without a fact behind them: {unproven:?}");
    assert!(golden.len() > 100, "the file was read");
}

#[test]
fn no_two_methods_of_a_class_share_a_slot() {
    let mut seen = BTreeMap::new();
    for (name, cells) in source() {
        let class = name.split("::").next();
        for (family, cell) in cells.iter().enumerate().filter_map(|(family, cell)| Some((family, (*cell)?))) {
            if let Some(other) = seen.insert((class, family, cell.slot), name) {
                panic!("{name} and {other} share slot {} in family {family}", cell.slot);
            }
        }
    }
}
