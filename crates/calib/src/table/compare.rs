//! A table against a model's tensors, and against another table.

use std::collections::{BTreeSet, HashSet};

use super::{CalibrationTable, Header, TensorName};

/// How a table fits a model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Activations of the model that have a scale.
    pub covered: Vec<String>,
    /// Activations of the model without one: TensorRT leaves them out of INT8.
    pub missing: Vec<String>,
    /// Entries for tensors that the model does not have. A few are harmless; many mean another model.
    pub stale: Vec<TensorName>,
    /// Entries for tensors that TensorRT's own parser makes (`(Unnamed Layer* 12) [Shuffle]_output`,
    /// `ONNXTRT_Broadcast_191_output`, `<initializer>_output`). They are in no ONNX file, and their numbers change
    /// with the version.
    pub parser_made: Vec<TensorName>,
}

impl Coverage {
    /// The share of the model's activations that have a scale, 0 to 1; 1 for a model without activations.
    pub fn share(&self) -> f64 {
        let all = self.covered.len() + self.missing.len();
        if all == 0 { 1.0 } else { self.covered.len() as f64 / all as f64 }
    }
}

/// Compares a table with the activation names of an ONNX model; names that occur twice count once.
///
/// `covered` and `missing` keep the order of the model, `stale` and `parser_made` are sorted by name. Entries that
/// TensorRT makes of the model's initializers count as `stale`: see [`coverage_with_initializers`].
pub fn coverage<'a>(table: &CalibrationTable, activations: impl IntoIterator<Item = &'a str>) -> Coverage {
    coverage_with_initializers(table, activations, [])
}

/// The same as [`coverage`], with the names of the model's initializers.
///
/// From version 10 on TensorRT's parser makes a tensor `<initializer>_output` of each that is no layer's weight.
/// (Tables of 10.10; up to 8.6 it was `(Unnamed Layer* 12) [Constant]_output`.)
pub fn coverage_with_initializers<'a>(
    table: &CalibrationTable,
    activations: impl IntoIterator<Item = &'a str>,
    initializers: impl IntoIterator<Item = &'a str>,
) -> Coverage {
    let initializers: HashSet<&[u8]> = initializers.into_iter().map(str::as_bytes).collect();
    let mut coverage = Coverage::default();
    let mut wanted = BTreeSet::new();
    for name in activations {
        if wanted.insert(name.as_bytes()) {
            let list = match table.get(name.as_bytes()) {
                Some(_) => &mut coverage.covered,
                None => &mut coverage.missing,
            };
            list.push(name.to_owned());
        }
    }
    let mut unknown: BTreeSet<&TensorName> = table.entries().iter().map(|e| &e.name).collect();
    unknown.retain(|name| !wanted.contains(name.as_bytes()));
    for name in unknown {
        let bytes = name.as_bytes();
        let parser_made =
            [&b"(Unnamed Layer* "[..], b"ONNXTRT_"].iter().any(|prefix| bytes.starts_with(prefix))
                || bytes.strip_suffix(b"_output").is_some_and(|stored| initializers.contains(stored));
        let list = if parser_made { &mut coverage.parser_made } else { &mut coverage.stale };
        list.push(name.clone());
    }
    coverage
}

/// A tensor whose scale differs between two tables.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The tensor.
    pub name: TensorName,
    /// Its scale in the first table.
    pub a: f32,
    /// Its scale in the second table.
    pub b: f32,
    /// `b / a`; NaN or infinite where the scales are.
    pub ratio: f64,
}

/// What differs between two tables, each list sorted by name.
#[derive(Clone, Debug, PartialEq)]
pub struct TableDiff {
    /// Both headers, where they differ.
    pub headers: Option<(Header, Header)>,
    /// Tensors of the first table only.
    pub only_in_a: Vec<TensorName>,
    /// Tensors of the second table only.
    pub only_in_b: Vec<TensorName>,
    /// Tensors with different scales.
    pub changed: Vec<Change>,
    /// How many tensors have the same scale in both, to the bit.
    pub unchanged: usize,
}

impl TableDiff {
    /// Whether the scales are the same; headers may differ.
    pub fn same_scales(&self) -> bool {
        self.only_in_a.is_empty() && self.only_in_b.is_empty() && self.changed.is_empty()
    }
}

