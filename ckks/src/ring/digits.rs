//! The first half of key switching: ModUp of the digits of a polynomial to the basis QP, and inner products with a key.
//!
//! A digit is a run of limbs; its representative (see `convert`) modulo every other prime is its extension. Extended digits are
//! made, transformed and multiplied by the rows of a key one limb at a time, while this is in the cache; only what several
//! keys share (hoisting: Halevi-Shoup 2018/244) is kept whole.

use smallvec::SmallVec;

use crate::arith::Rows;

use super::context::{Basis, Ring};
use super::convert::{Source, Sources};
use super::poly::{Ntt, Poly};
use super::pool::Buffer;

/// A polynomial whose limbs are had one at a time: one that exists, or products that are never stored whole.
#[derive(Clone, Copy)]
pub(crate) enum Operand<'a> {
    Poly(&'a Poly<Ntt>),
    /// a b.
    Product(&'a Poly<Ntt>, &'a Poly<Ntt>),
    /// a b + c d.
    Products([&'a Poly<Ntt>; 2], [&'a Poly<Ntt>; 2]),
}

impl<'a> Operand<'a> {
    /// (a_0 b_0, a_0 b_1 + a_1 b_0, a_1 b_1).
    pub(crate) fn tensor(a: [&'a Poly<Ntt>; 2], b: [&'a Poly<Ntt>; 2]) -> [Self; 3] {
        [Self::Product(a[0], b[0]), Self::Products([a[0], b[1]], [a[1], b[0]]), Self::Product(a[1], b[1])]
    }

    fn first(&self) -> &'a Poly<Ntt> {
        match self {
            Self::Poly(a) | Self::Product(a, _) | Self::Products([a, _], _) => a,
        }
    }

    /// Writes limb `i`.
    pub(crate) fn limb_into(&self, i: usize, out: &mut [u64]) {
        self.words_into(i, 0, out);
    }

    /// Writes the words of limb `i` from `start` on.
    fn words_into(&self, i: usize, start: usize, out: &mut [u64]) {
        let (first, words) = (self.first(), start..start + out.len());
        let (q, backend) = (first.ring().modulus(first.basis(), i), first.ring().backend());
        let words = |a: &'a Poly<Ntt>| &a.limb(i)[words.clone()];
        match self {
            Self::Poly(a) => out.copy_from_slice(words(a)),
            Self::Product(a, b) => backend.mul_into(q, out, words(a), words(b)),
            Self::Products([a, b], [c, d]) => {
                backend.mul_into(q, out, words(a), words(b));
                backend.mul_add_assign(q, out, words(c), words(d));
            }
        }
    }

    /// Limb `i`, which is written to `scratch` unless it exists.
    pub(crate) fn limb<'s>(&'s self, i: usize, scratch: &'s mut [u64]) -> &'s [u64] {
        match self {
            Self::Poly(a) => a.limb(i),
            _ => {
                self.limb_into(i, scratch);
                scratch
            }
        }
    }
}

/// The digits of a polynomial, to be extended to the basis QP, or extended already.
pub(crate) struct Digits<'a> {
    ring: Ring,
    basis: Basis,
    digit_limbs: usize,
    count: usize,
    /// The polynomial, unless the digits are extended.
    x: Option<Operand<'a>>,
    /// Extended, digit i modulo prime j of the basis, in NTT form: row j count + i. Else what that is made from: the y_r of every limb,
    /// then the v of every digit.
    rows: Buffer,
}

/// The rows of a key of `digits` digits in `basis`: b_i and a_i modulo prime j are rows 2 (j digits + i) and 2 (j digits + i) + 1.
#[derive(Clone, Copy)]
pub(crate) struct KeyRows<'a> {
    pub(crate) data: &'a [u64],
    pub(crate) basis: Basis,
    pub(crate) digits: usize,
}

/// One limb of every digit.
type DigitSlices<'a> = SmallVec<[&'a [u64]; 16]>;

impl<'a> Digits<'a> {
    /// Splits `x` into digits of `digit_limbs` limbs. Cost: one inverse transform a limb.
    pub(crate) fn new(x: Operand<'a>, digit_limbs: usize) -> Self {
        let ring = x.first().ring().clone();
        let l = x.first().basis().q;
        let basis = Basis { q: l, p: ring.full_basis().p };
        let (count, stride) = (l.div_ceil(digit_limbs), ring.stride());
        let mut sources = ring.pool().take((l + count) * stride);
        let (y, v) = sources.split_at_mut(l * stride);
        ring.each_limb_of(l, [(&mut *y, stride)], |i, [limb]| {
            let conversion = ring.conversion(source(l, digit_limbs, i / digit_limbs));
            conversion.to_source(i % digit_limbs, ring.table(basis, i), &mut limb[..ring.n()], &mut |start, part| {
                x.words_into(i, start, part);
            });
        });
        ring.each_limb_of(count, [(v, stride)], |digit, [v]| {
            let source = source(l, digit_limbs, digit);
            let rows = Rows { data: &y[source.q_start * stride..], stride, count: source.q_end - source.q_start };
            ring.conversion(source).quotients(&ring, rows, &mut v[..ring.n()]);
        });
        Self { basis, digit_limbs, count, x: Some(x), rows: sources, ring }
    }

