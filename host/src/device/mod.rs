//! A device as the host sees it: reach it, greet its agent, and walk a deployment through its states.
//!
//! [`connect`] gives an [`Agent`], a connection after the greeting. [`Agent::plan`] gives a [`Proposal`], whose blobs are
//! [uploaded](Proposal::upload) to make it [staged](deployment::Staged), and then
//! [deployed](deployment::Staged::deploy). A method exists only where it is allowed.

mod agent;
mod deployment;
mod error;
mod prompt;
mod reach;
mod replies;

pub use agent::{Agent, RollBack, Traffic, Wish};
pub use deployment::Proposal;
pub use error::DeviceError;
pub use prompt::ask_secret;
pub use reach::{Access, Way, connect, reach};
