//! Hybrid key switching (Gentry-Halevi-Smart 2012/099; Han-Ki 2019/688): ModUp of the digits, inner products with the key in the
//! basis QP, ModDown by P.
//!
//! It goes limb by limb. First the limbs of the divisor, the special ones: their sums are what the division needs of them. Then each
//! limb that is kept: its digits, sums and quotient are made while they are in the cache, and nothing but the result is written. Large
//! polynomials are divided in the end.

use std::ops::Range;
use std::sync::Arc;

use crate::ring::{Basis, Digits, Division, KeyRows, Ntt, Operand, Permutation, Poly, Ring};

use super::keys::{KeyShape, SwitchingKey};

/// Beyond so many words of a polynomial, all limbs are summed before any is divided: what both conversions read again and again would
/// not stay in the third-level cache together.
const LARGE: usize = 1 << 20;

/// What is added to a sum.
#[derive(Clone, Copy)]
pub(super) enum Addend<'a> {
    Nothing,
    /// P times a polynomial, which a division by P leaves as it is.
    Multiple(Operand<'a>),
    /// A polynomial in the basis QP.
    Extended(&'a Poly<Ntt>),
}

/// Σ_i digit_i (b_i, a_i) + (addends), then an automorphism.
pub(super) struct KeySwitch<'a> {
    pub(super) digits: &'a Digits<'a>,
    pub(super) key: &'a SwitchingKey,
    pub(super) addends: [Addend<'a>; 2],
    pub(super) permutation: Option<Arc<Permutation>>,
}

impl KeySwitch<'_> {
    /// The sums in the basis QP, before ModDown.
    pub(super) fn extended(&self) -> [Poly<Ntt>; 2] {
        let (ring, basis) = (self.ring(), self.digits.basis());
        ring.count_key_switch();
        let mut out = [(); 2].map(|()| Poly::uninit(ring, basis));
        self.write(0..basis.limbs(), out.each_mut().map(Poly::data_mut), |_, _| ());
        out
    }

    /// ModDown to the first `keep` limbs: divides by P and by the ciphertext primes beyond them.
    pub(super) fn divide_round(&self, keep: usize) -> [Poly<Ntt>; 2] {
        let ring = self.ring();
        ring.count_key_switch();
        let division = Division::new(ring, self.digits.basis(), keep);
        let size = division.dropped() * ring.stride();
        let mut tails = [ring.pool().take(size), ring.pool().take(size)];
        self.write(keep..self.digits.basis().limbs(), tails.each_mut().map(|tail| &mut **tail), |j, halves| {
            division.prepare(j - keep, halves);
        });
        let divisors = division.divisors(tails.each_ref().map(|tail| &**tail));
        let mut out = [(); 2].map(|()| Poly::uninit(ring, Basis { q: keep, p: 0 }));
        let apart = self.digits.basis().limbs() * ring.n() > LARGE;
        self.write(0..keep, out.each_mut().map(Poly::data_mut), |j, halves| {
            if !apart {
                division.divide(j, halves, &divisors);
            }
        });
        if apart {
            division.divide_all(out.each_mut().map(Poly::data_mut), &divisors);
        }
        divisors.into_iter().for_each(|divisor| divisor.give(ring));
        tails.into_iter().for_each(|tail| ring.pool().give(tail));
        out
    }

    /// The sums in these limbs, permuted, after `finish`.
    fn write(&self, limbs: Range<usize>, out: [&mut [u64]; 2], finish: impl Fn(usize, [&mut [u64]; 2]) + Sync) {
        let ring = self.ring();
        let (n, stride) = (ring.n(), ring.stride());
        ring.each_limb_of(limbs.len(), out.map(|out| (out, stride)), |i, out| {
            let (j, mut out) = (limbs.start + i, out.map(|out| &mut out[..n]));
            if let Some(permutation) = &self.permutation {
                let mut sums = ring.pool().take(2 * stride);
                let (b, a) = sums.split_at_mut(stride);
                let mut halves = [&mut b[..n], &mut a[..n]];
                self.sums(j, &mut halves);
                for (out, half) in out.iter_mut().zip(halves) {
                    ring.backend().permute_into(out, half, &permutation.sources);
                }
                ring.pool().give(sums);
            } else {
                self.sums(j, &mut out);
            }
            finish(j, out);
        });
    }

    /// The sums in limb `j`, with their addends.
    fn sums(&self, j: usize, out: &mut [&mut [u64]; 2]) {
        let (ring, basis) = (self.ring(), self.digits.basis());
        let KeyShape { basis: key_basis, digits, .. } = &self.key.shape;
        let key = KeyRows { data: &self.key.rows, basis: *key_basis, digits: *digits };
        self.digits.dot(j, key, out);
        let q = ring.modulus(basis, j);
        let mut scratch = ring.pool().take(ring.stride());
        for (out, addend) in out.iter_mut().zip(&self.addends) {
            match addend {
                Addend::Multiple(x) if j < basis.q => {
                    let x = x.limb(j, &mut scratch[..ring.n()]);
                    ring.backend().mul_scalar_add_assign(q, out, x, ring.special_product(j));
                }
                Addend::Extended(x) => ring.backend().add_assign(q, out, x.limb(j)),
                Addend::Multiple(_) | Addend::Nothing => {}
            }
        }
        ring.pool().give(scratch);
    }

    fn ring(&self) -> &Ring {
        self.digits.ring()
    }
}
