//! Carries out steps on a device, as the user or as root.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;

use super::script::{self, Place};
use super::{InstallError, Layout, Step};
use crate::interrupt::{Interrupt, Interrupted};
use crate::transport::{Channel, Exit, RemoteCommand, Transport, TransportError};

/// The longest that a step may take: systemd waits 90 s for a service that does not come up.
const LIMIT: Duration = Duration::from_secs(120);

/// How much of a file goes into one write.
const CHUNK: usize = 512 << 10;

/// Where input for a script begins: `sudo` reads the password before it only if it needs one.
const MARK: &str = "trt-deploy: here it begins";

/// How steps become root.
#[derive(Clone, PartialEq, Eq)]
pub enum Elevation {
    /// Not at all: no step needs it, or the user is root.
    None,
    /// `sudo -n`.
    Sudo,
    /// `sudo -S` with this password, which travels on the encrypted connection and is kept nowhere.
    Password(String),
}

impl Elevation {
    /// The script, run as root, and what must precede its input.
    fn wrap(&self, script: &str) -> (RemoteCommand, String) {
        match self {
            Self::None => (RemoteCommand::script(script), String::new()),
            Self::Sudo => (sudo(&["-n"]).arg(script), String::new()),
            Self::Password(password) => {
                let script =
                    format!("while IFS= read -r line && [ \"$line\" != '{MARK}' ]; do :; done\n{script}");
                (sudo(&["-S", "-k", "-p", ""]).arg(&script), format!("{password}\n{MARK}\n"))
            }
        }
    }
}

fn sudo(options: &[&str]) -> RemoteCommand {
    let sudo = options.iter().fold(RemoteCommand::new("sudo"), |command, option| command.arg(option));
    sudo.arg("sh").arg("-c")
}

/// What carries out steps on one device.
pub struct Hands<'a> {
    transport: &'a mut dyn Transport,
    elevation: Elevation,
    interrupt: &'a Interrupt,
}

impl<'a> Hands<'a> {
    /// Hands on a device. Ctrl-C ends the step under way; a file that was on its way leaves nothing there.
    pub fn new(transport: &'a mut dyn Transport, elevation: Elevation, interrupt: &'a Interrupt) -> Self {
        Self { transport, elevation, interrupt }
    }

    /// Finds out whether root's powers are there before anything needs them.
    pub fn check_elevation(&mut self, user: &str) -> Result<(), InstallError> {
        match self.run("become root", "true", &mut std::io::empty(), 0, &mut |_| {}) {
            Err(InstallError::Step { words, .. }) => {
                Err(InstallError::SudoRefused { user: user.to_owned(), words })
            }
            other => other.map(drop),
        }
    }

    /// Carries out one step and returns what it said. `progress` gets the number of bytes of a file that were sent.
    pub fn carry_out(
        &mut self,
        step: &Step,
        layout: &Layout,
        progress: &mut dyn FnMut(u64),
    ) -> Result<String, InstallError> {
        let what = step.to_string();
        match step {
            Step::PlaceBinary { from, to } => {
                let (mut source, bytes) = open(from)?;
                let trial = Some("\"$new\" --version".to_owned());
                let place = Place { to, bytes, mode: 0o755, trial, backup: false };
                self.run(&what, &place.script(), &mut source, bytes, progress)
            }
            Step::WriteConfig { from: Some(from), to, backup } => {
                let (mut source, bytes) = open(from)?;
                // The agent itself judges its configuration before that replaces anything.
                let trial =
                    format!("{} --config \"$new\" facts >/dev/null", crate::transport::quote(&layout.binary));
                let place = Place { to, bytes, mode: 0o644, trial: Some(trial), backup: *backup };
                self.run(&what, &place.script(), &mut source, bytes, progress)
            }
            Step::WriteConfig { from: None, to, backup } => {
                self.place_text(&what, to, &script::starter_config(), *backup)
            }
            Step::WriteUnit { to } => self.place_text(&what, to, script::unit(layout.mode), false),
            _ => self.run(&what, &script::of(step, layout), &mut std::io::empty(), 0, &mut |_| {}),
        }
    }

