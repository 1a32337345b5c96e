//! Parameters: a specification that anyone can write down becomes checked, immutable [`Params`].

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::arith::{Backend, MAX_MODULUS_BITS, Modulus, RingKind, ntt_primes};
use crate::error::{Error, Result};
use crate::ring::{Basis, Factor, Ring};

use super::scale::Scale;

/// Smallest and largest log2 of a ring degree that the security table covers.
pub(crate) const LOG_N_RANGE: std::ops::RangeInclusive<u32> = 10..=17;

/// Largest log2(QP) for 128 bits of classical security with a uniform ternary secret and σ = 3.2, by log2 N (Bossuat et al.,
/// Security Guidelines for Implementing Homomorphic Encryption, 2024/463, table 5.2). `None` outside 10 to 17.
///
/// The conjugate-invariant ring of degree N is held to the row N.
pub fn max_log_qp(log_n: u32) -> Option<f64> {
    const BOUNDS: [f64; 8] = [26.0, 53.0, 106.0, 214.0, 430.0, 868.0, 1747.0, 3523.0];
    LOG_N_RANGE.contains(&log_n).then(|| BOUNDS[(log_n - LOG_N_RANGE.start()) as usize])
}

/// What to ask for. `build` turns it into [`Params`] or says what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParamsSpec {
    /// Standard or conjugate-invariant.
    pub ring: RingKind,
    /// log2 of the degree.
    pub log_n: u32,
    /// The modulus chain from the base up: sizes in bits of the primes of each step. A rescale drops the last step; the base
    /// (step 0) must leave headroom for the integer part of the outputs.
    pub chain: Vec<Vec<u32>>,
    /// Sizes in bits of the special primes.
    pub special: Vec<u32>,
    /// Number of digits of key switching at the top level, at most: digits have ⌈limbs / dnum⌉ primes.
    pub dnum: usize,
}

impl ParamsSpec {
    /// A chain of one prime a step, and the fewest digits that the special primes allow.
    pub fn new(ring: RingKind, log_n: u32, chain_bits: &[u32], special_bits: &[u32]) -> Self {
        Self {
            ring,
            log_n,
            chain: chain_bits.iter().map(|&bits| vec![bits]).collect(),
            special: special_bits.to_vec(),
            dnum: chain_bits.len().div_ceil(special_bits.len().max(1)),
        }
    }

    /// Checks everything, security included.
    ///
    /// # Errors
    /// [`Error::Insecure`] when log2(QP) is above [`max_log_qp`]; [`Error::InvalidParams`] for an impossible shape;
    /// [`Error::NotEnoughPrimes`].
    pub fn build(&self) -> Result<Params> {
        let bound = max_log_qp(self.log_n).unwrap_or(0.0);
        let insecure = |log_qp| Error::Insecure { log_n: self.log_n, log_qp, bound };
        let sizes = self.chain.iter().flatten().chain(&self.special);
        let (primes, bits) = sizes.fold((0.0, 0.0), |(primes, sum), &bits| (primes + 1.0, sum + f64::from(bits)));
        // A prime of b bits is at least 2^(b − 1): what cannot be secure gets no tables.
        if bits - primes > bound {
            return Err(insecure(bits));
        }
        let params = self.build_insecure()?;
        if params.log_qp() <= bound { Ok(params) } else { Err(insecure(params.log_qp())) }
    }

    /// Everything but security: for tests of small rings. Ciphertexts of such parameters may hide nothing.
    ///
    /// # Errors
    /// As [`Self::build`], without [`Error::Insecure`].
    pub fn build_insecure(&self) -> Result<Params> {
        let invalid = |reason: String| Error::InvalidParams { reason };
        if !(2..=17).contains(&self.log_n) {
            return Err(invalid(format!("log2 N = {} is not between 2 and 17", self.log_n)));
        }
        if self.chain.is_empty() || self.chain.iter().any(Vec::is_empty) {
            return Err(invalid("every step of the chain needs at least one prime".into()));
        }
        let sizes = self.chain.iter().flatten().chain(&self.special);
        if let Some(bits) = sizes.clone().find(|&&bits| bits > MAX_MODULUS_BITS) {
            return Err(invalid(format!("a prime of {bits} bits is above the word of {MAX_MODULUS_BITS} bits")));
        }
        if sizes.count() > MAX_LIMBS {
            return Err(invalid(format!("more than {MAX_LIMBS} primes")));
        }
        let limbs = self.chain.iter().map(Vec::len).sum();
        if self.special.is_empty() || !(1..=limbs).contains(&self.dnum) {
            return Err(invalid(format!(
                "dnum {} with {limbs} limbs and {} special primes",
                self.dnum,
                self.special.len()
            )));
        }
        let params = Params::new(self.clone(), limbs)?;
        let widest = params.widest_digit_bits();
        let special: f64 = params.ring().p().map(|p| (p.value() as f64).log2()).sum();
        if widest > special + 1.0 {
            return Err(invalid(format!(
                "a digit of {widest:.1} bits needs special primes of as many, not {special:.1}: raise dnum"
            )));
        }
        Ok(params)
    }
}

