//! Schedules of small programs: what every schedule must keep to, and that a convolution's takes few rows at a time.

use std::collections::BTreeSet;

use ckks::{ParamsSpec, RingKind};

use super::*;
use crate::graph::{AffineMap, Graph, NodeId, Op, SparseMatrix};
use crate::layout::KeyPrice;
use crate::lower::networks::{activation, node, two_squares};
use crate::lower::{Options, Packing, lower};

fn program(graph: &Graph, interleave: usize) -> Program {
    let params = ParamsSpec::new(RingKind::Standard, 8, &[50; 9], &[50]).build_insecure().unwrap();
    let packing = Packing::new(graph, params.slots(), interleave, KeyPrice::FREE).unwrap();
    let options = Options {
        input_bits: 28,
        weight_bits: vec![16],
        waterline_bits: 26,
        late_relinearization: true,
        last_limb: false,
    };
    lower(graph, &packing, &vec![1.0; graph.nodes().len()], &params, &options).unwrap()
}

/// Each output sums `width` inputs, `stride` after those of the one before.
fn sliding(inputs: usize, width: usize, stride: usize) -> (Op, usize) {
    let rows = (inputs - width) / stride + 1;
    let entries = (0..rows).flat_map(|r| (0..width).map(move |k| (r, r * stride + k, 0.25)));
    let matrix = SparseMatrix::from_triplets(rows, inputs, entries).unwrap();
    (Op::Affine(std::sync::Arc::new(AffineMap::linear(matrix))), rows)
}

/// Two convolutions along 256 values with an activation behind each, a pool between, and a dense layer of 3 outputs.
fn convolutions() -> Graph {
    let mut nodes = vec![node(Op::Input, &[], 256)];
    let mut len = 256;
    for (width, stride) in [(5, 1), (2, 2), (3, 1)] {
        let (op, rows) = sliding(len, width, stride);
        nodes.push(node(op, &[nodes.len() - 1], rows));
        if stride == 1 {
            nodes.push(node(activation(&[0.0, 0.25, 0.5, 0.125, 0.0625]), &[nodes.len() - 1], rows));
        }
        len = rows;
    }
    let dense = SparseMatrix::from_dense(3, len, &vec![0.125; 3 * len]).unwrap();
    nodes.push(node(Op::Affine(std::sync::Arc::new(AffineMap::linear(dense))), &[nodes.len() - 1], 3));
    let last = NodeId(nodes.len() - 1);
    Graph::new(nodes, last).unwrap()
}

/// Walks the steps: everything is made once, and before it is read; nothing is read after it died, and only the result lives on. The largest
/// number of ciphertexts alive at once.
fn walk(program: &Program, schedule: &Schedule) -> usize {
    let input: BTreeSet<_> = (0..program.input().layout.ciphertexts()).map(|i| (ValueId(0), i)).collect();
    let (mut made, mut alive, mut most) = (input.clone(), input, 0);
    for step in &schedule.steps {
        let stage = &schedule.stages[step.stage];
        assert!(stage.reads.iter().all(|&value| step.inputs.iter().all(|&i| alive.contains(&(value, i)))));
        for (&value, &i) in stage.makes.iter().flat_map(|value| step.outputs.iter().map(move |i| (value, i))) {
            assert!(made.insert((value, i)) && alive.insert((value, i)));
        }
        most = most.max(alive.len());
        assert!(step.dying.iter().all(|dying| alive.remove(dying)));
    }
    let result = ValueId(program.operations().len() - 1);
    let all = 0..program.output().layout.ciphertexts();
    assert_eq!(alive, all.map(|i| (result, i)).collect());
    most
}

#[test]
fn steps_make_everything_once_and_read_what_is_alive() {
    for graph in [convolutions(), two_squares([20, 25, 12, 10], [40, 100, 100], 3)] {
        for interleave in [1, 16, 128] {
            let program = program(&graph, interleave);
            for window in [1, 7, WINDOW, usize::MAX] {
                walk(&program, &Schedule::with_window(&program, window));
            }
        }
    }
}

#[test]
fn convolutions_go_depth_first_and_dense_layers_as_a_whole() {
    let program = program(&convolutions(), 128);
    let most = |window: usize| walk(&program, &Schedule::with_window(&program, window));
    // At once, input and first map; by windows, the input, of which as much dies as is made of it.
    assert!(most(usize::MAX) >= 256 + 252 && most(1) < 256 + 4 && most(8) < 256 + 16);
    let whole = Schedule::with_window(&program, usize::MAX);
    assert_eq!(whole.steps.len(), whole.stages.len() - 1);
    let small = Schedule::with_window(&program, 8);
    assert!(small.steps.iter().all(|step| step.outputs.len() <= 8));
    let dense = small.steps.iter().filter(|step| step.stage == small.stages.len() - 2);
    assert_eq!(dense.map(|step| (step.outputs.len(), step.inputs.len())).collect::<Vec<_>>(), [(3, 124)]);
}

#[test]
fn a_pool_goes_along_with_the_squares_that_it_reads_and_a_convolution_does_not() {
    let parts = |width, stride| {
        let (first, rows) = sliding(256, 5, 1);
        let (second, last) = sliding(rows, width, stride);
        let squares = activation(&[0.5, 0.25, 0.125]);
        let nodes =
            [node(Op::Input, &[], 256), node(first, &[0], rows), node(squares, &[1], rows), node(second, &[2], last)];
        let graph = Graph::new(nodes.into(), NodeId(3)).unwrap();
        let program = program(&graph, 128);
        let schedule = Schedule::with_window(&program, 8);
        walk(&program, &schedule);
        let maps = |stage: &Stage| program.operations()[stage.operations.clone()].iter().filter_map(gemm).count();
        let chains = schedule.stages.iter().filter(|stage| stage.kind == StageKind::Chain);
        assert!(schedule.steps.iter().all(|step| step.inputs.len() <= 8 + 4), "{schedule:?}");
        chains.map(maps).collect::<Vec<_>>()
    };
    assert_eq!(parts(2, 2), [2]);
    assert_eq!(parts(3, 1), [1, 1]);
}

#[test]
fn chains_are_read_and_written_at_their_ends() {
    let program = program(&two_squares([20, 25, 12, 10], [40, 100, 100], 3), 128);
    let schedule = Schedule::new(&program);
    let chains = schedule.stages.iter().filter(|stage| stage.kind == StageKind::Chain);
    let first = chains.map(|stage| stage.operations.clone()).next().unwrap();
    assert_eq!(first, 1..3);
    assert_eq!(schedule.traffic(&program)[first], [(20, 0), (0, 25)]);
}
