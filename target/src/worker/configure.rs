//! From a plan to the builder's settings.

use std::ops::ControlFlow;

use nvinfer::{
    Builder, BuilderConfig, BuilderFlag, Error, Network, OptimizationProfile, ProfilingVerbosity,
    ProgressEvent, ShapeRange,
};
use trt_wire::message::Event;
use trt_wire::{BuildPlan, Failure, FailureCode, Precision, QuantMode};

use super::build::build_failed;
use super::{Output, failure};

/// Makes a configuration as the plan says; calibrator, constraints and timing cache come after it.
///
/// Also gives the optimization profile, if the network has dynamic inputs: calibration runs at its shapes.
pub fn run(
    builder: &Builder,
    network: &Network,
    plan: &BuildPlan,
    output: &Output,
) -> Result<(BuilderConfig, Option<OptimizationProfile>), Failure> {
    let mut config = builder.create_config().map_err(build_failed)?;
    for flag in precision_flags(plan) {
        config.set_flag(flag, true).map_err(build_failed)?;
    }
    if let Some(core) = plan.dla {
        // The plan knows the device's cores by its facts; TensorRT has the last word.
        config
            .set_dla(core, true)
            .map_err(|error| failure(FailureCode::Unplannable, &error, error.hint()))?;
    }
    if let Some([major, minor]) = plan.compute_capability {
        config.set_compute_capabilities(&[(major * 10 + minor) as i32]).map_err(build_failed)?;
    }
    if let Some(bytes) = plan.workspace {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        config.set_workspace_limit(bytes).map_err(build_failed)?;
    }
    if let Some(level) = plan.optimization_level {
        config.set_optimization_level(i32::from(level)).map_err(build_failed)?;
    }
    config.set_profiling_verbosity(ProfilingVerbosity::Detailed).map_err(build_failed)?;
    let profile = profile(builder, network, plan)?;
    if let Some(profile) = &profile {
        config.add_profile(profile).map_err(build_failed)?;
    }
    report_progress(&mut config, output)?;
    Ok((config, profile))
}

/// The precisions that a weakly typed network may use; a strongly typed one has its own.
fn precision_flags(plan: &BuildPlan) -> Vec<BuilderFlag> {
    if plan.strongly_typed {
        return Vec::new();
    }
    let is_int8 = matches!(plan.mode, QuantMode::Implicit | QuantMode::ModelQdq);
    let is_fp16 = match plan.precision {
        Precision::Fp32 => false,
        Precision::Fp16 => true,
        Precision::Int8 => plan.other_layers == Precision::Fp16,
    };
    let flags = [(is_int8, BuilderFlag::Int8), (is_fp16, BuilderFlag::Fp16)];
    flags.into_iter().filter_map(|(on, flag)| on.then_some(flag)).collect()
}

fn profile(
    builder: &Builder,
    network: &Network,
    plan: &BuildPlan,
) -> Result<Option<OptimizationProfile>, Failure> {
    let inputs = network.inputs().map_err(build_failed)?;
    if !inputs.iter().any(|input| input.shape.contains(&-1)) {
        return Ok(None);
    }
    let refused = |error: Error| {
        failure(
            FailureCode::BuildFailed,
            &error,
            Some("correct the model's `shapes`: min, opt and max".into()),
        )
    };
    let mut profile = builder.create_profile().map_err(build_failed)?;
    for (name, range) in &plan.shapes {
        let range = ShapeRange { min: range.min.clone(), opt: range.opt.clone(), max: range.max.clone() };
        profile.set(name, &range).map_err(refused)?;
    }
    Ok(Some(profile))
}

/// TensorRT 8 has no progress monitor; its builds show their phase and nothing more.
fn report_progress(config: &mut BuilderConfig, output: &Output) -> Result<(), Failure> {
    let output = output.clone();
    let sink = move |event: ProgressEvent<'_>| {
        if let ProgressEvent::Started { phase, .. } = event {
            output.event(Event::Step { name: phase.to_owned() });
        }
        ControlFlow::Continue(())
    };
    match config.set_progress(sink) {
        Ok(()) | Err(Error::Unsupported(_)) => Ok(()),
        Err(error) => Err(build_failed(error)),
    }
}