    fn place_text(&mut self, what: &str, to: &str, text: &str, backup: bool) -> Result<String, InstallError> {
        let bytes = text.len() as u64;
        let place = Place { to, bytes, mode: 0o644, trial: None, backup };
        self.run(what, &place.script(), &mut text.as_bytes(), bytes, &mut |_| {})
    }

    fn run(
        &mut self,
        what: &str,
        script: &str,
        source: &mut dyn Read,
        bytes: u64,
        progress: &mut dyn FnMut(u64),
    ) -> Result<String, InstallError> {
        self.interrupt.check()?;
        let (command, preface) = self.elevation.wrap(script);
        let peer = self.transport.describe();
        let lost = |error| TransportError::from_io(error, &peer);
        let Channel { mut reader, mut writer, control } = self.transport.open(&command.limit(LIMIT))?;
        let sent = writer
            .write_all(preface.as_bytes())
            .and_then(|()| self.send(source, bytes, &mut writer, progress))
            .and_then(|()| writer.flush());
        if self.interrupt.is_raised() {
            control.kill();
            return Err(Interrupted.into());
        }
        drop(writer);
        let mut said = String::new();
        let read = reader.by_ref().take(1 << 20).read_to_string(&mut said);
        drop(reader);
        let exit = control.wait()?;
        if exit != Exit::Code(0) {
            let stderr = control.stderr();
            let words = match stderr.trim() {
                "" => exit.to_string(),
                words => words.to_owned(),
            };
            return Err(InstallError::Step { step: what.to_owned(), words });
        }
        // A script that succeeded without reading all of its input did what it should.
        match sent {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => return Err(lost(error).into()),
            _ => {}
        }
        read.map_err(lost)?;
        Ok(said.trim().to_owned())
    }

    fn send(
        &self,
        source: &mut dyn Read,
        bytes: u64,
        writer: &mut dyn Write,
        progress: &mut dyn FnMut(u64),
    ) -> std::io::Result<()> {
        let mut chunk = vec![0; CHUNK.min(usize::try_from(bytes).unwrap_or(CHUNK))];
        let mut sent = 0;
        while sent < bytes && !self.interrupt.is_raised() {
            let got = source.read(&mut chunk)?;
            if got == 0 {
                break; // the file shrank; the device counts and says so
            }
            writer.write_all(&chunk[..got])?;
            sent += got as u64;
            progress(sent);
        }
        Ok(())
    }
}

