//! INT8 from a calibration table on TensorRT 8 and 10: a calibrator returns the table, and whether it was used is proven.

pub mod coverage;
pub mod proof;
pub mod table;

use nvinfer::{BuilderConfig, BuilderFlag, Calibrator, Network, OptimizationProfile, Version};
use trt_wire::worker::BuildJob;
use trt_wire::{CalibratorClass, Decision, Failure, FailureCode, Retry};

use super::build::build_failed;
use super::{compose, failure, layers};
use coverage::{Coverage, Scale, coverage};
use proof::{Ignored, Proof};

/// A build with a calibrator, from before it to its verdict.
pub struct Implicit {
    coverage: Coverage,
    told: Vec<Decision>,
    /// None if there is nothing to calibrate.
    calibrator: Option<Calibrator>,
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
        let table::Prepared { table, decisions: mut told } =
            table::prepare(&original, class, version.table_version(), &plan.keep)
                .map_err(|error| failure(FailureCode::BadModel, &error, error.hint()))?;
        let outputs = network.outputs().map_err(build_failed)?;
        let outputs = outputs.iter().map(|output| output.name.as_str()).collect();
        let coverage = coverage(&layers::of(network)?, &outputs, |name| Scale::of(name, &table, &plan.keep));
        if let Some(nothing) = coverage.nothing(&original)? {
            // A calibrator without a scale to give would be asked for images.
            config.set_flag(BuilderFlag::Int8, false).map_err(build_failed)?;
            told.push(nothing);
            return Ok(Self { coverage, told, calibrator: None });
        }
        told.extend(coverage.decisions());
        let calibrator = Calibrator::new(of_wire(class), table.write());
        config.set_calibrator(&calibrator).map_err(build_failed)?;
        if calibrates_after_fusion(class) {
            config.set_calibrate_before_fusion().map_err(build_failed)?;
        }
        if let Some(profile) = profile {
            config.set_calibration_profile(profile).map_err(build_failed)?;
        }
        Ok(Self { coverage, told, calibrator: Some(calibrator) })
    }

    /// What the user is told before the build.
    pub fn decisions(&self) -> Vec<Decision> {
        self.told.clone()
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
        let Some(calibrator) = &self.calibrator else { return Ok(Vec::new()) };
        let mut proof = proof.clone();
        proof.see_calibrator(calibrator.was_read(), calibrator.batch_was_asked());
        let ignored = if is_built { proof.used().err() } else { proof.contradicted() };
        match ignored {
            Some(ignored) => Err(ignored),
            None => Ok(self.coverage.surprises(proof.missing())),
        }
    }
}

/// The two old classes look for the tensors of fused layers unless they are told otherwise; the table has the ONNX file's.
fn calibrates_after_fusion(class: CalibratorClass) -> bool {
    matches!(class, CalibratorClass::EntropyCalibration | CalibratorClass::LegacyCalibration)
}

fn of_wire(class: CalibratorClass) -> nvinfer::CalibratorClass {
    match class {
        CalibratorClass::EntropyCalibration2 => nvinfer::CalibratorClass::Entropy2,
        CalibratorClass::MinMaxCalibration => nvinfer::CalibratorClass::MinMax,
        CalibratorClass::EntropyCalibration => nvinfer::CalibratorClass::Entropy,
        CalibratorClass::LegacyCalibration => nvinfer::CalibratorClass::Legacy,
    }
}
