//! Base conversion in RNS, and the three operations made of it: ModUp, ModDown and rescale.
//!
//! For D = Π d_r and x mod D given by its residues, y_r = x_r (D/d_r)^−1 mod d_r and v = round(Σ y_r/d_r), the number
//! Σ y_r (D/d_r) − v D is the representative of x in (−D/2, D/2], computed modulo any other prime (Halevi-Polyakov-Shoup
//! 2018/117, section 2.2). ModUp extends one digit of a polynomial to the whole basis QP; dividing by a tail of the basis
//! (special primes: ModDown; the last step: rescale; both: a merged relinearisation and rescale) subtracts that
//! representative modulo the tail and multiplies by D^−1 (Cheon et al. 2018/931; Han-Ki 2019/688).

use rayon::prelude::*;

use crate::arith::{Modulus, NttTable, Rows, ShoupFactor};

use super::context::{Basis, Ring};
use super::poly::{Ntt, Poly};
use super::pool::Buffer;

/// The primes converted from: q\[q_start..q_end\], and all special primes if `special`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Source {
    pub(crate) q_start: usize,
    pub(crate) q_end: usize,
    pub(crate) special: bool,
}

/// Constants for converting from one set of primes to every other prime of the ring.
pub(crate) struct Conversion {
    /// (D/d_r)^−1 mod d_r, in the order of the sources.
    hat_inverses: Vec<ShoupFactor>,
    /// 1/d_r.
    inverses: Vec<f64>,
    /// By index of the target among all primes; sources have none.
    targets: Vec<Option<Target>>,
}

struct Target {
    /// D/d_r modulo the target.
    hats: Vec<u64>,
    /// D modulo the target.
    product: ShoupFactor,
    /// D^−1 modulo the target.
    inverse_product: ShoupFactor,
}

impl Conversion {
    pub(crate) fn new(ring: &Ring, source: Source) -> Self {
        let tables = ring.tables();
        let special = ring.full_basis().q..tables.len();
        let mut indices: Vec<usize> = (source.q_start..source.q_end).collect();
        indices.extend(special.filter(|_| source.special));
        let primes: Vec<u64> = indices.iter().map(|&i| tables[i].modulus().value()).collect();
        let product_without = |skip: Option<usize>, q: &Modulus| {
            let kept = primes.iter().enumerate().filter(|&(r, _)| Some(r) != skip);
            kept.fold(1, |product, (_, &d)| q.mul(product, q.reduce(d)))
        };
        let hat_inverses = indices.iter().enumerate().map(|(r, &i)| {
            let d = tables[i].modulus();
            d.shoup(d.inv(product_without(Some(r), d)))
        });
        let target = |table: &NttTable| {
            let q = table.modulus();
            let product = product_without(None, q);
            Target {
                hats: (0..primes.len()).map(|r| product_without(Some(r), q)).collect(),
                product: q.shoup(product),
                inverse_product: q.shoup(q.inv(product)),
            }
        };
        Self {
            hat_inverses: hat_inverses.collect(),
            inverses: primes.iter().map(|&d| 1.0 / d as f64).collect(),
            targets: tables.iter().enumerate().map(|(i, t)| (!indices.contains(&i)).then(|| target(t))).collect(),
        }
    }

    fn target(&self, index: usize) -> &Target {
        self.targets[index].as_ref().unwrap_or_else(|| unreachable!("prime {index} is a source of its own conversion"))
    }
}

/// The digits of a polynomial, each extended to the basis QP, in NTT form: what key switching multiplies by its keys, and
/// what rotations of one ciphertext share (hoisting: Halevi-Shoup 2018/244).
pub(crate) struct Digits {
    ring: Ring,
    basis: Basis,
    count: usize,
    data: Buffer,
}

