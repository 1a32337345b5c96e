//! Pipelines of scikit-learn, as `skl2onnx` writes them: scalers and linear models, which ONNX keeps in a domain of their own, in its plain
//! operators; and of the two outputs of a classifier the probabilities. The label is the most probable class, and the key holder sees that.

use std::collections::{HashMap, HashSet};

use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::type_proto::{Tensor, Value as TypeValue};
use tract_onnx::pb::{AttributeProto, GraphProto, NodeProto, TensorProto, TypeProto, ValueInfoProto};

use super::rewrite::{part, weights};

/// Leaves one output where the others are labels, and plain operators.
pub(super) fn rewrite(graph: &mut GraphProto) {
    keep_scores(graph);
    for node in std::mem::take(&mut graph.node) {
        match plain(graph, &node) {
            Some((nodes, constants)) => {
                graph.node.extend(nodes);
                graph.initializer.extend(constants);
            }
            None => graph.node.push(node),
        }
    }
    complementary(graph);
}

/// Of several outputs the only one that is no label, without the map from classes that may be made of it.
fn keep_scores(graph: &mut GraphProto) {
    let labels = [DataType::Int32, DataType::Int64, DataType::String].map(|kind| kind as i32);
    let elements = |output: &ValueInfoProto| match output.r#type.as_ref()?.value.as_ref()? {
        TypeValue::TensorType(tensor) => Some(tensor.elem_type),
    };
    let is_label = |output: &ValueInfoProto| elements(output).is_some_and(|kind| labels.contains(&kind));
    if graph.output.len() > 1 && graph.output.iter().filter(|output| !is_label(output)).count() == 1 {
        graph.output.retain(|output| !is_label(output));
        if let Some(output) = graph.output.first_mut()
            && let Some(map) =
                graph.node.iter().find(|node| node.op_type == "ZipMap" && node.output == [&output.name[..]])
            && let [scores] = &map.input[..]
        {
            output.name.clone_from(scores);
            let float = Tensor { elem_type: DataType::Float as i32, shape: None };
            output.r#type = Some(TypeProto { value: Some(TypeValue::TensorType(float)), ..Default::default() });
        }
        prune(graph);
    }
}

/// Takes out what no output needs.
fn prune(graph: &mut GraphProto) {
    let makers =
        graph.node.iter().enumerate().flat_map(|(at, node)| node.output.iter().map(move |name| (&name[..], at)));
    let makers: HashMap<&str, usize> = makers.collect();
    let mut open: Vec<&str> = graph.output.iter().map(|output| &output.name[..]).collect();
    let mut needed = HashSet::new();
    while let Some(name) = open.pop() {
        if let Some(&at) = makers.get(name)
            && needed.insert(at)
        {
            open.extend(graph.node[at].input.iter().map(|input| &input[..]));
        }
    }
    let mut at = 0;
    graph.node.retain(|_| {
        at += 1;
        needed.contains(&(at - 1))
    });
}

/// The same in plain operators, with the constants that they read.
fn plain(graph: &GraphProto, node: &NodeProto) -> Option<(Vec<NodeProto>, Vec<TensorProto>)> {
    let inside = |what: &str| format!("{}.{what}", node.name);
    let vector = |name: &str, values: &[f32]| weights(inside(name), &[values.len()], values);
    match (&node.op_type[..], &node.input[..], &node.output[..]) {
        ("Scaler", [x], [y]) => {
            let [offset, scale, centred] = ["offset", "scale", "centred"].map(inside);
            let nodes =
                vec![part("Sub", &[x, &offset], &centred, &centred), part("Mul", &[&centred, &scale], y, &node.name)];
            Some((nodes, vec![vector("offset", floats(node, "offset")), vector("scale", floats(node, "scale"))]))
        }
        ("LinearRegressor", [x], [y]) if matches!(text(node, "post_transform"), "" | "NONE") => dense(node, x, y),
        // With one row for two classes its scores are made otherwise.
        ("LinearClassifier", [x], [_, scores]) if floats(node, "intercepts").len() == classes(node) => {
            let results = inside("results");
            let last = match text(node, "post_transform") {
                "" | "NONE" => return dense(node, x, scores),
                "LOGISTIC" => part("Sigmoid", &[&results], scores, &inside("scores")),
                "SOFTMAX" => {
                    let mut softmax = part("Softmax", &[&results], scores, &inside("scores"));
                    softmax.attribute.push(one("axis"));
                    softmax
                }
                _ => return None,
            };
            let (mut nodes, constants) = dense(node, x, &results)?;
            nodes.push(last);
            Some((nodes, constants))
        }
        // The sum of a softmax is one.
        ("Normalizer", [x], [y]) if text(node, "norm") == "L1" => {
            let softmax = graph.node.iter().any(|node| node.op_type == "Softmax" && node.output.contains(x));
            softmax.then(|| (vec![part("Identity", &[x], y, &node.name)], vec![]))
        }
        _ => None,
    }
}

