//! Models of a few nodes, arrays and pictures, made on the spot.

use std::path::Path;

use prost::Message as _;
use trt_onnx::proto::{
    AttributeProto, DimValue, Dimension, EXTERNAL, GraphProto, ModelProto, NodeProto, OperatorSetIdProto,
    StringStringEntryProto, TensorProto, TensorShapeProto, TensorType, TypeProto, TypeValue, ValueInfoProto,
    attr,
};

/// Types of elements, by their numbers in ONNX.
#[derive(Clone, Copy)]
pub enum Elem {
    Float = 1,
    Uint8 = 2,
    Int64 = 7,
    String = 8,
}

/// A graph in the making; its last value is its output.
pub struct Graph(GraphProto);

impl Graph {
    pub fn new() -> Self {
        Self(GraphProto { name: Some("test".to_owned()), ..GraphProto::default() })
    }

    pub fn input(mut self, name: &str, elem: Elem, dims: &[i64]) -> Self {
        self.0.input.push(value(name, elem, dims));
        self
    }

    pub fn floats(mut self, name: &str, values: &[f32]) -> Self {
        let tensor =
            TensorProto { data_type: Some(1), float_data: values.to_vec(), ..named(name, &[values.len()]) };
        self.0.initializer.push(tensor);
        self
    }

    pub fn ints(mut self, name: &str, values: &[i64]) -> Self {
        let tensor =
            TensorProto { data_type: Some(7), int64_data: values.to_vec(), ..named(name, &[values.len()]) };
        self.0.initializer.push(tensor);
        self
    }

    pub fn bools(mut self, name: &str, values: &[bool]) -> Self {
        let raw: Vec<u8> = values.iter().map(|&value| u8::from(value)).collect();
        let tensor = TensorProto { data_type: Some(9), raw_data: Some(raw.into()), ..named(name, &[]) };
        self.0.initializer.push(tensor);
        self
    }

    /// A weight whose bytes are in a file.
    pub fn external(mut self, name: &str, file: &str, elem: Elem, dims: &[i64]) -> Self {
        let location =
            StringStringEntryProto { key: Some("location".to_owned()), value: Some(file.to_owned()) };
        self.0.initializer.push(TensorProto {
            dims: dims.to_vec(),
            data_type: Some(elem as i32),
            data_location: Some(EXTERNAL),
            external_data: vec![location],
            ..named(name, &[])
        });
        self
    }

    pub fn node(self, op: &str, inputs: &[&str], output: &str) -> Self {
        self.custom("", op, inputs, output)
    }

    pub fn custom(mut self, domain: &str, op: &str, inputs: &[&str], output: &str) -> Self {
        self.0.node.push(NodeProto {
            domain: (!domain.is_empty()).then(|| domain.to_owned()),
            op_type: Some(op.to_owned()),
            name: Some(format!("{output}_node")),
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            output: vec![output.to_owned()],
            ..NodeProto::default()
        });
        self
    }

    /// An If with these bodies.
    pub fn branches(self, condition: &str, yes: Self, no: Self, output: &str) -> Self {
        let mut graph = self.custom("", "If", &[condition], output);
        for (name, body) in [("then_branch", yes), ("else_branch", no)] {
            graph.0.node.last_mut().expect("the If").attribute.push(AttributeProto {
                name: Some(name.to_owned()),
                g: Some(Box::new(body.done())),
                r#type: Some(attr::GRAPH),
                ..AttributeProto::default()
            });
        }
        graph
    }

    fn done(mut self) -> GraphProto {
        let last = self.0.node.last().expect("a node").output[0].clone();
        self.0.output = vec![ValueInfoProto { name: Some(last), ..ValueInfoProto::default() }];
        self.0
    }

    pub fn bytes(self) -> Vec<u8> {
        let opset = |domain: &str, version| OperatorSetIdProto {
            domain: Some(domain.to_owned()),
            version: Some(version),
        };
        let model = ModelProto {
            ir_version: Some(8),
            graph: Some(self.done()),
            opset_import: vec![opset("", 13), opset("acme", 1)],
            ..ModelProto::default()
        };
        model.encode_to_vec()
    }
}

fn named(name: &str, dims: &[usize]) -> TensorProto {
    let dims = dims.iter().map(|&side| side as i64).collect();
    TensorProto { name: Some(name.to_owned()), dims, ..TensorProto::default() }
}

fn value(name: &str, elem: Elem, dims: &[i64]) -> ValueInfoProto {
    let dim = |&side: &i64| Dimension { value: Some(DimValue::Value(side)), denotation: None };
    let shape = Some(TensorShapeProto { dim: dims.iter().map(dim).collect() });
    let tensor = TensorType { elem_type: Some(elem as i32), shape };
    let r#type = Some(TypeProto { value: Some(TypeValue::Tensor(tensor)), denotation: None });
    ValueInfoProto { name: Some(name.to_owned()), r#type, ..ValueInfoProto::default() }
}

/// A `.npy` file of version 1.0.
pub fn npy(descr: &str, shape: &[usize], data: &[u8]) -> Vec<u8> {
    let shape: String = shape.iter().map(|side| format!("{side}, ")).collect();
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({shape}), }}");
    while (header.len() + 11) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let length = (header.len() as u16).to_le_bytes();
    [&b"\x93NUMPY\x01\x00"[..], &length, header.as_bytes(), data].concat()
}

/// A white picture.
pub fn white(path: &Path) {
    image::RgbImage::from_pixel(8, 8, image::Rgb([255; 3])).save(path).expect("a picture");
}
