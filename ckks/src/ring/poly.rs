//! One element of R_Q, its form in its type.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;

use rayon::prelude::*;

use crate::arith::{MAX_LAZY_TERMS, Modulus};

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

/// A term of an inner product: a pair of polynomials, and what multiplies both.
pub(crate) type Term<'a> = ([&'a Poly<Ntt>; 2], &'a Factor);

/// Columns of all terms that are multiplied at a time.
const COLUMNS: usize = 512;

/// What multiplies polynomials.
///
/// Slots that repeat make an element of a subring, whose values at neighbouring roots of unity are equal, in the order in which they are
/// stored: a polynomial with T different slots is kept as T numbers a limb, or 2 T in the standard ring.
#[derive(Debug, Clone)]
pub(crate) enum Factor {
    Poly(Poly<Ntt>),
    /// Limb by limb, one value for each block of `size`.
    Blocks {
        ring: Ring,
        basis: Basis,
        size: usize,
        values: Vec<u64>,
    },
}

impl Factor {
    /// Smaller blocks are not worth it.
    pub(crate) const LEAST: usize = 64;

    pub(crate) fn new(poly: Poly<Ntt>) -> Self {
        let (n, limbs) = (poly.ring().n(), poly.basis().limbs());
        let repeats = |size: usize, limb: &[u64]| limb.chunks(size).all(|block| block.iter().all(|v| *v == block[0]));
        let mut size = n;
        for i in 0..limbs {
            while size >= Self::LEAST && !repeats(size, poly.limb(i)) {
                size /= 2;
            }
        }
        if size < Self::LEAST {
            return Self::Poly(poly);
        }
        let values = (0..limbs).flat_map(|i| poly.limb(i).iter().step_by(size).copied()).collect();
        Self::Blocks { ring: poly.ring().clone(), basis: poly.basis(), size, values }
    }

    pub(crate) fn basis(&self) -> Basis {
        match self {
            Self::Poly(poly) => poly.basis(),
            Self::Blocks { basis, .. } => *basis,
        }
    }

    fn ring(&self) -> &Ring {
        match self {
            Self::Poly(poly) => poly.ring(),
            Self::Blocks { ring, .. } => ring,
        }
    }

    /// Columns over which it is constant.
    fn size(&self) -> usize {
        match self {
            Self::Poly(_) => 1,
            Self::Blocks { size, .. } => *size,
        }
    }

    /// The value in limb `i` of all of these columns, if they have but one.
    fn value(&self, i: usize, columns: &Range<usize>) -> Option<u64> {
        match self {
            Self::Blocks { ring, size, values, .. } if columns.start / size == (columns.end - 1) / size => {
                Some(values[i * (ring.n() / size) + columns.start / size])
            }
            _ => None,
        }
    }

    /// The values in limb `i` of these columns.
    fn values(&self, i: usize, columns: Range<usize>) -> Cow<'_, [u64]> {
        match self {
            Self::Poly(poly) => Cow::Borrowed(&poly.limb(i)[columns]),
            Self::Blocks { ring, size, values, .. } => {
                let limb = &values[i * (ring.n() / size)..];
                Cow::Owned(columns.map(|column| limb[column / size]).collect())
            }
        }
    }
}

/// The columns of a sum in one limb, from `start` on: at most [`COLUMNS`].
fn inner_product(ring: &Ring, basis: Basis, (limb, start): (usize, usize), terms: &[Term<'_>], out: [&mut [u64]; 2]) {
    if let Some((terms, rest)) = terms.split_at_checked(MAX_LAZY_TERMS).filter(|(_, rest)| !rest.is_empty()) {
        let (q, [a, b], mut others) = (ring.modulus(basis, limb), out, [[0; COLUMNS]; 2]);
        let [c, d] = others.each_mut().map(|other| &mut other[..a.len()]);
        inner_product(ring, basis, (limb, start), terms, [&mut *a, &mut *b]);
        inner_product(ring, basis, (limb, start), rest, [&mut *c, &mut *d]);
        return [(a, c), (b, d)].into_iter().for_each(|(sum, other)| ring.backend().add_assign(q, sum, other));
    }
    let (q, backend, columns) = (ring.modulus(basis, limb), ring.backend(), start..start + out[0].len());
    let weights: Option<Vec<u64>> = terms.iter().map(|(_, m)| m.value(limb, &columns)).collect();
    let values: Vec<Cow<'_, [u64]>> = match weights {
        Some(_) => Vec::new(),
        None => terms.iter().map(|(_, m)| m.values(limb, columns.clone())).collect(),
    };
    let values: Vec<&[u64]> = values.iter().map(|values| &**values).collect();
    for (part, out) in out.into_iter().enumerate() {
        let factors: Vec<&[u64]> = terms.iter().map(|(parts, _)| &parts[part].limb(limb)[columns.clone()]).collect();
        match &weights {
            Some(weights) => backend.dot_scalars_into(q, out, &factors, weights),
            None => backend.dot_slices_into(q, out, &factors, &values),
        }
    }
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

    fn assert_same_basis(&self, other_ring: &Ring, other: Basis) {
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

    /// Of each sum, Σ a_i m_i and Σ b_i m_i over its terms ((a_i, b_i), m_i): limb by limb, and in a limb from block to block of columns,
    /// so that what several sums read stays in the cache; on the threads of the current rayon pool.
    pub(crate) fn inner_products(ring: &Ring, basis: Basis, sums: &[Vec<Term<'_>>]) -> Vec<[Self; 2]> {
        for &([a, b], m) in sums.iter().flatten() {
            [a, b].into_iter().for_each(|x| x.assert_same_basis(ring, basis));
            assert!(m.ring() == ring && m.basis() == basis, "a factor of another basis");
        }
        ring.count_products(sums.iter().map(Vec::len).sum());
        let stride = ring.stride();
        let mut out: Vec<[Self; 2]> =
            sums.iter().map(|_| [Self::uninit(ring, basis), Self::uninit(ring, basis)]).collect();
        let blocks = ring.n().div_ceil(COLUMNS);
        let mut work: Vec<Vec<[&mut [u64]; 2]>> =
            (0..basis.limbs() * blocks).map(|_| Vec::with_capacity(sums.len())).collect();
        for parts in &mut out {
            let [a, b] = parts.each_mut().map(|part| {
                let limbs = part.data_mut().chunks_mut(stride);
                limbs.flat_map(|limb| limb[..ring.n()].chunks_mut(COLUMNS)).collect::<Vec<_>>()
            });
            work.iter_mut().zip(a.into_iter().zip(b)).for_each(|(block, (a, b))| block.push([a, b]));
        }
        let size = sums.iter().flatten().map(|(_, m)| m.size()).min().unwrap_or(1);
        let step = if size == 1 { COLUMNS } else { size.min(COLUMNS) };
        work.into_par_iter().enumerate().for_each(|(index, mut outputs)| {
            let (limb, first) = (index / blocks, index % blocks * COLUMNS);
            for start in (0..outputs.first().map_or(0, |[a, _]| a.len())).step_by(step) {
                for (terms, outputs) in sums.iter().zip(&mut outputs) {
                    let out = outputs.each_mut().map(|out| {
                        let end = out.len().min(start + step);
                        &mut out[start..end]
                    });
                    inner_product(ring, basis, (limb, first + start), terms, out);
                }
            }
        });
        out
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
