//! The entries of a matrix by the diagonals that they lie on, and the slots of these.
//!
//! Entries are walked once for all diagonals: one that looked up all of its positions in the matrix would read a row for each, and those of
//! a convolution do not stay in a cache.

use rayon::prelude::*;

use super::Layout;
use super::diagonal::{Diagonal, DiagonalPlan, Product, on_diagonals};
use crate::graph::SparseMatrix;

/// The entries of a plan's matrix, sorted by its diagonals.
pub struct DiagonalEntries<'a> {
    plan: &'a DiagonalPlan,
    /// Slots of a position.
    interleave: usize,
    /// Of each its diagonal, and t, its position there before a giant step.
    entries: Vec<(Key, u32, f64)>,
}

/// A [`Diagonal`] in few bytes.
type Key = (u32, u32, i32);

fn key((o, i, d): Diagonal) -> Key {
    (o as u32, i as u32, d as i32)
}

impl<'a> DiagonalEntries<'a> {
    /// Of the matrix and the layouts that `plan` was made for. On the threads of the current rayon pool.
    pub fn new(plan: &'a DiagonalPlan, matrix: &SparseMatrix, input: &Layout, output: &Layout) -> Self {
        let of_row = |row| {
            let entries = on_diagonals(matrix, row, (input, output), plan.turn());
            entries.map(|(diagonal, t, value)| (key(diagonal), t as u32, value))
        };
        let mut entries: Vec<_> = (0..matrix.rows()).into_par_iter().flat_map_iter(of_row).collect();
        entries.par_sort_unstable_by_key(|&(diagonal, ..)| diagonal);
        Self { plan, interleave: output.interleave(), entries }
    }

    /// The slots of the diagonal m of output `o`, giant step `giant` and `product`, over a whole ciphertext.
    pub fn slots(&self, o: usize, giant: i64, product: Product) -> Vec<f64> {
        let (period, b) = (self.plan.period() as i64, self.interleave);
        let wanted = key((o, product.input, giant + product.rotation as i64));
        let first = self.entries.partition_point(|&(diagonal, ..)| diagonal < wanted);
        let mut slots = vec![0.0; self.plan.period() * b];
        for &(_, t, value) in self.entries[first..].iter().take_while(|&&(diagonal, ..)| diagonal == wanted) {
            let u = (i64::from(t) + giant).rem_euclid(period) as usize;
            slots[u * b..][..b].fill(value);
        }
        slots.repeat(self.plan.repetitions())
    }
}
