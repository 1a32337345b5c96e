//! Where features and samples lie in slots: slot = position(feature) · b + sample, in one or several ciphertexts.
//!
//! With `b` samples interleaved a ciphertext has S = slots / b *positions*. Features own positions within a *period* P (a
//! power of two dividing S), and a ciphertext repeats its period S/P times; so a rotation by k·b slots is a rotation by k
//! positions, cyclic modulo P, for every sample at once. A position without a feature is a gap, known to be zero or not.
//! Repetitions can be *shifted*: repetition r begins with what lies at position r·s of the period, so that a rotation brings other
//! features to the same place in each of `copies` repetitions, after which all repeats (its *cycle*, `copies` periods).
//!
//! - b = slots: S = P = 1, one feature a ciphertext (the packing of CryptoNets, Gilad-Bachrach et al. 2016);
//! - b = 1: one sample over all slots (LoLa, 1812.10659; Orion, 2311.03470);
//! - between: the tile tensors of HElayers (2011.01805), with one shape.
//!
//! A layout is a partial map from slots to features, as in HEIR; everything else asks it through [`Layout::state`] and
//! [`Layout::position`]. Read [`DiagonalPlan`] next: the product of a slot vector and a matrix between two layouts.

mod choose;
mod diagonal;
mod entries;
mod error;

pub use diagonal::{DiagonalPlan, GiantStep, KeyPrice, Keys, Product};
pub use entries::DiagonalEntries;
pub use error::LayoutError;

use std::sync::Arc;

use rayon::prelude::*;

use crate::graph::SparseMatrix;

/// Ciphertexts and samples that are packed together: features of a sample that follow each other share cache lines.
const TILE: usize = 64;

/// An injection of features into the positions of one or several ciphertexts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    slots: usize,
    interleave: usize,
    period: usize,
    /// Repetitions that differ, and s: how much farther each is rotated to the left than the one before; 1 and 0 if all are alike.
    copies: usize,
    shift: usize,
    ciphertexts: usize,
    /// Of each feature: ciphertext · period + position within the period.
    positions: Arc<[u32]>,
    /// The inverse: of each position, counted likewise, its feature.
    owners: Arc<[Option<u32>]>,
    gaps: Gaps,
}

/// What lies at positions that belong to no feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gaps {
    /// Zero, up to noise.
    Zero,
    /// Anything of the size of the features.
    Unknown,
}

/// What lies at a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The feature, in the first period.
    Feature(usize),
    /// A copy of the feature, in a later period.
    Repeated(usize),
    /// Zero, up to noise.
    Zero,
    /// Anything.
    Unknown,
}

impl Layout {
    /// A layout with feature f at `positions[f]`, counted as ciphertext · `period` + position within the period; gaps are
    /// zero.
    ///
    /// # Errors
    /// [`LayoutError::Size`] unless `interleave` divides `slots` and `period` divides slots / interleave, all powers of two;
    /// [`LayoutError::Collision`] for two features in one place; [`LayoutError::Extent`].
    pub fn new(slots: usize, interleave: usize, period: usize, positions: Vec<u32>) -> Result<Self, LayoutError> {
        divides("the number of slots", slots, slots, "slots")?;
        divides("the interleave", interleave, slots, "slots")?;
        divides("the period", period, slots / interleave, "positions")?;
        let extent = positions.iter().max().map_or(0, |&last| last as usize + 1);
        if extent == 0 || extent > 1 << 31 {
            return Err(LayoutError::Extent { features: positions.len(), positions: extent });
        }
        let ciphertexts = extent.div_ceil(period);
        let mut owners: Vec<Option<u32>> = vec![None; ciphertexts * period];
        for (feature, &position) in positions.iter().enumerate() {
            if let Some(first) = owners[position as usize].replace(feature as u32) {
                return Err(LayoutError::Collision {
                    first: first as usize,
                    second: feature,
                    position: position as usize,
                });
            }
        }
        let (positions, owners) = (positions.into(), owners.into());
        Ok(Self { slots, interleave, period, copies: 1, shift: 0, ciphertexts, positions, owners, gaps: Gaps::Zero })
    }

    /// The features in their order without gaps, with the smallest period that holds them, or over as many ciphertexts as
    /// they need.
    ///
    /// # Errors
    /// As [`Layout::new`].
    pub fn dense(slots: usize, interleave: usize, features: usize) -> Result<Self, LayoutError> {
        divides("the interleave", interleave, slots, "slots")?;
        if u32::try_from(features).is_err() {
            return Err(LayoutError::Extent { features, positions: features });
        }
        let period = features.next_power_of_two().min(slots / interleave);
        Self::new(slots, interleave, period, (0..features as u32).collect())
    }