impl Digits {
    /// ModUp: splits `x` into digits of `digit_limbs` limbs and extends each to all special primes.
    ///
    /// Cost: l inverse and dnum (l + k) − l forward transforms.
    pub(crate) fn new(x: &Poly<Ntt>, digit_limbs: usize) -> Self {
        let ring = x.ring().clone();
        let l = x.basis().q;
        let basis = Basis { q: l, p: ring.full_basis().p };
        let count = l.div_ceil(digit_limbs);
        let range = |digit: usize| (digit * digit_limbs, l.min((digit + 1) * digit_limbs));
        let conversions: Vec<_> = (0..count)
            .map(range)
            .map(|(q_start, q_end)| ring.conversion(Source { q_start, q_end, special: false }))
            .collect();
        let mut y = x.clone().inverse();
        let backend = ring.backend();
        y.each_limb(|i, q, limb| {
            backend.mul_scalar_assign(q, limb, conversions[i / digit_limbs].hat_inverses[i % digit_limbs]);
        });
        let (n, stride) = (ring.n(), ring.stride());
        let rows = |digit: usize| {
            let (start, end) = range(digit);
            Rows { data: &y.data()[start * stride..], stride, count: end - start }
        };
        let mut v = ring.pool().take(count * stride);
        for (digit, v) in v.chunks_mut(stride).enumerate() {
            backend.round_quotient(&mut v[..n], rows(digit), &conversions[digit].inverses);
        }
        let mut data = ring.pool().take(count * basis.limbs() * stride);
        let extend = |(index, out): (usize, &mut [u64])| {
            let (digit, i) = (index / basis.limbs(), index % basis.limbs());
            let (start, end) = range(digit);
            if (start..end).contains(&i) {
                return out[..n].copy_from_slice(x.limb(i));
            }
            let table = ring.table(basis, i);
            let target = conversions[digit].target(ring.table_index(basis, i));
            let v = &v[digit * stride..][..n];
            backend.convert_into(table.modulus(), &mut out[..n], rows(digit), &target.hats, v, target.product);
            table.forward(&mut out[..n]);
        };
        if ring.is_parallel(count * basis.limbs()) {
            data.par_chunks_mut(stride).enumerate().for_each(extend);
        } else {
            data.chunks_mut(stride).enumerate().for_each(extend);
        }
        ring.pool().give(v);
        Self { ring, basis, count, data }
    }

    /// (Σ_i digit_i b_i, Σ_i digit_i a_i) in the basis QP, for the rows of a key of `key_digits` digits in `key_basis`: b_i and a_i
    /// modulo prime j are rows 2 (j key_digits + i) and 2 (j key_digits + i) + 1.
    pub(crate) fn dot(&self, key: &[u64], key_basis: Basis, key_digits: usize) -> (Poly<Ntt>, Poly<Ntt>) {
        let stride = self.ring.stride();
        let backend = self.ring.backend();
        let half = |h: usize| {
            let mut out = Poly::uninit(&self.ring, self.basis);
            out.each_limb(|j, q, limb| {
                let key_limb = if j < self.basis.q { j } else { key_basis.q + j - self.basis.q };
                let x = Rows { data: &self.data[j * stride..], stride: self.basis.limbs() * stride, count: self.count };
                let first = 2 * key_limb * key_digits + h;
                let y = Rows { data: &key[first * stride..], stride: 2 * stride, count: self.count };
                backend.dot_into(q, limb, x, y);
            });
            out
        };
        (half(0), half(1))
    }

    pub(crate) fn basis(&self) -> Basis {
        self.basis
    }
}

impl Drop for Digits {
    fn drop(&mut self) {
        self.ring.pool().give(std::mem::replace(&mut self.data, aligned_vec::avec![]));
    }
}

impl Poly<Ntt> {
    /// round(self / D), where D is the product of all primes beyond the first `keep`: the dropped ciphertext primes and all
    /// special ones of the basis.
    ///
    /// Cost: one inverse transform a dropped limb, one forward transform a kept limb. Error: at most 1/2 a coefficient.
    pub(crate) fn divide_round(mut self, keep: usize) -> Self {
        let ring = self.ring().clone();
        let (basis, backend) = (self.basis(), ring.backend());
        let (n, stride) = (ring.n(), ring.stride());
        let dropped = basis.limbs() - keep;
        let conversion = ring.conversion(Source { q_start: keep, q_end: basis.q, special: basis.p > 0 });
        let (kept, tail) = self.data_mut().split_at_mut(keep * stride);
        let to_sources = |(r, limb): (usize, &mut [u64])| {
            let table = ring.table(basis, keep + r);
            table.inverse(&mut limb[..n]);
            backend.mul_scalar_assign(table.modulus(), &mut limb[..n], conversion.hat_inverses[r]);
        };
        if ring.is_parallel(dropped) {
            tail.par_chunks_mut(stride).enumerate().for_each(to_sources);
        } else {
            tail.chunks_mut(stride).enumerate().for_each(to_sources);
        }
        let rows = Rows { data: tail, stride, count: dropped };
        let mut v = ring.pool().take(stride);
        backend.round_quotient(&mut v[..n], rows, &conversion.inverses);
        ring.each_limb(Basis { q: keep, p: 0 }, kept, |i, table, limb| {
            let target = conversion.target(i);
            let mut representative = ring.pool().take(stride);
            let words = &mut representative[..n];
            backend.convert_into(table.modulus(), words, rows, &target.hats, &v[..n], target.product);
            table.forward(words);
            backend.sub_mul_scalar_assign(table.modulus(), limb, words, target.inverse_product);
            ring.pool().give(representative);
        });
        ring.pool().give(v);
        self.truncate(keep);
        self
    }
}

