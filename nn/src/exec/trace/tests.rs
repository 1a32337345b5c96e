//! Traces of programs whose counts can be had by hand.

use std::collections::BTreeSet;

use ckks::{ParamsSpec, RingKind, Scale};

use super::*;
use crate::graph::{AffineMap, Graph, NodeId, Op, SparseMatrix};
use crate::layout::KeyPrice;
use crate::lower::networks::{activation, node, two_squares};
use crate::lower::{Options, Packing, lower};
use crate::program::ProgramError;

/// The trace of 6 → 8 → 4 → 2 at three limbs, one special prime and so three digits, N = 2^6.
fn traced(interleave: usize, late_relinearization: bool) -> (Program, Trace) {
    let packing = packing(interleave);
    let options =
        Options { input_bits: 26, weight_bits: vec![10], waterline_bits: 24, late_relinearization, last_limb: false };
    let program = lowered(&packing, 3, &options).unwrap();
    let trace = trace(&program, &CostModel::nominal(1), None);
    (program, trace)
}

fn packing(interleave: usize) -> Packing {
    Packing::new(&two_squares([6, 8, 4, 2], [100; 3], 1), 32, interleave, KeyPrice::FREE).unwrap()
}

/// The same network in a packing, at so many limbs.
fn lowered(packing: &Packing, limbs: usize, options: &Options) -> Result<Program, ProgramError> {
    let graph = two_squares([6, 8, 4, 2], [100; 3], 1);
    let params = ParamsSpec::new(RingKind::Standard, 6, &vec![50; limbs], &[50]).build_insecure().unwrap();
    lower(&graph, packing, &[1.0; 6], &params, options)
}

#[test]
fn programs_that_are_alike_share_schedule_and_memory() {
    let cost = CostModel::nominal(2);
    let (mut programs, mut memories) = (0, BTreeSet::new());
    for packing in [32, 2].map(packing) {
        let shared = Traces::new(&cost, Some(50_000));
        for (limbs, input_bits, waterline_bits) in (2..=4)
            .flat_map(|limbs| [26, 30, 34].map(|input| (limbs, input)))
            .flat_map(|(limbs, input)| [24, 28, 32].map(|waterline| (limbs, input, waterline)))
        {
            for late_relinearization in [false, true] {
                let weight_bits = vec![10];
                let options =
                    Options { input_bits, weight_bits, waterline_bits, late_relinearization, last_limb: false };
                if let Ok(program) = lowered(&packing, limbs, &options) {
                    let found = shared.trace(&program);
                    assert_eq!(found, trace(&program, &cost, Some(50_000)), "{limbs} {options:?}");
                    programs += 1;
                    memories.insert((packing.has_one_feature(), found.memory.peak_bytes()));
                }
            }
        }
    }
    assert!(programs > 40 && (4..programs / 2).contains(&memories.len()), "{programs} {}", memories.len());
}

#[test]
fn counts_of_one_feature_a_ciphertext() {
    let (n, l3, l2) = (64, 3, 2);
    let (program, late) = traced(32, true);
    let nnz: Vec<u64> = program
        .operations()
        .iter()
        .filter_map(|operation| match &operation.kind {
            Kind::LinearMap { map, .. } => Some(map.map().matrix.nnz() as u64),
            _ => None,
        })
        .collect();
    let expected = Counts {
        ct_ct_mul: 8 + 4,
        ct_pt_mul: 0,
        scalar_mac: n * (2 * l3 * nnz[0] + 3 * l3 * nnz[1] + 3 * l2 * nnz[2]),
        rotations: 0,
        relinearizations: 4 + 2,
        rescales: 4 + 2,
        // (d + 2)(l + k) for each relinearisation, rescale included.
        limb_ntts: 4 * (3 + 2) * (3 + 1) + 2 * (2 + 2) * (2 + 1),
    };
    assert_eq!(late.counts, expected);
    let (_, early) = traced(32, false);
    assert_eq!(early.counts.relinearizations, 8 + 4);
    assert_eq!(early.counts.scalar_mac, n * 2 * (l3 * (nnz[0] + nnz[1]) + l2 * nnz[2]));
    assert_eq!(late.memory.key_bytes, 8 * 2 * 3 * 4 * (n + 8));
    assert_eq!((late.input_bytes, late.output_bytes), (6 * 3 * 50 * n / 8, 2 * 2 * 50 * n / 8));
    // In limbs: seeded input, and results of degree 2 of the chain that begins with it; digits, sums and the
    // first result of the first relinearisation, then its other results; results of the second chain; digits and results of
    // the second relinearisation, whose sums find idle buffers.
    let limbs = (6 * 3 + 12 * 3) + (3 * 4 + 2 * 4 + 2 * 2) + 6 * 2 + 6 * 2 + 2 * 3 + 2 * 2;
    assert_eq!(late.memory.tensor_bytes, limbs * 8 * (n + 8));
}