/// x Cᵀ + c, with the coefficients and intercepts of a linear model.
fn dense(node: &NodeProto, x: &str, y: &str) -> Option<(Vec<NodeProto>, Vec<TensorProto>)> {
    let inside = |what: &str| format!("{}.{what}", node.name);
    let (coefficients, intercepts) = (floats(node, "coefficients"), floats(node, "intercepts"));
    let features = coefficients.len().checked_div(intercepts.len())?;
    let mut gemm = part("Gemm", &[x, &inside("coefficients"), &inside("intercepts")], y, &node.name);
    gemm.attribute.push(one("transB"));
    let matrix = weights(inside("coefficients"), &[intercepts.len(), features], coefficients);
    Some((vec![gemm], vec![matrix, weights(inside("intercepts"), &[intercepts.len()], intercepts)]))
}

/// 1 − σ(z) beside σ(z), the probabilities of two classes: σ of −z beside z, so that the sigmoid is left to the key holder.
fn complementary(graph: &mut GraphProto) {
    let maker = |name: &str, operator: &str| {
        graph.node.iter().position(|node| node.op_type == operator && node.output == [name])
    };
    let is_one = |name: &str| {
        let one = graph.initializer.iter().find(|weight| weight.name == name);
        one.is_some_and(|one| one.float_data == [1.0] || one.raw_data == 1f32.to_le_bytes())
    };
    let readers = |name: &str| graph.node.iter().flat_map(|node| &node.input).filter(|&input| input == name).count();
    let found = graph.node.iter().enumerate().find_map(|(concat, node)| {
        let ("Concat", [other, this]) = (&node.op_type[..], &node.input[..]) else { return None };
        let (minus, sigmoid) = (maker(other, "Sub")?, maker(this, "Sigmoid")?);
        let [one, subtracted] = &graph.node[minus].input[..] else { return None };
        let alone = (readers(other), readers(this)) == (1, 2);
        (alone && subtracted == this && is_one(one)).then_some((concat, minus, sigmoid))
    });
    let Some((concat, minus, sigmoid)) = found else { return };
    let z = graph.node[sigmoid].input.first().cloned().unwrap_or_default();
    let results = format!("{}.results", graph.node[concat].name);
    graph.node[minus].op_type = "Neg".into();
    graph.node[minus].input = vec![z.clone()];
    graph.node[concat].input[1] = z;
    let probabilities = std::mem::replace(&mut graph.node[concat].output, vec![results.clone()]);
    graph.node[sigmoid].input = vec![results];
    graph.node[sigmoid].output = probabilities;
}

/// An attribute of 1.
fn one(name: &str) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: AttributeType::Int as i32, i: 1, ..Default::default() }
}

/// Classes that have a label.
fn classes(node: &NodeProto) -> usize {
    let labels = node.attribute.iter().filter(|attribute| attribute.name.starts_with("classlabels_"));
    labels.map(|labels| labels.ints.len().max(labels.strings.len())).max().unwrap_or(0)
}

fn floats<'a>(node: &'a NodeProto, name: &str) -> &'a [f32] {
    node.attribute.iter().find(|attribute| attribute.name == name).map_or(&[], |attribute| &attribute.floats)
}

fn text<'a>(node: &'a NodeProto, name: &str) -> &'a str {
    let attribute = node.attribute.iter().find(|attribute| attribute.name == name);
    attribute.and_then(|attribute| str::from_utf8(&attribute.s).ok()).unwrap_or("")
}
