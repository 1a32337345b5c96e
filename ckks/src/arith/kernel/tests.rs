//! One suite over all backends: bit for bit the specification, which itself agrees with big integers, at the moduli where the bounds
//! bite, at every length around a vector, on the extreme values.

mod specification;

use super::super::ntt::bit_reverse;
use super::super::{NttTable, RingKind, is_prime, ntt_primes};
use super::*;

/// All backends of this machine; fails when `SLOTWISE_REQUIRE` names one that is missing.
fn backends() -> Vec<Backend> {
    let required = std::env::var("SLOTWISE_REQUIRE").unwrap_or_default();
    for name in required.split(',').filter(|name| !name.is_empty()) {
        assert!(Backend::named(name).is_ok(), "SLOTWISE_REQUIRE names {name}, which this machine does not have");
    }
    Backend::available()
}

fn prime_below(limit: u64) -> Modulus {
    let prime = (0..limit).rev().find(|&p| is_prime(p)).unwrap();
    Modulus::new(prime).unwrap()
}

/// Where bounds bite: the largest primes of 50, 49, 48 and 47 bits, both sides of the points at which the constants of a product
/// change, and small ones.
fn moduli() -> Vec<Modulus> {
    let limits = [
        1 << 50,
        (3 << 48) + 1_000,
        3 << 48,
        (1 << 49) + 1_000,
        1 << 49,
        1 << 48,
        (1 << 47) + 1_000,
        1 << 30,
        1 << 17,
        6,
        4,
    ];
    limits.map(prime_below).to_vec()
}

/// A word generator (splitmix64): the seed is the test's own, so a failure repeats.
fn words(seed: u64) -> impl Iterator<Item = u64> {
    (1..).map(move |i: u64| {
        let x = (seed << 32).wrapping_add(i).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    })
}

/// Vectors of words below `bound`: random, all zero, all largest, the extremes in turn.
fn samples(len: usize, bound: u64, seed: u64) -> Vec<Vec<u64>> {
    vec![
        words(seed).take(len).map(|x| x % bound).collect(),
        vec![0; len],
        vec![bound - 1; len],
        (0..len).map(|i| if i % 2 == 0 { bound - 1 } else { 0 }).collect(),
    ]
}

fn rows(data: &[u64], stride: usize, count: usize) -> Rows<'_> {
    Rows { data, stride, count }
}

/// `f` on every backend, against its result on the scalar one.
fn agree(what: &str, f: impl Fn(Backend) -> Vec<u64>) {
    let expected = f(Backend::Scalar);
    for backend in backends() {
        let got = f(backend);
        let first = got.iter().zip(&expected).position(|(a, b)| a != b);
        assert!(got == expected, "{what}: {} differs from scalar first at {first:?}", backend.name());
    }
}

/// The lengths around whole vectors and around groups of them.
fn lengths() -> impl Iterator<Item = usize> {
    (0..=40).chain([63, 64, 65, 127, 200])
}

#[test]
fn elementwise_kernels_agree() {
    for q in moduli() {
        let value = q.value();
        for len in lengths() {
            for (k, a) in samples(len, value, 1).iter().enumerate() {
                for (l, b) in samples(len, value, 2).iter().enumerate() {
                    let w = q.shoup(words(3).nth(k + l).unwrap() % value);
                    let assign = |what: &str, f: &dyn Fn(Backend, &mut [u64])| {
                        agree(&format!("{what} q={value} len={len} samples {k} {l}"), |backend| {
                            let mut a = a.clone();
                            f(backend, &mut a);
                            a
                        });
                    };
                    assign("add", &|backend, a| backend.add_assign(&q, a, b));
                    assign("sub", &|backend, a| backend.sub_assign(&q, a, b));
                    assign("neg", &|backend, a| backend.neg_assign(&q, a));
                    assign("mul", &|backend, a| backend.mul_assign(&q, a, b));
                    assign("mul_into", &|backend, out| backend.mul_into(&q, out, a, b));
                    assign("mul_add", &|backend, acc| backend.mul_add_assign(&q, acc, b, a));
                    assign("square", &|backend, low| {
                        let (a, mut middle, mut high) = (low.to_vec(), vec![1; len], vec![1; len]);
                        backend.square_into(&q, [low, &mut middle, &mut high], &a, b);
                        let mut others = [vec![1; len], vec![1; len]];
                        scalar::mul_into(&q, &mut others[0], &a, b);
                        scalar::mul_add_assign(&q, &mut others[0], &a, b);
                        scalar::mul_into(&q, &mut others[1], b, b);
                        assert_eq!([middle, high], others);
                    });
                    assign("mul_scalar", &|backend, a| backend.mul_scalar_assign(&q, a, w));
                    assign("mul_scalar_add", &|backend, a| backend.mul_scalar_add_assign(&q, a, b, w));
                    assign("sub_mul_scalar", &|backend, a| backend.sub_mul_scalar_assign(&q, a, b, w));
                }
            }
        }
    }
}

