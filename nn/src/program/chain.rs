//! The modulus chain as numbers: all that a program has to know of a parameter set.

use ckks::RingKind;

use super::ProgramError;

/// Ring, degree and primes. Level l holds the steps 0..=l; a rescale drops the last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    kind: RingKind,
    log_n: u32,
    steps: Vec<Vec<u64>>,
    special: Vec<u64>,
}

impl Chain {
    /// A chain of steps, each of one or more primes, with the special primes of its key switching.
    ///
    /// # Errors
    /// [`ProgramError::EmptyChain`] without steps, or for a step without primes.
    pub fn new(
        kind: RingKind,
        log_n: u32,
        steps: Vec<Vec<u64>>,
        special: Vec<u64>,
    ) -> Result<Self, ProgramError> {
        if steps.is_empty() || steps.iter().any(Vec::is_empty) {
            return Err(ProgramError::EmptyChain);
        }
        Ok(Self {
            kind,
            log_n,
            steps,
            special,
        })
    }

    /// Standard or conjugate-invariant.
    pub fn kind(&self) -> RingKind {
        self.kind
    }

    /// log2 of the ring degree.
    pub fn log_n(&self) -> u32 {
        self.log_n
    }

    /// The ring degree N.
    pub fn n(&self) -> usize {
        1 << self.log_n
    }

    /// Slots of a ciphertext.
    pub fn slots(&self) -> usize {
        self.kind.slots(self.n())
    }

    /// The level of a fresh ciphertext at full length.
    pub fn max_level(&self) -> usize {
        self.steps.len() - 1
    }

    /// Primes of the step that a rescale at `level` drops.
    pub fn step(&self, level: usize) -> &[u64] {
        &self.steps[level]
    }

    /// Number of ciphertext primes at a level.
    pub fn limbs(&self, level: usize) -> usize {
        self.steps[..=level].iter().map(Vec::len).sum()
    }

    /// Number of special primes.
    pub fn special_limbs(&self) -> usize {
        self.special.len()
    }

    /// log2 of the ciphertext modulus at a level.
    pub fn log_q(&self, level: usize) -> f64 {
        log2(self.steps[..=level].iter().flatten())
    }

    /// log2 of the special modulus.
    pub fn log_p(&self) -> f64 {
        log2(&self.special)
    }

    /// log2 of QP, which security limits.
    pub fn log_qp(&self) -> f64 {
        self.log_q(self.max_level()) + self.log_p()
    }
}

fn log2<'a>(primes: impl IntoIterator<Item = &'a u64>) -> f64 {
    primes.into_iter().map(|&prime| (prime as f64).log2()).sum()
}
