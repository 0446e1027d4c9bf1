//! The power mode of `nvpmodel`, and whether `jetson_clocks` holds the clocks.

use std::path::Path;

use super::files;

/// A power mode of `/etc/nvpmodel.conf`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mode {
    /// What `nvpmodel -m` takes.
    pub id: u32,
    /// Its name, such as `MAXN` or `MODE_15W`.
    pub name: String,
    caps: Caps,
}

/// What a mode allows, in the order in which it decides how fast inference is; [`NO_CAP`] where it sets no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Caps {
    gpu_hz: u64,
    memory_hz: u64,
    cores: u32,
}

const NO_CAP: u64 = u64::MAX;

/// The power modes of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Modes {
    all: Vec<Mode>,
    current: u32,
}

impl Modes {
    /// Reads `/etc/nvpmodel.conf` and the state that `nvpmodel` keeps in `/var/lib/nvpmodel/status`; before it was ever
    /// run there is none, and the boot's default counts. `None` where the device has no such configuration.
    pub fn read(root: &Path) -> Option<Self> {
        let config = files::text(root, "etc/nvpmodel.conf")?;
        let state = files::text(root, "var/lib/nvpmodel/status").unwrap_or_default();
        // `pmode:0002`, on newer releases with ` fmode:…` of the fan behind it.
        let set = state.split_whitespace().find_map(|word| word.strip_prefix("pmode:")?.parse().ok());
        let (all, default) = parse(&config);
        Some(Self { all, current: set.or(default)? })
    }

    /// The mode that is set; `None` if the configuration does not define it.
    pub fn current(&self) -> Option<&Mode> {
        self.all.iter().find(|mode| mode.id == self.current)
    }

    /// The number of the mode that is set.
    pub fn current_id(&self) -> u32 {
        self.current
    }

    /// The mode that inference is fastest in, if that is another one. Neither the first nor the last of the file is: on
    /// an Orin Nano they are 15W, 25W, MAXN_SUPER, 7W.
    pub fn faster(&self) -> Option<&Mode> {
        let current = self.current()?.caps;
        // Of modes with equal caps the first is as good as any.
        self.all.iter().rev().max_by_key(|mode| mode.caps).filter(|best| best.caps > current)
    }
}

/// All modes, and the boot's default. A mode is a heading `< POWER_MODEL ID=0 NAME=MAXN >` and lines
/// `PARAMETER ARGUMENT VALUE`; frequencies are in Hz, and -1 is no cap, as is 0 for the memory.
fn parse(config: &str) -> (Vec<Mode>, Option<u32>) {
    let (mut modes, mut default) = (Vec::<Mode>::new(), None);
    for line in config.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let words: Vec<&str> = line.split_whitespace().collect();
        let field = |key: &str| words.iter().find_map(|word| word.strip_prefix(key));
        match words[..] {
            ["<", "POWER_MODEL", ..] => {
                if let (Some(Ok(id)), Some(name)) = (field("ID=").map(str::parse), field("NAME=")) {
                    let caps = Caps { gpu_hz: NO_CAP, memory_hz: NO_CAP, cores: 0 };
                    modes.push(Mode { id, name: name.trim_end_matches('>').to_owned(), caps });
                }
            }
            ["<", "PM_CONFIG", ..] => default = field("DEFAULT=").and_then(|id| id.parse().ok()),
            [parameter, argument, value] => {
                let Some(Mode { caps, .. }) = modes.last_mut() else { continue };
                let hz = value.parse().unwrap_or(NO_CAP);
                match (parameter, argument) {
                    ("GPU", "MAX_FREQ") => caps.gpu_hz = hz,
                    ("EMC", "MAX_FREQ") => caps.memory_hz = if hz == 0 { NO_CAP } else { hz },
                    ("CPU_ONLINE", _) if value == "1" => caps.cores += 1,
                    _ => {}
                }
            }
            _ => {}
        }
    }
    (modes, default)
}

/// Whether the clocks of all CPU cores and of the GPU are held where they are, as `jetson_clocks` does by raising the
/// lowest frequency to the highest. `None` if that cannot be told.
pub fn clocks_pinned(root: &Path) -> Option<bool> {
    let cpus = root.join("sys/devices/system/cpu");
    let cores = files::names(&cpus)
        .into_iter()
        .filter(|name| name.strip_prefix("cpu").is_some_and(|rest| rest.parse::<u32>().is_ok()));
    // A core that is off has no such folder.
    let cores = cores.map(|core| cpus.join(core).join("cpufreq"));
    let cores = cores.filter_map(|dir| is_pinned(&dir, "scaling_min_freq", "scaling_max_freq"));
    let clocks = root.join("sys/class/devfreq");
    let gpus = files::names(&clocks).into_iter().filter(|name| is_gpu(name));
    let gpus = gpus.filter_map(|gpu| is_pinned(&clocks.join(gpu), "min_freq", "max_freq"));
    let (cores, gpus): (Vec<bool>, Vec<bool>) = (cores.collect(), gpus.collect());
    let held = cores.iter().chain(&gpus).all(|pinned| *pinned);
    match (cores.is_empty() || gpus.is_empty(), held) {
        (_, false) => Some(false),
        (false, true) => Some(true),
        (true, true) => None,
    }
}

