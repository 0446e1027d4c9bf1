//! Which layers will not be INT8, from the parsed network and the table, before the build.

use std::collections::{BTreeSet, HashMap, HashSet};

use nvinfer::LayerKind;
use trt_calib::CalibrationTable;
use trt_wire::{Decision, Failure, FailureCode, Retry};

use crate::worker::layers::{Layer, Tensor};
use crate::worker::words::{count, few_quoted};

/// What is known about the range of a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// The table has it.
    Given,
    /// It is kept out of INT8 on purpose.
    Kept,
    /// The table has none that can be used.
    Absent,
}

impl Scale {
    /// What becomes of a tensor of this name, with `table` as the calibrator returns it.
    pub fn of(name: &str, table: &CalibrationTable, keep: &[String]) -> Scale {
        match table.get(name.as_bytes()) {
            _ if keep.iter().any(|kept| kept == name) => Scale::Kept,
            Some(_) => Scale::Given,
            None => Scale::Absent,
        }
    }
}

/// How the table fits the network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Float activations with a scale.
    pub covered: usize,
    /// Float activations that are kept out of INT8.
    pub kept: Vec<String>,
    /// Float activations of the ONNX graph without one, in the network's order.
    pub missing: Vec<String>,
    /// Those without one that vanish if TensorRT fuses the layers around them.
    pub may_fuse: Vec<String>,
    /// Float tensors without one that TensorRT's parser made between them; no ONNX file names them.
    pub parser_made: Vec<String>,
    /// Layers that read or write a float activation; 0 if the layers are not known.
    pub layers: usize,
    /// Those of them that read or write a tensor in `missing`.
    pub not_int8: Vec<String>,
}

/// Looks up every float activation of the network, whose outputs are `outputs`.
///
/// Constants are none, nor is what follows from constants alone: TensorRT knows their range by itself. What vanishes when
/// two layers are fused needs no scale either, but which are fused is known after the build only.
pub fn coverage(layers: &[Layer], outputs: &HashSet<&str>, scale: impl Fn(&str) -> Scale) -> Coverage {
    let constants = constants(layers);
    let fused = fused(layers, outputs);
    let mut known: HashMap<&str, bool> = HashMap::new();
    let mut coverage = Coverage::default();
    for layer in layers {
        let is_activation = |tensor: &&Tensor| tensor.is_float && !constants.contains(tensor.name.as_str());
        let mut is_int8 = true;
        let mut is_float = false;
        for tensor in layer.inputs.iter().chain(&layer.outputs).filter(is_activation) {
            let name = tensor.name.as_str();
            is_int8 &= *known.entry(name).or_insert_with(|| {
                match scale(name) {
                    Scale::Given => coverage.covered += 1,
                    Scale::Kept => coverage.kept.push(name.to_owned()),
                    Scale::Absent if is_parser_made(name) => coverage.parser_made.push(name.to_owned()),
                    Scale::Absent if fused.contains(name) => coverage.may_fuse.push(name.to_owned()),
                    Scale::Absent => {
                        coverage.missing.push(name.to_owned());
                        return false;
                    }
                }
                true
            });
            is_float = true;
        }
        coverage.layers += usize::from(is_float);
        if !is_int8 {
            coverage.not_int8.push(layer.name.clone());
        }
    }
    coverage
}

/// The tensors between a layer and an activation function that nobody else reads: one kernel may compute both. It does with
/// ReLU and its like; with other functions that depends on the version, and which function a layer computes cannot be seen.
fn fused<'a>(layers: &'a [Layer], outputs: &HashSet<&str>) -> HashSet<&'a str> {
    let mut readers: HashMap<&str, Vec<&Layer>> = HashMap::new();
    for layer in layers {
        for tensor in &layer.inputs {
            readers.entry(&tensor.name).or_default().push(layer);
        }
    }
    let only_read_by_activation = |name: &str| match readers.get(name).map(Vec::as_slice) {
        Some([reader]) => reader.kind == Some(LayerKind::Activation),
        _ => false,
    };
    let takes_activation = |layer: &&Layer| {
        use LayerKind::{Convolution, Deconvolution, Elementwise, FullyConnected, MatrixMultiply, Scale};
        let kinds = [Convolution, Deconvolution, Elementwise, FullyConnected, MatrixMultiply, Scale];
        layer.kind.is_some_and(|kind| kinds.contains(&kind))
    };
    let written = layers.iter().filter(takes_activation).flat_map(|layer| &layer.outputs);
    let written = written.map(|tensor| tensor.name.as_str());
    written.filter(|name| !outputs.contains(name) && only_read_by_activation(name)).collect()
}

