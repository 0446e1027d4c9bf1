//! Finds protobuf fields that [`crate::proto`] does not know, because decoding would drop them silently.

use std::collections::BTreeSet;

/// A protobuf field of a model file that this version does not know and would lose on saving.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct UnknownField {
    /// The ONNX message it occurs in, such as `GraphProto`.
    pub message: String,
    /// The field's number.
    pub field: u32,
}

/// Messages as the walker sees them: name, scalar fields, and fields that are messages with their kind.
struct Kind {
    name: &'static str,
    scalars: &'static [u32],
    messages: &'static [(u32, usize)],
}

macro_rules! kinds {
    ($($id:ident: [$($scalar:literal),*] { $($field:literal => $child:ident),* })*) => {
        #[allow(clippy::upper_case_acronyms)]
        enum Id { $($id),* }
        const KINDS: &[Kind] = &[$(Kind {
            name: stringify!($id), scalars: &[$($scalar),*], messages: &[$(($field, Id::$child as usize)),*],
        }),*];
    };
}

kinds! {
    ModelProto: [1, 2, 3, 4, 5, 6] {
        7 => GraphProto, 8 => OperatorSetIdProto, 14 => StringStringEntryProto, 20 => TrainingInfoProto,
        25 => FunctionProto, 26 => DeviceConfigurationProto }
    OperatorSetIdProto: [1, 2] {}
    StringStringEntryProto: [1, 2] {}
    DeviceConfigurationProto: [1, 2, 3] {}
    TrainingInfoProto: [] {
        1 => GraphProto, 2 => GraphProto, 3 => StringStringEntryProto, 4 => StringStringEntryProto }
    FunctionProto: [1, 4, 5, 6, 8, 10, 13] {
        7 => NodeProto, 9 => OperatorSetIdProto, 11 => AttributeProto, 12 => ValueInfoProto,
        14 => StringStringEntryProto }
    GraphProto: [2, 10] {
        1 => NodeProto, 5 => TensorProto, 11 => ValueInfoProto, 12 => ValueInfoProto, 13 => ValueInfoProto,
        14 => TensorAnnotation, 15 => SparseTensorProto, 16 => StringStringEntryProto }
    TensorAnnotation: [1] { 2 => StringStringEntryProto }
    NodeProto: [1, 2, 3, 4, 6, 7, 8] {
        5 => AttributeProto, 9 => StringStringEntryProto, 10 => NodeDeviceConfigurationProto }
    NodeDeviceConfigurationProto: [1, 3] { 2 => ShardingSpecProto }
    ShardingSpecProto: [1, 2] { 3 => IntIntListEntryProto, 4 => ShardedDimProto }
    IntIntListEntryProto: [1, 2] {}
    ShardedDimProto: [1] { 2 => SimpleShardedDimProto }
    SimpleShardedDimProto: [1, 2, 3] {}
    AttributeProto: [1, 2, 3, 4, 7, 8, 9, 13, 20, 21] {
        5 => TensorProto, 6 => GraphProto, 10 => TensorProto, 11 => GraphProto, 14 => TypeProto, 15 => TypeProto,
        22 => SparseTensorProto, 23 => SparseTensorProto }
    TensorProto: [1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14] {
        3 => Segment, 13 => StringStringEntryProto, 16 => StringStringEntryProto }
    Segment: [1, 2] {}
    SparseTensorProto: [3] { 1 => TensorProto, 2 => TensorProto }
    ValueInfoProto: [1, 3] { 2 => TypeProto, 4 => StringStringEntryProto }
    TypeProto: [6] {
        1 => TensorType, 4 => SequenceType, 5 => MapType, 7 => OpaqueType, 8 => TensorType, 9 => SequenceType }
    TensorType: [1] { 2 => TensorShapeProto }
    SequenceType: [] { 1 => TypeProto }
    MapType: [1] { 2 => TypeProto }
    OpaqueType: [1, 2] {}
    TensorShapeProto: [] { 1 => Dimension }
    Dimension: [1, 2, 3] {}
}

/// `prost` refuses deeper nesting, so a model that decoded is never deeper.
const MAX_DEPTH: usize = 100;

/// Lists, once each and in order, the fields in `model` (an encoded `ModelProto`) that [`crate::proto`] drops.
///
/// Expects bytes that decoded without error; of others it lists what it met before the defect.
pub fn unknown_fields(model: &[u8]) -> Vec<UnknownField> {
    let mut found = BTreeSet::new();
    walk(model, Id::ModelProto as usize, 0, &mut found);
    found.into_iter().map(|(message, field)| UnknownField { message: message.to_owned(), field }).collect()
}

/// Walks one message; `None` where the bytes are not protobuf.
fn walk(
    mut bytes: &[u8],
    kind: usize,
    depth: usize,
    found: &mut BTreeSet<(&'static str, u32)>,
) -> Option<()> {
    let Kind { name, scalars, messages } = &KINDS[kind];
    while !bytes.is_empty() {
        let key = varint(&mut bytes)?;
        let field = u32::try_from(key >> 3).ok()?;
        let payload = match key & 7 {
            0 => varint(&mut bytes).map(|_| None)?,
            1 => take(&mut bytes, 8).map(|_| None)?,
            2 => {
                let length = usize::try_from(varint(&mut bytes)?).ok()?;
                Some(take(&mut bytes, length)?)
            }
            5 => take(&mut bytes, 4).map(|_| None)?,
            _ => return None, // groups, which ONNX never had
        };
        if let Some((_, child)) = messages.iter().find(|(number, _)| *number == field) {
            if let (Some(payload), true) = (payload, depth < MAX_DEPTH) {
                walk(payload, *child, depth + 1, found)?;
            }
        } else if !scalars.contains(&field) {
            found.insert((name, field));
        }
    }
    Some(())
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (head, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `bytes` as field `number` of wire type 2.
    fn nested(number: u8, bytes: &[u8]) -> Vec<u8> {
        [&[number << 3 | 2, bytes.len() as u8], bytes].concat()
    }

    #[test]
    fn a_field_that_onnx_does_not_have_is_reported_with_its_message() {
        let strange = [15 << 3, 1]; // field 15, varint
        for (model, message) in [
            (strange.to_vec(), "ModelProto"),
            (nested(7, &nested(1, &strange)), "NodeProto"),
            (nested(7, &nested(5, &strange)), "TensorProto"),
            (nested(7, &nested(11, &nested(2, &nested(1, &nested(2, &nested(1, &strange)))))), "Dimension"),
        ] {
            let expected = UnknownField { message: message.into(), field: 15 };
            assert_eq!(unknown_fields(&model), [expected]);
        }
    }

    #[test]
    fn bytes_that_are_no_protobuf_end_the_search_without_a_panic() {
        for bytes in [&[0xff; 12][..], &[0x3a, 0x7f, 0], &[0x3b], &[0x09, 1]] {
            assert_eq!(unknown_fields(bytes), []);
        }
    }
}
