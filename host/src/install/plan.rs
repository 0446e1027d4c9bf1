//! What will be done on a device, decided before anything is.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use super::{Binary, InstallError, Layout, Mode, Root, Survey};

/// What the user wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Install {
    /// Who shall start the agent.
    pub mode: Mode,
    /// Whether the user is ready to type a password for `sudo`.
    pub ask_sudo: bool,
    /// A configuration for the device.
    pub config: Option<PathBuf>,
    /// Whether it replaces one that is there.
    pub force_config: bool,
}

/// One thing to do on the device. Carried out in order; the first failure ends the plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "step", rename_all = "kebab-case")]
pub enum Step {
    /// Make the agent's own user and group, and let the user who pushes use its socket.
    Admit {
        /// The user who pushes.
        user: String,
    },
    /// Put the program in place, after it has shown that it runs there.
    PlaceBinary {
        /// The file on this machine.
        from: PathBuf,
        /// Its place.
        to: String,
    },
    /// Write the configuration.
    WriteConfig {
        /// The file on this machine; the reference with everything commented out if absent.
        from: Option<PathBuf>,
        /// Its place.
        to: String,
        /// Whether a file there is kept under another name.
        backup: bool,
    },
    /// Write the service manager's unit.
    WriteUnit {
        /// Its place.
        to: String,
    },
    /// Start the agent, or start it again, and wait until it listens.
    Start {
        /// Who starts it.
        mode: Mode,
    },
    /// Stop the agent for good.
    Stop {
        /// Who started it.
        mode: Mode,
    },
    /// Remove a file.
    Remove {
        /// The file.
        path: String,
    },
    /// Remove the store with every engine, the configuration, and the agent's own user.
    Purge {
        /// The folder of the store.
        store: String,
        /// The configuration.
        config: String,
        /// Whether there is a user to remove.
        user: bool,
    },
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Admit { user } => write!(f, "make user and group `trt-agent`, add `{user}` to the group"),
            Self::PlaceBinary { from, to } => write!(f, "put `{}` to `{to}`", from.display()),
            Self::WriteConfig { from: None, to, .. } => {
                write!(f, "write a configuration of defaults to `{to}`")
            }
            Self::WriteConfig { from: Some(from), to, backup } => {
                let kept = if *backup { " and keep the present one beside it" } else { "" };
                write!(f, "put `{}` to `{to}`{kept}", from.display())
            }
            Self::WriteUnit { to } => write!(f, "write the unit `{to}`"),
            Self::Start { mode } => write!(f, "start the agent ({mode})"),
            Self::Stop { mode } => write!(f, "stop the agent ({mode})"),
            Self::Remove { path } => write!(f, "remove `{path}`"),
            Self::Purge { store, config, .. } => {
                write!(f, "remove `{store}` with every engine, and `{config}`")
            }
        }
    }
}

/// The steps for one agent on one device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// Who starts the agent.
    pub mode: Mode,
    /// Whether root must do it.
    pub root: bool,
    /// What to do.
    pub steps: Vec<Step>,
    /// What the user should know.
    pub notes: Vec<String>,
}

