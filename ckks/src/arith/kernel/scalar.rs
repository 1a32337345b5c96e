//! The specification: plain `u64`/`u128` code.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;

use super::super::modulus::{Modulus, ShoupFactor};
use super::super::ntt::Fold;
use super::{GEMM_COLUMNS, GEMM_OUTPUTS, Keystream, Loops, OnPart, Pair, Panels, Root, Rows, Start};

pub(super) fn reduce_signed_into(q: &Modulus, out: &mut [u64], x: &[i64]) {
    for (out, &x) in out.iter_mut().zip(x) {
        *out = q.from_i64(x);
    }
}

pub(super) fn add_assign(q: &Modulus, a: &mut [u64], b: &[u64]) {
    for (a, &b) in a.iter_mut().zip(b) {
        *a = q.add(*a, b);
    }
}

pub(super) fn sub_assign(q: &Modulus, a: &mut [u64], b: &[u64]) {
    for (a, &b) in a.iter_mut().zip(b) {
        *a = q.sub(*a, b);
    }
}

pub(super) fn neg_assign(q: &Modulus, a: &mut [u64]) {
    for a in a {
        *a = q.neg(*a);
    }
}

pub(super) fn mul_into(q: &Modulus, out: &mut [u64], a: &[u64], b: &[u64]) {
    for ((out, &a), &b) in out.iter_mut().zip(a).zip(b) {
        *out = q.mul(a, b);
    }
}

pub(super) fn mul_assign(q: &Modulus, a: &mut [u64], b: &[u64]) {
    for (a, &b) in a.iter_mut().zip(b) {
        *a = q.mul(*a, b);
    }
}

pub(super) fn mul_add_assign(q: &Modulus, acc: &mut [u64], a: &[u64], b: &[u64]) {
    for ((acc, &a), &b) in acc.iter_mut().zip(a).zip(b) {
        *acc = q.add(*acc, q.mul(a, b));
    }
}

pub(super) fn square_into(q: &Modulus, [low, middle, high]: [&mut [u64]; 3], a: &[u64], b: &[u64]) {
    mul_into(q, low, a, a);
    mul_into(q, middle, a, b);
    mul_add_assign(q, middle, a, b);
    mul_into(q, high, b, b);
}

pub(super) fn mul_scalar_assign(q: &Modulus, a: &mut [u64], w: ShoupFactor) {
    for a in a {
        *a = q.mul_shoup(*a, w);
    }
}

pub(super) fn mul_scalar_add_assign(q: &Modulus, a: &mut [u64], b: &[u64], w: ShoupFactor) {
    for (a, &b) in a.iter_mut().zip(b) {
        *a = q.add(*a, q.mul_shoup(b, w));
    }
}

pub(super) fn sub_mul_scalar_assign(q: &Modulus, a: &mut [u64], b: &[u64], w: ShoupFactor) {
    for (a, &b) in a.iter_mut().zip(b) {
        *a = q.mul_shoup(q.sub(*a, b), w);
    }
}

pub(super) fn dot_into(q: &Modulus, out: &mut [u64], x: Rows<'_>, y: Rows<'_>) {
    for (i, out) in out.iter_mut().enumerate() {
        let sum: u128 =
            (0..x.count).map(|r| u128::from(x.data[r * x.stride + i]) * u128::from(y.data[r * y.stride + i])).sum();
        *out = q.reduce_u128(sum);
    }
}

pub(super) fn dot_slices_into(q: &Modulus, out: &mut [u64], x: &[&[u64]], y: &[&[u64]]) {
    dot_slices_from(0, q, out, x, y);
}

/// The same for the words from `at` on, which are those of `out`.
pub(super) fn dot_slices_from(at: usize, q: &Modulus, out: &mut [u64], x: &[&[u64]], y: &[&[u64]]) {
    for (i, out) in (at..).zip(out) {
        let sum: u128 = x.iter().zip(y).map(|(x, y)| u128::from(x[i]) * u128::from(y[i])).sum();
        *out = q.reduce_u128(sum);
    }
}

pub(super) fn dot_scalars_into(q: &Modulus, out: &mut [u64], x: &[&[u64]], weights: &[u64]) {
    dot_scalars_from(0, q, out, x, weights);
}

/// The same for the words from `at` on, which are those of `out`.
pub(super) fn dot_scalars_from(at: usize, q: &Modulus, out: &mut [u64], x: &[&[u64]], weights: &[u64]) {
    for (i, out) in (at..).zip(out) {
        let sum: u128 = x.iter().zip(weights).map(|(x, &w)| u128::from(x[i]) * u128::from(w)).sum();
        *out = q.reduce_u128(sum);
    }
}