/// More limbs than any secure chain of usable primes has.
const MAX_LIMBS: usize = 256;

/// Checked parameters and the ring that belongs to them. Cheap to clone; equal when their specification is.
#[derive(Clone)]
pub struct Params(Arc<Inner>);

struct Inner {
    spec: ParamsSpec,
    ring: Ring,
    /// Limbs of a ciphertext at each level.
    limbs: Vec<usize>,
    digit_limbs: usize,
}

impl Params {
    fn new(spec: ParamsSpec, limbs: usize) -> Result<Self> {
        let order = (spec.ring.root_factor() as u64) << spec.log_n;
        let mut taken: Vec<Modulus> = Vec::new();
        for &bits in spec.chain.iter().flatten().chain(&spec.special) {
            let prime = ntt_primes(bits, 1, order, &taken)?;
            taken.extend(prime);
        }
        let (q, p) = taken.split_at(limbs);
        let ring = Ring::new(spec.ring, spec.log_n, q, p, Backend::detect()?);
        let limbs_by_level = spec.chain.iter().scan(0, |sum, step| {
            *sum += step.len();
            Some(*sum)
        });
        Ok(Self(Arc::new(Inner {
            limbs: limbs_by_level.collect(),
            digit_limbs: limbs.div_ceil(spec.dnum),
            ring,
            spec,
        })))
    }

    /// What they were built from.
    pub fn spec(&self) -> &ParamsSpec {
        &self.0.spec
    }

    /// The ring.
    pub fn ring(&self) -> &Ring {
        &self.0.ring
    }

    /// log2 of the degree.
    pub fn log_n(&self) -> u32 {
        self.0.spec.log_n
    }

    /// Slots of a plaintext: N/2 complex or N real ones.
    pub fn slots(&self) -> usize {
        self.0.ring.slots()
    }

    /// The highest level: fresh ciphertexts have it. A level counts the rescales that are left.
    pub fn max_level(&self) -> usize {
        self.0.limbs.len() - 1
    }

    /// Limbs of a ciphertext at a level.
    ///
    /// # Errors
    /// [`Error::LevelTooHigh`] above [`Self::max_level`].
    pub fn limbs(&self, level: usize) -> Result<usize> {
        self.0.limbs.get(level).copied().ok_or(Error::LevelTooHigh { level, max_level: self.max_level() })
    }

