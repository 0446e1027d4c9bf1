//! What is good and bad about this device, each with what to do about it.
//!
//! Nothing is changed and nothing is built. Files are read below the facts root, as facts are; what the agent itself must
//! be able to do (write its store, start its programs) is tried as the user that the agent runs as.

mod access;
mod board;
mod libraries;
mod programs;
mod tensorrt;

use trt_wire::{DeviceFacts, Failure, Finding, Health};

use crate::config::Config;
use crate::facts::Gatherer;

/// Examines the device and every place to build in. The facts are those of the default place; asking every worker of the
/// configuration takes as long as they take to start.
pub fn examine(config: &Config, gatherer: &Gatherer) -> Result<(Vec<Finding>, DeviceFacts), Failure> {
    let facts = gatherer.gather(None)?;
    let named = config.runtimes.keys().map(|name| gatherer.gather(Some(name)));
    let named = named.collect::<Result<Vec<_>, _>>()?;
    Ok((findings(config, &facts, &named), facts))
}

/// Every check, in the order in which a reader wants to know.
fn findings(config: &Config, facts: &DeviceFacts, runtimes: &[DeviceFacts]) -> Vec<Finding> {
    let mut findings = tensorrt::check(config, facts, runtimes);
    findings.extend(libraries::check(config, facts));
    findings.extend(board::check(config, facts));
    findings.extend(access::check(config, facts));
    findings.extend(programs::check(config));
    findings
}

fn good(check: &str, message: impl Into<String>) -> Finding {
    Finding { check: check.into(), health: Health::Good, message: message.into(), hint: None }
}

fn advice(check: &str, message: impl Into<String>, hint: impl Into<String>) -> Finding {
    Finding { check: check.into(), health: Health::Advice, message: message.into(), hint: Some(hint.into()) }
}

fn problem(check: &str, message: impl Into<String>, hint: impl Into<String>) -> Finding {
    Finding { health: Health::Problem, ..advice(check, message, hint) }
}

/// A size in the unit that suits it.
fn size(bytes: u64) -> String {
    let mib = bytes as f64 / f64::from(1 << 20);
    if mib < 1024.0 { format!("{mib:.0} MiB") } else { format!("{:.1} GiB", mib / 1024.0) }
}

#[cfg(test)]
mod tests;
