//! The number-theoretic transform of both rings: evaluation of a(X) at N roots of unity modulo q.
//!
//! Let c = 2 for the standard ring Z\[X\]/(X^N + 1) and c = 4 for the conjugate-invariant ring Z\[X + 1/X\] (Kim-Song
//! 2018/952), and ψ a primitive cN-th root of unity modulo q. The transform puts a(ψ^e) for e = 1 + c·bitrev(i) at position
//! i: all odd e for c = 2; the e = 1 mod 4, one from each pair of conjugates, for c = 4.
//!
//! Both are one tree of splittings X^(2n) − w² = (X^n − w)(X^n + w), which starts at X^N − ψ^N; the standard ring enters it
//! as it is (ψ^N = −1), the conjugate-invariant one after a fold: an element a_0 + Σ a_j (X^j + X^−j) of
//! Z\[X\]/(X^2N + 1), reduced modulo X^N − i with i = ψ^N a square root of −1, has coefficients b_j = a_j − i a_(N−j).
//! Butterflies: Cooley-Tukey forward, Gentleman-Sande inverse, with Shoup twiddles (Harvey, arXiv 1205.2926).

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::kernel::{Backend, Loops, OnPart, Root, Start};
use super::modulus::{Modulus, ShoupFactor};
use super::twiddles::Twiddles;

/// Which ring of integers the polynomials live in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RingKind {
    /// Z\[X\]/(X^N + 1): N/2 complex slots.
    Standard,
    /// Z\[X + 1/X\] inside Z\[X\]/(X^2N + 1): N real slots (Kim-Song 2018/952).
    ConjugateInvariant,
}

impl RingKind {
    /// Its name in reports and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::ConjugateInvariant => "conjugate-invariant",
        }
    }

    /// c such that the roots of the transform have order c N: 2 or 4.
    #[inline]
    pub fn root_factor(self) -> usize {
        match self {
            Self::Standard => 2,
            Self::ConjugateInvariant => 4,
        }
    }

    /// Slots of a ring of degree `n`: N/2 complex or N real ones.
    #[inline]
    pub fn slots(self, n: usize) -> usize {
        match self {
            Self::Standard => n / 2,
            Self::ConjugateInvariant => n,
        }
    }
}

/// The transforms of one prime.
#[derive(Debug)]
pub struct NttTable {
    modulus: Modulus,
    log_n: u32,
    kind: RingKind,
    backend: Backend,
    /// ψ.
    psi: u64,
    fold: Option<Fold>,
    /// Made by the first transform: who plans needs primes alone.
    tables: OnceLock<Tables>,
    /// Transforms so far.
    transforms: AtomicU64,
}

/// Twiddles in the order in which the butterflies read them.
#[derive(Debug)]
struct Tables {
    forward: Twiddles,
    /// Their inverses.
    inverse: Twiddles,
    /// 1/N, or 1/2N where there is a fold to undo, and that times the first inverse: the factors of the last layer.
    root: [ShoupFactor; 2],
}

/// The constants of the conjugate-invariant fold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fold {
    /// i = ψ^N, a square root of −1.
    pub(crate) i: ShoupFactor,
    /// −i.
    pub(crate) minus_i: ShoupFactor,
}

impl NttTable {
    /// Transforms of degree 2^`log_n` modulo `modulus`, which must be 1 modulo c 2^`log_n`.
    ///
    /// The root is the smallest power of a fixed search, so equal parameters give equal tables everywhere.
    pub fn new(modulus: Modulus, log_n: u32, kind: RingKind, backend: Backend) -> Self {
        assert!(log_n > 0);
        let n = 1usize << log_n;
        let c = kind.root_factor() as u64;
        let psi = primitive_root(&modulus, c << log_n);
        let fold = (kind == RingKind::ConjugateInvariant).then(|| {
            let i = modulus.pow(psi, n as u64);
            Fold { i: modulus.shoup(i), minus_i: modulus.shoup(modulus.neg(i)) }
        });
        Self { modulus, log_n, kind, backend, psi, fold, tables: OnceLock::new(), transforms: AtomicU64::new(0) }
    }

