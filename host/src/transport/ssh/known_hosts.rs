//! known_hosts files: which keys are recorded for a host, and where (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT").
//!
//! libssh2 reads these files too, but knows neither line numbers nor markers nor patterns; only its check of hashed
//! names is used.
use std::fs;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use rustix::fs::{FlockOperation, flock};
use sha2::{Digest, Sha256};
use ssh2::{CheckResult, KnownHostFileKind, Session};

use super::super::TransportError;

/// The marker in front of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marker {
    /// No marker: the host's own key.
    HostKey,
    /// `@cert-authority`: a key that signs host certificates.
    CertAuthority,
    /// `@revoked`: a key that must never be accepted.
    Revoked,
}

/// One line that concerns the host asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The file it is in.
    pub file: PathBuf,
    /// Its line number, from 1.
    pub line: usize,
    /// Its marker.
    pub marker: Marker,
    /// The key's type, as in "ssh-ed25519".
    pub kind: String,
    /// The key in SSH's wire format.
    pub key: Vec<u8>,
    /// The host is recorded by its name alone, though it was asked for with another port than 22.
    pub portless: bool,
}

/// The lines of all files that concern a host, in order. A file that does not exist has no lines.
pub fn lookup(files: &[PathBuf], host: &str, port: u16) -> Result<Vec<Entry>, TransportError> {
    let mut found = Vec::new();
    for file in files {
        match fs::read(file) {
            Ok(bytes) => found.extend(matching(&String::from_utf8_lossy(&bytes), file, host, port)),
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
            Err(source) => return Err(TransportError::KnownHosts { file: file.clone(), source }),
        }
    }
    // Like OpenSSH: the name without the port counts only where nothing names the port.
    if found.iter().any(|e| !e.portless) {
        found.retain(|e| !e.portless || e.marker == Marker::Revoked);
    }
    Ok(found)
}

fn matching(text: &str, file: &Path, host: &str, port: u16) -> Vec<Entry> {
    let name = recorded_name(host, port);
    text.lines()
        .enumerate()
        .filter_map(|(index, line)| {
            let (marker, names, kind, key) = parse(line)?;
            let portless = match names_match(names, &name) {
                true => false,
                false if name != host && names_match(names, host) => true,
                false => return None,
            };
            Some(Entry {
                file: file.to_owned(),
                line: index + 1,
                marker,
                kind: kind.to_owned(),
                key,
                portless,
            })
        })
        .collect()
}

/// The name under which a host is recorded: lower case, with the port unless it is 22.
pub fn recorded_name(host: &str, port: u16) -> String {
    let host = host.to_ascii_lowercase();
    if port == 22 { host } else { format!("[{host}]:{port}") }
}

/// The parts of a line; `None` for blank lines, comments and what OpenSSH would not understand either.
fn parse(line: &str) -> Option<(Marker, &str, &str, Vec<u8>)> {
    let mut words = line.split_ascii_whitespace();
    let mut names = words.next()?;
    let marker = match names {
        "@cert-authority" => Marker::CertAuthority,
        "@revoked" => Marker::Revoked,
        _ if names.starts_with(['#', '@']) => return None,
        _ => Marker::HostKey,
    };
    if marker != Marker::HostKey {
        names = words.next()?;
    }
    let kind = words.next()?;
    let key = words.next()?;
    let key = STANDARD.decode(key).or_else(|_| STANDARD_NO_PAD.decode(key)).ok()?;
    (key_kind(&key)? == kind).then_some((marker, names, kind, key))
}

/// A comma-separated list of patterns with `*`, `?` and `!`, or one hashed name.
fn names_match(names: &str, name: &str) -> bool {
    if names.starts_with("|1|") {
        return hashed_name_matches(names, name);
    }
    let mut matched = false;
    for pattern in names.split(',') {
        let (negated, pattern) = pattern.strip_prefix('!').map_or((false, pattern), |p| (true, p));
        if wildcard(pattern.to_ascii_lowercase().as_bytes(), name.to_ascii_lowercase().as_bytes()) {
            if negated {
                return false;
            }
            matched = true;
        }
    }
    matched
}

/// Matches `*` (any run) and `?` (any byte) in time proportional to the product of the lengths.
fn wildcard(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t, mut star) = (0, 0, None);
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(&c) if c == b'?' || c == text[t] => (p, t) = (p + 1, t + 1),
            _ => match star {
                // Let the last `*` take one byte more.
                Some((star_p, star_t)) => {
                    star = Some((star_p, star_t + 1));
                    (p, t) = (star_p + 1, star_t + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|&c| c == b'*')
}

/// Whether `|1|salt|HMAC-SHA1(salt, name)` is this name. libssh2 does the hashing; the key is of no interest.
fn hashed_name_matches(hashed: &str, name: &str) -> bool {
    let check = || -> Result<CheckResult, ssh2::Error> {
        let mut hosts = Session::new()?.known_hosts()?;
        hosts.read_str(&format!("{hashed} ssh-ed25519 {}\n", "A".repeat(32)), KnownHostFileKind::OpenSSH)?;
        Ok(hosts.check(name, &[0; 24]))
    };
    // A name with a NUL cannot be asked for; libssh2 refuses malformed hashes.
    !name.contains('\0') && matches!(check(), Ok(CheckResult::Match | CheckResult::Mismatch))
}

/// The type that a key in wire format says it has.
pub fn key_kind(key: &[u8]) -> Option<&str> {
    let (length, rest) = key.split_first_chunk::<4>()?;
    std::str::from_utf8(rest.get(..u32::from_be_bytes(*length) as usize)?).ok()
}

/// The fingerprint as OpenSSH shows it.
pub fn fingerprint(key: &[u8]) -> String {
    format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(key)))
}

