//! The distributions: uniform modulo q from a public seed, uniform ternary, and discrete Gaussian of σ = 3.2.
//!
//! All randomness is ChaCha20. Public seeds and secrets come from two generators, so that what a seed reveals of its
//! generator says nothing about secrets. Ternary and Gaussian sampling take the same path whatever is drawn, rejections
//! aside, which do not depend on what is kept (`docs/security.md`).
//!
//! # Uniform polynomials, byte by byte
//!
//! Limb i of polynomial k of a seed is stream 2^16 k + i of ChaCha20 (Bernstein's original form: the seed is the key, words 12
//! and 13 of the state count blocks of 64 bytes from 0, words 14 and 15 are the number of the stream, all little-endian). For a
//! prime q of b bits, 2^(b−1) < q < 2^b, residue j (in NTT form, in the order of [`NttTable::forward`](crate::NttTable::forward)) is the
//! low b bits of the ⌈b/8⌉ bytes from byte j ⌈b/8⌉ of the stream on, little-endian. Where that is q or more, it is those of the bytes 2^40
//! further on, and so again until it is below q. So any part of a limb can be drawn by itself.

use chacha20::ChaCha20Rng;
use rand::rngs::SysRng;
use rand::{Rng, SeedableRng};
use zeroize::Zeroizing;

use crate::arith::{Backend, Keystream, Loops, Modulus};
use crate::error::{Error, Result};

use super::context::{Basis, Ring};
use super::poly::{Ntt, Poly};

/// Bytes between a candidate and the one that takes its place.
const AGAIN: u64 = 1 << 40;

/// Standard deviation of the errors.
pub(crate) const SIGMA: f64 = 3.2;

/// 32 public bytes from which uniform polynomials are expanded; never used for secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Seed(pub [u8; 32]);

impl Seed {
    /// Fills `out` with the uniform residues modulo `q` from number `first` on, drawn from the ChaCha20 stream `stream` of this seed.
    pub(crate) fn expand_into(&self, (backend, q): (Backend, &Modulus), stream: u64, first: usize, out: &mut [u64]) {
        let width = q.bits().div_ceil(8) as usize;
        let from = |first: usize| Keystream { key: self.0, stream, start: (first * width) as u64 };
        // Primes lie just below a power of two: as good as always, all candidates are residues.
        if backend.candidates_into(q, &from(first), out) {
            return;
        }
        let mut others = [0; BLOCK];
        for (i, out) in out.chunks_mut(BLOCK).enumerate() {
            let (mut from, others) = (from(first + i * BLOCK), &mut others[..out.len()]);
            while out.iter().any(|&candidate| candidate >= q.value()) {
                from.start += AGAIN;
                backend.candidates_into(q, &from, others);
                let rejected = out.iter_mut().zip(&*others).filter(|(candidate, _)| **candidate >= q.value());
                rejected.for_each(|(candidate, &other)| *candidate = other);
            }
        }
    }

    /// The uniform polynomial number `object` of this seed; one of fewer limbs is a prefix of one of more.
    pub(crate) fn expand(&self, ring: &Ring, basis: Basis, object: u64) -> Poly<Ntt> {
        let mut poly = Poly::uninit(ring, basis);
        poly.each_limb(|i, q, limb| self.expand_into((ring.backend(), q), stream(object, i), 0, limb));
        poly
    }
}

/// The stream of limb `limb` of the uniform polynomial number `object`.
pub(crate) fn stream(object: u64, limb: usize) -> u64 {
    object << 16 | limb as u64
}

/// Where secrets, errors and seeds come from. The states of both generators are zeroised on drop: hence those of `chacha20`, where `rand_chacha`
/// expands what is public.
pub struct Entropy {
    secrets: ChaCha20Rng,
    seeds: ChaCha20Rng,
}

impl Entropy {
    /// Two generators keyed by the operating system.
    ///
    /// # Errors
    /// [`Error::NoEntropy`] when the system has none to give.
    pub fn from_os() -> Result<Self> {
        let generator =
            || ChaCha20Rng::try_from_rng(&mut SysRng).map_err(|error| Error::NoEntropy { reason: error.to_string() });
        Ok(Self { secrets: generator()?, seeds: generator()? })
    }

    /// Reproducible, hence worthless as a secret: for tests.
    pub fn insecure_from_seed(seed: u64) -> Self {
        Self { secrets: ChaCha20Rng::seed_from_u64(seed), seeds: ChaCha20Rng::seed_from_u64(!seed) }
    }

    /// The generator of secrets and errors.
    pub(crate) fn secrets(&mut self) -> &mut ChaCha20Rng {
        &mut self.secrets
    }

    /// A fresh public seed.
    pub(crate) fn seed(&mut self) -> Seed {
        Seed(self.public_bytes())
    }

