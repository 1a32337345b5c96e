//! The scalar kernels, which specify the others, against big integers.

use num_bigint::BigUint;

use super::*;

/// The specification against big integers.
#[test]
fn the_specification_agrees_with_big_integers() {
    let big = BigUint::from;
    for q in moduli() {
        let value = q.value();
        let word = |x: BigUint| u64::try_from(x % value).unwrap();
        let len = 50;
        let (a, b) = (&samples(len, value, 14)[0], &samples(len, value, 15)[0]);
        let w = q.shoup(value - 1 - value / 3);
        let check = |what: &str, f: &dyn Fn(&mut [u64]), oracle: &dyn Fn(usize) -> u64| {
            let mut out = a.clone();
            f(&mut out);
            assert_eq!(out, (0..len).map(oracle).collect::<Vec<_>>(), "{what} modulo {value}");
        };
        check("add", &|out| scalar::add_assign(&q, out, b), &|i| word(big(a[i]) + b[i]));
        check("sub", &|out| scalar::sub_assign(&q, out, b), &|i| word(big(a[i]) + value - b[i]));
        check("neg", &|out| scalar::neg_assign(&q, out), &|i| word(big(value) - a[i]));
        check("mul", &|out| scalar::mul_assign(&q, out, b), &|i| word(big(a[i]) * b[i]));
        check("mul_into", &|out| scalar::mul_into(&q, out, b, b), &|i| word(big(b[i]) * b[i]));
        check("mul_add", &|out| scalar::mul_add_assign(&q, out, b, b), &|i| word(big(b[i]) * b[i] + a[i]));
        check("mul_scalar", &|out| scalar::mul_scalar_assign(&q, out, w), &|i| word(big(a[i]) * w.value));
        check("mul_scalar_add", &|out| scalar::mul_scalar_add_assign(&q, out, b, w), &|i| {
            word(big(b[i]) * w.value + a[i])
        });
        check("sub_mul_scalar", &|out| scalar::sub_mul_scalar_assign(&q, out, b, w), &|i| {
            word((big(a[i]) + value - b[i]) * w.value)
        });

        let (x, y, wide) = (vec![value - 1; 4 * len], &samples(4 * len, value, 16)[0], vec![(1 << 50) - 1; 4 * len]);
        let sum = |terms: &dyn Fn(usize) -> BigUint| word((0..4).map(terms).sum());
        check("dot", &|out| scalar::dot_into(&q, out, rows(&x, len, 4), rows(y, len, 4)), &|i| {
            sum(&|r| big(x[r * len + i]) * y[r * len + i])
        });
        check(
            "dot of slices",
            &|out| scalar::dot_slices_into(&q, out, &slices(&x, len, len), &slices(y, len, len)),
            &|i| sum(&|r| big(x[r * len + i]) * y[r * len + i]),
        );
        check("dot with scalars", &|out| scalar::dot_scalars_into(&q, out, &slices(&x, len, len), &y[..4]), &|i| {
            sum(&|r| big(x[r * len + i]) * y[r])
        });
        check("convert", &|out| scalar::convert_into(&q, out, rows(&wide, len, 4), &x[..4], &y[..len], w), &|i| {
            word(big(sum(&|r| big(wide[r * len + i]) * x[r])) + big(value) * value - big(y[i]) * w.value)
        });
    }
}

/// The scalar matrix product against big integers.
#[test]
fn matrix_products_are_products_of_integers() {
    let q = prime_below(1 << 50);
    let (rows, outputs) = (7, 8);
    let x = &samples(2 * rows * GEMM_COLUMNS, q.value(), 20)[0];
    let matrix = &samples(outputs * 4, q.value(), 21)[0];
    let terms = [6, 0, 3, 5];
    let mut out = vec![0; outputs * 2 * GEMM_COLUMNS];
    scalar::gemm_into(&q, &mut out, &tiled(matrix, terms.len()), &terms, Panels { data: x, rows });
    for (at, &word) in out.iter().enumerate() {
        let (o, panel, column) = (at / (2 * GEMM_COLUMNS), at / GEMM_COLUMNS % 2, at % GEMM_COLUMNS);
        let word_of = |row: u32| x[(panel * rows + row as usize) * GEMM_COLUMNS + column];
        let sum: BigUint = terms.iter().zip(&matrix[o * 4..]).map(|(&row, &w)| BigUint::from(w) * word_of(row)).sum();
        assert_eq!(BigUint::from(word), sum % q.value());
    }
}

/// The rounded quotient of a number by the product of its moduli, from its residues, against the exact one.
#[test]
fn the_rounded_quotient_is_exact_for_numbers_away_from_a_tie() {
    let moduli = ntt_primes(50, 3, 2, &[]).unwrap();
    let product: BigUint = moduli.iter().map(|q| BigUint::from(q.value())).product();
    let inverses: Vec<f64> = moduli.iter().map(|q| 1.0 / q.value() as f64).collect();
    let x: Vec<u64> =
        (0..3).flat_map(|r| words(17 + r).take(100).map(|x| x % moduli[0].value()).collect::<Vec<_>>()).collect();
    let mut v = vec![0; 100];
    scalar::round_quotient(&mut v, rows(&x, 100, 3), &inverses);
    for i in 0..100 {
        let total: BigUint = (0..3).map(|r| &product / moduli[r].value() * x[100 * r + i]).sum();
        assert_eq!(BigUint::from(v[i]), (total * 2u8 + &product) / (&product * 2u8), "{i}");
    }
}

#[test]
fn scalars_of_the_modulus_agree_with_big_integers() {
    for q in moduli() {
        let value = q.value();
        let extremes = [0, 1, value / 2, value - 2, value - 1];
        for a in words(20).map(|x| x % value).take(200).chain(extremes) {
            let exact = (u128::from(a) << 52) / u128::from(value);
            assert_eq!(u128::from(q.shoup(a).quotient), exact, "{a} modulo {value}");
        }
        let doubles = words(21).zip(words(22)).take(500).map(|(a, b)| u128::from(a) << 64 | u128::from(b));
        for x in doubles.chain([0, u128::MAX, u128::from(value), u128::from(value - 1), u128::from(value).pow(2) - 1]) {
            assert_eq!(u128::from(q.reduce_u128(x)), x % u128::from(value), "{x} modulo {value}");
        }
    }
}
