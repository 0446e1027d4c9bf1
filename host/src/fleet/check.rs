//! What a fleet file must satisfy beyond its shape: names, labels, groups.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use trt_wire::ModelName;

use super::load::Report;
use super::paths::plain;
use super::problem::Problem;
use super::yaml::Step;
use super::{Address, Calibration, Device, Fleet};

/// Tells the report everything that is wrong.
pub fn check(fleet: &Fleet, report: &mut Report<'_>) {
    check_outputs(fleet, report);
    for device in fleet.devices.values() {
        check_device(device, report);
    }
    for (name, members) in &fleet.groups {
        let steps = ["groups".into(), Step::Key(name.clone())];
        if !is_name(name) {
            bad_name(&steps, name, report);
        }
        if fleet.devices.contains_key(name) {
            report.at_key(&steps, |key| Problem::NameClash { key, name: name.clone() });
        }
        let mut seen = BTreeSet::new();
        for (index, member) in members.iter().enumerate() {
            let steps = ["groups".into(), Step::Key(name.clone()), index.into()];
            if !fleet.devices.contains_key(member) && !fleet.groups.contains_key(member) {
                let mut known = fleet.target_names();
                // A group in itself would be the next mistake.
                known.retain(|other| other != name);
                let (kind, name) = ("device or group", member.clone());
                report.at_value(&steps, |key| Problem::UnknownName { key, kind, name, known });
            } else if !seen.insert(member) {
                report.at_value(&steps, |key| Problem::Repeated { key, name: member.clone() });
            }
        }
    }
    if let Some(cycle) = find_cycle(&fleet.groups) {
        let steps = ["groups".into(), Step::Key(cycle[0].clone())];
        report.at_key(&steps, |key| Problem::GroupCycle { key, cycle });
    }
}

/// Each model writes a table of its own, and nobody else's.
fn check_outputs(fleet: &Fleet, report: &mut Report<'_>) {
    let mut writers: BTreeMap<PathBuf, &ModelName> = BTreeMap::new();
    let steps = |name: &ModelName, key: &str| ["models", name.as_str(), "calibration", key].map(Step::from);
    for (name, model) in &fleet.models {
        let Some(Calibration::Recipe(calibration)) = &model.calibration else { continue };
        if let Some(other) = writers.insert(plain(&calibration.output), name) {
            let other = other.to_string();
            report.at_value(&steps(name, "output"), |key| Problem::SharedOutput { key, other });
        }
    }
    for (name, model) in &fleet.models {
        let Some(Calibration::Table(table)) = &model.calibration else { continue };
        if let Some(other) = writers.get(&plain(table)) {
            let other = other.to_string();
            report.at_value(&steps(name, "table"), |key| Problem::TableIsOutput { key, other });
        }
    }
}

fn check_device(device: &Device, report: &mut Report<'_>) {
    let section = ["devices".into(), Step::Key(device.name.clone())];
    let at = |key: &str| [section[0].clone(), section[1].clone(), key.into()];
    if !is_name(&device.name) {
        bad_name(&section, &device.name, report);
    }
    if let Address::Ssh(ssh) = &device.address {
        // A device's name is a good host whenever it is a good name.
        if !is_host(&ssh.host) && is_name(&device.name) {
            let rule = "a host is a name or an address without spaces, `@` or `/`";
            report.at_value(&at("host"), |key| Problem::BadText { key, rule, value: ssh.host.clone() });
        }
        if let Some(user) = ssh.user.as_ref().filter(|user| !is_host(user)) {
            let rule = "a user has a name without spaces, `@` or `/`";
            report.at_value(&at("user"), |key| Problem::BadText { key, rule, value: user.clone() });
        }
        if let Some(socket) = ssh.agent_socket.as_ref().filter(|socket| !is_remote_path(socket)) {
            let rule = "a path on the device is absolute or starts with `~/`";
            report.at_value(&at("agent-socket"), |key| Problem::BadText { key, rule, value: socket.clone() });
        }
    }
    for (label, value) in &device.labels {
        let rule = "a label is made of `A-Z a-z 0-9 . _ / -`";
        let steps = [&at("labels")[..], &[Step::Key(label.clone())]].concat();
        if !is_label(label) {
            report.at_key(&steps, |key| Problem::BadText { key, rule, value: label.clone() });
        } else if !is_label(value) {
            report.at_value(&steps, |key| Problem::BadText { key, rule, value: value.clone() });
        }
    }
}

fn bad_name(steps: &[Step], name: &str, report: &mut Report<'_>) {
    let rule =
        "a name has up to 64 characters out of `A-Z a-z 0-9 . _ -` and starts with a letter or a digit";
    report.at_key(steps, |key| Problem::BadText { key, rule, value: name.to_owned() });
}

/// Device and group names stand on command lines and in file names, as model names do.
fn is_name(text: &str) -> bool {
    text.parse::<ModelName>().is_ok()
}

/// Whether `text` can be a host or a user: nothing that `ssh` could take for an option, or that belongs into another key.
pub fn is_host(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with('-')
        && !text.contains(|c: char| c.is_whitespace() || c.is_control() || "@/\\".contains(c))
}

fn is_remote_path(text: &str) -> bool {
    (text.starts_with('/') || text.starts_with("~/")) && !text.contains(char::is_control)
}

/// What a selector can express.
pub fn is_label(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._/-".contains(&b))
}

/// Groups that contain each other in a circle; the first is repeated at the end.
///
/// Groups that lead nowhere are taken away until none is left; from what remains, every way is endless.
fn find_cycle(groups: &BTreeMap<String, Vec<String>>) -> Option<Vec<String>> {
    let mut pending: BTreeMap<&str, usize> = BTreeMap::new();
    let mut parents: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, members) in groups {
        let inner = members.iter().filter(|member| groups.contains_key(*member));
        pending.insert(name, inner.clone().count());
        inner.for_each(|member| parents.entry(member).or_default().push(name));
    }
    let mut free: Vec<&str> =
        pending.iter().filter(|(_, count)| **count == 0).map(|(name, _)| *name).collect();
    while let Some(name) = free.pop() {
        pending.remove(name);
        for parent in parents.get(name).into_iter().flatten() {
            if let Some(count) = pending.get_mut(parent) {
                *count -= 1;
                if *count == 0 {
                    free.push(parent);
                }
            }
        }
    }
    let mut way: Vec<&str> = vec![pending.keys().next()?];
    loop {
        let members = &groups[*way.last()?];
        let next = members.iter().find(|member| pending.contains_key(member.as_str()))?.as_str();
        if let Some(start) = way.iter().position(|name| *name == next) {
            return Some(way[start..].iter().chain([&next]).map(|name| (*name).to_owned()).collect());
        }
        way.push(next);
    }
}
