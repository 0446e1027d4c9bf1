//! A worker that is SIMULATED: it speaks the contract of `trt-agent worker` and has no TensorRT.
//!
//! It acts as a TensorRT 8.x, 10.x or 11.x on a Jetson module: it probes, builds and runs. What it builds is the model
//! itself behind a header that binds it to version and GPU; what it runs is that model on this machine's processor,
//! INT8 through Q/DQ nodes with the table's scales and everything else in FP32, FP16 included. It can misbehave in
//! every way in which a worker can. For tests only, and whoever meets it is told that it is SIMULATED: in the GPU's
//! name, the library's path, a decision of every build, and the log.
//!
//! A device's configuration names it with its arguments, which stand for the device:
//!
//! ```text
//! worker: [simulated-worker, --tensorrt, 8.2.1, --module, nano]
//! ```

mod build;
mod calibrator;
mod device;
mod engine;
mod misbehave;
mod run;
mod say;
mod selfcontained;

use std::io::{self, BufRead, Read};
use std::process::ExitCode;

use clap::Parser;
use trt_wire::worker::{CONTRACT, Job, WorkerEvent};

use device::Device;
use misbehave::{Misbehaviour, Stage};

/// SIMULATED: speaks as `trt-agent worker` does, with no TensorRT behind it
#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    device: Device,
    #[command(flatten)]
    misbehaviour: Misbehaviour,
}

/// Reads the job, does it, says the result.
fn main() -> ExitCode {
    let Arguments { device, misbehaviour } = Arguments::parse();
    let agent_version = env!("CARGO_PKG_VERSION").into();
    say::line(&WorkerEvent::Hello { contract: CONTRACT, agent_version });
    let mut line = String::new();
    let job = match io::stdin().lock().read_line(&mut line).map(|_| serde_json::from_str::<Job>(&line)) {
        Ok(Ok(job)) => job,
        Ok(Err(error)) => return refuse(&format!("the job does not parse: {error}")),
        Err(error) => return refuse(&format!("no job came: {error}")),
    };
    std::thread::spawn(end_with_the_agent);
    let result = match job {
        Job::Probe { .. } => {
            misbehaviour.act(Stage::Probe);
            WorkerEvent::Probed(device.probe())
        }
        Job::Build(job) => {
            build::run(&job, &device, &misbehaviour).map_or_else(WorkerEvent::Failed, WorkerEvent::Done)
        }
        Job::Run(job) => {
            run::run(&job, &device, &misbehaviour).map_or_else(WorkerEvent::Failed, WorkerEvent::Ran)
        }
    };
    say::line(&result);
    ExitCode::SUCCESS
}

fn refuse(problem: &str) -> ExitCode {
    eprintln!("SIMULATED: {problem}");
    ExitCode::FAILURE
}

/// The agent keeps our stdin open for as long as it lives; a job that nobody waits for does not go on.
fn end_with_the_agent() {
    let mut rest = [0; 64];
    while let Ok(1..) = io::stdin().lock().read(&mut rest) {}
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
}
