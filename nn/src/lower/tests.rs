//! Random networks: the graph in the clear against the lowered program in the clear, for layouts from one sample a ciphertext to
//! one feature a ciphertext.

use ckks::{ParamsSpec, RingKind};
use proptest::prelude::*;
use proptest::sample::select;

use super::networks::*;
use super::*;
use crate::exec::clear;
use crate::graph::NodeId;
use crate::layout::{KeyPrice, Layout};

/// A chain of so many primes of 50 bits in a standard ring with `slots` slots.
fn params(slots: usize, steps: usize) -> Params {
    let spec = ParamsSpec::new(RingKind::Standard, slots.ilog2() + 1, &vec![50; steps], &[50]);
    spec.build_insecure().unwrap()
}

fn options(late_relinearization: bool) -> Options {
    Options { input_bits: 26, weight_bits: vec![12], waterline_bits: 24, late_relinearization, last_limb: true }
}

/// Lowers, verifies, runs, compares.
fn agrees(graph: &Graph, params: &Params, interleave: usize, options: Options) -> Program {
    let samples = samples(interleave.min(5), graph.input_len());
    let (expected, ranges) = graph.run_with_ranges(&samples).unwrap();
    let packing = Packing::new(graph, params.slots(), interleave, KeyPrice::FREE).unwrap();
    let magnitudes: Vec<f64> = ranges.iter().map(|range| 1.25 * range.max_abs()).collect();
    let program = lower(graph, &packing, &magnitudes, params, &options).unwrap();
    program.verify(&program.keys()).unwrap();
    assert!(program.output().level == 0 || !options.last_limb);
    let found = clear::run(&program, &samples).unwrap();
    assert_eq!(found.len(), expected.len());
    for (index, (y, e)) in found.iter().zip(&expected).enumerate() {
        assert!((y - e).abs() < 1e-9 * (1.0 + e.abs()), "result {index}: {y}, not {e}");
    }
    program
}

proptest! {
    #[test]
    fn program_and_graph_agree_for_any_layout(
        slots in select(vec![16, 32, 64]),
        log_b in 0u32..7,
        sizes in [1usize..40, 1usize..40, 1usize..40, 1usize..12],
        densities in [select(vec![3, 20, 100]), select(vec![3, 20, 100]), select(vec![20, 100])],
        late in any::<bool>(),
        seed in any::<u32>(),
    ) {
        let interleave = (1 << log_b).min(slots);
        agrees(&two_squares(sizes, densities, seed.into()), &params(slots, 4), interleave, options(late));
    }

    #[test]
    fn residual_branches_meet_at_one_layout_level_and_scale(
        log_b in 0u32..6,
        features in 1usize..20,
        inner in 1usize..20,
        late in any::<bool>(),
        coefficients in proptest::collection::vec(-1.0..1.0f64, 1..6),
    ) {
        let nodes = vec![
            node(Op::Input, &[], features),
            node(map(inner, features, 60, 1), &[0], inner),
            node(activation(&coefficients), &[1], inner),
            node(map(features, inner, 60, 2), &[2], features),
            node(Op::Add, &[3, 0], features),
            node(map(inner, features, 60, 3), &[4], inner),
            node(Op::Mul, &[5, 1], inner),
            node(Op::Add, &[6, 5], inner),
        ];
        let graph = Graph::new(nodes, NodeId(7)).unwrap();
        agrees(&graph, &params(32, 12), 1 << log_b, options(late));
    }

    #[test]
    fn convolutions_agree_for_any_stride_and_layout(
        log_b in 0u32..8, side in 5usize..9, channels in 1usize..4, kernel in 1usize..4, stride in 1usize..4, late in any::<bool>(),
    ) {
        let (conv, rows) = convolution(side, channels, kernel, stride);
        let nodes = vec![
            node(Op::Input, &[], side * side),
            node(conv, &[0], rows),
            node(activation(&SQUARE), &[1], rows),
            node(map(4, rows, 100, 9), &[2], 4),
        ];
        let graph = Graph::new(nodes, NodeId(3)).unwrap();
        agrees(&graph, &params(128, 4), 1 << log_b, options(late));
    }
}

fn kinds(program: &Program) -> Vec<&'static str> {
    program.operations().iter().map(|operation| operation.kind.name()).collect()
}

#[test]
fn cryptonets_takes_three_limbs_and_relinearises_outputs() {
    let graph = two_squares([30, 60, 20, 10], [30, 100, 100], 5);
    let params = params(64, 3);
    let program = agrees(&graph, &params, 64, Options { weight_bits: vec![10], ..options(true) });
    let expected = [
        "input",
        "linear map",
        "square",
        "linear map",
        "relinearize and rescale",
        "square",
        "linear map",
        "relinearize and rescale",
    ];
    assert_eq!(kinds(&program), expected);
    let levels: Vec<usize> = program.operations().iter().map(|o| o.value.level).collect();
    assert_eq!(levels, [2, 2, 2, 2, 1, 1, 1, 0]);
    assert!((program.output().scale.log2() - 24.0).abs() < 1e-3);
    assert!(program.keys().galois.is_empty());
    assert_eq!(program.keys().relinearization, Some(2));

    let early = agrees(&graph, &params, 64, Options { weight_bits: vec![10], ..options(false) });
    assert_eq!(kinds(&early)[2..5], ["square", "relinearize", "linear map"]);
}

