//! Which Jetson module this is, by the part numbers in the device tree's `compatible` list.

/// A Jetson module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Module {
    /// NVIDIA's name without `Jetson`.
    pub name: &'static str,
    /// DLA cores, by NVIDIA's data sheet of the module; TensorRT's own count goes before it.
    pub dla_cores: u32,
}

/// Part numbers of modules and, where a mainline kernel names only the kit, of developer kits.
///
/// Orin NX: the module of 16 GB (0000) has two DLA cores, that of 8 GB (0001) has one. An Orin of another number than
/// these is not guessed at: NX and Nano share their first four digits.
const MODULES: [(&str, Module); 20] = [
    ("p3448", Module { name: "Nano", dla_cores: 0 }),
    ("p3450", Module { name: "Nano", dla_cores: 0 }),
    ("p2180", Module { name: "TX1", dla_cores: 0 }),
    ("p2371-2180", Module { name: "TX1", dla_cores: 0 }),
    ("p3310", Module { name: "TX2", dla_cores: 0 }),
    ("p3489", Module { name: "TX2", dla_cores: 0 }),
    ("p2771", Module { name: "TX2", dla_cores: 0 }),
    ("p3636", Module { name: "TX2 NX", dla_cores: 0 }),
    ("p3668", Module { name: "Xavier NX", dla_cores: 2 }),
    ("p2888", Module { name: "AGX Xavier", dla_cores: 2 }),
    ("p2972", Module { name: "AGX Xavier", dla_cores: 2 }),
    ("p3767-0000", Module { name: "Orin NX", dla_cores: 2 }),
    ("p3767-0001", Module { name: "Orin NX", dla_cores: 1 }),
    ("p3767-0003", Module { name: "Orin Nano", dla_cores: 0 }),
    ("p3767-0004", Module { name: "Orin Nano", dla_cores: 0 }),
    ("p3767-0005", Module { name: "Orin Nano", dla_cores: 0 }),
    ("p3701", Module { name: "AGX Orin", dla_cores: 2 }),
    ("p3834", Module { name: "Thor", dla_cores: 0 }),
    // What kernels of JetPack 4 call the kits whose entries lack a part number.
    ("jetson-nano", Module { name: "Nano", dla_cores: 0 }),
    ("jetson-xavier", Module { name: "AGX Xavier", dla_cores: 2 }),
];

/// The module, if the list names a known one anywhere.
pub fn module(compatible: &[String]) -> Option<Module> {
    let named = |number: &str| compatible.iter().any(|entry| entry.contains(number));
    MODULES.iter().find(|(number, _)| named(number)).map(|(_, module)| *module)
}

/// The SoC, such as `tegra234`.
pub fn soc(compatible: &[String]) -> Option<String> {
    let soc = compatible.iter().find_map(|entry| entry.strip_prefix("nvidia,tegra"))?;
    Some(format!("tegra{soc}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_known_by_their_number_wherever_it_stands() {
        for (compatible, name, dla) in [
            ("nvidia,p3449-0000-b00+p3448-0000-b00 nvidia,jetson-nano nvidia,tegra210", "Nano", 0),
            ("nvidia,p3450-0000 nvidia,tegra210", "Nano", 0),
            ("nvidia,p2371-2180 nvidia,jetson-cv nvidia,tegra210", "TX1", 0),
            ("nvidia,p2597-0000+p3310-1000 nvidia,tegra186", "TX2", 0),
            ("nvidia,p2597-0000+p3489-0888 nvidia,tegra186", "TX2", 0),
            ("nvidia,p3509-0000+p3636-0001 nvidia,tegra186", "TX2 NX", 0),
            ("nvidia,p3509-0000+p3668-0001 nvidia,tegra194", "Xavier NX", 2),
            (
                "nvidia,galen nvidia,jetson-xavier nvidia,p2822-0000+p2888-0001 nvidia,tegra194",
                "AGX Xavier",
                2,
            ),
            ("nvidia,p3768-0000+p3767-0000-super nvidia,p3767-0000 nvidia,tegra234", "Orin NX", 2),
            ("nvidia,tegra234 nvidia,p3509-0000+p3767-0001", "Orin NX", 1),
            ("nvidia,p3768-0000+p3767-0003 nvidia,p3767-0003 nvidia,tegra234", "Orin Nano", 0),
            ("nvidia,p3768-0000+p3767-0005 nvidia,p3767-0005 nvidia,tegra234", "Orin Nano", 0),
            ("nvidia,p3737-0000+p3701-0004 nvidia,p3701-0004 nvidia,tegra234", "AGX Orin", 2),
            ("nvidia,p4071-0000+p3834-0008 nvidia,p3834-0008 nvidia,tegra264", "Thor", 0),
        ] {
            let list: Vec<String> = compatible.split(' ').map(str::to_owned).collect();
            assert_eq!(module(&list), Some(Module { name, dla_cores: dla }), "{compatible}");
            assert!(
                soc(&list).is_some_and(|soc| compatible.contains(&format!("nvidia,{soc}"))),
                "{compatible}"
            );
        }
    }

    #[test]
    fn an_unknown_module_is_none_and_its_soc_is_known_all_the_same() {
        let list = ["nvidia,p9999-0000".to_owned(), "nvidia,p3767-0009".into(), "nvidia,tegra234".into()];
        assert_eq!((module(&list), soc(&list).as_deref()), (None, Some("tegra234")));
        assert_eq!((module(&[]), soc(&["raspberrypi,4".to_owned()])), (None, None));
    }
}
