//! One element of R_Q, its form in its type.

use std::fmt;
use std::marker::PhantomData;

use crate::arith::Modulus;

use super::context::{Basis, Ring};
use super::pool::Buffer;

/// Coefficient form: limb i holds the coefficients modulo prime i.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coeff {}

/// NTT form: limb i holds the values at the roots of unity modulo prime i.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ntt {}

/// [`Coeff`] or [`Ntt`].
pub trait Form: sealed::Sealed + 'static {}
impl Form for Coeff {}
impl Form for Ntt {}

mod sealed {
    pub trait Sealed: Send + Sync {}
    impl Sealed for super::Coeff {}
    impl Sealed for super::Ntt {}
}

/// An element of R_Q in a basis, reduced in every limb. Its buffer comes from the ring's pool and returns to it.
pub struct Poly<F: Form> {
    ring: Ring,
    basis: Basis,
    /// At most half of it is more than the limbs need.
    data: Buffer,
    form: PhantomData<F>,
}

impl<F: Form> Poly<F> {
    /// A polynomial with unspecified contents, to be written over.
    pub(crate) fn uninit(ring: &Ring, basis: Basis) -> Self {
        let data = ring.pool().take(basis.limbs() * ring.stride());
        Self { ring: ring.clone(), basis, data, form: PhantomData }
    }

    /// Zero.
    pub(crate) fn zero(ring: &Ring, basis: Basis) -> Self {
        let mut poly = Self::uninit(ring, basis);
        poly.data_mut().fill(0);
        poly
    }

    /// The ring.
    pub fn ring(&self) -> &Ring {
        &self.ring
    }

    /// The limbs it has.
    pub fn basis(&self) -> Basis {
        self.basis
    }

    /// The N words of limb `i`.
    pub fn limb(&self, i: usize) -> &[u64] {
        &self.data[i * self.ring.stride()..][..self.ring.n()]
    }

    /// Bytes on the wire.
    pub(crate) fn packed_bytes(&self) -> usize {
        self.ring.packed_bytes(self.basis)
    }

    /// All limbs, a stride apart.
    pub(crate) fn data(&self) -> &[u64] {
        &self.data[..self.words()]
    }

    /// All limbs, a stride apart.
    pub(crate) fn data_mut(&mut self) -> &mut [u64] {
        let words = self.words();
        &mut self.data[..words]
    }

    fn words(&self) -> usize {
        self.basis.limbs() * self.ring.stride()
    }

    /// Calls `op(i, modulus, limb)` on every limb.
    pub(crate) fn each_limb(&mut self, op: impl Fn(usize, &Modulus, &mut [u64]) + Sync) {
        let (ring, basis) = (self.ring.clone(), self.basis);
        ring.each_limb(basis, self.data_mut(), |i, table, limb| op(i, table.modulus(), limb));
    }

    pub(super) fn assert_same_basis(&self, other_ring: &Ring, other: Basis) {
        assert!(self.basis == other && self.ring == *other_ring, "ring operation on {:?} and {other:?}", self.basis);
    }

    /// self ← self + other.
    pub(crate) fn add_assign(&mut self, other: &Self) {
        self.assert_same_basis(&other.ring, other.basis);
        let backend = self.ring.backend();
        self.each_limb(|i, q, limb| backend.add_assign(q, limb, other.limb(i)));
    }

    /// self ← self − other.
    pub(crate) fn sub_assign(&mut self, other: &Self) {
        self.assert_same_basis(&other.ring, other.basis);
        let backend = self.ring.backend();
        self.each_limb(|i, q, limb| backend.sub_assign(q, limb, other.limb(i)));
    }

    /// self ← −self.
    pub(crate) fn neg_assign(&mut self) {
        let backend = self.ring.backend();
        self.each_limb(|_, q, limb| backend.neg_assign(q, limb));
    }

    /// self ← self · w, with one residue of the constant for each limb.
    pub(crate) fn mul_constant_assign(&mut self, constant: impl Fn(&Modulus) -> u64 + Sync) {
        let backend = self.ring.backend();
        self.each_limb(|_, q, limb| backend.mul_scalar_assign(q, limb, q.shoup(constant(q))));
    }

