//! Hybrid key switching (Gentry-Halevi-Smart 2012/099; Han-Ki 2019/688): ModUp of the digits, inner products with the key in the
//! basis QP, ModDown by P.
//!
//! It goes limb by limb. First the limbs of the divisor, the special ones: their sums are what the division needs of them. Then each
//! limb that is kept: its digits, sums and quotient are made while they are in the cache, and nothing but the result is written. Large
//! polynomials are divided in the end.

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

/// Σ of key switches, and of what needs none, in one basis QP. The terms are never there as a whole.
pub(super) struct SwitchSum<'a> {
    pub(super) ring: &'a Ring,
    pub(super) basis: Basis,
    pub(super) switches: &'a [KeySwitch<'a>],
    pub(super) others: &'a [[&'a Poly<Ntt>; 2]],
}

impl KeySwitch<'_> {
    /// The sum of this one alone.
    pub(super) fn alone(&self) -> SwitchSum<'_> {
        let (ring, basis) = (self.digits.ring(), self.digits.basis());
        SwitchSum { ring, basis, switches: std::slice::from_ref(self), others: &[] }
    }

    /// Writes limb `j`, or adds it.
    fn limb(&self, j: usize, out: &mut [&mut [u64]; 2], is_first: bool) {
        let (ring, n, stride) = (self.digits.ring(), self.digits.ring().n(), self.digits.ring().stride());
        if is_first && self.permutation.is_none() {
            return self.sums(j, out);
        }
        let (q, backend) = (ring.modulus(self.digits.basis(), j), ring.backend());
        let mut sums = ring.pool().take(2 * stride);
        let (b, a) = sums.split_at_mut(stride);
        let mut halves = [&mut b[..n], &mut a[..n]];
        self.sums(j, &mut halves);
        for (out, half) in out.iter_mut().zip(halves) {
            match &self.permutation {
                Some(permutation) if is_first => backend.permute_into(out, half, &permutation.sources),
                Some(permutation) => backend.permute_add_assign(q, out, half, &permutation.sources),
                None => backend.add_assign(q, out, half),
            }
        }
        ring.pool().give(sums);
    }

    /// The sums in limb `j`, with their addends.
    fn sums(&self, j: usize, out: &mut [&mut [u64]; 2]) {
        let (ring, basis) = (self.digits.ring(), self.digits.basis());
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
}

impl SwitchSum<'_> {
    /// The sum in the basis QP, before ModDown.
    pub(super) fn extended(&self) -> [Poly<Ntt>; 2] {
        let Self { ring, basis, .. } = *self;
        self.count();
        let mut out = [(); 2].map(|()| Poly::uninit(ring, basis));
        let halves = out.each_mut().map(|half| (half.data_mut(), ring.stride()));
        ring.each_limb_of(basis.limbs(), halves, |j, out| self.write(j, out.map(|out| &mut out[..ring.n()])));
        out
    }

    /// ModDown to the first `keep` limbs: divides by P and by the ciphertext primes beyond them.
    pub(super) fn divide_round(&self, keep: usize) -> [Poly<Ntt>; 2] {
        let Self { ring, basis, .. } = *self;
        self.count();
        let division = Division::new(ring, basis, keep);
        let size = division.dropped() * ring.stride();
        let mut tails = [ring.pool().take(size), ring.pool().take(size)];
        let mut out = [(); 2].map(|()| Poly::uninit(ring, Basis { q: keep, p: 0 }));
        let apart = basis.limbs() * ring.n() > LARGE;
        let halves = (tails.each_mut().map(|tail| &mut **tail), out.each_mut().map(Poly::data_mut));
        division.run(halves.0, halves.1, apart, |j, out| self.write(j, out));
        tails.into_iter().for_each(|tail| ring.pool().give(tail));
        out
    }

    /// The sum in limb `j`.
    fn write(&self, j: usize, mut out: [&mut [u64]; 2]) {
        let Self { ring, basis, switches, others } = *self;
        for (at, switch) in switches.iter().enumerate() {
            switch.limb(j, &mut out, at == 0);
        }
        for (at, parts) in others.iter().enumerate() {
            for (out, part) in out.iter_mut().zip(parts) {
                match at == 0 && switches.is_empty() {
                    true => out.copy_from_slice(part.limb(j)),
                    false => ring.backend().add_assign(ring.modulus(basis, j), out, part.limb(j)),
                }
            }
        }
    }

    fn count(&self) {
        self.switches.iter().for_each(|_| self.ring.count_key_switch());
    }
}
