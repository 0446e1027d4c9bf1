//! What the public texts leave open about the entropy search, and what others do.

use std::{fmt, str::FromStr};

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::CalibError;

/// What happens to the first bin, which holds zeros and near-zeros.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FirstBin {
    /// It counts as empty.
    #[default]
    Discard,
    /// It counts like any other.
    Keep,
    /// It counts as much as the second one.
    Second,
}

/// What `Q` is made from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum QSource {
    /// The kept bins as they are.
    #[default]
    WithoutTail,
    /// The kept bins with the tail in the last one, that is, `P`.
    WithTail,
}

/// Where a level of `Q` starts whose share of the kept bins starts within a bin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LevelEdge {
    /// At that bin: `l * i / levels` rounded down.
    #[default]
    Down,
    /// At the next bin: rounded up.
    Up,
    /// Within it: the bin is shared. Levels then spread over empty bins too, and every bin of `P` and `Q` is raised
    /// by [`SMOOTHING`] of the whole, so that none is empty; [`LoneTail`] does not matter.
    Shared,
}

/// What a tail that falls on an empty last bin, where `Q` is 0, is compared with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LoneTail {
    /// With a count of one.
    #[default]
    One,
    /// With nothing: the loss is infinite.
    Infinite,
}

/// Where the threshold lies in the bin after the kept ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum At {
    /// In its centre: `(i + 0.5) * width`.
    #[default]
    Centre,
    /// At its lower edge, which is the upper edge of the kept ones: `i * width`.
    Edge,
}

impl At {
    /// The threshold of so many kept bins, in units of bins.
    pub(crate) fn position(self, kept: usize) -> f64 {
        match self {
            Self::Centre => kept as f64 + 0.5,
            Self::Edge => kept as f64,
        }
    }
}

/// Which of several numbers of bins with the least loss is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ties {
    /// The greatest.
    #[default]
    Last,
    /// The least.
    First,
}

/// What [`LevelEdge::Shared`] adds to every bin of the normalized distributions.
pub const SMOOTHING: f64 = 0.0001;

/// Parameters of the entropy search. The default is what is known of TensorRT's.
///
/// In files they are the name of a [`Preset`], or a map of parameters, in which `preset` names what the others depart
/// from (`tensorrt` if absent).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct EntropyParams {
    /// Bins over `[0, amax]`. Counts of [`Mode::TensorRt`](crate::Mode) have a number of bins of their own.
    pub bins: usize,
    /// The least number of bins kept.
    pub start: usize,
    /// The step between numbers of bins tried.
    pub stride: usize,
    /// Levels of `Q`: 127 for the positive half of INT8.
    pub levels: usize,
    /// What happens to the first bin.
    pub first_bin: FirstBin,
    /// What `Q` is made from.
    pub q_source: QSource,
    // Parameters that came later are written only where they are not the default, so that sidecars of before still
    // count as up to date.
    /// Where levels start.
    #[serde(skip_serializing_if = "is_default")]
    pub level_edge: LevelEdge,
    /// What a tail on an empty bin is compared with.
    #[serde(skip_serializing_if = "is_default")]
    pub lone_tail: LoneTail,
    /// Where the threshold lies.
    #[serde(skip_serializing_if = "is_default")]
    pub at: At,
    /// Which of equal losses counts.
    #[serde(skip_serializing_if = "is_default")]
    pub ties: Ties,
    /// Whether all bins together are tried too, whatever the stride: then nothing is clipped.
    #[serde(skip_serializing_if = "is_true")]
    pub whole: bool,
    /// Per cent of the counts that a threshold may clip; 100 for no limit. A range that clips more is not tried.
    pub most_clipped: u32,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn is_true(value: &bool) -> bool {
    *value
}

impl Default for EntropyParams {
    fn default() -> Self {
        Self {
            bins: 2048,
            start: 128,
            stride: 1,
            levels: 127,
            first_bin: FirstBin::default(),
            q_source: QSource::default(),
            level_edge: LevelEdge::default(),
            lone_tail: LoneTail::default(),
            at: At::default(),
            ties: Ties::default(),
            whole: true,
            most_clipped: 10,
        }
    }
}

/// More bins than there are in a histogram would only be interpolated.
const MAX_BINS: usize = crate::histogram::FINE;

impl EntropyParams {
    /// # Errors
    /// [`CalibError::Params`] unless `1 <= levels <= start <= bins <= 16384`, `bins >= 2`, `stride >= 1` and
    /// `most_clipped <= 100`.
    pub fn check(&self) -> Result<(), CalibError> {
        for (name, found, least, most) in [
            ("bins", self.bins, 2, MAX_BINS),
            ("levels", self.levels, 1, self.start),
            ("start", self.start, 1, self.bins),
            ("stride", self.stride, 1, self.bins),
        ] {
            if !(least..=most).contains(&found) {
                return Err(CalibError::Params { name, wanted: format!("{least} to {most}"), found });
            }
        }
        if self.most_clipped > 100 {
            let found = self.most_clipped as usize;
            return Err(CalibError::Params { name: "most_clipped", wanted: "0 to 100".to_owned(), found });
        }
        Ok(())
    }
}

/// Entropy parameters under a name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Preset {
    /// `tensorrt`: the default.
    #[default]
    TensorRt,
    /// `migacz`: S. Migacz, "8-bit inference with TensorRT" (GTC 2017): 128 levels, and the first bin counts. The
    /// parameters of [`Algorithm::EntropyCalibration`](crate::Algorithm).
    Migacz,
    /// `pytorch-quantization`: NVIDIA's pytorch-quantization and ModelOpt
    /// (`pytorch_quantization/calib/histogram.py`): 128 levels whose edges round up, the first bin counts as much as
    /// the second, an infinite loss for a tail on an empty bin, the upper edge of the last minimum.
    PytorchQuantization,
    /// `ncnn`: ncnn's `ncnn2table` (`tools/quantize/ncnn2table.cpp`): 128 levels that share bins, the first minimum,
    /// at least one bin clipped. ncnn does not count zeros at all and computes in binary32; counts here hold zeros in
    /// their first bin, which is discarded for that.
    Ncnn,
}