#[test]
fn a_convolution_has_as_many_diagonals_as_its_kernel_has_weights() {
    let (conv, rows) = convolution(11, 4, 5, 2);
    let Op::Affine(map) = &conv else { unreachable!() };
    let input = Layout::dense(1024, 1, 121).unwrap();
    let output = Layout::of_outputs(&map.matrix, &input, KeyPrice::FREE).unwrap();
    let plan = crate::layout::DiagonalPlan::new(&map.matrix, &input, &output, KeyPrice::FREE.alone()).unwrap();
    assert_eq!((rows, plan.products(), plan.baby_steps()), (64, 25, 22));
    assert_eq!((plan.baby_rotations(), plan.giant_rotations()), (9, 2));
}

/// A single polynomial, in the clear against itself.
fn polynomial(coefficients: &[f64], interleave: usize) -> Program {
    let op = Op::Activation(crate::graph::Activation::Chebyshev(coefficients.to_vec()));
    let graph = Graph::new(vec![node(Op::Input, &[], 3), node(op, &[0], 3)], NodeId(1)).unwrap();
    let options = Options {
        input_bits: 38,
        weight_bits: vec![20],
        waterline_bits: 26,
        late_relinearization: true,
        last_limb: false,
    };
    agrees(&graph, &params(16, 14), interleave, options)
}

/// The products of a polynomial, and how many of them follow one another.
fn products(coefficients: &[f64], interleave: usize) -> (usize, usize) {
    let program = polynomial(coefficients, interleave);
    let mut depths: Vec<usize> = Vec::new();
    for operation in program.operations() {
        let deepest = operation.inputs.iter().map(|input| depths[input.0]).max().unwrap_or(0);
        depths.push(deepest + usize::from(matches!(operation.kind, Kind::Mul | Kind::Square)));
    }
    let count = program.operations().iter().filter(|o| matches!(o.kind, Kind::Mul | Kind::Square)).count();
    (count, depths.into_iter().max().unwrap_or(0))
}

fn coefficients(degree: usize, keep: impl Fn(usize) -> bool) -> Vec<f64> {
    (0..=degree).map(|k| if keep(k) { 0.9 - ((k * 7) % 5) as f64 / 4.0 + 0.01 } else { 0.0 }).collect()
}

/// Products of degree 2^k − 1 with leaves up to 2^l: all T_j up to 2^l, the giant powers, and one for each join of two leaves.
fn fewest(k: usize) -> usize {
    (0..k).map(|l| (1 << l) - 1 + (k - 1 - l) + (1 << (k - l)) - 1).min().unwrap_or(0)
}

#[test]
fn polynomials_take_as_many_products_as_baby_and_giant_steps_say() {
    for degree in 2..=63usize {
        let (count, depth) = products(&coefficients(degree, |_| true), 16);
        let k = (degree + 1).next_power_of_two().ilog2() as usize;
        assert!(count <= fewest(k), "degree {degree}: {count} products");
        assert_eq!(depth, degree.next_power_of_two().ilog2() as usize, "degree {degree}");
        if degree + 1 == 1 << k {
            assert_eq!(count, fewest(k), "degree {degree}");
        }
    }
    assert_eq!([2, 3, 4, 5, 6].map(fewest), [2, 4, 7, 11, 16]);
    // A power of two is a product away from half of it, and leaves are as large as their power.
    let general = |degree| products(&coefficients(degree, |_| true), 16);
    assert_eq!([2, 4, 8, 16, 32].map(general), [(1, 1), (2, 2), (4, 3), (7, 4), (11, 5)]);
}

#[test]
fn symmetric_polynomials_take_fewer_products() {
    let even = |degree| products(&coefficients(degree, |k| k <= 1 || k % 2 == 0), 16);
    assert_eq!([2, 4, 6, 8, 16, 32].map(even), [(1, 1), (2, 2), (3, 3), (3, 3), (5, 4), (8, 5)]);
    let odd = |degree| products(&coefficients(degree, |k| k == 0 || k % 2 == 1), 16);
    assert_eq!([1, 3, 5, 7, 15].map(odd), [(0, 0), (2, 2), (3, 3), (4, 3), (7, 4)]);
}

#[test]
fn quartics_are_squares_of_squares_each_relinearized_once() {
    let quartics = [coefficients(4, |_| true), coefficients(8, |k| k <= 1 || k % 2 == 0)];
    let relinearizations = quartics.map(|quartic| {
        let program = polynomial(&quartic, 16);
        assert!(program.operations().iter().all(|operation| !matches!(operation.kind, Kind::Mul)));
        let relinearizes = |kind: &Kind| matches!(kind, Kind::Relinearize | Kind::RelinearizeRescale);
        program.operations().iter().filter(|operation| relinearizes(&operation.kind)).count()
    });
    assert_eq!(relinearizations, [2, 3]);
    // Far from a square: baby and giant steps.
    let far = polynomial(&[0.5, 0.5, 0.5, 0.5, 1e-3], 16);
    assert!(far.operations().iter().any(|operation| matches!(operation.kind, Kind::Mul)));
}

#[test]
fn polynomials_agree_in_every_layout() {
    for degree in [0, 1, 2, 3, 4, 5, 6, 8, 9, 13] {
        for interleave in [1, 4, 16] {
            products(&coefficients(degree, |_| true), interleave);
            products(&coefficients(degree, |k| k <= 1 || k % 2 == 0), interleave);
        }
    }
}
