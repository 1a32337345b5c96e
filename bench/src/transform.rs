//! The transforms of one limb.

use aligned_vec::AVec;
use ckks::{Backend, Modulus, NttTable, RingKind};

use crate::{Clock, Error, Result, time};

/// `ntt_forward` and `ntt_inverse` of one limb, in place.
///
/// # Errors
/// [`Error::WrongTransform`], and what the clock says.
pub fn transforms(clock: &mut Clock<'_>, table: &NttTable, ring: RingKind) -> Result<()> {
    let q = table.modulus();
    let input: Vec<u64> =
        (0..table.n() as u64).map(|j| q.reduce((j + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect();
    check(table, ring, &input)?;
    // In place, again and again: a transform of reduced words leaves reduced words, and takes the same time on any.
    // Limbs of the library begin at cache lines.
    let mut words = AVec::<u64>::from_slice(64, &input);
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

/// The transform is that of the scalar kernels, word for word; and the product with the second element of the ring's basis, through
/// the transforms, moves coefficients by one.
fn check(table: &NttTable, ring: RingKind, input: &[u64]) -> Result<()> {
    let (q, n) = (table.modulus(), input.len());
    let wrong = |op| Error::WrongTransform { op, n, modulus: q.value(), backend: table.backend().name() };
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
