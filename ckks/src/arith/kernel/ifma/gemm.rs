//! Products of a matrix of constants with packed rows of residues.
//!
//! ```text
//! for each tile of up to 6 outputs, for each panel of 16 columns
//!     24 accumulators (6 outputs x 2 vectors x hi, lo) += weight x vector, over the terms
//!     out := accumulators, reduced
//! ```
//!
//! Why so: 24 accumulators hide the latency of both multipliers; the weights of a tile and the rows of a panel each lie in one
//! stream, 8 loads for 24 products; and a panel is read from cache by every tile (Goto, van de Geijn: Anatomy of high-performance
//! matrix multiplication, 2008).

use std::arch::x86_64::*;

use super::super::super::modulus::Modulus;
use super::super::{GEMM_COLUMNS, GEMM_OUTPUTS, MAX_LAZY_TERMS, Panels};
use super::{Accumulated, LANES, Line, Prime, load, splat, store};

/// Vectors of a panel.
const VECTORS: usize = GEMM_COLUMNS / LANES;

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
pub(in super::super) fn gemm_into(q: &Modulus, out: &mut [u64], weights: &[u64], terms: &[u32], x: Panels<'_>) {
    let width = x.count() * GEMM_COLUMNS;
    let run = Run {
        p: Prime::new(q),
        accumulated: Accumulated::new(q, terms.len().min(MAX_LAZY_TERMS), q.value() - 1),
        width,
    };
    let tiles = out.chunks_mut(GEMM_OUTPUTS * width).zip(weights.chunks(GEMM_OUTPUTS * terms.len()));
    for (out, weights) in tiles {
        match out.len() / width {
            1 => run.tile::<1>(out, weights, terms, x),
            2 => run.tile::<2>(out, weights, terms, x),
            3 => run.tile::<3>(out, weights, terms, x),
            4 => run.tile::<4>(out, weights, terms, x),
            5 => run.tile::<5>(out, weights, terms, x),
            _ => run.tile::<GEMM_OUTPUTS>(out, weights, terms, x),
        }
    }
}

struct Run {
    p: Prime,
    accumulated: Accumulated,
    /// Columns of all panels.
    width: usize,
}

impl Run {
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn tile<const O: usize>(&self, out: &mut [u64], weights: &[u64], terms: &[u32], x: Panels<'_>) {
        let weights = weights.as_chunks::<O>().0;
        for (panel, rows) in x.iter().enumerate() {
            let mut sums = self.sums(weights, terms, rows);
            // More terms than an accumulator holds are summed in parts.
            for first in (MAX_LAZY_TERMS..terms.len()).step_by(MAX_LAZY_TERMS) {
                let rest = self.sums(&weights[first..], &terms[first..], rows);
                for (sums, rest) in sums.iter_mut().zip(rest) {
                    *sums = std::array::from_fn(|v| self.p.add(sums[v], rest[v]));
                }
            }
            for (out, sums) in out.chunks_mut(self.width).zip(sums) {
                let lines = out[panel * GEMM_COLUMNS..][..GEMM_COLUMNS].as_chunks_mut().0;
                lines.iter_mut().zip(sums).for_each(|(line, sum)| store(line, sum));
            }
        }
    }

    /// The outputs of a tile in one panel, over as many terms as an accumulator holds.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
    fn sums<const O: usize>(
        &self,
        weights: &[[u64; O]],
        terms: &[u32],
        rows: &[[Line; VECTORS]],
    ) -> [[__m512i; VECTORS]; O] {
        let (mut hi, mut lo) = ([[_mm512_setzero_si512(); VECTORS]; O], [[_mm512_setzero_si512(); VECTORS]; O]);
        for (&term, weights) in terms.iter().zip(weights).take(MAX_LAZY_TERMS) {
            let row = &rows[term as usize];
            let x = [load(&row[0]), load(&row[1])];
            for o in 0..O {
                let weight = splat(weights[o]);
                for v in 0..VECTORS {
                    hi[o][v] = _mm512_madd52hi_epu64(hi[o][v], x[v], weight);
                    lo[o][v] = _mm512_madd52lo_epu64(lo[o][v], x[v], weight);
                }
            }
        }
        std::array::from_fn(|o| std::array::from_fn(|v| self.accumulated.finish(&self.p, hi[o][v], lo[o][v])))
    }
}