pub(super) fn round_quotient(v: &mut [u64], x: Rows<'_>, inverses: &[f64]) {
    for (i, v) in v.iter_mut().enumerate() {
        let sum: f64 = inverses.iter().enumerate().map(|(r, inverse)| x.data[r * x.stride + i] as f64 * inverse).sum();
        *v = (sum + 0.5) as u64;
    }
}

pub(super) fn convert_into(q: &Modulus, out: &mut [u64], x: Rows<'_>, weights: &[u64], v: &[u64], d: ShoupFactor) {
    for (i, out) in out.iter_mut().enumerate() {
        let sum: u128 =
            weights.iter().enumerate().map(|(r, &w)| u128::from(w) * u128::from(x.data[r * x.stride + i])).sum();
        *out = q.sub(q.reduce_u128(sum), q.mul_shoup(v[i], d));
    }
}

pub(super) fn gemm_into(q: &Modulus, out: &mut [u64], weights: &[u64], terms: &[u32], x: Panels<'_>) {
    let width = x.count() * GEMM_COLUMNS;
    let tiles = out.chunks_mut(GEMM_OUTPUTS * width).zip(weights.chunks(GEMM_OUTPUTS * terms.len()));
    for (out, weights) in tiles {
        let outputs = out.len() / width;
        for (o, out) in out.chunks_mut(width).enumerate() {
            for (i, out) in out.iter_mut().enumerate() {
                let start = i / GEMM_COLUMNS * GEMM_COLUMNS * x.rows + i % GEMM_COLUMNS;
                let product = |(t, &row): (usize, &u32)| {
                    let word = x.data[start + row as usize * GEMM_COLUMNS];
                    u128::from(weights[t * outputs + o]) * u128::from(word)
                };
                *out = q.reduce_u128(terms.iter().enumerate().map(product).sum());
            }
        }
    }
}

/// Residues of any size can be multiplied here: nothing is cut.
pub(super) fn split_into(pieces: &mut [u64], rows: &[u64]) {
    pieces[..rows.len()].copy_from_slice(rows);
    pieces[rows.len()..].fill(0);
}

pub(super) fn short_gemm_into(q: &Modulus, out: &mut [u64], weights: &[Pair], terms: &[u32], x: &[u64]) {
    let tiles = out.chunks_mut(GEMM_OUTPUTS * GEMM_COLUMNS).zip(weights.chunks(GEMM_OUTPUTS * terms.len()));
    for (out, weights) in tiles {
        let outputs = out.len() / GEMM_COLUMNS;
        for (at, out) in out.iter_mut().enumerate() {
            let (o, column) = (at / GEMM_COLUMNS, at % GEMM_COLUMNS);
            let product = |(t, &term): (usize, &u32)| -> i128 {
                let word = |s: usize| x[(2 * term as usize + s) * GEMM_COLUMNS + column];
                let weights = weights[t * outputs + o];
                (0..2).map(|s| i128::from(weights[s]) * i128::from(word(s))).sum()
            };
            *out = q.from_i128(terms.iter().enumerate().map(product).sum());
        }
    }
}

pub(super) fn candidates_into(q: &Modulus, from: &Keystream, out: &mut [u64]) -> bool {
    const BLOCK: usize = 512;
    const WORD: usize = size_of::<u64>();
    let (width, mask) = (q.bits().div_ceil(8) as usize, (1 << q.bits()) - 1);
    let mut rng = ChaCha20Rng::from_seed(from.key);
    rng.set_stream(from.stream);
    // Bytes are drawn from the beginning of a word of 32 bits, and a candidate is read as a whole word, the last one, too.
    let mut bytes = [0; (BLOCK + 2) * WORD];
    let mut above = 0;
    for (i, out) in out.chunks_mut(BLOCK).enumerate() {
        let start = from.start + (i * BLOCK * width) as u64;
        let skipped = (start % 4) as usize;
        rng.set_word_pos(u128::from(start / 4));
        rng.fill_bytes(&mut bytes[..skipped + out.len() * width]);
        for (i, out) in out.iter_mut().enumerate() {
            let mut word = [0; WORD];
            word.copy_from_slice(&bytes[skipped + i * width..][..WORD]);
            *out = u64::from_le_bytes(word) & mask;
            above |= (q.value() - 1).wrapping_sub(*out);
        }
    }
    above >> 63 == 0
}

