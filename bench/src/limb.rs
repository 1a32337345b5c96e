//! What is done with one limb, in cache: transforms and products.

use aligned_vec::AVec;
use ckks::{Backend, Modulus, NttTable, RingKind, Rows};

use crate::{Clock, Error, Result, time};

/// Products in the sum of `dot`.
const TERMS: usize = 4;

/// `ntt_forward` and `ntt_inverse` of one limb, in place.
///
/// # Errors
/// [`Error::WrongWords`], and what the clock says.
pub fn transforms(clock: &mut Clock<'_>, table: &NttTable, ring: RingKind) -> Result<()> {
    let mut words = residues(table.modulus(), table.n());
    check(table, ring, &words)?;
    // In place, again and again: a transform of reduced words leaves reduced words, and takes the same time on any.
    time(
        clock,
        "ntt_forward",
        None,
        || (),
        |()| {
            table.forward(&mut words);
            Ok(())
        },
    )?;
    time(
        clock,
        "ntt_inverse",
        None,
        || (),
        |()| {
            table.inverse(&mut words);
            Ok(())
        },
    )
}

/// `mul` of two limbs, and `dot`, the sum of `TERMS` such products, which is reduced once.
///
/// # Errors
/// [`Error::WrongWords`], and what the clock says.
pub fn products(clock: &mut Clock<'_>, backend: Backend, q: &Modulus, n: usize) -> Result<()> {
    let words = residues(q, 2 * TERMS * n);
    let (x, y) = words.split_at(TERMS * n);
    let mut out = AVec::<u64>::from_slice(64, &words[..n]);
    let sum = |terms: usize, i: usize| (0..terms).fold(0, |sum, t| q.add(sum, q.mul(x[t * n + i], y[t * n + i])));
    let wrong = |op| Error::WrongWords { op, n, modulus: q.value(), backend: backend.name() };

    let mul = |out: &mut [u64]| backend.mul_into(q, out, &x[..n], &y[..n]);
    mul(&mut out);
    if (0..n).any(|i| out[i] != sum(1, i)) {
        return Err(wrong("mul"));
    }
    time(
        clock,
        "mul",
        None,
        || (),
        |()| {
            mul(&mut out);
            Ok(())
        },
    )?;

    let [x_rows, y_rows] = [x, y].map(|data| Rows { data, stride: n, count: TERMS });
    let dot = |out: &mut [u64]| backend.dot_into(q, out, x_rows, y_rows);
    dot(&mut out);
    if (0..n).any(|i| out[i] != sum(TERMS, i)) {
        return Err(wrong("dot"));
    }
    time(
        clock,
        "dot",
        None,
        || (),
        |()| {
            dot(&mut out);
            Ok(())
        },
    )
}

/// Some residues, at cache lines, as limbs of the library are.
fn residues(q: &Modulus, count: usize) -> AVec<u64> {
    AVec::from_iter(64, (1..=count as u64).map(|j| q.reduce(j.wrapping_mul(0x9e37_79b9_7f4a_7c15))))
}

/// The transform is that of the scalar kernels, word for word; and the product with the second element of the ring's basis, through
/// the transforms, moves coefficients by one.
fn check(table: &NttTable, ring: RingKind, input: &[u64]) -> Result<()> {
    let (q, n) = (table.modulus(), input.len());
    let wrong = |op| Error::WrongWords { op, n, modulus: q.value(), backend: table.backend().name() };
    let mut second = vec![0; n];
    second[1] = 1;
    let mut product = input.to_vec();
    table.forward(&mut second);
    table.forward(&mut product);
    let mut specified = input.to_vec();
    NttTable::new(*q, n.ilog2(), ring, Backend::Scalar).forward(&mut specified);
    if product != specified {
        return Err(wrong("ntt_forward"));
    }
    product.iter_mut().zip(&second).for_each(|(a, &b)| *a = q.mul(*a, b));
    table.inverse(&mut product);
    if product.iter().enumerate().any(|(j, &word)| word != moved(q, ring, input, j)) {
        return Err(wrong("ntt_inverse"));
    }
    Ok(())
}

/// Coefficient j of X a, or of (X + 1/X) a.
fn moved(q: &Modulus, ring: RingKind, a: &[u64], j: usize) -> u64 {
    let at = |j: usize| a.get(j).copied().unwrap_or_default();
    match (ring, j) {
        (RingKind::Standard, 0) => q.neg(a[a.len() - 1]),
        (RingKind::Standard, _) => a[j - 1],
        (RingKind::ConjugateInvariant, 0) => q.add(at(1), at(1)),
        (RingKind::ConjugateInvariant, _) => q.add(a[j - 1], at(j + 1)),
    }
}
