//! What has to be known of the ONNX, because `trtexec` shows its network to nobody.

use std::path::Path;

use trt_calib::CalibrationTable;
use trt_onnx::{Activation, Dim, Model, TensorInfo};
use trt_wire::{BuildPlan, Decision, Failure, FailureCode, ShapeRange, TensorRt};

use super::arguments::{can_list, holds_layers};
use crate::worker::failure;
use crate::worker::implicit::coverage::{Coverage, Scale};
use crate::worker::words::{count, few_quoted};

/// Inputs and activations; the weights are not kept.
pub struct Outline {
    inputs: Vec<TensorInfo>,
    activations: Vec<Activation>,
}

impl Outline {
    /// Reads the file that `trtexec` will parse.
    ///
    /// # Errors
    /// [`FailureCode::BadModel`].
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let model =
            Model::load(path).map_err(|error| failure(FailureCode::BadModel, &error, error.hint()))?;
        Ok(Self { inputs: model.inputs(), activations: model.activations() })
    }

    /// The shapes of the inputs that have dynamic dimensions. `trtexec` refuses shapes for a model without any.
    pub fn shapes<'a>(&self, plan: &'a BuildPlan) -> Vec<(&'a str, &'a ShapeRange)> {
        let is_dynamic = |name: &str| {
            let input = self.inputs.iter().find(|input| input.name == name);
            input.is_some_and(|input| input.dims.iter().any(|dim| !matches!(dim, Dim::Fixed(_))))
        };
        let shapes = plan.shapes.iter().filter(|(name, _)| is_dynamic(name));
        shapes.map(|(name, range)| (name.as_str(), range)).collect()
    }

    /// How the table fits the ONNX, before TensorRT fuses its layers.
    pub fn coverage(&self, table: &CalibrationTable, keep: &[String]) -> Coverage {
        let mut coverage = Coverage::default();
        for Activation { name, .. } in self.activations.iter().filter(|activation| activation.known_float) {
            match Scale::of(name, table, keep) {
                Scale::Given => coverage.covered += 1,
                Scale::Kept => coverage.kept.push(name.clone()),
                Scale::Absent => coverage.missing.push(name.clone()),
            }
        }
        coverage
    }

    /// The layers to hold in FP32 because they compute an activation in `keep`, and what becomes of the others.
    ///
    /// TensorRT's parser names layers after their nodes. The layers that only read a kept activation cannot be told from
    /// here, unlike in a build by TensorRT's own interface.
    pub fn held(&self, tensorrt: &TensorRt, keep: &[String]) -> (Vec<String>, Vec<Decision>) {
        if keep.is_empty() {
            return Default::default();
        }
        if !holds_layers(tensorrt) {
            let because = format!("the `trtexec` of {tensorrt} cannot be told the precision of layers");
            let what =
                "what `keep` lists stays out of INT8 for want of a scale, and may still run in FP16".into();
            return (Vec::new(), vec![Decision { what, because }]);
        }
        let (mut held, mut lost) = (Vec::new(), Vec::new());
        for name in keep {
            let activation = self.activations.iter().find(|activation| &activation.name == name);
            match activation.and_then(|activation| layer(activation.producer.as_deref()?)) {
                Some(layer) => held.push(layer.to_owned()),
                None => lost.push(name.clone()),
            }
        }
        let mut decisions = Vec::new();
        if !lost.is_empty() {
            decisions.push(Decision {
                what: format!(
                    "{} in `keep` cannot be held in FP32 ({})",
                    count(lost.len(), "activation"),
                    few_quoted(&lost)
                ),
                because: "`trtexec` takes the names of the nodes that compute them, and they have none that it could take"
                    .into(),
            });
        }
        (held, decisions)
    }
}

/// The name of a node as [`Activation::producer`] shows it; `None` for a node without one, or one that no list can hold.
fn layer(producer: &str) -> Option<&str> {
    producer.strip_prefix('`')?.strip_suffix('`').filter(|name| can_list(name))
}

#[cfg(test)]
mod tests {
    use trt_wire::TensorRtProduct;

    use super::*;

    fn activation(name: &str, producer: Option<&str>) -> Activation {
        Activation {
            name: name.into(),
            producer: producer.map(str::to_owned),
            op_type: None,
            known_float: !name.starts_with('#'),
            is_input: producer.is_none(),
            is_output: false,
        }
    }

    fn outline() -> Outline {
        let input = |name: &str, dims: Vec<Dim>| TensorInfo { name: name.into(), elem_type: 1, dims };
        Outline {
            inputs: vec![
                input("images", vec![Dim::Symbol("batch".into()), Dim::Fixed(3)]),
                input("mask", vec![Dim::Fixed(1), Dim::Fixed(3)]),
            ],
            activations: vec![
                activation("images", None),
                activation("a", Some("`conv`")),
                activation("b", Some("Add #3 (output `b`)")),
                activation("c", Some("`odd, name`")),
                activation("#d", Some("`shape`")),
            ],
        }
    }

    fn tensorrt(version: [u32; 3]) -> TensorRt {
        TensorRt { product: TensorRtProduct::TensorRt, version, library: String::new(), is_known: true }
    }

    #[test]
    fn what_the_table_lacks_is_told_of_the_activations() {
        let table = CalibrationTable::parse(b"TRT-8601-EntropyCalibration2\nimages: 3c010a14\na: 3c010a14\n");
        let table = table.unwrap();
        let keep = ["c".to_owned()];
        let coverage = outline().coverage(&table, &keep);
        assert_eq!((coverage.covered, &coverage.missing), (2, &vec!["b".to_owned()]));
        assert_eq!(coverage.kept, keep);
        assert_eq!(
            coverage.decisions()[0].to_string(),
            "layers around 1 tensor are not INT8, unless TensorRT fuses them away (`b`), because the calibration table \
             has no scale for them"
        );
        let other = CalibrationTable::parse(b"TRT-8601-EntropyCalibration2\nx: 3c010a14\n").unwrap();
        for keep in [&keep[..], &[]] {
            let failure =
                outline().coverage(&other, keep).nothing(&other).expect_err("it is another model's");
            assert!(failure.message.contains("none of the model's 4 activations"), "{failure}");
        }
    }

    #[test]
    fn the_nodes_that_compute_what_is_kept_are_held_where_they_can_be_named() {
        let keep = ["a", "b", "c", "nothing", "images"].map(str::to_owned);
        let (held, decisions) = outline().held(&tensorrt([8, 6, 1]), &keep);
        assert_eq!(held, ["conv"]);
        assert!(decisions[0].what.contains("4 activations"), "{}", decisions[0]);
        for version in [[8, 2, 1], [11, 4, 1]] {
            let (held, decisions) = outline().held(&tensorrt(version), &keep);
            assert!(held.is_empty() && decisions.len() == 1, "{version:?}");
        }
        assert_eq!(outline().held(&tensorrt([8, 6, 1]), &[]), (vec![], vec![]));
    }
}
