//! The table of enum values against the same facts in a text file.

mod golden;

use std::collections::BTreeMap;

use golden::{golden, joined};
use nvinfer::sys::values::table::rows;

#[test]
fn the_value_table_says_what_the_headers_say() {
    let (golden, source) = (golden(include_str!("data/values.txt")), joined(rows()));
    for (name, cells) in &golden {
        assert_eq!(source.get(name), Some(cells), "{name}");
    }
    let unproven: Vec<_> = source.keys().filter(|name| !golden.contains_key(*name)).collect();
    assert!(unproven.is_empty(), "rows without a fact behind them: {unproven:?}");
    assert!(golden.len() > 90, "the file was read");
}

#[test]
fn no_two_names_of_an_enum_share_a_value() {
    let mut seen = BTreeMap::new();
    for (name, cells) in rows() {
        let class = name.split("::").next();
        for (family, cell) in cells.iter().enumerate().filter_map(|(family, cell)| Some((family, (*cell)?))) {
            if let Some(other) = seen.insert((class, family, cell.slot), name) {
                panic!("{name} and {other} share value {} in family {family}", cell.slot);
            }
        }
    }
}
