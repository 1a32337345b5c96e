//! The transforms on doubles: words are converted on the way in and out, and kept as doubles, of either sign, between passes.
//!
//! Passes have radix 2 or 4, with eight vectors in flight; a leaf is 16 words: two layers between its four vectors, a transposition, two
//! more with one factor a lane, and back. The conjugate-invariant ring folds before the first pass and unfolds after the last.

#![expect(clippy::needless_range_loop, reason = "sets of vectors advance together, and only plain loops unroll")]

use std::arch::x86_64::*;

use super::super::super::modulus::{Modulus, ShoupFactor};
use super::super::super::twiddles::{Pass, Passes};
use super::super::layers::{block_lines, columns, layers_down, layers_up, part_lines};
use super::super::{OnPart, Root, Start};
use super::{Factor, LANES, Line, Prime, Vector, center_into, load, load_bits, splat, store, store_bits};

/// Words of the factors of a leaf.
const LEAF: usize = 2 * LANES * LANES;

/// Leaves in flight.
const PAIR: usize = 2;

/// Layers after which values that were below q stay below 4q.
const DRIFT: usize = 4;

#[target_feature(enable = "avx2,fma")]
pub(in super::super) fn ntt_forward(q: &Modulus, a: &mut [u64], twiddles: &Passes, start: Start<'_>, done: OnPart<'_>) {
    match start {
        Start::Limb => {}
        Start::Fold(fold) => add_multiple_of_mirrored(q, a, fold.minus_i),
        Start::Centred { x, d } => center_into(q, a, x, d),
    }
    let transform = Transform { p: Prime::new(q), root: [Prime::factor(q, 1); 2], twiddles };
    let lines = a.as_chunks_mut().0;
    let Some((root, rest)) = twiddles.passes.split_first() else { unreachable!("a root above the leaves") };
    let child = block_lines::<LANES>(rest);
    match root.radix {
        2 => transform.down::<2, 4, false>(lines, root, (0, child), |line| load(line)),
        _ => transform.down::<4, 2, false>(lines, root, (0, child), |line| load(line)),
    }
    transform.descend(lines, rest, (0, root.radix.ilog2() as usize), done);
}

#[target_feature(enable = "avx2,fma")]
pub(in super::super) fn ntt_inverse(
    q: &Modulus,
    a: &mut [u64],
    twiddles: &Passes,
    Root { factors, fold }: Root<'_>,
    fill: OnPart<'_>,
) {
    let root = factors.map(|w| Prime::factor(q, w.value));
    let transform = Transform { p: Prime::new(q), root, twiddles };
    let lines = a.as_chunks_mut().0;
    let Some((root, rest)) = twiddles.passes.split_first() else { unreachable!("a root above the leaves") };
    transform.ascend(lines, rest, 0, fill);
    match root.radix {
        2 => transform.up::<2, 4, true>(lines, root, (0, block_lines::<LANES>(rest))),
        _ => transform.up::<4, 2, true>(lines, root, (0, block_lines::<LANES>(rest))),
    }
    if let Some(fold) = fold {
        a[0] = q.add(a[0], a[0]);
        add_multiple_of_mirrored(q, a, fold.i);
    }
}

/// a_j ← a_j + w a_(N−j) for 0 < j < N; reduced in, reduced out.
#[target_feature(enable = "avx2,fma")]
fn add_multiple_of_mirrored(q: &Modulus, a: &mut [u64], w: ShoupFactor) {
    let (p, factor) = (Prime::new(q), Prime::factor(q, w.value));
    let (low, high) = a.split_at_mut(a.len() / 2);
    let (low, low_rest) = low[1..].as_chunks_mut::<LANES>();
    let (high_rest, high) = high[1..].as_rchunks_mut::<LANES>();
    for (x, y) in low.iter_mut().zip(high.iter_mut().rev()) {
        let (a, b) = (load(x), reversed(load(y)));
        store(x, p.reduce(_mm256_add_pd(a, p.mul(b, factor))));
        store(y, reversed(p.reduce(_mm256_add_pd(b, p.mul(a, factor)))));
    }
    for (x, y) in low_rest.iter_mut().zip(high_rest.iter_mut().rev()) {
        (*x, *y) = (q.add(*x, q.mul_shoup(*y, w)), q.add(*y, q.mul_shoup(*x, w)));
    }
    let middle = &mut a[a.len() / 2];
    *middle = q.add(*middle, q.mul_shoup(*middle, w));
}

/// The lanes in the opposite order.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn reversed(x: Vector) -> Vector {
    _mm256_permute4x64_pd::<0b00_01_10_11>(x)
}

/// Doubles kept from pass to pass.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn load_double(line: &Line) -> Vector {
    _mm256_castsi256_pd(load_bits(line))
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn store_double(line: &mut Line, x: Vector) {
    store_bits(line, _mm256_castpd_si256(x));
}

