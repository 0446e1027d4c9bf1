//! Telling what a file is by its content, since everything is called `*.cache`.

use std::fmt;

/// What a file looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A TensorRT calibration table, well-formed or not.
    TensorRtTable,
    /// ONNX Runtime's text table: `<name> <amax in decimals>`, no header.
    OrtText,
    /// ONNX Runtime's flatbuffer table.
    OrtFlatbuffer,
    /// JSON: a sidecar of ours, or ONNX Runtime's `calibration.json`.
    Json,
    /// TensorRT's older archive: a timing cache, or an engine plan of TensorRT before 8.6.
    TimingCache,
    /// A TensorRT engine plan.
    EnginePlan,
    /// An ONNX model.
    Onnx,
    /// The placeholder that Git LFS leaves for a file that was not fetched.
    GitLfsPointer,
    /// None of these.
    Unknown,
}

impl Kind {
    /// What to do when a calibration table was wanted.
    pub fn advice(self) -> &'static str {
        match self {
            Self::TensorRtTable => "read it as a calibration table",
            Self::OrtText | Self::OrtFlatbuffer => {
                "it holds largest values, not scales, and TensorRT cannot read it: \
                 run `trt-deploy calibrate` for a table"
            }
            Self::Json => "name the calibration table itself, without `.json`",
            Self::TimingCache => {
                "it holds kernel timings of one GPU: give the file that the INT8 calibrator wrote, or run \
                 `trt-deploy calibrate`"
            }
            Self::EnginePlan => "scales cannot be read back out of an engine: run `trt-deploy calibrate`",
            Self::Onnx => "give it as `onnx`, and under `table` the calibration table",
            Self::GitLfsPointer => "fetch the content with `git lfs pull`",
            Self::Unknown => {
                "a calibration table starts with a line such as `TRT-8601-EntropyCalibration2`: \
                 run `trt-deploy calibrate` for one"
            }
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TensorRtTable => "a TensorRT calibration table",
            Self::OrtText => "ONNX Runtime's calibration table in text form",
            Self::OrtFlatbuffer => "ONNX Runtime's calibration table as a flatbuffer",
            Self::Json => "JSON",
            Self::TimingCache => "a TensorRT timing cache (or an engine plan of an older TensorRT)",
            Self::EnginePlan => "a TensorRT engine plan",
            Self::Onnx => "an ONNX model",
            Self::GitLfsPointer => "a Git LFS pointer without its content",
            Self::Unknown => "of an unknown kind",
        })
    }
}

/// Tells what a file is by its content, in constant time.
pub fn sniff(bytes: &[u8]) -> Kind {
    let head = &bytes[..bytes.len().min(1 << 16)];
    let line = head.split(|&b| b == b'\n').next().unwrap_or_default();
    if head.starts_with(b"TRT-") || is_legacy_header(line) {
        Kind::TensorRtTable
    } else if head.starts_with(b"version https://git-lfs") {
        Kind::GitLfsPointer
    } else if let Some(kind) = archive(head).or_else(|| wrapped_engine(head)) {
        kind
    } else if is_ort_flatbuffer(bytes) {
        Kind::OrtFlatbuffer
    } else if is_onnx(head) {
        Kind::Onnx
    } else if head.trim_ascii_start().starts_with(b"{") {
        Kind::Json
    } else if is_ort_text(line) {
        Kind::OrtText
    } else {
        Kind::Unknown
    }
}

/// `0 3ff0000000000000 3fefffeb074a771d`: an enum value and two binary64.
fn is_legacy_header(line: &[u8]) -> bool {
    let words: Vec<&[u8]> = line.trim_ascii_end().split(|&b| b == b' ').collect();
    matches!(words[..], [b"0", a, b] if [a, b].iter().all(|w| w.len() == 16 && w.iter().all(u8::is_ascii_hexdigit)))
}

/// TensorRT's archives start with the letters `trt` and one more, in little-endian order: `ptrt` in timing
/// caches and older plans (seen in a public timing cache: magic, format number 239, length of what follows),
/// `ftrt` in today's plans, which torch_tensorrt relies on.
fn archive(head: &[u8]) -> Option<Kind> {
    match head.get(..4)? {
        b"ptrt" => Some(Kind::TimingCache),
        b"ftrt" => Some(Kind::EnginePlan),
        _ => None,
    }
}

/// Ultralytics puts a length and that much JSON before the plan.
fn wrapped_engine(head: &[u8]) -> Option<Kind> {
    let length = read_u32(head, 0)? as usize;
    (head.get(4) == Some(&b'{')).then(|| archive(head.get(length.checked_add(4)?..)?)).flatten()?;
    Some(Kind::EnginePlan)
}