/// The tensors that depend on no input of the network.
fn constants(layers: &[Layer]) -> HashSet<&str> {
    let mut constants = HashSet::new();
    for layer in layers {
        if layer.inputs.iter().all(|tensor| constants.contains(tensor.name.as_str())) {
            constants.extend(layer.outputs.iter().map(|tensor| tensor.name.as_str()));
        }
    }
    constants
}

/// Whether the name is one that TensorRT's parser gives: up to 8.6 after the layer's number, from 10 on by its own scheme.
fn is_parser_made(name: &str) -> bool {
    ["(Unnamed Layer*", "ONNXTRT_"].iter().any(|prefix| name.starts_with(prefix))
}

impl Coverage {
    /// Whether there is anything that INT8 can replace; if not, why nothing is calibrated. `original` is the table as it
    /// came, with the scales that were left out since.
    ///
    /// # Errors
    /// [`FailureCode::BadModel`] for a table of another model, or one whose scales cannot be used.
    pub fn nothing(&self, original: &CalibrationTable) -> Result<Option<Decision>, Failure> {
        if self.covered > 0 {
            return Ok(None);
        }
        let known = |names: &[String]| names.iter().any(|name| original.get(name.as_bytes()).is_some());
        let without: Vec<String> = self.missing.iter().chain(&self.may_fuse).cloned().collect();
        let bad = |message: String, hint: &str| {
            Err(Failure::new(FailureCode::BadModel, Retry::AfterFix, message).with_hint(hint))
        };
        if known(&without) {
            let message =
                "no scale that the calibration table has for this model is a positive number".into();
            return bad(message, "calibrate again, with other images or another `algorithm`");
        }
        let because = match (without.is_empty(), self.kept.is_empty()) {
            (true, true) => "the network has no activation that INT8 could replace",
            (true, false) => "`keep` lists every activation of the network",
            (false, _) if known(&self.kept) => {
                "the calibration table has a scale for no activation but those that `keep` lists"
            }
            (false, _) => {
                let all = without.len() + self.kept.len();
                let message =
                    format!("the calibration table has a scale for none of the model's {all} activations");
                let hint =
                    "calibrate this model: the table is of another one, or of one with other tensor names";
                return bad(message, hint);
            }
        };
        Ok(Some(Decision { what: "no layer runs in INT8".into(), because: because.into() }))
    }

    /// What the user is told.
    pub fn decisions(&self) -> Vec<Decision> {
        let mut decisions = Vec::new();
        if !self.missing.is_empty() {
            decisions.push(self.without_scale());
        }
        if !self.may_fuse.is_empty() {
            decisions.push(Decision {
                what: format!(
                    "layers around {} may not be INT8 ({})",
                    count(self.may_fuse.len(), "tensor"),
                    few_quoted(&self.may_fuse)
                ),
                because:
                    "the calibration table has no scale for them; they need none where TensorRT fuses the \
                          activation function that reads them, as it does with ReLU"
                        .into(),
            });
        }
        if !self.parser_made.is_empty() {
            decisions.push(Decision {
                what: format!(
                    "layers around {} of TensorRT's own may not be INT8",
                    count(self.parser_made.len(), "tensor")
                ),
                because:
                    "its parser made them and no ONNX file names them, so the table cannot; most vanish when \
                          layers are fused"
                        .into(),
            });
        }
        decisions
    }

    /// What the missing scales do to the layers, or, if those are not known, around them.
    fn without_scale(&self) -> Decision {
        let (tensors, names) = (count(self.missing.len(), "tensor"), few_quoted(&self.missing));
        match self.layers {
            0 => Decision {
                what: format!(
                    "layers around {tensors} are not INT8, unless TensorRT fuses them away ({names})"
                ),
                because: "the calibration table has no scale for them".into(),
            },
            all => Decision {
                what: format!(
                    "{} of {} not INT8 ({})",
                    self.not_int8.len(),
                    verb(all),
                    few_quoted(&self.not_int8)
                ),
                because: format!(
                    "the calibration table has no scale for {tensors} that they read or write: {names}"
                ),
            },
        }
    }

    /// Every name, for the log.
    pub fn notes(&self) -> Vec<String> {
        let lists = [
            ("tensors without a scale", &self.missing),
            ("layers that are not INT8 for want of a scale", &self.not_int8),
            ("tensors without a scale that vanish if the layers around them are fused", &self.may_fuse),
            ("tensors made by TensorRT's parser, without a scale", &self.parser_made),
        ];
        let note = |(what, names): &(&str, &Vec<String>)| format!("{what}: {}", names.join(", "));
        lists.iter().filter(|(_, names)| !names.is_empty()).map(note).collect()
    }

