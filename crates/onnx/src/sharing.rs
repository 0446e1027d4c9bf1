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
//!   has a scale of its own. So neither is shared unless asked for, see [`Sharing`].
//!
//! Whatever else (Pad, Expand, Tile, AveragePool, Relu) has a scale of its own: no table or text says otherwise.
//!
//! # Which value leads
//! The scale of a set is that of its last MaxPool's output, else that of the value that all others are copies of. A set
//! that follows another takes that one's scale, and so on to the end of the chain.
//!
//! # Conflicts
//! A value has one scale. If several nodes claim it, Concat comes before Slice, Split and Gather, since it is Concat that
//! is free if its inputs have its output's scale and a copy otherwise; of several Concats the first in the order of
//! computation wins. The others are [listed](Propagation::conflicts): TensorRT rescales there.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use crate::model::Model;
use crate::proto::{GraphProto, NodeProto};

/// Which parts share the scale of the whole: by default none, as in the tables of TensorRT 8.4 and later.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Sharing {
    /// Whether what Concat reads follows what it writes.
    pub concat: bool,
    /// Whether what Slice, Split and Gather pick follows what they pick it from.
    pub slice: bool,
}

impl Sharing {
    /// What concats read and what is picked from others share a scale too, as NVIDIA's text of 2019 has it.
    pub const ALL: Self = Self { concat: true, slice: true };
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
    /// The leader of each member; an activation that is not listed has a scale of its own.
    pub fn leaders(&self) -> HashMap<&str, &str> {
        let mut leaders = HashMap::new();
        for group in &self.groups {
            leaders.extend(group.members.iter().map(|member| (member.name.as_str(), group.leader.as_str())));
        }
        leaders
    }
}

/// Finds the activations of `model` that share one scale.
///
/// Only activations are grouped: constants, integers and the insides of subgraphs have no scale.
pub fn propagation(model: &Model, sharing: Sharing) -> Propagation {
    let graph = model.graph();
    let activations = model.activations();
    let mut finder = Finder {
        graph,
        at: activations.iter().enumerate().map(|(at, found)| (found.name.as_str(), at)).collect(),
        sets: (0..activations.len()).map(Set::of).collect(),
        home: (0..activations.len()).collect(),
        links: vec![Vec::new(); activations.len()],
        claims: Vec::new(),
    };
    finder.same_values();
    if sharing.concat {
        finder.concats();
    }
    if sharing.slice {
        finder.parts();
    }
    let name = |at: usize| activations[at].name.clone();
    let described = |node: usize| (graph.node[node].display(node), graph.node[node].op().to_owned());
    let mut groups = Vec::new();
    let leaders = finder.leaders();
    for leader in (0..activations.len()).filter(|&at| leaders[at] == at) {
        let members = finder.reached_from(leader).into_iter().map(|(at, Link { to, node })| {
            let (node, op) = described(node);
            Member { name: name(at), from: name(to), node, op }
        });
        let members: Vec<Member> = members.collect();
        if !members.is_empty() {
            groups.push(Shared { leader: name(leader), members });
        }
    }
    // A claim on a value that ends up with the same scale by another way is none.
    finder.claims.sort_by_key(|claim| (claim.node, claim.value));
    let lost = finder.claims.iter().map(|claim| (claim, leaders[claim.value], leaders[claim.by]));
    let conflicts = lost.filter(|(_, follows, instead_of)| follows != instead_of).map(|(claim, has, not)| {
        let (node, op) = described(claim.node);
        Conflict { name: name(claim.value), follows: name(has), instead_of: name(not), node, op }
    });
    Propagation { groups, conflicts: conflicts.collect() }
}

/// Activations are numbers here, in the order of computation.
struct Finder<'a> {
    graph: &'a GraphProto,
    at: HashMap<&'a str, usize>,
    /// What is known of the set that each activation is the origin of.
    sets: Vec<Set>,
    /// The origin of each activation: the one that it is a copy of.
    home: Vec<usize>,
    /// To whom each activation is linked. The links form no circle: a copy has one source, a set follows one other.
    links: Vec<Vec<Link>>,
    claims: Vec<Claim>,
}

/// All copies of one activation.
#[derive(Clone, Copy)]
struct Set {
    /// Whose histogram serves for all of it, unless it follows another set.
    leader: usize,
    /// The origin of the set that it follows.
    follows: Option<usize>,
}

impl Set {
    fn of(origin: usize) -> Self {
        Self { leader: origin, follows: None }
    }
}

#[derive(Clone, Copy)]
struct Link {
    to: usize,
    node: usize,
}

