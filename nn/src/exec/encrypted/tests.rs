//! The encrypted run against the clear one: the same program, so that what differs is noise.

use std::sync::Arc;

use ckks::{Decryptor, Encryptor, Entropy, KeyGenerator, ParamsSpec, RingKind, SecretKey};

use super::*;
use crate::exec::{clear, trace};
use crate::graph::{Activation, AffineMap, Graph, NodeId, Op, SparseMatrix};
use crate::layout::KeyPrice;
use crate::lower::networks::*;
use crate::lower::{Options, Packing, lower};
use crate::program::Kind;

fn options(late_relinearization: bool) -> Options {
    Options { input_bits: 28, weight_bits: vec![16], waterline_bits: 26, late_relinearization, last_limb: true }
}

fn program(graph: &Graph, ring: RingKind, interleave: usize, limbs: usize, options: Options) -> Program {
    priced(graph, ring, (interleave, KeyPrice::FREE), limbs, options)
}

fn priced(
    graph: &Graph,
    ring: RingKind,
    (interleave, price): (usize, KeyPrice),
    limbs: usize,
    options: Options,
) -> Program {
    let bits = vec![50; limbs];
    let params = ParamsSpec::new(ring, 8, &bits, &[50]).build_insecure().unwrap();
    let ranges = graph.run_with_ranges(&samples(50, graph.input_len())).unwrap().1;
    let magnitudes: Vec<f64> = ranges.iter().map(|range| 1.25 * range.max_abs()).collect();
    let packing = Packing::new(graph, params.slots(), interleave, price).unwrap();
    lower(graph, &packing, &magnitudes, &params, &options).unwrap()
}

fn encrypt(program: &Program, secret: &SecretKey, entropy: &mut Entropy, samples: &[f64]) -> Vec<SeededCiphertext> {
    let input = program.input();
    let encoder = Encoder::new(program.params());
    let mut encryptor = Encryptor::new(secret, entropy.fork());
    let packed = input.layout.pack(samples).unwrap();
    let encrypt =
        |slots: &Vec<f64>| encryptor.encrypt_seeded(&encoder.encode(slots, input.scale, input.level).unwrap()).unwrap();
    packed.iter().map(encrypt).collect()
}

fn decrypt(program: &Program, secret: &SecretKey, output: &Ciphertexts, count: usize) -> Vec<f64> {
    let encoder = Encoder::new(program.params());
    let decryptor = Decryptor::new(secret);
    let packed: Vec<Vec<f64>> =
        output.iter().map(|x| encoder.decode(&decryptor.decrypt(x).unwrap()).unwrap()).collect();
    program.output().layout.unpack(&packed, count).unwrap()
}

/// Outputs of maps by diagonals that have a bias.
fn biases(program: &Program) -> u64 {
    let of = |operation: &Operation| match &operation.kind {
        Kind::LinearMap { map, .. } if operation.kind.diagonals().is_some() => {
            let spread = |&o: &usize| map.output().spread(&map.map().bias, o).iter().any(|&c| c != 0.0);
            (0..map.output().ciphertexts()).filter(spread).count() as u64
        }
        _ => 0,
    };
    program.operations().iter().map(of).sum()
}

