//! Sums of products in NTT form, Σ a_i m_i, block by block of columns, so that what several sums read stays in the cache.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use rayon::prelude::*;
use smallvec::SmallVec;

use crate::arith::MAX_LAZY_TERMS;

use super::context::{Basis, Ring};
use super::poly::{Ntt, Poly};

/// A term of an inner product: a pair of polynomials, and what multiplies both.
pub(crate) type Term<'a> = ([&'a Poly<Ntt>; 2], &'a Factor);

/// One for each term, without an allocation for those of most sums.
type Few<T> = SmallVec<[T; 32]>;

/// Columns of all terms that are multiplied at a time.
const COLUMNS: usize = 512;

/// What multiplies polynomials.
///
/// Slots that repeat make an element of a subring, whose values at neighbouring roots of unity are equal, in the order in which they are
/// stored: a polynomial with T different slots is kept as T numbers a limb, or 2 T in the standard ring.
#[derive(Clone)]
pub(crate) enum Factor {
    Poly(Poly<Ntt>),
    /// Limb by limb, one value for each block of 2^`log_size`.
    Blocks {
        ring: Ring,
        basis: Basis,
        log_size: u32,
        values: Vec<u64>,
    },
}

impl Factor {
    /// Smaller blocks are not worth it.
    pub(crate) const LEAST: usize = 64;

    pub(crate) fn new(poly: Poly<Ntt>) -> Self {
        let (n, limbs) = (poly.ring().n(), poly.basis().limbs());
        let repeats = |size: usize, limb: &[u64]| limb.chunks(size).all(|block| block.iter().all(|v| *v == block[0]));
        let mut size = n;
        for i in 0..limbs {
            while size >= Self::LEAST && !repeats(size, poly.limb(i)) {
                size /= 2;
            }
        }
        if size < Self::LEAST {
            return Self::Poly(poly);
        }
        let values = (0..limbs).flat_map(|i| poly.limb(i).iter().step_by(size).copied()).collect();
        Self::Blocks { ring: poly.ring().clone(), basis: poly.basis(), log_size: size.ilog2(), values }
    }

    pub(crate) fn basis(&self) -> Basis {
        match self {
            Self::Poly(poly) => poly.basis(),
            Self::Blocks { basis, .. } => *basis,
        }
    }

    fn ring(&self) -> &Ring {
        match self {
            Self::Poly(poly) => poly.ring(),
            Self::Blocks { ring, .. } => ring,
        }
    }

    /// Columns over which it is constant.
    fn size(&self) -> usize {
        match self {
            Self::Poly(_) => 1,
            Self::Blocks { log_size, .. } => 1 << log_size,
        }
    }

    /// The value in limb `i` of all of these columns, if they have but one.
    #[inline]
    fn value(&self, i: usize, columns: &Range<usize>) -> Option<u64> {
        match self {
            Self::Blocks { ring, log_size, values, .. }
                if columns.start >> log_size == (columns.end - 1) >> log_size =>
            {
                Some(values[(i * ring.n() + columns.start) >> log_size])
            }
            _ => None,
        }
    }

    /// The values in limb `i` of these columns.
    fn values(&self, i: usize, columns: Range<usize>) -> Cow<'_, [u64]> {
        match self {
            Self::Poly(poly) => Cow::Borrowed(&poly.limb(i)[columns]),
            Self::Blocks { ring, log_size, values, .. } => {
                let limb = &values[(i * ring.n()) >> log_size..];
                Cow::Owned(columns.map(|column| limb[column >> log_size]).collect())
            }
        }
    }
}

impl fmt::Debug for Factor {
    /// Shape only: contents may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Factor").field("basis", &self.basis()).field("size", &self.size()).finish_non_exhaustive()
    }
}

