//! The transforms on doubles: words are converted on the way in and out, and kept as doubles, of either sign, between passes.
//!
//! Passes have radix 2 or 4; a leaf is 16 words: two layers between its four vectors, as of a pass, then a transposition, two more with
//! one factor a lane, and back. The conjugate-invariant ring has a pass of its own at the root ([`super::fold`]).
//!
//! A butterfly is eight instructions, half of them for two pipes and half for two others, but a chain of 17 cycles: two layers in a row
//! leave those pipes idle. So the second layer of a step runs beside the first layer of the next one ([`staged`], [`chained`]).

use std::arch::x86_64::*;

use super::super::super::modulus::Modulus;
use super::super::super::ntt::RingKind;
use super::super::super::twiddles::{Pass, Passes};
use super::super::layers::{block_lines, part_lines, rows};
use super::super::{OnPart, Root, Shape, Start, prefetch};
use super::stages::{
    LEAF, PAIR, broadcast, chained, factors, lane_factor, load_double, load_leaf, single, staged, store_double,
    transpose,
};
use super::{Centring, Factor, LANES, Line, Prime, Vector, load};

pub(in super::super) fn shape(kind: RingKind) -> Shape {
    // The fold is a layer at the root.
    let root = if kind == RingKind::Standard { 4 } else { 2 };
    Shape { lanes: LANES, widest: [root, 4], lane_fields: 0..2 }
}

#[target_feature(enable = "avx2,fma")]
pub(in super::super) fn ntt_forward(q: &Modulus, a: &mut [u64], twiddles: &Passes, start: Start<'_>, done: OnPart<'_>) {
    let root = [Prime::factor(q, 1); 2];
    let centred = centred_down(q, layers(twiddles, matches!(start, Start::Fold(_))));
    let transform = Transform { p: Prime::new(q), root, twiddles, centred };
    let Some((root, rest)) = twiddles.passes.split_first() else { unreachable!("a root above the leaves") };
    if let Start::Fold(fold) = start {
        transform.folded_root(q, a, fold);
    }
    let lines = a.as_chunks_mut().0;
    match (root.radix, start) {
        (_, Start::Fold(_)) => {}
        (2, Start::Centred { x, d }) => transform.centred_root::<2>(lines, root, x, d),
        (_, Start::Centred { x, d }) => transform.centred_root::<4>(lines, root, x, d),
        (2, Start::Limb) => transform.down::<2, false>(lines, root, (0, lines.len() / 2), load_of(|line| load(line))),
        (_, Start::Limb) => transform.down::<4, false>(lines, root, (0, lines.len() / 4), load_of(|line| load(line))),
    }
    transform.descend(lines, rest, 0, done);
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
    let centred = centred_up(q, layers(twiddles, fold.is_some()));
    let transform = Transform { p: Prime::new(q), root, twiddles, centred };
    let lines = a.as_chunks_mut().0;
    let Some((root, rest)) = twiddles.passes.split_first() else { unreachable!("a root above the leaves") };
    transform.ascend(lines, rest, 0, fill);
    match (root.radix, fold) {
        (_, Some(fold)) => transform.unfolded_root(q, a, factors, fold),
        (2, None) => transform.up::<2, true, true>(lines, root, (0, block_lines::<LANES>(rest))),
        (_, None) => transform.up::<4, true, true>(lines, root, (0, block_lines::<LANES>(rest))),
    }
}

/// How many leaves ahead of their use factors are asked for: 8 KiB. Memory and the third-level cache are slow to begin with each page, which
/// hardware does not see coming.
const AHEAD: usize = 32;

/// Asks for the factors of the leaf that comes [`AHEAD`] leaves after this one.
#[inline(always)]
fn read_ahead(table: &[[u64; LEAF]], leaf: usize) {
    if let Some(ahead) = table.get(leaf + AHEAD) {
        prefetch(ahead);
    }
}

/// Layers of each pass from the root on, the fold one of them, but for the leaves.
fn layers(twiddles: &Passes, folded: bool) -> impl DoubleEndedIterator<Item = u32> + ExactSizeIterator + Clone {
    twiddles.passes.iter().enumerate().map(move |(i, pass)| pass.radix.ilog2() + u32::from(folded && i == 0))
}

