//! `trt-deploy`: calibrate ONNX models on this machine and deploy INT8 TensorRT engines to Jetson fleets.
//!
//! A verb lives in `commands/<verb>.rs` together with its arguments. What a verb needs from a device goes through
//! [`device`], which speaks the protocol of `trt-wire` over a [`transport`].

mod bundle;
mod calibrate;
mod cli;
mod commands;
mod device;
mod evaluate;
mod exit;
mod fleet;
mod install;
mod interrupt;
mod transport;
mod ui;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    let context = match commands::Context::new(&cli.global) {
        Ok(context) => context,
        Err(error) => return exit::report(&error),
    };
    match commands::run(cli.command, &context) {
        Ok(code) => code,
        Err(error) => exit::report(&error),
    }
}
