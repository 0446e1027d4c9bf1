//! Networks as an evaluation needs them: one sample at a time, and stopped when the user wishes it.

use std::collections::BTreeMap;

use trt_inference::{Backend, Network, SourceError, Tensor, Values};
use trt_onnx::{Dim, Model};

use crate::interrupt::Interrupt;

/// A network whose batch is fixed, run with a single sample: it gets the sample as often as the batch wants it, and of
/// what it gives out the first one counts.
///
/// That takes as long as a whole batch. Samples are looked at one by one all the same, since neither figures nor what is
/// left out may depend on who stands beside whom.
pub struct OneOfMany {
    network: Box<dyn Network>,
    /// The batch of each input.
    batches: BTreeMap<String, usize>,
}

impl OneOfMany {
    /// The network as it is, unless the model fixes a batch above 1.
    pub fn wrap(network: Box<dyn Network>, model: &Model) -> Box<dyn Network> {
        let batch = |dims: &[Dim]| match dims.first() {
            Some(Dim::Fixed(batch)) => usize::try_from(*batch).ok().filter(|batch| *batch > 1),
            _ => None,
        };
        let inputs = model.inputs().into_iter();
        let batches: BTreeMap<String, usize> =
            inputs.filter_map(|input| Some((input.name.clone(), batch(&input.dims)?))).collect();
        if batches.is_empty() { network } else { Box::new(Self { network, batches }) }
    }
}

impl Network for OneOfMany {
    fn backend(&self) -> Backend {
        self.network.backend()
    }

    fn outputs(&self) -> &[String] {
        self.network.outputs()
    }

    fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, SourceError> {
        let mut inputs = inputs.to_vec();
        let mut batch = None;
        for input in &mut inputs {
            if let (Some(&wanted), Some(1)) = (self.batches.get(&input.name), input.shape.first()) {
                repeat(input, wanted);
                batch = Some(wanted);
            }
        }
        let mut outputs = self.network.run(&inputs)?;
        if let Some(batch) = batch {
            outputs.iter_mut().for_each(|output| first(output, batch));
        }
        Ok(outputs)
    }
}

/// Does the same with the elements, of whatever type they are.
macro_rules! elements {
    ($values:expr, $elements:ident => $work:expr) => {
        match $values {
            Values::F32($elements) => $work,
            Values::F16($elements) => $work,
            Values::F64($elements) => $work,
            Values::I64($elements) => $work,
            Values::I32($elements) => $work,
            Values::I8($elements) => $work,
            Values::U8($elements) => $work,
            Values::Bool($elements) => $work,
        }
    };
}

/// Makes a batch of one sample.
fn repeat(tensor: &mut Tensor, batch: usize) {
    elements!(&mut tensor.values, elements => *elements = elements.repeat(batch));
    tensor.shape[0] = batch;
}

/// Leaves the first sample of a batch; what has no batch stays whole.
fn first(tensor: &mut Tensor, batch: usize) {
    if tensor.shape.first() == Some(&batch) {
        let one = tensor.values.len() / batch;
        elements!(&mut tensor.values, elements => elements.truncate(one));
        tensor.shape[0] = 1;
    }
}

/// A network that fails once the user has asked to stop.
pub struct Stoppable {
    /// The network.
    pub network: Box<dyn Network>,
    /// What the user raises.
    pub interrupt: Interrupt,
}

impl Network for Stoppable {
    fn backend(&self) -> Backend {
        self.network.backend()
    }

    fn outputs(&self) -> &[String] {
        self.network.outputs()
    }

    fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, SourceError> {
        let stopped =
            |error: crate::interrupt::Interrupted| SourceError::Run { node: None, reason: error.to_string() };
        self.interrupt.check().map_err(stopped)?;
        self.network.run(inputs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Adds the number of the sample to it, and gives out a constant.
    struct Numbering(Vec<String>);

    impl Network for Numbering {
        fn backend(&self) -> Backend {
            Backend { name: "none", version: String::new(), settings: Vec::new() }
        }

        fn outputs(&self) -> &[String] {
            &self.0
        }

        fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, SourceError> {
            let values = inputs[0].values.as_f32().unwrap();
            let each = values.len() / inputs[0].shape[0];
            let numbered = values.iter().enumerate().map(|(at, value)| value + 10.0 * (at / each) as f32);
            let output = Tensor::f32("y", inputs[0].shape.clone(), numbered.collect());
            Ok(vec![output, Tensor::f32("constant", vec![2], vec![5.0, 6.0])])
        }
    }

    #[test]
    fn a_fixed_batch_is_filled_with_the_sample_and_its_first_answer_counts() {
        let network = Box::new(Numbering(vec!["y".to_owned(), "constant".to_owned()]));
        let many = OneOfMany { network, batches: BTreeMap::from([("x".to_owned(), 3)]) };
        let found = many.run(&[Tensor::f32("x", vec![1, 2], vec![1.0, 2.0])]).unwrap();
        let expected =
            [Tensor::f32("y", vec![1, 2], vec![1.0, 2.0]), Tensor::f32("constant", vec![2], vec![5.0, 6.0])];
        assert_eq!(found, expected);
        // A whole batch is left alone.
        let whole = many.run(&[Tensor::f32("x", vec![3, 1], vec![0.0; 3])]).unwrap();
        assert_eq!(whole[0], Tensor::f32("y", vec![3, 1], vec![0.0, 10.0, 20.0]));
    }

    #[test]
    fn a_network_stops_when_the_user_wishes_it() {
        let interrupt = Interrupt::default();
        let network = Box::new(Numbering(Vec::new()));
        let network = Stoppable { network, interrupt: interrupt.clone() };
        let inputs = [Tensor::f32("x", vec![1], vec![1.0])];
        assert!(network.run(&inputs).is_ok());
        interrupt.raise();
        assert!(network.run(&inputs).unwrap_err().to_string().contains("interrupted"));
    }
}