#[test]
fn counts_of_diagonals_are_those_of_their_plans() {
    let (program, trace) = traced(1, true);
    let mut expected = Counts::default();
    for operation in program.operations() {
        if let Kind::LinearMap { map, .. } = &operation.kind
            && let LinearOperator::Diagonals(plan) = map.operator()
        {
            expected.ct_pt_mul += plan.products() as u64;
            expected.rotations += (plan.baby_rotations() + plan.giant_rotations() + plan.fold_rotations()) as u64;
        }
    }
    assert_eq!((trace.counts.ct_pt_mul, trace.counts.rotations), (expected.ct_pt_mul, expected.rotations));
    assert_eq!((trace.counts.scalar_mac, trace.counts.ct_ct_mul, trace.counts.relinearizations), (0, 2, 2));
    let keys = program.rotations().len() as u64;
    assert!(
        trace.memory.key_bytes > keys * 8 * 2 * 2 * 3 * 72 && trace.memory.key_bytes <= (keys + 1) * 8 * 2 * 3 * 4 * 72
    );
    assert!(trace.memory.tensor_bytes > 5 * 3 * 8 * 64);
}

#[test]
fn totals_are_sums_and_costs_grow_with_primitives() {
    let (program, trace) = traced(16, true);
    let seconds: f64 = trace.operations.iter().map(|operation| operation.seconds).sum();
    assert_eq!(trace.memory.fresh_bytes, 0);
    assert_eq!(trace.seconds, seconds);
    assert_eq!(trace.operations.len(), program.operations().len());
    let mut slow = CostModel::nominal(1);
    slow.degrees.iter_mut().for_each(|degree| degree.relinearize.many *= 1e4);
    assert!(super::trace(&program, &slow, None).seconds > 10.0 * trace.seconds);
    assert!(trace.precision_bits(2) > trace.precision_bits(2000));
}

#[test]
fn buffers_are_found_before_the_first_chunk_unless_they_are_many() {
    let (program, trace) = traced(16, true);
    let Memory { buffers, buffer_bytes, tensor_bytes, first_bytes, .. } = &trace.memory;
    let limbs: usize = buffers.iter().map(|&(limbs, count)| limbs * count).sum();
    assert_eq!((8 * limbs * program.params().ring().stride()) as u64, *buffer_bytes);
    assert_eq!((buffer_bytes, *first_bytes, trace.first_s), (tensor_bytes, 0, 0.0));
    // With one feature a ciphertext, each takes 6 MB a part at three limbs.
    let chunk = |features: usize| {
        let square = node(activation(&[0.0, 0.0, 1.0]), &[0], features);
        let graph = Graph::new(vec![node(Op::Input, &[], features), square], NodeId(1)).unwrap();
        let params = ParamsSpec::new(RingKind::Standard, 17, &[50; 3], &[50]).build_insecure().unwrap();
        let packing = Packing::new(&graph, params.slots(), params.slots(), KeyPrice::FREE).unwrap();
        let options = Options {
            input_bits: 26,
            weight_bits: Vec::new(),
            waterline_bits: 24,
            late_relinearization: false,
            last_limb: false,
        };
        super::trace(&lower(&graph, &packing, &[1.0; 2], &params, &options).unwrap(), &CostModel::nominal(1), None)
    };
    let (few, many) = (chunk(32), chunk(1000));
    assert!(few.memory.buffer_bytes > 0 && few.memory.first_bytes == 0 && few.first_s == 0.0);
    assert_eq!((many.memory.buffers.as_slice(), many.memory.buffer_bytes), (&[][..], 0));
    assert!(many.memory.first_bytes > 1 << 31 && many.memory.fresh_bytes == 0 && many.first_s > 0.0);
}

#[test]
fn weights_cost_their_encoding_before_the_first_chunk_or_in_each() {
    let (program, kept) = traced(16, true);
    let cost = CostModel::nominal(1);
    let streamed = super::trace(&program, &cost, Some(1));
    assert!(kept.memory.streamed.is_empty() && streamed.memory.streamed.len() == 3);
    let (before, each) = (kept.prepare_s - streamed.prepare_s, streamed.seconds - kept.seconds);
    let saved = cost.fresh(kept.memory.weight_bytes - streamed.memory.weight_bytes);
    assert!(each > 0.0 && (before - each - saved).abs() < 1e-12, "{before} {each}");
}