impl Preset {
    /// All of them, in the order in which messages list them.
    pub const ALL: [Self; 4] = [Self::TensorRt, Self::Migacz, Self::PytorchQuantization, Self::Ncnn];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::TensorRt => "tensorrt",
            Self::Migacz => "migacz",
            Self::PytorchQuantization => "pytorch-quantization",
            Self::Ncnn => "ncnn",
        }
    }

    /// What it stands for.
    pub fn params(self) -> EntropyParams {
        let tensorrt = EntropyParams::default();
        match self {
            Self::TensorRt => tensorrt,
            Self::Migacz => {
                EntropyParams { levels: 128, first_bin: FirstBin::Keep, most_clipped: 100, ..tensorrt }
            }
            Self::PytorchQuantization => EntropyParams {
                levels: 128,
                first_bin: FirstBin::Second,
                level_edge: LevelEdge::Up,
                lone_tail: LoneTail::Infinite,
                at: At::Edge,
                most_clipped: 100,
                ..tensorrt
            },
            Self::Ncnn => EntropyParams {
                levels: 128,
                level_edge: LevelEdge::Shared,
                ties: Ties::First,
                whole: false,
                most_clipped: 100,
                ..tensorrt
            },
        }
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Preset {
    type Err = CalibError;

    fn from_str(text: &str) -> Result<Self, CalibError> {
        Self::ALL
            .into_iter()
            .find(|preset| preset.name() == text)
            .ok_or_else(|| CalibError::UnknownPreset { found: text.to_owned() })
    }
}

impl From<Preset> for EntropyParams {
    fn from(preset: Preset) -> Self {
        preset.params()
    }
}

/// A map of parameters, as it stands in a file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    preset: Option<String>,
    bins: Option<usize>,
    start: Option<usize>,
    stride: Option<usize>,
    levels: Option<usize>,
    first_bin: Option<FirstBin>,
    q_source: Option<QSource>,
    level_edge: Option<LevelEdge>,
    lone_tail: Option<LoneTail>,
    at: Option<At>,
    ties: Option<Ties>,
    whole: Option<bool>,
    most_clipped: Option<u32>,
}

impl Given {
    fn params(self) -> Result<EntropyParams, CalibError> {
        let preset = self.preset.map_or(Ok(Preset::default()), |name| name.parse())?.params();
        Ok(EntropyParams {
            bins: self.bins.unwrap_or(preset.bins),
            start: self.start.unwrap_or(preset.start),
            stride: self.stride.unwrap_or(preset.stride),
            levels: self.levels.unwrap_or(preset.levels),
            first_bin: self.first_bin.unwrap_or(preset.first_bin),
            q_source: self.q_source.unwrap_or(preset.q_source),
            level_edge: self.level_edge.unwrap_or(preset.level_edge),
            lone_tail: self.lone_tail.unwrap_or(preset.lone_tail),
            at: self.at.unwrap_or(preset.at),
            ties: self.ties.unwrap_or(preset.ties),
            whole: self.whole.unwrap_or(preset.whole),
            most_clipped: self.most_clipped.unwrap_or(preset.most_clipped),
        })
    }
}

impl<'de> Deserialize<'de> for EntropyParams {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameOrMap;

        impl<'de> Visitor<'de> for NameOrMap {
            type Value = EntropyParams;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a preset or a map of entropy parameters")
            }

            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<EntropyParams, E> {
                name.parse().map(Preset::params).map_err(E::custom)
            }

            fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<EntropyParams, M::Error> {
                let given = Given::deserialize(MapAccessDeserializer::new(map))?;
                given.params().map_err(M::Error::custom)
            }
        }

        deserializer.deserialize_any(NameOrMap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(json: serde_json::Value) -> Result<EntropyParams, String> {
        serde_json::from_value(json).map_err(|error: serde_json::Error| error.to_string())
    }

    #[test]
    fn presets_and_departures_from_them_are_read() {
        let default = EntropyParams::default();
        assert_eq!(read(json!({})), Ok(default));
        assert_eq!(read(json!("ncnn")), Ok(Preset::Ncnn.params()));
        assert_eq!(read(json!({"levels": 100})), Ok(EntropyParams { levels: 100, ..default }));
        let ncnn = EntropyParams { first_bin: FirstBin::Keep, ..Preset::Ncnn.params() };
        assert_eq!(read(json!({"preset": "ncnn", "first_bin": "keep"})), Ok(ncnn));
        for wrong in [json!("theirs"), json!({"preset": "theirs"}), json!({"level": 1}), json!(3), json!([])]
        {
            assert!(read(wrong.clone()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_preset_is_valid_and_read_as_it_was_written() {
        for preset in Preset::ALL {
            let params = preset.params();
            assert_eq!(params.check(), Ok(()));
            assert_eq!(read(serde_json::to_value(params).unwrap()), Ok(params), "{preset}");
            assert_eq!(preset.name().parse(), Ok(preset));
        }
    }

    #[test]
    fn what_is_not_the_default_of_tensorrt_is_written() {
        let written = serde_json::to_value(EntropyParams::default()).unwrap();
        let expected = json!({"bins": 2048, "start": 128, "stride": 1, "levels": 127,
            "first_bin": "discard", "q_source": "without-tail", "most_clipped": 10});
        assert_eq!(written, expected);
    }
}
