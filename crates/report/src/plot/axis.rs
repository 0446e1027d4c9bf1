//! Scales of figures: where values lie and which of them are written.

/// A linear scale: values from `low` to `high` lie between two coordinates.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    pub low: f64,
    pub high: f64,
    pub from: f64,
    pub to: f64,
}

impl Scale {
    /// Where a value lies; values outside lie at the nearest end.
    pub fn at(&self, value: f64) -> f64 {
        let share = ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0);
        // A share of an empty range is not a number.
        self.from + if share.is_finite() { share } else { 0.0 } * (self.to - self.from)
    }

    /// Round values on the scale, about `wanted` of them: multiples of 1, 2 or 5 times a power of ten.
    pub fn ticks(&self, wanted: usize) -> Vec<f64> {
        let rough = (self.high - self.low) / wanted.max(1) as f64;
        if !(rough.is_finite() && rough > f64::MIN_POSITIVE) {
            return vec![self.low];
        }
        let power = 10f64.powf(rough.log10().floor());
        let step =
            [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|step| *step >= 0.9 * rough);
        let step = step.unwrap_or(10.0 * power);
        let (first, last) =
            ((self.low / step).ceil() as i64, (self.high / step * (1.0 + 1e-9)).floor() as i64);
        // Dividing by the inverse keeps 0.3 from becoming 0.30000000000000004.
        let value = |n: i64| if step < 1.0 { n as f64 / (1.0 / step).round() } else { n as f64 * step };
        (first..=last.min(first + 100)).map(value).collect()
    }
}

/// The logarithmic scale of counts: 0 lies on the axis, and 1 visibly above it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CountScale(Scale);

/// How many powers of ten the step from none to one is worth.
const FIRST: f64 = 0.35;

impl CountScale {
    pub fn new(highest: u64, from: f64, to: f64) -> Self {
        Self(Scale { low: 0.0, high: (highest.max(1) as f64).log10() + FIRST, from, to })
    }

    pub fn at(&self, count: u64) -> f64 {
        self.0.at(if count == 0 { 0.0 } else { (count as f64).log10() + FIRST })
    }

    /// Powers of ten that are on the scale, at most seven.
    pub fn ticks(&self) -> Vec<u64> {
        let top = (self.0.high - FIRST + 1e-9).floor() as u32;
        (0..=top).step_by(top as usize / 7 + 1).map(|power| 10u64.saturating_pow(power)).collect()
    }
}

/// A power of ten as an axis bears it: `1`, `10`, `100`, `1k`, `10k`, `1M`.
pub(crate) fn short(n: u64) -> String {
    const UNITS: [(u64, &str); 6] = [
        (1_000_000_000_000_000_000, "E"),
        (1_000_000_000_000_000, "P"),
        (1_000_000_000_000, "T"),
        (1_000_000_000, "G"),
        (1_000_000, "M"),
        (1_000, "k"),
    ];
    match UNITS.iter().find(|(unit, _)| n >= *unit) {
        Some((unit, letter)) => format!("{}{letter}", n / unit),
        None => n.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_numbers_within_the_range() {
        for (low, high, expected) in [
            (0.0, 6.0, vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
            (0.0, 1.0, vec![0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
            (-7.0, 42.0, vec![0.0, 10.0, 20.0, 30.0, 40.0]),
            (0.0, 1234.0, vec![0.0, 200.0, 400.0, 600.0, 800.0, 1000.0, 1200.0]),
            (0.0, 0.0, vec![0.0]),
            (0.0, f64::NAN, vec![0.0]),
        ] {
            assert_eq!(Scale { low, high, from: 0.0, to: 1.0 }.ticks(6), expected, "{low} to {high}");
        }
        let tiny = Scale { low: 0.0, high: 3e-30, from: 0.0, to: 1.0 }.ticks(6);
        assert!(tiny.len() > 3 && tiny.is_sorted(), "{tiny:?}");
    }

    #[test]
    fn values_lie_between_the_ends() {
        let scale = Scale { low: 0.0, high: 2.0, from: 10.0, to: 30.0 };
        for (value, at) in
            [(0.0, 10.0), (1.0, 20.0), (2.0, 30.0), (5.0, 30.0), (-1.0, 10.0), (f64::NAN, 10.0)]
        {
            assert_eq!(scale.at(value), at, "{value}");
        }
        assert_eq!(Scale { high: 0.0, ..scale }.at(0.0), 10.0);
    }

    #[test]
    fn one_value_is_seen_beside_a_million() {
        let scale = CountScale::new(1_000_000, 100.0, 0.0);
        assert_eq!((scale.at(0), scale.at(1_000_000)), (100.0, 0.0));
        assert!(scale.at(1) < 96.0 && scale.at(1) > scale.at(2));
        assert_eq!(scale.ticks(), [1, 10, 100, 1000, 10_000, 100_000, 1_000_000]);
        assert!(CountScale::new(u64::MAX, 100.0, 0.0).ticks().len() <= 7);
        assert_eq!([1, 100, 1000, 100_000, 1_000_000].map(short), ["1", "100", "1k", "100k", "1M"]);
    }
}