    /// Random bytes that may be published.
    pub fn public_bytes<const LEN: usize>(&mut self) -> [u8; LEN] {
        let mut bytes = [0; LEN];
        self.seeds.fill_bytes(&mut bytes);
        bytes
    }

    /// An independent source for another thread.
    pub fn fork(&mut self) -> Self {
        Self { secrets: ChaCha20Rng::from_rng(&mut self.secrets), seeds: ChaCha20Rng::from_rng(&mut self.seeds) }
    }
}

impl std::fmt::Debug for Entropy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Entropy")
    }
}

/// Uniform on {−1, 0, 1}: pairs of bits, 3 skipped.
pub(crate) fn fill_ternary(rng: &mut ChaCha20Rng, out: &mut [i8]) {
    let mut filled = 0;
    while filled < out.len() {
        let mut bits = rng.next_u64();
        for _ in 0..32 {
            if filled < out.len() {
                out[filled] = (bits & 3) as i8 - 1;
                filled += usize::from(bits & 3 != 3);
            }
            bits >>= 2;
        }
    }
}

/// round(2^63 Pr[|X| ≥ k]) for k = 1, 2, … while it is not zero, X of weights exp(−x²/2σ²) on the integers. Rounding and the cut
/// tail are 2^−60.7 of statistical distance a sample.
#[rustfmt::skip]
const GAUSSIAN_TAILS: [u64; 29] = [
    8_073_499_201_425_509_800, 5_883_348_370_701_942_930, 3_991_629_182_630_250_053, 2_509_699_002_363_457_274,
    1_456_798_710_654_579_249, 778_321_634_312_219_174, 381_795_751_200_163_125, 171_613_357_976_589_712,
    70_569_585_085_359_829, 26_512_962_087_029_103, 9_090_830_680_771_688, 2_842_272_832_067_367,
    809_697_108_902_602, 210_041_220_178_844, 49_588_937_064_720, 10_650_534_664_075,
    2_080_180_164_796, 369_346_163_117, 59_600_389_513, 8_738_635_276,
    1_163_930_510, 140_805_938, 15_468_807, 1_543_030,
    139_740, 11_488, 857, 58,
    4,
];

/// No error is larger.
pub(crate) const MAX_ERROR: f64 = GAUSSIAN_TAILS.len() as f64;

/// Discrete Gaussian of σ = 3.2: a word is a sign and 63 bits, whose magnitude is the number of tails that they are below
/// (inversion; Peikert 2010/088, section 4.1, with every entry of the table compared).
pub(crate) fn fill_gaussian(backend: Backend, rng: &mut ChaCha20Rng, out: &mut [i8]) {
    let mut bytes = Zeroizing::new([0; BLOCK * size_of::<u64>()]);
    for out in out.chunks_mut(BLOCK) {
        rng.fill_bytes(&mut bytes[..out.len() * size_of::<u64>()]);
        backend.vectorize(Gaussian { words: bytes.as_chunks().0, out });
    }
}

/// Samples from so many words, little-endian, or more.
struct Gaussian<'a> {
    words: &'a [[u8; size_of::<u64>()]],
    out: &'a mut [i8],
}

impl Loops for Gaussian<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for (out, bytes) in self.out.chunks_mut(LANES).zip(self.words.as_chunks::<LANES>().0) {
            let (mut words, mut magnitudes) = ([0; LANES], [0; LANES]);
            words.iter_mut().zip(bytes).for_each(|(word, &bytes)| *word = u64::from_le_bytes(bytes));
            for tail in GAUSSIAN_TAILS {
                for (magnitude, word) in magnitudes.iter_mut().zip(words) {
                    // Both below 2^63: the difference is negative if the word is below.
                    *magnitude += (word >> 1).wrapping_sub(tail) >> 63;
                }
            }
            for ((out, magnitude), word) in out.iter_mut().zip(magnitudes).zip(words) {
                let sign = -((word & 1) as i8);
                *out = (magnitude as i8 ^ sign) - sign;
            }
        }
    }
}

/// Words drawn at a time.
const BLOCK: usize = 512;

/// Samples compared side by side.
const LANES: usize = 8;

#[cfg(test)]
mod tests {
    use num_bigint::BigUint;

    use super::*;

    #[test]
    fn ternary_is_balanced() {
        let mut values = vec![0; 90_000];
        fill_ternary(Entropy::insecure_from_seed(1).secrets(), &mut values);
        for wanted in -1..=1 {
            let count = values.iter().filter(|&&v| v == wanted).count() as f64;
            assert!((count - 30_000.0).abs() < 5.0 * 141.5, "{wanted}: {count}");
        }
    }

