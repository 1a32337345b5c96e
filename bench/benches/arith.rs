//! The transforms of one limb, for every backend of the machine: at a prime of 50 bits, and at one of 48, which leaves lazy values
//! more room in the word.

use aligned_vec::AVec;
use bench::{Result, criterion, id, time};
use ckks::{Backend, Modulus, NttTable, RingKind, ntt_primes};
use criterion::Criterion;

fn main() -> Result<()> {
    let mut criterion = criterion()?;
    for backend in Backend::available() {
        for ring in [RingKind::Standard, RingKind::ConjugateInvariant] {
            for log_n in 12..=16 {
                for (bits, suffix) in [(50, ""), (48, "_48")] {
                    transforms(&mut criterion, backend, ring, log_n, (bits, suffix))?;
                }
            }
        }
    }
    criterion.final_summary();
    Ok(())
}

fn transforms(
    criterion: &mut Criterion,
    backend: Backend,
    ring: RingKind,
    log_n: u32,
    (bits, suffix): (u32, &str),
) -> Result<()> {
    let order = (ring.root_factor() as u64) << log_n;
    let modulus = *ntt_primes(bits, 1, order, &[])?.first().ok_or("no prime")?;
    let table = NttTable::new(modulus, log_n, ring, backend);
    let input: Vec<u64> =
        (0..1u64 << log_n).map(|j| modulus.reduce((j + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect();
    check(&table, ring, &input);

    // In place, again and again: a transform of reduced words leaves reduced words, and takes the same time on any.
    // Limbs of the library begin at cache lines.
    let mut words = AVec::<u64>::from_slice(64, &input);
    let name = |op: &str| id(&format!("{op}{suffix}"), ring, log_n, 1, backend.name());
    time(criterion, &name("ntt_forward"), || (), |()| table.forward(&mut words));
    time(criterion, &name("ntt_inverse"), || (), |()| table.inverse(&mut words));
    Ok(())
}

/// The product with the second element of the ring's basis, through the transforms, moves coefficients by one; and the transform is
/// that of the scalar backend, word for word.
fn check(table: &NttTable, ring: RingKind, input: &[u64]) {
    let (q, n) = (table.modulus(), input.len());
    let mut second = vec![0; n];
    second[1] = 1;
    let mut product = input.to_vec();
    table.forward(&mut second);
    table.forward(&mut product);
    let mut specified = input.to_vec();
    NttTable::new(*q, n.ilog2(), ring, Backend::Scalar).forward(&mut specified);
    assert_eq!(product, specified);
    product.iter_mut().zip(&second).for_each(|(a, &b)| *a = q.mul(*a, b));
    table.inverse(&mut product);
    assert!(product.iter().enumerate().all(|(j, &word)| word == moved(q, ring, input, j)), "{ring:?}, N = {n}");
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
