//! What a device is, and which agents are on it: one script, one round trip.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::{InstallError, Layout, Mode, process};
use crate::transport::{RemoteCommand, Transport, run};

/// A device that does not answer such simple questions in this time will not take an agent either.
const LIMIT: Duration = Duration::from_secs(30);

/// How to become root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Root {
    /// The user is root.
    Is,
    /// `sudo` asks nothing.
    Sudo,
    /// `sudo` asks for a password.
    Password,
    /// There is no `sudo`.
    No,
}

/// An agent on the device, or the place for one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Found {
    /// Who starts it.
    pub mode: Mode,
    /// What `trt-agent --version` says there; `None` if it is not installed.
    pub version: Option<String>,
    /// Whether it has a configuration.
    pub configured: bool,
    /// Whether it runs.
    pub running: bool,
}

/// What matters about a device for installing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survey {
    /// The processor, as `uname -m` says.
    pub arch: String,
    /// The user's home folder.
    pub home: String,
    /// The user.
    pub user: String,
    /// How to become root.
    pub root: Root,
    /// Whether systemd runs the device.
    pub systemd: bool,
    /// Whether the user has a systemd of their own.
    pub user_systemd: bool,
    /// Whether the user's systemd starts at boot.
    pub lingers: bool,
    /// One for each mode, in [`Mode::ALL`]'s order.
    pub found: [Found; 3],
}

/// `sh` prints `KEY=VALUE` lines; whatever else a login prints is ignored.
const SCRIPT: &str = r#"
PATH="$PATH:/usr/local/bin:/usr/sbin:/sbin"
say() { printf 'trt-deploy:%s=%s\n' "$1" "$2"; }
me=$(id -un)
say arch "$(uname -m)"
say home "$HOME"
say user "$me"
if [ "$(id -u)" = 0 ]; then say root is
elif ! command -v sudo >/dev/null 2>&1; then say root no
elif sudo -n true 2>/dev/null; then say root sudo
else say root password; fi
[ ! -d /run/systemd/system ] || say systemd yes
export XDG_RUNTIME_DIR="${XDG_RUNTIME_DIR:-/run/user/$(id -u)}"
systemctl --user show-environment >/dev/null 2>&1 && say user-systemd yes
[ ! -e "/var/lib/systemd/linger/$me" ] || say lingers yes

version() { say "$1.version" "$("$2" --version 2>&1 | head -n 1)"; }
system=/usr/local/bin/trt-agent
binary=$HOME/.local/bin/trt-agent
config=$HOME/.config/trt-agent/config.yaml
[ ! -e "$system" ] || version system "$system"
[ ! -e /etc/trt-agent/config.yaml ] || say system.configured yes
systemctl is-active --quiet trt-agent 2>/dev/null && say system.running yes
if [ -e "$config" ]; then say user.configured yes; say no-service.configured yes; fi
unit=$HOME/.config/systemd/user/trt-agent.service
[ ! -e "$unit" ] || [ ! -e "$binary" ] || version user "$binary"
# The user's service has the same process, and cannot run at the same time.
if systemctl --user is-active --quiet trt-agent 2>/dev/null; then say user.running yes
elif [ -n "$(daemons)" ]; then
    say no-service.running yes
    # It outlives its program if that was removed.
    if [ -e "$binary" ]; then version no-service "$binary"; else say no-service.version 'unknown version'; fi
elif [ -e "$binary" ] && [ ! -e "$unit" ]; then version no-service "$binary"; fi
exit 0
"#;

impl Survey {
    /// Asks the device.
    pub fn take(transport: &mut dyn Transport) -> Result<Self, InstallError> {
        let command = RemoteCommand::script(&format!("{}{SCRIPT}", process::FIND)).limit(LIMIT);
        let output = run(transport, &command)?;
        let said = String::from_utf8_lossy(&output.stdout);
        Self::parse(&said).map_err(|missing| {
            let said = format!("{} {}", said.trim(), output.stderr.trim()).trim().to_owned();
            InstallError::Survey {
                missing,
                said: if said.is_empty() { output.exit.to_string() } else { said },
            }
        })
    }

