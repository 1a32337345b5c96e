//! Small ONNX models made in memory.

use prost::Message;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension::Value as DimValue};
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto, TypeProto,
    ValueInfoProto, type_proto,
};

/// An attribute of a node.
pub enum Attr<'a> {
    Int(i64),
    Ints(&'a [i64]),
    Float(f32),
    Floats(&'a [f32]),
    Str(&'a str),
    Tensor(Box<TensorProto>),
}

/// A dimension of an input: a number, or a name for one that is not known.
pub enum Dim<'a> {
    Is(i64),
    Named(&'a str),
}

#[derive(Default)]
pub struct Builder {
    pub graph: GraphProto,
    seed: u32,
}

impl Builder {
    /// A model that reads 'x' of shape [batch, sample...].
    pub fn new(sample: &[i64]) -> Self {
        let dims: Vec<Dim> = std::iter::once(Dim::Named("batch")).chain(sample.iter().map(|&d| Dim::Is(d))).collect();
        Builder::default().input("x", DataType::Float, &dims)
    }

    pub fn input(mut self, name: &str, kind: DataType, dims: &[Dim]) -> Self {
        self.graph.input.push(value(name, kind, dims));
        self
    }

    pub fn output(self, name: &str) -> Self {
        self.output_of(name, DataType::Float)
    }

    pub fn output_of(mut self, name: &str, kind: DataType) -> Self {
        self.graph.output.push(value(name, kind, &[]));
        self
    }

    /// A weight with the given values.
    pub fn weight(mut self, name: &str, dims: &[i64], values: &[f32]) -> Self {
        let raw_data = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let data_type = DataType::Float as i32;
        self.graph.initializer.push(TensorProto {
            name: name.into(),
            dims: dims.into(),
            data_type,
            raw_data,
            ..Default::default()
        });
        self
    }

    /// A weight of any kind.
    pub fn tensor(mut self, tensor: TensorProto) -> Self {
        self.graph.initializer.push(tensor);
        self
    }

    /// A weight with values of no pattern in [-1, 1).
    pub fn random(mut self, name: &str, dims: &[i64]) -> Self {
        let count = dims.iter().product::<i64>();
        let values: Vec<f32> = (0..count).map(|_| self.next()).collect();
        self.weight(name, dims, &values)
    }

    pub fn ints(self, name: &str, values: &[i64]) -> Self {
        self.int64s(name, vec![values.len() as i64], values)
    }

    /// A constant without dimensions.
    pub fn int(self, name: &str, value: i64) -> Self {
        self.int64s(name, vec![], &[value])
    }

    fn int64s(mut self, name: &str, dims: Vec<i64>, values: &[i64]) -> Self {
        let raw_data = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let data_type = DataType::Int64 as i32;
        self.graph.initializer.push(TensorProto { name: name.into(), dims, data_type, raw_data, ..Default::default() });
        self
    }

    /// A node named as its first output.
    pub fn node(mut self, operator: &str, inputs: &[&str], outputs: &[&str], attributes: &[(&str, Attr)]) -> Self {
        self.graph.node.push(NodeProto {
            name: outputs[0].into(),
            op_type: operator.into(),
            input: inputs.iter().map(|&name| name.into()).collect(),
            output: outputs.iter().map(|&name| name.into()).collect(),
            attribute: attributes.iter().map(|(name, attr)| attribute(name, attr)).collect(),
            ..Default::default()
        });
        self
    }

    /// The file of the model, whose output is 'y' if none was named.
    pub fn finish(self) -> Vec<u8> {
        self.finish_as(13)
    }

    /// The same for a version of the operators.
    pub fn finish_as(self, version: i64) -> Vec<u8> {
        let named = if self.graph.output.is_empty() { self.output("y") } else { self };
        let opset = OperatorSetIdProto { version, ..Default::default() };
        ModelProto { ir_version: 7, opset_import: vec![opset], graph: Some(named.graph), ..Default::default() }
            .encode_to_vec()
    }

    fn next(&mut self) -> f32 {
        self.seed = self.seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.seed >> 8) as f32 / (1 << 23) as f32 - 1.0
    }
}

fn value(name: &str, kind: DataType, dims: &[Dim]) -> ValueInfoProto {
    let dim = dims.iter().map(|dim| Dimension {
        value: Some(match dim {
            Dim::Is(length) => DimValue::DimValue(*length),
            Dim::Named(name) => DimValue::DimParam((*name).into()),
        }),
        ..Default::default()
    });
    let shape = (!dims.is_empty()).then(|| TensorShapeProto { dim: dim.collect() });
    let tensor = type_proto::Tensor { elem_type: kind as i32, shape };
    let kind = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..Default::default() };
    ValueInfoProto { name: name.into(), r#type: Some(kind), ..Default::default() }
}

fn attribute(name: &str, attr: &Attr) -> AttributeProto {
    let mut proto = AttributeProto { name: name.into(), ..Default::default() };
    let kind = match attr {
        Attr::Int(i) => {
            proto.i = *i;
            AttributeType::Int
        }
        Attr::Ints(ints) => {
            proto.ints = ints.to_vec();
            AttributeType::Ints
        }
        Attr::Float(f) => {
            proto.f = *f;
            AttributeType::Float
        }
        Attr::Floats(floats) => {
            proto.floats = floats.to_vec();
            AttributeType::Floats
        }
        Attr::Str(s) => {
            proto.s = s.as_bytes().into();
            AttributeType::String
        }
        Attr::Tensor(tensor) => {
            proto.t = Some((**tensor).clone());
            AttributeType::Tensor
        }
    };
    proto.r#type = kind as i32;
    proto
}