#[cfg(test)]
mod tests {
    use num_bigint::{BigInt, Sign};

    use super::*;
    use crate::arith::{Backend, RingKind, ntt_primes};
    use crate::ring::{Coeff, Seed};

    const LOG_N: u32 = 4;

    fn rings() -> impl Iterator<Item = Ring> {
        [RingKind::Standard, RingKind::ConjugateInvariant].into_iter().map(|kind| {
            let order = (kind.root_factor() as u64) << LOG_N;
            let mut primes = ntt_primes(50, 3, order, &[]).unwrap();
            primes.extend(ntt_primes(30, 2, order, &[]).unwrap());
            primes.extend(ntt_primes(49, 2, order, &[]).unwrap());
            Ring::new(kind, LOG_N, &primes[..5], &primes[5..], Backend::detect().unwrap())
        })
    }

    /// A uniform polynomial and its coefficients in (−D/2, D/2] over all limbs.
    fn uniform(ring: &Ring, basis: Basis) -> (Poly<Ntt>, Vec<BigInt>) {
        let poly = Seed([9; 32]).expand(ring, basis, basis.limbs() as u64);
        let coefficients = integers(&poly.clone().inverse(), 0..basis.limbs());
        (poly, coefficients)
    }

    /// The centred integers behind the residues of some limbs (the textbook CRT).
    fn integers(poly: &Poly<Coeff>, limbs: std::ops::Range<usize>) -> Vec<BigInt> {
        let prime = |i: usize| BigInt::from(poly.ring().modulus(poly.basis(), i).value());
        let product: BigInt = limbs.clone().map(prime).product();
        (0..poly.ring().n())
            .map(|j| {
                let term = |i: usize| {
                    let hat = &product / prime(i);
                    &hat * hat.modpow(&(prime(i) - 2), &prime(i)) * poly.limb(i)[j]
                };
                let sum = limbs.clone().map(term).sum::<BigInt>() % &product;
                if &sum * 2 > product { sum - &product } else { sum }
            })
            .collect()
    }

    fn residue(x: &BigInt, q: &Modulus) -> u64 {
        let q = BigInt::from(q.value());
        let (sign, digits) = (((x % &q) + &q) % &q).to_u64_digits();
        assert_ne!(sign, Sign::Minus);
        digits.first().copied().unwrap_or(0)
    }

    #[test]
    fn division_rounds_to_the_nearest_integer() {
        for ring in rings() {
            for (basis, keep) in [((5, 2), 5), ((5, 2), 3), ((5, 0), 4), ((4, 0), 1), ((2, 2), 1)] {
                let basis = Basis { q: basis.0, p: basis.1 };
                let (poly, coefficients) = uniform(&ring, basis);
                let divisor: BigInt = (keep..basis.limbs()).map(|i| ring.modulus(basis, i).value()).product();
                let quotient = poly.divide_round(keep).inverse();
                for (j, x) in coefficients.iter().enumerate() {
                    // floor((2x + D) / 2D); D is odd, so there are no ties.
                    let doubled: BigInt = x * 2 + &divisor;
                    let twice: BigInt = &divisor * 2;
                    let remainder: BigInt = ((&doubled % &twice) + &twice) % &twice;
                    let rounded = (doubled - remainder) / twice;
                    for i in 0..keep {
                        let q = ring.modulus(basis, i);
                        assert_eq!(quotient.limb(i)[j], residue(&rounded, q), "{basis:?} to {keep}");
                    }
                }
            }
        }
    }

    #[test]
    fn digits_are_centred_representatives_in_every_limb() {
        for ring in rings() {
            for (limbs, digit_limbs) in [(5, 2), (5, 5), (4, 1), (3, 2)] {
                let (poly, _) = uniform(&ring, Basis { q: limbs, p: 0 });
                let digits = Digits::new(&poly, digit_limbs);
                let coefficients = poly.inverse();
                let stride = ring.stride();
                for digit in 0..digits.count {
                    let range = digit * digit_limbs..limbs.min((digit + 1) * digit_limbs);
                    let expected = integers(&coefficients, range);
                    for i in 0..digits.basis.limbs() {
                        let table = ring.table(digits.basis, i);
                        let mut limb = digits.data[(digit * digits.basis.limbs() + i) * stride..][..ring.n()].to_vec();
                        table.inverse(&mut limb);
                        let residues: Vec<u64> = expected.iter().map(|x| residue(x, table.modulus())).collect();
                        assert_eq!(limb, residues, "{limbs} limbs, digit {digit}, limb {i}");
                    }
                }
            }
        }
    }
}
