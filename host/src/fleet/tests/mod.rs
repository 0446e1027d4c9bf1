//! What a user sees for each way in which a fleet file can be wrong, and that the reference is complete.

mod meaning;
mod problems;

use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::problem::Problem;
use super::*;

/// The file of every test.
const FILE_NAME: &str = "trt-deploy.yaml";

/// Loads `text` from a file of its own; the folder lives as long as the fleet is looked at.
fn load(text: impl AsRef<[u8]>) -> Result<Fleet, FleetError> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(FILE_NAME);
    std::fs::write(&file, text).unwrap();
    Fleet::load(&file)
}

/// The error and the hint, without the folder.
fn fails(text: impl AsRef<[u8]>) -> String {
    let error = load(text).expect_err("this must not load");
    let hint = error.hint().expect("every error has a hint");
    let text = format!("{error}\n  hint: {hint}");
    let Some(start) = text.find(FILE_NAME) else { return text };
    let before = text[..start].rfind(' ').map_or(0, |space| space + 1);
    format!("{}{}", &text[..before], &text[start..])
}

fn ssh<'a>(fleet: &'a Fleet, device: &str) -> &'a SshAddress {
    match &fleet.devices[device].address {
        Address::Ssh(ssh) => ssh,
        Address::Local(_) => panic!("{device} is local"),
    }
}

fn reference() -> (PathBuf, String) {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../configs/fleet.yaml"));
    (path.to_owned(), std::fs::read_to_string(path).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_text_never_panics(text in "\\PC*") {
        let _ = load(text);
    }

    #[test]
    fn text_made_of_yaml_never_panics(words in prop::collection::vec(
        prop::sample::select(vec![
            "models", "devices", "groups", "m", "onnx", "precision", "int8", "shapes", "labels", "calibration",
            "images", ": ", ":", "\n", "\n  ", "\n    ", "- ", "{", "}", "[", "]", ", ", "&a ", "*a", "<<", "!x ", "~",
            "'", "\"", "0", "-1", "1.5", "\t", "#", "---\n", "? ", "| ", "%", "\u{0}", "\u{feff}",
        ]), 0..60)) {
        let _ = load(words.concat());
    }

    #[test]
    fn a_reference_with_a_line_missing_never_panics(line in 0usize..200) {
        let (_, text) = reference();
        let lines = text.lines().enumerate().filter(|(at, _)| *at != line).map(|(_, line)| line);
        let _ = load(lines.collect::<Vec<_>>().join("\n"));
    }
}
