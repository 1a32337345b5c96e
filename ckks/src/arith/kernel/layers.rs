//! The skeleton of the vector transforms: passes of a few layers between vectors, over blocks that fit the cache.
//!
//! A butterfly is a chain of ten cycles and more, while the reorder buffer holds a few hundred instructions, half of that where two
//! threads share a core. So a step takes several sets of R vectors at once, C columns of a block or several leaves, as many as fit the
//! registers. Everything here is inlined always, so that the loops unroll and the vectors stay in registers; the arithmetic is a closure
//! of a function with the target features.

#![expect(clippy::needless_range_loop, reason = "sets of vectors advance together, and only plain loops unroll")]

use super::super::twiddles::Pass;

/// Bytes of a block that stays in the first-level cache while its factors stream by.
const CACHED: usize = 16 * 1_024;

/// log2 R layers on C sets of R vectors, from the widest to the narrowest; `butterfly` gets the half of a block that it belongs to, its
/// place in there, and both values with their factor.
#[inline(always)]
pub(super) fn layers_down<V: Copy, F: Copy, const R: usize, const C: usize>(
    v: &mut [[V; R]; C],
    w: [&[F; R]; C],
    butterfly: impl Fn(usize, usize, V, V, F) -> (V, V),
) {
    if R >= 8 {
        layer::<4, V, F, R, C>(v, w, &butterfly);
    }
    if R >= 4 {
        layer::<2, V, F, R, C>(v, w, &butterfly);
    }
    layer::<1, V, F, R, C>(v, w, &butterfly);
}

/// The same, from the narrowest to the widest, which has a butterfly of its own.
#[inline(always)]
pub(super) fn layers_up<V: Copy, F: Copy, const R: usize, const C: usize>(
    v: &mut [[V; R]; C],
    w: [&[F; R]; C],
    butterfly: impl Fn(usize, usize, V, V, F) -> (V, V),
    widest: impl Fn(usize, usize, V, V, F) -> (V, V),
) {
    if R == 2 {
        return layer::<1, V, F, R, C>(v, w, &widest);
    }
    layer::<1, V, F, R, C>(v, w, &butterfly);
    if R == 4 {
        return layer::<2, V, F, R, C>(v, w, &widest);
    }
    layer::<2, V, F, R, C>(v, w, &butterfly);
    layer::<4, V, F, R, C>(v, w, &widest);
}

/// The layer of blocks of 2 HALF vectors.
#[inline(always)]
fn layer<const HALF: usize, V: Copy, F: Copy, const R: usize, const C: usize>(
    v: &mut [[V; R]; C],
    w: [&[F; R]; C],
    butterfly: impl Fn(usize, usize, V, V, F) -> (V, V),
) {
    let nodes = R / (2 * HALF);
    for node in 0..nodes {
        for k in 0..HALF {
            let x = 2 * HALF * node + k;
            for c in 0..C {
                (v[c][x], v[c][x + HALF]) = butterfly(HALF, k, v[c][x], v[c][x + HALF], w[c][nodes + node]);
            }
        }
    }
}

/// A block cut into R rows of equal length, and that length.
#[inline(always)]
pub(super) fn rows<L, const R: usize>(block: &mut [L]) -> ([&mut [L]; R], usize) {
    let columns = block.len() / R;
    let mut rest = block.chunks_exact_mut(columns);
    let rows = [(); R].map(|()| rest.next().unwrap_or_default());
    for row in &rows {
        assert_eq!(row.len(), columns);
    }
    (rows, columns)
}

/// `step` on each run of C columns of a block of R rows.
#[inline(always)]
pub(super) fn columns<L, V: Copy, const R: usize, const C: usize>(
    block: &mut [L],
    any: V,
    load: impl Fn(&L) -> V,
    store: impl Fn(&mut L, V),
    step: impl Fn(&mut [[V; R]; C]),
) {
    let (rows, columns) = rows::<L, R>(block);
    let rows = rows.map(|row| row.as_chunks_mut::<C>().0);
    for row in &rows {
        assert_eq!(row.len(), columns / C);
    }
    for i in 0..columns / C {
        let mut v = [[any; R]; C];
        for r in 0..R {
            for c in 0..C {
                v[c][r] = load(&rows[r][i][c]);
            }
        }
        step(&mut v);
        for r in 0..R {
            for c in 0..C {
                store(&mut rows[r][i][c], v[c][r]);
            }
        }
    }
}

/// Vectors of L words in a block of the first of these passes, or in a leaf if there is none.
pub(super) fn block_lines<const L: usize>(passes: &[Pass]) -> usize {
    passes.iter().map(|pass| pass.radix).product::<usize>() * L
}

/// How many of `lines` vectors of L words, in blocks of `size`, to take through all further passes at once: a block while blocks are
/// larger than the cache, else as many as fit it.
pub(super) fn part_lines<const L: usize>(lines: usize, size: usize) -> usize {
    size.max(CACHED / (8 * L)).min(lines)
}