pub(super) fn ntt_forward(q: &Modulus, a: &mut [u64], tree: &[ShoupFactor], start: Start<'_>, done: OnPart<'_>) {
    match start {
        Start::Limb => {}
        Start::Fold(fold) => fold_in(q, a, fold),
        Start::Centred { x, d } => center_into(q, a, x, d),
    }
    // Lazy values: [0, 4q) between layers (Harvey, arXiv 1205.2926, algorithm 2).
    let (n, two_q) = (a.len(), 2 * q.value());
    let mut m = 1;
    while m < n {
        for (i, node) in a.chunks_exact_mut(n / m).enumerate() {
            let w = tree[m + i];
            let (low, high) = node.split_at_mut(n / (2 * m));
            for (x, y) in low.iter_mut().zip(high) {
                let reduced = (*x).min(x.wrapping_sub(two_q));
                let product = q.mul_shoup_lazy(*y, w);
                (*x, *y) = (reduced + product, reduced + two_q - product);
            }
        }
        m *= 2;
    }
    for x in &mut *a {
        let reduced = (*x).min(x.wrapping_sub(two_q));
        *x = reduced.min(reduced.wrapping_sub(q.value()));
    }
    done(0, a);
}

pub(super) fn ntt_inverse(q: &Modulus, a: &mut [u64], tree: &[ShoupFactor], root: Root<'_>, fill: OnPart<'_>) {
    fill(0, a);
    // Lazy values: [0, 2q) between layers (the same source, algorithm 3).
    let (n, two_q) = (a.len(), 2 * q.value());
    let mut m = n / 2;
    while m >= 1 {
        for (i, node) in a.chunks_exact_mut(n / m).enumerate() {
            let w = tree[m + i];
            let (low, high) = node.split_at_mut(n / (2 * m));
            for (x, y) in low.iter_mut().zip(high) {
                let (sum, difference) = (*x + *y, *x + two_q - *y);
                if m > 1 {
                    (*x, *y) = (sum.min(sum.wrapping_sub(two_q)), q.mul_shoup_lazy(difference, w));
                } else {
                    (*x, *y) = (q.mul_shoup(sum, root.factors[0]), q.mul_shoup(difference, root.factors[1]));
                }
            }
        }
        m /= 2;
    }
    if let Some(fold) = root.fold {
        unfold(q, a, fold);
    }
}

/// a_j ← a_j − i a_(N−j) for j > 0: into the tree of the conjugate-invariant ring.
fn fold_in(q: &Modulus, a: &mut [u64], fold: &Fold) {
    let n = a.len();
    for j in 1..=n / 2 {
        let (x, y) = (a[j], a[n - j]);
        a[j] = q.add(x, q.mul_shoup(y, fold.minus_i));
        a[n - j] = q.add(y, q.mul_shoup(x, fold.minus_i));
    }
}

/// a_j ← a_j + i a_(N−j) for j > 0, and a_0 ← 2 a_0: twice the inverse.
fn unfold(q: &Modulus, a: &mut [u64], fold: &Fold) {
    let n = a.len();
    a[0] = q.add(a[0], a[0]);
    for j in 1..=n / 2 {
        let (x, y) = (a[j], a[n - j]);
        a[j] = q.add(x, q.mul_shoup(y, fold.i));
        a[n - j] = q.add(y, q.mul_shoup(x, fold.i));
    }
}

pub(super) fn center_into(q: &Modulus, out: &mut [u64], x: &[u64], d: u64) {
    for (out, &x) in out.iter_mut().zip(x) {
        *out = if x > d / 2 { q.sub(q.reduce(x), q.reduce(d)) } else { q.reduce(x) };
    }
}

pub(super) fn permute_into(out: &mut [u64], a: &[u64], table: &[u32]) {
    for (out, &j) in out.iter_mut().zip(table) {
        *out = a[j as usize];
    }
}

pub(super) fn permute_add_assign(q: &Modulus, a: &mut [u64], b: &[u64], table: &[u32]) {
    for (a, &j) in a.iter_mut().zip(table) {
        *a = q.add(*a, b[j as usize]);
    }
}

pub(super) fn vectorize<L: Loops>(loops: L) -> L::Output {
    loops.run()
}

pub(super) fn saturate_multiplier(products: u64) -> u64 {
    const FACTOR: u128 = 0x3_243f_6a88_85a3;
    let mut chains = [1, 2, 3, 4, 5, 6, 7, 8];
    for _ in 0..products.div_ceil(chains.len() as u64) {
        for x in &mut chains {
            let product = u128::from(*x) * FACTOR;
            *x = (product as u64).wrapping_add((product >> 64) as u64);
        }
    }
    chains.into_iter().fold(0, u64::wrapping_add)
}
