//! The agent without a service manager: finding, starting and stopping its process with nothing but a POSIX shell.
//!
//! A recorded process id proves little: ids are used again after a restart of the device, and the record may be old. So
//! the process is known by its command line, which is the one that [`start`] gives it. Its `exe` would not do: under an
//! emulator that is the emulator, and it is never the path through a symlink by which the home folder may be known.

use super::Layout;
use crate::transport::quote;

/// `daemons` prints the process ids of the daemons of `$binary` with `$config`; `ours PID` tells whether it is one.
///
/// An emulator or interpreter may stand before the program. A process that is over, one of the kernel and one of other
/// users has no `exe` to be seen, which spares reading most of them. To root the processes in containers can be seen, too,
/// whose files are others of the same names.
pub const FIND: &str = r#"
same() {
    [ "$1" != "$2" ] || return 0
    # A path without its folder resolves to nothing, which is not the same as nothing.
    path=$(readlink -f -- "$1") && [ -n "$path" ] && [ "$path" = "$(readlink -f -- "$2")" ]
}
ours() (
    pid=$1
    [ -e "/proc/$pid/exe" ] || exit 1
    set -f
    IFS='
'
    set -- $({ tr '\0' '\n' <"/proc/$pid/cmdline"; } 2>/dev/null)
    while [ $# -gt 4 ]; do shift; done
    [ "$2 $4" = "--config daemon" ] && same "$1" "$binary" && same "$3" "$config" &&
        [ "$(readlink "/proc/$pid/ns/pid")" = "$(readlink "/proc/$$/ns/pid")" ]
)
daemons() {
    for process in /proc/[0-9]*; do
        ! ours "${process#/proc/}" || echo "${process#/proc/}"
    done
}
"#;

/// What every script about the process begins with. `answers` succeeds if any agent listens on the socket.
fn begin(layout: &Layout) -> String {
    format!(
        r#"binary={binary}
config={config}
pidfile={pidfile}
log={log}
{FIND}
answers() {{ "$binary" --config "$config" connect </dev/null >/dev/null 2>&1; }}"#,
        binary = quote(&layout.binary),
        config = quote(&layout.config),
        pidfile = quote(&layout.pidfile),
        log = quote(&layout.log),
    )
}

/// Ends every daemon of this installation and waits until it is gone. Fails if an agent answers even then: it was
/// started in another way, and nobody but who did so knows how to end it for good.
pub fn stop(layout: &Layout) -> String {
    format!(
        r#"{}
for pid in $(daemons); do
    kill "$pid"
    i=0
    while ours "$pid"; do
        [ $i -ne 100 ] || kill -9 "$pid"
        [ $i -lt 200 ] || {{ echo "the agent's process $pid does not end" >&2; exit 1; }}
        sleep 0.1
        i=$((i + 1))
    done
done
rm -f -- "$pidfile"
! answers || {{
    echo "an agent answers that was started in another way than by an install; stop that first" >&2
    exit 1
}}"#,
        begin(layout)
    )
}

/// Ends the daemon that runs and starts another; succeeds when that one listens. That an agent answers is not enough: the
/// new process must have said that it listens, and live.
pub fn start(layout: &Layout) -> String {
    format!(
        r#"{stop}
mkdir -p -- "${{pidfile%/*}}"
: >>"$log"
old=$(wc -c <"$log")
setsid sh -c 'echo $$ >"$0"; exec "$1" --config "$2" daemon' "$pidfile" "$binary" "$config" </dev/null >>"$log" 2>&1 &
said() {{ tail -c "+$((old + 1))" "$log"; }}
i=0
while [ $i -lt 100 ]; do
    sleep 0.1
    i=$((i + 1))
    pid=$(cat "$pidfile" 2>/dev/null)
    # Between its record and its start the process is still the shell.
    [ $i -lt 5 ] || ours "$pid" || break
    said | grep -q '^trt-agent .* listens on ' && ours "$pid" && answers && exit 0
done
said | tail -n 20 >&2
if ours "$pid"; then
    echo "the agent was started, but does not listen after 10 s; its log: $log" >&2
else
    rm -f -- "$pidfile"
fi
exit 1"#,
        stop = stop(layout),
    )
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::{Path, PathBuf};
    use std::process::{Command, Output, Stdio};

    use super::*;
    use crate::install::Mode;

    /// An agent in shell. To the system its processes are shells, as those of an emulated program are emulators.
    const AGENT: &str = r#"#!/bin/sh
socket=$2.socket
case $3 in
connect) [ -e "$socket" ] ;;
daemon)
    grep -q silent "$2" || { [ ! -e "$socket" ] || { echo "error: another agent uses the store" >&2; exit 1; }; }
    cat "$2" >"$2.in-effect"
    trap 'rm -f "$socket"; exit' TERM
    grep -q stubborn "$2" && trap '' TERM
    grep -q silent "$2" || { : >"$socket"; echo "trt-agent 0.1.0 listens on $socket" >&2; }
    while :; do sleep 0.05; done
    ;;
