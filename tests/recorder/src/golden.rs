//! The golden slot text as data: which method is where in which version.

use std::fmt;

/// The golden text. The binding's own table is compared to it in `crates/nvinfer/tests/slots.rs`.
const TEXT: &str = include_str!("../../../crates/nvinfer/tests/data/slots.txt");

/// A version in the library's own numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    /// What `getInferLibVersion()` returns.
    pub number: i32,
    /// The column of the golden text: 8.x, 10.x, 11.x, RTX-A, RTX-B.
    pub column: usize,
    /// The minor release.
    pub minor: u32,
}

impl Version {
    /// The versions of the golden text; `None` for all others.
    pub fn new(number: i32) -> Option<Version> {
        let (column, minor) = match number {
            8_000..=8_699 => (0, number / 100 % 10),
            100_000..=109_999 => (1, number / 100 % 100),
            110_000..=119_999 => (2, number / 100 % 100),
            10_300..=10_499 => (3, number / 100 % 100),
            10_500..=10_799 => (4, number / 100 % 100),
            _ => return None,
        };
        Some(Version { number, column, minor: minor as u32 })
    }

    /// TensorRT 8: 32-bit dimensions, passed by value, and interfaces without versions.
    pub fn is_8(self) -> bool {
        self.column == 0
    }

    /// Whether this is TensorRT-RTX.
    pub fn is_rtx(self) -> bool {
        self.column >= 3
    }

    /// The names that inference library, parser and plugins have in this version.
    pub fn file_names(self) -> Vec<String> {
        if self.is_rtx() {
            return vec!["libtensorrt_rtx.so.1".into(), "libtensorrt_onnxparser_rtx.so.1".into()];
        }
        let major = [8, 10, 11][self.column];
        // Only the Python bindings of TensorRT 8 need libnvparsers.
        let names = ["nvinfer", "nvonnxparser", "nvinfer_plugin", "nvparsers"];
        names.iter().map(|name| format!("lib{name}.so.{major}")).collect()
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = if self.is_8() { 1_000 } else { 10_000 };
        let rtx = if self.is_rtx() { "RTX " } else { "" };
        write!(f, "{rtx}{}.{}.{}", self.number / unit, self.minor, self.number % 100)
    }
}

/// A row of the golden text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// `VBuilder::getLogger`.
    pub name: String,
    /// Slot and the minor that added it, per column.
    pub cells: [Option<(usize, u32)>; 5],
}

impl Row {
    /// The slot in this version.
    pub fn slot(&self, version: Version) -> Option<usize> {
        self.cells[version.column].filter(|(_, since)| version.minor >= *since).map(|(slot, _)| slot)
    }

    /// `VBuilder` of `VBuilder::getLogger`.
    pub fn class(&self) -> &str {
        self.name.split("::").next().unwrap_or_default()
    }
}

/// All rows, in the text's order.
pub fn rows() -> Result<Vec<Row>, String> {
    let lines = TEXT.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    lines.map(|line| row(line).ok_or_else(|| format!("not a row: {line}"))).collect()
}

fn row(line: &str) -> Option<Row> {
    let mut words = line.split_whitespace();
    let name = words.next()?.to_string();
    let cells: Vec<_> = words.map(cell).collect::<Option<_>>()?;
    Some(Row { name, cells: cells.try_into().ok()? })
}

/// `-`, `slot` or `slot@minor`.
fn cell(text: &str) -> Option<Option<(usize, u32)>> {
    if text == "-" {
        return Some(None);
    }
    let (slot, minor) = text.split_once('@').unwrap_or((text, "0"));
    Some(Some((slot.parse().ok()?, minor.parse().ok()?)))
}

/// The methods that exist in a version with their slots, after `plants` (see [`crate`]).
pub fn slots(version: Version, plants: &str) -> Result<Vec<(String, usize)>, String> {
    let mut slots: Vec<(String, usize)> =
        rows()?.into_iter().filter_map(|row| row.slot(version).map(|slot| (row.name, slot))).collect();
    for plant in plants.split_whitespace() {
        let wrong = || format!("not a planted slot of {version}: {plant}");
        let (name, to) = plant.split_once('=').ok_or_else(wrong)?;
        let to: usize = to.parse().map_err(|_| wrong())?;
        let planted = slots.iter().position(|(known, _)| known == name).ok_or_else(wrong)?;
        let from = std::mem::replace(&mut slots[planted].1, to);
        let class = |name: &str| name.split("::").next().map(str::to_string);
        let displaced =
            (0..slots.len()).find(|&i| i != planted && slots[i].1 == to && class(&slots[i].0) == class(name));
        if let Some(displaced) = displaced {
            slots[displaced].1 = from;
        }
    }
    Ok(slots)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(version: i32, plants: &str, name: &str) -> Option<usize> {
        let slots = slots(Version::new(version).unwrap(), plants).unwrap();
        slots.into_iter().find(|(known, _)| known == name).map(|(_, slot)| slot)
    }

    #[test]
    fn a_method_is_where_the_text_puts_it_and_nowhere_before_its_minor() {
        assert_eq!(slot(8201, "", "VBuilder::getLogger"), Some(19));
        assert_eq!(slot(8001, "", "VBuilder::getLogger"), None);
        assert_eq!(slot(100300, "", "VBuilder::getLogger"), Some(16));
        assert_eq!(slot(10701, "", "VTensor::setDynamicRange"), None);
    }

    #[test]
    fn a_plant_changes_places_with_what_is_there_and_with_nothing_else() {
        let (flag, clear) = ("VBuilderConfig::setFlag", "VBuilderConfig::clearFlag");
        let plant = "VBuilderConfig::setFlag=14";
        assert_eq!((slot(8601, plant, flag), slot(8601, plant, clear)), (Some(14), Some(15)));
        assert_eq!((slot(8601, "", flag), slot(8601, "", clear)), (Some(15), Some(14)));
        let version = Version::new(8601).unwrap();
        let (before, after) = (slots(version, "").unwrap(), slots(version, plant).unwrap());
        assert_eq!(before.iter().zip(&after).filter(|(b, a)| b != a).count(), 2);
        assert!(slots(version, "VNowhere::x=3").is_err() && slots(version, "VTensor::getName").is_err());
    }

    #[test]
    fn versions_have_their_columns_and_names() {
        let cases = [
            (8001, "8.0.1", 0),
            (101303, "10.13.3", 1),
            (110400, "11.4.0", 2),
            (10400, "RTX 1.4.0", 3),
            (10701, "RTX 1.7.1", 4),
        ];
        for (number, text, column) in cases {
            let version = Version::new(number).unwrap();
            assert_eq!((version.to_string().as_str(), version.column), (text, column));
        }
        assert_eq!(Version::new(9000), None);
    }
}
