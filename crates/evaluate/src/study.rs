//! A model, its scales, and how simulated networks of it are opened.

use std::collections::BTreeMap;

use trt_inference::{Network, SourceError};
use trt_onnx::{Model, Only, OnnxError, SimulateOptions, SimulateReport, simulate};

use crate::EvaluateError;

/// Opens a network that runs a model.
pub type Open<'a> = dyn Fn(&Model) -> Result<Box<dyn Network>, SourceError> + 'a;

/// A model whose quantization is looked into.
pub struct Study<'a> {
    /// The FP32 model.
    pub model: &'a Model,
    /// What is simulated. What it keeps in higher precision is kept in every simulation.
    pub options: SimulateOptions,
    /// How models are run.
    pub open: &'a Open<'a>,
}

impl Study<'_> {
    /// A network with these scales, and what was simulated.
    ///
    /// # Errors
    /// [`EvaluateError::Simulate`] and [`EvaluateError::Open`].
    pub fn int8(
        &self,
        scales: &BTreeMap<String, f32>,
    ) -> Result<(Box<dyn Network>, SimulateReport), EvaluateError> {
        self.with(scales, &[], Only::Everything)
    }

    /// The same with more values kept in higher precision, or with some layers only.
    pub(crate) fn with(
        &self,
        scales: &BTreeMap<String, f32>,
        keep: &[String],
        only: Only,
    ) -> Result<(Box<dyn Network>, SimulateReport), EvaluateError> {
        let (model, report) = self.model(scales, keep, only)?;
        let opened = (self.open)(&model);
        Ok((opened.map_err(|source| EvaluateError::Open { which: "INT8", source })?, report))
    }

    /// A network with these scales and more values kept, and how many layers compute in INT8; the FP32 model itself if
    /// nothing is left to round.
    pub(crate) fn or_fp32(
        &self,
        scales: &BTreeMap<String, f32>,
        keep: &[String],
    ) -> Result<(Box<dyn Network>, usize), EvaluateError> {
        match self.with(scales, keep, Only::Everything) {
            Ok((network, report)) => Ok((network, report.quantized.len())),
            Err(EvaluateError::Simulate { source: OnnxError::NothingQuantized { .. } }) => {
                let opened = (self.open)(self.model);
                Ok((opened.map_err(|source| EvaluateError::Open { which: "FP32", source })?, 0))
            }
            Err(error) => Err(error),
        }
    }

    /// The simulated model of [`Study::int8`].
    pub(crate) fn with_model(
        &self,
        scales: &BTreeMap<String, f32>,
    ) -> Result<(Model, SimulateReport), EvaluateError> {
        self.model(scales, &[], Only::Everything)
    }

    fn model(
        &self,
        scales: &BTreeMap<String, f32>,
        keep: &[String],
        only: Only,
    ) -> Result<(Model, SimulateReport), EvaluateError> {
        let mut model = self.model.clone();
        let mut options = SimulateOptions { only, ..self.options.clone() };
        options.keep.extend_from_slice(keep);
        let report = simulate(&mut model, &|name| scales.get(name).copied(), &options)?;
        Ok((model, report))
    }
}
