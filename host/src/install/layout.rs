//! Where the parts of an installation are on a device.

use std::fmt;

use serde::Serialize;

/// Who starts the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// The system's service manager, at boot.
    System,
    /// The user's service manager, while the user is logged in, or at boot if lingering is enabled.
    User,
    /// Nobody: it is started by the install and runs until it is stopped or the device restarts.
    NoService,
}

impl Mode {
    /// All of them, in the order in which a device is looked at.
    pub const ALL: [Self; 3] = [Self::System, Self::User, Self::NoService];

    /// Its name in surveys.
    pub fn key(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::NoService => "no-service",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::System => "service of the system",
            Self::User => "service of the user",
            Self::NoService => "without a service manager",
        })
    }
}

/// Absolute paths on the device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// Who starts it.
    pub mode: Mode,
    /// The program.
    pub binary: String,
    /// Its configuration.
    pub config: String,
    /// The unit file, if there is a service manager.
    pub unit: Option<String>,
    /// Where the agent keeps everything unless its configuration says otherwise.
    pub store: String,
    /// What runs without a service manager, by its process id.
    pub pidfile: String,
    /// What it says without a service manager.
    pub log: String,
}

impl Layout {
    /// The places for a mode, given the user's home folder on the device.
    pub fn new(mode: Mode, home: &str) -> Self {
        let (binary, config, store) = match mode {
            Mode::System => (
                "/usr/local/bin/trt-agent".to_owned(),
                "/etc/trt-agent/config.yaml".to_owned(),
                "/var/lib/trt-agent".to_owned(),
            ),
            Mode::User | Mode::NoService => (
                format!("{home}/.local/bin/trt-agent"),
                format!("{home}/.config/trt-agent/config.yaml"),
                format!("{home}/.local/share/trt-agent"),
            ),
        };
        let unit = match mode {
            Mode::System => Some("/etc/systemd/system/trt-agent.service".to_owned()),
            Mode::User => Some(format!("{home}/.config/systemd/user/trt-agent.service")),
            Mode::NoService => None,
        };
        Self {
            mode,
            unit,
            pidfile: format!("{store}/agent.pid"),
            log: format!("{store}/agent.log"),
            binary,
            config,
            store,
        }
    }
}
