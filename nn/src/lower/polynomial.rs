//! Polynomials p(x) = Σ c_k T_k(x) in the Chebyshev basis, by baby and giant steps (Paterson-Stockmeyer 1973; Bossuat et al.
//! 2020/1203, section 5), in ⌈log2 degree⌉ products one after the other.
//!
//! p = q T_m + r with m the largest power of two below the degree, q and r again, down to *leaves* of degree at most 2^l, which are sums
//! of constants times T_1, …, T_2^l. Powers come from 2 T_a T_b = T_a+b + T_a−b. The l with the fewest products is taken; about √(2 degree)
//! in all. Of a polynomial whose odd part is linear, as of ReLU, SiLU and GELU on a symmetric range, the even part is a
//! polynomial of T_2 with half the degree. Polynomials of degree 2 and 4 are completed to squares.
//!
//! Constants cost no level. The leading term of each leaf is the product 2 T_a T_b itself, *read* at another scale; all further
//! terms are added before it is rescaled, each with its constant encoded at the scale that makes the term meet the product's. Only where a
//! term of the remainder has no such scale is it computed a level higher and rescaled onto it.
//!
//! A product of degree 2 is relinearised only where it is a factor of another: what is just added stays as it is.

use std::collections::{BTreeMap, BTreeSet};

use super::{At, Lowering};
use ckks::Scale;

use crate::program::{Kind, ProgramError, ValueId};

/// Constants are encoded at this many bits at least, so that what they multiply keeps its precision.
const CONSTANT_BITS: f64 = 16.0;
/// A larger shift to complete a square would cost precision.
const MAX_SHIFT: f64 = 8.0;

/// A polynomial by its Chebyshev coefficients, trailing zeros removed.
#[derive(Debug, Clone, PartialEq)]
struct Poly(Vec<f64>);

impl Poly {
    fn new(coefficients: &[f64]) -> Self {
        let len = coefficients.iter().rposition(|&c| c != 0.0).map_or(0, |last| last + 1);
        Self(coefficients[..len].to_vec())
    }

    fn degree(&self) -> usize {
        self.0.len().saturating_sub(1)
    }

    fn get(&self, k: usize) -> f64 {
        self.0.get(k).copied().unwrap_or(0.0)
    }

    /// m, q and r of p = q T_m + r, from T_m+j = 2 T_m T_j − T_m−j; m the largest power of two below the degree.
    fn divide(&self) -> (usize, Self, Self) {
        let m = self.degree().div_ceil(2).next_power_of_two();
        let mut r = self.0[..m].to_vec();
        let mut q = vec![self.get(m)];
        for j in 1..=self.degree() - m {
            q.push(2.0 * self.get(m + j));
            r[m - j] -= self.get(m + j);
        }
        (m, Self::new(&q), Self::new(&r))
    }

    /// How many products join leaves of degree at most `leaf`; those that powers need are added to `needs`.
    fn joins(&self, leaf: usize, needs: &mut Needs) -> usize {
        if self.degree() <= leaf {
            (2..self.0.len()).filter(|&k| self.0[k] != 0.0).for_each(|k| needs.product(k));
            return 0;
        }
        let (m, q, r) = self.divide();
        needs.product(m);
        1 + q.joins(leaf, needs) + r.joins(leaf, needs)
    }

    /// The degree of leaves with the fewest products; the largest among equals.
    fn leaf(&self) -> usize {
        let products = |leaf: &usize| {
            let mut needs = Needs::default();
            self.joins(*leaf, &mut needs) + needs.0.len()
        };
        let leaves: Vec<usize> = (0..=self.degree().max(1).ilog2() + 1).map(|l| 1 << l).collect();
        leaves.into_iter().rev().min_by_key(products).unwrap_or(1)
    }

    /// The even part as a polynomial of T_2, and c_1, if the rest of the odd part is zero.
    fn halved(&self) -> Option<(Self, f64)> {
        let odd = (3..self.0.len()).step_by(2).any(|k| self.0[k] != 0.0);
        let even: Vec<f64> = self.0.iter().copied().step_by(2).collect();
        (!odd && self.degree() > 2).then(|| (Self::new(&even), self.get(1)))
    }
}

