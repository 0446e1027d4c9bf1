//! The slot table against the same facts in a text file.

mod golden;

use std::collections::BTreeMap;

use golden::{golden, joined};
use nvinfer::sys::slots::METHODS;

#[test]
fn the_slot_table_says_what_the_headers_say() {
    let (golden, source) = (golden(include_str!("data/slots.txt")), joined(METHODS));
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
    for (name, cells) in joined(METHODS) {
        let class = name.split("::").next();
        for (family, cell) in cells.iter().enumerate().filter_map(|(family, cell)| Some((family, (*cell)?))) {
            if let Some(other) = seen.insert((class, family, cell.slot), name) {
                panic!("{name} and {other} share slot {} in family {family}", cell.slot);
            }
        }
    }
}