#[test]
fn of_three_measurements_the_median_counts() {
    let with = |cost: f64| {
        let mut costs = CostModel::nominal(2);
        (costs.gemm.mac, costs.degrees[0].hoist.one) = (cost, 2.0 * cost);
        costs
    };
    for costs in [[5.0, 2.0, 1.0], [2.0, 5.0, 1.0], [1.0, 5.0, 2.0]] {
        let found = CostModel::median(costs.map(with));
        assert_eq!((found.gemm.mac, found.degrees[0].hoist.one), (2.0, 4.0));
        assert_eq!(found.degrees[1], CostModel::nominal(2).degrees[1]);
    }
}

#[test]
fn matrices_of_constants_cost_what_their_groups_and_the_size_of_their_weights_ask_for() {
    let (program, _) = traced(32, true);
    let map = program.operations().iter().find_map(|operation| match &operation.kind {
        Kind::LinearMap { map, .. } => Some(map),
        _ => None,
    });
    let map = map.unwrap();
    let matrix = &map.map().matrix;
    // All rows read all columns.
    assert_eq!((map.group_inputs(), matrix.nnz()), (6, 6 * 8));
    let largest = matrix.values().fold(0.0f64, |largest, weight| largest.max(weight.abs()));
    let fits = Scale::new(f64::from(i16::MAX) / largest).unwrap();
    assert_eq!(map.short_terms(fits), 1.0);
    assert!(map.short_terms(fits.mul(Scale::power_of_two(4))) > 8.0);
}

#[test]
fn the_largest_error_of_a_polynomial_is_no_share_of_its_values() {
    let cubic = activation(&[0.25, 0.5, 0.125, -0.0625]);
    let graph = Graph::new(vec![node(Op::Input, &[], 9), node(cubic, &[0], 9)], NodeId(1)).unwrap();
    let params = ParamsSpec::new(RingKind::Standard, 8, &[50; 6], &[50]).build_insecure().unwrap();
    let packing = Packing::new(&graph, params.slots(), 16, KeyPrice::FREE).unwrap();
    let options = Options {
        input_bits: 46,
        weight_bits: vec![30],
        waterline_bits: 40,
        late_relinearization: false,
        last_limb: false,
    };
    let worst = worst_error(&lower(&graph, &packing, &[1.0; 2], &params, &options).unwrap());
    assert!((1e-9..1e-4).contains(&worst), "{worst:e}");
}

/// What a network of one matrix with these entries counts, 16 positions a ciphertext.
fn counts_of(rows: usize, cols: usize, entries: &[(usize, usize, f64)], price: KeyPrice) -> Counts {
    let matrix = SparseMatrix::from_triplets(rows, cols, entries.iter().copied()).unwrap();
    let map = Op::Affine(Arc::new(AffineMap::linear(matrix)));
    let graph = Graph::new(vec![node(Op::Input, &[], cols), node(map, &[0], rows)], NodeId(1)).unwrap();
    let params = ParamsSpec::new(RingKind::Standard, 6, &[50; 3], &[50]).build_insecure().unwrap();
    let packing = Packing::new(&graph, params.slots(), 2, price).unwrap();
    let options = Options {
        input_bits: 26,
        weight_bits: vec![10],
        waterline_bits: 24,
        late_relinearization: false,
        last_limb: false,
    };
    let program = lower(&graph, &packing, &[1.0; 2], &params, &options).unwrap();
    trace(&program, &CostModel::nominal(1), None).counts
}

#[test]
fn zero_blocks_and_diagonals_add_no_operation() {
    for price in [&[KeyPrice::FREE][..], &KeyPrice::RAISED].concat() {
        // Diagonals 0, 3 and 4 of one block of 16 x 16, of each the whole or a single entry.
        let diagonal = |d: usize| (0..16).map(move |r| (r, (r + d) % 16, 1.0));
        let whole: Vec<_> = [0, 3, 4].into_iter().flat_map(diagonal).collect();
        let one = counts_of(16, 16, &whole, price);
        assert_eq!((one.ct_pt_mul, one.rotations), (3, 2));
        let single: Vec<_> = whole.iter().copied().filter(|&(r, ..)| r % 16 == 5).collect();
        assert_eq!(counts_of(16, 16, &single, price), one);
        // The same block among three others that are zero, and on the diagonal with a copy of itself.
        let wide = counts_of(32, 32, &whole, price);
        assert_eq!((wide.ct_pt_mul, wide.rotations), (3, 2));
        let both: Vec<_> = whole.iter().flat_map(|&(r, c, w)| [(r, c, w), (r + 16, c + 16, w)]).collect();
        let two = counts_of(32, 32, &both, price);
        assert_eq!((two.ct_pt_mul, two.rotations), (6, 4));
        assert_eq!(two.limb_ntts - wide.limb_ntts, one.limb_ntts - counts_of(16, 16, &[], price).limb_ntts);
    }
}