/// Compares two tables tensor by tensor; order means nothing.
pub fn diff(a: &CalibrationTable, b: &CalibrationTable) -> TableDiff {
    let headers = (a.header() != b.header()).then(|| (a.header().clone(), b.header().clone()));
    let mut diff = TableDiff {
        headers,
        only_in_a: Vec::new(),
        only_in_b: Vec::new(),
        changed: Vec::new(),
        unchanged: 0,
    };
    let names: BTreeSet<&TensorName> = a.entries().iter().chain(b.entries()).map(|e| &e.name).collect();
    for name in names {
        match (a.get(name.as_bytes()), b.get(name.as_bytes())) {
            (Some(left), Some(right)) if left.to_bits() == right.to_bits() => diff.unchanged += 1,
            (Some(left), Some(right)) => diff.changed.push(Change {
                name: name.clone(),
                a: left,
                b: right,
                ratio: f64::from(right) / f64::from(left),
            }),
            (Some(_), None) => diff.only_in_a.push(name.clone()),
            (None, _) => diff.only_in_b.push(name.clone()),
        }
    }
    diff
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(lines: &str) -> CalibrationTable {
        CalibrationTable::parse(format!("TRT-8601-EntropyCalibration2\n{lines}").as_bytes()).unwrap()
    }

    fn shown(names: &[TensorName]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn coverage_tells_covered_missing_stale_and_parser_made() {
        let table = table(
            "input: 3c010204\nold: 3c010204\n(Unnamed Layer* 12) [Shuffle]_output: 1\n\
             ONNXTRT_Broadcast_191_output: 1\nout: 3c010204\n",
        );
        let coverage = coverage(&table, ["input", "conv1", "out", "conv1"]);
        assert_eq!(coverage.covered, ["input", "out"]);
        assert_eq!(coverage.missing, ["conv1"]);
        assert_eq!(shown(&coverage.stale), ["old"]);
        assert_eq!(
            shown(&coverage.parser_made),
            ["(Unnamed Layer* 12) [Shuffle]_output", "ONNXTRT_Broadcast_191_output"]
        );
        assert!((coverage.share() - 2.0 / 3.0).abs() < 1e-12);
    }

    /// Names of a table that TensorRT 10.10 wrote for a transformer.
    #[test]
    fn tensors_that_tensorrt_10_makes_of_initializers_are_not_stale() {
        let table = table(
            "input: 3e30f86c\npos_embed_output: 3a0b46fe\nonnx::MatMul_398_output: 3b1df5a4\n\
             encoder.layers.0.linear2.bias_output: 3a5bd746\nONNXTRT_Broadcast_191_output: 3b047011\n\
             /encoder/layers.0/Add_output_0: 3f143af7\nother.bias_output: 3aa67c4d\n_output: 1\n",
        );
        let activations = ["input", "/encoder/layers.0/Add_output_0"];
        let initializers = ["pos_embed", "onnx::MatMul_398", "encoder.layers.0.linear2.bias", "input"];
        let found = coverage_with_initializers(&table, activations, initializers);
        assert_eq!(found.covered, activations);
        assert_eq!(shown(&found.stale), ["_output", "other.bias_output"]);
        assert_eq!(
            shown(&found.parser_made),
            [
                "ONNXTRT_Broadcast_191_output",
                "encoder.layers.0.linear2.bias_output",
                "onnx::MatMul_398_output",
                "pos_embed_output"
            ]
        );
        assert_eq!(coverage(&table, activations).stale.len(), 5, "without initializers nobody can tell");
    }

    #[test]
    fn a_model_without_activations_is_fully_covered() {
        assert_eq!(coverage(&table("a: 1\n"), []).share(), 1.0);
    }

    #[test]
    fn diff_lists_what_changed_and_by_how_much() {
        let diff =
            diff(&table("a: 3f800000\nb: 3f800000\nc: 0\n"), &table("d: 1\nb: 40000000\na: 3f800000\n"));
        assert_eq!(diff.headers, None);
        assert_eq!(
            (shown(&diff.only_in_a), shown(&diff.only_in_b)),
            (vec!["c".to_owned()], vec!["d".to_owned()])
        );
        assert_eq!(diff.unchanged, 1);
        assert_eq!((diff.changed[0].name.to_string().as_str(), diff.changed[0].ratio), ("b", 2.0));
        assert!(!diff.same_scales());
    }

    #[test]
    fn tables_in_another_order_under_another_header_have_the_same_scales() {
        let a = table("a: 1\nb: 2\n");
        let b = table("b: 2\na: 1\n").with_version(100_300).unwrap();
        let diff = diff(&a, &b);
        assert!(diff.same_scales() && diff.headers.is_some());
    }
}