/// A node that came too late: `value` follows another than `by`.
struct Claim {
    value: usize,
    by: usize,
    node: usize,
}

impl<'a> Finder<'a> {
    fn activation(&self, name: Option<&str>) -> Option<usize> {
        self.at.get(name?).copied()
    }

    /// The nodes that are `wanted`, with their numbers.
    fn nodes(&self, wanted: impl Fn(&NodeProto) -> bool) -> Vec<(usize, &'a NodeProto)> {
        self.graph.node.iter().enumerate().filter(|(_, node)| wanted(node)).collect()
    }

    fn link(&mut self, a: usize, b: usize, node: usize) {
        self.links[a].push(Link { to: b, node });
        self.links[b].push(Link { to: a, node });
    }

    fn same_values(&mut self) {
        for (index, node) in self.nodes(keeps_values) {
            let output = self.activation(node.output.first().map(String::as_str));
            let (Some(input), Some(output)) = (self.activation(node.input(0)), output) else { continue };
            let home = self.home[input];
            self.home[output] = home;
            if node.is("MaxPool") {
                self.sets[home].leader = output;
            }
            self.link(input, output, index);
        }
    }

    fn concats(&mut self) {
        for (index, node) in self.nodes(|node| node.is("Concat")) {
            let Some(output) = self.activation(node.outputs().next()) else { continue };
            for input in &node.input {
                if let Some(input) = self.activation(Some(input)) {
                    self.follow(input, output, index);
                }
            }
        }
    }

    fn parts(&mut self) {
        for (index, node) in self.nodes(|node| ["Slice", "Split", "Gather"].iter().any(|op| node.is(op))) {
            let Some(whole) = self.activation(node.input(0)) else { continue };
            for part in node.outputs() {
                if let Some(part) = self.activation(Some(part)) {
                    self.follow(part, whole, index);
                }
            }
        }
    }

    /// Makes the set of `value` follow that of `by`, unless it follows one.
    ///
    /// The sets never form a circle: an origin is computed by one node, so that either what it follows is a Concat's
    /// result, and then a later one, or it is a part of what it follows, which is then an earlier one. A Concat's result
    /// is nobody's part.
    fn follow(&mut self, value: usize, by: usize, node: usize) {
        let (set, target) = (self.home[value], self.home[by]);
        match self.sets[set].follows {
            None => {
                self.sets[set].follows = Some(target);
                self.link(value, by, node);
            }
            Some(followed) if followed == target => {}
            Some(_) => self.claims.push(Claim { value, by, node }),
        }
    }

    /// The leader of each activation. Every set is looked at once, however long the chains are.
    fn leaders(&self) -> Vec<usize> {
        let mut known: Vec<Option<usize>> = vec![None; self.sets.len()];
        for &origin in &self.home {
            let mut way = Vec::new();
            let mut at = origin;
            let leader = loop {
                match (known[at], self.sets[at].follows) {
                    (Some(leader), _) => break leader,
                    (None, None) => break self.sets[at].leader,
                    (None, Some(next)) => {
                        way.push(at);
                        at = next;
                    }
                }
            };
            way.into_iter().chain([at]).for_each(|set| known[set] = Some(leader));
        }
        self.home.iter().map(|&origin| known[origin].unwrap_or(origin)).collect()
    }

    /// Everything linked to `leader`, with the link that leads there, in the order of computation.
    fn reached_from(&self, leader: usize) -> Vec<(usize, Link)> {
        let mut reached = BTreeMap::new();
        let mut work = vec![leader];
        while let Some(at) = work.pop() {
            for link in &self.links[at] {
                if link.to != leader && !reached.contains_key(&link.to) {
                    reached.insert(link.to, Link { to: at, node: link.node });
                    work.push(link.to);
                }
            }
        }
        reached.into_iter().collect()
    }
}

/// Whether the node's first output holds what its first input does, or the largest of it.
fn keeps_values(node: &NodeProto) -> bool {
    const OPS: [&str; 10] = [
        "Reshape",
        "Flatten",
        "Squeeze",
        "Unsqueeze",
        "Transpose",
        "Identity",
        "Dropout",
        "DepthToSpace",
        "SpaceToDepth",
        "MaxPool",
    ];
    let mode = || node.attribute("mode").and_then(|mode| mode.s.as_deref()).unwrap_or(b"nearest");
    OPS.iter().any(|op| node.is(op))
        || (["Resize", "Upsample"].iter().any(|op| node.is(op)) && mode() == b"nearest")
}
