//! `trt-deploy agent install|status|uninstall`: the program on the device.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use serde::Serialize;

use super::targets::Targets;
use super::{Context, Problem, on_each};
use crate::device::{Access, Agent, DeviceError, Way, ask_secret, connect, reach};
use crate::exit::Exit;
use crate::fleet::{Address, Device, Fleet};
use crate::install::{
    self, Binary, Elevation, Found, Hands, Install, InstallError, Mode, Plan, Root, Step, Survey,
};
use crate::ui::Unit;

/// Arguments of `agent`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Install the agent on devices, or upgrade it
    ///
    /// As a service of the system by default: /usr/local/bin/trt-agent, /etc/trt-agent/config.yaml if there is none,
    /// a systemd unit. That needs root: `sudo -n` is used, then `--ask-sudo`.
    ///
    /// The program for the device's processor is looked for in this order: `--binary`; $TRT_AGENT_DIR/trt-agent-ARCH;
    /// trt-agent-ARCH beside trt-deploy; trt-agent beside it if the processors are the same; and, if trt-deploy runs in
    /// a checkout, what `scripts/build-agent` and `cargo build --profile agent` made there. ARCH is what `uname -m` says
    /// on the device. The program must run on the device before it replaces the old one; then the agent starts again.
    Install(InstallArgs),
    /// Show which agents are installed, run and answer, on all devices if none is named; exit code 6 if one does not
    Status(Targets),
    /// Stop and remove the agent; engines stay
    Uninstall(UninstallArgs),
}

#[derive(Debug, clap::Args)]
struct InstallArgs {
    #[command(flatten)]
    targets: Targets,
    /// Install below the user's home folder, as a service of the user: needs no root
    ///
    /// Such a service ends when the user logs out, unless `sudo loginctl enable-linger USER` was run on the device.
    #[arg(long, conflicts_with = "no_service")]
    user: bool,
    /// Install below the user's home folder and start it without a service manager
    ///
    /// The agent outlives the connection, but not a restart of the device.
    #[arg(long)]
    no_service: bool,
    /// Ask for the password of `sudo` on the device
    #[arg(long, conflicts_with_all = ["user", "no_service"])]
    ask_sudo: bool,
    /// The agent's program
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// A configuration for devices that have none
    #[arg(long, value_name = "FILE")]
    device_config: Option<PathBuf>,
    /// Replace the configuration on the device, and keep the old one beside it
    #[arg(long, requires = "device_config")]
    force_config: bool,
    /// Show the steps and do nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, clap::Args)]
struct UninstallArgs {
    #[command(flatten)]
    targets: Targets,
    /// Remove every engine, model and table on the device, and the agent's configuration, too
    #[arg(long)]
    purge: bool,
    /// Ask for the password of `sudo` on the device
    #[arg(long)]
    ask_sudo: bool,
    /// Show the steps and do nothing
    #[arg(long)]
    dry_run: bool,
}

/// What `--json` says about a device whose agent was installed or removed.
#[derive(Debug, Serialize)]
struct Outcome {
    device: String,
    plans: Vec<Plan>,
    /// What the agent says it is, after an install.
    version: Option<String>,
    done: bool,
}

/// What `--json` says about a device's agents.
#[derive(Debug, Serialize)]
struct DeviceAgents {
    device: String,
    agents: Vec<Found>,
    answers: bool,
    error: Option<Problem>,
    #[serde(skip)]
    not_installed: bool,
}

/// Runs the verb.
pub fn run(args: &Args, context: &Context) -> anyhow::Result<ExitCode> {
    match &args.verb {
        Verb::Install(args) => change(&args.targets, args.dry_run, context, |site| site.install(args)),
        Verb::Uninstall(args) => change(&args.targets, args.dry_run, context, |site| site.uninstall(args)),
        Verb::Status(targets) => status(targets, context),
    }
}

/// A device that is being worked on.
struct Site<'a> {
    context: &'a Context,
    device: &'a Device,
    way: Way,
    survey: Survey,
}

fn change(
    targets: &Targets,
    dry_run: bool,
    context: &Context,
    act: impl Fn(&mut Site) -> anyhow::Result<Outcome>,
) -> anyhow::Result<ExitCode> {
    let fleet = Fleet::load(&context.config)?;
    let devices = targets.chosen(&fleet)?;
    let mut outcomes = Vec::new();
    let code = on_each(devices, context, |device| {
        outcomes.push(act(&mut Site::enter(device, targets.access, context)?)?);
        Ok(())
    });
    context.ui.json(&outcomes)?;
    if dry_run && code == ExitCode::SUCCESS {
        context.ui.say("nothing was changed (--dry-run)");
    }
    Ok(code)
}

impl<'a> Site<'a> {
    fn enter(device: &'a Device, access: Access, context: &'a Context) -> anyhow::Result<Self> {
        if matches!(device.address, Address::Local(_)) {
            return Err(InstallError::NotOverSsh { device: device.name.clone() }.into());
        }
        let mut way = reach(device, access, context)?;
        let survey = Survey::take(way.transport.as_mut())?;
        Ok(Self { context, device, way, survey })
    }