#[test]
fn residues_of_signed_words_agree() {
    for q in moduli() {
        for len in lengths() {
            for (k, x) in samples(len, (1 << 51) + 1, 24).iter().enumerate() {
                let x: Vec<i64> = x.iter().map(|&x| x as i64 - (1 << 50)).collect();
                let mut exact = vec![0; len];
                scalar::reduce_signed_into(&q, &mut exact, &x);
                assert!(exact.iter().zip(&x).all(|(&r, &x)| r == x.rem_euclid(q.value() as i64) as u64), "{q:?}");
                agree(&format!("signed q={} len={len} sample {k}", q.value()), |backend| {
                    let mut out = vec![1; len];
                    backend.reduce_signed_into(&q, &mut out, &x);
                    out
                });
            }
        }
    }
}

#[test]
fn a_scalar_product_takes_words_of_52_bits() {
    for q in moduli() {
        for a in samples(40, 1 << 52, 4) {
            for w in [0, 1, q.value() / 2, q.value() - 1] {
                agree("mul_scalar of words", |backend| {
                    let mut out = a.clone();
                    backend.mul_scalar_assign(&q, &mut out, q.shoup(w));
                    let mut sum = vec![q.value() - 1; a.len()];
                    backend.mul_scalar_add_assign(&q, &mut sum, &a, q.shoup(w));
                    out.extend(sum);
                    out
                });
            }
        }
    }
}

#[test]
fn a_residue_of_one_prime_is_centred_in_another() {
    for q in moduli() {
        for d in moduli().iter().map(Modulus::value) {
            for len in lengths() {
                for mut x in samples(len, d, 5) {
                    // Both sides of the middle, which is odd.
                    x.iter_mut().zip([d / 2, d / 2 + 1]).for_each(|(x, middle)| *x = middle);
                    let centred = |&x: &u64| q.from_i128(i128::from(x) - if x > d / 2 { i128::from(d) } else { 0 });
                    let expected: Vec<u64> = x.iter().map(centred).collect();
                    for backend in backends() {
                        let mut out = vec![0; len];
                        backend.center_into(&q, &mut out, &x, d);
                        assert_eq!(out, expected, "{} q={} d={d}", backend.name(), q.value());
                    }
                }
            }
        }
    }
}

#[test]
fn sums_over_rows_agree() {
    for q in moduli() {
        let value = q.value();
        for len in lengths() {
            let stride = len + 5;
            for count in [0, 1, 2, 7, 8, 15, 16, 17, 40] {
                let words = count * stride;
                for (k, x) in samples(words, value, 5).iter().enumerate() {
                    let (y, wide) = (&samples(words, value, 6)[k], &samples(words, 1 << 50, 7)[k]);
                    let what = format!("q={value} len={len} count={count} sample {k}");
                    agree(&format!("dot {what}"), |backend| {
                        let mut out = vec![1; len];
                        backend.dot_into(&q, &mut out, rows(x, stride, count), rows(y, stride, count));
                        out
                    });
                    agree(&format!("dot of slices {what}"), |backend| {
                        let mut out = vec![1; len];
                        backend.dot_slices_into(&q, &mut out, &slices(x, stride, len), &slices(y, stride, len));
                        out
                    });
                    agree(&format!("dot with scalars {what}"), |backend| {
                        let mut out = vec![1; len];
                        backend.dot_scalars_into(&q, &mut out, &slices(x, stride, len), &y[..count]);
                        out
                    });
                    let inverses: Vec<f64> = (0..count).map(|r| 1.0 / ((1u64 << 50) - 27 - r as u64) as f64).collect();
                    agree(&format!("round_quotient {what}"), |backend| {
                        let mut out = vec![1; len];
                        backend.round_quotient(&mut out, rows(wide, stride, count), &inverses);
                        out
                    });
                    let v = &samples(len, count as u64 + 1, 8)[k];
                    for d in [0, 1, value - 1] {
                        agree(&format!("convert {what}"), |backend| {
                            let mut out = vec![1; len];
                            backend.convert_into(&q, &mut out, rows(wide, stride, count), &y[..count], v, q.shoup(d));
                            out
                        });
                    }
                }
            }
        }
    }
}

