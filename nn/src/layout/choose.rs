//! Where the outputs of a matrix should lie, so that it has few diagonals.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use super::{DiagonalPlan, KeyPrice, Layout, LayoutError};
use crate::graph::SparseMatrix;

/// At most this many known diagonals are tried for each row.
const TRIED_DIAGONALS: usize = 512;

impl Layout {
    /// A layout for `features` that these matrices read, and that can be put into slots in any way: dense, with as many shifted
    /// repetitions as make the matrices cheapest by [`DiagonalPlan::cost`]. Each copy then takes diagonals of its own, so that there are
    /// fewer products and rotations of the input; more rotations of the fold add the copies up.
    ///
    /// # Errors
    /// As [`Layout::dense`] and [`DiagonalPlan::new`].
    pub fn of_input(
        slots: usize,
        interleave: usize,
        features: usize,
        readers: &[&SparseMatrix],
        price: KeyPrice,
    ) -> Result<Self, LayoutError> {
        let dense = Self::dense(slots, interleave, features)?;
        let repetitions = dense.positions_per_ciphertext() / dense.period;
        let mut best = (usize::MAX, dense.clone());
        for copies in (0..=repetitions.ilog2()).map(|log| 1 << log) {
            for rows in readers.iter().map(|matrix| matrix.rows().next_power_of_two()) {
                let input = dense.shifted(copies, rows / copies)?;
                let cost = |matrix: &&SparseMatrix| {
                    let output = Self::of_outputs(matrix, &input, price)?;
                    Ok(DiagonalPlan::new(matrix, &input, &output, price.alone())?.cost())
                };
                let cost = readers.iter().map(cost).sum::<Result<usize, LayoutError>>()?;
                if cost < best.0 {
                    best = (cost, input);
                }
            }
        }
        Ok(best.1)
    }

    /// A layout for the outputs of `matrix` when its inputs lie in `input`: dense, or anchored to the inputs, whichever makes
    /// the matrix cheaper by [`DiagonalPlan::cost`]. Where the repetitions of the inputs are shifted, dense.
    ///
    /// *Anchored* places each row where its non-zeros fall on diagonals that earlier rows already have. For a convolution
    /// that is the place of the window's corner: the output keeps the strides and gaps of the input's grid, and there are as
    /// many diagonals as the kernel has weights (the multiplexed packing of Lee et al. 2021/1688 and Orion 2311.03470, found
    /// from the matrix alone). Channels go to free places of the same grid, then to further repetitions of the input's
    /// period, which turn into a longer period of the output, the shortest that holds them.
    ///
    /// # Errors
    /// As [`DiagonalPlan::new`].
    pub fn of_outputs(matrix: &SparseMatrix, input: &Self, price: KeyPrice) -> Result<Self, LayoutError> {
        let dense = Self::dense(input.slots, input.interleave, matrix.rows())?;
        let widest = matrix.iter_rows().map(<[_]>::len).max().unwrap_or(0);
        if input.positions_per_ciphertext() == 1 || input.copies > 1 || 4 * widest > matrix.cols() {
            return Ok(dense);
        }
        let cost = |output: &Self| Ok(DiagonalPlan::new(matrix, input, output, price.alone())?.cost());
        let anchored = || Self::anchored(matrix, input).and_then(|anchored| Ok((cost(&anchored)?, anchored)));
        let (anchored, cost) = rayon::join(anchored, || cost(&dense));
        match (anchored?, cost?) {
            ((least, anchored), cost) if least < cost => Ok(anchored),
            _ => Ok(dense),
        }
    }