    fn install(&mut self, args: &InstallArgs) -> anyhow::Result<Outcome> {
        let wish = Install {
            mode: match (args.user, args.no_service) {
                (true, _) => Mode::User,
                (_, true) => Mode::NoService,
                _ => Mode::System,
            },
            ask_sudo: args.ask_sudo,
            config: args.device_config.clone(),
            force_config: args.force_config,
        };
        let binary = Binary::find(&self.survey.arch, args.binary.as_deref())?;
        let plan = install::install(&self.survey, &wish, &binary)?;
        let name = &self.device.name;
        match &self.survey.found(wish.mode).version {
            Some(version) => self.context.ui.print(format_args!("{name}: upgrade {version}, {}", wish.mode)),
            None => self.context.ui.print(format_args!("{name}: install, {}", wish.mode)),
        }
        let version = self.follow(&plan, args.dry_run, binary.bytes)?;
        if let Some(version) = &version {
            self.context.ui.print(format_args!("{name}: {version} runs, {}", wish.mode));
        }
        Ok(Outcome { device: name.clone(), plans: vec![plan], version, done: !args.dry_run })
    }

    fn uninstall(&mut self, args: &UninstallArgs) -> anyhow::Result<Outcome> {
        let plans = install::uninstall(&self.survey, args.purge, args.ask_sudo)?;
        let name = &self.device.name;
        if plans.is_empty() {
            self.context.ui.print(format_args!("{name}: no agent is installed"));
        }
        for plan in &plans {
            self.context.ui.print(format_args!("{name}: uninstall, {}", plan.mode));
            self.follow(plan, args.dry_run, 0)?;
        }
        let done = !args.dry_run && !plans.is_empty();
        Ok(Outcome { device: name.clone(), plans, version: None, done })
    }

    /// Shows the plan, then carries out exactly that; returns the version of the program that was put in place.
    fn follow(&mut self, plan: &Plan, dry_run: bool, bytes: u64) -> anyhow::Result<Option<String>> {
        let ui = &self.context.ui;
        plan.steps.iter().for_each(|step| ui.print(format_args!("  {step}")));
        plan.notes.iter().for_each(|note| ui.say(format_args!("note: {note}")));
        if dry_run {
            return Ok(None);
        }
        let elevation = if plan.root { self.elevation()? } else { Elevation::None };
        let layout = self.survey.layout(plan.mode);
        let mut hands = Hands::new(self.way.transport.as_mut(), elevation, &self.context.interrupt);
        if plan.root {
            hands.check_elevation(&self.survey.user)?;
        }
        let mut version = None;
        for step in &plan.steps {
            if let Step::PlaceBinary { .. } = step {
                let bar = ui.bar(&format!("{}: upload", self.device.name), bytes, Unit::Bytes);
                version = Some(hands.carry_out(step, &layout, &mut |sent| bar.set(sent))?);
            } else {
                hands.carry_out(step, &layout, &mut |_| {})?;
            }
            ui.detail(format_args!("{}: done: {step}", self.device.name));
        }
        Ok(version)
    }

    fn elevation(&self) -> Result<Elevation, InstallError> {
        match self.survey.root {
            Root::Is => Ok(Elevation::None),
            Root::Sudo => Ok(Elevation::Sudo),
            Root::No => Err(InstallError::NoRoot { user: self.survey.user.clone(), has_sudo: false }),
            Root::Password if !std::io::stdin().is_terminal() => Err(InstallError::NobodyToAsk),
            Root::Password => {
                let question = format!("Password of {} on {} for sudo: ", self.survey.user, self.device.name);
                let password = ask_secret(&question, &self.context.interrupt)?;
                password.map(Elevation::Password).ok_or(InstallError::NobodyToAsk)
            }
        }
    }
}

fn status(targets: &Targets, context: &Context) -> anyhow::Result<ExitCode> {
    let fleet = Fleet::load(&context.config)?;
    let devices = targets.chosen_or_all(&fleet)?;
    let mut all = Vec::new();
    let code = on_each(devices, context, |device| {
        let agents = agents_of(device, targets.access, context)?;
        show(&agents, context);
        all.push(agents);
        Ok(())
    });
    context.ui.json(&all)?;
    let silent = all.iter().any(|device| !device.answers);
    Ok(if code == ExitCode::SUCCESS && silent { Exit::Findings.into() } else { code })
}

fn agents_of(device: &Device, access: Access, context: &Context) -> anyhow::Result<DeviceAgents> {
    let (agents, answer) = match device.address {
        // Behind a socket there is one agent, and only itself can say whether it runs.
        Address::Local(_) => (Vec::new(), connect(device, access, context)),
        Address::Ssh(_) => {
            let site = Site::enter(device, access, context)?;
            (site.survey.installed().cloned().collect(), Agent::greet(site.way, &context.interrupt))
        }
    };
    // Without an answer because of Ctrl-C nothing is known.
    context.interrupt.check()?;
    let is_local = matches!(device.address, Address::Local(_));
    let no_agent = matches!(answer, Err(DeviceError::NoAgent { .. }));
    Ok(DeviceAgents {
        device: device.name.clone(),
        not_installed: no_agent && agents.is_empty() && !is_local,
        agents,
        answers: answer.is_ok(),
        error: answer.err().map(|error| Problem::of(&error.into())),
    })
}

fn show(status: &DeviceAgents, context: &Context) {
    let ui = &context.ui;
    let name = &status.device;
    for Found { mode, version, running, .. } in &status.agents {
        let version = version.as_deref().unwrap_or("unknown version");
        ui.print(format_args!(
            "{name}: {version}, {mode}, {}",
            if *running { "running" } else { "not running" }
        ));
    }
    match &status.error {
        None => ui.print(format_args!("{name}: answers")),
        Some(_) if status.not_installed => {
            ui.print(format_args!("{name}: no agent; `trt-deploy agent install {name}` installs one"));
        }
        Some(Problem { message, hint, .. }) => {
            ui.print(format_args!("{name}: does not answer: {message}"));
            hint.iter().for_each(|hint| ui.print(format_args!("  hint: {hint}")));
        }
    }
}
