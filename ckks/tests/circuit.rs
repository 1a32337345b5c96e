//! Linear maps on ciphertexts against the same maps in the clear, in both rings.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::num::NonZeroU32;

use ckks::*;

const LOG_N: u32 = 8;

fn setting(ring: RingKind) -> (Params, SecretKey, Entropy) {
    let params = ParamsSpec::new(ring, LOG_N, &[50, 40], &[50]).build_insecure().unwrap();
    let mut entropy = Entropy::insecure_from_seed(3);
    let secret = KeyGenerator::new(&params, &mut entropy).secret_key();
    (params, secret, entropy)
}

fn vector(slots: usize, seed: usize) -> Vec<f64> {
    (0..slots).map(|i| ((i * 7919 + seed * 104_729) % 1009) as f64 / 504.5 - 1.0).collect()
}

fn encrypt(params: &Params, secret: &SecretKey, entropy: &mut Entropy, values: &[f64]) -> Ciphertext {
    let plaintext = Encoder::new(params).encode(values, Scale::power_of_two(30), 1).unwrap();
    Encryptor::new(secret, entropy.fork()).encrypt(&plaintext).unwrap()
}

fn assert_close(params: &Params, secret: &SecretKey, ciphertext: &Ciphertext, expected: &[f64], error: f64) {
    let decoded = Encoder::new(params).decode(&Decryptor::new(secret).decrypt(ciphertext).unwrap()).unwrap();
    let largest = decoded.iter().zip(expected).fold(0.0f64, |max, (a, b)| max.max((a - b).abs()));
    assert!(largest < error && largest > error * 1e-4, "{largest:e}");
}

#[test]
fn scalar_matrices_combine_ciphertexts_of_either_degree() {
    for ring in [RingKind::Standard, RingKind::ConjugateInvariant] {
        let (params, secret, mut entropy) = setting(ring);
        let slots = params.slots();
        let clear: Vec<Vec<f64>> = (0..7).map(|k| vector(slots, k)).collect();
        let inputs: Vec<Ciphertext> = clear.iter().map(|v| encrypt(&params, &secret, &mut entropy, v)).collect();
        // Rows 0 and 3 read the same inputs; row 2 reads none.
        let rows: [&[(u32, f64)]; 5] = [
            &[(0, 0.5), (2, -1.25), (6, 3.0)],
            &[(1, 1.0)],
            &[],
            &[(0, -0.1), (2, 0.2), (6, 0.7)],
            &[(0, 1.0), (1, 1.0), (2, 1.0), (3, 1.0), (4, 1.0), (5, 1.0), (6, 1.0)],
        ];
        let matrix = ScalarMatrix::new(&params, rows, 7, Scale::power_of_two(20), 1).unwrap();
        assert_eq!((matrix.rows(), matrix.cols()), (5, 7));
        let evaluator = Evaluator::new(&params);
        let squares: Vec<Ciphertext> = inputs.iter().map(|x| evaluator.square(x).unwrap()).collect();
        for (inputs, power) in [(&inputs, 1), (&squares, 2)] {
            let outputs = matrix.apply(inputs).unwrap();
            for (row, output) in rows.iter().zip(&outputs) {
                assert_eq!((output.degree(), output.scale()), (power, inputs[0].scale().mul(Scale::power_of_two(20))));
                let expected: Vec<f64> = (0..slots)
                    .map(|i| row.iter().map(|&(k, w)| w * clear[k as usize][i].powi(power as i32)).sum())
                    .collect();
                if row.is_empty() {
                    assert!(
                        output.parts().iter().all(|part| (0..2).all(|l| part.limb(l).iter().all(|&word| word == 0)))
                    );
                } else {
                    assert_close(&params, &secret, output, &expected, 1e-5);
                }
            }
        }
        assert!(matches!(matrix.apply(&inputs[1..]), Err(Error::ShapeMismatch { .. })));
        assert!(matches!(
            ScalarMatrix::new(&params, rows, 6, Scale::power_of_two(20), 1),
            Err(Error::ShapeMismatch { .. })
        ));
        for row in [[(3, 1.0), (2, 1.0)], [(2, 1.0), (2, 1.0)]] {
            let unordered = ScalarMatrix::new(&params, [row.as_slice()], 7, Scale::power_of_two(20), 1);
            assert!(matches!(unordered, Err(Error::ShapeMismatch { .. })), "{row:?}");
        }
        let overflow = ScalarMatrix::new(&params, [[(0, 1e30)].as_slice()], 7, Scale::power_of_two(20), 1);
        assert!(matches!(overflow, Err(Error::EncodeOverflow { .. })));
        let mut mixed = inputs.clone();
        mixed[3] = squares[3].clone();
        assert!(matches!(matrix.apply(&mixed), Err(Error::ScaleMismatch { .. })));
        evaluator.drop_level_assign(&mut mixed[0], 0).unwrap();
        assert!(matches!(matrix.apply(&mixed), Err(Error::LevelMismatch { left: 0, right: 1, .. })));
    }
}

