//! What tract computes otherwise than ONNX has it, in other words before it reads.

use tract_onnx::pb::{GraphProto, NodeProto, TensorProto, tensor_proto::DataType};

/// celu_a(x) = a celu_1(x / a), which tract takes for celu_1(x / a) where x is negative.
pub(super) fn celu(graph: &mut GraphProto) {
    for node in std::mem::take(&mut graph.node) {
        let alpha = node.attribute.iter().find(|attribute| attribute.name == "alpha").map_or(1.0, |alpha| alpha.f);
        match (node.op_type.as_str(), &node.input[..], &node.output[..]) {
            ("Celu", [x], [y]) if alpha != 1.0 => {
                let inside = |what: &str| format!("{}.{what}", node.name);
                let [constant, scaled, unit] = ["alpha", "scaled", "unit"].map(inside);
                graph.node.push(part("Div", &[x, &constant], &scaled, &scaled));
                graph.node.push(part("Celu", &[&scaled], &unit, &unit));
                graph.node.push(part("Mul", &[&unit, &constant], y, &node.name));
                graph.initializer.push(number(constant, alpha));
            }
            _ => graph.node.push(node),
        }
    }
}

pub(super) fn part(operator: &str, inputs: &[&str], output: &str, name: &str) -> NodeProto {
    NodeProto {
        name: name.into(),
        op_type: operator.into(),
        input: inputs.iter().map(|&input| input.into()).collect(),
        output: vec![output.into()],
        ..NodeProto::default()
    }
}

fn number(name: String, value: f32) -> TensorProto {
    weights(name, &[], &[value])
}

/// A constant of these dimensions.
pub(super) fn weights(name: String, dims: &[usize], values: &[f32]) -> TensorProto {
    let raw_data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let dims = dims.iter().map(|&length| length as i64).collect();
    TensorProto { name, dims, data_type: DataType::Float as i32, raw_data, ..TensorProto::default() }
}