    /// The primes of step `level`, which a rescale at that level drops; none above the top.
    pub fn step(&self, level: usize) -> impl Iterator<Item = u64> + '_ {
        let start = level.checked_sub(1).and_then(|below| self.0.limbs.get(below)).copied().unwrap_or(0);
        let end = self.0.limbs.get(level).copied().unwrap_or(start);
        self.0.ring.q().skip(start).take(end - start).map(Modulus::value)
    }

    /// Scale of a value at `level` after a rescale.
    pub fn rescaled(&self, scale: Scale, level: usize) -> Scale {
        self.step(level).fold(scale, Scale::div_prime)
    }

    /// log2 of the ciphertext modulus at a level (of the whole chain, above the top).
    pub fn log_q(&self, level: usize) -> f64 {
        let limbs = self.0.limbs.get(level).or(self.0.limbs.last()).copied().unwrap_or(0);
        self.0.ring.q().take(limbs).map(log2).sum()
    }

    /// log2 of QP: what security is measured by.
    pub fn log_qp(&self) -> f64 {
        self.0.ring.q().chain(self.0.ring.p()).map(log2).sum()
    }

    /// Bytes on the wire of a polynomial of a ciphertext at a level.
    ///
    /// # Errors
    /// [`Error::LevelTooHigh`].
    pub fn packed_bytes(&self, level: usize) -> Result<usize> {
        Ok(self.ring().packed_bytes(self.basis(level)?))
    }

    /// Number of limbs of a key-switching digit.
    pub fn digit_limbs(&self) -> usize {
        self.0.digit_limbs
    }

    /// Words that an [`ExtendedPlaintext`](super::ExtendedPlaintext) takes for each limb if its slots repeat so often: of many
    /// repetitions one is kept.
    pub fn extended_words(&self, repetitions: usize) -> usize {
        self.ring().n() / if repetitions < Factor::LEAST { 1 } else { repetitions }
    }

    /// Has the system find the memory of `count` polynomials of `limbs` limbs now, for which the first operations on ciphertexts would wait
    /// otherwise. On the threads of the current rayon pool.
    pub fn reserve(&self, limbs: usize, count: usize) {
        self.ring().pool().reserve(limbs * self.ring().stride(), count);
    }

    /// Digits that a ciphertext of `limbs` limbs has in key switching.
    pub fn digits(&self, limbs: usize) -> usize {
        limbs.div_ceil(self.0.digit_limbs)
    }

    /// The limbs of a ciphertext at a level.
    pub(crate) fn basis(&self, level: usize) -> Result<Basis> {
        Ok(Basis { q: self.limbs(level)?, p: 0 })
    }

    /// The level of a polynomial with so many ciphertext limbs.
    pub(crate) fn level_of(&self, limbs: usize) -> usize {
        self.0.limbs.partition_point(|&l| l < limbs)
    }

    /// The limbs of digit `i`, among `limbs` limbs.
    pub(crate) fn digit(&self, i: usize, limbs: usize) -> Range<usize> {
        i * self.0.digit_limbs..limbs.min((i + 1) * self.0.digit_limbs)
    }

    fn widest_digit_bits(&self) -> f64 {
        let bits: Vec<f64> = self.0.ring.q().map(log2).collect();
        bits.chunks(self.0.digit_limbs).map(|digit| digit.iter().sum()).fold(0.0, f64::max)
    }
}

fn log2(q: &Modulus) -> f64 {
    (q.value() as f64).log2()
}

impl PartialEq for Params {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.spec == other.0.spec
    }
}

impl Eq for Params {}

impl fmt::Debug for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Params").field("spec", &self.0.spec).field("log_qp", &self.log_qp()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_above_the_bound_are_refused_with_both_numbers() {
        let spec = ParamsSpec::new(RingKind::Standard, 12, &[50, 40], &[50]);
        match spec.build() {
            Err(Error::Insecure { log_n: 12, log_qp, bound: 106.0 }) => assert!((139.0..141.0).contains(&log_qp)),
            other => panic!("{other:?}"),
        }
        assert!(spec.build_insecure().is_ok());
    }

    #[test]
    fn impossible_shapes_are_refused() {
        let good = ParamsSpec::new(RingKind::Standard, 10, &[40, 30], &[40]);
        assert!(good.build_insecure().is_ok());
        for spec in [
            ParamsSpec { log_n: 1, ..good.clone() },
            ParamsSpec { log_n: 18, ..good.clone() },
            ParamsSpec { chain: vec![], ..good.clone() },
            ParamsSpec { chain: vec![vec![40], vec![]], ..good.clone() },
            ParamsSpec { special: vec![], ..good.clone() },
            ParamsSpec { special: vec![51], ..good.clone() },
            ParamsSpec { special: vec![30], ..good.clone() },
            ParamsSpec { dnum: 0, ..good.clone() },
            ParamsSpec { dnum: 3, ..good.clone() },
        ] {
            assert!(matches!(spec.build_insecure(), Err(Error::InvalidParams { .. })), "{spec:?}");
        }
        let many = ParamsSpec::new(RingKind::Standard, 10, &[13; 9], &[40]);
        assert!(matches!(many.build_insecure(), Err(Error::NotEnoughPrimes { .. })));
    }

    #[test]
    fn levels_count_steps_and_limbs_count_primes() {
        let mut spec = ParamsSpec::new(RingKind::ConjugateInvariant, 13, &[50, 40], &[50]);
        spec.chain.push(vec![30, 29]);
        spec.dnum = 4;
        let params = spec.build().unwrap();
        assert_eq!((params.max_level(), params.limbs(2).unwrap(), params.limbs(1).unwrap()), (2, 4, 2));
        assert_eq!(params.step(2).map(|q| q.ilog2() + 1).collect::<Vec<_>>(), [30, 29]);
        assert_eq!(params.limbs(3), Err(Error::LevelTooHigh { level: 3, max_level: 2 }));
        assert_eq!((params.level_of(4), params.level_of(2), params.level_of(1)), (2, 1, 0));
    }
}
