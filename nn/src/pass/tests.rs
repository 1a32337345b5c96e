//! Each pass computes what the graph before it computed, on graphs of any form; and does what it is there for.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::graph::{Activation, SparseMatrix};

/// What a node of a random graph is made from; read modulo what there is.
type Seed = (u8, usize, usize, usize, Vec<i8>);

fn seeds() -> impl Strategy<Value = Vec<Seed>> {
    let seed = (0u8..7, any::<usize>(), any::<usize>(), 1usize..4, proptest::collection::vec(-2i8..=2, 16));
    proptest::collection::vec(seed, 1..9)
}

/// A graph with as many nodes as seeds; small sizes, so that nodes of equal size are common.
fn graph(seeds: &[Seed]) -> Graph {
    let mut nodes = vec![node(Op::Input, &[], 2)];
    for (kind, left, right, rows, values) in seeds {
        let left = left % nodes.len();
        let size = nodes[left].len();
        let same: Vec<usize> = (0..nodes.len()).filter(|&i| nodes[i].len() == size).collect();
        let right = same[right % same.len()];
        let value = |i: usize| f64::from(values[i % values.len()]) / 2.0;
        nodes.push(match kind {
            0 | 1 => {
                let dense: Vec<f64> = (0..rows * size).map(value).collect();
                node(affine(*rows, size, &dense, &(0..*rows).map(value).collect::<Vec<_>>()), &[left], *rows)
            }
            2 => {
                let diagonal: Vec<f64> = (0..size).map(value).collect();
                let matrix = SparseMatrix::diagonal(&diagonal).unwrap();
                node(Op::Affine(Arc::new(AffineMap::linear(matrix))), &[left], size)
            }
            3 => {
                let matrix = SparseMatrix::diagonal(&vec![value(0); size]).unwrap();
                node(Op::Affine(Arc::new(AffineMap::new(matrix, vec![value(1); size]).unwrap())), &[left], size)
            }
            4 => node(Op::Activation(Activation::Polynomial(vec![value(0), value(1), value(2)])), &[left], size),
            5 => node(Op::Mul, &[left, right], size),
            _ => node(Op::Add, &[left, right], size),
        });
    }
    let output = NodeId(nodes.len() - 1);
    Graph::new(nodes, output).unwrap()
}

fn node(op: Op, inputs: &[usize], features: usize) -> Node {
    Node { name: "test".into(), op, inputs: inputs.iter().map(|&i| NodeId(i)).collect(), shape: vec![features] }
}

fn affine(rows: usize, cols: usize, values: &[f64], bias: &[f64]) -> Op {
    Op::Affine(Arc::new(AffineMap::new(SparseMatrix::from_dense(rows, cols, values).unwrap(), bias.to_vec()).unwrap()))
}

fn square() -> Op {
    Op::Activation(Activation::Polynomial(vec![0.0, 0.0, 1.0]))
}

fn chain(ops: Vec<(Op, usize)>) -> Graph {
    let nodes = ops
        .into_iter()
        .enumerate()
        .map(|(i, (op, features))| node(op, &[i.wrapping_sub(1)][..usize::from(i > 0)], features));
    let nodes: Vec<Node> = nodes.collect();
    let output = NodeId(nodes.len() - 1);
    Graph::new(nodes, output).unwrap()
}

/// Runs both on a few samples.
fn assert_same(before: &Graph, after: &Graph) {
    let samples: Vec<f64> = (0..before.input_len() * 5).map(|i| ((i * 37 % 11) as f64 - 5.0) / 7.0).collect();
    let (expected, ranges) = before.run_with_ranges(&samples).unwrap();
    let found = after.run(&samples).unwrap();
    let scale = ranges.iter().fold(1.0f64, |scale, range| scale.max(range.max_abs()));
    assert_eq!(before.output_shape(), after.output_shape());
    for (a, b) in expected.iter().zip(&found) {
        assert!((a - b).abs() <= 1e-9 * scale, "{a} became {b}\nbefore {before:?}\nafter {after:?}");
    }
}