/// Runs both ways and holds the error against the trace's prediction, on both sides, and what was computed against its counts.
fn agrees(program: Program) {
    let program = Arc::new(program);
    let count = program.input().layout.interleave().min(7);
    let samples = samples(count, program.input().layout.features());
    let expected = clear::run(&program, &samples).unwrap();
    let mut entropy = Entropy::insecure_from_seed(11);
    let mut generator = KeyGenerator::new(program.params(), &mut entropy);
    let secret = generator.secret_key();
    let keys = generator.evaluation_keys(&secret, &program.keys()).unwrap();
    let input = encrypt(&program, &secret, &mut entropy, &samples);
    let unprepared = program.params().ring().work();
    let prepared = Prepared::new(Arc::clone(&program), &[]).unwrap();
    let encodings = program.params().ring().work().encodings - unprepared.encodings;
    let whole = Input::Whole(input.iter().map(SeededCiphertext::expand).collect());
    let input = Input::Seeded(input);
    let before = program.params().ring().work();
    let output = prepared.run(&keys, input.clone(), &mut |_, _| ()).unwrap();
    let after = program.params().ring().work();
    let all: Vec<usize> = (0..program.operations().len()).collect();
    for (window, input) in [(1, &input), (5, &whole), (usize::MAX, &input), (usize::MAX, &whole)] {
        let schedule = Schedule::with_window(&program, window);
        let streamed = Prepared::with_schedule(Arc::clone(&program), schedule, &all).unwrap();
        let streamed = streamed.run(&keys, input.clone(), &mut |_, _| ()).unwrap();
        assert!(output.iter().zip(&streamed).all(|(y, z)| y.parts() == z.parts()));
    }
    let planned = program.output();
    assert!(output.iter().all(|y| (y.level(), y.scale(), y.degree()) == (planned.level, planned.scale, 1)));
    let found = decrypt(&program, &secret, &output, count);
    let error = found.iter().zip(&expected).fold(0.0f64, |max, (y, e)| max.max((y - e).abs()));
    let traced = trace::trace(&program, &trace::CostModel::nominal(1), None);
    let bits = traced.precision_bits(expected.len());
    let trace::Counts { rotations, relinearizations, ct_pt_mul, limb_ntts, rescales, scalar_mac, .. } = traced.counts;
    assert_eq!(after.key_switches - before.key_switches, rotations + relinearizations);
    assert_eq!(after.products - before.products, ct_pt_mul);
    assert_eq!(after.limb_ntts - before.limb_ntts, limb_ntts);
    assert_eq!(after.rescales - before.rescales, rescales);
    assert_eq!(after.macs - before.macs, scalar_mac);
    assert_eq!((encodings, after.encodings - before.encodings), (ct_pt_mul + biases(&program), 0));
    println!("predicted {bits:.1} bits, found {:.1}", -error.log2());
    assert!((bits + error.log2()).abs() < 5.0, "predicted {bits:.1} bits, found {:.1}", -error.log2());
}

#[test]
fn both_operators_in_both_rings_at_every_interleave() {
    let graph = two_squares([20, 25, 12, 10], [40, 100, 100], 3);
    for ring in [RingKind::Standard, RingKind::ConjugateInvariant] {
        let slots = ring.slots(256);
        for interleave in [1, 2, 16, slots / 2, slots] {
            println!("{ring:?} {interleave}");
            for late_relinearization in [false, true] {
                agrees(program(&graph, ring, interleave, 4, options(late_relinearization)));
            }
        }
    }
}

#[test]
fn ciphertexts_that_no_weight_reaches() {
    // Of 600 results, only the last 200 depend on the data.
    let (Op::Affine(dense), rows) = (map(200, 20, 50, 5), 400..600) else { panic!("a map") };
    let entries = dense.matrix.iter().map(|(row, col, weight)| (row + rows.start, col, weight));
    let matrix = SparseMatrix::from_triplets(rows.end, 20, entries).unwrap();
    let bias = (0..rows.end).map(|row| row as f64 / 600.0 - 0.5).collect();
    let dead = Op::Affine(Arc::new(AffineMap::new(matrix, bias).unwrap()));
    let nodes = [
        node(Op::Input, &[], 20),
        node(dead, &[0], 600),
        node(activation(&SQUARE), &[1], 600),
        node(map(3, 600, 100, 6), &[2], 3),
    ];
    for output in [1, 3] {
        let graph = Graph::new(nodes[..=output].to_vec(), NodeId(output)).unwrap();
        for ring in [RingKind::Standard, RingKind::ConjugateInvariant] {
            for interleave in [1, 4, ring.slots(256)] {
                agrees(program(&graph, ring, interleave, 4, options(false)));
            }
        }
    }
}

#[test]
fn a_program_without_operations_gives_back_what_it_was_given() {
    let graph = Graph::new(vec![node(Op::Input, &[], 20)], NodeId(0)).unwrap();
    for interleave in [1, 8, 128] {
        agrees(program(&graph, RingKind::Standard, interleave, 2, options(false)));
    }
}