/// The factors of a node and of its descendants, numbered from 1 as in a heap.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn factors<const R: usize>(record: &[u64]) -> [Factor; R] {
    let (values, quotients) = record.split_at(R);
    let mut w = [Factor { value: _mm256_setzero_pd(), quotient: _mm256_setzero_pd() }; R];
    for h in 1..R {
        w[h] = Factor { value: splat(f64::from_bits(values[h])), quotient: splat(f64::from_bits(quotients[h])) };
    }
    w
}

/// The factors inside the vectors of a leaf, numbered likewise, one a lane.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn lane_factors(record: &[u64; LEAF]) -> [Factor; LANES] {
    let lines = record.as_chunks().0;
    let mut w = [Factor { value: _mm256_setzero_pd(), quotient: _mm256_setzero_pd() }; LANES];
    for h in 1..LANES {
        w[h] = Factor { value: load_double(&lines[1 + h]), quotient: load_double(&lines[LANES + h]) };
    }
    w
}

/// The 4 x 4 matrix of numbers, transposed.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn transpose(v: &mut [Vector; LANES]) {
    for i in [0, 2] {
        (v[i], v[i + 1]) = (_mm256_unpacklo_pd(v[i], v[i + 1]), _mm256_unpackhi_pd(v[i], v[i + 1]));
    }
    for i in [0, 1] {
        (v[i], v[i + 2]) =
            (_mm256_permute2f128_pd::<0x20>(v[i], v[i + 2]), _mm256_permute2f128_pd::<0x31>(v[i], v[i + 2]));
    }
}

/// Both directions for one prime.
#[derive(Clone, Copy)]
struct Transform<'a> {
    p: Prime,
    /// What the last layer of the inverse multiplies sums and differences by.
    root: [Factor; 2],
    twiddles: &'a Passes,
}

