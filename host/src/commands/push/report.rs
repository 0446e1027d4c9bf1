//! What a push says of itself, for people and as JSON.

use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use trt_wire::message::{Action, Deployed, Phase, Planned, VerifyOutcome};
use trt_wire::{Decision, ModelName, QuantMode};

use crate::commands::Problem;
use crate::device::{Proposal, Traffic};
use crate::ui::{Ui, bytes, duration};

/// Decisions that name many nodes are shortened without `-v` if they have more characters than this.
const LONGEST_DECISION: usize = 160;

/// One device of a push.
#[derive(Debug, Serialize)]
pub struct DeviceReport {
    /// The device's name in the fleet file.
    pub device: String,
    /// Its models that had their turn, in order.
    pub models: Vec<ModelReport>,
    /// Those that had none, since the connection failed or Ctrl-C ended it all.
    pub not_tried: Vec<ModelName>,
    /// What went over the wire.
    pub traffic: Traffic,
    /// What went wrong first, if anything did: the connection, or a model, which has it too.
    pub error: Option<Problem>,
}

impl DeviceReport {
    pub fn new(device: &str) -> Self {
        Self {
            device: device.to_owned(),
            models: Vec::new(),
            not_tried: Vec::new(),
            traffic: Traffic::default(),
            error: None,
        }
    }

    /// A connection has ended.
    pub fn add(&mut self, traffic: Traffic) {
        self.traffic.sent += traffic.sent;
        self.traffic.received += traffic.received;
        self.traffic.round_trips += traffic.round_trips;
    }
}

/// One model of a device.
#[derive(Debug, Serialize)]
pub struct ModelReport {
    /// The model.
    pub model: ModelName,
    /// In a dry run: the calibration table would be made first. It is not among the files to upload, and the engine and
    /// the release will be others than those of the plan.
    pub table_promised: bool,
    /// Bytes that had to be sent.
    pub upload_bytes: u64,
    /// Wall time of the upload in milliseconds, the device's fsync included.
    pub upload_ms: Option<u64>,
    /// The agent's plan, if it made one.
    pub planned: Option<Planned>,
    /// What became of it; absent in a dry run and if there was nothing to do.
    pub deployed: Option<Deployed>,
    /// What went wrong, if anything did.
    pub error: Option<Problem>,
}

impl ModelReport {
    pub fn new(model: &ModelName, table_promised: bool) -> Self {
        Self {
            model: model.clone(),
            table_promised,
            upload_bytes: 0,
            upload_ms: None,
            planned: None,
            deployed: None,
            error: None,
        }
    }

    pub fn plan(&mut self, proposal: &Proposal<'_>) {
        self.upload_bytes = proposal.upload_bytes();
        self.planned = Some(proposal.planned.clone());
    }

    /// Whether files are being sent: a failure meanwhile leaves half a file behind it on the connection.
    pub fn is_uploading(&self) -> bool {
        self.planned.is_some() && self.upload_ms.is_none()
    }

    /// What Ctrl-C has left of it on the device; `has_cancelled` if the device says that it gave up.
    pub fn interrupted(&self, has_cancelled: bool) -> &'static str {
        match (&self.planned, self.upload_ms) {
            (None, _) => "nothing was done",
            (Some(_), None) => "nothing was activated; what the device has got is kept, push again to go on",
            (Some(_), Some(_)) if has_cancelled => {
                "cancelled: the device does not go on building, and nothing was activated; push again to build it"
            }
            (Some(_), Some(_)) => {
                "the device was told to cancel and has not said yet that it did; `trt-deploy status` shows what is active"
            }
        }
    }
}

/// The plan, as the agent made it. Before there is a table, nobody knows the engine's key.
pub fn show_plan(ui: &Ui, device: &str, model: &ModelName, proposal: &Proposal<'_>, table_promised: bool) {
    let Planned { action, plan, release, missing, facts, last_build_ms, .. } = &proposal.planned;
    if *action == Action::Nothing {
        return ui.print(format_args!("{device} {model}: up to date, release {release} is active"));
    }
    let mode = match plan.mode {
        QuantMode::None => "",
        QuantMode::Implicit => ", implicit",
        QuantMode::Explicit => ", explicit Q/DQ",
        QuantMode::ModelQdq => ", the model's own Q/DQ",
    };
    let tensorrt = facts.tensorrt.as_ref().map_or_else(Clone::clone, ToString::to_string);
    ui.print(format_args!("{device} {model}: {}{mode}, {tensorrt}", plan.precision));
    let (size, table) = (bytes(proposal.upload_bytes()), "the calibration table");
    match (missing.len(), table_promised) {
        (0, false) => {}
        (0, true) => ui.print(format_args!("  upload {table}")),
        (files, false) => ui.print(format_args!("  upload {size} in {}", count(files, "file"))),
        (files, true) => ui.print(format_args!("  upload {size} in {}, and {table}", count(files, "file"))),
    }
    let last = last_build_ms.map_or_else(
        || "no earlier build to compare with".to_owned(),
        |last| format!("the last one took {}", duration(Duration::from_millis(last))),
    );
    match action {
        Action::Build if table_promised => ui.print(format_args!("  build an engine, {last}")),
        Action::Build => ui.print(format_args!("  build engine {}, {last}", proposal.planned.engine)),
        _ => ui.print(format_args!("  engine {} is on the device, activate it", proposal.planned.engine)),
    }
    for decision in &plan.decisions {
        ui.print(format_args!("  - {decision}"));
    }
}