/// The first `len` words of each of the rows, which are `stride` apart.
fn slices(words: &[u64], stride: usize, len: usize) -> Vec<&[u64]> {
    words.chunks(stride).map(|row| &row[..len]).collect()
}

#[test]
fn the_longest_sums_do_not_overflow() {
    for q in moduli() {
        let (len, count) = (33, MAX_LAZY_TERMS);
        let x = vec![q.value() - 1; len * count];
        agree("dot of the largest words", |backend| {
            let mut out = vec![0; len];
            backend.dot_into(&q, &mut out, rows(&x, len, count), rows(&x, len, count));
            out
        });
        let count = count - 1;
        let wide = vec![(1 << 50) - 1; len * count];
        agree("conversion of the largest words", |backend| {
            let mut out = vec![0; len];
            backend.convert_into(&q, &mut out, rows(&wide, len, count), &x[..count], &wide[..len], q.shoup(1));
            out
        });
    }
}

#[test]
fn matrix_products_agree() {
    for q in moduli() {
        let value = q.value();
        for (panels, rows, terms, outputs) in
            [(1, 1, 1, 1), (2, 5, 3, 2), (3, 9, 9, 6), (1, 30, 17, 13), (1, 9_000, 8_999, 5)]
        {
            for (s, x) in samples(panels * rows * GEMM_COLUMNS, value, 9).iter().enumerate() {
                let weights = &samples(outputs * terms, value, 10)[s];
                let terms: Vec<u32> = (0..terms as u32).map(|t| (t * 7 + 1) % rows as u32).collect();
                agree(&format!("gemm q={value} {panels} {rows} {} {outputs} sample {s}", terms.len()), |backend| {
                    let mut out = vec![1; outputs * panels * GEMM_COLUMNS];
                    backend.gemm_into(&q, &mut out, weights, &terms, Panels { data: x, rows });
                    out
                });
            }
        }
    }
}

#[test]
fn matrix_products_of_short_weights_are_those_of_residues() {
    let short = |words: &[u64], bound: i64| -> Vec<i64> {
        words.iter().map(|&w| (w % (2 * bound as u64 + 1)) as i64 - bound).collect()
    };
    for q in moduli() {
        let value = q.value();
        let tiles = (1..=GEMM_OUTPUTS).flat_map(|outputs| [(31, 16, outputs, 3), (31, 17, outputs, 10_000)]);
        let others =
            [(1, 1, 1, 32_767), (2, 1, 5, 32_767), (30, 9, 13, 32_767), (31, 16, 7, 10_000), (512, 256, 6, 32_767)];
        for (rows, terms, outputs, bound) in tiles.chain(others) {
            // The longest run that their sums allow.
            let run = (Pieces::of(&q).max_run() / (2 * bound as u64)) as usize;
            let list: Vec<u32> = (0..terms as u32).map(|t| (t * 7 + 1) % (rows as u32).div_ceil(2)).collect();
            for (s, x) in samples(rows * GEMM_COLUMNS, value, 30).iter().enumerate() {
                let random: Vec<u64> = words(31).take(2 * outputs * terms).collect();
                for matrix in
                    [short(&random, bound), vec![bound; 2 * outputs * terms], vec![-bound; 2 * outputs * terms]]
                {
                    let pairs: Vec<Pair> = matrix.chunks(2).map(|w| [w[0] as i16, w[1] as i16]).collect();
                    let weights = tiled(&pairs, terms);
                    // The same with residues of the weights; the row after the last is zero.
                    let twice: Vec<u32> = list.iter().flat_map(|&t| [2 * t, 2 * t + 1]).collect();
                    let residues: Vec<u64> = matrix.iter().map(|&w| q.from_i64(w)).collect();
                    let mut padded = x.clone();
                    padded.resize(rows.next_multiple_of(2) * GEMM_COLUMNS, 0);
                    let panels = Panels { data: &padded, rows: rows.next_multiple_of(2) };
                    let mut expected = vec![1; outputs * GEMM_COLUMNS];
                    scalar::gemm_into(&q, &mut expected, &tiled(&residues, 2 * terms), &twice, panels);
                    for backend in backends() {
                        let mut split = vec![1; rows.next_multiple_of(2) * GEMM_COLUMNS];
                        backend.split_into(&q, &mut split, x);
                        let mut out = vec![1; outputs * GEMM_COLUMNS];
                        backend.short_gemm_into(&q, &mut out, &weights, (&list, run), &split);
                        assert_eq!(out, expected, "{} q={value} {rows} {terms} {outputs} sample {s}", backend.name());
                    }
                }
            }
        }
    }
}

