//! Layouts: what is refused, packing and back, and matrices by their diagonals against the matrix itself.

use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::*;
use crate::exec::clear::apply;
use crate::graph::AffineMap;
use crate::program::{LinearMap, LinearOperator};

#[test]
fn sizes_must_be_powers_of_two_that_divide() {
    let size = |error: Result<Layout, LayoutError>| match error {
        Err(LayoutError::Size { what, .. }) => what,
        other => panic!("{other:?}"),
    };
    assert_eq!(size(Layout::new(12, 1, 1, vec![0])), "the number of slots");
    assert_eq!(size(Layout::new(16, 3, 1, vec![0])), "the interleave");
    assert_eq!(size(Layout::new(16, 32, 1, vec![0])), "the interleave");
    assert_eq!(size(Layout::new(16, 4, 8, vec![0])), "the period");
    assert_eq!(size(Layout::new(16, 4, 3, vec![0])), "the period");
    assert_eq!(size(Layout::new(16, 1, 8, vec![0]).unwrap().shifted(4, 1)), "the number of shifted copies");
}

#[test]
fn two_features_in_one_place_and_none_at_all_are_refused() {
    let collision = LayoutError::Collision { first: 0, second: 2, position: 5 };
    assert_eq!(Layout::new(16, 2, 8, vec![5, 1, 5]), Err(collision));
    assert!(matches!(Layout::new(16, 2, 8, vec![]), Err(LayoutError::Extent { .. })));
    assert!(matches!(Layout::new(16, 2, 8, vec![u32::MAX]), Err(LayoutError::Extent { .. })));
}

#[test]
fn every_position_has_a_state() {
    let layout = Layout::new(16, 2, 4, vec![1, 6]).unwrap();
    assert_eq!((layout.ciphertexts(), layout.positions_per_ciphertext()), (2, 8));
    assert_eq!(layout.state(0, 1), State::Feature(0));
    assert_eq!(layout.state(0, 5), State::Repeated(0));
    assert_eq!(layout.state(1, 2), State::Feature(1));
    assert_eq!(layout.state(1, 3), State::Zero);
    assert_eq!(layout.with_gaps(Gaps::Unknown).state(1, 3), State::Unknown);
    assert!(layout.same_places(&layout.with_gaps(Gaps::Unknown)));
    let shifted = layout.shifted(2, 3).unwrap();
    assert!(!shifted.same_places(&layout));
    assert_eq!((shifted.state(0, 1), shifted.state(0, 6), shifted.cycle()), (State::Feature(0), State::Repeated(0), 8));
    assert_eq!(shifted.places(1).collect::<Vec<_>>(), [2, 7]);
}

#[test]
fn packing_repeats_periods_and_leaves_gaps_zero() {
    let layout = Layout::new(8, 2, 2, vec![1, 2]).unwrap();
    let packed = layout.pack(&[1.0, 2.0, 3.0, 4.0]).unwrap();
    assert_eq!(packed, [[0.0, 0.0, 1.0, 3.0, 0.0, 0.0, 1.0, 3.0], [2.0, 4.0, 0.0, 0.0, 2.0, 4.0, 0.0, 0.0]]);
    assert!(matches!(layout.pack(&[1.0; 3]), Err(LayoutError::Batch { .. })));
    assert!(matches!(layout.pack(&[1.0; 6]), Err(LayoutError::Batch { .. })));
    assert!(matches!(layout.unpack(&packed[..1], 1), Err(LayoutError::Shape { .. })));
    assert!(matches!(layout.unpack(&packed, 3), Err(LayoutError::Shape { .. })));
}