    /// What TensorRT's log adds to this: tensors it missed a scale for that were not foreseen.
    pub fn surprises<'a>(&self, logged: impl Iterator<Item = &'a str>) -> Vec<Decision> {
        let foreseen: BTreeSet<&str> = [&self.missing, &self.kept, &self.parser_made]
            .into_iter()
            .flatten()
            .map(String::as_str)
            .collect();
        let (own, named): (Vec<&str>, Vec<&str>) =
            logged.filter(|name| !foreseen.contains(name)).partition(|name| is_parser_made(name));
        let because = || "its log misses a scale for them".to_owned();
        let mut decisions = Vec::new();
        if !named.is_empty() {
            decisions.push(Decision {
                what: format!(
                    "TensorRT keeps {} out of INT8 ({})",
                    count(named.len(), "more tensor"),
                    few_quoted(&named)
                ),
                because: because(),
            });
        }
        if !own.is_empty() {
            decisions.push(Decision {
                what: format!(
                    "TensorRT keeps {} of its own making out of INT8",
                    count(own.len(), "more tensor")
                ),
                because: because(),
            });
        }
        decisions
    }
}

/// `1 layer is`, `5 layers are`.
fn verb(layers: usize) -> String {
    format!("{} {}", count(layers, "layer"), if layers == 1 { "is" } else { "are" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::layers::network;

    fn fits(lines: &[&str], scales: &[&str]) -> Coverage {
        fits_but(lines, scales, &[])
    }

    fn fits_but(lines: &[&str], scales: &[&str], keep: &[&str]) -> Coverage {
        let keep: Vec<String> = keep.iter().map(|&name| name.into()).collect();
        let table = table(scales);
        coverage(&network(lines), &HashSet::from(["out"]), |name| Scale::of(name, &table, &keep))
    }

    fn table(names: &[&str]) -> CalibrationTable {
        let lines: String = names.iter().map(|name| format!("{name}: 3c010204\n")).collect();
        CalibrationTable::parse(format!("TRT-8601-EntropyCalibration2\n{lines}").as_bytes()).unwrap()
    }

    #[test]
    fn tensors_without_a_scale_name_the_layers_around_them() {
        let found = fits(
            &["conv1: images -> a", "relu1: a -> b", "conv2: b -> c", "add: c, a -> out"],
            &["images", "b", "c", "out"],
        );
        assert_eq!((found.covered, found.layers), (4, 4));
        assert_eq!(found.missing, ["a"]);
        assert_eq!(found.not_int8, ["conv1", "relu1", "add"]);
        assert_eq!(
            found.decisions()[0].to_string(),
            "3 of 4 layers are not INT8 (`conv1`, `relu1`, `add`), because the calibration table has no scale for \
             1 tensor that they read or write: `a`"
        );
        assert_eq!(found.notes().len(), 2);
    }

    #[test]
    fn integers_and_constants_need_no_scale() {
        let found = fits(
            &[
                "weights: -> (Unnamed Layer* 0) [Constant]_output",
                "reshape: (Unnamed Layer* 0) [Constant]_output -> (Unnamed Layer* 1) [Shuffle]_output",
                "add: images, (Unnamed Layer* 1) [Shuffle]_output -> sum",
                "bias: -> bias_output",
                "shape: sum -> #size",
                "gather: #size -> #length",
                "argmax: sum -> #best",
            ],
            &["images", "sum"],
        );
        assert_eq!(found, Coverage { covered: 2, layers: 3, ..Coverage::default() });
        assert_eq!(found.decisions(), []);
        assert_eq!(found.notes(), Vec::<String>::new());
    }

    #[test]
    fn what_the_parser_made_is_counted_and_not_blamed_on_the_table() {
        let found = fits(
            &[
                "flatten: a -> (Unnamed Layer* 5) [Shuffle]_output",
                "fc: (Unnamed Layer* 5) [Shuffle]_output -> b",
                "broadcast: b -> ONNXTRT_Broadcast_191_output",
            ],
            &["a", "b"],
        );
        assert_eq!((found.missing.len(), found.not_int8.len(), found.parser_made.len()), (0, 0, 2));
        let [decision] = &found.decisions()[..] else { panic!("one decision") };
        assert!(decision.what.contains("2 tensors"), "{decision}");
    }

    #[test]
    fn what_may_vanish_between_fused_layers_is_told_as_what_it_is() {
        let fused = |lines: &[&str], scales: &[&str]| {
            let found = fits(lines, scales);
            (found.may_fuse, found.missing, found.not_int8)
        };
        let told = fits(&["conv: images -> a", "relu: a -> b"], &["images", "b"]);
        let [decision] = &told.decisions()[..] else { panic!("one decision") };
        assert!(decision.what.contains("1 tensor may not be INT8 (`a`)"), "{decision}");
        assert_eq!(told.surprises(["a"].into_iter()).len(), 1, "TensorRT's own word on it is told");
        let none: Vec<String> = vec![];
        assert_eq!(
            fused(&["conv: images -> a", "relu: a -> b"], &["images", "b"]),
            (vec!["a".into()], none.clone(), none.clone())
        );
        let read_twice = ["conv: images -> a", "relu: a -> b", "add: a, b -> c"];
        let all = || vec!["conv".into(), "relu".into(), "add".into()];
        assert_eq!(fused(&read_twice, &["images", "b", "c"]), (none.clone(), vec!["a".into()], all()));
        let an_output = ["conv: images -> out", "relu: out -> b"];
        assert_eq!(fused(&an_output, &["images", "b"]).1, ["out"]);
        let no_activation = ["conv: images -> a", "softmax: a -> b"];
        assert_eq!(fused(&no_activation, &["images", "b"]).1, ["a"]);
    }

    #[test]
    fn a_table_of_another_model_is_told_from_one_with_gaps_and_from_nothing_to_do() {
        let lines = ["conv: images -> a", "relu: a -> b"];
        let all = ["images", "a", "b"];
        // Network, usable scales, `keep`, all names of the table; what is said, and whether that is a failure.
        type Case<'a> = (&'a [&'a str], &'a [&'a str], &'a [&'a str], &'a [&'a str], Option<(&'a str, bool)>);
        let cases: [Case; 8] = [
            (&lines, &["a"], &[], &["a"], None),
            (&lines, &["a"], &["b"], &["a"], None),
            (&lines, &[], &[], &["x"], Some(("none of the model's 3 activations", true))),
            (&lines, &[], &["b"], &["x"], Some(("none of the model's 3 activations", true))),
            (&lines, &[], &["b"], &["x", "a"], Some(("is a positive number", true))),
            (&lines, &[], &["b"], &["x", "b"], Some(("no activation but those that `keep` lists", false))),
            (&lines, &[], &all, &all, Some(("`keep` lists every activation", false))),
            (&["ids: #i -> #a"], &[], &[], &["x"], Some(("no activation that INT8 could replace", false))),
        ];
        for (lines, scales, keep, names, expected) in cases {
            let said = match fits_but(lines, scales, keep).nothing(&table(names)) {
                Ok(decision) => decision.map(|decision| (decision.to_string(), false)),
                Err(failure) => {
                    assert_eq!(failure.code, FailureCode::BadModel);
                    assert!(failure.hint.is_some());
                    Some((failure.message, true))
                }
            };
            let fits = match (&said, expected) {
                (Some((text, failed)), Some((words, fails))) => text.contains(words) && *failed == fails,
                (said, expected) => said.is_none() && expected.is_none(),
            };
            assert!(fits, "{scales:?}, {keep:?}, {names:?}: {said:?}");
        }
    }

    #[test]
    fn a_thousand_missing_tensors_fit_in_a_line_and_are_all_in_the_log() {
        let lines: Vec<String> = (0..1000).map(|n| format!("layer{n}: t{n} -> t{}", n + 1)).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let found = fits(&lines, &[]);
        assert_eq!(found.missing.len(), 1001);
        assert!(found.decisions()[0].to_string().len() < 700, "{}", found.decisions()[0]);
        assert!(found.notes()[0].ends_with("t1000"));
    }

    #[test]
    fn only_what_was_not_foreseen_is_told_after_the_build() {
        let found = fits_but(&["conv: images -> a", "add: a -> head"], &["images"], &["head"]);
        assert_eq!((&found.missing, &found.kept), (&vec!["a".to_owned()], &vec!["head".to_owned()]));
        assert_eq!(found.surprises(["a", "head"].into_iter()), []);
        let logged = ["a", "odd", "(Unnamed Layer* 7) [Constant]_output", "head"];
        let texts: Vec<String> =
            found.surprises(logged.into_iter()).iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "TensorRT keeps 1 more tensor out of INT8 (`odd`), because its log misses a scale for them",
                "TensorRT keeps 1 more tensor of its own making out of INT8, because its log misses a scale for them"
            ]
        );
    }
}
