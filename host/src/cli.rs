//! The command line: global options here, each verb's arguments beside the verb.

use std::path::PathBuf;

use clap::{Args, Parser};

use crate::commands::Command;

const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    failed for another reason than those below
  2    the command line or the fleet file is wrong
  3    a model, a calibration table or the images cannot be used
  4    a device could not be reached or refused the connection
  5    a device could not build or activate the engine
  6    the command worked and found problems (`doctor`, `table check`, `fleet validate`, `agent status`)
  130  interrupted";

/// Calibrate ONNX models here, build INT8 TensorRT engines on Jetsons.
#[derive(Debug, Parser)]
#[command(name = "trt-deploy", version, after_help = EXIT_CODES, propagate_version = true)]
pub struct Cli {
    /// Options that every verb takes.
    #[command(flatten)]
    pub global: Global,
    /// The verb.
    #[command(subcommand)]
    pub command: Command,
}

/// Options that every verb takes.
#[derive(Debug, Args)]
pub struct Global {
    /// The fleet file
    #[arg(
        long,
        short,
        global = true,
        value_name = "FILE",
        env = "TRT_DEPLOY_CONFIG",
        default_value = "trt-deploy.yaml"
    )]
    pub config: PathBuf,
    /// Print the result as one JSON document on stdout
    #[arg(long, global = true)]
    pub json: bool,
    /// Say more
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Show no progress: neither bars nor percentages
    #[arg(long, global = true)]
    pub no_progress: bool,
}