    fn tables(&self) -> &Tables {
        self.tables.get_or_init(|| {
            let Self { modulus, kind, backend, psi, .. } = self;
            let (n, c) = (self.n(), kind.root_factor() as u64);
            let doublings = if self.fold.is_some() { 2 * n } else { n };
            let scale = modulus.inv(doublings as u64 % modulus.value());
            let forward = tree(modulus, *psi, c, n);
            let inverse = tree(modulus, modulus.inv(*psi), c, n);
            let root = [scale, modulus.mul(inverse[1], scale)].map(|w| modulus.shoup(w));
            let [forward, inverse] = [forward, inverse].map(|tree| Twiddles::new(modulus, &tree, *kind, *backend));
            Tables { forward, inverse, root }
        })
    }

    /// The prime.
    #[inline]
    pub fn modulus(&self) -> &Modulus {
        &self.modulus
    }

    /// Degree N of the ring.
    #[inline]
    pub fn n(&self) -> usize {
        1 << self.log_n
    }

    /// The kernels that its tables are built for.
    #[inline]
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// Transforms so far, in both directions.
    pub fn transforms(&self) -> u64 {
        self.transforms.load(Ordering::Relaxed)
    }

    /// Coefficients to evaluations, in place; reduced in, reduced out.
    pub fn forward(&self, limb: &mut [u64]) {
        self.forward_then(limb, &mut |_, _| ());
    }

    /// The same; then `done` gets every part of the evaluations while it is in the cache, and where it begins.
    pub(crate) fn forward_then(&self, limb: &mut [u64], done: OnPart<'_>) {
        self.forward_from(self.fold.as_ref().map_or(Start::Limb, Start::Fold), limb, done);
    }

    /// The same for coefficients `x` of another prime `d`, centred.
    pub(crate) fn forward_centred(&self, x: &[u64], d: u64, limb: &mut [u64], done: OnPart<'_>) {
        if self.fold.is_some() {
            self.backend.center_into(&self.modulus, limb, x, d);
            return self.forward_then(limb, done);
        }
        self.forward_from(Start::Centred { x, d }, limb, done);
    }

    fn forward_from(&self, start: Start<'_>, limb: &mut [u64], done: OnPart<'_>) {
        assert_eq!(limb.len(), self.n());
        self.transforms.fetch_add(1, Ordering::Relaxed);
        self.backend.ntt_forward(&self.modulus, limb, &self.tables().forward, start, done);
    }

    /// Small coefficients, below q in absolute value, to evaluations; `done` as in [`Self::forward_then`].
    pub(crate) fn forward_small(&self, coefficients: &[i8], limb: &mut [u64], done: OnPart<'_>) {
        assert_eq!(coefficients.len(), limb.len());
        self.backend.vectorize(Residues { q: self.modulus.value(), coefficients, limb });
        self.forward_then(limb, done);
    }

    /// Evaluations to coefficients, in place; reduced in, reduced out.
    pub fn inverse(&self, limb: &mut [u64]) {
        self.inverse_scaled(self.tables().root, limb, &mut |_, _| ());
    }

    /// The same, from `evaluations` to `limb`.
    pub(crate) fn inverse_into(&self, evaluations: &[u64], limb: &mut [u64]) {
        assert_eq!(evaluations.len(), limb.len());
        self.inverse_scaled(self.tables().root, limb, &mut |at, part| {
            part.copy_from_slice(&evaluations[at..][..part.len()])
        });
    }

    /// What [`Self::inverse_scaled`] takes to multiply by `w`.
    pub(crate) fn scaling(&self, w: u64) -> [ShoupFactor; 2] {
        self.tables().root.map(|root| self.modulus.shoup(self.modulus.mul(root.value, w)))
    }

