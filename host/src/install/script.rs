//! The steps as POSIX scripts for the device.

use super::{Layout, Mode, Step, process};
use crate::transport::quote;

/// The reference of the device's configuration.
const REFERENCE: &str = include_str!("../../../configs/agent.yaml");

/// The unit for the system's service manager.
const SYSTEM_UNIT: &str = include_str!("../../../configs/trt-agent.service");

/// The unit for the user's.
const USER_UNIT: &str = include_str!("../../../configs/trt-agent-user.service");

/// The unit of a mode that has one.
pub fn unit(mode: Mode) -> &'static str {
    if mode == Mode::System { SYSTEM_UNIT } else { USER_UNIT }
}

/// The configuration for a device that has none: the reference with every key commented out.
pub fn starter_config() -> String {
    let line = |line: &str| match line {
        "" => "\n".to_owned(),
        prose if prose.starts_with('#') => format!("{prose}\n"),
        key => format!("#{key}\n"),
    };
    REFERENCE.lines().map(line).collect()
}

/// Takes a file from stdin: written beside its place, synced, tried, renamed. Nothing of it stays if that fails.
///
/// The count decides whether the file is complete: a connection that breaks looks like the end of the input. Nobody
/// listens then, so SIGPIPE is ignored: it would end the shell before it has cleaned up.
pub struct Place<'a> {
    /// The file's place.
    pub to: &'a str,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its permission bits.
    pub mode: u32,
    /// A command that must succeed before the rename; the new file is `$new` in it.
    pub trial: Option<String>,
    /// Whether a file that is there is kept under another name.
    pub backup: bool,
}

impl Place<'_> {
    /// The script.
    pub fn script(&self) -> String {
        let Self { to, bytes, mode, trial, backup } = self;
        let trial = trial.as_deref().unwrap_or(":");
        let backup = if *backup { r#"cp -p -- "$to" "$to.$(date +%Y%m%d-%H%M%S)""# } else { ":" };
        format!(
            r#"set -e
umask 022
to={to}
new=$to.new.$$
mkdir -p -- "${{to%/*}}"
trap 'rm -f -- "$new"' EXIT
trap 'exit 1' HUP INT TERM
trap '' PIPE
cat >"$new"
[ "$(wc -c <"$new")" -eq {bytes} ] || {{ echo "the connection broke before the end of the file" >&2; exit 1; }}
chmod {mode:o} "$new"
sync "$new"
{trial}
{backup}
mv -f -- "$new" "$to"
sync "${{to%/*}}/""#,
            to = quote(to),
        )
    }
}

/// The script of a step that needs no input.
pub fn of(step: &Step, layout: &Layout) -> String {
    match step {
        Step::Admit { user } => format!(
            r#"set -e
getent group trt-agent >/dev/null || groupadd --system trt-agent
id -u trt-agent >/dev/null 2>&1 ||
    useradd --system --gid trt-agent --home-dir /var/lib/trt-agent --no-create-home --shell /usr/sbin/nologin trt-agent
for group in video render; do
    ! getent group "$group" >/dev/null || usermod --append --groups "$group" trt-agent
done
usermod --append --groups trt-agent {}"#,
            quote(user)
        ),
        Step::Start { mode: Mode::NoService } => process::start(layout),
        Step::Start { mode } => format!(
            r#"{0}
systemctl{1} daemon-reload && systemctl{1} enable --quiet trt-agent && systemctl{1} restart trt-agent || {{
    journalctl{1} -u trt-agent -n 20 --no-pager >&2
    exit 1
}}"#,
            user_bus(*mode),
            scope(*mode)
        ),
        Step::Stop { mode: Mode::NoService } => process::stop(layout),
        Step::Stop { mode } => {
            format!("{}\nsystemctl{} disable --quiet --now trt-agent", user_bus(*mode), scope(*mode))
        }
        Step::Remove { path } => format!("rm -f -- {}", quote(path)),
        Step::Purge { store, config, user } => {
            let user =
                if *user { "\nuserdel trt-agent 2>/dev/null\ngroupdel trt-agent 2>/dev/null" } else { "" };
            let folder = config.rsplit_once('/').map_or("", |(folder, _)| folder);
            format!(
                "rm -rf -- {} && rm -f -- {} || exit 1\nrmdir -- {} 2>/dev/null{user}\nexit 0",
                quote(store),
                quote(config),
                quote(folder),
            )
        }
        // These bring a file; see `Place`.
        Step::PlaceBinary { .. } | Step::WriteConfig { .. } | Step::WriteUnit { .. } => String::new(),
    }
}

fn scope(mode: Mode) -> &'static str {
    if mode == Mode::User { " --user" } else { "" }
}

/// A login without PAM's help does not know where the user's service manager is.
fn user_bus(mode: Mode) -> &'static str {
    if mode == Mode::User {
        r#"export XDG_RUNTIME_DIR="${XDG_RUNTIME_DIR:-/run/user/$(id -u)}""#
    } else {
        ":"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_starter_configuration_is_the_reference_with_nothing_switched_on() {
        let starter = starter_config();
        assert!(starter.lines().all(|line| line.is_empty() || line.starts_with('#')), "{starter}");
        assert!(starter.contains("\n#store: /var/lib/trt-agent\n"));
        assert_eq!(starter.lines().count(), REFERENCE.lines().count());
    }

    #[test]
    fn units_and_layouts_name_the_same_places() {
        for mode in [Mode::System, Mode::User] {
            let layout = Layout::new(mode, "%h");
            let start = format!("ExecStart={} --config {} daemon\n", layout.binary, layout.config);
            assert!(unit(mode).contains(&start), "{start}");
            assert!(unit(mode).contains("Type=notify\n"));
        }
    }

    #[test]
    fn every_script_is_one_that_a_posix_shell_can_read() {
        let place = Place {
            to: "/a b/c",
            bytes: 3,
            mode: 0o755,
            trial: Some("\"$new\" --version".into()),
            backup: true,
        };
        let mut scripts = vec![place.script()];
        for mode in Mode::ALL {
            let layout = Layout::new(mode, "/home/it's me");
            let steps = [
                Step::Admit { user: "nvidia".into() },
                Step::Start { mode },
                Step::Stop { mode },
                Step::Remove { path: layout.binary.clone() },
                Step::Purge { store: layout.store.clone(), config: layout.config.clone(), user: true },
            ];
            scripts.extend(steps.iter().map(|step| of(step, &layout)));
        }
        for script in scripts {
            assert!(!script.is_empty());
            let status = std::process::Command::new("sh").args(["-n", "-c", &script]).status().unwrap();
            assert!(status.success(), "{script}");
        }
    }

    #[test]
    fn a_connection_that_breaks_in_mid_file_leaves_nothing_on_the_device() {
        use std::io::Write;
        use std::process::{Command, Stdio};
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("trt-agent");
        let place = Place { to: to.to_str().unwrap(), bytes: 1000, mode: 0o755, trial: None, backup: false };
        let mut shell = Command::new("sh");
        shell.args(["-c", &place.script()]).stdin(Stdio::piped()).stderr(Stdio::piped());
        let mut shell = shell.spawn().unwrap();
        drop(shell.stderr.take());
        shell.stdin.take().unwrap().write_all(&[7; 10]).unwrap();
        assert!(!shell.wait().unwrap().success());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