/// Plans an installation, or the upgrade of one.
pub fn install(survey: &Survey, wish: &Install, binary: &Binary) -> Result<Plan, InstallError> {
    let mode = wish.mode;
    let user = || survey.user.clone();
    match mode {
        Mode::System => {
            if !survey.systemd {
                return Err(InstallError::NoSystemd);
            }
            check_root(survey, wish.ask_sudo)?;
        }
        Mode::User if !survey.user_systemd => return Err(InstallError::NoUserSystemd { user: user() }),
        Mode::User | Mode::NoService => {}
    }
    let layout = survey.layout(mode);
    let mut notes = Vec::new();
    let mut steps = Vec::new();
    if mode == Mode::System {
        steps.push(Step::Admit { user: user() });
    }
    steps.push(Step::PlaceBinary { from: binary.path.clone(), to: layout.binary.clone() });
    config(survey, wish, &layout, &mut steps, &mut notes);
    if let Some(unit) = &layout.unit {
        steps.push(Step::WriteUnit { to: unit.clone() });
    }
    steps.push(Step::Start { mode });

    if mode == Mode::User && !survey.lingers {
        notes.push(format!(
            "the agent stops when `{}` logs out and does not start at boot; `sudo loginctl enable-linger {}` on the device \
             changes both",
            survey.user, survey.user
        ));
    }
    if mode == Mode::NoService {
        notes.push(
            "the agent outlives this connection, but not a restart of the device: install it again after one"
                .into(),
        );
    }
    for other in survey
        .installed()
        .filter(|other| other.mode != mode && (other.mode == Mode::System || mode == Mode::System))
    {
        notes.push(format!(
            "there is another agent ({}), and a push finds the system's first; `trt-deploy agent uninstall` removes both",
            other.mode
        ));
    }
    // A unit and a process started without one would share program and store.
    let sibling = match mode {
        Mode::User => Some(Mode::NoService),
        Mode::NoService => Some(Mode::User),
        Mode::System => None,
    };
    if let Some(sibling) = sibling.filter(|sibling| survey.found(*sibling).running) {
        steps.insert(0, Step::Stop { mode: sibling });
    }
    Ok(Plan { mode, root: mode == Mode::System, steps, notes })
}

fn config(survey: &Survey, wish: &Install, layout: &Layout, steps: &mut Vec<Step>, notes: &mut Vec<String>) {
    let present = survey.found(layout.mode).configured;
    if present && !(wish.force_config && wish.config.is_some()) {
        if wish.config.is_some() {
            notes.push(format!(
                "kept the configuration there, `{}`; `--force-config` replaces it",
                layout.config
            ));
        }
        return;
    }
    steps.push(Step::WriteConfig { from: wish.config.clone(), to: layout.config.clone(), backup: present });
}

fn check_root(survey: &Survey, ask_sudo: bool) -> Result<(), InstallError> {
    let user = survey.user.clone();
    match survey.root {
        Root::Is | Root::Sudo => Ok(()),
        Root::Password if ask_sudo => Ok(()),
        Root::Password => Err(InstallError::NoRoot { user, has_sudo: true }),
        Root::No => Err(InstallError::NoRoot { user, has_sudo: false }),
    }
}

/// Plans the removal of every agent that this user can reach, one plan for each; none if there is none. A process that
/// shares its files with the user's service ends before they go.
pub fn uninstall(survey: &Survey, purge: bool, ask_sudo: bool) -> Result<Vec<Plan>, InstallError> {
    let mut modes: Vec<Mode> = survey.installed().map(|found| found.mode).collect();
    modes.sort_by_key(|mode| *mode == Mode::User);
    modes.into_iter().map(|mode| remove(survey, mode, purge, ask_sudo)).collect()
}