/// Which steps of the forward transform centre what their first layer adds to, so that factors below 2^52 are multiplied: bit i for the
/// i-th pass from the bottom, of one, bit 0 for the leaf.
fn centred_down(q: &Modulus, passes: impl ExactSizeIterator<Item = u32>) -> u32 {
    // Layers after which residues are below 2^52 still (`NOTES.md`).
    let room = match q.bits() {
        50 => 4,
        49 => 11,
        _ => return 0,
    };
    let (mut centred, mut layers) = (0, 0);
    let count = passes.len();
    for (above, step) in passes.chain([2 * LANES.ilog2()]).enumerate() {
        layers += step;
        if layers > room {
            centred |= 1 << (count - above);
            layers = step;
        }
    }
    centred
}

/// Which steps of the inverse transform centre the sums of their last layer, so that differences below 2^52 are multiplied: bit 0 for the
/// layers inside the vectors of a leaf, bit 1 for those between them, bit 1 + i for the i-th pass from the bottom, of one.
fn centred_up(q: &Modulus, passes: impl DoubleEndedIterator<Item = u32> + Clone) -> u32 {
    let (mut centred, mut layers) = (0, 0);
    let steps = [LANES.ilog2(); 2].into_iter().chain(passes.rev());
    for (i, (step, next)) in steps.clone().zip(steps.skip(1)).enumerate() {
        layers += step;
        // Each layer doubles what was below q.
        if layers + next > 52 - q.bits() {
            centred |= 1 << i;
            layers = 0;
        }
    }
    centred
}

/// The rows of a block, in pairs of vectors.
type PairedRows<'a, const R: usize> = [&'a mut [[Line; PAIR]]; R];

/// Those of this block, and how many pairs each has.
#[inline(always)]
fn paired_rows<const R: usize>(block: &mut [Line]) -> (PairedRows<'_, R>, usize) {
    let (rows, columns) = rows::<Line, R>(block);
    (rows.map(|row| row.as_chunks_mut().0), columns / PAIR)
}

/// What loads column c of pair i of row r.
#[inline(always)]
fn load_of<const R: usize>(
    load: impl Fn(&Line) -> Vector,
) -> impl Fn(&PairedRows<'_, R>, usize, usize, usize) -> Vector {
    move |rows, i, c, r| load(&rows[r][i][c])
}

/// Both directions for one prime.
#[derive(Clone, Copy)]
pub(super) struct Transform<'a> {
    pub(super) p: Prime,
    /// What the last layer of the inverse multiplies sums and differences by.
    root: [Factor; 2],
    pub(super) twiddles: &'a Passes,
    /// The steps that centre.
    centred: u32,
}