    /// Every digit extended to the whole basis once, for any number of keys; the polynomial is no longer needed. Cost: dnum (l + k) − l
    /// forward transforms.
    pub(crate) fn hoist(mut self) -> Digits<'static> {
        let size = self.count * self.ring.stride();
        let mut rows = std::mem::replace(&mut self.rows, Buffer::empty());
        if let Some(x) = self.x {
            let sources = std::mem::replace(&mut rows, self.ring.pool().take(self.basis.limbs() * size));
            let limbs = [(&mut *rows, size)];
            self.ring.each_limb_of(self.basis.limbs(), limbs, |j, [rows]| self.extend(j, (x, &sources), rows, true));
            self.ring.pool().give(sources);
        }
        let Self { basis, digit_limbs, count, .. } = self;
        Digits { ring: self.ring.clone(), basis, digit_limbs, count, x: None, rows }
    }

    /// The extension of the only digit.
    pub(crate) fn into_poly(self) -> Poly<Ntt> {
        assert_eq!(self.count, 1, "one polynomial of {} digits", self.count);
        let Some(x) = self.x else { unreachable!("hoisted digits are for keys") };
        let mut out = Poly::uninit(&self.ring, self.basis);
        let limbs = [(out.data_mut(), self.ring.stride())];
        self.ring.each_limb_of(self.basis.limbs(), limbs, |j, [limb]| self.extend(j, (x, &self.rows), limb, true));
        out
    }

    /// The ring.
    pub(crate) fn ring(&self) -> &Ring {
        &self.ring
    }

    /// The ciphertext primes of the polynomial and all special ones.
    pub(crate) fn basis(&self) -> Basis {
        self.basis
    }

    /// Number of digits.
    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// A digit modulo limb `i` of the basis, in NTT form, when hoisted.
    #[cfg(test)]
    pub(crate) fn extended_limb(&self, digit: usize, i: usize) -> &[u64] {
        assert!(self.x.is_none(), "the digits are not extended");
        &self.rows[(i * self.count + digit) * self.ring.stride()..][..self.ring.n()]
    }

    /// Σ_i digit_i b_i and Σ_i digit_i a_i in limb `j`. Cost: unless hoisted, the forward transforms of the extended digits.
    pub(crate) fn dot(&self, j: usize, key: KeyRows<'_>, out: &mut [&mut [u64]; 2]) {
        let size = self.count * self.ring.stride();
        match self.x {
            None => self.dot_slices(j, &self.slices(&self.rows[j * size..][..size]), key, out),
            Some(operand) => {
                let mut rows = self.ring.pool().take(size);
                // A limb that exists is read where it is.
                let own = if let Operand::Poly(x) = operand { (j < self.basis.q).then(|| x.limb(j)) } else { None };
                self.extend(j, (operand, &self.rows), &mut rows, own.is_none());
                let mut x = self.slices(&rows);
                if let Some(limb) = own {
                    x[j / self.digit_limbs] = limb;
                }
                self.dot_slices(j, &x, key, out);
                drop(x);
                self.ring.pool().give(rows);
            }
        }
    }

    /// The digits of a polynomial modulo limb `j`, in NTT form, to as many rows; that which has this limb only if `own_too`.
    fn extend(&self, j: usize, (x, sources): (Operand<'_>, &[u64]), rows: &mut [u64], own_too: bool) {
        let (n, stride) = (self.ring.n(), self.ring.stride());
        self.ring.each_limb_of(self.count, [(rows, stride)], |digit, [row]| {
            let own = source(self.basis.q, self.digit_limbs, digit);
            if (own.q_start..own.q_end).contains(&j) {
                if own_too {
                    x.limb_into(j, &mut row[..n]);
                }
                return;
            }
            let y = Rows { data: &sources[own.q_start * stride..], stride, count: own.q_end - own.q_start };
            let sources = Sources { y, v: &sources[(self.basis.q + digit) * stride..][..n] };
            self.ring.conversion(own).extend(&self.ring, sources, (self.basis, j), &mut row[..n], &mut |_, _| ());
        });
    }

    fn slices<'r>(&self, rows: &'r [u64]) -> DigitSlices<'r> {
        rows.chunks(self.ring.stride()).map(|row| &row[..self.ring.n()]).collect()
    }

    fn dot_slices(&self, j: usize, x: &DigitSlices<'_>, key: KeyRows<'_>, out: &mut [&mut [u64]; 2]) {
        let (n, stride) = (self.ring.n(), self.ring.stride());
        let q = self.ring.modulus(self.basis, j);
        let key_limb = if j < self.basis.q { j } else { key.basis.q + j - self.basis.q };
        let rows = &key.data[2 * key_limb * key.digits * stride..];
        // One half after the other: long runs of few rows at a time are what memory is fastest at.
        let [b, a] = out;
        self.ring.each_part([(&mut **b, 0), (&mut **a, stride)], |(out, offset)| {
            let y: DigitSlices<'_> = rows[offset..].chunks(2 * stride).take(self.count).map(|row| &row[..n]).collect();
            self.ring.backend().dot_slices_into(q, out, x, &y);
        });
    }
}

/// The limbs of digit `digit` among `l` limbs.
fn source(l: usize, digit_limbs: usize, digit: usize) -> Source {
    Source { q_start: digit * digit_limbs, q_end: l.min((digit + 1) * digit_limbs), special: false }
}

impl Drop for Digits<'_> {
    fn drop(&mut self) {
        self.ring.pool().give(std::mem::replace(&mut self.rows, Buffer::empty()));
    }
}
