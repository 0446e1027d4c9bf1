//! Names in messages: a decision shows a few, the log has all.

/// How many names a decision or a failure shows.
pub const SHOWN: usize = 12;

/// `a, b and 3 more`: the first [`SHOWN`] names as they are, and how many there are besides.
pub fn few<S: AsRef<str>>(names: &[S]) -> String {
    let shown: Vec<&str> = names.iter().take(SHOWN).map(AsRef::as_ref).collect();
    match names.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// [`few`], each name in backticks.
pub fn few_quoted<S: AsRef<str>>(names: &[S]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{}`", name.as_ref())).collect();
    few(&quoted)
}

/// `1 tensor`, `2 tensors`.
pub fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_names_are_shown_and_the_rest_is_counted() {
        let names: Vec<String> = (0..100).map(|number| format!("n{number}")).collect();
        assert_eq!(few(&names[..2]), "n0, n1");
        assert_eq!(few_quoted(&names[..2]), "`n0`, `n1`");
        assert!(few(&names).ends_with("n10, n11 and 88 more"), "{}", few(&names));
        assert!(few_quoted(&names).ends_with("`n10`, `n11` and 88 more"), "{}", few_quoted(&names));
        assert_eq!(few_quoted::<&str>(&[]), "");
        assert_eq!((count(1, "layer"), count(0, "layer")), ("1 layer".into(), "0 layers".into()));
    }
}
