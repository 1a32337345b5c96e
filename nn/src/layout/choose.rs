//! Where the outputs of a matrix should lie, so that it has few diagonals.

use std::collections::{HashMap, HashSet};

use super::{DiagonalPlan, Layout, LayoutError, Stepping};
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
        stepping: Stepping,
    ) -> Result<Self, LayoutError> {
        let dense = Self::dense(slots, interleave, features)?;
        let repetitions = dense.positions_per_ciphertext() / dense.period;
        let mut best = (usize::MAX, dense.clone());
        for copies in (0..=repetitions.ilog2()).map(|log| 1 << log) {
            for rows in readers.iter().map(|matrix| matrix.rows().next_power_of_two()) {
                let input = dense.shifted(copies, rows / copies)?;
                let cost = |matrix: &&SparseMatrix| {
                    let output = Self::of_outputs(matrix, &input, stepping)?;
                    Ok(DiagonalPlan::new(matrix, &input, &output, stepping)?.cost())
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
    pub fn of_outputs(matrix: &SparseMatrix, input: &Self, stepping: Stepping) -> Result<Self, LayoutError> {
        let dense = Self::dense(input.slots, input.interleave, matrix.rows())?;
        let widest = matrix.iter_rows().map(<[_]>::len).max().unwrap_or(0);
        if input.positions_per_ciphertext() == 1 || input.copies > 1 || 4 * widest > matrix.cols() {
            return Ok(dense);
        }
        let anchored = Self::anchored(matrix, input)?;
        let cost = |output: &Self| Ok(DiagonalPlan::new(matrix, input, output, stepping)?.cost());
        match cost(&anchored)? < cost(&dense)? {
            true => Ok(anchored),
            false => Ok(dense),
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
    /// The diagonals so far, each with the bits of the weights that lie on it.
    diagonals: HashMap<Diagonal, Vec<u64>>,
    /// All d so far, in order of appearance.
    distances: Vec<usize>,
    /// The d of the row placed last: the next row mostly continues it.
    latest: Vec<usize>,
    /// All d so far.
    known: HashSet<usize>,
}

/// (output ciphertext, input ciphertext, d).
type Diagonal = (usize, usize, usize);

/// A column that a row reads: its ciphertext, its position, and its weight.
type Source = (usize, usize, f64);

impl<'a> Anchors<'a> {
    fn new(input: &'a Layout) -> Self {
        Self {
            input,
            positions: input.positions_per_ciphertext(),
            taken: Vec::new(),
            diagonals: HashMap::new(),
            distances: vec![0],
            latest: Vec::new(),
            known: HashSet::from([0]),
        }
    }

    /// Takes the free place that adds fewest diagonals; among equals the one where most weights lie on diagonals that have the same
    /// weight already, and the earliest of those. At the border of a padded convolution rows read fewer columns, and many places add no
    /// diagonal: their weights tell which one continues the grid.
    fn place(&mut self, row: &[(u32, f64)]) -> Place {
        let sources: Vec<Source> = row
            .iter()
            .map(|&(c, weight)| {
                let (ciphertext, position) = self.input.position(c as usize);
                (ciphertext, position, weight)
            })
            .collect();
        if let Some(place) = self.continued(&sources) {
            self.take(&sources, place);
            return place;
        }
        let mut best: Option<((usize, usize), Place)> = None;
        'search: for ciphertext in 0..=self.taken.len() {
            for anchor in self.anchors(&sources, &self.distances) {
                let Some(position) = self.free(ciphertext, anchor) else {
                    continue;
                };
                let place = Place { ciphertext, position };
                let most = best.map_or(usize::MAX, |((least, _), _)| least);
                let score = self.score(&sources, place, most);
                if score.is_some_and(|score| best.is_none_or(|(least, _)| score < least)) {
                    best = score.map(|score| (score, place));
                }
                if score == Some((0, 0)) {
                    break 'search;
                }
            }
        }
        let place = best.map_or(Place { ciphertext: self.taken.len(), position: 0 }, |(_, place)| place);
        self.take(&sources, place);
        place
    }

    /// The place that continues the row before, if everything fits there.
    fn continued(&self, sources: &[Source]) -> Option<Place> {
        let ciphertext = self.taken.len().checked_sub(1)?;
        let places = self.anchors(sources, &self.latest).into_iter().filter_map(|anchor| self.free(ciphertext, anchor));
        places
            .map(|position| Place { ciphertext, position })
            .find(|&place| self.score(sources, place, 0) == Some((0, 0)))
    }

    /// How many diagonals a row at `place` adds, and how many of its weights are new to theirs; none if it adds more than `most`.
    fn score(&self, sources: &[Source], place: Place, most: usize) -> Option<(usize, usize)> {
        let (mut added, mut new) = (0, 0);
        for (diagonal, weight) in self.diagonals_of(sources, place) {
            let weights = self.diagonals.get(&diagonal);
            added += usize::from(weights.is_none());
            new += usize::from(weights.is_none_or(|weights| !weights.contains(&weight)));
            if added > most {
                return None;
            }
        }
        Some((added, new))
    }

    /// Positions within the input's period at which one of the row's outer columns falls on one of the `known` distances.
    fn anchors(&self, sources: &[Source], known: &[usize]) -> Vec<usize> {
        let outer = [sources.first(), sources.last(), sources.get(sources.len() / 2)];
        let period = self.input.period;
        let distances = known.iter().take(TRIED_DIAGONALS);
        let mut anchors: Vec<usize> =
            distances.flat_map(|d| outer.iter().flatten().map(move |&&(_, t, _)| (t + period - d) % period)).collect();
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

    /// The diagonals that a row at `place` has, each with the bits of its weight.
    fn diagonals_of(&self, sources: &[Source], place: Place) -> impl Iterator<Item = (Diagonal, u64)> {
        let (period, t) = (self.input.period, place.position % self.input.period);
        let diagonal =
            move |&(i, c, weight): &Source| ((place.ciphertext, i, (c + period - t) % period), weight.to_bits());
        sources.iter().map(diagonal)
    }

    fn take(&mut self, sources: &[Source], place: Place) {
        if place.ciphertext == self.taken.len() {
            self.taken.push(vec![false; self.positions]);
        }
        self.taken[place.ciphertext][place.position] = true;
        let own: Vec<(Diagonal, u64)> = self.diagonals_of(sources, place).collect();
        let outer = [own.first(), own.last(), own.get(own.len() / 2)];
        self.latest = outer.into_iter().flatten().map(|(diagonal, _)| diagonal.2).collect();
        for &(diagonal, weight) in &own {
            let weights = self.diagonals.entry(diagonal).or_default();
            if !weights.contains(&weight) {
                weights.push(weight);
            }
            if self.known.insert(diagonal.2) {
                self.distances.push(diagonal.2);
            }
        }
    }
}
