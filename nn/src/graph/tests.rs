//! Graphs: what is refused, and evaluation against a sample at a time by hand.

use proptest::prelude::*;

use super::*;

fn node(name: &str, op: Op, inputs: &[usize], features: usize) -> Node {
    Node { name: name.into(), op, inputs: inputs.iter().map(|&i| NodeId(i)).collect(), shape: vec![features] }
}

fn affine(rows: usize, cols: usize, values: &[f64], bias: &[f64]) -> Op {
    Op::Affine(Arc::new(AffineMap::new(SparseMatrix::from_dense(rows, cols, values).unwrap(), bias.to_vec()).unwrap()))
}

/// y = p(M x + c) · (M x + c) + (M x + c), over two features.
fn residual() -> Graph {
    let square = Op::Activation(Activation::Polynomial(vec![1.0, 0.0, 2.0]));
    let nodes = vec![
        node("x", Op::Input, &[], 2),
        node("dense", affine(2, 2, &[1.0, 2.0, 0.0, -1.0], &[0.5, 0.25]), &[0], 2),
        node("poly", square, &[1], 2),
        node("gate", Op::Mul, &[2, 1], 2),
        node("join", Op::Add, &[3, 1], 2),
    ];
    Graph::new(nodes, NodeId(4)).unwrap()
}

fn residual_by_hand(x: &[f64]) -> [f64; 2] {
    [x[0] + 2.0 * x[1] + 0.5, -x[1] + 0.25].map(|h| (1.0 + 2.0 * h * h) * h + h)
}

proptest! {
    #[test]
    fn a_batch_of_any_size_runs_as_each_sample_alone(samples in proptest::collection::vec(-1.0..1.0f64, 0..80)) {
        let samples = &samples[..samples.len() / 2 * 2];
        let (results, ranges) = residual().run_with_ranges(samples).unwrap();
        let expected: Vec<f64> = samples.chunks(2).flat_map(residual_by_hand).collect();
        prop_assert_eq!(results.len(), expected.len());
        for (y, e) in results.iter().zip(&expected) {
            prop_assert!((y - e).abs() < 1e-12);
        }
        let max_abs = |values: &[f64]| values.iter().fold(0.0f64, |m, v| m.max(v.abs()));
        prop_assert_eq!(ranges.len(), 5);
        prop_assert_eq!(ranges[0].max_abs(), max_abs(samples));
        prop_assert_eq!(ranges[4].max_abs(), max_abs(&results));
    }
}

#[test]
fn activations_have_their_known_values() {
    let at = |a: Activation, x: f64| a.eval(x);
    assert_eq!(at(Activation::Polynomial(vec![1.0, -2.0, 3.0]), 2.0), 9.0);
    assert_eq!(at(Activation::Polynomial(vec![]), 2.0), 0.0);
    assert_eq!((at(Activation::Relu, -1.0), at(Activation::Relu, 2.0)), (0.0, 2.0));
    assert!((at(Activation::Sigmoid, 1.0) - 0.731_058_578_630_004_9).abs() < 1e-15);
    assert!((at(Activation::Tanh, 1.0) - 0.761_594_155_955_764_9).abs() < 1e-15);
    assert!((at(Activation::Silu, 1.0) - 0.731_058_578_630_004_9).abs() < 1e-15);
    assert!((at(Activation::Gelu, 1.0) - 0.841_344_746_068_542_9).abs() < 1e-15);
}

#[test]
fn accessors_tell_the_shape_of_the_graph() {
    let graph = residual();
    assert_eq!((graph.input(), graph.output(), graph.input_len(), graph.output_len()), (NodeId(0), NodeId(4), 2, 2));
    assert_eq!((graph.input_shape(), graph.output_shape()), (&[2][..], &[2][..]));
    assert_eq!(graph.readers()[1], [NodeId(2), NodeId(3), NodeId(4)]);
    assert_eq!(
        graph.iter().map(|(_, n)| n.op.name()).collect::<Vec<_>>(),
        ["input", "affine", "polynomial", "mul", "add"]
    );
    assert_eq!(graph.node(NodeId(3)).name, "gate");
}

