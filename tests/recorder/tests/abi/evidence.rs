//! The part of `docs/evidence.md` that says which oracle covers which row; `UPDATE_EVIDENCE=1` rewrites it.

use std::collections::{BTreeMap, BTreeSet};

use recorder::golden::{self, Row};

use test_support::skip;

use crate::stage::{VERSIONS, rows_of};
use crate::{binding, nvidia, real, runtime_only};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/evidence.md");
const BEGIN: &str = "<!-- slots: written by tests/recorder/tests/abi/evidence.rs -->\n";
const END: &str = "<!-- end of slots -->\n";

/// The oracles' marks by row and column, without what the recorder alone shows.
type Marks = BTreeMap<(String, usize), BTreeSet<char>>;

#[test]
fn the_table_of_slots_is_what_the_oracles_found() {
    let Some(nvidia) = nvidia::covered() else { return skip("no Python bindings of TensorRT") };
    let real = real::covered();
    for column in [3, 4] {
        if real.iter().all(|(version, _)| version.column != column) {
            return skip("not both interfaces of TensorRT-RTX, which has another one since 1.5");
        }
    }
    let document = std::fs::read_to_string(FILE).expect("docs/evidence.md");
    let (before, rest) = document.split_once(BEGIN).expect("the begin of the slots' part");
    let (written, after) = rest.split_once(END).expect("the end of the slots' part");
    let rows = golden::rows().expect("the golden text");

    let mut marks = Marks::new();
    let mut mark = |row: &str, column, mark| {
        marks.entry((row.to_string(), column)).or_default().insert(mark);
    };
    for (version, called) in &nvidia {
        called.iter().for_each(|row| mark(row, version.column, 'N'));
    }
    let gpu = runtime_only::found();
    for column in [1, 2] {
        gpu.in_column(column).iter().for_each(|row| mark(row, column, 'G'));
    }
    for (version, answered) in &real {
        answered.iter().for_each(|row| mark(row, version.column, 'R'));
    }

    let with = format!("G is of {}.\n", gpu.machine);
    let generated = format!("\n{with}\n{}\n{}", versions(&nvidia), table(&rows, &marks));
    if std::env::var_os("UPDATE_EVIDENCE").is_some() {
        std::fs::write(FILE, format!("{before}{BEGIN}{generated}{END}{after}")).expect("docs/evidence.md");
    } else if written != generated {
        let differs = generated.lines().zip(written.lines()).find(|(new, old)| new != old);
        panic!("docs/evidence.md is out of date; run with UPDATE_EVIDENCE=1. First difference: {differs:?}");
    }
}

fn versions(nvidia: &[(golden::Version, BTreeSet<String>)]) -> String {
    let mut text =
        "| version | rows | called by our binding's own methods | called by NVIDIA's Python bindings |\n"
            .to_string();
    text += "|---|---|---|---|\n";
    for number in VERSIONS {
        let (stage, result) = binding::drive(number, "");
        result.unwrap_or_else(|found| panic!("{}: {found}", stage.version));
        let called = nvidia.iter().find(|(version, _)| *version == stage.version);
        let called = called.map_or("–".to_string(), |(_, called)| called.len().to_string());
        let (version, rows, own) = (stage.version, rows_of(stage.version).len(), stage.called().len());
        text += &format!("| {version} | {rows} | {own} | {called} |\n");
    }
    text
}

fn table(rows: &[Row], marks: &Marks) -> String {
    let mut text = "| row | 8.x | 10.x | 11.x | RTX-A | RTX-B |\n|---|---|---|---|---|---|\n".to_string();
    let mut alone = vec![];
    for row in rows {
        text += &format!("| `{}` |", row.name);
        for (column, cell) in row.cells.iter().enumerate() {
            let Some((slot, minor)) = cell else {
                text += " – |";
                continue;
            };
            let since = if *minor > 0 { format!("@{minor}") } else { String::new() };
            let found = marks.get(&(row.name.clone(), column)).map(|marks| marks.iter().collect::<String>());
            if found.is_none() {
                alone.push(format!(
                    "`{}` of {}",
                    row.name,
                    ["8.x", "10.x", "11.x", "RTX-A", "RTX-B"][column]
                ));
            }
            text += &format!(" {slot}{since} {} |", found.as_deref().unwrap_or("alone"));
        }
        text += "\n";
    }
    text + &format!("\nRows that nothing but the recorder covers: {}.\n", alone.join(", "))
}
