//! From a file to a [`Fleet`]: reading, filling in defaults, resolving paths.

mod calibration;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use trt_wire::{BuildSpec, ModelName, PluginName, Precision, Verification};

use super::check;
use super::error::{FleetError, Place};
use super::file::{DEFAULT_PORT, DefaultsFile, DeviceFile, FleetFile, ModelFile};
use super::paths::Base;
use super::problem::Problem;
use super::value::Parsed;
use super::yaml::{Step, Yaml, dotted};
use super::{Address, Device, Fleet, Model, SshAddress};

/// The largest file that is read, in bytes.
const MAX_BYTES: u64 = 1 << 20;

impl Fleet {
    /// Reads and checks a fleet file. Looks at none of the files that it names.
    ///
    /// # Errors
    /// The first of all problems, by place. See [`Fleet::load_all`].
    pub fn load(path: &Path) -> Result<Self, FleetError> {
        let (fleet, problems) = Self::load_all(path)?;
        problems.into_iter().next().map_or(Ok(fleet), Err)
    }

    /// The same, with everything that is wrong with its names, paths and sections, sorted by place. If anything is,
    /// the fleet is incomplete.
    ///
    /// # Errors
    /// A file that cannot be read, or whose YAML does not have the shape of a fleet file.
    pub fn load_all(path: &Path) -> Result<(Self, Vec<FleetError>), FleetError> {
        let text = read(path)?;
        let yaml = Yaml { file: path, text: &text };
        let file = yaml.parse()?;
        let mut assembly = Assembly { report: Report::new(yaml), base: Base::of(path) };
        let fleet = assembly.fleet(file);
        check::check(&fleet, &mut assembly.report);
        Ok((fleet, assembly.report.into_problems()))
    }
}

fn read(path: &Path) -> Result<String, FleetError> {
    let file = path.to_owned();
    let open = File::open(path).and_then(|open| {
        let mut bytes = Vec::new();
        open.take(MAX_BYTES + 1).read_to_end(&mut bytes).map(|_| bytes)
    });
    let bytes = match open {
        Ok(bytes) if bytes.len() as u64 > MAX_BYTES => {
            return Err(FleetError::TooLarge { file, limit: MAX_BYTES });
        }
        Ok(bytes) => bytes,
        Err(source) if source.kind() == ErrorKind::NotFound => return Err(FleetError::NotFound { file }),
        Err(source) => return Err(FleetError::Read { file, source }),
    };
    String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let at = Place::at_end_of(path, &String::from_utf8_lossy(valid));
        FleetError::At { at, problem: Problem::NotUtf8.into() }
    })
}

/// Nobody reads more problems than this, and finding the place of each means walking through the file.
const MAX_PROBLEMS: usize = 100;

/// Collects what is wrong, with places.
pub struct Report<'a> {
    yaml: Yaml<'a>,
    problems: Vec<(Place, Problem)>,
}

impl<'a> Report<'a> {
    fn new(yaml: Yaml<'a>) -> Self {
        Self { yaml, problems: Vec::new() }
    }

    /// Something is wrong with the value at the end of `steps`.
    pub fn at_value(&mut self, steps: &[Step], problem: impl FnOnce(String) -> Problem) {
        self.add(steps, false, problem);
    }

    /// Something is wrong with the key at the end of `steps`, or with its section as a whole.
    pub fn at_key(&mut self, steps: &[Step], problem: impl FnOnce(String) -> Problem) {
        self.add(steps, true, problem);
    }

    fn add(&mut self, steps: &[Step], at_key: bool, problem: impl FnOnce(String) -> Problem) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push((self.yaml.locate(steps, at_key), problem(dotted(steps))));
        }
    }

    fn into_problems(mut self) -> Vec<FleetError> {
        self.problems.sort_by(|(a, _), (b, _)| a.cmp(b));
        self.problems
            .into_iter()
            .map(|(at, problem)| FleetError::At { at, problem: problem.into() })
            .collect()
    }
}

struct Assembly<'a> {
    report: Report<'a>,
    base: Base<'a>,
}

