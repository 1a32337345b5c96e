//! Products of a matrix of constants with rows of residues.
//!
//! ```text
//! for each run of up to 1,024 terms
//!     weights := per tile of 4 outputs, the terms with a weight that is not zero
//!     for each group of panels that fits the second-level cache
//!         packed := the panels (24 columns each), term after term
//!         for each tile, for each panel
//!             24 accumulators (4 outputs x 3 vectors x hi, lo) += weight x vector, over the terms of the tile
//!             out := (out +) accumulators, reduced
//! ```
//!
//! Why so: a tile keeps both multipliers busy, since its 24 accumulators hide their latency and 3 loads and 4 broadcasts feed 24
//! products; packing makes those loads consecutive, where rows a ring degree apart would cost a TLB entry each; and a panel is read
//! from cache by every tile (Goto, van de Geijn: Anatomy of high-performance matrix multiplication, 2008).

use std::arch::x86_64::*;
use std::ops::Range;

use super::super::super::modulus::Modulus;
use super::super::Rows;
use super::{Accumulated, LANES, Prime, load, splat, store};

/// Outputs of a tile.
const OUTPUTS: usize = 4;

/// Vectors of a panel.
const VECTORS: usize = 3;

/// Columns of a panel.
const COLUMNS: usize = VECTORS * LANES;

/// Terms between reductions: few enough for the accumulators, and for a panel to fit the second-level cache.
const TERMS: usize = 1_024;

/// Words of a group of packed panels: 384 KiB.
const GROUP: usize = 48 * 1_024;

/// With fewer tiles than this, a panel is not read often enough to be packed.
const TILES_TO_PACK: usize = 3;

/// Up to `OUTPUTS` rows of the matrix over one run of terms, without the terms whose weights are all zero.
struct Tile {
    outputs: usize,
    terms: Vec<usize>,
    weights: Vec<[u64; OUTPUTS]>,
}

impl Tile {
    fn new(rows: &[&[u64]]) -> Self {
        let mut tile = Self { outputs: rows.len(), terms: Vec::new(), weights: Vec::new() };
        for k in 0..rows[0].len() {
            let weights = std::array::from_fn(|o| rows.get(o).map_or(0, |row| row[k]));
            if weights != [0; OUTPUTS] {
                tile.terms.push(k);
                tile.weights.push(weights);
            }
        }
        tile
    }
}

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
pub(in super::super) fn gemm_into(
    q: &Modulus,
    out: &mut [u64],
    out_stride: usize,
    len: usize,
    weights: &[u64],
    x: Rows<'_>,
) {
    let mut packed = Vec::new();
    for first in (0..x.count).step_by(TERMS) {
        let count = TERMS.min(x.count - first);
        let rows: Vec<&[u64]> = weights.chunks(x.count).map(|row| &row[first..][..count]).collect();
        let tiles: Vec<Tile> = rows.chunks(OUTPUTS).map(Tile::new).collect();
        let x = Rows { data: &x.data[first * x.stride..], count, ..x };
        let run = Run { p: Prime::new(q), accumulated: Accumulated::new(q, count, q.value() - 1), add: first > 0 };
        let group = (GROUP / (count * COLUMNS)).max(1) * COLUMNS;
        for start in (0..len).step_by(group) {
            let columns = group.min(len - start);
            let whole = columns / COLUMNS * COLUMNS;
            let direct = tiles.len() < TILES_TO_PACK;
            pack(&mut packed, x.from(start), if direct { whole } else { 0 }..columns);
            for (tile, out) in tiles.iter().zip(out.chunks_mut(OUTPUTS * out_stride)) {
                for at in (0..columns).step_by(COLUMNS) {
                    let x = match (direct, at < whole) {
                        (true, true) => x.from(start + at),
                        (true, false) => Rows { data: &packed, stride: COLUMNS, count },
                        (false, _) => Rows { data: &packed[at * count..], stride: COLUMNS, count },
                    };
                    let out = &mut out[start + at..];
                    if at < whole {
                        run.tile(out, out_stride, tile, x);
                    } else {
                        run.part_of_tile(out, out_stride, columns - whole, tile, x);
                    }
                }
            }
        }
    }
}

/// The given columns of the rows, panel after panel, the last one filled up with zeros.
fn pack(packed: &mut Vec<u64>, x: Rows<'_>, columns: Range<usize>) {
    packed.clear();
    packed.resize(columns.len().next_multiple_of(COLUMNS) * x.count, 0);
    for r in 0..x.count {
        let row = &x.row(r, columns.end)[columns.start..];
        for (panel, words) in row.chunks(COLUMNS).enumerate() {
            packed[(panel * x.count + r) * COLUMNS..][..words.len()].copy_from_slice(words);
        }
    }
}

/// One run of terms.
struct Run {
    p: Prime,
    accumulated: Accumulated,
    /// Whether the outputs hold the sum of the terms before.
    add: bool,
}

impl Run {
    /// The outputs of a tile at the first `COLUMNS` columns of `x`.
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn tile(&self, out: &mut [u64], out_stride: usize, tile: &Tile, x: Rows<'_>) {
        match tile.outputs {
            1 => self.outputs::<1>(out, out_stride, tile, x),
            2 => self.outputs::<2>(out, out_stride, tile, x),
            3 => self.outputs::<3>(out, out_stride, tile, x),
            _ => self.outputs::<OUTPUTS>(out, out_stride, tile, x),
        }
    }

    /// The same at fewer columns.
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn part_of_tile(&self, out: &mut [u64], out_stride: usize, columns: usize, tile: &Tile, x: Rows<'_>) {
        let mut whole = [0; OUTPUTS * COLUMNS];
        for o in 0..tile.outputs {
            whole[o * COLUMNS..][..columns].copy_from_slice(&out[o * out_stride..][..columns]);
        }
        self.tile(&mut whole, COLUMNS, tile, x);
        for o in 0..tile.outputs {
            out[o * out_stride..][..columns].copy_from_slice(&whole[o * COLUMNS..][..columns]);
        }
    }

    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn outputs<const O: usize>(&self, out: &mut [u64], out_stride: usize, tile: &Tile, x: Rows<'_>) {
        let (mut hi, mut lo) = ([[_mm512_setzero_si512(); VECTORS]; O], [[_mm512_setzero_si512(); VECTORS]; O]);
        for (&term, weights) in tile.terms.iter().zip(&tile.weights) {
            let x = x.lines::<VECTORS>(term);
            let x = [load(&x[0]), load(&x[1]), load(&x[2])];
            for o in 0..O {
                let weight = splat(weights[o]);
                for v in 0..VECTORS {
                    hi[o][v] = _mm512_madd52hi_epu64(hi[o][v], x[v], weight);
                    lo[o][v] = _mm512_madd52lo_epu64(lo[o][v], x[v], weight);
                }
            }
        }
        for o in 0..O {
            let lines = out[o * out_stride..][..COLUMNS].as_chunks_mut().0;
            for (v, line) in lines.iter_mut().enumerate() {
                let sum = self.accumulated.finish(&self.p, hi[o][v], lo[o][v]);
                store(line, if self.add { self.p.add(load(line), sum) } else { sum });
            }
        }
    }
}
