//! What can be wrong at a place of the fleet file, and what mends it.

use super::error::{REFERENCE, suggest};
use super::paths::PathError;

/// What is wrong at a place of the fleet file.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The file is not text.
    #[error("the file is not UTF-8 text")]
    NotUtf8,
    /// A tab where YAML wants spaces.
    #[error("YAML is not indented with tabs")]
    Tab,
    /// Aliases blow the file up.
    #[error("aliases expand the file beyond the number of values that are accepted: {limit}")]
    TooManyValues { limit: usize },
    /// Brackets within brackets within brackets.
    #[error("more `[` and `{{` within each other than are accepted: {limit}")]
    TooDeep { limit: usize },
    /// A second `---`.
    #[error("a fleet file is one YAML document; here another one follows")]
    SecondDocument,
    /// A tag such as `!include`.
    #[error("tags mean nothing here: `!{tag}`")]
    Tag { tag: String },
    /// YAML 1.1's merge key.
    #[error("the merge key `<<` is refused, since YAML 1.2 has none and it hides what a device gets")]
    MergeKey,
    /// A key that occurs twice in one map.
    #[error("the key occurs twice{}: `{key}`", within(section))]
    DuplicateKey { key: String, section: String },
    /// A key that means nothing.
    #[error("unknown key{}: `{key}`", within(section))]
    UnknownKey { key: String, section: String, known: Vec<String> },
    /// A word that means nothing as the value of this key.
    #[error("`{key}` cannot be: `{word}`")]
    UnknownWord { word: String, key: String, known: Vec<String> },
    /// A key that has no default.
    #[error("a key is missing{}: `{key}`", within(section))]
    MissingKey { key: String, section: String },
    /// YAML that cannot be parsed, or a value of another type or beyond its limits.
    #[error("{problem}")]
    Invalid { problem: String },
    /// A path that means nothing.
    #[error("{key}: {source}")]
    Path { key: String, source: PathError },
    /// Two keys of one section that exclude each other.
    #[error("{section}: `{one}` and `{other}` exclude each other")]
    Exclusive { section: String, one: &'static str, other: &'static str },
    /// A calibration that names neither samples nor a table.
    #[error("{section}: neither `images`, `inputs` nor `table` is given")]
    NoCalibrationSource { section: String },
    /// An input that gets nothing, or no inputs at all.
    #[error("{section}: neither `images` nor `arrays` is given")]
    NoInputSource { section: String },
    /// Labels of no kind.
    #[error("{section}: none of `folders`, `csv`, `coco` and `masks` is given")]
    NoLabels { section: String },
    /// Parameters that the algorithm cannot work with.
    #[error("{key}: {source}")]
    Entropy { key: String, source: trt_calib::CalibError },
    /// Images without a word on how they become the model's input.
    #[error("{section}: `images` need `preprocess`, since a table fits one preprocessing only")]
    NoPreprocess { section: String },
    /// A name, host or label that cannot be used.
    #[error("{key}: {rule}, not: {value:?}")]
    BadText { key: String, rule: &'static str, value: String },
    /// A reference to something that is not in the file.
    #[error("{key}: there is no such {kind}: `{name}`")]
    UnknownName { key: String, kind: &'static str, name: String, known: Vec<String> },
    /// A list that names something twice.
    #[error("{key}: named twice: `{name}`")]
    Repeated { key: String, name: String },
    /// Two models whose tables would overwrite each other.
    #[error("{key}: the table of this model is written to the same file: `{other}`")]
    SharedOutput { key: String, other: String },
    /// A table made elsewhere, which is not made elsewhere.
    #[error("{key}: this table is made here, for another model: `{other}`")]
    TableIsOutput { key: String, other: String },
    /// A name that is both a device and a group.
    #[error("{key}: there is a device of this name too: `{name}`")]
    NameClash { key: String, name: String },
    /// A group that contains itself.
    #[error("{key}: the group contains itself: {}", cycle.join(" -> "))]
    GroupCycle { key: String, cycle: Vec<String> },
}

fn within(section: &str) -> String {
    if section.is_empty() { String::new() } else { format!(" in `{section}`") }
}

impl Problem {
    /// What mends it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NotUtf8 => "save the file as UTF-8".to_owned(),
            Self::Tab => "use spaces".into(),
            Self::TooManyValues { .. } => "write fewer `*alias`es of large `&anchor`s".into(),
            Self::TooDeep { .. } => "close the brackets".into(),
            Self::SecondDocument => "remove the second `---`".into(),
            Self::SharedOutput { .. } => "remove `output`, or name another file".into(),
            Self::TableIsOutput { .. } => {
                "copy the table to a file of its own, or give this model `images` and `preprocess` too".into()
            }
            Self::Tag { .. } => "remove the tag, or put the value in quotes".into(),
            Self::MergeKey => {
                "put what all devices share below `defaults:`, or repeat whole values with `&anchor` \
                               and `*alias`"
                    .into()
            }
            Self::DuplicateKey { .. } | Self::Repeated { .. } => "remove one of the two".into(),
            Self::UnknownKey { key, known, .. } => suggest(key, known, "known keys"),
            Self::UnknownWord { word, known, .. } => suggest(word, known, "known values"),
            Self::MissingKey { .. } | Self::Invalid { .. } => REFERENCE.into(),
            Self::Path { .. } => "paths are absolute, relative to the fleet file, or start with `~/`".into(),
            Self::Exclusive { one, other, .. } => format!("remove `{one}` or `{other}`"),
            Self::NoCalibrationSource { .. } => {
                "add `images: FOLDER`, or `table: FILE` for a table made elsewhere".into()
            }
            Self::NoInputSource { .. } => {
                "give each input `{images: FOLDER, preprocess: ...}` or `{arrays: FILES.npy}`".into()
            }
            Self::NoLabels { .. } => "give one of them a path, or remove `labels`".into(),
            Self::Entropy { source, .. } => return source.hint(),
            Self::NoPreprocess { .. } => {
                format!("add `preprocess: imagenet`, `yolo`, `plain` or a map; {REFERENCE}")
            }
            Self::BadText { key, .. } if key.ends_with(".host") || key.ends_with(".user") => {
                "the user goes into `user:`, the port into `port:`".into()
            }
            Self::BadText { .. } => "choose another text".into(),
            Self::UnknownName { name, known, kind: "model", .. } => suggest(name, known, "models"),
            Self::UnknownName { name, known, .. } => suggest(name, known, "other devices and groups"),
            Self::NameClash { .. } => "rename the group or the device".into(),
            Self::GroupCycle { .. } => "remove one of these groups from the one before it".into(),
        })
    }
}
