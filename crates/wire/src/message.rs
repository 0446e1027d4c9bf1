//! The conversation between host and agent.
//!
//! Each side sends [`Hello`] first. Then the host sends one [`Request`] at a time and the agent answers with any
//! number of [`Reply::Event`]s and one final reply ([`Reply::is_final`]). Only [`Request::Cancel`] may be sent while a
//! request is under way. Bytes of a blob follow a [`Request::Upload`] as data frames (see [`crate::frame`]).
//!
//! A push is: `Hello` – `Plan` – `Upload`* – `Deploy`. The agent holds its deployment lock from a `Plan` with
//! [`Intent::Deploy`] until the connection ends.

use serde::{Deserialize, Serialize};

use crate::{
    BlobId, BuildPlan, Decision, DeviceFacts, EngineKey, Failure, Finding, Manifest, ModelName, Precision,
    QuantMode, ReleaseId, RuntimeName,
};

/// The protocol this crate describes. Sides with different numbers refuse each other.
pub const PROTOCOL: u32 = 2;

/// The first message of both sides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`PROTOCOL`] of the sender.
    pub protocol: u32,
    /// The sender's program version.
    pub version: String,
    /// Optional abilities of the sender; unknown words are ignored.
    #[serde(default)]
    pub features: Vec<String>,
    /// Who this is: `user@host` for the host side, the device's host name for the agent.
    pub name: String,
}

/// Whether a plan is to be carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Intent {
    /// Only look; nothing is locked or changed.
    Look,
    /// Take the deployment lock if there is anything to do.
    Deploy,
}

/// What the host asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "kebab-case")]
pub enum Request {
    /// The device's facts; answered with [`Reply::Facts`].
    Facts {
        /// The place to build in; the configuration's default one if absent.
        #[serde(default)]
        runtime: Option<RuntimeName>,
    },
    /// What is good and bad about the device; answered with [`Reply::Examined`].
    Doctor,
    /// What is active; answered with [`Reply::Status`].
    Status,
    /// What a deployment would do; answered with [`Reply::Planned`].
    Plan {
        /// What to deploy.
        manifest: Box<Manifest>,
        /// Whether to take the lock.
        intent: Intent,
        /// Build a new engine even if there is one already.
        rebuild: bool,
        /// There is no table yet, and there will be one of this algorithm: plan as if it were here. Only for
        /// [`Intent::Look`].
        #[serde(default)]
        table_promised: Option<String>,
    },
    /// Bytes of a blob follow, from `offset` to `size`; answered with [`Reply::Stored`].
    Upload {
        /// The blob.
        blob: BlobId,
        /// Its full size in bytes.
        size: u64,
        /// Where the data frames start; what [`Missing::have`] said.
        offset: u64,
    },
    /// Carry out what was planned on this connection; answered with [`Reply::Deployed`].
    Deploy {
        /// The key that the plan showed; the agent refuses if it would now be another.
        expect: EngineKey,
    },
    /// Stop the deployment under way.
    Cancel,
    /// Activate an earlier release; answered with [`Reply::RolledBack`].
    Rollback {
        /// The model.
        model: ModelName,
        /// The release, by any unambiguous prefix of its hex digits; the previous one if absent.
        to: Option<String>,
        /// Whether to switch, or only to say what would be switched.
        intent: Intent,
    },
}

/// A blob the device does not have completely.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// The blob.
    pub blob: BlobId,
    /// Its full size in bytes.
    pub size: u64,
    /// How many bytes an interrupted upload left on the device.
    pub have: u64,
}

/// What a deployment will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// This release is active already.
    Nothing,
    /// The engine is on the device; only activate it.
    Activate,
    /// Build an engine, then activate it.
    Build,
}

/// The agent's answer to [`Request::Plan`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planned {
    /// What will happen.
    pub action: Action,
    /// How the engine is built, with the reasons.
    pub plan: BuildPlan,
    /// The engine's identity.
    pub engine: EngineKey,
    /// The release's identity.
    pub release: ReleaseId,
    /// The release that is active now.
    pub current: Option<ReleaseId>,
    /// What must be uploaded first.
    pub missing: Vec<Missing>,
    /// The facts the plan rests on.
    pub facts: DeviceFacts,
    /// Wall time in milliseconds of the last successful build of this model on this device.
    pub last_build_ms: Option<u64>,
}