esac
"#;

    struct Device {
        folder: tempfile::TempDir,
        layout: Layout,
    }

    impl Device {
        /// With a home folder whose name needs quotes, reached through a symlink.
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let (home, moved) = (folder.path().join("it's a home"), folder.path().join("nvme"));
            fs::create_dir(&moved).unwrap();
            symlink(&moved, &home).unwrap();
            let device = Self { layout: Layout::new(Mode::NoService, home.to_str().unwrap()), folder };
            for (file, text) in [(&device.layout.binary, AGENT), (&device.layout.config, "")] {
                fs::create_dir_all(Path::new(file).parent().unwrap()).unwrap();
                fs::write(file, text).unwrap();
                fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
            }
            device
        }

        fn run(&self, script: &str) -> Output {
            Command::new("sh").args(["-c", script]).output().unwrap()
        }

        #[track_caller]
        fn start(&self) -> u32 {
            let output = self.run(&start(&self.layout));
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            let recorded: u32 = fs::read_to_string(&self.layout.pidfile).unwrap().trim().parse().unwrap();
            assert_eq!(self.daemons(), [recorded]);
            recorded
        }

        #[track_caller]
        fn fails(&self, script: &str, words: &str) {
            let output = self.run(script);
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(!output.status.success() && said.contains(words), "{said}");
        }

        fn daemons(&self) -> Vec<u32> {
            let output = self.run(&format!("{}\ndaemons", begin(&self.layout)));
            let pids = String::from_utf8(output.stdout).unwrap();
            pids.lines().map(|pid| pid.parse().unwrap()).collect()
        }

        fn file(&self, suffix: &str) -> PathBuf {
            format!("{}.{suffix}", self.layout.config).into()
        }
    }

    impl Drop for Device {
        fn drop(&mut self) {
            for pid in self.daemons() {
                let _ = Command::new("kill").args(["-9", &pid.to_string()]).status();
            }
        }
    }

    #[test]
    fn starting_again_replaces_the_process_and_its_configuration() {
        let device = Device::new();
        let first = device.start();
        fs::write(&device.layout.config, "another one").unwrap();
        assert_ne!(device.start(), first);
        assert_eq!(fs::read_to_string(device.file("in-effect")).unwrap(), "another one");
        assert!(device.run(&stop(&device.layout)).status.success());
        assert!(device.daemons().is_empty() && !Path::new(&device.layout.pidfile).exists());
    }

    #[test]
    fn the_process_is_found_whatever_the_record_says_and_by_whatever_path_its_files_are_known() {
        let device = Device::new();
        for record in ["", "1", "999999999", "no number"] {
            device.start();
            fs::write(&device.layout.pidfile, record).unwrap();
            let home = device.folder.path().join("nvme");
            let elsewhere = Layout::new(Mode::NoService, home.to_str().unwrap());
            assert!(device.run(&stop(&elsewhere)).status.success(), "{record}");
            assert!(device.daemons().is_empty(), "{record}");
        }
    }

    #[test]
    fn paths_that_lead_nowhere_are_not_the_same() {
        let device = Device::new();
        device.start();
        let elsewhere = Layout::new(Mode::NoService, "/no/such/home");
        let other = format!(
            "{}\nsame /no/such/place/trt-agent \"$binary\" && exit 1; same \"$binary\" \"$binary\"",
            begin(&elsewhere)
        );
        assert!(device.run(&other).status.success());
        assert!(device.run(&stop(&elsewhere)).status.success());
        assert_eq!(device.daemons().len(), 1, "it is not of that home");
    }

    #[test]
    fn a_process_with_another_configuration_or_that_is_no_daemon_is_left_alone() {
        let device = Device::new();
        let (binary, config) = (&device.layout.binary, &device.layout.config);
        for arguments in [
            ["--config", &format!("{config}.other"), "daemon"],
            ["--config", config, "worker"],
            ["--store", config, "daemon"],
        ] {
            let mut other = Command::new("sh");
            other.args(["-c", "while :; do sleep 0.05; done", binary]).args(arguments);
            let mut other = other.stdout(Stdio::null()).spawn().unwrap();
            device.start();
            assert!(device.run(&stop(&device.layout)).status.success());
            assert!(other.try_wait().unwrap().is_none(), "{arguments:?}");
            other.kill().unwrap();
            other.wait().unwrap();
        }
    }

    #[test]
    fn an_agent_that_answers_and_was_started_otherwise_is_no_success() {
        let device = Device::new();
        fs::write(device.file("socket"), "").unwrap();
        device.fails(&stop(&device.layout), "started in another way");
        device.fails(&start(&device.layout), "started in another way");
        // It comes up just after it was looked for.
        let racing = start(&device.layout).replacen("! answers", "! false", 1);
        device.fails(&racing, "another agent uses the store");
        assert!(!Path::new(&device.layout.pidfile).exists(), "the record would name a process that is over");
    }

    #[test]
    fn a_daemon_that_does_not_listen_is_no_success_and_one_that_ignores_requests_is_ended() {
        let device = Device::new();
        fs::write(&device.layout.config, "silent stubborn").unwrap();
        let impatient =
            |script: String| script.replace("-lt 100 ]", "-lt 10 ]").replace("-ne 100 ]", "-ne 5 ]");
        device.fails(&impatient(start(&device.layout)), "does not listen");
        assert_eq!(device.daemons().len(), 1, "it may come up yet");
        assert!(device.run(&impatient(stop(&device.layout))).status.success());
        assert!(device.daemons().is_empty());
    }
}
