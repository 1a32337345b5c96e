//! Small networks as PyTorch's two exporters write them, and pipelines of scikit-learn, against results by onnxruntime; `tests/zoo/make_zoo.py` made them.

use ndarray::ArrayD;
use ndarray_npy::read_npy;

use super::*;
use crate::pass::{MergeRule, simplify};

const ZOO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/zoo");

/// The three samples of a network, or what onnxruntime makes of them.
fn array(name: &str, which: &str) -> Vec<f32> {
    let array: ArrayD<f32> = read_npy(format!("{ZOO}/{name}.{which}.npy")).unwrap();
    array.into_iter().collect()
}

fn assert_near(what: &str, found: &[f64], expected: &[f32]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(1e-3f64, |largest, y| largest.max(f64::from(y.abs())));
    for (i, (found, &expected)) in found.iter().zip(expected).enumerate() {
        assert!((found - f64::from(expected)).abs() < 1e-5 * largest, "{what}: result {i} is {found}, not {expected}");
    }
}

/// Both files of a network.
fn check(name: &str) {
    check_files(name, &[&format!("{name}.script.onnx"), &format!("{name}.dynamo.onnx")]);
}

/// Files with the same results, as imported, as simplified, and as tract runs them.
fn check_files(name: &str, files: &[&str]) {
    let (x, y) = (array(name, "x"), array(name, "y"));
    let x_doubles: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
    for file in files {
        let model = OnnxModel::load(format!("{ZOO}/{file}")).unwrap_or_else(|error| panic!("{file}: {error}"));
        let head = model.graph.head();
        assert_near(file, &head.apply(&model.graph.run(&x_doubles).unwrap()), &y);
        let simple = simplify(&model.graph, &MergeRule::default()).unwrap();
        assert_near(&format!("{file} simplified"), &simple.head().apply(&simple.run(&x_doubles).unwrap()), &y);
        let original: Vec<f64> = model.original.run(&x).unwrap().into_iter().map(f64::from).collect();
        assert_near(&format!("{file} by tract"), &head.apply(&original), &y);
        assert!(model.original.runs_in_batches(), "{file}");
    }
}

#[test]
fn dense_layers_and_powers() {
    check("dense");
}

#[test]
fn pipelines_of_scikit_learn() {
    for name in ["ridge", "two_classes", "three_classes", "perceptron"] {
        check_files(name, &[&format!("{name}.onnx")]);
    }
}

#[test]
fn heads() {
    ["softmax", "log_softmax", "argmax", "sigmoid"].into_iter().for_each(check);
}

#[test]
fn convolutions_and_pools_along_one_axis() {
    check("conv1d");
}

#[test]
fn convolutions_and_pools_along_two_axes() {
    check("conv2d");
}

#[test]
fn residual_blocks() {
    check("residual");
}

#[test]
fn arithmetic_on_shapes() {
    check("shapes");
}

#[test]
fn features_that_move() {
    check("moves");
}

#[test]
fn assignments() {
    check("assignments");
}

#[test]
fn upsampling() {
    check("upsampling");
}

#[test]
fn products_from_either_side() {
    check("products");
}

#[test]
fn features_that_are_chosen() {
    check("chosen");
}

#[test]
fn averages_of_squares() {
    check("pooled");
}