#[test]
fn samples_stand_in_for_absent_ones() {
    let layout = Layout::new(16, 8, 2, vec![1, 2]).unwrap();
    let packed = layout.pack(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
    assert_eq!(packed[0][..8], [0.0; 8]);
    assert_eq!(packed[0][8..], [1.0, 3.0, 5.0, 1.0, 3.0, 5.0, 1.0, 3.0]);
    assert_eq!(packed[1][..8], [2.0, 4.0, 6.0, 2.0, 4.0, 6.0, 2.0, 4.0]);
    assert_eq!(layout.unpack(&packed, 3).unwrap(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    assert_eq!(layout.pack(&[]).unwrap(), [[0.0; 16]; 2]);
}

/// Any layout of so many features: any period, any injection, over as many ciphertexts as needed and one more.
fn layout(slots: usize, interleave: usize, features: usize) -> impl Strategy<Value = Layout> {
    let positions = slots / interleave;
    select((0..=positions.ilog2()).map(|log| 1usize << log).collect::<Vec<_>>()).prop_flat_map(move |period| {
        let places = (features.div_ceil(period) + 1) * period;
        subsequence((0..places as u32).collect::<Vec<_>>(), features)
            .prop_shuffle()
            .prop_map(move |positions| Layout::new(slots, interleave, period, positions).unwrap())
    })
}

/// Any layout, its repetitions shifted in any way.
fn shifted(slots: usize, interleave: usize, features: usize) -> impl Strategy<Value = Layout> {
    (layout(slots, interleave, features), 0u32..6, 0usize..32).prop_map(|(layout, log_copies, shift)| {
        let most = layout.positions_per_ciphertext() / layout.period();
        layout.shifted(most.min(1 << log_copies), shift).unwrap()
    })
}

/// A sparse matrix and a layout for each side.
fn problem() -> impl Strategy<Value = (SparseMatrix, Layout, Layout)> {
    (0u32..6, 1usize..24, 1usize..24).prop_flat_map(|(log_b, rows, cols)| {
        let entries = proptest::collection::vec((0..rows, 0..cols, -1.0..1.0f64), 0..80);
        let matrix = entries.prop_map(move |entries| SparseMatrix::from_triplets(rows, cols, entries).unwrap());
        (matrix, shifted(32, 1 << log_b, cols), shifted(32, 1 << log_b, rows))
    })
}

proptest! {
    #[test]
    fn unpacking_is_the_inverse_of_packing(
        (layout, samples) in (0u32..6, 1usize..40).prop_flat_map(|(log_b, features)| {
            let samples = proptest::collection::vec(-1.0..1.0f64, features..=features << log_b);
            (shifted(32, 1 << log_b, features), samples)
        })
    ) {
        let count = samples.len() / layout.features();
        let samples = &samples[..count * layout.features()];
        let packed = layout.pack(samples).unwrap();
        prop_assert_eq!(layout.unpack(&packed, count).unwrap(), samples);
    }

    #[test]
    fn diagonals_multiply_like_their_matrix(
        (matrix, input, output) in problem(),
        price in select([&[KeyPrice::FREE][..], &KeyPrice::RAISED].concat()),
    ) {
        let map = Arc::new(AffineMap::linear(matrix.clone()));
        let linear = LinearMap::new(map, Arc::new(input.clone()), Arc::new(output.clone()), price.alone()).unwrap();
        let samples: Vec<f64> = (0..input.features() * input.interleave()).map(|k| ((k * 37) % 101) as f64 / 101.0 - 0.4).collect();
        // Gaps hold anything: they must not reach the result.
        let mut slots = input.pack(&samples).unwrap();
        for (i, slots) in slots.iter_mut().enumerate() {
            for (slot, value) in slots.iter_mut().enumerate() {
                if input.owner(i, slot / input.interleave()).is_none() {
                    *value = 1e3 + slot as f64;
                }
            }
        }
        let product = apply(&linear, &slots);
        let expected: Vec<f64> = samples.chunks(input.features()).flat_map(|x| matrix.apply(x).unwrap()).collect();
        let unpacked = output.unpack(&product, input.interleave()).unwrap();
        for (y, e) in unpacked.iter().zip(&expected) {
            prop_assert!((y - e).abs() < 1e-9, "{y} {e}");
        }
        // All repetitions are there, and gaps are zero.
        let repacked = output.pack(&unpacked).unwrap();
        for (y, e) in product.iter().flatten().zip(repacked.iter().flatten()) {
            prop_assert!((y - e).abs() < 1e-9, "{y} {e}");
        }
        if let LinearOperator::Diagonals(plan) = linear.operator() {
            prop_assert!(plan.products() <= matrix.nnz() * output.copies());
            let rotations = plan.baby_rotations() + plan.giant_rotations() + plan.fold_rotations();
            prop_assert!(plan.rotations().len() <= rotations);
            prop_assert!(!plan.rotations().contains(&0));
        }
    }

    #[test]
    fn chosen_layouts_are_never_dearer_than_dense_ones((matrix, input, _) in problem()) {
        let dense = Layout::dense(32, input.interleave(), matrix.rows()).unwrap();
        let chosen = Layout::of_outputs(&matrix, &input, KeyPrice::FREE).unwrap();
        let cost = |output: &Layout| DiagonalPlan::new(&matrix, &input, output, KeyPrice::FREE.alone()).unwrap().cost();
        prop_assert!(cost(&chosen) <= cost(&dense));
    }
}

#[test]
fn a_wide_layer_with_few_outputs_has_as_many_diagonals_as_outputs() {
    let values: Vec<f64> = (0..100 * 784).map(|k| 1.0 + k as f64).collect();
    let matrix = SparseMatrix::from_dense(100, 784, &values).unwrap();
    let input = Layout::dense(4096, 1, 784).unwrap();
    let output = Layout::of_outputs(&matrix, &input, KeyPrice::FREE).unwrap();
    let plan = DiagonalPlan::new(&matrix, &input, &output, KeyPrice::FREE.alone()).unwrap();
    let fold = [vec![128, 256, 384], vec![512]];
    assert_eq!((plan.products(), plan.fold(), output.period()), (128, &fold[..], 128));
    assert!(plan.baby_rotations() + plan.giant_rotations() < 32);
}

#[test]
fn shifted_copies_of_the_input_take_diagonals_of_their_own() {
    let values: Vec<f64> = (0..100 * 784).map(|k| 1.0 + k as f64).collect();
    let matrix = SparseMatrix::from_dense(100, 784, &values).unwrap();
    let input = Layout::of_input(16384, 1, 784, &[&matrix], KeyPrice::FREE).unwrap();
    assert_eq!((input.period(), input.copies(), input.shift()), (1024, 16, 8));
    let output = Layout::of_outputs(&matrix, &input, KeyPrice::FREE).unwrap();
    let plan = DiagonalPlan::new(&matrix, &input, &output, KeyPrice::FREE.alone()).unwrap();
    assert_eq!((plan.products(), plan.fold_terms(), output.period()), (8, 128, 128));
    assert!(plan.baby_rotations() + plan.giant_rotations() < 8);
}

#[test]
fn zero_matrices_cost_nothing() {
    let matrix = SparseMatrix::from_triplets(4, 64, []).unwrap();
    let input = Layout::dense(64, 1, 64).unwrap();
    let output = Layout::dense(64, 1, 4).unwrap();
    let plan = DiagonalPlan::new(&matrix, &input, &output, KeyPrice::FREE.alone()).unwrap();
    assert_eq!((plan.cost(), plan.rotations().len()), (0, 0));
}

/// A convolution of `inputs` maps of `side` x `side` pixels to `outputs`, kernel 3, padded by 1, all weights different.
fn padded(side: usize, inputs: usize, outputs: usize) -> SparseMatrix {
    let mut triplets = Vec::new();
    for row in 0..outputs * side * side {
        let (o, y, x) = (row / side / side, row / side % side, row % side);
        for (i, tap) in (0..inputs).flat_map(|i| (0..9).map(move |tap| (i, tap))) {
            let (y, x) = (y + tap / 3, x + tap % 3);
            if (1..=side).contains(&y) && (1..=side).contains(&x) {
                triplets.push((row, (i * side + y - 1) * side + x - 1, (1 + (o * inputs + i) * 9 + tap) as f64));
            }
        }
    }
    SparseMatrix::from_triplets(outputs * side * side, inputs * side * side, triplets).unwrap()
}

#[test]
fn borders_of_padded_convolutions_continue_the_grid() {
    let (side, maps) = (8, 4);
    let input = Layout::dense(1024, 1, side * side).unwrap();
    let first = padded(side, 1, maps);
    let middle = Layout::of_outputs(&first, &input, KeyPrice::FREE).unwrap();
    assert_eq!(DiagonalPlan::new(&first, &input, &middle, KeyPrice::FREE.alone()).unwrap().products(), 9);
    // Maps a distance apart: nine diagonals for each cyclic difference of two maps, and one for each pixel of a window to average.
    let second = padded(side, maps, maps);
    let output = Layout::of_outputs(&second, &middle, KeyPrice::FREE).unwrap();
    assert_eq!(DiagonalPlan::new(&second, &middle, &output, KeyPrice::FREE.alone()).unwrap().products(), 9 * maps);
    let half = side / 2;
    let pixel = |row: usize, k: usize| {
        let (map, y, x) = (row / half / half, row / half % half, row % half);
        (row, (map * side + 2 * y + k / 2) * side + 2 * x + k % 2, 0.25)
    };
    let rows = maps * half * half;
    let pool = (0..rows).flat_map(|row| (0..4).map(move |k| pixel(row, k)));
    let pool = SparseMatrix::from_triplets(rows, maps * side * side, pool).unwrap();
    let pooled = Layout::of_outputs(&pool, &output, KeyPrice::FREE).unwrap();
    assert_eq!(DiagonalPlan::new(&pool, &output, &pooled, KeyPrice::FREE.alone()).unwrap().products(), 4);
}

#[test]
fn keys_that_are_there_anyway_have_no_price() {
    let matrix = padded(8, 1, 4);
    let input = Layout::dense(1024, 1, 64).unwrap();
    let output = Layout::of_outputs(&matrix, &input, KeyPrice::FREE).unwrap();
    let plan = |keys: Keys<'_>| DiagonalPlan::new(&matrix, &input, &output, keys).unwrap();
    let free = plan(KeyPrice::FREE.alone());
    let price = KeyPrice::RAISED[6];
    assert!(plan(price.alone()).rotations().len() < free.rotations().len());
    let known = free.rotations().iter().copied().collect();
    let beside = plan(Keys { price, known: &known });
    assert_eq!((beside.rotations(), beside.baby_rotations()), (free.rotations(), free.baby_rotations()));
}