#[test]
fn transforms_centre_scale_and_hand_over_every_part() {
    for kind in [RingKind::Standard, RingKind::ConjugateInvariant] {
        for log_n in [1, 4, 7, 9, 12, 13, 16] {
            let n = 1usize << log_n;
            for (bits, d) in
                [(50, (1 << 50) - 27), (50, 65_537), (49, (1 << 50) - 27), (45, (1 << 50) - 27), (30, 65_537)]
            {
                let q = ntt_primes(bits, 1, (kind.root_factor() * n) as u64, &[]).unwrap()[0];
                let specified = NttTable::new(q, log_n, kind, Backend::Scalar);
                let x = samples(n, d, 3).swap_remove(0);
                let mut evaluations = vec![0; n];
                scalar::center_into(&q, &mut evaluations, &x, d);
                specified.forward(&mut evaluations);
                let w = q.reduce(0x3_1415_9265_3589);
                let mut scaled = evaluations.clone();
                specified.inverse(&mut scaled);
                scalar::mul_scalar_assign(&q, &mut scaled, q.shoup(w));
                for backend in backends() {
                    let table = NttTable::new(q, log_n, kind, backend);
                    let what = format!("{kind:?} 2^{log_n} at {bits} bits, d = {d}, {}", backend.name());
                    let (mut limb, mut handed) = (vec![1; n], vec![u64::MAX; n]);
                    table.forward_centred(&x, d, &mut limb, &mut |start, part| {
                        handed[start..start + part.len()].copy_from_slice(part);
                    });
                    assert!(limb == evaluations && handed == evaluations, "forward {what}");
                    limb.fill(u64::MAX);
                    table.inverse_scaled(table.scaling(w), &mut limb, &mut |start, part| {
                        part.copy_from_slice(&evaluations[start..start + part.len()]);
                    });
                    assert!(limb == scaled, "inverse {what}");
                }
            }
        }
    }
}

#[test]
fn transforms_agree_and_invert() {
    for kind in [RingKind::Standard, RingKind::ConjugateInvariant] {
        for log_n in 1..=16 {
            let n = 1usize << log_n;
            for bits in [50, 49, 48, 47, 30, 20, 17] {
                let Ok(primes) = ntt_primes(bits, 1, (kind.root_factor() * n) as u64, &[]) else { continue };
                let tables: Vec<_> =
                    backends().iter().map(|&backend| NttTable::new(primes[0], log_n, kind, backend)).collect();
                let scalar = NttTable::new(primes[0], log_n, kind, Backend::Scalar);
                for (k, a) in samples(n, primes[0].value(), 11).into_iter().enumerate() {
                    let (mut forward, mut inverse) = (a.clone(), a.clone());
                    scalar.forward(&mut forward);
                    scalar.inverse(&mut inverse);
                    for table in &tables {
                        let what = format!("{kind:?} 2^{log_n} at {bits} bits, sample {k}, {}", table.backend().name());
                        let mut b = a.clone();
                        table.forward(&mut b);
                        assert!(b == forward, "forward {what}");
                        table.inverse(&mut b);
                        assert!(b == a, "round trip {what}");
                        table.inverse(&mut b);
                        assert!(b == inverse, "inverse {what}");
                    }
                }
            }
        }
    }
}

#[test]
fn permutations_agree() {
    for len in lengths() {
        let a: Vec<u64> = words(12).take(len).collect();
        let reversed: Vec<u32> = (0..len as u32).rev().collect();
        let scattered: Vec<u32> = (0..len).map(|i| (i * 37 % len) as u32).collect();
        for table in [reversed, scattered] {
            agree("permutation", |backend| {
                let mut out = vec![0; len];
                backend.permute_into(&mut out, &a, &table);
                out
            });
            for q in moduli() {
                let (a, b): (Vec<u64>, Vec<u64>) =
                    words(14).zip(words(15)).take(len).map(|(a, b)| (a % q.value(), b % q.value())).unzip();
                agree("sum with a permutation", |backend| {
                    let mut sum = a.clone();
                    backend.permute_add_assign(&q, &mut sum, &b, &table);
                    sum
                });
            }
        }
    }
}