fn operations(graph: &Graph) -> Vec<&'static str> {
    graph.nodes().iter().map(|node| node.op.name()).collect()
}

/// Merges whatever can be merged.
const ALL: MergeRule = MergeRule { growth: 1e9, share: 0.0 };

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn passes_keep_what_a_graph_computes(seeds in seeds()) {
        let graph = graph(&seeds);
        for rule in [MergeRule::default(), ALL] {
            assert_same(&graph, &fold_affine(&graph, &rule).unwrap());
            assert_same(&graph, &distribute(&graph, &rule).unwrap());
            let simple = simplify(&graph, &rule).unwrap();
            assert_same(&graph, &simple);
            prop_assert!(simple.nodes().len() <= graph.nodes().len());
        }
        assert_same(&graph, &merge_branches(&graph).unwrap());
        assert_same(&graph, &gather_polynomials(&graph).unwrap());
        assert_same(&graph, &prune(&graph).unwrap());
        assert_same(&graph, &fold_constants(&graph).unwrap());
    }
}

#[test]
fn a_run_of_maps_becomes_one() {
    let scale = |n: usize| {
        affine(n, n, SparseMatrix::diagonal(&vec![2.0; n]).map(|m| dense(&m)).unwrap().as_slice(), &vec![1.0; n])
    };
    let graph = chain(vec![
        (Op::Input, 3),
        (affine(4, 3, &[1.0; 12], &[0.5; 4]), 4),
        (scale(4), 4),
        (affine(2, 4, &[1.0; 8], &[0.0; 2]), 2),
        (square(), 2),
        (scale(2), 2),
    ]);
    let simple = simplify(&graph, &MergeRule { growth: 1.0, share: 0.0 }).unwrap();
    // The last scaling has no map behind it that would take it, so the polynomial does.
    assert_eq!(operations(&simple), ["input", "affine", "polynomial"]);
    assert_same(&graph, &simple);
}

fn dense(matrix: &SparseMatrix) -> Vec<f64> {
    let mut values = vec![0.0; matrix.rows() * matrix.cols()];
    matrix.iter().for_each(|(r, c, v)| values[r * matrix.cols() + c] = v);
    values
}

#[test]
fn maps_whose_product_is_larger_stay_apart() {
    // Through a bottleneck of one feature: 8 weights as two maps, 16 as one.
    let graph =
        chain(vec![(Op::Input, 4), (affine(1, 4, &[1.0; 4], &[0.0]), 1), (affine(4, 1, &[1.0; 4], &[0.0; 4]), 4)]);
    assert_eq!(simplify(&graph, &MergeRule { growth: 1.0, share: 0.0 }).unwrap().nodes().len(), 3);
    let merged = simplify(&graph, &MergeRule { growth: 2.0, share: 0.0 }).unwrap();
    assert_eq!(merged.nodes().len(), 2);
    assert_same(&graph, &merged);
    assert_eq!(simplify(&graph, &MergeRule { growth: 1.0, share: 1.0 }).unwrap().nodes().len(), 2);
}

#[test]
fn a_permutation_that_two_read_goes_into_both() {
    let swap = SparseMatrix::selection(2, [Some(1), Some(0)]).unwrap();
    let nodes = vec![
        node(Op::Input, &[], 2),
        node(Op::Affine(Arc::new(AffineMap::linear(swap))), &[0], 2),
        node(affine(2, 2, &[1.0, 2.0, 3.0, 4.0], &[0.0; 2]), &[1], 2),
        node(affine(2, 2, &[5.0, 6.0, 7.0, 8.0], &[0.0; 2]), &[1], 2),
        node(Op::Mul, &[2, 3], 2),
    ];
    let graph = Graph::new(nodes, NodeId(4)).unwrap();
    let folded = prune(&fold_affine(&graph, &MergeRule::default()).unwrap()).unwrap();
    assert_eq!(operations(&folded), ["input", "affine", "affine", "mul"]);
    assert_same(&graph, &folded);
}