    #[test]
    fn gaussian_has_its_mean_and_deviation() {
        let mut values = vec![0; 200_000];
        fill_gaussian(Backend::Scalar, Entropy::insecure_from_seed(2).secrets(), &mut values);
        for backend in Backend::available() {
            let mut same = vec![0; values.len()];
            fill_gaussian(backend, Entropy::insecure_from_seed(2).secrets(), &mut same);
            assert_eq!(same, values, "{}", backend.name());
        }
        let n = values.len() as f64;
        let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
        let deviation = (values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / n).sqrt();
        assert!(mean.abs() < 5.0 * SIGMA / n.sqrt(), "{mean}");
        assert!((deviation - SIGMA).abs() < 0.03, "{deviation}");
        assert!(values.iter().any(|&v| v.abs() > 11) && values.iter().all(|&v| f64::from(v).abs() <= MAX_ERROR));
        let ones = values.iter().filter(|&&v| v.abs() == 1).count() as f64 / n;
        let expected = (GAUSSIAN_TAILS[0] - GAUSSIAN_TAILS[1]) as f64 / (1u64 << 63) as f64;
        assert!((ones - expected).abs() < 5.0 * (expected / n).sqrt(), "{ones} {expected}");
    }

    /// exp(−k²/2σ²) = r^(k²) for r = exp(−25/512), in fixed point of 400 bits.
    #[test]
    fn the_tails_are_those_of_the_distribution() {
        let one: BigUint = BigUint::from(1u8) << 400;
        let (mut even, mut odd, mut term) = (BigUint::ZERO, BigUint::ZERO, one.clone());
        for i in 1..100u32 {
            if i % 2 == 1 {
                even += &term
            } else {
                odd += &term
            }
            term = term * 25u8 / (512 * i);
        }
        let r = even - odd;
        let power = |e: u32| (0..e).fold(one.clone(), |power, _| (power * &r) >> 400);
        let weights: Vec<BigUint> = (0..64).map(|k| power(k * k)).collect();
        let tail = |k: usize| weights[k..].iter().sum::<BigUint>() * 2u8;
        let total = &weights[0] + tail(1);
        for k in 1..=GAUSSIAN_TAILS.len() + 1 {
            let rounded = ((tail(k) << 64) / &total + 1u8) >> 1;
            assert_eq!(rounded, GAUSSIAN_TAILS.get(k - 1).copied().unwrap_or(0).into(), "{k}");
        }
    }

    #[test]
    fn any_part_of_an_expansion_is_as_specified() {
        const LEN: usize = 700;
        // Of the last, just above a power of two, nearly half of all candidates are rejected.
        let least = (1 << 40..).find(|&p| crate::arith::is_prime(p)).unwrap();
        let primes = [50, 48, 40, 30, 17, 16].map(|bits| crate::arith::ntt_primes(bits, 1, 1 << 10, &[]).unwrap()[0]);
        for q in primes.into_iter().chain([Modulus::new(least).unwrap(), Modulus::new(3).unwrap()]) {
            let (seed, stream, width) = (Seed([7; 32]), 3 << 40 | 5, q.bits().div_ceil(8) as usize);
            let residue = |j: usize| {
                let candidate = |attempt: u64| {
                    let start = attempt << 40 | (j * width) as u64;
                    let mut rng = ChaCha20Rng::from_seed(seed.0);
                    rng.set_stream(stream);
                    rng.set_word_pos(u128::from(start / 64 * 16));
                    let mut bytes = [0; 128];
                    rng.fill_bytes(&mut bytes);
                    let bytes = bytes.into_iter().skip((start % 64) as usize).take(width);
                    bytes.rev().fold(0, |word, byte| word << 8 | u64::from(byte)) & ((1 << q.bits()) - 1)
                };
                (0..).map(candidate).find(|&candidate| candidate < q.value()).unwrap()
            };
            let expected: Vec<u64> = (0..LEN).map(residue).collect();
            for backend in Backend::available() {
                for range in [0..LEN, 0..512, 1..2, 3..12, 128..256, 500..699] {
                    let mut part = vec![1; range.len()];
                    seed.expand_into((backend, &q), stream, range.start, &mut part);
                    assert_eq!(part, expected[range.clone()], "{} {q:?} {range:?}", backend.name());
                }
            }
        }
    }

    #[test]
    fn expansion_is_uniform() {
        let q = crate::arith::ntt_primes(40, 1, 1 << 10, &[]).unwrap()[0];
        let expand = |stream: u64| {
            let mut residues = vec![0; 4096];
            Seed([7; 32]).expand_into((Backend::Scalar, &q), stream, 0, &mut residues);
            residues
        };
        let residues = expand(3);
        assert!(residues.iter().all(|&x| x < q.value()));
        let mean = residues.iter().map(|&x| x as f64).sum::<f64>() / 4096.0 / q.value() as f64;
        assert!((mean - 0.5).abs() < 0.025, "{mean}");
        assert_ne!(expand(4), residues);
    }
}
