//! ONNX models of a few bytes, written field by field as the format's protobuf has them.

/// A length-delimited field below number 16.
fn field(number: u8, content: impl AsRef<[u8]>) -> Vec<u8> {
    [&[number << 3 | 2][..], &varint(content.as_ref().len() as u64), content.as_ref()].concat()
}

/// An integer field below number 16.
fn int(number: u8, value: u64) -> Vec<u8> {
    [&[number << 3][..], &varint(value)].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = vec![];
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// A NodeProto with one output.
fn node(name: &str, operator: &str, inputs: &[&str], output: &str) -> Vec<u8> {
    let inputs: Vec<u8> = inputs.iter().flat_map(|input| field(1, input)).collect();
    [inputs, field(2, output), field(3, name), field(4, operator)].concat()
}

/// A float ValueInfoProto; 0 is the symbolic dimension `N`.
fn value(name: &str, shape: &[u64]) -> Vec<u8> {
    let dim = |&extent: &u64| field(1, if extent == 0 { field(2, "N") } else { int(1, extent) });
    let dims: Vec<u8> = shape.iter().flat_map(dim).collect();
    let tensor = [int(1, 1), field(2, dims)].concat();
    [field(1, name), field(2, field(1, tensor))].concat()
}

/// Where the weights of [`conv`] are.
#[derive(Clone, Copy)]
pub enum Weights {
    /// In the model.
    Inside,
    /// In this file beside the model.
    External(&'static str),
}

/// The bytes of the weights `[4, 3, 3, 3]`: small numbers, none of them equal.
pub fn weights() -> Vec<u8> {
    (0..4 * 3 * 3 * 3).flat_map(|i| ((i as f32 - 54.0) / 100.0).to_le_bytes()).collect()
}

/// `images [N,3,8,8] -> stem (Conv) -> last (operator) -> scores [N,4,6,6]`, opset 13.
pub fn conv(last: &str, weights_in: Weights) -> Vec<u8> {
    let dims: Vec<u8> = [4, 3, 3, 3].iter().flat_map(|&extent| int(1, extent)).collect();
    let data = match weights_in {
        Weights::Inside => field(9, weights()),
        Weights::External(file) => {
            let location = [field(1, "location"), field(2, file)].concat();
            [field(13, location), int(14, 1)].concat()
        }
    };
    let initializer = [dims, int(2, 1), field(8, "stem.weight"), data].concat();
    let graph = [
        field(1, node("stem", "Conv", &["images", "stem.weight"], "features")),
        field(1, node("last", last, &["features"], "scores")),
        field(2, "tiny"),
        field(5, initializer),
        field(11, value("images", &[0, 3, 8, 8])),
        field(12, value("scores", &[0, 4, 6, 6])),
    ];
    [int(1, 8), field(7, graph.concat()), field(8, int(2, 13))].concat()
}
