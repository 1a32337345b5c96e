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

use aligned_vec::AVec;

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

/// `COLUMNS` words of a row.
type Piece = [u64; COLUMNS];

/// Up to `OUTPUTS` rows of the matrix over one run of terms, without the terms whose weights are all zero.
struct Tile {
    outputs: usize,
    terms: Vec<Term>,
}

struct Term {
    index: usize,
    weights: [u64; OUTPUTS],
}

impl Tile {
    fn new(rows: &[&[u64]]) -> Self {
        let term = |index| Term { index, weights: std::array::from_fn(|o| rows.get(o).map_or(0, |row| row[index])) };
        let terms = (0..rows[0].len()).map(term).filter(|term| term.weights != [0; OUTPUTS]);
        Self { outputs: rows.len(), terms: terms.collect() }
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
    let mut packed = AVec::new(0);
    for first in (0..x.count).step_by(TERMS) {
        let count = TERMS.min(x.count - first);
        let rows: Vec<&[u64]> = weights.chunks(x.count).map(|row| &row[first..][..count]).collect();
        let tiles: Vec<Tile> = rows.chunks(OUTPUTS).map(Tile::new).collect();
        let x = Rows { data: &x.data[first * x.stride..], count, ..x };
        let run = Run { p: Prime::new(q), accumulated: Accumulated::new(q, count, q.value() - 1), add: first > 0 };
        let group = (GROUP / (count * COLUMNS)).max(1) * COLUMNS;
        for start in (0..len).step_by(group) {
            let columns = group.min(len - start);
            pack(&mut packed, x.from(start), columns);
            let panels = packed.as_chunks().0.chunks_exact(count);
            for (tile, out) in tiles.iter().zip(out.chunks_mut(OUTPUTS * out_stride)) {
                for (at, panel) in (0..columns).step_by(COLUMNS).zip(panels.clone()) {
                    let width = COLUMNS.min(columns - at);
                    run.tile(&mut out[start + at..], out_stride, width, tile, panel);
                }
            }
        }
    }
}

/// The first columns of the rows, panel after panel, the last one filled up with zeros.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn pack(packed: &mut AVec<u64>, x: Rows<'_>, columns: usize) {
    packed.resize(columns.next_multiple_of(COLUMNS) * x.count, 0);
    let pieces = packed.as_chunks_mut::<COLUMNS>().0;
    for r in 0..x.count {
        for (panel, words) in x.row(r, columns).chunks(COLUMNS).enumerate() {
            let piece = &mut pieces[panel * x.count + r];
            if let Some(words) = words.first_chunk::<COLUMNS>() {
                for (line, words) in piece.as_chunks_mut().0.iter_mut().zip(words.as_chunks().0) {
                    store(line, load(words));
                }
            } else {
                *piece = [0; COLUMNS];
                piece[..words.len()].copy_from_slice(words);
            }
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
    /// The outputs of a tile at `width` columns of a panel.
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn tile(&self, out: &mut [u64], out_stride: usize, width: usize, tile: &Tile, panel: &[Piece]) {
        if width < COLUMNS {
            let mut whole = [0; OUTPUTS * COLUMNS];
            for o in 0..tile.outputs {
                whole[o * COLUMNS..][..width].copy_from_slice(&out[o * out_stride..][..width]);
            }
            self.tile(&mut whole, COLUMNS, COLUMNS, tile, panel);
            for o in 0..tile.outputs {
                out[o * out_stride..][..width].copy_from_slice(&whole[o * COLUMNS..][..width]);
            }
            return;
        }
        match tile.outputs {
            1 => self.outputs::<1>(out, out_stride, tile, panel),
            2 => self.outputs::<2>(out, out_stride, tile, panel),
            3 => self.outputs::<3>(out, out_stride, tile, panel),
            _ => self.outputs::<OUTPUTS>(out, out_stride, tile, panel),
        }
    }

    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn outputs<const O: usize>(&self, out: &mut [u64], out_stride: usize, tile: &Tile, panel: &[Piece]) {
        let zero = _mm512_setzero_si512();
        let (mut hi, mut lo) = ([[zero; VECTORS]; O], [[zero; VECTORS]; O]);
        for term in &tile.terms {
            let lines = panel[term.index].as_chunks().0;
            let x = [load(&lines[0]), load(&lines[1]), load(&lines[2])];
            for o in 0..O {
                let weight = splat(term.weights[o]);
                for v in 0..VECTORS {
                    hi[o][v] = _mm512_madd52hi_epu64(hi[o][v], x[v], weight);
                    lo[o][v] = _mm512_madd52lo_epu64(lo[o][v], x[v], weight);
                }
            }
        }
        for o in 0..O {
            let lines = out[o * out_stride..][..COLUMNS].as_chunks_mut().0;
            for v in 0..VECTORS {
                let sum = self.accumulated.finish(&self.p, hi[o][v], lo[o][v]);
                let sum = if self.add { self.p.add(load(&lines[v]), sum) } else { sum };
                store(&mut lines[v], sum);
            }
        }
    }
}