/// A convolution of an image of 8 x 8 with a kernel of 5 x 5, padded.
fn padded_convolution() -> Op {
    let row = |r: i64| {
        let taps = (0..25).map(move |k| (r / 8 + k / 5 - 2, r % 8 + k % 5 - 2, (k * 7 % 11) as f64 / 11.0 - 0.4));
        let inside = taps.filter(|(y, x, _)| (0..8).contains(y) && (0..8).contains(x));
        inside.map(|(y, x, weight)| ((8 * y + x) as usize, weight)).collect::<Vec<_>>()
    };
    let matrix = SparseMatrix::from_rows(64, (0..64).map(row)).unwrap();
    Op::Affine(Arc::new(AffineMap::linear(matrix)))
}

#[test]
fn where_keys_have_a_price_there_are_fewer() {
    let nodes =
        vec![node(Op::Input, &[], 64), node(padded_convolution(), &[0], 64), node(map(10, 64, 100, 3), &[1], 10)];
    for graph in [two_squares([20, 25, 12, 10], [40, 100, 100], 3), Graph::new(nodes, NodeId(2)).unwrap()] {
        for (ring, interleave) in [(RingKind::Standard, 1), (RingKind::Standard, 2), (RingKind::ConjugateInvariant, 4)]
        {
            let of = |price| priced(&graph, ring, (interleave, price), 4, options(false));
            let most = of(KeyPrice::FREE).rotations().len();
            let mut keys = vec![most];
            for price in KeyPrice::RAISED {
                let program = of(price);
                keys.push(program.rotations().len());
                agrees(program);
            }
            assert!(keys.is_sorted_by(|a, b| a >= b) && keys.last() < Some(&most), "{keys:?}");
        }
    }
}

#[test]
fn residual_branches_and_polynomials() {
    let nodes = vec![
        node(Op::Input, &[], 9),
        node(map(12, 9, 60, 1), &[0], 12),
        node(activation(&[0.25, 0.5, 0.125, -0.0625]), &[1], 12),
        node(map(9, 12, 60, 2), &[2], 9),
        node(Op::Add, &[3, 0], 9),
        node(Op::Mul, &[4, 3], 9),
    ];
    let graph = Graph::new(nodes, NodeId(5)).unwrap();
    for interleave in [1, 16, 128] {
        agrees(program(&graph, RingKind::Standard, interleave, 8, options(true)));
    }
}

#[test]
fn even_polynomials_and_average_pooling() {
    let pool = crate::graph::SparseMatrix::from_triplets(3, 12, (0..12).map(|i| (i / 4, i, 0.25))).unwrap();
    let pool = Op::Affine(Arc::new(crate::graph::AffineMap::new(pool, vec![0.0; 3]).unwrap()));
    let even = Activation::Chebyshev(vec![0.4, 0.5, 0.3, 0.0, -0.05, 0.0, 0.02, 0.0, -0.01]);
    let nodes = vec![
        node(Op::Input, &[], 9),
        node(map(12, 9, 60, 1), &[0], 12),
        node(Op::Activation(even), &[1], 12),
        node(pool, &[2], 3),
        node(map(5, 3, 100, 2), &[3], 5),
    ];
    let graph = Graph::new(nodes, NodeId(4)).unwrap();
    for interleave in [1, 16, 128] {
        let program = program(&graph, RingKind::Standard, interleave, 8, options(true));
        let scales = program.operations().iter().filter_map(|operation| match operation.kind {
            Kind::LinearMap { weight_scale, .. } => Some(weight_scale.log2()),
            _ => None,
        });
        let pooling = if interleave == 128 { 2.0 } else { 16.0 };
        assert_eq!(scales.collect::<Vec<_>>(), [16.0, pooling, 16.0]);
        agrees(program);
    }
}

