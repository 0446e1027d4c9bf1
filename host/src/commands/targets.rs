//! Which devices a verb is about, and how they may be reached: the same words for every verb.

use crate::device::Access;
use crate::fleet::{Device, Fleet, FleetError, Selector};

/// Devices, groups and labels on the command line.
#[derive(Debug, clap::Args)]
pub struct Targets {
    /// Devices or groups of the fleet file
    #[arg(value_name = "TARGET")]
    names: Vec<String>,
    /// Devices with these labels: `key=value`, `key!=value`, joined by commas
    #[arg(long, short = 'l')]
    selector: Vec<Selector>,
    /// How to get in.
    #[command(flatten)]
    pub access: Access,
}

impl Targets {
    /// The devices named; naming none is an error, since the verb changes something.
    pub fn chosen<'a>(&self, fleet: &'a Fleet) -> Result<Vec<&'a Device>, FleetError> {
        fleet.select(&self.names, &self.selector)
    }

    /// The devices named, or all of the fleet if none is: the verb only looks.
    pub fn chosen_or_all<'a>(&self, fleet: &'a Fleet) -> Result<Vec<&'a Device>, FleetError> {
        if self.names.is_empty() && self.selector.is_empty() {
            return Ok(fleet.devices.values().collect());
        }
        self.chosen(fleet)
    }
}