fn open(path: &Path) -> Result<(File, u64), InstallError> {
    let local = |source| InstallError::Local { path: path.to_owned(), source };
    let file = File::open(path).map_err(local)?;
    let bytes = file.metadata().map_err(local)?.len();
    Ok((file, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::install::Mode;
    use crate::transport::ProcessTransport;

    /// A `sudo` that reads a password as the real one does, byte by byte up to the end of the line.
    const SUDO: &str = "#!/bin/sh\nask=\nwhile :; do case $1 in -S) ask=1; shift ;; -p) shift 2 ;; -*) shift ;; \
                        *) break ;; esac; done\nif [ -n \"$ask\" ]; then read -r word; [ \"$word\" = sesame ] || \
                        { echo 'Sorry, try again.' >&2; exit 1; }; fi\nexec \"$@\"\n";

    struct Device {
        home: tempfile::TempDir,
        interrupt: Interrupt,
    }

    impl Device {
        fn new() -> Self {
            let device = Self { home: tempfile::tempdir().unwrap(), interrupt: Interrupt::default() };
            device.write("bin/sudo", SUDO);
            device
        }

        fn path(&self, name: &str) -> String {
            self.home.path().join(name).to_str().unwrap().to_owned()
        }

        fn write(&self, name: &str, text: &str) -> String {
            use std::os::unix::fs::PermissionsExt;
            let path = self.home.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
            path.to_str().unwrap().to_owned()
        }

        fn carry_out(&self, step: &Step, elevation: Elevation) -> Result<String, InstallError> {
            let path = format!("PATH={}:/usr/bin:/bin", self.path("bin"));
            let shell = ["env", &path, "sh", "-c"].map(str::to_owned);
            let mut transport = ProcessTransport::through(shell, &Interrupt::default());
            let mut hands = Hands::new(&mut transport, elevation, &self.interrupt);
            hands.check_elevation("nvidia")?;
            let layout = Layout::new(Mode::NoService, &self.path("home"));
            hands.carry_out(step, &layout, &mut |_| {})
        }

        fn files(&self, folder: &str) -> Vec<String> {
            let entries = std::fs::read_dir(self.home.path().join(folder)).into_iter().flatten().flatten();
            let mut names: Vec<_> = entries.map(|e| e.file_name().into_string().unwrap()).collect();
            names.sort();
            names
        }
    }

    #[test]
    fn a_program_is_placed_after_it_ran_whatever_becoming_root_takes() {
        for elevation in [Elevation::None, Elevation::Sudo, Elevation::Password("sesame".into())] {
            let device = Device::new();
            let from = device.write("agent", "#!/bin/sh\necho trt-agent 0.1.0\n");
            let to = device.path("there/is a/trt-agent");
            let step = Step::PlaceBinary { from: from.clone().into(), to: to.clone() };
            assert_eq!(device.carry_out(&step, elevation).unwrap(), "trt-agent 0.1.0");
            assert_eq!(std::fs::read(&to).unwrap(), std::fs::read(&from).unwrap());
            assert_eq!(device.files("there/is a"), ["trt-agent"]);
        }
    }

    #[test]
    fn a_program_that_does_not_run_there_replaces_nothing() {
        let device = Device::new();
        let from = device.write("agent", "#!/bin/sh\necho wrong processor >&2\nexit 126\n");
        let to = device.write("there/trt-agent", "the old one");
        let error =
            device.carry_out(&Step::PlaceBinary { from: from.into(), to: to.clone() }, Elevation::None);
        assert!(error.unwrap_err().to_string().ends_with("wrong processor"));
        assert_eq!(std::fs::read_to_string(to).unwrap(), "the old one");
        assert_eq!(device.files("there"), ["trt-agent"]);
    }

    #[test]
    fn a_wrong_password_is_told_apart_from_a_failing_step() {
        let device = Device::new();
        let step = Step::Remove { path: device.path("nothing") };
        let error = device.carry_out(&step, Elevation::Password("open".into())).unwrap_err();
        assert!(
            matches!(&error, InstallError::SudoRefused { words, .. } if words.contains("Sorry")),
            "{error}"
        );
    }

    #[test]
    fn a_replaced_configuration_is_kept_beside_the_new_one() {
        let device = Device::new();
        let to = device.write("etc/config.yaml", "old");
        device
            .carry_out(&Step::WriteConfig { from: None, to: to.clone(), backup: true }, Elevation::None)
            .unwrap();
        assert_eq!(std::fs::read_to_string(&to).unwrap(), script::starter_config());
        let kept = device.files("etc").into_iter().find(|name| name != "config.yaml").unwrap();
        assert_eq!(std::fs::read_to_string(device.path(&format!("etc/{kept}"))).unwrap(), "old");
    }

    #[test]
    fn ctrl_c_stops_before_the_next_step() {
        let device = Device::new();
        device.interrupt.raise();
        let step = Step::Remove { path: device.path("bin/sudo") };
        assert!(matches!(device.carry_out(&step, Elevation::None), Err(InstallError::Interrupted(_))));
        assert_eq!(device.files("bin"), ["sudo"]);
    }
}