impl Assembly<'_> {
    fn fleet(&mut self, file: FleetFile) -> Fleet {
        let mut models = BTreeMap::new();
        for (Parsed(name), model) in file.models {
            models.insert(name.clone(), self.model(name, model));
        }
        let defaults = ["defaults".into()];
        let default_identity = self.optional_path(&defaults, "identity", file.defaults.identity.as_deref());
        let default_hosts =
            self.optional_path(&defaults, "known-hosts", file.defaults.known_hosts.as_deref());
        let mut devices = BTreeMap::new();
        for (name, device) in file.devices {
            let steps = ["devices".into(), Step::Key(name.clone())];
            let chosen = self.models_of(&steps, device.models.as_deref(), &models);
            let identity = self.optional_path(&steps, "identity", device.identity.as_deref());
            let known_hosts = self.optional_path(&steps, "known-hosts", device.known_hosts.as_deref());
            let address = match &device.socket {
                Some(socket) => {
                    self.exclude_ssh(&steps, &device);
                    Address::Local(self.path(&step(&steps, "socket"), socket))
                }
                None => Address::Ssh(SshAddress {
                    identity: identity.or_else(|| default_identity.clone()),
                    known_hosts: known_hosts.or_else(|| default_hosts.clone()),
                    ..ssh_address(&name, &device, &file.defaults)
                }),
            };
            let device = Device { name: name.clone(), address, labels: device.labels, models: chosen };
            devices.insert(name, device);
        }
        Fleet { path: self.report.yaml.file.to_owned(), models, devices, groups: file.groups }
    }

    fn model(&mut self, name: ModelName, file: ModelFile) -> Model {
        let steps = ["models".into(), name.as_str().into()];
        let ignored = ignored(&file);
        Model {
            ignored,
            onnx: self.path(&step(&steps, "onnx"), &file.onnx),
            build: BuildSpec {
                precision: file.precision,
                shapes: file.shapes,
                workspace: file.workspace,
                on_unsupported: file.on_unsupported.unwrap_or_default(),
                other_layers: file.other_layers.unwrap_or_default().into(),
                keep: self.keep(&steps, file.keep),
                dla: file.dla,
                optimization_level: file.optimization_level,
                backend: file.backend,
                plugins: self.plugins(&steps, file.plugins),
                runtime: file.runtime.map(|Parsed(runtime)| runtime),
            },
            calibration: file.calibration.and_then(|calibration| self.calibration(&name, calibration)),
            evaluation: file.evaluate.map(|file| self.evaluation(&name, file)),
            verification: Verification { required: file.verify.required },
            hook: file.hook.map(|Parsed(hook)| hook),
            name,
        }
    }

    /// Names of activations are the model's affair, but none is empty.
    fn keep(&mut self, model: &[Step], names: Vec<String>) -> Vec<String> {
        for index in (0..names.len()).filter(|&index| names[index].is_empty()) {
            let rule = "an activation has a name, and `*` stands for any";
            let steps = [&step(model, "keep")[..], &[index.into()]].concat();
            self.report.at_value(&steps, |key| Problem::BadText { key, rule, value: String::new() });
        }
        names
    }

    /// Plugins are loaded in the order of the file, each once.
    fn plugins(&mut self, model: &[Step], names: Vec<Parsed<PluginName>>) -> Vec<PluginName> {
        let mut plugins = Vec::new();
        for (index, Parsed(name)) in names.into_iter().enumerate() {
            if plugins.contains(&name) {
                let steps = [&step(model, "plugins")[..], &[index.into()]].concat();
                self.report.at_value(&steps, |key| Problem::Repeated { key, name: name.to_string() });
            } else {
                plugins.push(name);
            }
        }
        plugins
    }

    /// The models that a device names, or all.
    fn models_of(
        &mut self,
        device: &[Step],
        names: Option<&[String]>,
        models: &BTreeMap<ModelName, Model>,
    ) -> Vec<ModelName> {
        let Some(names) = names else { return models.keys().cloned().collect() };
        let mut chosen: Vec<ModelName> = Vec::new();
        for (index, name) in names.iter().enumerate() {
            let mut steps = step(device, "models");
            steps.push(index.into());
            match models.keys().find(|model| model.as_str() == name) {
                Some(model) if !chosen.contains(model) => chosen.push(model.clone()),
                Some(_) => {
                    self.report.at_value(&steps, |key| Problem::Repeated { key, name: name.clone() });
                }
                None => self.report.at_value(&steps, |key| Problem::UnknownName {
                    key,
                    kind: "model",
                    name: name.clone(),
                    known: models.keys().map(ToString::to_string).collect(),
                }),
            }
        }
        chosen
    }

    /// A local socket leaves no room for the keys of SSH.
    fn exclude_ssh(&mut self, steps: &[Step], device: &DeviceFile) {
        for (other, given) in [
            ("host", device.host.is_some()),
            ("port", device.port.is_some()),
            ("user", device.user.is_some()),
            ("identity", device.identity.is_some()),
            ("known-hosts", device.known_hosts.is_some()),
            ("agent-socket", device.agent_socket.is_some()),
        ] {
            if given {
                self.exclusive(steps, "socket", other);
            }
        }
    }

    fn path(&mut self, steps: &[Step], text: &str) -> PathBuf {
        self.base.resolve(text).unwrap_or_else(|source| {
            self.report.at_value(steps, |key| Problem::Path { key, source });
            PathBuf::new()
        })
    }

    fn optional_path(&mut self, section: &[Step], key: &str, text: Option<&str>) -> Option<PathBuf> {
        text.map(|text| self.path(&step(section, key), text))
    }
}

/// The keys that change nothing about an engine of the model's precision.
fn ignored(file: &ModelFile) -> Vec<&'static str> {
    let is_int8 = file.precision == Precision::Int8;
    let given = [
        ("on-unsupported", file.on_unsupported.is_some() && !is_int8),
        ("other-layers", file.other_layers.is_some() && !is_int8),
        ("keep", !file.keep.is_empty() && file.precision == Precision::Fp32),
        ("calibration", file.calibration.is_some() && !is_int8),
        ("evaluate", file.evaluate.is_some() && !is_int8),
    ];
    given.into_iter().filter_map(|(key, is_ignored)| is_ignored.then_some(key)).collect()
}

/// Everything but the paths.
fn ssh_address(name: &str, device: &DeviceFile, defaults: &DefaultsFile) -> SshAddress {
    let or = |own: &Option<String>, default: &Option<String>| own.clone().or_else(|| default.clone());
    SshAddress {
        host: device.host.clone().unwrap_or_else(|| name.to_owned()),
        port: device.port.or(defaults.port).unwrap_or(DEFAULT_PORT),
        user: or(&device.user, &defaults.user),
        identity: None,
        known_hosts: None,
        agent_socket: or(&device.agent_socket, &defaults.agent_socket),
    }
}

/// One step further.
fn step(steps: &[Step], key: &str) -> Vec<Step> {
    let mut longer = steps.to_vec();
    longer.push(key.into());
    longer
}
