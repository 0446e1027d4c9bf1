//! Short commands and file uploads over any [`Transport`].
use std::io::{Read, Write};

use super::{Channel, Exit, RemoteCommand, Transport, TransportError, quote};

/// The most that [`run`] keeps of a command's stdout.
const OUTPUT_LIMIT: usize = 1 << 20;

/// How much of a file goes into one write: libssh2 is fast only with large ones.
const UPLOAD_CHUNK: usize = 512 << 10;

/// What a command said and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Everything on stdout, at most 1 MiB.
    pub stdout: Vec<u8>,
    /// The last 64 KiB of stderr.
    pub stderr: String,
    /// How it ended.
    pub exit: Exit,
}

impl Output {
    /// Fails unless the command ended with status 0; status 127 is [`TransportError::CommandNotFound`].
    ///
    /// An agent's stream that ends before the first frame is explained by this, too.
    pub fn success(self, peer: &str, command: &RemoteCommand) -> Result<Self, TransportError> {
        let (peer, command) = (peer.to_owned(), command.line().to_owned());
        match self.exit {
            Exit::Code(0) => Ok(self),
            Exit::Code(127) => Err(TransportError::CommandNotFound { peer, command, stderr: self.stderr }),
            exit => Err(TransportError::CommandFailed { peer, command, exit, stderr: self.stderr }),
        }
    }
}

/// Runs a command without input and collects what it says. Any exit status is a success here.
pub fn run(transport: &mut dyn Transport, command: &RemoteCommand) -> Result<Output, TransportError> {
    let peer = transport.describe();
    let Channel { reader, writer, control } = transport.open(command)?;
    drop(writer);
    let mut stdout = Vec::new();
    let limit = OUTPUT_LIMIT as u64 + 1;
    reader.take(limit).read_to_end(&mut stdout).map_err(|e| TransportError::from_io(e, &peer))?;
    if stdout.len() > OUTPUT_LIMIT {
        control.kill();
        return Err(TransportError::OutputTooLong {
            peer,
            command: command.line().to_owned(),
            limit: OUTPUT_LIMIT,
        });
    }
    let exit = control.wait()?;
    Ok(Output { stdout, stderr: control.stderr(), exit })
}

/// A file to be put on the device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// The absolute path on the device; its folder exists.
    pub path: String,
    /// The number of bytes that the source has.
    pub size: u64,
    /// The permission bits of the file.
    pub mode: u32,
}

impl Upload {
    /// The script that takes the file on its stdin.
    ///
    /// The count decides whether the file is complete: an input that ends early, since the host was stopped or the
    /// network failed, looks like the end of a file. Complaining into a connection that is gone must not stop the cleaning up, hence
    /// the ignored signals. `sync FILE` is in coreutils since 8.24, thus in JetPack 4.
    fn command(&self) -> RemoteCommand {
        let Self { path, size, mode } = self;
        RemoteCommand::script(&format!(
            r#"final={path}
part="$final.part.$$"
trap '' HUP PIPE
trap 'rm -f -- "$part"' EXIT
umask 077
cat > "$part" || exit 1
test "$(wc -c < "$part")" -eq {size} || {{ echo "input ended early" >&2; exit 1; }}
chmod {mode:o} "$part" && sync "$part" && mv -f -- "$part" "$final" && sync "${{final%/*}}/" && echo stored"#,
            path = quote(path),
        ))
    }
}

/// Puts a file on the device: written beside its place, synced, renamed. Nothing is left there if it fails.
///
/// `progress` gets the number of bytes handed over so far, at most some buffers ahead of the network.
pub fn upload(
    transport: &mut dyn Transport,
    file: &Upload,
    source: &mut dyn Read,
    progress: &mut dyn FnMut(u64),
) -> Result<(), TransportError> {
    let command = file.command();
    let peer = transport.describe();
    let Channel { mut reader, mut writer, control } = transport.open(&command)?;
    let sent = send(file, source, writer.as_mut(), progress).map_err(|e| TransportError::from_io(e, &peer));
    if let Err(error) = &sent
        && !matches!(error, TransportError::Stream { .. })
    {
        control.kill();
        return sent;
    }
    // After a broken pipe too: the device's own words say more.
    drop(writer);
    let mut stdout = Vec::new();
    reader.read_to_end(&mut stdout).map_err(|e| TransportError::from_io(e, &peer))?;
    let exit = control.wait()?;
    let stored = stdout.ends_with(b"stored\n");
    let output = Output { stdout, stderr: control.stderr(), exit }.success(&peer, &shown(file))?;
    sent?;
    if stored {
        return Ok(());
    }
    // libssh2 reports status 0 when a server closes the channel without any status.
    let (command, exit, stderr) = (shown(file).line().to_owned(), Exit::Closed, output.stderr);
    Err(TransportError::CommandFailed { peer, command, exit, stderr })
}

/// The command in words for errors; the script would fill the screen.
fn shown(file: &Upload) -> RemoteCommand {
    RemoteCommand::new("upload").arg(&file.path)
}

fn send(
    file: &Upload,
    source: &mut dyn Read,
    writer: &mut dyn Write,
    progress: &mut dyn FnMut(u64),
) -> std::io::Result<()> {
    let failed = |source| TransportError::Source { path: file.path.clone(), source };
    let mut chunk = vec![0; UPLOAD_CHUNK];
    let mut sent = 0;
    while sent < file.size {
        let want = UPLOAD_CHUNK.min(usize::try_from(file.size - sent).unwrap_or(UPLOAD_CHUNK));
        let got = source.read(&mut chunk[..want]).map_err(failed)?;
        if got == 0 {
            Err(failed(std::io::ErrorKind::UnexpectedEof.into()))?;
        }
        writer.write_all(&chunk[..got])?;
        sent += got as u64;
        progress(sent);
    }
    writer.flush()
}