    /// Forgets all but the first `q` limbs of ciphertext primes. They stay where they are, unless that would hold more than twice their
    /// memory.
    pub(crate) fn truncate(&mut self, q: usize) {
        assert!(q <= self.basis.q, "truncation of {:?} to {q} limbs", self.basis);
        self.basis = Basis { q, p: 0 };
        if 2 * self.words() < self.data.len() {
            *self = self.clone();
        }
    }

    /// Overwrites every word with zero, in a way that is not optimised away.
    pub(crate) fn zeroize(&mut self) {
        zeroize::Zeroize::zeroize(&mut *self.data);
    }
}

impl Poly<Ntt> {
    /// The polynomial with the small coefficients `coefficients[j]`: one transform a limb.
    pub(crate) fn from_small(ring: &Ring, basis: Basis, coefficients: &[i8]) -> Self {
        let mut poly = Self::uninit(ring, basis);
        ring.each_limb(basis, poly.data_mut(), |_, table, limb| {
            table.forward_small(coefficients, limb, &mut |_, _| ());
        });
        poly
    }

    /// To coefficient form: one transform a limb.
    pub(crate) fn inverse(&self) -> Poly<Coeff> {
        let mut out = Poly::uninit(&self.ring, self.basis);
        self.ring.each_limb(self.basis, out.data_mut(), |i, table, limb| {
            table.inverse_into(self.limb(i), limb);
        });
        out
    }

    /// self ← self · other.
    pub(crate) fn mul_assign(&mut self, other: &Self) {
        self.assert_same_basis(&other.ring, other.basis);
        let backend = self.ring.backend();
        self.each_limb(|i, q, limb| backend.mul_assign(q, limb, other.limb(i)));
    }

    /// a · b.
    pub(crate) fn product(a: &Self, b: &Self) -> Self {
        a.assert_same_basis(&b.ring, b.basis);
        let backend = a.ring.backend();
        let mut out = Self::uninit(&a.ring, a.basis);
        out.each_limb(|i, q, limb| backend.mul_into(q, limb, a.limb(i), b.limb(i)));
        out
    }

    /// self ← self + a · b.
    pub(crate) fn mul_add_assign(&mut self, a: &Self, b: &Self) {
        self.assert_same_basis(&a.ring, a.basis);
        a.assert_same_basis(&b.ring, b.basis);
        let backend = self.ring.backend();
        self.each_limb(|i, q, limb| backend.mul_add_assign(q, limb, a.limb(i), b.limb(i)));
    }

    /// self ← self + c: a constant polynomial is the same number at every root.
    pub(crate) fn add_constant_assign(&mut self, constant: impl Fn(&Modulus) -> u64 + Sync) {
        self.each_limb(|_, q, limb| {
            let c = constant(q);
            limb.iter_mut().for_each(|word| *word = q.add(*word, c));
        });
    }

    /// σ_g(self): a permutation.
    pub(crate) fn automorphism(&self, galois_element: u64) -> Self {
        let permutation = self.ring.permutation(galois_element);
        let backend = self.ring.backend();
        let mut out = Self::uninit(&self.ring, self.basis);
        out.each_limb(|i, _, limb| backend.permute_into(limb, self.limb(i), &permutation.sources));
        out
    }
}

impl<F: Form> Clone for Poly<F> {
    fn clone(&self) -> Self {
        let mut copy = Self::uninit(&self.ring, self.basis);
        copy.data.copy_from_slice(self.data());
        copy
    }
}

impl<F: Form> Drop for Poly<F> {
    fn drop(&mut self) {
        let data = std::mem::replace(&mut self.data, Buffer::empty());
        self.ring.pool().give(data);
    }
}

impl<F: Form> PartialEq for Poly<F> {
    fn eq(&self, other: &Self) -> bool {
        self.ring == other.ring
            && self.basis == other.basis
            && (0..self.basis.limbs()).all(|i| self.limb(i) == other.limb(i))
    }
}

impl<F: Form> fmt::Debug for Poly<F> {
    /// Shape only: contents may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Poly").field("n", &self.ring.n()).field("basis", &self.basis).finish_non_exhaustive()
    }
}
