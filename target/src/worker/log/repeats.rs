//! Warnings that come again and again: the host hears a few of each kind, and at the end how many more there were.

use std::collections::BTreeMap;

/// How many of a kind are told.
const TOLD: u64 = 5;
/// As much of a line, in characters, as makes its kind; the names and numbers of a warning follow.
const KIND: usize = 40;
/// More kinds than any build has; what comes beyond them counts as one.
const MOST_KINDS: usize = 200;

/// How many there were of each kind. Lines are of one kind if they begin alike, whatever numbers are in them.
#[derive(Debug, Default)]
pub struct Repeats(BTreeMap<String, u64>);

impl Repeats {
    /// Counts a line, and says whether the host shall hear it.
    pub fn is_worth_telling(&mut self, text: &str) -> bool {
        let mut kind: String = text.trim().chars().filter(|c| !c.is_ascii_digit()).take(KIND).collect();
        if self.0.len() >= MOST_KINDS && !self.0.contains_key(&kind) {
            kind = "other warnings".into();
        }
        let count = self.0.entry(kind).or_default();
        *count += 1;
        *count <= TOLD
    }

    /// What was not told, a line for each kind; from then on counting starts anew.
    pub fn rests(&mut self) -> Vec<String> {
        let all = std::mem::take(&mut self.0).into_iter();
        all.filter(|(_, count)| *count > TOLD)
            .map(|(kind, count)| format!("{} more that begin like this: {kind}", count - TOLD))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_of_each_kind_are_told_and_the_rest_is_counted() {
        let mut repeats = Repeats::default();
        let missing =
            |number: &u32| format!("Missing scale and zero-point for tensor t{number}, expect fall back");
        let told = (0..1000).filter(|number| repeats.is_worth_telling(&missing(number))).count();
        assert_eq!(told, 5);
        assert!(repeats.is_worth_telling("Your ONNX model has been generated with INT64 weights"));
        assert_eq!(
            repeats.rests(),
            ["995 more that begin like this: Missing scale and zero-point for tensor "]
        );
        assert_eq!(repeats.rests(), Vec::<String>::new());
    }

    #[test]
    fn a_flood_of_kinds_fills_no_memory() {
        let mut repeats = Repeats::default();
        let letter = |number: u32| char::from_u32('a' as u32 + number % 26).unwrap();
        let text = |number: u32| {
            [letter(number), letter(number / 26), letter(number / 676)].iter().collect::<String>()
        };
        let told = (0..17_576).filter(|number| repeats.is_worth_telling(&text(*number))).count();
        assert_eq!(told, MOST_KINDS + TOLD as usize);
        assert_eq!(repeats.0.len(), MOST_KINDS + 1);
    }
}