    /// Evaluations to coefficients times a constant. `fill` writes every part of the evaluations, given where it begins, just before they
    /// are read.
    pub(crate) fn inverse_scaled(&self, factors: [ShoupFactor; 2], limb: &mut [u64], fill: OnPart<'_>) {
        assert_eq!(limb.len(), self.n());
        self.transforms.fetch_add(1, Ordering::Relaxed);
        let root = Root { factors, fold: self.fold.as_ref() };
        self.backend.ntt_inverse(&self.modulus, limb, &self.tables().inverse, root, fill);
    }
}

/// The residues of [`NttTable::forward_small`]. They are secret: no branch.
struct Residues<'a> {
    q: u64,
    coefficients: &'a [i8],
    limb: &'a mut [u64],
}

impl Loops for Residues<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for (word, &x) in self.limb.iter_mut().zip(self.coefficients) {
            let x = i64::from(x);
            *word = (x.cast_unsigned()).wrapping_add(self.q & (x >> 63).cast_unsigned());
        }
    }
}

/// Node i of the layer of m nodes at m + i: root^(N/2m (1 + c bitrev(i))), from successive products.
fn tree(modulus: &Modulus, root: u64, c: u64, n: usize) -> Vec<u64> {
    let mut values = vec![0; n];
    for m in (0..n.ilog2()).map(|layer| 1usize << layer) {
        let mut power = modulus.pow(root, (n / (2 * m)) as u64);
        let step = modulus.shoup(modulus.pow(power, c));
        for i in 0..m {
            values[m + bit_reverse(i, m.ilog2())] = power;
            power = modulus.mul_shoup(power, step);
        }
    }
    values
}

/// A primitive root of unity of the given order (a power of two dividing q − 1): the first non-residue's power.
fn primitive_root(modulus: &Modulus, order: u64) -> u64 {
    let q = modulus.value();
    assert!((q - 1).is_multiple_of(order) && order.is_power_of_two());
    let minus_one = q - 1;
    let candidates = (2..q).map(|g| modulus.pow(g, (q - 1) / order));
    candidates.into_iter().find(|&root| modulus.pow(root, order / 2) == minus_one).unwrap_or(minus_one)
}

/// The `bits` lowest bits of `i` in reverse order.
#[inline]
pub(crate) fn bit_reverse(i: usize, bits: u32) -> usize {
    if bits == 0 { 0 } else { i.reverse_bits() >> (usize::BITS - bits) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arith::ntt_primes;

    /// a(ψ^e) straight from the definition.
    fn evaluate(kind: RingKind, modulus: &Modulus, a: &[u64], root: u64) -> u64 {
        let inv_root = modulus.inv(root);
        a.iter().enumerate().fold(0, |sum, (j, &coefficient)| {
            let mut power = modulus.pow(root, j as u64);
            if kind == RingKind::ConjugateInvariant && j > 0 {
                power = modulus.add(power, modulus.pow(inv_root, j as u64));
            }
            modulus.add(sum, modulus.mul(coefficient, power))
        })
    }

    #[test]
    fn forward_evaluates_at_the_roots_and_inverse_undoes_it() {
        for kind in [RingKind::Standard, RingKind::ConjugateInvariant] {
            for log_n in [1, 2, 4, 7] {
                let n = 1usize << log_n;
                let order = (kind.root_factor() * n) as u64;
                let modulus = ntt_primes(50, 1, order, &[]).unwrap()[0];
                let table = NttTable::new(modulus, log_n, kind, Backend::Scalar);
                let psi = primitive_root(&modulus, order);
                let coefficients: Vec<u64> =
                    (0..n as u64).map(|j| modulus.reduce(j * j * 0x9e37_79b9_7f4a + j)).collect();
                let mut limb = coefficients.clone();
                table.forward(&mut limb);
                for (i, &value) in limb.iter().enumerate() {
                    let exponent = 1 + kind.root_factor() * bit_reverse(i, log_n);
                    let root = modulus.pow(psi, exponent as u64);
                    assert_eq!(value, evaluate(kind, &modulus, &coefficients, root), "{kind:?} {log_n} {i}");
                }
                table.inverse(&mut limb);
                assert_eq!(limb, coefficients);
            }
        }
    }
}
