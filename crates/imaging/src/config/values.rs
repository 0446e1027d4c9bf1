//! Values that may be written in more than one way.

use std::fmt;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Unexpected, Visitor};

use super::Size;

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Sides {
            width: u32,
            height: u32,
        }

        struct SideOrSides;

        impl<'de> Visitor<'de> for SideOrSides {
            type Value = Size;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of pixels for a square, or {width: …, height: …}")
            }

            fn visit_u64<E: Error>(self, side: u64) -> Result<Size, E> {
                let side = u32::try_from(side);
                side.map(Size::square).map_err(|_| E::custom("a side of more than 4294967295 pixels"))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Size, A::Error> {
                let Sides { width, height } = Sides::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Size { width, height })
            }
        }

        deserializer.deserialize_any(SideOrSides)
    }
}

/// A number, or a fraction such as `1/255`, which no decimal writes exactly.
pub(super) fn fraction<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    struct Fraction;

    impl<'de> Visitor<'de> for Fraction {
        type Value = f64;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a number or a fraction such as 1/255")
        }

        fn visit_f64<E: Error>(self, value: f64) -> Result<f64, E> {
            Ok(value)
        }

        fn visit_u64<E: Error>(self, value: u64) -> Result<f64, E> {
            Ok(value as f64)
        }

        fn visit_i64<E: Error>(self, value: i64) -> Result<f64, E> {
            Ok(value as f64)
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<f64, E> {
            let parts = text.split_once('/');
            let number = |part: &str| part.trim().parse::<f64>().ok();
            parts
                .and_then(|(over, under)| Some(number(over)? / number(under)?))
                .ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
        }
    }

    deserializer.deserialize_any(Fraction).map(Some)
}

/// One number or a list of them.
pub(super) fn numbers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<f64>>, D::Error> {
    struct Numbers;

    impl<'de> Visitor<'de> for Numbers {
        type Value = Vec<f64>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a number or a list of numbers, one for each channel")
        }

        fn visit_f64<E: Error>(self, value: f64) -> Result<Vec<f64>, E> {
            Ok(vec![value])
        }

        fn visit_u64<E: Error>(self, value: u64) -> Result<Vec<f64>, E> {
            Ok(vec![value as f64])
        }

        fn visit_i64<E: Error>(self, value: i64) -> Result<Vec<f64>, E> {
            Ok(vec![value as f64])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<f64>, A::Error> {
            let mut values = Vec::new();
            while let Some(value) = list.next_element()? {
                values.push(value);
            }
            Ok(values)
        }
    }

    deserializer.deserialize_any(Numbers).map(Some)
}
