//! Whether the server is the one that the user knows.
use std::path::PathBuf;

use super::super::{RecordedKey, TransportError};
use super::SshOptions;
use super::known_hosts::{self, Entry, Marker};

/// The key by which the server has shown who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostKey {
    /// The key's type, as in "ssh-ed25519".
    pub kind: String,
    /// The fingerprint as OpenSSH shows it, "SHA256:…".
    pub fingerprint: String,
    /// The file that it was added to just now, since it was unknown and `accept_new` is set.
    pub recorded_in: Option<PathBuf>,
}

/// Orders the algorithms so that the server shows a key of a recorded type if it has one.
///
/// Otherwise it would show its favourite, which need not be recorded, and look like another server. libssh2 would
/// accept certificates as well, but nothing here can check them. RSA keys sign with several algorithms.
pub fn algorithms(supported: &[&'static str], recorded: &[Entry]) -> String {
    let is_recorded = |algorithm: &str| {
        let kind = if algorithm.starts_with("rsa-sha2-") { "ssh-rsa" } else { algorithm };
        recorded.iter().any(|e| e.marker == Marker::HostKey && e.kind == kind)
    };
    let plain = supported.iter().copied().filter(|a| !a.contains("-cert-"));
    let (first, rest): (Vec<_>, Vec<_>) = plain.partition(|a| is_recorded(a));
    [first, rest].concat().join(",")
}

/// Accepts the key if it is recorded, or unknown and `accept_new` is set; then it is recorded.
pub fn verify(options: &SshOptions, recorded: &[Entry], key: &[u8]) -> Result<HostKey, TransportError> {
    let host = known_hosts::recorded_name(&options.host, options.port);
    let kind = known_hosts::key_kind(key).unwrap_or("unknown type").to_owned();
    let fingerprint = known_hosts::fingerprint(key);
    let with = |marker| recorded.iter().filter(move |e| e.marker == marker);

    if let Some(Entry { file, line, .. }) = with(Marker::Revoked).find(|e| e.key == key) {
        return Err(TransportError::HostKeyRevoked { host, fingerprint, file: file.clone(), line: *line });
    }
    if with(Marker::HostKey).any(|e| e.key == key) {
        return Ok(HostKey { kind, fingerprint, recorded_in: None });
    }
    // A host that is known without its port may well be another machine behind the same address: unknown, not changed.
    let mut others = with(Marker::HostKey).filter(|e| !e.portless);
    if let Some(other) = others.clone().find(|e| e.kind == kind).or_else(|| others.next()) {
        let recorded = Box::new(RecordedKey {
            file: other.file.clone(),
            line: other.line,
            kind: other.kind.clone(),
            fingerprint: known_hosts::fingerprint(&other.key),
        });
        return Err(TransportError::HostKeyChanged { host, kind, fingerprint, recorded });
    }
    if options.accept_new {
        let recorded_in = options.known_hosts.first().cloned();
        if let Some(file) = &recorded_in {
            known_hosts::append(file, &options.host, options.port, key)?;
        }
        return Ok(HostKey { kind, fingerprint, recorded_in });
    }
    if let Some(Entry { file, line, .. }) = with(Marker::CertAuthority).next() {
        return Err(TransportError::HostKeyCertificate {
            host,
            kind,
            fingerprint,
            file: file.clone(),
            line: *line,
        });
    }
    let file = options.known_hosts.first().cloned().unwrap_or_default();
    Err(TransportError::HostKeyUnknown { host, kind, fingerprint, file })
}
