//! The distributions: uniform modulo q from a public seed, uniform ternary, and discrete Gaussian of σ = 3.2.
//!
//! All randomness is ChaCha20. Public seeds and secrets come from two generators, so that what a seed reveals of its
//! generator says nothing about secrets. Ternary and Gaussian sampling take the same path whatever is drawn, rejections
//! aside, which do not depend on what is kept.

use std::sync::LazyLock;

use rand::rngs::SysRng;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;

use crate::arith::Modulus;
use crate::error::{Error, Result};

use super::context::{Basis, Ring};
use super::poly::{Ntt, Poly};

/// Standard deviation of the errors.
pub(crate) const SIGMA: f64 = 3.2;

/// 32 public bytes from which uniform polynomials are expanded; never used for secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Seed(pub [u8; 32]);

impl Seed {
    /// Fills `limb` with uniform residues modulo `q` from the ChaCha20 stream `stream` of this seed.
    ///
    /// A candidate is the low `q.bits()` bits of seven bytes, little-endian; candidates of q or more are skipped.
    pub(crate) fn expand_limb(&self, stream: u64, q: &Modulus, limb: &mut [u64]) {
        const CANDIDATE: usize = 7;
        const BLOCK: usize = 512;
        let mut rng = ChaCha20Rng::from_seed(self.0);
        rng.set_stream(stream);
        let mask = (1u64 << q.bits()) - 1;
        // One byte more, so that every candidate can be read as eight.
        let mut bytes = [0; BLOCK * CANDIDATE + 1];
        let mut candidates = [0; BLOCK];
        let mut filled = 0;
        while filled < limb.len() {
            rng.fill_bytes(&mut bytes[..BLOCK * CANDIDATE]);
            for (i, candidate) in candidates.iter_mut().enumerate() {
                let mut word = [0; 8];
                word.copy_from_slice(&bytes[i * CANDIDATE..][..8]);
                *candidate = u64::from_le_bytes(word) & mask;
            }
            let rest = &mut limb[filled..];
            // Primes lie just below a power of two: as good as always, nothing is skipped.
            if candidates.iter().all(|&candidate| candidate < q.value()) {
                let count = rest.len().min(BLOCK);
                rest[..count].copy_from_slice(&candidates[..count]);
                filled += count;
            } else {
                let accepted = candidates.iter().filter(|&&candidate| candidate < q.value());
                filled += rest.iter_mut().zip(accepted).map(|(word, &candidate)| *word = candidate).count();
            }
        }
    }

    /// The uniform polynomial number `object` of this seed; limb i is stream 2^16 object + i, so that a polynomial of fewer
    /// limbs is a prefix of one of more.
    pub(crate) fn expand(&self, ring: &Ring, basis: Basis, object: u64) -> Poly<Ntt> {
        let mut poly = Poly::uninit(ring, basis);
        poly.each_limb(|i, q, limb| self.expand_limb(object << 16 | i as u64, q, limb));
        poly
    }
}

/// Where secrets, errors and seeds come from.
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
pub(crate) fn fill_ternary(rng: &mut ChaCha20Rng, out: &mut [i64]) {
    let mut filled = 0;
    while filled < out.len() {
        let mut bits = rng.next_u64();
        for _ in 0..32 {
            if filled < out.len() {
                out[filled] = (bits & 3) as i64 - 1;
                filled += usize::from(bits & 3 != 3);
            }
            bits >>= 2;
        }
    }
}

/// Thresholds t_k = round(2^63 Pr[|X| ≥ k]) for k = 1, 2, … while they are not zero.
static GAUSSIAN_TAILS: LazyLock<Vec<u64>> = LazyLock::new(|| {
    let weight = |x: i32| (-f64::from(x * x) / (2.0 * SIGMA * SIGMA)).exp();
    // Far terms first, so that small tails keep their relative precision.
    let mut tails: Vec<f64> = (1..64)
        .rev()
        .scan(0.0, |sum, k| {
            *sum += 2.0 * weight(k);
            Some(*sum)
        })
        .collect();
    tails.reverse();
    let total = weight(0) + tails[0];
    tails.iter().map(|tail| (tail / total * (1u64 << 63) as f64).round() as u64).take_while(|&t| t > 0).collect()
});

/// Discrete Gaussian of σ = 3.2: inversion of the cumulative table by comparing with every entry.
pub(crate) fn fill_gaussian(rng: &mut ChaCha20Rng, out: &mut [i64]) {
    let tails = GAUSSIAN_TAILS.as_slice();
    for value in out {
        let word = rng.next_u64();
        let magnitude: i64 = tails.iter().map(|&tail| i64::from(word >> 1 < tail)).sum();
        let sign = -((word & 1) as i64);
        *value = (magnitude ^ sign) - sign;
    }
}

#[cfg(test)]
mod tests {
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
        fill_gaussian(Entropy::insecure_from_seed(2).secrets(), &mut values);
        let n = values.len() as f64;
        let mean = values.iter().sum::<i64>() as f64 / n;
        let deviation = (values.iter().map(|&v| (v * v) as f64).sum::<f64>() / n).sqrt();
        assert!(mean.abs() < 5.0 * SIGMA / n.sqrt(), "{mean}");
        assert!((deviation - SIGMA).abs() < 0.03, "{deviation}");
        assert!(values.iter().any(|&v| v.abs() > 11) && values.iter().all(|&v| v.abs() < 32));
    }

    #[test]
    fn expansion_is_uniform_and_a_prefix_of_a_longer_one() {
        let q = crate::arith::ntt_primes(40, 1, 1 << 10, &[]).unwrap()[0];
        let mut long = vec![0; 4096];
        Seed([7; 32]).expand_limb(3, &q, &mut long);
        let mut short = vec![0; 100];
        Seed([7; 32]).expand_limb(3, &q, &mut short);
        assert_eq!(short, long[..100]);
        assert!(long.iter().all(|&x| x < q.value()));
        let mean = long.iter().map(|&x| x as f64).sum::<f64>() / 4096.0 / q.value() as f64;
        assert!((mean - 0.5).abs() < 0.025, "{mean}");
        let mut other = vec![0; 100];
        Seed([7; 32]).expand_limb(4, &q, &mut other);
        assert_ne!(short, other);
    }
}