    /// The same places, with what is known about the gaps replaced.
    pub fn with_gaps(&self, gaps: Gaps) -> Self {
        Self { gaps, ..self.clone() }
    }

    /// The same layout with repetition r of the period rotated to the left by r · `shift` positions, for r below `copies`, and these
    /// repeated.
    ///
    /// # Errors
    /// [`LayoutError::Size`] unless `copies` is a power of two that divides the number of repetitions.
    pub fn shifted(&self, copies: usize, shift: usize) -> Result<Self, LayoutError> {
        divides("the number of shifted copies", copies, self.positions_per_ciphertext() / self.period, "repetitions")?;
        let shift = if copies == 1 { 0 } else { shift % self.period };
        Ok(Self { copies, shift, ..self.clone() })
    }

    /// The same places with `interleave` samples at each for every one that there was.
    pub fn interleaved(&self, interleave: usize) -> Self {
        Self { slots: self.slots * interleave, interleave: self.interleave * interleave, ..self.clone() }
    }

    /// Slots of a ciphertext.
    pub fn slots(&self) -> usize {
        self.slots
    }

    /// b: samples side by side at each position.
    pub fn interleave(&self) -> usize {
        self.interleave
    }

    /// S = slots / b: positions of a ciphertext.
    pub fn positions_per_ciphertext(&self) -> usize {
        self.slots / self.interleave
    }

    /// Slots to rotate by to the left, in 0..slots, for a rotation by `positions`.
    pub fn slots_of(&self, positions: i64) -> usize {
        (positions * self.interleave as i64).rem_euclid(self.slots as i64) as usize
    }

    /// P: positions among which each feature of a ciphertext has one.
    pub fn period(&self) -> usize {
        self.period
    }

    /// Repetitions of the period that differ.
    pub fn copies(&self) -> usize {
        self.copies
    }

    /// s: positions that each of them is rotated to the left, beyond the one before.
    pub fn shift(&self) -> usize {
        self.shift
    }

    /// Positions after which a ciphertext repeats itself.
    pub fn cycle(&self) -> usize {
        self.copies * self.period
    }

    /// Number of ciphertexts.
    pub fn ciphertexts(&self) -> usize {
        self.ciphertexts
    }

    /// Number of features.
    pub fn features(&self) -> usize {
        self.positions.len()
    }

    /// What is known about positions without a feature.
    pub fn gaps(&self) -> Gaps {
        self.gaps
    }

    /// (ciphertext, position within the period) of a feature.
    ///
    /// # Panics
    /// If there is no such feature.
    pub fn position(&self, feature: usize) -> (usize, usize) {
        let position = self.positions[feature] as usize;
        (position / self.period, position % self.period)
    }

    /// All positions of a feature within the cycle of its ciphertext.
    pub(crate) fn places(&self, feature: usize) -> impl Iterator<Item = usize> {
        let Self { period, copies, shift, .. } = *self;
        let (_, position) = self.position(feature);
        (0..copies).map(move |copy| copy * period + (position + period - copy * shift % period) % period)
    }

    /// The feature at a position of a ciphertext, the position taken modulo the cycle.
    ///
    /// # Panics
    /// If there is no such ciphertext.
    pub fn owner(&self, ciphertext: usize, position: usize) -> Option<usize> {
        let copy = position / self.period % self.copies;
        let index = ciphertext * self.period + (position + copy * self.shift) % self.period;
        self.owners[index].map(|feature| feature as usize)
    }

    /// What lies at a position of a ciphertext.
    ///
    /// # Panics
    /// If there is no such ciphertext.
    pub fn state(&self, ciphertext: usize, position: usize) -> State {
        match (self.owner(ciphertext, position), self.gaps) {
            (Some(feature), _) if position < self.period => State::Feature(feature),
            (Some(feature), _) => State::Repeated(feature),
            (None, Gaps::Zero) => State::Zero,
            (None, Gaps::Unknown) => State::Unknown,
        }
    }

    /// Whether `matrix` leads from this layout to `output`.
    ///
    /// # Errors
    /// [`LayoutError::Shape`] if the layouts have other features than the matrix, or the two differ in slots or interleave.
    pub fn check_shapes(&self, matrix: &SparseMatrix, output: &Self) -> Result<(), LayoutError> {
        shape("columns", self.features(), matrix.cols())?;
        shape("rows", output.features(), matrix.rows())?;
        shape("slots", self.slots, output.slots)?;
        shape("samples at a time", self.interleave, output.interleave)
    }

