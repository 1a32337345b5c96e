//! Polynomials of small degree by their powers: p(x) = Σ c_k x^k, x^k = x^⌈k/2⌉ · x^⌊k/2⌋.
//!
//! Depth ⌈log2 degree⌉ products of ciphertexts and one by constants. Every term is multiplied by its coefficient, encoded at
//! the scale that makes all terms meet; lower powers are dropped to the level of the highest.

use super::{At, Lowering};
use ckks::Scale;

use crate::program::{Kind, ProgramError, ValueId};

impl Lowering {
    /// p(x) with p given by its coefficients, lowest first.
    pub(super) fn polynomial(&mut self, at: At, coefficients: &[f64], x: ValueId) -> Result<ValueId, ProgramError> {
        let degree = coefficients.iter().rposition(|&c| c != 0.0).unwrap_or(0);
        let coefficients = &coefficients[..coefficients.len().min(degree + 1)];
        if coefficients == [0.0, 0.0, 1.0] {
            return self.mul(at, x, x);
        }
        let powers = self.powers(at, coefficients, x)?;
        let constant = coefficients.first().copied().unwrap_or(0.0);
        let terms: Vec<(f64, ValueId)> = powers
            .iter()
            .zip(coefficients)
            .filter_map(|(power, &c)| Some((c, (*power)?)))
            .filter(|&(c, _)| c != 0.0)
            .collect();
        let terms = if terms.is_empty() { vec![(0.0, x)] } else { terms };
        let sum = self.combination(at, &terms)?;
        let sum = match constant == 0.0 {
            true => sum,
            false => self.push(at, Kind::AddConstant(constant), &[sum])?,
        };
        self.settle(at, sum)
    }

    /// x^k for each k with a coefficient, and those that they are made of.
    fn powers(&mut self, at: At, coefficients: &[f64], x: ValueId) -> Result<Vec<Option<ValueId>>, ProgramError> {
        let mut needed: Vec<bool> = coefficients.iter().map(|&c| c != 0.0).collect();
        for k in (2..needed.len()).rev().filter(|&k| k > 1) {
            if needed[k] {
                needed[k / 2] = true;
                needed[k.div_ceil(2)] = true;
            }
        }
        let largest = self.value(x).magnitude;
        let mut powers = vec![None; coefficients.len()];
        for k in (1..coefficients.len()).filter(|&k| needed[k]) {
            powers[k] = match (powers[k / 2], powers[k.div_ceil(2)]) {
                (Some(low), Some(high)) if k > 1 => {
                    let at = At { magnitude: largest.powi(k as i32), ..at };
                    Some(self.mul(at, high, low)?)
                }
                _ => Some(x),
            };
        }
        Ok(powers)
    }

    /// Σ c v, before its rescale.
    fn combination(&mut self, at: At, terms: &[(f64, ValueId)]) -> Result<ValueId, ProgramError> {
        let scale = |(_, v): &(f64, ValueId)| self.value(*v).scale;
        let larger = |a: Scale, b: Scale| if a.to_f64() < b.to_f64() { b } else { a };
        let largest = terms.iter().map(scale).fold(scale(&terms[0]), larger);
        let target = largest.mul(self.constant_scale());
        let level = terms.iter().map(|(_, v)| self.value(*v).level).min().unwrap_or(0);
        let mut sum = None;
        for &(c, v) in terms {
            let v = self.drop_to(v, level)?;
            let magnitude = (c * self.value(v).magnitude).abs();
            let factor = target.div(self.value(v).scale);
            let term = self.mul_constant(At { magnitude, ..at }, v, c, factor)?;
            sum = Some(match sum {
                None => term,
                Some(sum) => {
                    let magnitude = magnitude + self.value(sum).magnitude;
                    self.push(At { magnitude, ..at }, Kind::Add, &[sum, term])?
                }
            });
        }
        Ok(sum.unwrap_or(terms[0].1))
    }
}
