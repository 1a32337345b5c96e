//! The ring: its kind, degree, primes, tables, and what is derived from them.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use rayon::prelude::*;

use crate::arith::{Backend, Modulus, NttTable, RingKind, ShoupFactor};

use super::automorphism::Permutation;
use super::convert::{Conversion, Source};
use super::pool::{LIMB_PADDING, Pool};

/// Below this many words an operation over limbs is not worth waking another thread for.
const PARALLEL_WORDS: usize = 1 << 14;

/// R_Q for every basis over the ciphertext primes q and the special primes p. Cheap to clone; two rings are equal when
/// their parameters are, wherever they were made.
#[derive(Clone)]
pub struct Ring(Arc<Inner>);

struct Inner {
    kind: RingKind,
    log_n: u32,
    /// q first, then p.
    tables: Vec<NttTable>,
    q_limbs: usize,
    /// P modulo each q.
    special_products: Vec<ShoupFactor>,
    backend: Backend,
    pool: Pool,
    permutations: RwLock<HashMap<u64, Arc<Permutation>>>,
    conversions: RwLock<HashMap<Source, Arc<Conversion>>>,
    key_switches: AtomicU64,
    products: AtomicU64,
    rescales: AtomicU64,
    encodings: AtomicU64,
    macs: AtomicU64,
}

/// How much was computed with a ring, since it was made: what predictions of it are held against.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Work {
    /// Number-theoretic transforms of one limb, forward or inverse.
    pub limb_ntts: u64,
    /// Inner products with a key.
    pub key_switches: u64,
    /// Products with a plaintext in the basis QP.
    pub products: u64,
    /// Rescales of a ciphertext.
    pub rescales: u64,
    /// Encodings of a plaintext.
    pub encodings: u64,
    /// Multiply-accumulates of a residue by a constant, of which matrices of constants multiply by some zeros as well, which do not count.
    pub macs: u64,
}

/// The limbs of a polynomial: the first `q` ciphertext primes, then the first `p` special primes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Basis {
    /// Number of ciphertext primes.
    pub q: usize,
    /// Number of special primes.
    pub p: usize,
}

impl Basis {
    /// Number of limbs.
    pub fn limbs(&self) -> usize {
        self.q + self.p
    }
}

impl Ring {
    /// A ring of degree 2^`log_n` over the primes `q` and `p`, which must be 1 modulo its root order (see [`RingKind`]).
    pub(crate) fn new(kind: RingKind, log_n: u32, q: &[Modulus], p: &[Modulus], backend: Backend) -> Self {
        let tables = q.iter().chain(p).map(|&modulus| NttTable::new(modulus, log_n, kind, backend)).collect();
        let special = |q: &Modulus| q.shoup(p.iter().fold(1, |product, p| q.mul(product, q.reduce(p.value()))));
        Self(Arc::new(Inner {
            special_products: q.iter().map(special).collect(),
            kind,
            log_n,
            tables,
            q_limbs: q.len(),
            backend,
            pool: Pool::default(),
            permutations: RwLock::default(),
            conversions: RwLock::default(),
            key_switches: AtomicU64::new(0),
            products: AtomicU64::new(0),
            rescales: AtomicU64::new(0),
            encodings: AtomicU64::new(0),
            macs: AtomicU64::new(0),
        }))
    }