/// The k of all products 2 T_a T_b, a + b = k, that something needs.
#[derive(Default)]
struct Needs(BTreeSet<usize>);

impl Needs {
    fn product(&mut self, k: usize) {
        if k > 1 && self.0.insert(k) {
            self.product(k / 2);
            self.product(k.div_ceil(2));
        }
    }
}

/// Powers of one tensor, made as they are needed.
#[derive(Clone)]
struct Powers {
    /// T_1, of degree 1.
    x: ValueId,
    /// Largest |T_1|.
    largest: f64,
    /// Degree of leaves.
    leaf: usize,
    /// Of k: 2 T_a T_b = T_k + T_a−b with a = ⌈k/2⌉ and b = ⌊k/2⌋, neither relinearised nor rescaled.
    products: BTreeMap<usize, ValueId>,
    /// Of k: T_k as a factor of products.
    factors: BTreeMap<usize, ValueId>,
}

impl Powers {
    fn new(x: ValueId, largest: f64, p: &Poly) -> Self {
        Self { x, largest, leaf: p.leaf(), products: BTreeMap::new(), factors: BTreeMap::from([(1, x)]) }
    }

    /// Largest |T_k|.
    fn bound(&self, k: usize) -> f64 {
        match self.largest <= 1.0 {
            true => 1.0,
            false => (k as f64 * self.largest.acosh()).cosh(),
        }
    }
}

/// Where a sum has to arrive: all its terms meet at one scale and level.
#[derive(Clone, Copy)]
struct Target {
    scale: Scale,
    level: usize,
}

impl Lowering {
    /// p(x) with p given by its coefficients in the Chebyshev basis.
    pub(super) fn polynomial(&mut self, at: At, coefficients: &[f64], x: ValueId) -> Result<ValueId, ProgramError> {
        let p = Poly::new(coefficients);
        let largest = self.value(x).magnitude;
        let sum = match p.halved() {
            _ if p.degree() < 2 => self.linear(at, &p, x)?,
            None => {
                let x = self.relinearize(x)?;
                self.whole(at, &mut Powers::new(x, largest, &p), &p)?
            }
            Some((even, linear)) => {
                let x = self.relinearize(x)?;
                let mut outer = Powers::new(x, largest, &p);
                let y = self.factor(at, &mut outer, 2)?;
                let sum = self.whole(at, &mut Powers::new(y, outer.bound(2), &even), &even)?;
                self.add_terms(at, &outer, sum, &Poly::new(&[0.0, linear]))?
            }
        };
        self.finish_product(at, sum)
    }

    /// c_0 + c_1 x: the same ciphertexts read at another scale.
    fn linear(&mut self, at: At, p: &Poly, x: ValueId) -> Result<ValueId, ProgramError> {
        let scaled = match p.get(1) {
            0.0 => self.mul_constant(at, x, 0.0, self.constant_scale())?,
            factor => self.read_as(at, x, factor)?,
        };
        self.add_constant(at, scaled, p.get(0))
    }

    /// A polynomial whose powers nothing else needs. Of degree 2 and 4 it is completed to squares, of which only the inner one is relinearised:
    /// a (x + h)² + …, and a ((x + h)² + k)² + … with a linear remainder.
    fn whole(&mut self, at: At, powers: &mut Powers, p: &Poly) -> Result<ValueId, ProgramError> {
        let [c0, c1, c2, c3, c4] = std::array::from_fn(|k| p.get(k));
        match p.degree() {
            2 => {
                let (a, h) = (2.0 * c2, c1 / (4.0 * c2));
                if h.abs() <= MAX_SHIFT {
                    let (square, _) = self.shifted_square(at, powers.x, h)?;
                    let leading = self.read_as(at, square, a)?;
                    return self.add_constant(at, leading, c0 - c2 - a * h * h);
                }
            }
            4 => {
                let (a, h) = (8.0 * c4, c3 / (8.0 * c4));
                // p = a z² + b z + …, where z = x² + 2 h x.
                let b = 2.0 * c2 - a - 4.0 * a * h * h;
                let k = b / (2.0 * a) - h * h;
                if h.abs() <= MAX_SHIFT && k.abs() <= MAX_SHIFT {
                    let (square, shifted) = self.shifted_square(at, powers.x, h)?;
                    let square = self.relinearize_settle(self.as_is(at, square), square)?;
                    let (square, _) = self.shifted_square(at, square, k)?;
                    let leading = self.read_as(at, square, a)?;
                    // In x + h, so that nothing else needs x.
                    let linear = c1 - 3.0 * c3 - 2.0 * b * h;
                    let remainder = [c0 - c2 + c4 - b * b / (4.0 * a) - linear * h, linear];
                    powers.factors.insert(1, shifted);
                    return self.add_terms(at, powers, leading, &Poly::new(&remainder));
                }
            }
            _ => {}
        }
        self.free(at, powers, p)
    }

