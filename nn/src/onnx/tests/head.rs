//! Last nodes that are left to the key holder.

use super::*;
use crate::graph::{Head, HeadAxis};

/// A dense layer 'd' of shape [2, 3] on four features.
fn dense() -> Builder {
    let model = Builder::new(&[4]).random("w", &[4, 6]).ints("shape", &[-1, 2, 3]);
    model.node("MatMul", &["x", "w"], &["flat"], &[]).node("Reshape", &["flat", "shape"], &["d"], &[])
}

fn head(model: Builder, opset: i64) -> Head {
    let model = OnnxModel::from_bytes("test.onnx", &model.finish_as(opset)).unwrap();
    assert_eq!((model.graph.output_shape(), model.original.output_shape()), (&[2, 3][..], &[2, 3][..]));
    model.graph.head()
}

fn last(operator: &str, attributes: &[(&str, Attr)]) -> Head {
    head(dense().node(operator, &["d"], &["y"], attributes), 13)
}

#[test]
fn softmax_and_its_like_are_the_key_holders() {
    let axis = |length, inner| HeadAxis { length, inner };
    assert_eq!(last("Softmax", &[("axis", Attr::Int(1))]), Head::Softmax(axis(2, 3)));
    assert_eq!(last("Softmax", &[]), Head::Softmax(axis(3, 1)));
    assert_eq!(last("LogSoftmax", &[("axis", Attr::Int(-2))]), Head::LogSoftmax(axis(2, 3)));
    assert_eq!(last("ArgMax", &[("axis", Attr::Int(2)), ("keepdims", Attr::Int(0))]), Head::ArgMax(axis(3, 1)));
    assert_eq!(last("Sigmoid", &[]), Head::Sigmoid);
    assert_eq!(last("Neg", &[]), Head::Identity);
}

#[test]
fn an_old_softmax_goes_over_all_axes_behind_its_own() {
    let softmax = dense().node("Softmax", &["d"], &["y"], &[]);
    assert_eq!(head(softmax, 11), Head::Softmax(HeadAxis { length: 6, inner: 1 }));
}

#[test]
fn conversions_behind_the_last_node_go_with_it() {
    let model = dense().node("ArgMax", &["d"], &["index"], &[("axis", Attr::Int(-1))]);
    let model = model.node("Cast", &["index"], &["float"], &[("to", Attr::Int(1))]);
    let found = head(model.node("Identity", &["float"], &["y"], &[]), 13);
    assert_eq!(found, Head::ArgMax(HeadAxis { length: 3, inner: 1 }));
}

#[test]
fn shapes_behind_the_last_node_go_with_it() {
    let model = dense().ints("to", &[0, 3, 2]).node("Softmax", &["d"], &["s"], &[("axis", Attr::Int(2))]);
    let found = head(model.node("Reshape", &["s", "to"], &["y"], &[]), 13);
    assert_eq!(found, Head::Softmax(HeadAxis { length: 3, inner: 1 }));
    let model = dense().node("Sigmoid", &["d"], &["s"], &[]).node("Flatten", &["s"], &["y"], &[]);
    assert_eq!(head(model, 13), Head::Sigmoid);
}

#[test]
fn a_model_with_a_head_computes_what_stands_before_it() {
    let bare = OnnxModel::from_bytes("test.onnx", &dense().node("Neg", &["d"], &["y"], &[]).finish()).unwrap();
    let softmax = dense().node("Neg", &["d"], &["n"], &[]).node("Softmax", &["n"], &["y"], &[]);
    let model = OnnxModel::from_bytes("test.onnx", &softmax.finish()).unwrap();
    let samples = probe::random(20);
    assert_eq!(model.original.run(&samples).unwrap(), bare.original.run(&samples).unwrap());
    let simplified = crate::pass::simplify(&model.graph, &crate::pass::MergeRule::default()).unwrap();
    assert_eq!(simplified.head(), model.graph.head());
}

#[test]
fn a_model_may_be_its_head_alone() {
    let model = Builder::new(&[3]).node("Softmax", &["x"], &["y"], &[]);
    let model = OnnxModel::from_bytes("test.onnx", &model.finish()).unwrap();
    assert_eq!(model.graph.head(), Head::Softmax(HeadAxis { length: 3, inner: 1 }));
    assert_eq!(model.graph.run(&[1.0, 2.0, 3.0]).unwrap(), [1.0, 2.0, 3.0]);
    assert_eq!(model.original.run(&[1.0, 2.0, 3.0]).unwrap(), [1.0, 2.0, 3.0]);
}

#[test]
fn a_head_that_is_read_inside_stays_inside() {
    let model = dense().node("Softmax", &["d"], &["s"], &[]).node("Add", &["s", "d"], &["y"], &[]);
    let error = OnnxModel::from_bytes("test.onnx", &model.finish()).unwrap_err();
    assert!(matches!(&error, Error::Unsupported { nodes, .. } if nodes[0].operator == "Softmax"), "{error}");
}

#[test]
fn along_the_batch_there_is_no_head() {
    let model = dense().node("ArgMax", &["d"], &["y"], &[]);
    let error = OnnxModel::from_bytes("test.onnx", &model.finish()).unwrap_err();
    assert!(matches!(&error, Error::OnnxNode { operator, .. } if operator == "ArgMax"), "{error}");
}