/// A protobuf message whose first field is `ir_version` (field 1, a small number), followed by another field
/// of `ModelProto`.
fn is_onnx(head: &[u8]) -> bool {
    // producer_name, producer_version, domain, model_version, doc_string, graph, opset_import
    const FIELDS: [u8; 7] = [0x12, 0x1a, 0x22, 0x28, 0x32, 0x3a, 0x42];
    matches!(head, [0x08, 1..=32, field, ..] if FIELDS.contains(field))
}

/// `<name> <decimal>`, as Python writes numbers.
fn is_ort_text(line: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(line) else { return false };
    let Some((name, number)) = text.trim_end().rsplit_once(' ') else { return false };
    let decimal =
        number.starts_with(|c: char| c.is_ascii_digit() || c == '-') && number.parse::<f64>().is_ok();
    !name.is_empty() && !name.chars().any(char::is_control) && decimal
}

/// ONNX Runtime's `TrtTable { dict: [KeyValue { key: string; value: string }] }`. The schema declares no file
/// identifier, so the structure is followed to the first key.
fn is_ort_flatbuffer(bytes: &[u8]) -> bool {
    first_key(bytes).is_some()
}

fn first_key(head: &[u8]) -> Option<()> {
    let root = read_u32(head, 0)? as usize;
    let dict = follow(head, table_field(head, root, 0, 1)?)?;
    let entries = read_u32(head, dict)?;
    let first = follow(head, dict.checked_add(4)?)?;
    let key = follow(head, table_field(head, first, 0, 2)?)?;
    let length = read_u32(head, key)? as usize;
    let start = key.checked_add(4)?;
    let name = head.get(start..start.checked_add(length)?)?;
    (entries > 0 && length > 0 && !name.iter().any(u8::is_ascii_control)).then_some(())
}

/// Where the field of a flatbuffer table lies, if the table has it and at most `fields` fields.
fn table_field(head: &[u8], table: usize, field: usize, fields: usize) -> Option<usize> {
    let back = read_u32(head, table)? as i32;
    let vtable = usize::try_from(i64::try_from(table).ok()? - i64::from(back)).ok()?;
    let size = read_u16(head, vtable)? as usize;
    let slot = 4 + 2 * field;
    if size > 4 + 2 * fields || slot + 2 > size {
        return None;
    }
    match read_u16(head, vtable.checked_add(slot)?)? as usize {
        0 => None,
        offset => table.checked_add(offset),
    }
}

fn follow(head: &[u8], at: usize) -> Option<usize> {
    at.checked_add(read_u32(head, at)? as usize)
}

fn read_u32(head: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(head.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

fn read_u16(head: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(head.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written by `onnxruntime.quantization` 1.32 for the tensors `input` and `conv1/out`.
    const ORT_FLATBUFFER: &[u8] = include_bytes!("../tests/data/ort-calibration.flatbuffers");

    #[test]
    fn files_are_told_by_their_content() {
        let wrapped = [&[2, 0, 0, 0][..], b"{}ftrt\0\0\0\0"].concat();
        let cases: [(&[u8], Kind); 19] = [
            (b"TRT-8601-EntropyCalibration2\n", Kind::TensorRtTable),
            (b"TRT-8XXX-EntropyCalibration2\n", Kind::TensorRtTable),
            (b"0 3ff0000000000000 3fefffeb074a771d\r\na: 0\r\n", Kind::TensorRtTable),
            (b"input 2.640000104904175\nconv1 10.5\n", Kind::OrtText),
            (b"with space 1e-05\nother -2.0\n", Kind::OrtText),
            (ORT_FLATBUFFER, Kind::OrtFlatbuffer),
            (b"{\"format\": 1}", Kind::Json),
            (b"ptrt\0\0\0\0\xef\0\0\0\0\0\0\0\xe8\x62\x07\0\0\0\0\0\x18\x80\x01\0", Kind::TimingCache),
            (b"ftrt\0\0\0\0", Kind::EnginePlan),
            (&wrapped, Kind::EnginePlan),
            (b"\x08\x06\x12\x07pytorch\x1a\x031.7\x3a", Kind::Onnx),
            (b"\x08\x0d\x3a\xf3\x98\x0e", Kind::Onnx),
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:e0", Kind::GitLfsPointer),
            (b"", Kind::Unknown),
            (b"input: 3c010204\n", Kind::Unknown),
            (b"hello world\n", Kind::Unknown),
            (b"name 3fefffeb074a771d\n", Kind::Unknown),
            (b"\x7fELF\x02\x01\x01\0", Kind::Unknown),
            (b"\x00\x00\x00\x00\x00\x00\x00\x00", Kind::Unknown),
        ];
        for (bytes, kind) in cases {
            assert_eq!(sniff(bytes), kind, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn a_cut_flatbuffer_is_not_taken_for_one() {
        for length in 0..ORT_FLATBUFFER.len() - 8 {
            // Whatever is left may look like another kind, but following it must not leave the bytes.
            sniff(&ORT_FLATBUFFER[..length]);
        }
        assert_ne!(sniff(&ORT_FLATBUFFER[..16]), Kind::OrtFlatbuffer);
    }
}
