//! What kernels take beside slices of words: rows, panels, pieces, places in a stream, and the ends of transforms.

use std::ops::Range;

use super::super::modulus::{Modulus, ShoupFactor};
use super::super::ntt::Fold;

/// Hi/lo accumulators of 52-bit halves hold this many terms without overflow.
pub(crate) const MAX_LAZY_TERMS: usize = 4_095;

/// `count` rows of equal length in one buffer, row r starting at `r * stride`.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    /// The buffer.
    pub data: &'a [u64],
    /// Words between the starts of rows.
    pub stride: usize,
    /// Number of rows.
    pub count: usize,
}

impl<'a> Rows<'a> {
    /// One row.
    #[inline]
    pub(super) fn of(row: &'a [u64]) -> Self {
        Self { data: row, stride: 0, count: 1 }
    }

    /// The same rows without their first `words`.
    #[inline]
    pub(crate) fn from(&self, words: usize) -> Self {
        Self { data: self.data.get(words..).unwrap_or_default(), ..*self }
    }

    /// The first `V` vectors of row `r`.
    #[inline]
    pub(super) fn lines<const V: usize>(&self, r: usize) -> &'a [[u64; 8]; V] {
        match self.data[r * self.stride..].as_chunks().0.first_chunk() {
            Some(lines) => lines,
            None => unreachable!("row {r} is shorter than its kernel was told"),
        }
    }

    /// Panics unless every row has `len` words.
    pub(super) fn check(&self, len: usize) {
        let needed = self.count.checked_sub(1).map_or(0, |last| last * self.stride + len);
        assert!(
            needed <= self.data.len(),
            "{} rows of {len} words, {} apart, in {} words",
            self.count,
            self.stride,
            self.data.len()
        );
    }
}

/// What the transforms of a backend with vectors want of their factors.
pub(crate) struct Shape {
    /// Words of a vector.
    pub(crate) lanes: usize,
    /// The widest radix of the pass at the root, and of others between vectors.
    pub(crate) widest: [usize; 2],
    /// Which of [`factor_words`](super::Backend::factor_words) to keep of a factor inside vectors: both, or the quotient alone.
    pub(crate) lane_fields: Range<usize>,
}

/// What a forward transform begins with.
#[derive(Clone, Copy)]
pub(crate) enum Start<'a> {
    /// The words of the limb.
    Limb,
    /// The same, in the conjugate-invariant ring.
    Fold(&'a Fold),
    /// The representatives of words x < d in (−d/2, d/2].
    Centred { x: &'a [u64], d: u64 },
}

/// The last layer of an inverse transform.
#[derive(Clone, Copy)]
pub(crate) struct Root<'a> {
    /// What multiplies sums and differences: it undoes the doubling of each layer, and of the unfolding if there is one.
    pub(crate) factors: [ShoupFactor; 2],
    pub(crate) fold: Option<&'a Fold>,
}

/// What is done with a part of a limb while it is in the first- or second-level cache, given where the part begins.
pub(crate) type OnPart<'a> = &'a mut dyn FnMut(usize, &mut [u64]);

/// Plain loops that gain from vectors, for [`vectorize`](super::Backend::vectorize).
pub(crate) trait Loops {
    /// What they find.
    type Output;

    /// The loops. To be inlined always, as all that they call: only what is inlined is compiled for the vectors.
    fn run(self) -> Self::Output;
}

/// Outputs of a tile of [`gemm_into`](super::Backend::gemm_into).
pub(crate) const GEMM_OUTPUTS: usize = 6;

/// Columns of a panel of [`gemm_into`](super::Backend::gemm_into).
pub(crate) const GEMM_COLUMNS: usize = 16;

/// Rows of residues cut into panels of [`GEMM_COLUMNS`] columns: row r of panel p starts at (p · rows + r) · `GEMM_COLUMNS`.
#[derive(Clone, Copy)]
pub(crate) struct Panels<'a> {
    pub(crate) data: &'a [u64],
    pub(crate) rows: usize,
}

impl<'a> Panels<'a> {
    /// Number of panels.
    pub(super) fn count(&self) -> usize {
        self.data.len() / (self.rows * GEMM_COLUMNS)
    }

    /// The rows of each panel, as vectors of eight words.
    pub(super) fn iter(&self) -> impl Iterator<Item = &'a [[[u64; 8]; GEMM_COLUMNS / 8]]> {
        self.data.as_chunks().0.as_chunks().0.chunks_exact(self.rows)
    }
}

/// The weights of two rows.
pub(crate) type Pair = [i16; 2];

/// Largest sum of the absolute values of all weights of an output of [`short_gemm_into`](super::Backend::short_gemm_into).
pub(crate) const MAX_SHORT_SUM: u64 = 1 << 24;

/// Primes of at most so many bits are cut into three pieces instead of four where constants of 16 bits multiply their residues: in a
/// [`ScalarMatrix`](crate::ScalarMatrix).
const NARROW_BITS: u32 = 48;

/// The pieces that [`short_gemm_into`](super::Backend::short_gemm_into) cuts residues into, balanced around zero; a product takes as many multiplications.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pieces {
    /// Of 16 bits, for primes of up to [`NARROW_BITS`].
    Three,
    /// Of 13 bits.
    Four,
}

impl Pieces {
    pub(crate) const ALL: [Self; 2] = [Self::Three, Self::Four];

    /// Of residues modulo q.
    pub(crate) fn of(q: &Modulus) -> Self {
        if q.bits() <= NARROW_BITS { Self::Three } else { Self::Four }
    }

    /// Largest sum of the absolute values of the weights in a run of [`short_gemm_into`](super::Backend::short_gemm_into).
    pub(crate) fn max_run(self) -> u64 {
        let largest = match self {
            Self::Three => 1 << 15,
            Self::Four => 1 << 12,
        };
        ((1 << 31) - (1 << 16)) / largest
    }
}

/// A place in a ChaCha20 stream with a public key (Bernstein's original form, with 64-bit numbers of block and stream).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Keystream {
    pub(crate) key: [u8; 32],
    pub(crate) stream: u64,
    /// The first byte.
    pub(crate) start: u64,
}

/// A matrix of constants, `terms` a row, in the order in which [`gemm_into`](super::Backend::gemm_into) and [`short_gemm_into`](super::Backend::short_gemm_into) read it: tile by
/// tile of [`GEMM_OUTPUTS`] rows, term by term, row by row.
pub(crate) fn tiled<T: Copy>(matrix: &[T], terms: usize) -> Vec<T> {
    let tiles = matrix.chunks(GEMM_OUTPUTS * terms);
    tiles.flat_map(|tile| (0..terms).flat_map(move |t| tile.iter().skip(t).step_by(terms).copied())).collect()
}