/// A chain against its operations one by one, bit for bit, with weights of 16 bits and wider ones, alone and together.
#[test]
fn a_chain_is_its_operations_one_by_one() {
    for ring in [RingKind::Standard, RingKind::ConjugateInvariant] {
        for log_n in [3, LOG_N] {
            let params = ParamsSpec::new(ring, log_n, &[50, 40], &[50]).build_insecure().unwrap();
            let mut entropy = Entropy::insecure_from_seed(3);
            let secret = KeyGenerator::new(&params, &mut entropy).secret_key();
            let encoder = Encoder::new(&params);
            let mut encryptor = Encryptor::new(&secret, entropy);
            let mut seeded = |k| {
                let slots = vector(params.slots(), k);
                encryptor.encrypt_seeded(&encoder.encode(&slots, Scale::power_of_two(30), 1).unwrap()).unwrap()
            };
            let seeded: Vec<_> = (0..21).map(&mut seeded).collect();
            let inputs: Vec<_> = seeded.iter().map(SeededCiphertext::expand).collect();
            let (references, seeds): (Vec<_>, Vec<_>) = (inputs.iter().collect(), seeded.iter().collect());
            let whole = PointwiseInputs::Whole(&references);
            let [read_as, times] = [(0.5, 1), (-3.0, 2)]
                .map(|(constant, bits)| Pointwise::MulConstant { constant, scale: Scale::power_of_two(bits) });
            for (bits, size) in [(8, 1.0), (15, 1.0), (16, 1.0), (17, 1.0), (17, 4.0), (30, 1.0)] {
                let weight = |i: usize| size * ((i * 7919 % 211) as f64 / 105.0 - 1.0);
                // Windows of seven, three rows each, then one of nothing.
                let windows = (0..15).flat_map(|w| [w; 3]);
                let row = |(r, w): (usize, usize)| (w..w + 7).map(|c| (c as u32, weight(r * 7 + c))).collect();
                let mut first: Vec<Vec<(u32, f64)>> = windows.enumerate().map(row).collect();
                first.push(Vec::new());
                let second: Vec<Vec<(u32, f64)>> =
                    (0..8).map(|r| (0..46).map(|c| (c, weight(r * 46 + c as usize + 5))).collect()).collect();
                let scale = Scale::power_of_two(bits);
                let matrix = |rows: &[Vec<(u32, f64)>], cols| {
                    ScalarMatrix::new(&params, rows.iter().map(Vec::as_slice), cols, scale, 1).unwrap()
                };
                let (first, second) = (matrix(&first, 21), matrix(&second, 46));
                let constants: Vec<f64> = (0..46).map(|r| r as f64 / 100.0 - 0.2).collect();
                let chain = [
                    read_as,
                    Pointwise::Affine { matrix: &first, constants: &constants },
                    Pointwise::AddConstant(0.75),
                    Pointwise::Square,
                    Pointwise::AddConstant(-1.5e-11),
                    times,
                    Pointwise::Affine { matrix: &second, constants: &[] },
                ];
                let chained = apply_pointwise(&chain, whole).unwrap();
                assert_eq!(chained.times.len(), chain.len());
                let expanded = apply_pointwise(&chain, PointwiseInputs::Seeded(&seeds)).unwrap();

                let evaluator = Evaluator::new(&params);
                let mut scaled = inputs.clone();
                scaled.iter_mut().for_each(|x| evaluator.mul_constant_assign(x, 0.5, Scale::power_of_two(1)).unwrap());
                let mut expected = first.apply(&scaled).unwrap();
                for (y, &c) in expected.iter_mut().zip(&constants) {
                    evaluator.add_constant_assign(y, c).unwrap();
                    evaluator.add_constant_assign(y, 0.75).unwrap();
                }
                let mut squares: Vec<_> = expected.iter().map(|y| evaluator.square(y).unwrap()).collect();
                for square in &mut squares {
                    evaluator.add_constant_assign(square, -1.5e-11).unwrap();
                    evaluator.mul_constant_assign(square, -3.0, Scale::power_of_two(2)).unwrap();
                }
                let expected = second.apply(&squares).unwrap();
                for outputs in [chained.outputs, expanded.outputs] {
                    assert_eq!(outputs.len(), expected.len());
                    for (y, e) in outputs.iter().zip(&expected) {
                        assert!(y.parts() == e.parts() && y.scale() == e.scale(), "{ring:?} {log_n} {bits} {size}");
                    }
                }
            }
            let twice = [Pointwise::Square, Pointwise::Square];
            assert!(matches!(apply_pointwise(&twice, whole), Err(Error::WrongDegree { degree: 2, .. })));
            assert!(matches!(apply_pointwise(&twice, PointwiseInputs::Seeded(&[])), Err(Error::ShapeMismatch { .. })));
            let unchanged = apply_pointwise(&[], whole).unwrap().outputs;
            assert!(unchanged.iter().zip(&inputs).all(|(a, b)| a.parts() == b.parts() && a.scale() == b.scale()));
            let row = [(0, 1.0)];
            let matrix = ScalarMatrix::new(&params, [row.as_slice()], 21, Scale::power_of_two(4), 1).unwrap();
            let constants = |constants| apply_pointwise(&[Pointwise::Affine { matrix: &matrix, constants }], whole);
            assert!(matches!(constants(&[1.0, 2.0]), Err(Error::ShapeMismatch { .. })));
            assert!(matches!(constants(&[1e40]), Err(Error::EncodeOverflow { .. })));
        }
    }
}