/// The decisions that the user has seen, each of which is shown once: as soon as it is known.
pub struct Told<'a> {
    ui: &'a Ui,
    decisions: Vec<Decision>,
    is_shortened: bool,
}

impl<'a> Told<'a> {
    /// Those of the plan were shown with it.
    pub fn planned(ui: &'a Ui, decisions: &[Decision]) -> Self {
        Self { ui, decisions: decisions.to_vec(), is_shortened: false }
    }

    /// Shows a decision after `prefix`, unless it was shown before.
    pub fn tell(&mut self, prefix: &str, decision: &Decision) {
        if self.decisions.contains(decision) {
            return;
        }
        self.decisions.push(decision.clone());
        match shorten(decision).filter(|_| !self.ui.is_verbose()) {
            None => self.ui.print(format_args!("{prefix}{decision}")),
            Some(short) => {
                self.is_shortened = true;
                self.ui.print(format_args!("{prefix}{short}"));
            }
        }
    }
}

/// The result, with what the build decided beyond what was told.
pub fn show_deployed(ui: &Ui, device: &str, model: &ModelName, mut told: Told<'_>, deployed: &Deployed) {
    let built = deployed.build_ms.map_or_else(
        || "engine reused".to_owned(),
        |millis| format!("built in {}", duration(Duration::from_millis(millis))),
    );
    ui.print(format_args!(
        "{device} {model}: active, release {}, engine {}, {built}, {}",
        deployed.release,
        bytes(deployed.engine_bytes),
        verified(&deployed.verify)
    ));
    ui.print(format_args!("  {}", Path::new(&deployed.path).display()));
    deployed.decisions.iter().for_each(|decision| told.tell("  - ", decision));
    if told.is_shortened {
        let log = Path::new(&deployed.path).with_file_name("log");
        ui.print(format_args!("  `-v` names more of them, {} on the device names all", log.display()));
    }
}

/// The same with fewer names, if it is long.
fn shorten(decision: &Decision) -> Option<Decision> {
    if decision.to_string().chars().count() <= LONGEST_DECISION {
        return None;
    }
    let cut: String = decision.what.chars().take(LONGEST_DECISION / 2).collect();
    let whole = cut.rsplit_once(", ").map_or(cut.as_str(), |(whole, _)| whole);
    let close = if whole.contains('(') && !whole.contains(')') { ")" } else { "" };
    Some(Decision { what: format!("{whole}, …{close}"), because: decision.because.clone() })
}

fn count(number: usize, what: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{number} {what}{ending}")
}

/// Whether the engine was proven, in a few words.
pub fn verified(outcome: &VerifyOutcome) -> String {
    match outcome {
        VerifyOutcome::NotVerified { because } => format!("NOT VERIFIED ({because})"),
    }
}

/// A phase, as the user sees it.
pub fn phase_word(phase: Phase) -> &'static str {
    match phase {
        Phase::Compose => "composes the graph",
        Phase::Parse => "parses",
        Phase::Build => "builds",
        Phase::Verify => "verifies",
        Phase::Activate => "activates",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_decision_keeps_whole_names_and_its_reason() {
        let names: Vec<String> = (0..30).map(|number| format!("`/features/{number}/conv`")).collect();
        let because = "its weight is small".to_owned();
        let what = format!("30 Conv nodes stay in FP32 ({})", names.join(", "));
        let short = shorten(&Decision { what, because: because.clone() }).unwrap().to_string();
        assert_eq!(
            short,
            "30 Conv nodes stay in FP32 (`/features/0/conv`, `/features/1/conv`, …), because its weight is small"
        );
        assert_eq!(shorten(&Decision { what: "the graph is converted".into(), because }), None);
    }
}
