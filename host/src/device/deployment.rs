//! A deployment on its way: proposed, staged, deployed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;

use trt_wire::BlobId;
use trt_wire::message::{Deployed, Event, Missing, Planned, Reply, Request};

use super::{Agent, DeviceError};

/// How much of a blob goes into one frame; large enough for SSH to be fast.
const PIECE: usize = 512 << 10;

/// What a deployment would do; nothing is changed yet.
pub struct Proposal<'a> {
    pub(super) agent: &'a mut Agent,
    /// The agent's plan.
    pub planned: Planned,
}

/// A deployment whose blobs are all on the device.
pub struct Staged<'a> {
    agent: &'a mut Agent,
    planned: Planned,
}

impl<'a> Proposal<'a> {
    /// Bytes that must be sent.
    pub fn upload_bytes(&self) -> u64 {
        self.planned.missing.iter().map(|missing| missing.size - missing.have).sum()
    }

    /// Sends what the device does not have, from where an interrupted upload stopped. `progress` gets bytes sent so far.
    pub fn upload(
        self,
        sources: &BTreeMap<BlobId, PathBuf>,
        progress: impl Fn(u64),
    ) -> Result<Staged<'a>, DeviceError> {
        let Self { agent, planned } = self;
        let mut sent = 0;
        for missing in &planned.missing {
            let path = sources.get(&missing.blob).ok_or_else(|| DeviceError::ForeignBlob {
                peer: agent.peer().to_owned(),
                blob: missing.blob,
            })?;
            send_blob(agent, missing, path, &mut |piece| {
                sent += piece;
                progress(sent);
            })?;
        }
        Ok(Staged { agent, planned })
    }
}

fn send_blob(
    agent: &mut Agent,
    missing: &Missing,
    path: &PathBuf,
    progress: &mut impl FnMut(u64),
) -> Result<(), DeviceError> {
    let failed = |source| DeviceError::Source { path: path.clone(), source };
    let mut file = File::open(path).map_err(failed)?;
    file.seek(SeekFrom::Start(missing.have)).map_err(failed)?;
    agent.send(&Request::Upload { blob: missing.blob, size: missing.size, offset: missing.have })?;
    let mut remaining = missing.size - missing.have;
    let mut buffer = vec![0; PIECE];
    while remaining > 0 {
        let want = remaining.min(PIECE as u64) as usize;
        file.read_exact(&mut buffer[..want]).map_err(failed)?;
        agent.send_data(&buffer[..want])?;
        remaining -= want as u64;
        progress(want as u64);
    }
    agent.flush()?;
    match agent.reply(|_| {})? {
        Reply::Stored { blob } if blob == missing.blob => Ok(()),
        other => Err(agent.confused(&other)),
    }
}

impl Staged<'_> {
    /// Carries out exactly what was planned. Ctrl-C cancels it on the device; one that comes too late changes nothing.
    pub fn deploy(self, events: impl FnMut(Event)) -> Result<Deployed, DeviceError> {
        self.agent.send(&Request::Deploy { expect: self.planned.engine })?;
        match self.agent.reply_or_cancel(events)? {
            Reply::Deployed(deployed) => Ok(*deployed),
            other => Err(self.agent.confused(&other)),
        }
    }
}