    /// (x + shift)², of degree 2 and not rescaled, and x + shift.
    fn shifted_square(&mut self, at: At, x: ValueId, shift: f64) -> Result<(ValueId, ValueId), ProgramError> {
        let side = self.value(x).magnitude + shift.abs();
        let shifted = self.add_constant(At { magnitude: side, ..at }, x, shift)?;
        Ok((self.push(At { magnitude: side * side, ..at }, Kind::Square, &[shifted])?, shifted))
    }

    /// p(x) at whatever scale its leading product has, which is not rescaled yet.
    fn free(&mut self, at: At, powers: &mut Powers, p: &Poly) -> Result<ValueId, ProgramError> {
        let degree = p.degree();
        if degree < 2 {
            return self.linear(at, p, powers.x);
        }
        if degree <= powers.leaf {
            let product = self.power_product(at, powers, degree)?;
            let leading = self.read_as(at, product, p.get(degree))?;
            let mut rest = p.0[..degree].to_vec();
            rest[degree % 2] -= p.get(degree);
            return self.add_polynomial(at, powers, leading, &Poly::new(&rest));
        }
        let (m, q, r) = p.divide();
        let q = self.free(at, powers, &q)?;
        let q = self.relinearize_settle(self.as_is(at, q), q)?;
        let power = self.factor(at, powers, m)?;
        let product = self.product(at, q, power)?;
        self.add_polynomial(at, powers, product, &r)
    }

    /// sum + r(x), of the scale and level of the sum.
    fn add_polynomial(&mut self, at: At, powers: &mut Powers, sum: ValueId, r: &Poly) -> Result<ValueId, ProgramError> {
        if r.degree() <= powers.leaf {
            self.powers_of(at, powers, r)?;
            return self.add_terms(at, powers, sum, r);
        }
        let before = (self.clone(), powers.clone());
        let target = self.target(sum);
        match self.exact(at, powers, r, target) {
            Ok(r) => self.add_exact(at, Some(sum), r),
            // No level to spare: the sum and the remainder are brought together at the cost of scale.
            Err(ProgramError::Exhausted { .. }) => {
                (*self, *powers) = before;
                let r = self.free(at, powers, r)?;
                self.add(at, sum, r)
            }
            Err(error) => Err(error),
        }
    }

    /// p(x) at a given scale and level.
    fn exact(&mut self, at: At, powers: &mut Powers, p: &Poly, target: Target) -> Result<ValueId, ProgramError> {
        if p.degree() <= powers.leaf {
            self.powers_of(at, powers, p)?;
            return self.terms(at, powers, None, p, target);
        }
        let (m, q, r) = p.divide();
        let power = self.factor(at, powers, m)?;
        let scale = target.scale.div(self.value(power).scale);
        if scale.log2() < f64::from(self.options.waterline_bits) {
            let lifted = self.exact(at, powers, p, self.lifted(at, target)?)?;
            return self.push(self.as_is(at, lifted), Kind::Rescale, &[lifted]);
        }
        let q = self.exact(at, powers, &q, Target { scale, ..target })?;
        let q = self.relinearize(q)?;
        let power = self.lowered(at, power, target.level)?;
        let product = self.product(at, q, power)?;
        if r.degree() <= powers.leaf {
            self.powers_of(at, powers, &r)?;
            return self.terms(at, powers, Some(product), &r, target);
        }
        let r = self.exact(at, powers, &r, target)?;
        self.add_exact(at, Some(product), r)
    }