fn is_pinned(dir: &Path, lowest: &str, highest: &str) -> Option<bool> {
    Some(files::number(dir, lowest)? == files::number(dir, highest)?)
}

/// GPUs among the devices that scale their frequency: `57000000.gpu` (Nano), `17000000.gp10b` (TX2), `.gv11b` (Xavier),
/// `.ga10b` or `.gpu` (Orin), `gpu-gpc-0` (Thor).
fn is_gpu(name: &str) -> bool {
    let kind = name.rsplit('.').next().unwrap_or_default();
    ["gpu", "gm20b", "gp10b", "gv11b", "ga10b"].contains(&kind) || name.starts_with("gpu-")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const ORIN_NANO: &str = "< PARAM TYPE=CLOCK NAME=GPU >\nMAX_FREQ /sys/x\n\
        < POWER_MODEL ID=0 NAME=15W >\nCPU_ONLINE CORE_0 1\nGPU MAX_FREQ 612000000\nEMC MAX_FREQ 2133000000\n\
        < POWER_MODEL ID=1 NAME=25W >\nGPU MAX_FREQ 918000000\nEMC MAX_FREQ 3199000000 # all there is\n\
        < POWER_MODEL ID=2 NAME=MAXN_SUPER >\nGPU MAX_FREQ -1\nEMC MAX_FREQ -1\n\
        < POWER_MODEL ID=3 NAME=7W>\nGPU MAX_FREQ 408000000\n< PM_CONFIG DEFAULT=1 >\n";

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn the_mode_that_is_set_has_its_name_and_the_fastest_is_found_by_its_caps() {
        for (state, current, faster) in [
            ("pmode:0000", "15W", Some("MAXN_SUPER")),
            ("pmode:0002 fmode:cool", "MAXN_SUPER", None),
            ("pmode:0003\n", "7W", Some("MAXN_SUPER")),
            ("", "25W", Some("MAXN_SUPER")),
        ] {
            let root = tree(&[("etc/nvpmodel.conf", ORIN_NANO), ("var/lib/nvpmodel/status", state)]);
            let modes = Modes::read(root.path()).unwrap();
            assert_eq!(modes.current().unwrap().name, current);
            assert_eq!(modes.faster().map(|mode| mode.name.as_str()), faster, "{state}");
        }
    }

    #[test]
    fn a_memory_cap_of_0_is_none_and_more_cores_break_a_tie() {
        let config = "< POWER_MODEL ID=0 NAME=A >\nGPU MAX_FREQ -1\nEMC MAX_FREQ 0\nCPU_ONLINE CORE_0 1\n\
                      < POWER_MODEL ID=1 NAME=B >\nGPU MAX_FREQ -1\nEMC MAX_FREQ 1600000000\n\
                      < POWER_MODEL ID=2 NAME=C >\nGPU MAX_FREQ -1\nEMC MAX_FREQ 0\nCPU_ONLINE CORE_0 1\nCPU_ONLINE CORE_1 1\n";
        let root = tree(&[("etc/nvpmodel.conf", config), ("var/lib/nvpmodel/status", "pmode:0000")]);
        assert_eq!(Modes::read(root.path()).unwrap().faster().unwrap().name, "C");
    }

    #[test]
    fn a_mode_that_the_configuration_lacks_is_known_by_number_only() {
        let root = tree(&[("etc/nvpmodel.conf", ORIN_NANO), ("var/lib/nvpmodel/status", "pmode:0009")]);
        let modes = Modes::read(root.path()).unwrap();
        assert_eq!((modes.current(), modes.current_id(), modes.faster()), (None, 9, None));
        assert_eq!(Modes::read(tree(&[]).path()), None);
        assert_eq!(Modes::read(tree(&[("etc/nvpmodel.conf", "what is this?")]).path()), None);
    }

    #[test]
    fn clocks_are_pinned_if_every_core_and_the_gpu_are() {
        let cpu = |number: u32, low: &'static str| {
            let dir = format!("sys/devices/system/cpu/cpu{number}/cpufreq");
            [(format!("{dir}/scaling_min_freq"), low), (format!("{dir}/scaling_max_freq"), "1479000")]
        };
        let gpu = |name: &str, low: &'static str| {
            let dir = format!("sys/class/devfreq/{name}");
            [(format!("{dir}/min_freq"), low), (format!("{dir}/max_freq"), "921600000")]
        };
        let cases = [
            (vec![cpu(0, "1479000"), cpu(1, "1479000"), gpu("57000000.gpu", "921600000")], Some(true)),
            (vec![cpu(0, "1479000"), cpu(1, "102000"), gpu("57000000.gpu", "921600000")], Some(false)),
            (vec![cpu(0, "1479000"), gpu("gpu-gpc-0", "76800000")], Some(false)),
            (vec![cpu(0, "1479000"), gpu("17000000.nvdec", "76800000")], None),
            (vec![cpu(0, "102000")], Some(false)),
            (vec![], None),
        ];
        for (files, pinned) in cases {
            let files: Vec<(String, &str)> = files.into_iter().flatten().collect();
            let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), *text)).collect();
            assert_eq!(clocks_pinned(tree(&files).path()), pinned, "{files:?}");
        }
    }
}