    fn anchored(matrix: &SparseMatrix, input: &Self) -> Result<Self, LayoutError> {
        let mut anchors = Anchors::new(input);
        let places: Vec<Place> = matrix.iter_rows().map(|row| anchors.place(row)).collect();
        let last = places.iter().map(|place| place.position).max().unwrap_or(0);
        let period = match anchors.taken.len() {
            1 => input.period.max((last + 1).next_power_of_two()),
            _ => anchors.positions,
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
    /// How many are not.
    left: Vec<usize>,
    /// The diagonals so far, each with the bits of the weights that lie on it.
    diagonals: HashMap<Diagonal, Vec<u64>, FixedState>,
    /// All d so far, in order of appearance.
    distances: Vec<usize>,
    /// The d of the row placed last: the next row mostly continues it.
    latest: Vec<usize>,
    /// Of each d, whether it is among them.
    known: Vec<bool>,
}

/// (output ciphertext, input ciphertext, d), counted through.
type Diagonal = usize;

/// A column that a row reads: its ciphertext, its position, and the bits of its weight.
type Source = (usize, usize, u64);

/// How many diagonals a row adds, and how many of its weights are new to theirs.
type Score = (usize, usize);

impl<'a> Anchors<'a> {
    fn new(input: &'a Layout) -> Self {
        let mut known = vec![false; input.period];
        known[0] = true;
        Self {
            input,
            positions: input.positions_per_ciphertext(),
            taken: Vec::new(),
            left: Vec::new(),
            diagonals: HashMap::default(),
            distances: vec![0],
            latest: Vec::new(),
            known,
        }
    }

    /// Takes the free place that adds fewest diagonals; among equals the one where most weights lie on diagonals that have the same
    /// weight already, and the earliest of those. At the border of a padded convolution rows read fewer columns, and many places add no
    /// diagonal: their weights tell which one continues the grid.
    fn place(&mut self, row: &[(u32, f64)]) -> Place {
        let source = |&(c, weight): &(u32, f64)| {
            let (ciphertext, position) = self.input.position(c as usize);
            (ciphertext, position, weight.to_bits())
        };
        let sources: Vec<Source> = row.iter().map(source).collect();
        let place = self.continued(&sources).unwrap_or_else(|| self.best(&sources));
        self.take(&sources, place);
        place
    }

    /// The place that continues the row before, if everything fits there.
    fn continued(&self, sources: &[Source]) -> Option<Place> {
        let ciphertext = self.taken.len().checked_sub(1)?;
        let places = self.anchors(sources, &self.latest).filter_map(|anchor| self.free(ciphertext, anchor));
        places
            .map(|position| Place { ciphertext, position })
            .find(|&place| self.score(sources, place, (0, 1)).is_some())
    }

    /// The best place of all.
    fn best(&self, sources: &[Source]) -> Place {
        let distances = &self.distances[..self.distances.len().min(TRIED_DIAGONALS)];
        let mut seen = vec![false; self.input.period];
        let anchors = self.anchors(sources, distances).chain(sources.is_empty().then_some(0));
        let anchors: Vec<usize> = anchors.filter(|&anchor| !std::mem::replace(&mut seen[anchor], true)).collect();
        let mut least = (usize::MAX, usize::MAX);
        let mut best = Place { ciphertext: self.taken.len(), position: 0 };
        let begun = (0..self.taken.len()).filter(|&ciphertext| self.left[ciphertext] > 0);
        for ciphertext in begun.chain([self.taken.len()]) {
            for position in anchors.iter().filter_map(|&anchor| self.free(ciphertext, anchor)) {
                let place = Place { ciphertext, position };
                if let Some(score) = self.score(sources, place, least) {
                    (least, best) = (score, place);
                }
                if least == (0, 0) {
                    return best;
                }
            }
        }
        best
    }

    /// The score of a row at `place`, if it is less than `least`.
    fn score(&self, sources: &[Source], place: Place, least: Score) -> Option<Score> {
        let mut score = (0, 0);
        for (diagonal, weight) in self.diagonals_of(sources, place) {
            let weights = self.diagonals.get(&diagonal);
            score.0 += usize::from(weights.is_none());
            score.1 += usize::from(weights.is_none_or(|weights| !weights.contains(&weight)));
            if score >= least {
                return None;
            }
        }
        (score < least).then_some(score)
    }

    /// Positions within the input's period at which one of the row's outer columns falls on one of the `distances`.
    fn anchors(&self, sources: &[Source], distances: &[usize]) -> impl Iterator<Item = usize> {
        let outer = [sources.first(), sources.last(), sources.get(sources.len() / 2)];
        let period = self.input.period;
        distances.iter().flat_map(move |d| outer.into_iter().flatten().map(move |&(_, t, _)| (t + period - d) % period))
    }

    /// The first free repetition of a position.
    fn free(&self, ciphertext: usize, anchor: usize) -> Option<usize> {
        let mut repetitions = (anchor..self.positions).step_by(self.input.period);
        match self.taken.get(ciphertext) {
            None => Some(anchor),
            Some(taken) => repetitions.find(|&position| !taken[position]),
        }
    }

    /// The diagonals that a row at `place` has, each with the bits of its weight.
    fn diagonals_of(&self, sources: &[Source], place: Place) -> impl Iterator<Item = (Diagonal, u64)> {
        let (period, inputs) = (self.input.period, self.input.ciphertexts);
        // The period is a power of two.
        let distance = move |c: usize| c.wrapping_sub(place.position) & (period - 1);
        sources.iter().map(move |&(i, c, weight)| ((place.ciphertext * inputs + i) * period + distance(c), weight))
    }

    fn take(&mut self, sources: &[Source], place: Place) {
        if place.ciphertext == self.taken.len() {
            self.taken.push(vec![false; self.positions]);
            self.left.push(self.positions);
        }
        self.taken[place.ciphertext][place.position] = true;
        self.left[place.ciphertext] -= 1;
        let own: Vec<(Diagonal, u64)> = self.diagonals_of(sources, place).collect();
        let distance = |diagonal: Diagonal| diagonal % self.input.period;
        let outer = [own.first(), own.last(), own.get(own.len() / 2)];
        self.latest = outer.into_iter().flatten().map(|&(diagonal, _)| distance(diagonal)).collect();
        for &(diagonal, weight) in &own {
            let weights = self.diagonals.entry(diagonal).or_default();
            if !weights.contains(&weight) {
                weights.push(weight);
            }
            let d = distance(diagonal);
            if !std::mem::replace(&mut self.known[d], true) {
                self.distances.push(d);
            }
        }
    }
}