impl Transform<'_> {
    /// The nodes from `first` on of the first of `passes`, and all below, `drift` layers after values were centred: depth first while
    /// blocks are larger than the cache, then pass after pass.
    #[target_feature(enable = "avx2,fma")]
    fn descend(&self, lines: &mut [Line], passes: &[Pass], (first, drift): (usize, usize), done: OnPart<'_>) {
        let size = block_lines::<LANES>(passes);
        let part = part_lines::<LANES>(lines.len(), size);
        for (k, lines) in lines.chunks_exact_mut(part).enumerate() {
            let first = first + k * (part / size);
            let Some((pass, rest)) = passes.split_first() else {
                self.leaves_down(lines, first);
                done(first * LANES * LANES, lines.as_flattened_mut());
                continue;
            };
            let layers = pass.radix.ilog2() as usize;
            let centre = drift + layers > DRIFT;
            let at = (first, block_lines::<LANES>(rest));
            match (pass.radix, centre) {
                (2, true) => self.down::<2, 4, true>(lines, pass, at, |line| load_double(line)),
                (2, false) => self.down::<2, 4, false>(lines, pass, at, |line| load_double(line)),
                (_, true) => self.down::<4, 2, true>(lines, pass, at, |line| load_double(line)),
                (_, false) => self.down::<4, 2, false>(lines, pass, at, |line| load_double(line)),
            }
            let drift = if centre { layers } else { drift + layers };
            self.descend(lines, rest, (first * pass.radix, drift), done);
        }
    }

    /// A pass of the forward transform, over children of `child` vectors, from node `first` on.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn down<const R: usize, const C: usize, const CENTRE: bool>(
        &self,
        lines: &mut [Line],
        pass: &Pass,
        (first, child): (usize, usize),
        load: impl Fn(&Line) -> Vector,
    ) {
        let this = *self;
        let nodes = pass.records[2 * R * first..].chunks_exact(2 * R);
        for (block, record) in lines.chunks_exact_mut(R * child).zip(nodes) {
            let w = &factors::<R>(record);
            columns::<Line, Vector, R, C>(
                block,
                this.p.q,
                &load,
                |line, x| store_double(line, x),
                |v| {
                    if CENTRE {
                        this.centre_sums(v);
                    }
                    layers_down(v, [w; C], |_, _, x, y, w| this.butterfly(x, y, w));
                },
            );
        }
    }

    #[target_feature(enable = "avx2,fma")]
    fn leaves_down(&self, lines: &mut [Line], first: usize) {
        let this = *self;
        let records = this.twiddles.leaves.as_chunks::<LEAF>().0[first..].as_chunks::<PAIR>().0;
        for (lines, record) in lines.as_chunks_mut::<LANES>().0.as_chunks_mut::<PAIR>().0.iter_mut().zip(records) {
            let mut v = lines.each_ref().map(|lines| lines.each_ref().map(|line| load_double(line)));
            this.centre_sums(&mut v);
            let w = [&factors(&record[0][..2 * LANES]), &factors(&record[1][..2 * LANES])];
            layers_down(&mut v, w, |_, _, x, y, w| this.butterfly(x, y, w));
            v.iter_mut().for_each(|v| transpose(v));
            let w = [&lane_factors(&record[0]), &lane_factors(&record[1])];
            layers_down(&mut v, w, |_, _, x, y, w| this.butterfly(x, y, w));
            for c in 0..PAIR {
                transpose(&mut v[c]);
                for r in 0..LANES {
                    store(&mut lines[c][r], this.p.reduce(v[c][r]));
                }
            }
        }
    }

    /// Centres what the next layer will add to.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn centre_sums<const R: usize, const C: usize>(&self, v: &mut [[Vector; R]; C]) {
        for c in 0..C {
            for r in 0..R / 2 {
                v[c][r] = self.p.centre(v[c][r]);
            }
        }
    }

    /// (x + w y, x − w y).
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn butterfly(&self, x: Vector, y: Vector, w: Factor) -> (Vector, Vector) {
        let product = self.p.mul(y, w);
        (_mm256_add_pd(x, product), _mm256_sub_pd(x, product))
    }

    /// All below the nodes from `first` on of the first of `passes`, then these, in the order of [`Self::descend`] reversed.
    #[target_feature(enable = "avx2,fma")]
    fn ascend(&self, lines: &mut [Line], passes: &[Pass], first: usize, fill: OnPart<'_>) {
        let size = block_lines::<LANES>(passes);
        let part = part_lines::<LANES>(lines.len(), size);
        for (k, lines) in lines.chunks_exact_mut(part).enumerate() {
            let first = first + k * (part / size);
            let Some((pass, rest)) = passes.split_first() else {
                fill(first * LANES * LANES, lines.as_flattened_mut());
                self.leaves_up(lines, first);
                continue;
            };
            self.ascend(lines, rest, first * pass.radix, fill);
            let at = (first, block_lines::<LANES>(rest));
            match pass.radix {
                2 => self.up::<2, 4, false>(lines, pass, at),
                _ => self.up::<4, 2, false>(lines, pass, at),
            }
        }
    }

    /// A pass of the inverse transform; the one at the root scales and reduces.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn up<const R: usize, const C: usize, const ROOT: bool>(
        &self,
        lines: &mut [Line],
        pass: &Pass,
        (first, child): (usize, usize),
    ) {
        let this = *self;
        let nodes = pass.records[2 * R * first..].chunks_exact(2 * R);
        for (block, record) in lines.chunks_exact_mut(R * child).zip(nodes) {
            let factors = factors::<R>(record);
            let w = [&factors; C];
            if ROOT {
                columns::<Line, Vector, R, C>(
                    block,
                    this.p.q,
                    |line| load_double(line),
                    |line, x| store(line, x),
                    |v| {
                        layers_up(
                            v,
                            w,
                            |_, _, x, y, w| this.inverse_butterfly(x, y, w),
                            |_, _, x, y, _| {
                                (
                                    this.p.finish(this.p.mul(_mm256_add_pd(x, y), this.root[0])),
                                    this.p.finish(this.p.mul(_mm256_sub_pd(x, y), this.root[1])),
                                )
                            },
                        );
                    },
                );
            } else {
                columns::<Line, Vector, R, C>(
                    block,
                    this.p.q,
                    |line| load_double(line),
                    |line, x| store_double(line, x),
                    |v| this.centred_layers(v, w),
                );
            }
        }
    }

    #[target_feature(enable = "avx2,fma")]
    fn leaves_up(&self, lines: &mut [Line], first: usize) {
        let this = *self;
        let records = this.twiddles.leaves.as_chunks::<LEAF>().0[first..].as_chunks::<PAIR>().0;
        for (lines, record) in lines.as_chunks_mut::<LANES>().0.as_chunks_mut::<PAIR>().0.iter_mut().zip(records) {
            let mut v = lines.each_ref().map(|lines| lines.each_ref().map(|line| load(line)));
            v.iter_mut().for_each(|v| transpose(v));
            this.centred_layers(&mut v, [&lane_factors(&record[0]), &lane_factors(&record[1])]);
            v.iter_mut().for_each(|v| transpose(v));
            let w = [&factors(&record[0][..2 * LANES]), &factors(&record[1][..2 * LANES])];
            this.centred_layers(&mut v, w);
            for c in 0..PAIR {
                for r in 0..LANES {
                    store_double(&mut lines[c][r], v[c][r]);
                }
            }
        }
    }

    /// One or two layers up; the last one centres its sums, so that values below q stay below q.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn centred_layers<const R: usize, const C: usize>(&self, v: &mut [[Vector; R]; C], w: [&[Factor; R]; C]) {
        layers_up(
            v,
            w,
            |_, _, x, y, w| self.inverse_butterfly(x, y, w),
            |_, _, x, y, w| {
                let (sum, product) = self.inverse_butterfly(x, y, w);
                (self.p.centre(sum), product)
            },
        );
    }

    /// (x + y, (x − y) w).
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn inverse_butterfly(&self, x: Vector, y: Vector, w: Factor) -> (Vector, Vector) {
        (_mm256_add_pd(x, y), self.p.mul(_mm256_sub_pd(x, y), w))
    }
}
