//! Text and numbers for people.

use std::borrow::Cow;
use std::fmt::Write as _;

/// A name from a stranger with everything in it that is not seen, or changes how the rest is seen: control characters,
/// changes of direction, characters without width. Each becomes its number, such as `\u{1b}`.
pub fn visible(name: &str) -> Cow<'_, str> {
    if !name.chars().any(is_hidden) {
        return Cow::Borrowed(name);
    }
    let mut text = String::with_capacity(name.len() + 16);
    for c in name.chars() {
        if is_hidden(c) {
            text.extend(c.escape_unicode());
        } else {
            text.push(c);
        }
    }
    Cow::Owned(text)
}

/// Whether a character is a control or format character, or none at all.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{fffe}'..='\u{ffff}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// A number with four significant digits: `0.01234`, `6`, `1.235e9`.
pub fn number(x: f64) -> String {
    let magnitude = x.abs();
    if x == 0.0 {
        return "0".to_owned();
    }
    if !x.is_finite() {
        return if x.is_nan() {
            "not a number"
        } else if x > 0.0 {
            "infinite"
        } else {
            "-infinite"
        }
        .to_owned();
    }
    let text = if !(1e-3..1e5).contains(&magnitude) {
        format!("{x:.3e}")
    } else {
        let whole = magnitude.log10().floor() as i32 + 1;
        format!("{x:.*}", (4 - whole).clamp(0, 6) as usize)
    };
    match text.split_once('e') {
        Some((digits, power)) => format!("{}e{power}", trimmed(digits)),
        None => trimmed(&text).to_owned(),
    }
}

/// Digits without zeros at the end of a fraction.
fn trimmed(digits: &str) -> &str {
    if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { digits }
}

/// A whole number with its thousands apart: `1,234,567`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A share between 0 and 1 in percent. What is not quite none or all does not become it by rounding.
pub fn percent(share: f64) -> String {
    let percent = 100.0 * share;
    let mut text = String::new();
    let written = match percent {
        p if !p.is_finite() => return number(p),
        0.0 => write!(text, "0"),
        p if p.abs() < 0.001 => write!(text, "{}", number(p)),
        p if p.abs() < 0.1 => write!(text, "{p:.3}"),
        p if p < 100.0 && p > 99.99 => write!(text, "> 99.99"),
        100.0 => write!(text, "100"),
        p => write!(text, "{p:.2}"),
    };
    // Text in memory takes whatever is written.
    debug_assert!(written.is_ok());
    text + " %"
}

/// `1 sample`, `2 samples`: a count and its noun.
pub fn plural(n: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(n), if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_four_digits_that_matter() {
        for (x, text) in [
            (0.0, "0"),
            (1.0, "1"),
            (-6.0, "-6"),
            (0.012_345_6, "0.01235"),
            (123.456, "123.5"),
            (99_999.0, "99999"),
            (1_234_567_890.0, "1.235e9"),
            (1e-7, "1e-7"),
            (f64::INFINITY, "infinite"),
            (f64::NAN, "not a number"),
        ] {
            assert_eq!(number(x), text);
        }
    }

    #[test]
    fn counts_and_shares_are_easy_to_read() {
        for (n, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(count(n), text);
        }
        for (share, text) in [
            (0.0, "0 %"),
            (1e-7, "1e-5 %"),
            (0.000_12, "0.012 %"),
            (0.123_45, "12.35 %"),
            (0.999_999_9, "> 99.99 %"),
            (1.0, "100 %"),
        ] {
            assert_eq!(percent(share), text);
        }
        assert_eq!(
            (plural(1, "sample"), plural(1200, "sample")),
            ("1 sample".into(), "1,200 samples".into())
        );
    }

    #[test]
    fn what_is_not_seen_in_a_name_is_shown() {
        for (name, text) in [
            ("conv1/relu:0 [é, 模]", "conv1/relu:0 [é, 模]"),
            ("a\u{1b}[31mb", "a\\u{1b}[31mb"),
            ("a\nb\0", "a\\u{a}b\\u{0}"),
            ("\u{202e}evil", "\\u{202e}evil"),
            ("zero\u{200b}width", "zero\\u{200b}width"),
        ] {
            assert_eq!(visible(name), text);
        }
    }
}