#[test]
fn automorphisms_keep_blocks_of_eight_together() {
    for (c, log_n) in [(2, 3), (2, 7), (4, 4), (4, 9)] {
        let n = 1usize << log_n;
        let a: Vec<u64> = words(13).take(n).collect();
        for galois in [5, 25, c * n - 1, c * n / 2 + 1, 5 * 5 * 5].into_iter().filter(|g| c == 2 || g % 4 == 1) {
            let table: Vec<u32> = (0..n)
                .map(|i| bit_reverse(((1 + c * bit_reverse(i, log_n)) * galois % (c * n) - 1) / c, log_n) as u32)
                .collect();
            for block in table.chunks(8) {
                assert!(block.iter().all(|j| j / 8 == block[0] / 8), "element {galois} of degree {n}");
            }
            agree("automorphism", |backend| {
                let mut out = vec![0; n];
                backend.permute_into(&mut out, &a, &table);
                out
            });
            let q = prime_below(1 << 50);
            let a: Vec<u64> = a.iter().map(|a| a % q.value()).collect();
            agree("sum with an automorphism", |backend| {
                let mut sum = a.clone();
                backend.permute_add_assign(&q, &mut sum, &a, &table);
                sum
            });
        }
    }
}

#[test]
fn a_wrong_length_is_a_panic() {
    let q = prime_below(1 << 50);
    let table = NttTable::new(ntt_primes(50, 1, 64, &[]).unwrap()[0], 5, RingKind::Standard, Backend::Scalar);
    for backend in backends() {
        let panics = |f: &dyn Fn()| {
            let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(f));
            assert!(caught.is_err(), "{}", backend.name());
        };
        panics(&|| backend.add_assign(&q, &mut [0; 8], &[0; 9]));
        panics(&|| backend.reduce_signed_into(&q, &mut [0; 8], &[0; 9]));
        panics(&|| backend.mul_into(&q, &mut [0; 8], &[0; 8], &[0; 7]));
        panics(&|| backend.dot_into(&q, &mut [0; 8], rows(&[0; 15], 8, 2), rows(&[0; 16], 8, 2)));
        panics(&|| backend.dot_slices_into(&q, &mut [0; 8], &[&[0; 8], &[0; 7]], &[&[0; 8], &[0; 8]]));
        panics(&|| backend.dot_scalars_into(&q, &mut [0; 8], &[&[0; 8], &[0; 7]], &[0; 2]));
        panics(&|| backend.convert_into(&q, &mut [0; 8], rows(&[0; 16], 8, 2), &[0; 3], &[0; 8], q.shoup(1)));
        panics(&|| backend.gemm_into(&q, &mut [0; 16], &[0; 2], &[0, 2], Panels { data: &[0; 32], rows: 2 }));
        panics(&|| backend.gemm_into(&q, &mut [0; 15], &[0; 2], &[0, 1], Panels { data: &[0; 32], rows: 2 }));
        panics(&|| backend.permute_into(&mut [0; 8], &[0; 8], &[8; 8]));
        panics(&|| backend.permute_add_assign(&q, &mut [0; 8], &[0; 8], &[8; 8]));
        panics(&|| table.forward(&mut [0; 16]));
    }
}

#[test]
fn backends_have_names() {
    for backend in backends() {
        assert_eq!(Backend::named(backend.name()), Ok(backend));
        assert!(NAMES.contains(&backend.name()));
    }
    assert_eq!(Backend::named("avx"), Err(Error::UnknownBackend { name: "avx".to_owned() }));
    assert!(backends().contains(&Backend::detect().unwrap()));
    for name in NAMES {
        match Backend::named(name) {
            Ok(backend) => assert_eq!(backend.name(), name),
            Err(error) => assert_eq!(error, Error::UnavailableBackend { name: name.to_owned() }),
        }
    }
}

#[test]
fn the_yardstick_does_what_it_is_told() {
    for backend in backends() {
        let results: Vec<u64> = [0, 1 << 10, 1 << 12].map(|products| backend.saturate_multiplier(products)).to_vec();
        assert!(results[0] != results[1], "{backend:?}: no product was made");
        // Doubles settle.
        assert!(results[1] != results[2] || backend.name() == "avx2", "{backend:?}: products were left out");
    }
}