fn remove(survey: &Survey, mode: Mode, purge: bool, ask_sudo: bool) -> Result<Plan, InstallError> {
    let layout = survey.layout(mode);
    let root = mode == Mode::System;
    if root {
        check_root(survey, ask_sudo)?;
    }
    let mut steps = vec![Step::Stop { mode }];
    steps.extend(layout.unit.into_iter().chain([layout.binary]).map(|path| Step::Remove { path }));
    let (store, config) = (layout.store, layout.config);
    let mut notes = Vec::new();
    if purge {
        steps.push(Step::Purge { store, config, user: root });
    } else {
        notes.push(format!("kept `{store}` and `{config}`; `--purge` removes them"));
    }
    Ok(Plan { mode, root, steps, notes })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::install::Found;

    fn jetson() -> Survey {
        Survey {
            arch: "aarch64".into(),
            home: "/home/nvidia".into(),
            user: "nvidia".into(),
            root: Root::Sudo,
            systemd: true,
            user_systemd: true,
            lingers: false,
            found: Mode::ALL.map(|mode| Found { mode, version: None, configured: false, running: false }),
        }
    }

    fn wish(mode: Mode) -> Install {
        Install { mode, ask_sudo: false, config: None, force_config: false }
    }

    fn binary() -> Binary {
        Binary { path: "build/trt-agent".into(), bytes: 1 }
    }

    fn names(plan: &Plan) -> Vec<String> {
        let step = |step| serde_json::to_value(step).unwrap()["step"].as_str().unwrap().to_owned();
        plan.steps.iter().map(step).collect()
    }

    #[test]
    fn each_mode_has_its_steps() {
        for (mode, steps) in [
            (Mode::System, &["admit", "place-binary", "write-config", "write-unit", "start"][..]),
            (Mode::User, &["place-binary", "write-config", "write-unit", "start"]),
            (Mode::NoService, &["place-binary", "write-config", "start"]),
        ] {
            let plan = install(&jetson(), &wish(mode), &binary()).unwrap();
            assert_eq!(names(&plan), steps);
            assert_eq!(plan.root, mode == Mode::System);
        }
    }

    #[test]
    fn a_configuration_on_the_device_is_kept_unless_replacing_it_is_forced() {
        let mut survey = jetson();
        survey.found[Mode::System as usize].configured = true;
        let mut wish = wish(Mode::System);
        wish.config = Some("agent.yaml".into());
        let kept = install(&survey, &wish, &binary()).unwrap();
        assert!(!names(&kept).contains(&"write-config".to_owned()));
        assert!(kept.notes[0].contains("--force-config"));
        wish.force_config = true;
        let replaced = install(&survey, &wish, &binary()).unwrap();
        assert!(replaced.steps.iter().any(|step| matches!(step, Step::WriteConfig { backup: true, .. })));
    }

    #[test]
    fn without_root_the_system_is_left_alone_and_the_advice_fits() {
        for (root, ask, ok) in [
            (Root::Is, false, true),
            (Root::Sudo, false, true),
            (Root::Password, false, false),
            (Root::Password, true, true),
            (Root::No, true, false),
        ] {
            let survey = Survey { root, ..jetson() };
            let wish = Install { ask_sudo: ask, ..wish(Mode::System) };
            assert_eq!(install(&survey, &wish, &binary()).is_ok(), ok, "{root:?} {ask}");
            assert!(install(&survey, &Install { mode: Mode::User, ..wish }, &binary()).is_ok());
        }
        let bare = Survey { systemd: false, user_systemd: false, ..jetson() };
        assert!(matches!(install(&bare, &wish(Mode::System), &binary()), Err(InstallError::NoSystemd)));
        assert!(matches!(
            install(&bare, &wish(Mode::User), &binary()),
            Err(InstallError::NoUserSystemd { .. })
        ));
        assert!(install(&bare, &wish(Mode::NoService), &binary()).is_ok());
    }

    #[test]
    fn going_over_to_a_service_stops_what_runs_without_one() {
        let mut survey = jetson();
        survey.found[Mode::NoService as usize].running = true;
        let plan = install(&survey, &wish(Mode::User), &binary()).unwrap();
        assert_eq!(plan.steps[0], Step::Stop { mode: Mode::NoService });
    }

    #[test]
    fn uninstall_keeps_engines_unless_told_otherwise() {
        assert!(uninstall(&jetson(), true, false).unwrap().is_empty());
        let mut survey = jetson();
        survey.found[Mode::System as usize].version = Some("trt-agent 0.1.0".into());
        survey.found[Mode::NoService as usize].version = Some("trt-agent 0.1.0".into());
        let plans = uninstall(&survey, false, false).unwrap();
        assert_eq!(names(&plans[0]), ["stop", "remove", "remove"]);
        assert!(plans[0].notes[0].contains("/var/lib/trt-agent"));
        assert_eq!(plans.iter().map(|plan| plan.root).collect::<Vec<_>>(), [true, false]);
        assert_eq!(names(&uninstall(&survey, true, false).unwrap()[1]), ["stop", "remove", "purge"]);
        survey.found[Mode::User as usize].version = Some("trt-agent 0.1.0".into());
        let order = uninstall(&survey, true, false).unwrap().iter().map(|plan| plan.mode).collect::<Vec<_>>();
        assert_eq!(
            order,
            [Mode::System, Mode::NoService, Mode::User],
            "the process ends before its files go"
        );
        survey.root = Root::No;
        assert!(uninstall(&survey, false, false).is_err());
    }
}
