//! Base conversion in RNS, and the division by a tail of the basis that is made of it: ModDown and rescale.
//!
//! For D = Π d_r and x mod D given by its residues, y_r = x_r (D/d_r)^−1 mod d_r and v = round(Σ y_r/d_r), the number
//! Σ y_r (D/d_r) − v D is the representative of x in (−D/2, D/2], computed modulo any other prime (Halevi-Polyakov-Shoup
//! 2018/117, section 2.2). Dividing by a tail of the basis (special primes: ModDown; the last step: rescale; both: a merged
//! relinearisation and rescale) subtracts that representative modulo the tail and multiplies by D^−1 (Cheon et al. 2018/931;
//! Han-Ki 2019/688). ModUp is in `digits`.
//!
//! Conversions go from target to target, and each is transformed at once: a limb stays in the second-level cache, which several
//! targets of N = 2^15 and more would leave, and that costs more than reading the sources again for each.

use std::sync::Arc;

use crate::arith::{Modulus, NttTable, OnPart, Rows, ShoupFactor};

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
    /// (D/d_r)^−1 mod d_r, as inverse transforms take it, in the order of the sources.
    hat_inverses: Vec<[ShoupFactor; 2]>,
    /// 1/d_r.
    inverses: Vec<f64>,
    /// The only source, if there are no others: then y_0 = x_0, and nothing but centring is left to do.
    single: Option<u64>,
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
            tables[i].scaling(d.inv(product_without(Some(r), d)))
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
            single: if let [d] = primes[..] { Some(d) } else { None },
            inverses: primes.iter().map(|&d| 1.0 / d as f64).collect(),
            targets: tables.iter().enumerate().map(|(i, t)| (!indices.contains(&i)).then(|| target(t))).collect(),
        }
    }

    fn target(&self, index: usize) -> &Target {
        self.targets[index].as_ref().unwrap_or_else(|| unreachable!("prime {index} is a source of its own conversion"))
    }

    /// x_r, in NTT form, becomes y_r, in coefficient form; `fill` writes x_r part by part. `table` is that of source `r`.
    pub(super) fn to_source(&self, r: usize, table: &NttTable, limb: &mut [u64], fill: OnPart<'_>) {
        table.inverse_scaled(self.hat_inverses[r], limb, fill);
    }

    /// v of every column of `y`.
    pub(super) fn quotients(&self, ring: &Ring, y: Rows<'_>, v: &mut [u64]) {
        if self.single.is_none() {
            ring.backend().round_quotient(v, y, &self.inverses);
        }
    }

    /// The representative modulo limb `i` of `basis`, which is none of the sources, in NTT form; `done` gets it part by part.
    pub(super) fn extend(
        &self,
        ring: &Ring,
        Sources { y, v }: Sources<'_>,
        (basis, i): (Basis, usize),
        out: &mut [u64],
        done: OnPart<'_>,
    ) {
        let (table, target) = (ring.table(basis, i), self.target(ring.table_index(basis, i)));
        if let Some(d) = self.single {
            return table.forward_centred(&y.data[..out.len()], d, out, done);
        }
        ring.backend().convert_into(table.modulus(), out, y, &target.hats, v, target.product);
        table.forward_then(out, done);
    }
}

/// The y_r and v of a number.
#[derive(Clone, Copy)]
pub(super) struct Sources<'a> {
    pub(super) y: Rows<'a>,
    pub(super) v: &'a [u64],
}

/// The limbs of a number modulo D, prepared, and their v, a buffer of the pool.
pub(crate) struct Divisor<'a> {
    tail: &'a [u64],
    v: Buffer,
}

impl Divisor<'_> {
    /// Returns the buffer.
    pub(crate) fn give(self, ring: &Ring) {
        ring.pool().give(self.v);
    }
}

/// Division by D, the product of all primes of a basis beyond the first `keep`: the dropped ciphertext primes and all special ones.
pub(crate) struct Division {
    ring: Ring,
    basis: Basis,
    keep: usize,
    conversion: Arc<Conversion>,
}

impl Division {
    pub(crate) fn new(ring: &Ring, basis: Basis, keep: usize) -> Self {
        let source = Source { q_start: keep, q_end: basis.q, special: basis.p > 0 };
        Self { ring: ring.clone(), basis, keep, conversion: ring.conversion(source) }
    }

    /// Number of limbs of D.
    pub(crate) fn dropped(&self) -> usize {
        self.basis.limbs() - self.keep
    }

    /// round(x / D) of several numbers whose limbs `fill` puts where they belong: those of D into `tails`, then the others into `kept`, each divided
    /// while it is in the cache, or if `apart` once all are there.
    pub(crate) fn run<const B: usize>(
        &self,
        mut tails: [&mut [u64]; B],
        mut kept: [&mut [u64]; B],
        apart: bool,
        fill: impl Fn(usize, [&mut [u64]; B]) + Sync,
    ) {
        let (ring, keep) = (&self.ring, self.keep);
        let (n, stride) = (ring.n(), ring.stride());
        ring.each_limb_of(self.dropped(), tails.each_mut().map(|tail| (&mut **tail, stride)), |r, limbs| {
            let mut limbs = limbs.map(|limb| &mut limb[..n]);
            fill(keep + r, limbs.each_mut().map(|limb| &mut **limb));
            self.prepare(r, limbs);
        });
        let divisors = self.divisors(tails.each_ref().map(|tail| &**tail));
        ring.each_limb_of(keep, kept.each_mut().map(|limbs| (&mut **limbs, stride)), |i, limbs| {
            let mut limbs = limbs.map(|limb| &mut limb[..n]);
            fill(i, limbs.each_mut().map(|limb| &mut **limb));
            if !apart {
                self.divide(i, limbs, &divisors);
            }
        });
        if apart {
            ring.each_limb_of(keep, kept.map(|limbs| (limbs, stride)), |i, limbs| {
                self.divide(i, limbs.map(|limb| &mut limb[..n]), &divisors);
            });
        }
        divisors.into_iter().for_each(|divisor| divisor.give(ring));
    }

