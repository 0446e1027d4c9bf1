//! What a deployment is, from manifest to active release.
//!
//! [`plan`] says what would happen; [`run`] does exactly that, as long as the facts still give the same engine key.

mod activate;
mod identity;
mod plan;
mod rollback;
mod run;

pub use plan::plan;
pub use rollback::rollback;
pub use run::{Control, Order, run};

#[cfg(test)]
mod composed;
#[cfg(test)]
mod tests;