    /// What was computed so far, by all that share the ring.
    pub fn work(&self) -> Work {
        Work {
            limb_ntts: self.0.tables.iter().map(NttTable::transforms).sum(),
            key_switches: self.0.key_switches.load(Ordering::Relaxed),
            products: self.0.products.load(Ordering::Relaxed),
            rescales: self.0.rescales.load(Ordering::Relaxed),
            encodings: self.0.encodings.load(Ordering::Relaxed),
            macs: self.0.macs.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn count_key_switch(&self) {
        self.0.key_switches.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_rescale(&self) {
        self.0.rescales.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_encoding(&self) {
        self.0.encodings.fetch_add(1, Ordering::Relaxed);
    }

    /// Of so many entries of a matrix, with polynomials of so many limbs.
    pub(crate) fn count_macs(&self, entries: usize, limbs: usize) {
        self.0.macs.fetch_add((entries * limbs * self.n()) as u64, Ordering::Relaxed);
    }

    pub(crate) fn count_products(&self, products: usize) {
        self.0.products.fetch_add(products as u64, Ordering::Relaxed);
    }

    /// Standard or conjugate-invariant.
    pub fn kind(&self) -> RingKind {
        self.0.kind
    }

    /// log2 of the degree.
    pub fn log_n(&self) -> u32 {
        self.0.log_n
    }

    /// The degree N.
    pub fn n(&self) -> usize {
        1 << self.0.log_n
    }

    /// Slots of a plaintext: N/2 complex or N real ones.
    pub fn slots(&self) -> usize {
        self.0.kind.slots(self.n())
    }

    /// The ciphertext primes.
    pub fn q(&self) -> impl ExactSizeIterator<Item = &Modulus> {
        self.0.tables[..self.0.q_limbs].iter().map(NttTable::modulus)
    }

    /// The special primes.
    pub fn p(&self) -> impl ExactSizeIterator<Item = &Modulus> {
        self.0.tables[self.0.q_limbs..].iter().map(NttTable::modulus)
    }

    /// All limbs of the ring.
    pub fn full_basis(&self) -> Basis {
        Basis { q: self.0.q_limbs, p: self.0.tables.len() - self.0.q_limbs }
    }

    /// The kernels in use.
    pub fn backend(&self) -> Backend {
        self.0.backend
    }

    /// Table of limb `i` of `basis`.
    pub(crate) fn table(&self, basis: Basis, i: usize) -> &NttTable {
        &self.0.tables[self.table_index(basis, i)]
    }

    /// Index among all primes, q then p, of limb `i` of `basis`.
    pub(crate) fn table_index(&self, basis: Basis, i: usize) -> usize {
        if i < basis.q { i } else { self.0.q_limbs + i - basis.q }
    }

    /// Prime of limb `i` of `basis`.
    pub(crate) fn modulus(&self, basis: Basis, i: usize) -> &Modulus {
        self.table(basis, i).modulus()
    }

    /// The product P of all special primes modulo ciphertext prime `i`.
    pub(crate) fn special_product(&self, i: usize) -> ShoupFactor {
        self.0.special_products[i]
    }

    /// The primes of all limbs, q then p.
    pub(crate) fn tables(&self) -> &[NttTable] {
        &self.0.tables
    }

    /// Words from the start of one limb to the next.
    pub fn stride(&self) -> usize {
        self.n() + LIMB_PADDING
    }

    /// Bytes of a polynomial on the wire: each residue at the width of its prime.
    pub(crate) fn packed_bytes(&self, basis: Basis) -> usize {
        (0..basis.limbs()).map(|i| (self.modulus(basis, i).bits() as usize * self.n()).div_ceil(8)).sum()
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.0.pool
    }

    /// Calls `op(i, table, limb)` for each limb of a buffer in `basis`, on the threads of the current rayon pool where the
    /// work is large enough.
    pub(crate) fn each_limb(&self, basis: Basis, data: &mut [u64], op: impl Fn(usize, &NttTable, &mut [u64]) + Sync) {
        let n = self.n();
        let on_limb = |(i, limb): (usize, &mut [u64])| op(i, self.table(basis, i), &mut limb[..n]);
        if self.is_parallel(basis.limbs()) {
            data.par_chunks_mut(self.stride()).enumerate().for_each(on_limb);
        } else {
            data.chunks_mut(self.stride()).enumerate().for_each(on_limb);
        }
    }

    /// Calls `op` for each of so many limbs, with what belongs to it in each of the buffers, which have so many words for each limb; on
    /// the threads of the current rayon pool where the work is large enough.
    pub(crate) fn each_limb_of<const B: usize>(
        &self,
        limbs: usize,
        buffers: [(&mut [u64], usize); B],
        op: impl Fn(usize, [&mut [u64]; B]) + Sync,
    ) {
        each_half(self.is_parallel(limbs), 0..limbs, buffers, &op);
    }

    /// Calls `op` for each part of one limb, on the threads of the current rayon pool where the work is large enough.
    pub(crate) fn each_part<T: Send, const B: usize>(&self, parts: [T; B], op: impl Fn(T) + Send + Sync) {
        if self.is_parallel(B) {
            parts.into_par_iter().for_each(op);
        } else {
            parts.into_iter().for_each(op);
        }
    }

    /// Whether work on `limbs` limbs should be spread over threads.
    pub(crate) fn is_parallel(&self, limbs: usize) -> bool {
        limbs > 1 && limbs * self.n() >= PARALLEL_WORDS && rayon::current_num_threads() > 1
    }

    /// The permutation of X → X^g in the NTT domain, made on first use.
    pub(crate) fn permutation(&self, galois_element: u64) -> Arc<Permutation> {
        cached(&self.0.permutations, galois_element, || Permutation::new(self.kind(), self.log_n(), galois_element))
    }

    /// The constants for converting from `source` to all other primes, made on first use.
    pub(crate) fn conversion(&self, source: Source) -> Arc<Conversion> {
        cached(&self.0.conversions, source, || Conversion::new(self, source))
    }
}

/// Halves `limbs`, and what belongs to them, until one is left.
fn each_half<const B: usize>(
    parallel: bool,
    limbs: Range<usize>,
    buffers: [(&mut [u64], usize); B],
    op: &(impl Fn(usize, [&mut [u64]; B]) + Sync),
) {
    if limbs.len() <= 1 {
        if !limbs.is_empty() {
            op(limbs.start, buffers.map(|(buffer, _)| buffer));
        }
        return;
    }
    let first = limbs.len().div_ceil(2);
    let middle = limbs.start + first;
    let mut halves = buffers.map(|(buffer, words)| (buffer.split_at_mut(first * words), words));
    let right = halves.each_mut().map(|((_, right), words)| (std::mem::take(right), *words));
    let left = halves.map(|((left, _), words)| (left, words));
    let left = || each_half(parallel, limbs.start..middle, left, op);
    let right = || each_half(parallel, middle..limbs.end, right, op);
    if parallel {
        rayon::join(left, right);
    } else {
        left();
        right();
    }
}

/// Looks `key` up, making its value once.
fn cached<K: Copy + Eq + std::hash::Hash, V>(
    map: &RwLock<HashMap<K, Arc<V>>>,
    key: K,
    make: impl FnOnce() -> V,
) -> Arc<V> {
    if let Some(value) = map.read().unwrap_or_else(PoisonError::into_inner).get(&key) {
        return Arc::clone(value);
    }
    let value = Arc::new(make());
    Arc::clone(map.write().unwrap_or_else(PoisonError::into_inner).entry(key).or_insert(value))
}

impl PartialEq for Ring {
    fn eq(&self, other: &Self) -> bool {
        let parameters = |ring: &Self| (ring.kind(), ring.log_n(), ring.0.q_limbs);
        Arc::ptr_eq(&self.0, &other.0)
            || parameters(self) == parameters(other)
                && self.0.tables.iter().map(NttTable::modulus).eq(other.0.tables.iter().map(NttTable::modulus))
    }
}

impl Eq for Ring {}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring")
            .field("kind", &self.kind())
            .field("log_n", &self.log_n())
            .field("q", &self.q().map(Modulus::value).collect::<Vec<_>>())
            .field("p", &self.p().map(Modulus::value).collect::<Vec<_>>())
            .finish()
    }
}