/// A phase of a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// The graph is prepared: Q/DQ inserted, types converted.
    Compose,
    /// TensorRT parses the ONNX.
    Parse,
    /// TensorRT builds.
    Build,
    /// The engine is checked against the FP32 reference.
    Verify,
    /// `current` is switched and the hook runs.
    Activate,
}

/// Something that happens during a deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A phase begins.
    Phase {
        /// Which one.
        phase: Phase,
    },
    /// TensorRT is inside this step. Its steps cover little of the wall time: no percentage can be made of them.
    Step {
        /// TensorRT's name for the step.
        name: String,
    },
    /// TensorRT says something at `warning` or above.
    Log {
        /// `error` or `warning`.
        severity: String,
        /// TensorRT's own words.
        text: String,
    },
    /// Something was decided on the way, before what may take long. The final reply has all decisions, these too.
    Decision {
        /// The decision.
        decision: Decision,
    },
}

/// What became of the check against FP32.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verification", rename_all = "kebab-case")]
pub enum VerifyOutcome {
    /// Nobody compared the engine with FP32.
    NotVerified {
        /// Why not.
        because: String,
    },
}

/// A finished deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployed {
    /// The release that is active now.
    pub release: ReleaseId,
    /// Its engine.
    pub engine: EngineKey,
    /// The engine's size in bytes.
    pub engine_bytes: u64,
    /// Wall time of the build in milliseconds; absent if an existing engine was used.
    pub build_ms: Option<u64>,
    /// Whether the engine was proven.
    pub verify: VerifyOutcome,
    /// What was decided, plan and build together.
    pub decisions: Vec<Decision>,
    /// The path applications open.
    pub path: String,
}

/// One release on a device, as `status` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseStatus {
    /// The release.
    pub release: ReleaseId,
    /// Its engine.
    pub engine: EngineKey,
    /// The precision built.
    pub precision: Precision,
    /// Where its scales come from.
    pub mode: QuantMode,
    /// Nodes that were quantized from the table; the others run in higher precision. 0 without inserted Q/DQ.
    pub quantized: u32,
    /// The TensorRT that built it, such as `TensorRT 10.3.0`.
    pub tensorrt: String,
    /// The engine's size in bytes.
    pub engine_bytes: u64,
    /// Whether it was proven.
    pub verify: VerifyOutcome,
    /// What was decided for this release, plan and build together.
    #[serde(default)]
    pub decisions: Vec<Decision>,
    /// When it was last activated, in seconds since 1970 by the device's clock.
    pub activated: Option<u64>,
}

/// One model on a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelStatus {
    /// The model.
    pub model: ModelName,
    /// The active release, if any.
    pub current: Option<ReleaseStatus>,
    /// What is wrong with it, if its files on the device cannot be made sense of.
    pub problem: Option<String>,
    /// Where `rollback` would go.
    pub previous: Option<ReleaseId>,
    /// The path applications open.
    pub path: String,
}

/// Somebody who deploys right now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Busy {
    /// The name given in [`Hello`].
    pub who: String,
    /// For how many seconds.
    pub seconds: u64,
}

/// What the agent answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "kebab-case")]
pub enum Reply {
    /// Something happened; more follows.
    Event(Event),
    /// The device's facts.
    Facts {
        /// The facts.
        facts: Box<DeviceFacts>,
    },
    /// What is good and bad about the device.
    Examined {
        /// The findings, in the order of the checks.
        findings: Vec<Finding>,
        /// What they rest on.
        facts: Box<DeviceFacts>,
    },
    /// What is on the device.
    Status {
        /// All models.
        models: Vec<ModelStatus>,
        /// Who deploys right now.
        busy: Option<Busy>,
    },
    /// What a deployment will do.
    Planned(Box<Planned>),
    /// A blob is complete, verified and durable.
    Stored {
        /// The blob.
        blob: BlobId,
    },
    /// A deployment is done.
    Deployed(Box<Deployed>),
    /// An earlier release is active, or would be.
    RolledBack {
        /// The release that was active.
        from: ReleaseId,
        /// The release that is active now.
        to: ReleaseId,
        /// The path applications open.
        path: String,
    },
    /// The request failed; the connection stays usable unless the transport broke.
    Failed(Failure),
}

impl Reply {
    /// Whether this reply ends its request.
    pub fn is_final(&self) -> bool {
        !matches!(self, Self::Event(_))
    }
}