/// The columns of a sum in one limb, from `start` on: at most [`COLUMNS`].
fn inner_product(ring: &Ring, basis: Basis, (limb, start): (usize, usize), terms: &[Term<'_>], out: [&mut [u64]; 2]) {
    if let Some((terms, rest)) = terms.split_at_checked(MAX_LAZY_TERMS).filter(|(_, rest)| !rest.is_empty()) {
        let (q, [a, b], mut others) = (ring.modulus(basis, limb), out, [[0; COLUMNS]; 2]);
        let [c, d] = others.each_mut().map(|other| &mut other[..a.len()]);
        inner_product(ring, basis, (limb, start), terms, [&mut *a, &mut *b]);
        inner_product(ring, basis, (limb, start), rest, [&mut *c, &mut *d]);
        return [(a, c), (b, d)].into_iter().for_each(|(sum, other)| ring.backend().add_assign(q, sum, other));
    }
    let (q, backend, columns) = (ring.modulus(basis, limb), ring.backend(), start..start + out[0].len());
    let weights: Option<Few<u64>> = terms.iter().map(|(_, m)| m.value(limb, &columns)).collect();
    let values: Few<Cow<'_, [u64]>> = match weights {
        Some(_) => Few::new(),
        None => terms.iter().map(|(_, m)| m.values(limb, columns.clone())).collect(),
    };
    let values: Few<&[u64]> = values.iter().map(|values| &**values).collect();
    for (part, out) in out.into_iter().enumerate() {
        let factors: Few<&[u64]> = terms.iter().map(|(parts, _)| &parts[part].limb(limb)[columns.clone()]).collect();
        match &weights {
            Some(weights) => backend.dot_scalars_into(q, out, &factors, weights),
            None => backend.dot_slices_into(q, out, &factors, &values),
        }
    }
}

impl Poly<Ntt> {
    /// Of each sum, Σ a_i m_i and Σ b_i m_i over its terms ((a_i, b_i), m_i): limb by limb, and in a limb from block to block of columns,
    /// so that what several sums read stays in the cache; on the threads of the current rayon pool.
    pub(crate) fn inner_products(ring: &Ring, basis: Basis, sums: &[Vec<Term<'_>>]) -> Vec<[Self; 2]> {
        for &([a, b], m) in sums.iter().flatten() {
            [a, b].into_iter().for_each(|x| x.assert_same_basis(ring, basis));
            assert!(m.ring() == ring && m.basis() == basis, "a factor of another basis");
        }
        ring.count_products(sums.iter().map(Vec::len).sum());
        let stride = ring.stride();
        let mut out: Vec<[Self; 2]> =
            sums.iter().map(|_| [Self::uninit(ring, basis), Self::uninit(ring, basis)]).collect();
        let blocks = ring.n().div_ceil(COLUMNS);
        let mut work: Vec<Vec<[&mut [u64]; 2]>> =
            (0..basis.limbs() * blocks).map(|_| Vec::with_capacity(sums.len())).collect();
        for parts in &mut out {
            let [a, b] = parts.each_mut().map(|part| {
                let limbs = part.data_mut().chunks_mut(stride);
                limbs.flat_map(|limb| limb[..ring.n()].chunks_mut(COLUMNS)).collect::<Vec<_>>()
            });
            work.iter_mut().zip(a.into_iter().zip(b)).for_each(|(block, (a, b))| block.push([a, b]));
        }
        let size = sums.iter().flatten().map(|(_, m)| m.size()).min().unwrap_or(1);
        let step = if size == 1 { COLUMNS } else { size.min(COLUMNS) };
        work.into_par_iter().enumerate().for_each(|(index, mut outputs)| {
            let (limb, first) = (index / blocks, index % blocks * COLUMNS);
            for start in (0..outputs.first().map_or(0, |[a, _]| a.len())).step_by(step) {
                for (terms, outputs) in sums.iter().zip(&mut outputs) {
                    let out = outputs.each_mut().map(|out| {
                        let end = out.len().min(start + step);
                        &mut out[start..end]
                    });
                    inner_product(ring, basis, (limb, first + start), terms, out);
                }
            }
        });
        out
    }
}