/// Rows alone are no group with others: whatever zeros of pruned rows are multiplied, the bits are theirs.
#[test]
fn pruned_rows_are_what_they_are_alone() {
    let (params, secret, mut entropy) = setting(RingKind::ConjugateInvariant);
    let inputs: Vec<_> = (0..20).map(|k| encrypt(&params, &secret, &mut entropy, &vector(params.slots(), k))).collect();
    for kept in [2, 5, 8, 9] {
        let row = |r: u32| {
            (0..20).filter(move |c| (r * 31 + c * 17 + r * c) % 10 < kept).map(move |c| (c, f64::from(r + c) - 9.5))
        };
        let rows: Vec<Vec<(u32, f64)>> = (0..15).map(|r| row(r).collect()).collect();
        for bits in [4, 30] {
            let matrix = |rows: &[Vec<(u32, f64)>]| {
                ScalarMatrix::new(&params, rows.iter().map(Vec::as_slice), 20, Scale::power_of_two(bits), 1).unwrap()
            };
            let together = matrix(&rows).apply(&inputs).unwrap();
            for (row, y) in rows.chunks(1).zip(&together) {
                assert!(matrix(row).apply(&inputs).unwrap()[0].parts() == y.parts());
            }
        }
    }
}

#[test]
fn means_are_sums() {
    let (params, secret, mut entropy) = setting(RingKind::Standard);
    let inputs: Vec<_> = (0..12).map(|k| encrypt(&params, &secret, &mut entropy, &vector(params.slots(), k))).collect();
    let rows: Vec<Vec<(u32, f64)>> = [0..4, 4..8, 8..12, 3..4, 2..7].map(|row| row.map(|c| (c, 0.25)).collect()).into();
    let matrix = ScalarMatrix::new(&params, rows.iter().map(Vec::as_slice), 12, Scale::power_of_two(2), 1).unwrap();
    let evaluator = Evaluator::new(&params);
    for (row, mean) in rows.iter().zip(matrix.apply(&inputs).unwrap()) {
        let mut sum = inputs[row[0].0 as usize].clone();
        row[1..].iter().for_each(|&(c, _)| evaluator.add_assign(&mut sum, &inputs[c as usize]).unwrap());
        assert!(mean.parts() == sum.parts() && mean.scale() == sum.scale().mul(Scale::power_of_two(2)));
    }
}

/// A map, its fold, and the rotations that have keys.
type Case<'a> = (DiagonalMap, &'a [&'a [i64]], &'a [i64]);