#[test]
fn a_product_with_itself_is_a_square() {
    let graph = Graph::new(vec![node(Op::Input, &[], 3), node(Op::Mul, &[0, 0], 3)], NodeId(1)).unwrap();
    let simple = gather_polynomials(&graph).unwrap();
    assert!(matches!(&simple.nodes()[1].op, Op::Activation(Activation::Polynomial(p)) if *p == [0.0, 0.0, 1.0]));
}

#[test]
fn a_polynomial_spelled_out_is_found() {
    // 0.5 h² + 2 h + 3, of h = M x that five nodes read, before a dense layer.
    let scale = |a: f64, b: f64| affine(2, 2, &[a, 0.0, 0.0, a], &[b; 2]);
    let nodes = vec![
        node(Op::Input, &[], 2),
        node(affine(2, 2, &[1.0, 2.0, 3.0, 4.0], &[0.0; 2]), &[0], 2),
        node(Op::Mul, &[1, 1], 2),
        node(scale(0.5, 0.0), &[2], 2),
        node(scale(2.0, 0.0), &[1], 2),
        node(Op::Add, &[3, 4], 2),
        node(scale(1.0, 3.0), &[5], 2),
        node(affine(1, 2, &[1.0, -1.0], &[0.0]), &[6], 1),
    ];
    let graph = Graph::new(nodes, NodeId(7)).unwrap();
    let simple = simplify(&graph, &MergeRule::default()).unwrap();
    assert_eq!(operations(&simple), ["input", "affine", "polynomial", "affine"]);
    assert!(matches!(&simple.nodes()[2].op, Op::Activation(Activation::Polynomial(p)) if *p == [0.0, 2.0, 0.5]));
    assert_same(&graph, &simple);
}

#[test]
fn a_scaling_before_a_square_goes_into_the_layer_before_it() {
    let graph = chain(vec![
        (Op::Input, 2),
        (affine(2, 2, &[1.0; 4], &[1.0; 2]), 2),
        (affine(2, 2, &[0.1, 0.0, 0.0, 0.1], &[0.0; 2]), 2),
        (square(), 2),
    ]);
    let simple = simplify(&graph, &MergeRule::default()).unwrap();
    assert_eq!(operations(&simple), ["input", "affine", "polynomial"]);
    assert!(matches!(&simple.nodes()[2].op, Op::Activation(Activation::Polynomial(p)) if *p == [0.0, 0.0, 1.0]));
    assert_same(&graph, &simple);
}

#[test]
fn a_layer_behind_a_concatenation_goes_before_it() {
    let place = |first: usize| {
        SparseMatrix::selection(2, (0..4usize).map(|i| i.checked_sub(first).filter(|&i| i < 2))).unwrap()
    };
    let nodes = vec![
        node(Op::Input, &[], 2),
        node(square(), &[0], 2),
        node(Op::Affine(Arc::new(AffineMap::linear(place(0)))), &[0], 4),
        node(Op::Affine(Arc::new(AffineMap::linear(place(2)))), &[1], 4),
        node(Op::Add, &[2, 3], 4),
        node(affine(3, 4, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 1.0, 2.0, 3.0], &[1.0; 3]), &[4], 3),
    ];
    let graph = Graph::new(nodes, NodeId(5)).unwrap();
    let simple = simplify(&graph, &MergeRule { growth: 1.0, share: 0.0 }).unwrap();
    assert_eq!(operations(&simple), ["input", "polynomial", "affine", "affine", "add"]);
    assert_same(&graph, &simple);
}

#[test]
fn a_sum_of_maps_of_one_tensor_is_one_map() {
    let nodes = vec![
        node(Op::Input, &[], 2),
        node(affine(2, 2, &[1.0, 2.0, 3.0, 4.0], &[1.0, 2.0]), &[0], 2),
        node(Op::Add, &[0, 1], 2),
    ];
    let graph = Graph::new(nodes, NodeId(2)).unwrap();
    let simple = simplify(&graph, &MergeRule::default()).unwrap();
    assert_eq!(operations(&simple), ["input", "affine"]);
    assert_same(&graph, &simple);
}