    /// Prepares limb `r` of D, in NTT form, of several numbers.
    fn prepare<const B: usize>(&self, r: usize, limbs: [&mut [u64]; B]) {
        let table = self.ring.table(self.basis, self.keep + r);
        self.ring.each_part(limbs, |limb| self.conversion.to_source(r, table, limb, &mut |_, _| ()));
    }

    /// The prepared limbs of several numbers with their quotients.
    fn divisors<'a, const B: usize>(&self, tails: [&'a [u64]; B]) -> [Divisor<'a>; B] {
        let (ring, n) = (&self.ring, self.ring.n());
        let mut divisors = tails.map(|tail| Divisor { tail, v: ring.pool().take(ring.stride()) });
        ring.each_part(divisors.each_mut(), |Divisor { tail, v }| {
            self.conversion.quotients(ring, self.rows(tail), &mut v[..n]);
        });
        divisors
    }

    /// round(x / D) in limb `i`, of several numbers. Error: at most 1/2 a coefficient. Cost for each: one forward transform.
    fn divide<const B: usize>(&self, i: usize, limbs: [&mut [u64]; B], divisors: &[Divisor<'_>; B]) {
        let (ring, n) = (&self.ring, self.ring.n());
        let (q, inverse) = (ring.modulus(self.basis, i), self.conversion.target(i).inverse_product);
        let mut divisors = divisors.iter();
        let parts = limbs.map(|x| divisors.next().map(|divisor| (x, divisor)));
        ring.each_part(parts, |part| {
            let Some((x, divisor)) = part else { unreachable!("as many divisors as numbers") };
            let mut buffer = ring.pool().take(ring.stride());
            let representative = &mut buffer[..n];
            let sources = Sources { y: self.rows(divisor.tail), v: &divisor.v[..n] };
            self.conversion.extend(ring, sources, (self.basis, i), representative, &mut |start, part| {
                ring.backend().sub_mul_scalar_assign(q, &mut x[start..start + part.len()], part, inverse);
            });
            ring.pool().give(buffer);
        });
    }

    fn rows<'a>(&self, tail: &'a [u64]) -> Rows<'a> {
        Rows { data: tail, stride: self.ring.stride(), count: self.dropped() }
    }
}

/// round(x / D) of polynomials in one basis, where D is the product of all primes beyond the first `keep`.
///
/// Cost for each: one inverse transform a dropped limb, one forward transform a kept limb. Error: at most 1/2 a coefficient.
pub(crate) fn divide_round_assign(polys: &mut [Poly<Ntt>], keep: usize) {
    // The two parts of a ciphertext together: factors are read once for both.
    for pair in polys.chunks_mut(2) {
        match pair {
            [a, b] => divide_together([a, b], keep),
            rest => rest.iter_mut().for_each(|a| divide_together([a], keep)),
        }
    }
}

fn divide_together<const B: usize>(mut polys: [&mut Poly<Ntt>; B], keep: usize) {
    let (ring, basis) = (polys[0].ring().clone(), polys[0].basis());
    let mut limbs = polys.each_mut().map(|poly| poly.data_mut().split_at_mut(keep * ring.stride()));
    let tails = limbs.each_mut().map(|(_, tail)| std::mem::take(tail));
    Division::new(&ring, basis, keep).run(tails, limbs.map(|(kept, _)| kept), false, |_, _| ());
    polys.into_iter().for_each(|poly| poly.truncate(keep));
}

/// [`divide_round_assign`] of one that stays.
pub(crate) fn divide_round(x: &Poly<Ntt>, keep: usize) -> Poly<Ntt> {
    let (ring, division) = (x.ring(), Division::new(x.ring(), x.basis(), keep));
    let mut tail = ring.pool().take(division.dropped() * ring.stride());
    let mut out = Poly::uninit(ring, Basis { q: keep, p: 0 });
    division.run([&mut *tail], [out.data_mut()], false, |i, [limb]| limb.copy_from_slice(x.limb(i)));
    ring.pool().give(tail);
    out
}

#[cfg(test)]
mod tests {
    use num_bigint::{BigInt, Sign};

    use super::*;
    use crate::arith::{Backend, RingKind, ntt_primes};
    use crate::ring::{Coeff, Digits, Operand, Seed};

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
        let coefficients = integers(&poly.inverse(), 0..basis.limbs());
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
                // A pair, and one alone.
                let mut quotients = [poly.clone(), poly.clone(), poly];
                divide_round_assign(&mut quotients, keep);
                let [quotient, second, third] = quotients.map(|quotient| quotient.inverse());
                assert!(quotient == second && quotient == third);
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
                let digits = Digits::new(Operand::Poly(&poly), digit_limbs).hoist();
                let coefficients = poly.clone().inverse();
                for digit in 0..digits.count() {
                    let range = digit * digit_limbs..limbs.min((digit + 1) * digit_limbs);
                    let expected = integers(&coefficients, range);
                    for i in 0..digits.basis().limbs() {
                        let table = ring.table(digits.basis(), i);
                        let mut limb = digits.extended_limb(digit, i).to_vec();
                        table.inverse(&mut limb);
                        let residues: Vec<u64> = expected.iter().map(|x| residue(x, table.modulus())).collect();
                        assert_eq!(limb, residues, "{limbs} limbs, digit {digit}, limb {i}");
                    }
                }
            }
        }
    }
}