#[test]
fn diagonals_multiply_a_vector_by_a_matrix() {
    for ring in [RingKind::Standard, RingKind::ConjugateInvariant] {
        let (params, secret, mut entropy) = setting(ring);
        let slots = params.slots() as i64;
        let entry = |o: usize, i: usize, r: i64, c: i64| {
            ((o as i64 * 31 + i as i64 * 17 + r * 5 + c * 3) % 13) as f64 / 13.0 - 0.4
        };
        // Diagonals -2 to 3 of a 2 x 2 block matrix, in so many baby steps from `first` on.
        let map_from = |first: i64, baby_steps: i64| {
            let term = |(output, input, d): (usize, usize, i64)| {
                let giant = (d - first).div_euclid(baby_steps) * baby_steps;
                let baby = d - giant;
                let diagonal: Vec<f64> = (0..slots)
                    .map(|p| {
                        let r = (p - giant).rem_euclid(slots);
                        entry(output, input, r, (r + d).rem_euclid(slots))
                    })
                    .collect();
                let diagonal = Encoder::new(&params).encode(&diagonal, Scale::power_of_two(30), 1).unwrap().extend();
                DiagonalTerm { output, input, baby, giant, diagonal }
            };
            let diagonals = (0..24).map(|i| (i / 12, i / 6 % 2, (i % 6) as i64 - 2));
            DiagonalMap::new(2, 2, diagonals.map(term).collect()).unwrap()
        };
        let clear = [vector(slots as usize, 1), vector(slots as usize, 2)];
        let inputs: Vec<Ciphertext> = clear.iter().map(|v| encrypt(&params, &secret, &mut entropy, v)).collect();
        let map = |baby_steps| map_from(0, baby_steps);
        let hubs = |n0| NonZeroU32::new(n0).unwrap();
        let with_hubs = |baby_steps, n0| map(baby_steps).with_hubs(hubs(n0));
        let maps: [Case<'_>; 10] = [
            (map(1), &[], &[-2, -1, 1, 2, 3]),
            (map(3), &[], &[-3, 1, 2, 3]),
            (with_hubs(1, 1), &[], &[-1, 1]),
            (with_hubs(2, 1), &[], &[-2, 1, 2]),
            (with_hubs(4, 2), &[], &[-4, 1, 2]),
            (with_hubs(8, 3), &[], &[-8, 1, 2, 3]),
            // A hub that no diagonal is multiplied with, and hubs to the right.
            (with_hubs(8, 5), &[], &[-8, 1, 2, 3, 5]),
            (map_from(-2, 6).with_hubs(hubs(3)), &[], &[-6, 1, 2, 3]),
            (map(3), &[&[4, -9], &[7]], &[-9, -3, 1, 2, 3, 4, 7]),
            (with_hubs(2, 1), &[&[2]], &[-2, 1, 2]),
        ];
        for (map, fold, rotations) in maps {
            let map = map.with_fold(fold.iter().map(|step| step.to_vec()).collect());
            let request = rotations.iter().fold(KeyRequest::default(), |request, &k| request.rotation(&params, k, 1));
            assert_eq!(map.key_request(&params, 1), request);
            let keys = KeyGenerator::new(&params, &mut entropy).evaluation_keys(&secret, &request).unwrap();
            for (o, output) in map.apply(&Evaluator::new(&params), &inputs, &keys).unwrap().iter().enumerate() {
                let product = |r: i64| {
                    let terms = (0..12).map(|i| (i / 6, (r + i as i64 % 6 - 2).rem_euclid(slots)));
                    terms.map(|(i, c)| entry(o, i, r, c) * clear[i][c as usize]).sum()
                };
                let mut expected: Vec<f64> = (0..slots).map(product).collect();
                for step in fold {
                    let at = |i: i64| expected[i.rem_euclid(slots) as usize];
                    expected = (0..slots).map(|i| at(i) + step.iter().map(|k| at(i + k)).sum::<f64>()).collect();
                }
                assert_close(&params, &secret, output, &expected, 1e-4);
            }
        }
        assert!(matches!(DiagonalMap::new(1, 1, vec![]), Err(Error::ShapeMismatch { .. })));
        let diagonal = Encoder::new(&params).encode(&clear[0], Scale::power_of_two(30), 1).unwrap().extend();
        let far = DiagonalTerm { output: 0, input: 0, baby: i64::MIN, giant: 0, diagonal };
        assert!(matches!(DiagonalMap::new(1, 1, vec![far]), Err(Error::ShapeMismatch { .. })));
    }
}