    /// sum + Σ c_k T_k(x), of the scale and level of the sum.
    fn add_terms(&mut self, at: At, powers: &Powers, sum: ValueId, p: &Poly) -> Result<ValueId, ProgramError> {
        let sum = self.made_room(at, powers, sum, p)?;
        let target = self.target(sum);
        self.terms(at, powers, Some(sum), p, target)
    }

    /// The sum at a scale and level where all terms of p can meet it: times one where its own is too small.
    fn made_room(&mut self, at: At, powers: &Powers, sum: ValueId, p: &Poly) -> Result<ValueId, ProgramError> {
        let Target { scale, mut level } = self.target(sum);
        let mut bits = scale.log2();
        for k in (1..p.0.len()).filter(|&k| p.get(k) != 0.0) {
            let target = Target { scale, level };
            let meets = |target| self.term(powers, k, target).is_some();
            if !meets(target) && !self.lifted(at, target).is_ok_and(meets) {
                let candidates = [powers.factors.get(&k), powers.products.get(&k)].into_iter().flatten();
                let values = candidates.map(|&id| self.value(id)).max_by_key(|value| value.level);
                let (scale, deepest) = values.map_or((bits, level), |value| (value.scale.log2(), value.level));
                bits = bits.max(scale.ceil() + CONSTANT_BITS);
                level = level.min(deepest);
            }
        }
        let sum = self.drop_to(sum, level)?;
        match bits > scale.log2() {
            true => self.times_one(sum, Scale::power_of_two((bits - scale.log2()).ceil() as i32)),
            false => Ok(sum),
        }
    }

    /// Σ c_k T_k(x) at a given scale and level, added to `sum`. Terms that constants of enough bits cannot take there are summed a level higher and
    /// rescaled together.
    fn terms(
        &mut self,
        at: At,
        powers: &Powers,
        sum: Option<ValueId>,
        p: &Poly,
        target: Target,
    ) -> Result<ValueId, ProgramError> {
        let (mut sum, mut left) = (sum, p.0.clone());
        left.resize(left.len().max(2), 0.0);
        let mut higher = vec![0.0; left.len()];
        for k in (1..left.len()).rev().filter(|&k| k == 1 || p.get(k) != 0.0) {
            let c = left[k];
            let Some((value, corrected)) = self.term(powers, k, target).filter(|_| c != 0.0) else {
                higher[k] = c;
                continue;
            };
            if !corrected {
                left[k % 2] -= c;
            }
            let value = self.lowered(at, value, target.level)?;
            let magnitude = c.abs() * self.value(value).magnitude;
            let scale = target.scale.div(self.value(value).scale);
            let term = self.mul_constant(At { magnitude, ..at }, value, c, scale)?;
            sum = Some(self.add_exact(at, sum, term)?);
        }
        let higher = Poly::new(&higher);
        if !higher.0.is_empty() {
            let target = self.lifted(at, target)?;
            let lifted = self.terms(at, powers, None, &higher, target)?;
            let term = self.push(self.as_is(at, lifted), Kind::Rescale, &[lifted])?;
            sum = Some(self.add_exact(at, sum, term)?);
        }
        let sum = sum.ok_or_else(|| self.exhausted(at))?;
        self.add_constant(self.as_is(at, sum), sum, left[0])
    }

    /// What stands for T_k in a sum: T_k itself (true), or its product T_k + T_k mod 2.
    fn term(&self, powers: &Powers, k: usize, target: Target) -> Option<(ValueId, bool)> {
        let factor = powers.factors.get(&k).map(|&value| (value, true));
        let product = powers.products.get(&k).map(|&value| (value, false));
        [factor, product].into_iter().flatten().find(|&(id, _)| {
            let value = self.value(id);
            value.level >= target.level && target.scale.div(value.scale).log2() >= CONSTANT_BITS
        })
    }

