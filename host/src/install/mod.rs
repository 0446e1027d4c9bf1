//! Puts the agent on devices, looks at it there, and takes it away again.
//!
//! A [`Survey`] of the device and the user's wishes give a plan, a list of [`Step`]s, which [`Hands`] carry out one by
//! one over a transport. Each step is one short POSIX script on the device; nothing needs to be installed there before.
//! What this is not: it does not speak the agent's protocol, and it does not print.

mod binary;
mod error;
mod hands;
mod layout;
mod plan;
mod process;
mod script;
mod survey;

pub use binary::Binary;
pub use error::InstallError;
pub use hands::{Elevation, Hands};
pub use layout::{Layout, Mode};
pub use plan::{Install, Plan, Step, install, uninstall};
pub use survey::{Found, Root, Survey};