#[test]
fn outputs_without_a_weight_are_their_bias() {
    let matrix = crate::graph::SparseMatrix::from_triplets(40, 5, [(0, 1, 0.5), (39, 4, -2.0)]).unwrap();
    let bias = (0..40).map(|r| if r % 3 == 0 { 0.0 } else { r as f64 / 8.0 }).collect();
    let op = Op::Affine(Arc::new(crate::graph::AffineMap::new(matrix, bias).unwrap()));
    let graph = Graph::new(vec![node(Op::Input, &[], 5), node(op, &[0], 40)], NodeId(1)).unwrap();
    for interleave in [8, 32, 128] {
        agrees(program(&graph, RingKind::Standard, interleave, 2, options(true)));
    }
}

#[test]
fn inputs_and_keys_that_are_not_as_planned_are_refused_by_name() {
    let graph = two_squares([20, 25, 12, 10], [40, 100, 100], 3);
    let program = Arc::new(program(&graph, RingKind::Standard, 1, 4, options(true)));
    let mut entropy = Entropy::insecure_from_seed(5);
    let mut generator = KeyGenerator::new(program.params(), &mut entropy);
    let secret = generator.secret_key();
    let mut request = program.keys();
    request.galois.pop_last();
    let keys = generator.evaluation_keys(&secret, &request).unwrap();
    let prepared = Prepared::new(Arc::clone(&program), &[]).unwrap();
    let input = encrypt(&program, &secret, &mut entropy, &samples(1, 20));
    let error = prepared.run(&keys, Input::Seeded(input.clone()), &mut |_, _| ()).unwrap_err();
    assert!(matches!(&error, ProgramError::Operation { source: ckks::Error::MissingKey { .. }, .. }), "{error}");
    assert!(matches!(
        prepared.run(&keys, Input::Seeded(Vec::new()), &mut |_, _| ()),
        Err(ProgramError::InputCiphertexts { found: 0, .. })
    ));
    let evaluator = Evaluator::new(program.params());
    let mut low: Ciphertexts = input.iter().map(SeededCiphertext::expand).collect();
    evaluator.drop_level_assign(&mut low[0], 1).unwrap();
    assert!(matches!(
        prepared.run(&keys, Input::Whole(low), &mut |_, _| ()),
        Err(ProgramError::InputCiphertexts { .. })
    ));
}

#[test]
fn every_activation_as_a_polynomial() {
    use crate::graph::Activation as A;
    use crate::pass::{Calibration, Loss, MergeRule, calibrate, he_friendly, simplify};
    let activations = [
        A::Relu,
        A::LeakyRelu(0.1),
        A::Sigmoid,
        A::Tanh,
        A::Silu,
        A::Gelu,
        A::GeluTanh,
        A::HardSwish,
        A::Clip(0.0, 1.0),
        A::Exp,
        A::Polynomial(vec![0.5, -1.0, 0.25, 0.125, 0.0, 0.5]),
    ];
    for (index, activation) in activations.into_iter().enumerate() {
        let ops = [map(12, 9, 90, 1), Op::Activation(activation.clone()), map(5, 12, 90, 2)];
        let nodes = [node(Op::Input, &[], 9)]
            .into_iter()
            .chain(ops.into_iter().enumerate().map(|(i, op)| node(op, &[i], [12, 12, 5][i])));
        let graph = Graph::new(nodes.collect(), NodeId(3)).unwrap();
        let data = samples(50, 9);
        let (margin, max_degree) = (1.25, [4, 8, 16][index % 3]);
        let calibration = Calibration { samples: &data, labels: None, margin, loss: Loss::Classes(-1.0), max_degree };
        let simplified = simplify(&graph, &MergeRule::default()).unwrap();
        let found = calibrate(&simplified, &calibration).unwrap().approximations;
        assert!(found.iter().all(|found| found.fit.degree() <= calibration.max_degree));
        let friendly = he_friendly(&simplified, &MergeRule::default(), &found).unwrap();
        let largest = graph
            .run(&data)
            .unwrap()
            .iter()
            .zip(friendly.run(&data).unwrap())
            .fold(0.0f64, |max, (a, b)| max.max((a - b).abs()));
        assert!(largest < 0.2, "{activation:?}: {largest}");
        for interleave in [1, 128] {
            agrees(program(&friendly, RingKind::Standard, interleave, 9, options(true)));
        }
    }
}
