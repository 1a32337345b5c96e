//! Hybrid key switching (Gentry-Halevi-Smart 2012/099; Han-Ki 2019/688): ModUp of the digits, inner products with the key in the
//! basis QP, ModDown by P.
//!
//! It goes limb by limb. First the limbs of the divisor, the special ones: their sums are what the division needs of them. Then each
//! limb that is kept: its digits, sums and quotient are made while they are in the cache, and nothing but the result is written.

use std::sync::Arc;

use crate::ring::{Basis, Digits, Division, KeyRows, Ntt, Operand, Permutation, Poly, Ring};

use super::keys::{KeyShape, SwitchingKey};

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
        self.write(self.digits.basis().limbs(), |_, _| ())
    }

    /// ModDown to the first `keep` limbs: divides by P and by the ciphertext primes beyond them.
    pub(super) fn divide_round(&self, keep: usize) -> [Poly<Ntt>; 2] {
        let ring = self.ring();
        let division = Division::new(ring, self.digits.basis(), keep);
        let size = division.dropped() * ring.stride();
        let mut tails = [ring.pool().take(size), ring.pool().take(size)];
        let [b, a] = &mut tails;
        let buffers = [(&mut **b, ring.stride()), (&mut **a, ring.stride())];
        ring.each_limb_of(division.dropped(), buffers, |r, halves| {
            let mut halves = halves.map(|half| &mut half[..ring.n()]);
            self.sums(keep + r, &mut halves);
            halves.into_iter().for_each(|half| division.prepare(r, half));
        });
        let tails = tails.map(|tail| (division.quotients(&tail), tail));
        let quotients = self.write(keep, |j, halves| {
            for (half, (v, tail)) in halves.iter_mut().zip(&tails) {
                division.divide(j, half, tail, v);
            }
        });
        tails.into_iter().flat_map(|(v, tail)| [v, tail]).for_each(|buffer| ring.pool().give(buffer));
        quotients
    }

    /// The first `limbs` limbs of the sums, after `finish`, permuted.
    fn write(&self, limbs: usize, finish: impl Fn(usize, &mut [&mut [u64]; 2]) + Sync) -> [Poly<Ntt>; 2] {
        let ring = self.ring();
        ring.count_key_switch();
        let (n, stride) = (ring.n(), ring.stride());
        let basis = if limbs == self.digits.basis().limbs() { self.digits.basis() } else { Basis { q: limbs, p: 0 } };
        let mut out = [Poly::uninit(ring, basis), Poly::uninit(ring, basis)];
        let buffers = out.each_mut().map(|out| (out.data_mut(), stride));
        ring.each_limb_of(limbs, buffers, |j, out| {
            let mut out = out.map(|out| &mut out[..n]);
            let Some(permutation) = &self.permutation else {
                self.sums(j, &mut out);
                return finish(j, &mut out);
            };
            let mut sums = ring.pool().take(2 * stride);
            let (b, a) = sums.split_at_mut(stride);
            let mut halves = [&mut b[..n], &mut a[..n]];
            self.sums(j, &mut halves);
            finish(j, &mut halves);
            for (out, half) in out.into_iter().zip(halves) {
                ring.backend().permute_into(out, half, &permutation.sources);
            }
            ring.pool().give(sums);
        });
        out
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