#[test]
fn an_empty_graph_is_refused() {
    assert!(matches!(Graph::new(vec![], NodeId(0)), Err(Error::EmptyGraph)));
}

#[test]
fn an_input_out_of_place_is_refused() {
    let two = vec![node("x", Op::Input, &[], 1), node("y", Op::Input, &[], 1)];
    assert!(matches!(Graph::new(two, NodeId(0)), Err(Error::InputPlace { index: 1, .. })));
    let none = vec![node("x", Op::Activation(Activation::Relu), &[], 1)];
    assert!(matches!(Graph::new(none, NodeId(0)), Err(Error::InputPlace { index: 0, .. })));
}

#[test]
fn a_node_that_reads_what_comes_later_is_refused() {
    let nodes = vec![node("x", Op::Input, &[], 1), node("a", Op::Activation(Activation::Relu), &[1], 1)];
    assert!(matches!(Graph::new(nodes, NodeId(1)), Err(Error::NotTopological { node, reads: 1 }) if node == "a"));
}

#[test]
fn an_output_that_does_not_exist_is_refused() {
    assert!(matches!(
        Graph::new(vec![node("x", Op::Input, &[], 1)], NodeId(1)),
        Err(Error::OutputMissing { output: 1, nodes: 1 })
    ));
}

#[test]
fn a_wrong_number_of_inputs_is_refused() {
    let nodes = vec![node("x", Op::Input, &[], 1), node("a", Op::Add, &[0], 1)];
    assert!(matches!(Graph::new(nodes, NodeId(1)), Err(Error::InputCount { op: "add", expected: 2, found: 1, .. })));
}

#[test]
fn features_that_do_not_fit_are_refused() {
    let bad = |op, features| Graph::new(vec![node("x", Op::Input, &[], 2), node("a", op, &[0], features)], NodeId(1));
    assert!(matches!(bad(affine(2, 3, &[1.0; 6], &[0.0; 2]), 2), Err(Error::Features { expected: 2, found: 3, .. })));
    assert!(matches!(bad(affine(2, 2, &[1.0; 4], &[0.0; 2]), 3), Err(Error::Features { expected: 3, found: 2, .. })));
    assert!(matches!(bad(Op::Activation(Activation::Relu), 3), Err(Error::Features { expected: 3, found: 2, .. })));
    let unbiased = AffineMap { matrix: SparseMatrix::identity(2).unwrap(), bias: vec![] };
    assert!(matches!(bad(Op::Affine(Arc::new(unbiased)), 2), Err(Error::Features { what: "the bias", .. })));
}

#[test]
fn weights_that_are_not_finite_are_refused() {
    let bad = |op| Graph::new(vec![node("x", Op::Input, &[], 1), node("a", op, &[0], 1)], NodeId(1));
    assert!(matches!(bad(affine(1, 1, &[f64::NAN], &[0.0])), Err(Error::WeightNotFinite { what: "weight", .. })));
    assert!(matches!(bad(affine(1, 1, &[1.0], &[f64::INFINITY])), Err(Error::WeightNotFinite { what: "bias", .. })));
    let polynomial = Op::Activation(Activation::Polynomial(vec![0.0, f64::NAN]));
    assert!(matches!(bad(polynomial), Err(Error::WeightNotFinite { what: "coefficient", index: 1, .. })));
}

#[test]
fn samples_of_another_length_are_refused() {
    assert!(matches!(residual().run(&[1.0; 3]), Err(Error::SampleLength { found: 3, features: 2 })));
}

#[test]
fn more_results_than_memory_holds_are_refused() {
    let wide = affine(1 << 16, 1, &vec![1.0; 1 << 16], &vec![0.0; 1 << 16]);
    let graph = Graph::new(vec![node("x", Op::Input, &[], 1), node("wide", wide, &[0], 1 << 16)], NodeId(1)).unwrap();
    let error = graph.run(&[1.0; 1025]).unwrap_err();
    assert!(
        matches!(&error, Error::TooManyResults { node, samples: 1025, features: 65536, .. } if node == "wide"),
        "{error}"
    );
}