    /// Whether both put the same features into the same slots; gaps may differ.
    pub fn same_places(&self, other: &Self) -> bool {
        let shape = |layout: &Self| (layout.slots, layout.interleave, layout.period, layout.copies, layout.shift);
        shape(self) == shape(other) && self.positions == other.positions
    }

    /// The slots of one ciphertext that holds the same `values`, one a feature, for every sample: constants to add.
    pub fn spread(&self, values: &[f64], ciphertext: usize) -> Vec<f64> {
        let value = |position| self.owner(ciphertext, position).map_or(0.0, |feature| values[feature]);
        let cycle = (0..self.cycle()).flat_map(|position| std::iter::repeat_n(value(position), self.interleave));
        let cycle: Vec<f64> = cycle.collect();
        cycle.repeat(self.slots / cycle.len())
    }

    /// Slot vectors of up to b samples: reads [n, features] values in row-major order; gaps are zero. Samples stand in for absent ones,
    /// since zeros may lie far from all data, where polynomials grow beyond all that slots hold, and a slot that overflows takes the others
    /// of its ciphertext with it. On the threads of the current rayon pool.
    ///
    /// # Errors
    /// [`LayoutError::Batch`] if the values are no whole number of samples, or of too many.
    pub fn pack(&self, samples: &[f64]) -> Result<Vec<Vec<f64>>, LayoutError> {
        let (features, b) = (self.features(), self.interleave);
        if !samples.len().is_multiple_of(features) || samples.len() / features > b {
            return Err(LayoutError::Batch { values: samples.len(), features, interleave: b });
        }
        let mut packed: Vec<_> = (0..self.ciphertexts).map(|_| vec![0.0; self.slots]).collect();
        packed.par_chunks_mut(TILE).enumerate().for_each(|(group, packed)| {
            for (tile, samples) in samples.chunks(TILE * features).enumerate() {
                for (ciphertext, slots) in (group * TILE..).zip(packed.iter_mut()) {
                    for (position, slots) in slots.chunks_mut(b).enumerate() {
                        if let Some(feature) = self.owner(ciphertext, position) {
                            let values = samples.iter().skip(feature).step_by(features);
                            slots[tile * TILE..].iter_mut().zip(values).for_each(|(slot, &value)| *slot = value);
                        }
                    }
                }
            }
            let present = samples.len() / features;
            packed.iter_mut().flat_map(|slots| slots.chunks_mut(b)).for_each(|slots| repeat(slots, present));
        });
        Ok(packed)
    }

    /// The first `samples` samples of slot vectors: [n, features] values in row-major order.
    ///
    /// # Errors
    /// [`LayoutError::Shape`] for slot vectors of another number or length, or more samples than interleaved.
    pub fn unpack(&self, packed: &[Vec<f64>], samples: usize) -> Result<Vec<f64>, LayoutError> {
        shape("ciphertexts", self.ciphertexts, packed.len())?;
        for slots in packed {
            shape("slots", self.slots, slots.len())?;
        }
        if samples > self.interleave {
            return shape("samples at a time", self.interleave, samples).map(|()| Vec::new());
        }
        let mut values = Vec::with_capacity(samples * self.features());
        for sample in 0..samples {
            values.extend((0..self.features()).map(|feature| {
                let (ciphertext, position) = self.position(feature);
                packed[ciphertext][position * self.interleave + sample]
            }));
        }
        Ok(values)
    }
}

/// Fills values up with the first `present` ones, over and over.
fn repeat(values: &mut [f64], present: usize) {
    let mut filled = present;
    while 0 < filled && filled < values.len() {
        let more = filled.min(values.len() - filled);
        values.copy_within(..more, filled);
        filled += more;
    }
}

/// Whether `value` is a power of two dividing `limit`.
fn divides(what: &'static str, value: usize, limit: usize, of: &'static str) -> Result<(), LayoutError> {
    if value.is_power_of_two() && limit.is_multiple_of(value) {
        return Ok(());
    }
    Err(LayoutError::Size { what, value, limit, of })
}

fn shape(what: &'static str, expected: usize, found: usize) -> Result<(), LayoutError> {
    match expected == found {
        true => Ok(()),
        false => Err(LayoutError::Shape { what, expected, found }),
    }
}

#[cfg(test)]
mod tests;
