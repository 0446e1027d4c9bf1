//! Whether a table made elsewhere belongs to a model.

use trt_calib::CalibrationTable;
use trt_calib::table::{Coverage, coverage_with_initializers};
use trt_onnx::Activation;

/// How a table fits a model, and whether it can be the model's at all.
#[derive(Debug)]
pub struct Fit {
    /// Name by name.
    pub coverage: Coverage,
    /// The model's activations that are neither its inputs nor its outputs. Only these tell models apart: every second
    /// one has an input `images` and an output `output0`.
    pub inner: usize,
    /// How many of these have a scale.
    pub inner_covered: usize,
}

impl Fit {
    /// Compares the names in a table with those in a model. TensorRT 10 writes names made from `initializers`, too.
    pub fn of<'a>(
        table: &CalibrationTable,
        activations: &'a [Activation],
        initializers: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let names = activations.iter().map(|activation| activation.name.as_str());
        let coverage = coverage_with_initializers(table, names, initializers);
        // A model of a single node has no other names.
        let all_are_ends = activations.iter().all(|activation| activation.is_input || activation.is_output);
        let inner = activations.iter().filter(|a| all_are_ends || !(a.is_input || a.is_output));
        let (mut count, mut inner_covered) = (0, 0);
        for activation in inner {
            count += 1;
            inner_covered += usize::from(table.get(activation.name.as_bytes()).is_some());
        }
        Self { coverage, inner: count, inner_covered }
    }

    /// Whether the table is another model's: it names none of the model's own activations, or less than half of them
    /// and more that the model does not have.
    ///
    /// A table with few names, all of them the model's, is one that somebody has cut down on purpose. One that
    /// names nearly everything and more beside is of a model that was cut down itself.
    pub fn is_other_model(&self) -> bool {
        self.inner_covered == 0
            || 2 * self.inner_covered < self.inner && self.coverage.stale.len() > self.inner_covered
    }

    /// The figures in words, for messages.
    pub fn figures(&self) -> String {
        format!(
            "it names {} of the model's {} inner activations, and {} that the model does not have",
            self.inner_covered,
            self.inner,
            self.coverage.stale.len()
        )
    }
}
