//! What a private key file holds, as far as that can be seen without its passphrase.
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::super::KeyProblem;

/// Key files are a few kilobytes; anything larger is something else.
const LARGEST: u64 = 64 << 10;

/// A private key file, read.
pub struct KeyFile {
    /// The file's text.
    pub text: String,
    /// Whether a passphrase is needed.
    pub encrypted: bool,
}

impl KeyFile {
    /// Reads the file and looks at its kind.
    pub fn read(file: &Path) -> Result<Self, KeyProblem> {
        let unreadable = |e: std::io::Error| match e.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => KeyProblem::Missing,
            _ => KeyProblem::Unreadable(e),
        };
        if fs::metadata(file).map_err(unreadable)?.len() > LARGEST {
            return Err(KeyProblem::Format("it is larger than any key".into()));
        }
        let bytes = fs::read(file).map_err(unreadable)?;
        let text = String::from_utf8(bytes).map_err(|_| KeyProblem::Format("it is not text".into()))?;
        let encrypted = is_encrypted(&text).map_err(|why| KeyProblem::Format(why.into()))?;
        Ok(Self { text, encrypted })
    }
}

fn is_encrypted(text: &str) -> Result<bool, &'static str> {
    if text.starts_with("PuTTY-User-Key-File") {
        return Err("it is a PuTTY key; `puttygen KEY -O private-openssh -o NEW` converts it");
    }
    if text.starts_with("ssh-")
        || text.starts_with("ecdsa-")
        || text.starts_with("---- BEGIN SSH2 PUBLIC KEY")
    {
        return Err("it is a public key");
    }
    let begin = text.lines().find_map(|l| l.strip_prefix("-----BEGIN ")?.trim_end().strip_suffix("-----"));
    match begin {
        None => Err("it has no `-----BEGIN … PRIVATE KEY-----` line"),
        Some(label) if !label.ends_with("PRIVATE KEY") => Err("it holds no private key"),
        Some("ENCRYPTED PRIVATE KEY") => Ok(true),
        Some("OPENSSH PRIVATE KEY") => openssh_is_encrypted(text).ok_or("it is damaged"),
        Some(_) => Ok(text.lines().any(|l| l.starts_with("Proc-Type:") && l.contains("ENCRYPTED"))),
    }
}

/// The format starts with a magic string and the name of the cipher, "none" if there is none (OpenSSH, PROTOCOL.key).
fn openssh_is_encrypted(text: &str) -> Option<bool> {
    let body: String =
        text.lines().filter(|l| !l.starts_with("-----")).flat_map(str::split_whitespace).collect();
    let bytes = STANDARD.decode(body).ok()?;
    let (length, rest) = bytes.strip_prefix(b"openssh-key-v1\0")?.split_first_chunk::<4>()?;
    Some(rest.get(..u32::from_be_bytes(*length) as usize)? != b"none")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_of_a_key_shows_without_its_passphrase() {
        let plain = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAE\n-----END OPENSSH PRIVATE KEY-----\n";
        let cases = [
            (plain, Ok(false)),
            (
                "-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n-----END OPENSSH PRIVATE KEY-----\n",
                Err("damaged"),
            ),
            ("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n", Ok(true)),
            ("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES\n\nAAAA\n", Ok(true)),
            ("-----BEGIN RSA PRIVATE KEY-----\nAAAA\n", Ok(false)),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n", Err("no private key")),
            ("ssh-ed25519 AAAA me@here\n", Err("public key")),
            ("PuTTY-User-Key-File-3: ssh-ed25519\n", Err("PuTTY")),
            ("hello\n", Err("BEGIN")),
            ("", Err("BEGIN")),
        ];
        for (text, expected) in cases {
            match (is_encrypted(text), expected) {
                (Ok(got), Ok(want)) => assert_eq!(got, want, "{text}"),
                (Err(got), Err(want)) => assert!(got.contains(want), "{text}: {got}"),
                (got, want) => panic!("{text}: {got:?}, not {want:?}"),
            }
        }
    }
}