impl Transform<'_> {
    /// Whether step `i` centres.
    fn centres(&self, i: usize) -> bool {
        self.centred >> i & 1 == 1
    }

    /// The nodes from `first` on of the first of `passes`, and all below: depth first while blocks are larger than the cache, then pass
    /// after pass.
    #[target_feature(enable = "avx2,fma")]
    fn descend(&self, lines: &mut [Line], passes: &[Pass], first: usize, done: OnPart<'_>) {
        let size = block_lines::<LANES>(passes);
        let part = part_lines::<LANES>(lines.len(), size);
        for (k, lines) in lines.chunks_exact_mut(part).enumerate() {
            let first = first + k * (part / size);
            let Some((pass, rest)) = passes.split_first() else {
                if self.centres(0) {
                    self.leaves_down::<true>(lines, first)
                } else {
                    self.leaves_down::<false>(lines, first)
                }
                done(first * LANES * LANES, lines.as_flattened_mut());
                continue;
            };
            let at = (first, block_lines::<LANES>(rest));
            match (pass.radix, self.centres(passes.len())) {
                (2, true) => self.down::<2, true>(lines, pass, at, load_of(|line| load_double(line))),
                (2, false) => self.down::<2, false>(lines, pass, at, load_of(|line| load_double(line))),
                (_, true) => self.down::<4, true>(lines, pass, at, load_of(|line| load_double(line))),
                (_, false) => self.down::<4, false>(lines, pass, at, load_of(|line| load_double(line))),
            }
            self.descend(lines, rest, first * pass.radix, done);
        }
    }

    /// A pass of the forward transform, over children of `child` vectors, from node `first` on.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn down<const R: usize, const CENTRE: bool>(
        &self,
        lines: &mut [Line],
        pass: &Pass,
        (first, child): (usize, usize),
        load: impl Fn(&PairedRows<'_, R>, usize, usize, usize) -> Vector,
    ) {
        let this = *self;
        let nodes = pass.records[2 * R * first..].chunks_exact(2 * R);
        for (block, record) in lines.chunks_exact_mut(R * child).zip(nodes) {
            let w = factors::<R>(record);
            let store =
                |rows: &mut PairedRows<'_, R>, i: usize, c: usize, r: usize, x| store_double(&mut rows[r][i][c], x);
            let first = |x, y| this.butterfly(if CENTRE { this.p.centre(x) } else { x }, y, w[1]);
            let (mut rows, count) = paired_rows(block);
            if R == 2 {
                single(&mut rows, count, &load, store, first);
            } else {
                let second = |_, _, k, x, y| this.butterfly(x, y, w[R / 2 + k]);
                staged::<_, true>(&mut rows, count, &load, store, |_, _, _, x, y| first(x, y), second);
            }
        }
    }

    /// The pass at the root, of the representatives of residues `x` of d.
    #[target_feature(enable = "avx2,fma")]
    fn centred_root<const R: usize>(&self, lines: &mut [Line], pass: &Pass, x: &[u64], d: u64) {
        let (centring, child) = (Centring::new(d), lines.len() / R);
        let x = x.as_chunks::<LANES>().0.as_chunks::<PAIR>().0;
        let sources: [_; R] = std::array::from_fn(|r| &x[r * child / PAIR..][..child / PAIR]);
        self.down::<R, false>(lines, pass, (0, child), |_, i, c, r| centring.load(&sources[r][i][c]));
    }

    #[target_feature(enable = "avx2,fma")]
    fn leaves_down<const CENTRE: bool>(&self, lines: &mut [Line], first: usize) {
        let this = *self;
        let table = &this.twiddles.leaves.as_chunks::<LEAF>().0[first..];
        let records = &table[..lines.len() / LANES];
        let leaves = lines.as_chunks_mut::<LANES>().0;
        let pairs = records.as_chunks::<PAIR>().0;
        staged::<_, true>(
            &mut leaves.as_chunks_mut::<PAIR>().0,
            pairs.len(),
            |lines, i, c, r| {
                if r == 0 {
                    read_ahead(table, PAIR * i + c);
                }
                load_double(&lines[i][c][r])
            },
            |lines, i, c, r, x| store_double(&mut lines[i][c][r], x),
            |i, c, _, x, y| this.butterfly(if CENTRE { this.p.centre(x) } else { x }, y, broadcast(&pairs[i][c], 1)),
            |i, c, k, x, y| this.butterfly(x, y, broadcast(&pairs[i][c], 2 + k)),
        );
        chained(
            leaves,
            |leaf, i| {
                let mut v = load_leaf(leaf, |line| load_double(line));
                transpose(&mut v);
                let w = lane_factor(&records[i], 1);
                for k in 0..2 {
                    (v[k], v[2 + k]) = this.butterfly(v[k], v[2 + k], w);
                }
                v
            },
            |leaf, i, mut v| {
                for k in 0..2 {
                    (v[2 * k], v[2 * k + 1]) = this.butterfly(v[2 * k], v[2 * k + 1], lane_factor(&records[i], 2 + k));
                }
                transpose(&mut v);
                for r in 0..LANES {
                    this.p.store_signed(&mut leaf[r], this.p.centre(v[r]));
                }
            },
        );
    }

    /// (x + w y, x − w y).
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    pub(super) fn butterfly(&self, x: Vector, y: Vector, w: Factor) -> (Vector, Vector) {
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
                match (self.centres(0), self.centres(1)) {
                    (true, _) => self.leaves_up::<true, true>(lines, first),
                    (false, true) => self.leaves_up::<false, true>(lines, first),
                    (false, false) => self.leaves_up::<false, false>(lines, first),
                }
                continue;
            };
            self.ascend(lines, rest, first * pass.radix, fill);
            let at = (first, block_lines::<LANES>(rest));
            match (pass.radix, self.centres(1 + passes.len())) {
                (2, true) => self.up::<2, true, false>(lines, pass, at),
                (2, false) => self.up::<2, false, false>(lines, pass, at),
                (_, true) => self.up::<4, true, false>(lines, pass, at),
                (_, false) => self.up::<4, false, false>(lines, pass, at),
            }
        }
    }

    /// A pass of the inverse transform; the one at the root scales and reduces.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn up<const R: usize, const CENTRE: bool, const ROOT: bool>(
        &self,
        lines: &mut [Line],
        pass: &Pass,
        (first, child): (usize, usize),
    ) {
        let this = *self;
        let nodes = pass.records[2 * R * first..].chunks_exact(2 * R);
        let store = |rows: &mut PairedRows<'_, R>, i: usize, c: usize, r: usize, x| {
            if ROOT {
                this.p.store_signed(&mut rows[r][i][c], x);
            } else {
                store_double(&mut rows[r][i][c], x);
            }
        };
        for (block, record) in lines.chunks_exact_mut(R * child).zip(nodes) {
            let w = factors::<R>(record);
            let last = |x, y| if ROOT { this.root_butterfly(x, y) } else { this.last_butterfly::<CENTRE>(x, y, w[1]) };
            let (mut rows, count) = paired_rows::<R>(block);
            let load = load_of(|line| load_double(line));
            if R == 2 {
                single(&mut rows, count, load, store, last);
            } else {
                let first = |_, _, k, x, y| this.inverse_butterfly(x, y, w[R / 2 + k]);
                staged::<_, false>(&mut rows, count, load, store, first, |_, _, _, x, y| last(x, y));
            }
        }
    }

    /// Those inside vectors centre only if those between them do, too.
    #[target_feature(enable = "avx2,fma")]
    fn leaves_up<const INSIDE: bool, const BETWEEN: bool>(&self, lines: &mut [Line], first: usize) {
        let this = *self;
        let table = &this.twiddles.leaves.as_chunks::<LEAF>().0[first..];
        let records = &table[..lines.len() / LANES];
        let leaves = lines.as_chunks_mut::<LANES>().0;
        chained(
            leaves,
            |leaf, i| {
                read_ahead(table, i);
                let mut v = load_leaf(leaf, |line| load(line));
                transpose(&mut v);
                for k in 0..2 {
                    let w = lane_factor(&records[i], 2 + k);
                    (v[2 * k], v[2 * k + 1]) = this.inverse_butterfly(v[2 * k], v[2 * k + 1], w);
                }
                v
            },
            |leaf, i, mut v| {
                let w = lane_factor(&records[i], 1);
                for k in 0..2 {
                    (v[k], v[2 + k]) = this.last_butterfly::<INSIDE>(v[k], v[2 + k], w);
                }
                transpose(&mut v);
                for r in 0..LANES {
                    store_double(&mut leaf[r], v[r]);
                }
            },
        );
        let pairs = records.as_chunks::<PAIR>().0;
        staged::<_, false>(
            &mut leaves.as_chunks_mut::<PAIR>().0,
            pairs.len(),
            |lines, i, c, r| load_double(&lines[i][c][r]),
            |lines, i, c, r, x| store_double(&mut lines[i][c][r], x),
            |i, c, k, x, y| this.inverse_butterfly(x, y, broadcast(&pairs[i][c], 2 + k)),
            |i, c, _, x, y| this.last_butterfly::<BETWEEN>(x, y, broadcast(&pairs[i][c], 1)),
        );
    }

    /// [`Self::inverse_butterfly`] in the last layer of a step, which may centre its sum.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn last_butterfly<const CENTRE: bool>(&self, x: Vector, y: Vector, w: Factor) -> (Vector, Vector) {
        let (sum, product) = self.inverse_butterfly(x, y, w);
        (if CENTRE { self.p.centre(sum) } else { sum }, product)
    }

    /// The last layer: both multiplied.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn root_butterfly(&self, x: Vector, y: Vector) -> (Vector, Vector) {
        (self.p.mul(_mm256_add_pd(x, y), self.root[0]), self.p.mul(_mm256_sub_pd(x, y), self.root[1]))
    }

    /// (x + y, (x − y) w).
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    pub(super) fn inverse_butterfly(&self, x: Vector, y: Vector, w: Factor) -> (Vector, Vector) {
        (_mm256_add_pd(x, y), self.p.mul(_mm256_sub_pd(x, y), w))
    }
}