    /// T_k as a factor: relinearised and rescaled.
    fn factor(&mut self, at: At, powers: &mut Powers, k: usize) -> Result<ValueId, ProgramError> {
        if let Some(&factor) = powers.factors.get(&k) {
            return Ok(factor);
        }
        let product = self.power_product(at, powers, k)?;
        let correction: &[f64] = if k.is_multiple_of(2) { &[-1.0] } else { &[0.0, -1.0] };
        let power = self.add_terms(at, powers, product, &Poly::new(correction))?;
        let magnitude = powers.bound(k);
        let factor = self.relinearize_settle(At { magnitude, ..at }, power)?;
        powers.factors.insert(k, factor);
        Ok(factor)
    }

    /// The products that the terms of a leaf stand on.
    fn powers_of(&mut self, at: At, powers: &mut Powers, leaf: &Poly) -> Result<(), ProgramError> {
        let needed = (2..leaf.0.len()).filter(|&k| leaf.0[k] != 0.0);
        needed.into_iter().try_for_each(|k| self.power_product(at, powers, k).map(|_| ()))
    }

    /// 2 T_a T_b with a + b = k, a − b = k mod 2.
    fn power_product(&mut self, at: At, powers: &mut Powers, k: usize) -> Result<ValueId, ProgramError> {
        if let Some(&product) = powers.products.get(&k) {
            return Ok(product);
        }
        let (a, b) = (k.div_ceil(2), k / 2);
        let (x, y) = (self.factor(at, powers, a)?, self.factor(at, powers, b)?);
        let at = At { magnitude: powers.bound(a) * powers.bound(b), ..at };
        let product = self.product(at, x, y)?;
        let product = self.read_as(at, product, 2.0)?;
        powers.products.insert(k, product);
        Ok(product)
    }

    /// c x at no cost: the same ciphertexts read at 1/|c| times their scale.
    fn read_as(&mut self, at: At, x: ValueId, factor: f64) -> Result<ValueId, ProgramError> {
        if factor == 1.0 {
            return Ok(x);
        }
        let magnitude = self.value(x).magnitude * factor.abs();
        self.mul_constant(At { magnitude, ..at }, x, factor, Scale::new(factor.abs().recip())?)
    }

    fn add_constant(&mut self, at: At, x: ValueId, constant: f64) -> Result<ValueId, ProgramError> {
        match constant == 0.0 {
            true => Ok(x),
            false => self.push(at, Kind::AddConstant(constant), &[x]),
        }
    }

    /// sum + term, both at one scale and level already.
    fn add_exact(&mut self, at: At, sum: Option<ValueId>, term: ValueId) -> Result<ValueId, ProgramError> {
        let Some(sum) = sum else {
            return Ok(term);
        };
        let magnitude = self.value(sum).magnitude + self.value(term).magnitude;
        self.push(At { magnitude, ..at }, Kind::Add, &[sum, term])
    }

    fn exhausted(&self, at: At) -> ProgramError {
        ProgramError::Exhausted { operation: format!("polynomial '{}'", at.name) }
    }

    fn target(&self, sum: ValueId) -> Target {
        let value = self.value(sum);
        Target { scale: value.scale, level: value.level }
    }

    /// What a rescale takes to `target`.
    fn lifted(&self, at: At, target: Target) -> Result<Target, ProgramError> {
        let (params, level) = (self.builder.params(), target.level + 1);
        if level > params.max_level() {
            return Err(self.exhausted(at));
        }
        let one = Scale::power_of_two(0);
        Ok(Target { scale: target.scale.div(params.rescaled(one, level)), level })
    }

    /// The same values at a level that is not above their own.
    fn lowered(&mut self, at: At, x: ValueId, level: usize) -> Result<ValueId, ProgramError> {
        match self.value(x).level < level {
            true => Err(self.exhausted(at)),
            false => self.drop_to(x, level),
        }
    }

    /// The node of `at` with the magnitude of a value.
    fn as_is<'a>(&self, at: At<'a>, x: ValueId) -> At<'a> {
        At { magnitude: self.value(x).magnitude, ..at }
    }
}