#[test]
fn what_nobody_reads_is_dropped() {
    let nodes = vec![node(Op::Input, &[], 2), node(square(), &[0], 2), node(square(), &[0], 2)];
    let graph = Graph::new(nodes, NodeId(1)).unwrap();
    assert_eq!(prune(&graph).unwrap().nodes().len(), 2);
    assert_same(&graph, &prune(&graph).unwrap());
}

#[test]
fn a_layer_that_is_cut_into_slices_goes_into_them() {
    let slice = |first: usize| SparseMatrix::selection(4, [Some(first), Some(first + 1)]).unwrap();
    let nodes = vec![
        node(Op::Input, &[], 3),
        node(affine(4, 3, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 1.0, 2.0, 3.0], &[1.0; 4]), &[0], 4),
        node(Op::Affine(Arc::new(AffineMap::linear(slice(0)))), &[1], 2),
        node(Op::Affine(Arc::new(AffineMap::linear(slice(2)))), &[1], 2),
        node(Op::Mul, &[2, 3], 2),
    ];
    let graph = Graph::new(nodes, NodeId(4)).unwrap();
    let simple = simplify(&graph, &MergeRule { growth: 1.0, share: 0.0 }).unwrap();
    assert_eq!(operations(&simple), ["input", "affine", "affine", "mul"]);
    assert_same(&graph, &simple);
}

#[test]
fn a_polynomial_of_a_polynomial_stays_one_of_the_other() {
    // h = x² + 1, then h³ − h by products: not a polynomial of degree 6 of x.
    let scale = |a: f64, b: f64| affine(2, 2, &[a, 0.0, 0.0, a], &[b; 2]);
    let nodes = vec![
        node(Op::Input, &[], 2),
        node(Op::Activation(Activation::Polynomial(vec![1.0, 0.0, 1.0])), &[0], 2),
        node(square(), &[1], 2),
        node(Op::Mul, &[2, 1], 2),
        node(scale(-1.0, 0.0), &[1], 2),
        node(Op::Add, &[3, 4], 2),
    ];
    let graph = Graph::new(nodes, NodeId(5)).unwrap();
    let simple = simplify(&graph, &MergeRule::default()).unwrap();
    assert_eq!(operations(&simple), ["input", "polynomial", "polynomial"]);
    assert!(matches!(&simple.nodes()[2].op, Op::Activation(Activation::Polynomial(p)) if *p == [0.0, -1.0, 0.0, 1.0]));
    assert_same(&graph, &simple);
}

#[test]
fn what_is_the_same_for_every_sample_goes_into_what_it_meets() {
    let nothing = affine(2, 2, &[0.0; 4], &[2.0, -3.0]);
    let nodes = vec![
        node(Op::Input, &[], 2),
        node(nothing, &[0], 2),
        node(square(), &[1], 2),
        node(Op::Mul, &[0, 2], 2),
        node(Op::Activation(Activation::Relu), &[1], 2),
        node(Op::Add, &[4, 3], 2),
    ];
    let graph = Graph::new(nodes, NodeId(5)).unwrap();
    let simple = simplify(&graph, &MergeRule::default()).unwrap();
    assert_eq!(operations(&simple), ["input", "affine"]);
    let map = map_of(&simple.nodes()[1]).unwrap();
    assert_eq!((dense(&map.matrix), &map.bias[..]), (vec![4.0, 0.0, 0.0, 9.0], &[2.0, 0.0][..]));
    assert_same(&graph, &simple);
    // A polynomial that is level, and x − x.
    let level = chain(vec![(Op::Input, 2), (Op::Activation(Activation::Chebyshev(vec![0.5, 0.0])), 2)]);
    let none = vec![
        node(Op::Input, &[], 2),
        node(affine(2, 2, &[-1.0, 0.0, 0.0, -1.0], &[0.0; 2]), &[0], 2),
        node(Op::Add, &[0, 1], 2),
    ];
    let none = Graph::new(none, NodeId(2)).unwrap();
    for (graph, expected) in [(level, [0.5; 2]), (none, [0.0; 2])] {
        let simple = simplify(&graph, &MergeRule::default()).unwrap();
        assert_eq!(value(simple.nodes(), simple.output()), Some(&expected[..]));
    }
}