    /// The agents that are there.
    pub fn installed(&self) -> impl Iterator<Item = &Found> {
        self.found.iter().filter(|found| found.version.is_some())
    }

    /// The places of a mode on this device.
    pub fn layout(&self, mode: Mode) -> Layout {
        Layout::new(mode, &self.home)
    }

    /// What is known about a mode.
    pub fn found(&self, mode: Mode) -> &Found {
        &self.found[mode as usize]
    }

    fn parse(said: &str) -> Result<Self, &'static str> {
        let lines = said.lines().filter_map(|line| line.strip_prefix("trt-deploy:")?.split_once('='));
        let values: BTreeMap<&str, &str> = lines.filter(|(_, value)| !value.is_empty()).collect();
        let get =
            |key: &str, what: &'static str| values.get(key).map(|value| (*value).to_owned()).ok_or(what);
        let is = |key: &str| values.get(key) == Some(&"yes");
        Ok(Self {
            arch: get("arch", "processor")?,
            home: get("home", "home folder").and_then(|home| {
                if home.starts_with('/') {
                    Ok(home.trim_end_matches('/').to_owned())
                } else {
                    Err("home folder")
                }
            })?,
            user: get("user", "user name")?,
            root: match get("root", "way to root")?.as_str() {
                "is" => Root::Is,
                "sudo" => Root::Sudo,
                "password" => Root::Password,
                _ => Root::No,
            },
            systemd: is("systemd"),
            user_systemd: is("user-systemd"),
            lingers: is("lingers"),
            found: Mode::ALL.map(|mode| {
                let key = mode.key();
                Found {
                    mode,
                    version: values.get(format!("{key}.version").as_str()).map(|v| (*v).to_owned()),
                    configured: is(&format!("{key}.configured")),
                    running: is(&format!("{key}.running")),
                }
            }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interrupt::Interrupt;
    use crate::transport::ProcessTransport;

    #[test]
    fn a_real_shell_answers_every_question() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path().to_str().unwrap();
        let shell = ["env".to_owned(), format!("HOME={home}"), "sh".into(), "-c".into()];
        let mut transport = ProcessTransport::through(shell, &Interrupt::default());
        let survey = Survey::take(&mut transport).unwrap();
        assert_eq!(survey.home, home);
        assert_eq!(survey.arch, std::env::consts::ARCH);
        assert!(survey.found(Mode::NoService).version.is_none() && !survey.found(Mode::NoService).running);
    }

    #[test]
    fn talkative_logins_do_no_harm() {
        let said = "Welcome to Ubuntu!\nhome=/evil\ntrt-deploy:arch=aarch64\ntrt-deploy:home=/home/nvidia\n\
                    trt-deploy:user=nvidia\ntrt-deploy:root=password\ntrt-deploy:systemd=yes\n\
                    trt-deploy:system.version=trt-agent 0.1.0\ntrt-deploy:system.running=yes\n";
        let survey = Survey::parse(said).unwrap();
        assert_eq!((survey.home.as_str(), survey.root), ("/home/nvidia", Root::Password));
        let installed: Vec<_> = survey.installed().map(|found| (found.mode, found.running)).collect();
        assert_eq!(installed, [(Mode::System, true)]);
    }

    #[test]
    fn an_answer_without_what_is_needed_is_an_error() {
        for (said, missing) in [
            ("", "processor"),
            ("trt-deploy:arch=aarch64\n", "home folder"),
            ("trt-deploy:arch=aarch64\ntrt-deploy:home=relative\n", "home folder"),
            ("trt-deploy:arch=aarch64\ntrt-deploy:home=/h\n", "user name"),
        ] {
            assert_eq!(Survey::parse(said).unwrap_err(), missing);
        }
    }
}