/// Records a key: one whole line, appended under a lock, synced. Makes the folder (0700) and the file (0600).
pub fn append(file: &Path, host: &str, port: u16, key: &[u8]) -> Result<(), TransportError> {
    let add = || -> io::Result<()> {
        if let Some(folder) = file.parent().filter(|f| !f.as_os_str().is_empty()) {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        let mut out = fs::OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(file)?;
        flock(&out, FlockOperation::LockExclusive)?;
        let kind = key_kind(key).ok_or(io::ErrorKind::InvalidData)?;
        let line = format!("{} {kind} {}\n", recorded_name(host, port), STANDARD.encode(key));
        // An editor may have left the last line without its end.
        let unfinished = out.seek(SeekFrom::End(0))? > 0 && {
            let mut last = [0];
            out.seek(SeekFrom::End(-1))?;
            out.read_exact(&mut last)?;
            last != *b"\n"
        };
        out.write_all(if unfinished { format!("\n{line}") } else { line }.as_bytes())?;
        out.sync_all()
    };
    add().map_err(|source| TransportError::KnownHosts { file: file.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIATIZFOUHV6RhPQbukA2Ec03KIUPw5XG2zqYgrEVSXcP";

    #[test]
    fn names_match_as_in_openssh() {
        let cases = [
            ("nano", "nano", true),
            ("NANO", "nano", true),
            ("nano", "nano2", false),
            ("other,nano", "nano", true),
            ("10.0.0.?", "10.0.0.7", true),
            ("10.0.0.?", "10.0.0.17", false),
            ("*.lab", "nano.lab", true),
            ("*.lab", "nano.lab.example", false),
            ("*,!nano", "nano", false),
            ("!nano,*", "xavier", true),
            ("!nano", "xavier", false),
            ("[nano]:2222", "[nano]:2222", true),
            ("[nano]:*", "[nano]:2222", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("", "nano", false),
            // What `ssh-keygen -H` made of "nano" and of "[nano]:2222".
            ("|1|gRg1+ifOjvkTsCLpIS8m6eiM0XE=|l6pGnD1kLsepjuvdwpP0t+bdjWY=", "nano", true),
            ("|1|gRg1+ifOjvkTsCLpIS8m6eiM0XE=|l6pGnD1kLsepjuvdwpP0t+bdjWY=", "xavier", false),
            ("|1|0ZzdOh4kOpgGAqIvSOVCiOvZDiQ=|FDPX0S2fXP3am+2Bcs477pdHVaY=", "[nano]:2222", true),
            ("|1|0ZzdOh4kOpgGAqIvSOVCiOvZDiQ=|FDPX0S2fXP3am+2Bcs477pdHVaY=", "nano", false),
            ("|1|", "nano", false),
            ("|1|notbase64|notbase64", "nano", false),
        ];
        for (names, name, expected) in cases {
            assert_eq!(names_match(names, name), expected, "{names} {name}");
        }
    }

    #[test]
    fn many_stars_do_not_take_for_ever() {
        assert!(!wildcard("*a".repeat(200).as_bytes(), "b".repeat(5000).as_bytes()));
    }

    #[test]
    fn lines_that_say_nothing_are_passed_over() {
        let wrong_kind = KEY.replace("ssh-ed25519 ", "ssh-rsa ");
        for line in [
            "",
            "   ",
            "# nano ssh-ed25519 AAAA",
            "nano",
            "nano ssh-ed25519",
            "nano ssh-ed25519 !!!",
            "@other nano x y",
        ]
        .into_iter()
        .map(str::to_owned)
        .chain([
            format!("nano {wrong_kind}"),
            "nano ssh-ed25519 AAAA".into(),
            "nano ssh-ed25519 /////w==".into(),
        ]) {
            assert_eq!(parse(&line), None, "{line}");
        }
        assert!(parse(&format!("  nano\t{KEY} comment with spaces")).is_some());
    }

    #[test]
    fn entries_know_their_line_and_marker() {
        let text = format!("# comment\nother {KEY}\n\n@revoked * {KEY}\n[nano]:2222 {KEY}\r\nnano {KEY}\n");
        let found = matching(&text, Path::new("kh"), "nano", 2222);
        let lines: Vec<_> = found.iter().map(|e| (e.line, e.marker, e.portless)).collect();
        assert_eq!(
            lines,
            [(4, Marker::Revoked, false), (5, Marker::HostKey, false), (6, Marker::HostKey, true)]
        );
        assert_eq!(fingerprint(&found[0].key), "SHA256:nowfZwolayqFADcpUSTXCvQ/jZOFV9AY0ad1V7A+aF8");
    }

    #[test]
    fn a_key_is_appended_as_a_line_of_its_own() {
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("known_hosts");
        fs::write(&file, "# no newline at the end").expect("file");
        let key = STANDARD.decode(KEY.split(' ').nth(1).expect("key")).expect("base64");
        append(&file, "Nano", 22, &key).expect("appends");
        append(&file, "nano", 2222, &key).expect("appends");
        let text = fs::read_to_string(&file).expect("file");
        assert_eq!(text, format!("# no newline at the end\nnano {KEY}\n[nano]:2222 {KEY}\n"));
        let files = [folder.path().join("absent"), file];
        let found = lookup(&files, "nano", 22).expect("reads");
        assert_eq!(found.iter().map(|e| e.line).collect::<Vec<_>>(), [2]);
    }
}
