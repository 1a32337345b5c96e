//! Imported graphs against tract's own results.

mod builder;
mod direct;
mod foreign;
mod head;
mod operators;
mod refused;
mod sklearn;
mod zoo;

use builder::{Attr, Builder};

use super::*;
use crate::graph::{Activation, Op};

/// Imports a model; its graph must give what tract gives, on batches of any size.
fn import(model: Builder) -> OnnxModel {
    import_file(&model.finish())
}

/// The same for a file.
fn import_file(bytes: &[u8]) -> OnnxModel {
    let model = OnnxModel::from_bytes("test.onnx", bytes).unwrap();
    let samples = probe::random(45 * model.graph.input_len());
    let original = model.original.run(&samples).unwrap();
    let doubles: Vec<f64> = samples.iter().map(|&x| f64::from(x)).collect();
    let graph = model.graph.run(&doubles).unwrap();
    assert_eq!(graph.len(), 45 * model.graph.output_len());
    assert_eq!(graph.len(), original.len());
    // A model that only renames its input has no node that could carry another shape.
    if model.graph.nodes().len() > 1 {
        assert_eq!(model.graph.output_shape(), model.original.output_shape());
    }
    let largest = graph.iter().fold(1e-3f64, |largest, y| largest.max(y.abs()));
    for (&original, graph) in original.iter().zip(&graph) {
        assert!((f64::from(original) - graph).abs() < 1e-5 * largest, "original {original}, graph {graph}");
    }
    model
}

fn operations(model: &OnnxModel) -> Vec<&'static str> {
    model.graph.nodes().iter().map(|node| node.op.name()).collect()
}

/// Convolution 5x5 stride 2, square, dense, square, dense, on 1 x 14 x 14.
fn cryptonets() -> Builder {
    let (kernel, pads) = (Attr::Ints(&[5, 5]), Attr::Ints(&[1, 1, 1, 1]));
    Builder::new(&[1, 14, 14])
        .random("w1", &[5, 1, 5, 5])
        .random("b1", &[5])
        .random("w2", &[20, 180])
        .random("b2", &[20])
        .random("w3", &[10, 20])
        .random("b3", &[10])
        .node(
            "Conv",
            &["x", "w1", "b1"],
            &["conv"],
            &[("kernel_shape", kernel), ("strides", Attr::Ints(&[2, 2])), ("pads", pads)],
        )
        .node("Mul", &["conv", "conv"], &["square1"], &[])
        .node("Flatten", &["square1"], &["flat"], &[("axis", Attr::Int(1))])
        .node("Gemm", &["flat", "w2", "b2"], &["dense1"], &[("transB", Attr::Int(1))])
        .node("Mul", &["dense1", "dense1"], &["square2"], &[])
        .node("Gemm", &["square2", "w3", "b3"], &["y"], &[("transB", Attr::Int(1))])
}

#[test]
fn a_network_of_squares_is_affine_maps_and_polynomials() {
    let model = import(cryptonets());
    let graph = &model.graph;
    assert_eq!((graph.input_shape(), graph.output_shape()), (&[1, 14, 14][..], &[10][..]));
    let square = Activation::Polynomial(vec![0.0, 0.0, 1.0]);
    let squares = graph.nodes().iter().filter(|node| matches!(&node.op, Op::Activation(a) if *a == square));
    assert_eq!(squares.count(), 2);
    assert!(operations(&model).iter().all(|op| ["input", "affine", "polynomial"].contains(op)));
    let Op::Affine(conv) = &graph.nodes()[1].op else { panic!("the first layer is affine") };
    assert_eq!((conv.output_len(), conv.input_len()), (180, 196));
    assert_eq!(graph.nodes()[1].name, "conv");
}

#[test]
fn the_original_runs_in_batches_where_it_may() {
    let model = OnnxModel::from_bytes("test.onnx", &cryptonets().finish()).unwrap();
    assert!(model.original.runs_in_batches());
    // Centred over the batch: alone, a sample gives zeros.
    let mixing = Builder::new(&[4]).node(
        "ReduceMean",
        &["x"],
        &["mean"],
        &[("axes", Attr::Ints(&[0])), ("keepdims", Attr::Int(1))],
    );
    let mixing = mixing.random("w", &[4]).node("Sub", &["x", "mean"], &["centred"], &[]).node(
        "Add",
        &["centred", "w"],
        &["y"],
        &[],
    );
    // tract sees that the mean of one sample is itself; then nothing of the input is left in the output.
    match OnnxModel::from_bytes("test.onnx", &mixing.finish()) {
        Ok(model) => assert!(!model.original.runs_in_batches()),
        Err(error) => assert!(matches!(error, Error::OnnxInterface { .. }), "{error}"),
    }
}

#[test]
fn a_model_exported_with_a_fixed_batch_is_read() {
    let fixed = |batch: i64| {
        let dims = [builder::Dim::Is(batch), builder::Dim::Is(6)];
        let model = Builder::default().input("x", tract_onnx::pb::tensor_proto::DataType::Float, &dims);
        model.random("w", &[3, 6]).node("Gemm", &["x", "w"], &["y"], &[("transB", Attr::Int(1))])
    };
    assert_eq!(import(fixed(1)).graph.output_shape(), [3]);
    assert_eq!(import(fixed(64)).graph.output_shape(), [3]);
}

#[test]
fn a_model_that_holds_its_batch_size_runs_sample_by_sample() {
    let model = Builder::new(&[2, 3]).ints("shape", &[1, 6]).random("w", &[4, 6]);
    let model = model.node("Reshape", &["x", "shape"], &["flat"], &[]).node(
        "Gemm",
        &["flat", "w"],
        &["y"],
        &[("transB", Attr::Int(1))],
    );
    assert!(!import(model).original.runs_in_batches());
}

#[test]
fn the_original_takes_whole_samples_only() {
    let original = OnnxModel::from_bytes("test.onnx", &cryptonets().finish()).unwrap().original;
    assert_eq!((original.input_len(), original.output_len()), (196, 10));
    assert!(matches!(original.run(&[0.0; 197]), Err(Error::SampleLength { found: 197, features: 196 })));
    assert!(original.run(&[]).unwrap().is_empty());
}
