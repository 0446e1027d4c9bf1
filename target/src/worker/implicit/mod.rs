//! INT8 from a calibration table on TensorRT 8 and 10: a calibrator returns the table, and whether it was used is proven.

pub mod coverage;
pub mod proof;
pub mod table;

use std::collections::HashSet;

use nvinfer::{BuilderConfig, Calibrator, Network, OptimizationProfile, Version};
use trt_wire::worker::BuildJob;
use trt_wire::{CalibratorClass, Decision, Failure, FailureCode, Retry};

use super::build::build_failed;
use super::{compose, failure, layers};
use coverage::{Coverage, coverage};
use proof::{Ignored, Proof};

/// A build with a calibrator, from before it to its verdict.
pub struct Implicit {
    coverage: Coverage,
    absurd: Vec<Decision>,
    keep: Vec<String>,
    calibrator: Calibrator,
}

impl Implicit {
    /// Gives the table to the builder, and looks up what it says about the parsed network.
    ///
    /// `profile` is that of a network with dynamic inputs; TensorRT has no shapes to calibrate at without one.
    ///
    /// # Errors
    /// [`FailureCode::BadModel`] for a table that cannot be read, or is of another model.
    pub fn prepare(
        job: &BuildJob,
        network: &Network,
        config: &mut BuilderConfig,
        profile: Option<&OptimizationProfile>,
        version: Version,
    ) -> Result<Self, Failure> {
        let plan = &job.plan;
        let Some(class) = plan.calibrator else {
            let message = "a plan for a calibrator does not name its class";
            return Err(Failure::new(FailureCode::BadRequest, Retry::Never, message));
        };
        let original = compose::table(job)?;
        let table::Prepared { table, decisions } =
            table::prepare(&original, class, version.table_version(), &plan.keep)
                .map_err(|error| failure(FailureCode::BadModel, &error, error.hint()))?;
        let kept: HashSet<&str> = plan.keep.iter().map(String::as_str).collect();
        let has_scale = |name: &str| table.get(name.as_bytes()).is_some() || kept.contains(name);
        let outputs = network.outputs().map_err(build_failed)?;
        let outputs = outputs.iter().map(|output| output.name.as_str()).collect();
        let coverage = coverage(&layers::of(network)?, &outputs, has_scale);
        if coverage.is_empty() {
            let message = format!(
                "the calibration table has a scale for none of the model's {} activations",
                coverage.missing.len()
            );
            return Err(Failure::new(FailureCode::BadModel, Retry::AfterFix, message).with_hint(
                "calibrate this model: the table is of another one, or of one with other tensor names",
            ));
        }
        let calibrator = Calibrator::new(of_wire(class), table.write());
        config.set_calibrator(&calibrator).map_err(build_failed)?;
        if let Some(profile) = profile {
            config.set_calibration_profile(profile).map_err(build_failed)?;
        }
        Ok(Self { coverage, absurd: decisions, keep: plan.keep.clone(), calibrator })
    }

    /// What the user is told before the build.
    pub fn decisions(&self) -> Vec<Decision> {
        self.absurd.iter().cloned().chain(self.coverage.decisions()).collect()
    }

    /// The same with every name, for the log.
    pub fn notes(&self) -> Vec<String> {
        self.coverage.notes()
    }

    /// Whether the build used the table, and what it found missing that was not foreseen.
    ///
    /// A build that made no engine is judged only if the log blames the table; otherwise its own error tells more.
    ///
    /// # Errors
    /// How the table was ignored, even if TensorRT returned an engine.
    pub fn judge(&self, is_built: bool, proof: &Proof) -> Result<Vec<Decision>, Ignored> {
        let mut proof = proof.clone();
        proof.see_calibrator(self.calibrator.was_read(), self.calibrator.batch_was_asked());
        let ignored = if is_built { proof.used().err() } else { proof.contradicted() };
        match ignored {
            Some(ignored) => Err(ignored),
            None => Ok(self.coverage.surprises(proof.missing(), &self.keep)),
        }
    }
}

fn of_wire(class: CalibratorClass) -> nvinfer::CalibratorClass {
    match class {
        CalibratorClass::EntropyCalibration2 => nvinfer::CalibratorClass::Entropy2,
        CalibratorClass::MinMaxCalibration => nvinfer::CalibratorClass::MinMax,
        CalibratorClass::EntropyCalibration => nvinfer::CalibratorClass::Entropy,
        CalibratorClass::LegacyCalibration => nvinfer::CalibratorClass::Legacy,
    }
}
