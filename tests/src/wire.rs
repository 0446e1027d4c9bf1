//! A host that is not `trt-deploy`: it speaks the protocol by hand, right or wrong.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use trt_wire::frame::{self, Frame, FrameError};
use trt_wire::message::{Hello, Intent, PROTOCOL, Planned, Reply, Request};
use trt_wire::{BlobId, BuildSpec, FileEntry, Manifest, ModelSummary, Precision, Verification};

use crate::Device;

/// A connection after the greeting.
#[derive(Debug)]
pub struct Wire(pub UnixStream);

impl Wire {
    /// Connects and greets as `name`.
    pub fn greet(device: &Device, name: &str) -> Self {
        let mut wire = Self::silent(device);
        wire.hello(PROTOCOL, name);
        wire.read::<Hello>().expect("a greeting");
        wire
    }

    /// Connects and says nothing.
    pub fn silent(device: &Device) -> Self {
        let stream = UnixStream::connect(device.socket()).expect("the agent listens");
        stream.set_read_timeout(Some(test_support::patience(Duration::from_secs(60)))).expect("a time limit");
        Self(stream)
    }

    /// Says hello with any protocol number.
    pub fn hello(&mut self, protocol: u32, name: &str) {
        let hello = Hello { protocol, version: "0.0.0".into(), features: vec![], name: name.into() };
        frame::write_message(&mut self.0, &hello).expect("the agent reads");
    }

    /// Reads one message.
    pub fn read<T: serde::de::DeserializeOwned>(&mut self) -> Result<T, FrameError> {
        Frame::read(&mut self.0)?.message()
    }

    /// Sends a request and reads until its final reply.
    pub fn ask(&mut self, request: &Request) -> Reply {
        frame::write_message(&mut self.0, request).expect("the agent reads");
        self.reply()
    }

    /// Reads until a final reply.
    pub fn reply(&mut self) -> Reply {
        loop {
            let reply: Reply = self.read().expect("a reply");
            if reply.is_final() {
                return reply;
            }
        }
    }

    /// Plans the deployment of one file and takes the lock.
    pub fn plan(&mut self, manifest: &Manifest) -> Planned {
        let request = Request::Plan {
            manifest: Box::new(manifest.clone()),
            intent: Intent::Deploy,
            rebuild: false,
            table_promised: None,
        };
        match self.ask(&request) {
            Reply::Planned(planned) => *planned,
            other => panic!("no plan: {other:?}"),
        }
    }

    /// Announces a blob and sends these bytes for it.
    pub fn upload(&mut self, blob: BlobId, size: u64, offset: u64, bytes: &[u8]) {
        frame::write_message(&mut self.0, &Request::Upload { blob, size, offset }).expect("the agent reads");
        for piece in bytes.chunks(64 << 10) {
            frame::write_data(&mut self.0, piece).expect("the agent reads");
        }
        self.0.flush().expect("the agent reads");
    }

    /// The manifest of an FP32 model of one file with a fixed input.
    pub fn manifest(model: &str, bytes: &[u8]) -> Manifest {
        Manifest {
            format: Manifest::FORMAT,
            model: model.parse().expect("a name"),
            files: vec![FileEntry {
                path: "model.onnx".into(),
                blob: BlobId::of(bytes),
                size: bytes.len() as u64,
            }],
            table: None,
            summary: ModelSummary {
                opset: 13,
                has_qdq: false,
                inputs: vec![],
                outputs: vec![],
                operators: Default::default(),
            },
            build: BuildSpec::new(Precision::Fp32),
            verification: Verification { required: false },
            hook: None,
        }
    }
}
