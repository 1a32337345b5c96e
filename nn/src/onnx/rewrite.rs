//! What tract computes otherwise than ONNX has it, in other words: before it reads, and once shapes are known.

use std::collections::HashSet;

use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::{AttributeProto, GraphProto, NodeProto, TensorProto, tensor_proto::DataType};
use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::{DimLike, TypedModel, TypedModelPatch, ensure};
use tract_onnx::tract_core::ops::array::{Pad, Slice};

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

/// A constant of a given shape without a value is zero in single precision, and tract makes it double.
pub(super) fn zeros(graph: &mut GraphProto) {
    let without = |node: &&mut NodeProto| node.op_type == "ConstantOfShape" && node.attribute.is_empty();
    for node in graph.node.iter_mut().filter(without) {
        let zero = Some(weights(String::new(), &[1], &[0.0]));
        let kind = AttributeType::Tensor as i32;
        node.attribute.push(AttributeProto { name: "value".into(), r#type: kind, t: zero, ..Default::default() });
    }
}

/// Padding that repeats data takes no value, and tract fills with a value that is there all the same.
pub(super) fn pad_value(graph: &mut GraphProto) {
    for node in graph.node.iter_mut().filter(|node| node.op_type == "Pad") {
        let constant = |mode: &AttributeProto| mode.name != "mode" || mode.s == b"constant";
        if !node.attribute.iter().all(constant)
            && let Some(value) = node.input.get_mut(2)
        {
            value.clear();
        }
    }
}

/// x^k for an integer k, which makes tract go through another precision, as a power of x's own type.
pub(super) fn integer_power(graph: &mut GraphProto) {
    let integer =
        |tensor: &TensorProto| [DataType::Int32, DataType::Int64].iter().any(|&kind| tensor.data_type == kind as i32);
    let is_integer = |attribute: &AttributeProto| match &attribute.t {
        Some(tensor) => integer(tensor),
        None => matches!(&attribute.name[..], "value_int" | "value_ints"),
    };
    let weights = graph.initializer.iter().filter(|weight| integer(weight)).map(|weight| weight.name.clone());
    let constants =
        graph.node.iter().filter(|node| node.op_type == "Constant" && node.attribute.iter().any(is_integer));
    let integers: HashSet<String> = weights.chain(constants.flat_map(|node| node.output.clone())).collect();
    for mut node in std::mem::take(&mut graph.node) {
        if let ("Pow", [x, exponent]) = (&node.op_type[..], &mut node.input[..])
            && integers.contains(exponent)
        {
            let like = format!("{}.exponent", node.name);
            graph.node.push(part("CastLike", &[exponent, x], &like, &like));
            *exponent = like;
        }
        graph.node.push(node);
    }
}

/// Padding by less than nothing, which tract takes for very much, as what it is: slices.
pub(super) fn crop(model: &mut TypedModel) -> TractResult<()> {
    let negative = |pad: usize| (pad as isize).min(0).unsigned_abs();
    let cropping = |pad: &Pad| pad.pads.iter().any(|&(before, after)| negative(before) + negative(after) > 0);
    let nodes: Vec<usize> =
        model.nodes().iter().filter(|node| node.op_as::<Pad>().is_some_and(cropping)).map(|node| node.id).collect();
    for id in nodes {
        let mut patch = TypedModelPatch::default();
        let node = model.node(id);
        let mut wire = patch.tap_model(model, node.inputs[0])?;
        let Some(mut pad) = node.op_as::<Pad>().cloned() else { continue };
        for (axis, (before, after)) in pad.pads.iter_mut().enumerate() {
            let (start, left) = (negative(*before), negative(*after));
            if start + left > 0 {
                let length = patch.outlet_fact(wire)?.shape[axis].to_usize()?;
                ensure!(
                    start + left < length,
                    "'{}' crops {} of the {length} along axis {axis}",
                    node.name,
                    start + left
                );
                let end = length - left;
                wire = patch.wire_node(format!("{}.crop-{axis}", node.name), Slice::new(axis, start, end), &[wire])?[0];
            }
            *before = (*before as isize).max(0) as usize;
            *after = (*after as isize).max(0) as usize;
        }
        let wire = patch.wire_node(&node.name, pad, &[wire])?[0];
        patch.shunt_outside(model, OutletId::new(id, 0), wire)?;
        patch.apply(model)?;
    }
    Ok(())
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
