//! Tables as text, to compare the source's with.

use std::collections::BTreeMap;

use nvinfer::sys::{Cell, Cells};

/// Lines of `name 8.x 10.x 11.x RTX-A RTX-B`.
pub fn golden(text: &'static str) -> BTreeMap<&'static str, Cells> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let mut words = line.split_whitespace();
            let name = words.next().expect(line);
            let cells: Vec<_> = words.map(parse).collect();
            (name, cells.try_into().expect(line))
        })
        .collect()
}

/// `-`, `number` or `number@minor`.
fn parse(cell: &str) -> Option<Cell> {
    let (slot, minor) = cell.split_once('@').unwrap_or((cell, "0"));
    (slot != "-").then(|| Cell { slot: slot.parse().expect(cell), since_minor: minor.parse().expect(cell) })
}

/// The rows of the source, those of one name joined.
pub fn joined(
    rows: impl IntoIterator<Item = &'static (&'static str, Cells)>,
) -> BTreeMap<&'static str, Cells> {
    let mut joined = BTreeMap::<_, Cells>::new();
    for (name, cells) in rows {
        let row = joined.entry(*name).or_default();
        for (known, cell) in row.iter_mut().zip(cells).filter(|(_, cell)| cell.is_some()) {
            assert!(known.is_none(), "two rows of {name} claim the same family");
            *known = *cell;
        }
    }
    joined
}
