//! `trt-deploy doctor TARGET…`: what is good and bad about devices, and what to do about it.

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use trt_wire::{DeviceFacts, Finding, Health};

use super::targets::Targets;
use super::{Context, Problem, on_each};
use crate::device::connect;
use crate::exit::Exit;
use crate::fleet::Fleet;
use crate::ui::Ui;

/// A clock may differ from this machine's by so many seconds.
const SKEW: u64 = 30;

/// Arguments of `doctor`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    targets: Targets,
}

/// One device, as `--json` has it.
#[derive(Debug, Serialize)]
struct Examined<'a> {
    device: &'a str,
    findings: Vec<Finding>,
    facts: Option<DeviceFacts>,
    error: Option<Problem>,
}

/// Asks each device to examine itself, and adds what only the host can see.
pub fn run(args: &Args, context: &Context) -> anyhow::Result<ExitCode> {
    let fleet = Fleet::load(&context.config)?;
    let devices = args.targets.chosen_or_all(&fleet)?;
    let mut all = Vec::new();
    let code = on_each(devices, context, |device| {
        let answer = connect(device, args.targets.access, context).and_then(|mut agent| {
            let asked = now();
            let (findings, facts) = agent.doctor()?;
            Ok((findings, facts, [asked, now()]))
        });
        match answer.map_err(anyhow::Error::from) {
            Ok((mut findings, facts, times)) => {
                findings.push(agent_version(&device.name, &facts.agent_version));
                findings.push(clock_skew(facts.time, times));
                show(&context.ui, &device.name, &facts, &findings);
                all.push(Examined { device: &device.name, findings, facts: Some(facts), error: None });
                Ok(())
            }
            Err(error) => {
                let problem = Some(Problem::of(&error));
                all.push(Examined { device: &device.name, findings: vec![], facts: None, error: problem });
                Err(error)
            }
        }
    });
    context.ui.json(&all)?;
    let sound =
        all.iter().flat_map(|device| &device.findings).all(|finding| finding.health < Health::Problem);
    Ok(if code == ExitCode::SUCCESS && !sound { Exit::Findings.into() } else { code })
}

/// Seconds since 1970 by this machine's clock.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

/// Agents of another version work as long as they speak the same protocol.
fn agent_version(device: &str, version: &str) -> Finding {
    let mine = env!("CARGO_PKG_VERSION");
    if version == mine {
        return finding("agent", Health::Good, format!("{version}, as this trt-deploy"), None);
    }
    let message = format!("{version}; this trt-deploy is {mine}");
    let hint = format!("`trt-deploy agent install {device}` brings this version");
    finding("agent", Health::Advice, message, Some(hint))
}

/// The device's clock against this machine's, which was the first of `times` before it was asked and the second after.
fn clock_skew(device: u64, [before, after]: [u64; 2]) -> Finding {
    const CHECK: &str = "clock skew";
    let (behind, ahead) = (before.saturating_sub(device), device.saturating_sub(after));
    let (by, word) = if behind > 0 { (behind, "behind") } else { (ahead, "ahead of") };
    if by <= SKEW {
        return finding(CHECK, Health::Good, "the same time as here".into(), None);
    }
    let by = match by {
        0..120 => format!("{by} s"),
        120..7_200 => format!("{} min", by / 60),
        7_200..172_800 => format!("{} h", by / 3_600),
        _ => format!("{} days", by / 86_400),
    };
    let hint = "`sudo timedatectl set-ntp true` on the device; or this machine's clock is the wrong one";
    finding(CHECK, Health::Advice, format!("{by} {word} this machine"), Some(hint.into()))
}

fn finding(check: &str, health: Health, message: String, hint: Option<String>) -> Finding {
    Finding { check: check.into(), health, message, hint }
}

fn show(ui: &Ui, name: &str, facts: &DeviceFacts, findings: &[Finding]) {
    let module = facts.module.as_ref().or(facts.board.as_ref());
    let module = module.cloned().unwrap_or_else(|| format!("{} ({})", facts.hostname, facts.arch));
    ui.print(format_args!("{name}: {module}"));
    let width = findings.iter().map(|finding| finding.check.chars().count()).max().unwrap_or(0);
    for Finding { check, health, message, hint } in findings {
        ui.print(format_args!("  {:8} {check:width$}  {message}", word(*health)));
        if let Some(hint) = hint {
            ui.print(format_args!("  {:8} {:width$}  hint: {hint}", "", ""));
        }
    }
    ui.print(format_args!("  {}", summary(findings)));
}

fn word(health: Health) -> &'static str {
    match health {
        Health::Good => "good",
        Health::Advice => "advice",
        Health::Problem => "PROBLEM",
    }
}

fn summary(findings: &[Finding]) -> String {
    let count = |health| findings.iter().filter(|finding| finding.health == health).count();
    let [problems, advice, good] = [Health::Problem, Health::Advice, Health::Good].map(count);
    format!("problems: {problems}, advice: {advice}, good: {good}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_compared_with_the_time_between_question_and_answer() {
        for (device, health, words) in [
            (1_000, Health::Good, "same"),
            (1_009, Health::Good, "same"),
            (970, Health::Good, "same"),
            (1_040, Health::Good, "same"),
            (940, Health::Advice, "60 s behind"),
            (1_010 + 600, Health::Advice, "10 min ahead of"),
            (1_010 + 3 * 3_600, Health::Advice, "3 h ahead of"),
            (1_010 + 9 * 86_400, Health::Advice, "9 days ahead of"),
        ] {
            let finding = clock_skew(device, [1_000, 1_010]);
            assert_eq!(finding.health, health, "{device}");
            assert!(finding.message.contains(words), "{device}: {}", finding.message);
            assert_eq!(finding.hint.is_some(), health != Health::Good);
        }
    }

    #[test]
    fn an_agent_of_another_version_is_advice_that_names_the_device() {
        assert_eq!(agent_version("nano", env!("CARGO_PKG_VERSION")).health, Health::Good);
        let other = agent_version("nano", "0.0.1");
        assert_eq!(other.health, Health::Advice);
        assert!(other.hint.unwrap().contains("agent install nano"));
    }
}
