//! Where the outputs of a matrix should lie, so that it has few diagonals.

use std::collections::HashSet;

use super::{DiagonalPlan, Layout, LayoutError};
use crate::graph::SparseMatrix;

/// At most this many known diagonals are tried for each row.
const TRIED_DIAGONALS: usize = 64;

impl Layout {
    /// A layout for the outputs of `matrix` when its inputs lie in `input`: dense, or anchored to the inputs, whichever makes
    /// the matrix cheaper by [`DiagonalPlan::cost`].
    ///
    /// *Anchored* places each row where its non-zeros fall on diagonals that earlier rows already have. For a convolution
    /// that is the place of the window's corner: the output keeps the strides and gaps of the input's grid, and there are as
    /// many diagonals as the kernel has weights (the multiplexed packing of Lee et al. 2021/1688 and Orion 2311.03470, found
    /// from the matrix alone). Channels go to free places of the same grid, then to further repetitions of the input's
    /// period, which turn into a longer period of the output.
    ///
    /// # Errors
    /// As [`DiagonalPlan::new`].
    pub fn of_outputs(matrix: &SparseMatrix, input: &Self) -> Result<Self, LayoutError> {
        let dense = Self::dense(input.slots, input.interleave, matrix.rows())?;
        let widest = matrix.iter_rows().map(<[_]>::len).max().unwrap_or(0);
        if input.positions_per_ciphertext() == 1 || 4 * widest > matrix.cols() {
            return Ok(dense);
        }
        let anchored = Self::anchored(matrix, input)?;
        let cost = |output: &Self| Ok(DiagonalPlan::new(matrix, input, output)?.cost());
        match cost(&anchored)? < cost(&dense)? {
            true => Ok(anchored),
            false => Ok(dense),
        }
    }

    fn anchored(matrix: &SparseMatrix, input: &Self) -> Result<Self, LayoutError> {
        let mut anchors = Anchors::new(input);
        let places: Vec<Place> = matrix.iter_rows().map(|row| anchors.place(row)).collect();
        let one_period = places.iter().all(|place| place.ciphertext == 0 && place.position < input.period);
        let period = match one_period {
            true => input.period,
            false => anchors.positions,
        };
        let position = |place: &Place| (place.ciphertext * period + place.position) as u32;
        Self::new(input.slots, input.interleave, period, places.iter().map(position).collect())
    }
}

/// A place for an output.
#[derive(Debug, Clone, Copy)]
struct Place {
    ciphertext: usize,
    position: usize,
}

/// The places and diagonals taken so far.
struct Anchors<'a> {
    input: &'a Layout,
    /// S: positions of a ciphertext.
    positions: usize,
    /// Of each output ciphertext begun, which positions are taken.
    taken: Vec<Vec<bool>>,
    /// (output ciphertext, input ciphertext, d) of the diagonals so far.
    diagonals: HashSet<(usize, usize, usize)>,
    /// All d so far, in order of appearance.
    distances: Vec<usize>,
}

impl<'a> Anchors<'a> {
    fn new(input: &'a Layout) -> Self {
        Self {
            input,
            positions: input.positions_per_ciphertext(),
            taken: Vec::new(),
            diagonals: HashSet::new(),
            distances: vec![0],
        }
    }

    /// Takes the free place that adds fewest diagonals; the earliest among equals.
    fn place(&mut self, row: &[(u32, f64)]) -> Place {
        let sources: Vec<(usize, usize)> = row.iter().map(|&(c, _)| self.input.position(c as usize)).collect();
        let mut best: Option<(usize, Place)> = None;
        'search: for ciphertext in 0..=self.taken.len() {
            for anchor in self.anchors(&sources) {
                let Some(position) = self.free(ciphertext, anchor) else {
                    continue;
                };
                let place = Place { ciphertext, position };
                let added = self.added(&sources, place).filter(|new| !self.diagonals.contains(new));
                let score = added.count();
                if best.is_none_or(|(least, _)| score < least) {
                    best = Some((score, place));
                }
                if score == 0 {
                    break 'search;
                }
            }
        }
        let place = best.map_or(Place { ciphertext: self.taken.len(), position: 0 }, |(_, place)| place);
        self.take(&sources, place);
        place
    }

    /// Positions within the input's period at which one of the row's outer columns falls on a known distance.
    fn anchors(&self, sources: &[(usize, usize)]) -> Vec<usize> {
        let outer = [sources.first(), sources.last(), sources.get(sources.len() / 2)];
        let period = self.input.period;
        let distances = self.distances.iter().take(TRIED_DIAGONALS);
        let mut anchors: Vec<usize> =
            distances.flat_map(|d| outer.iter().flatten().map(move |&&(_, t)| (t + period - d) % period)).collect();
        if anchors.is_empty() {
            anchors.push(0);
        }
        let mut seen = HashSet::new();
        anchors.retain(|&anchor| seen.insert(anchor));
        anchors
    }

    /// The first free repetition of a position.
    fn free(&self, ciphertext: usize, anchor: usize) -> Option<usize> {
        let mut repetitions = (anchor..self.positions).step_by(self.input.period);
        match self.taken.get(ciphertext) {
            None => Some(anchor),
            Some(taken) => repetitions.find(|&position| !taken[position]),
        }
    }

    /// The diagonals that a row at `place` has.
    fn added(&self, sources: &[(usize, usize)], place: Place) -> impl Iterator<Item = (usize, usize, usize)> {
        let (period, t) = (self.input.period, place.position % self.input.period);
        sources.iter().map(move |&(i, c)| (place.ciphertext, i, (c + period - t) % period))
    }

    fn take(&mut self, sources: &[(usize, usize)], place: Place) {
        if place.ciphertext == self.taken.len() {
            self.taken.push(vec![false; self.positions]);
        }
        self.taken[place.ciphertext][place.position] = true;
        let added: Vec<_> = self.added(sources, place).collect();
        for diagonal in added {
            if self.diagonals.insert(diagonal) && !self.distances.contains(&diagonal.2) {
                self.distances.push(diagonal.2);
            }
        }
    }
}
