//! From a graph to a program: a layout for each tensor, an operation for each node, and the scale and level of every value.
//!
//! Scales follow the waterline of EVA (Dathathri et al., 1912.11951): a product is rescaled as soon as its scale stays at or
//! above the waterline, and not before. With steps of 50 bits and scales of 24 to 36 that is after every second product or
//! so: fewer and fuller limbs than a rescale after each. Weights are encoded at a scale of their own; the scale of a product is whatever
//! follows, exactly, and only sums need to be brought to a common one.
//!
//! Where products lie that are not relinearised is a choice ([`Options::late_relinearization`]): with one feature a
//! ciphertext a linear map can run on all three components and its few outputs be relinearised instead of its many inputs.

mod packing;
mod polynomial;

use std::sync::Arc;

use ckks::{Params, Scale};
use serde::{Deserialize, Serialize};

use crate::graph::{Graph, Op};
use crate::program::{Builder, Kind, LinearMap, LinearOperator, Program, ProgramError, Value, ValueId};

pub use packing::Packing;

/// What is free once the packing is chosen; the planner tries several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// log2 of the scale of the encrypted input.
    pub input_bits: i32,
    /// log2 of the scale of the weights of each affine map, in the order of the graph; the last one, which must be there, serves
    /// further maps and all other constants.
    pub weight_bits: Vec<i32>,
    /// log2 of the scale that a rescale must not go below.
    pub waterline_bits: i32,
    /// Whether products stay at degree 2 through linear maps of one feature a ciphertext.
    pub late_relinearization: bool,
    /// Whether results are brought to the last limb, where they take the fewest bytes. Flooded ones need the whole modulus.
    pub last_limb: bool,
}

/// The program of `graph`, packed by `packing`, for `params`, its input at the top level and the tensor of each node at most
/// as large as `magnitudes` (one a node) says.
///
/// # Errors
/// [`ProgramError::NotPolynomial`] for a function that is not approximated yet, [`ProgramError::Overflow`] where chain and scales do
/// not fit the network, [`ProgramError::Magnitudes`] for another number of them than nodes.
pub fn lower(
    graph: &Graph,
    packing: &Packing,
    magnitudes: &[f64],
    params: &Params,
    options: &Options,
) -> Result<Program, ProgramError> {
    let nodes = graph.nodes();
    let wrong = || ProgramError::Magnitudes { magnitudes: magnitudes.len(), nodes: nodes.len() };
    let (&magnitude, input) = magnitudes.first().zip(packing.layout(graph.input())).ok_or_else(wrong)?;
    if magnitudes.len() != nodes.len() {
        return Err(wrong());
    }
    let value = Value {
        layout: Arc::clone(input),
        level: params.max_level(),
        scale: Scale::power_of_two(options.input_bits),
        degree: 1,
        magnitude,
    };
    let (builder, first) = Builder::new(params.clone(), &nodes[0].name, value)?;
    let mut lowering = Lowering { builder, options: options.clone(), affine_maps: 0, relinearized: vec![None] };
    let mut values = vec![None; nodes.len()];
    values[0] = Some(first);
    for (id, node) in graph.iter().skip(1) {
        let Some(packed) = packing.get(id) else {
            continue;
        };
        let name: Arc<str> = node.name.as_str().into();
        let at = At { name: &name, magnitude: magnitudes[id.0] };
        let inputs: Vec<ValueId> = node.inputs.iter().filter_map(|input| values[input.0]).collect();
        values[id.0] = Some(match (&node.op, &packed.linear, inputs.as_slice()) {
            (_, Some(linear), &[x]) => lowering.affine(at, linear, x)?,
            (Op::Activation(activation), _, &[x]) => {
                let not = || ProgramError::NotPolynomial { node: node.name.clone(), op: activation.name() };
                lowering.polynomial(at, &activation.chebyshev().ok_or_else(not)?, x)?
            }
            (Op::Add, _, &[x, y]) => lowering.add(at, x, y)?,
            (Op::Mul, _, &[x, y]) => lowering.mul(at, x, y)?,
            (op, ..) => {
                return Err(ProgramError::NotPolynomial { node: node.name.clone(), op: op.name() });
            }
        });
    }
    lowering.finish(values[graph.output().0].unwrap_or(first))
}

/// The node that operations stem from, and the magnitude of their results.
#[derive(Clone, Copy)]
struct At<'a> {
    name: &'a Arc<str>,
    magnitude: f64,
}

/// A program under construction.
#[derive(Clone)]
struct Lowering {
    builder: Builder,
    options: Options,
    /// Affine maps lowered so far.
    affine_maps: usize,
    /// Of each value, its relinearisation if there is one.
    relinearized: Vec<Option<ValueId>>,
}

impl Lowering {
    fn value(&self, id: ValueId) -> &Value {
        self.builder.value(id)
    }

    fn push(&mut self, at: At, kind: Kind, inputs: &[ValueId]) -> Result<ValueId, ProgramError> {
        let id = self.builder.push(at.name, kind, inputs, at.magnitude)?;
        self.relinearized.push(None);
        Ok(id)
    }

    /// y = M x + c.
    fn affine(&mut self, at: At, linear: &Arc<LinearMap>, x: ValueId) -> Result<ValueId, ProgramError> {
        let x = match linear.operator() {
            LinearOperator::Gemm => x,
            LinearOperator::Diagonals(_) => self.relinearize(x)?,
        };
        let bits = self.options.weight_bits.get(self.affine_maps).copied();
        let weight_scale = match (linear.operator(), linear.unit()) {
            // Every entry is one, read at another scale.
            (LinearOperator::Gemm, Some(unit)) => Scale::new(unit.recip())?,
            _ => bits.map_or_else(|| self.constant_scale(), Scale::power_of_two),
        };
        self.affine_maps += 1;
        let map = Arc::clone(linear);
        let y = self.push(at, Kind::LinearMap { map, weight_scale }, &[x])?;
        self.relinearize_settle(at, y)
    }

    /// x ⊙ y.
    fn mul(&mut self, at: At, x: ValueId, y: ValueId) -> Result<ValueId, ProgramError> {
        let (x, y) = (self.relinearize(x)?, self.relinearize(y)?);
        let product = self.product(at, x, y)?;
        self.finish_product(at, product)
    }

    /// x ⊙ y of degree 2, not rescaled, from factors of degree 1.
    fn product(&mut self, at: At, x: ValueId, y: ValueId) -> Result<ValueId, ProgramError> {
        let level = self.value(x).level.min(self.value(y).level);
        let (x, y) = (self.drop_to(x, level)?, self.drop_to(y, level)?);
        match x == y {
            true => self.push(at, Kind::Square, &[x]),
            false => self.push(at, Kind::Mul, &[x, y]),
        }
    }

    /// The result of a node that ends with a product: relinearised, or left to whoever needs it, and rescaled.
    fn finish_product(&mut self, at: At, product: ValueId) -> Result<ValueId, ProgramError> {
        // Rotations would force it at once.
        let one_feature = self.value(product).layout.positions_per_ciphertext() == 1;
        match self.options.late_relinearization && one_feature {
            true => self.settle(at, product),
            false => self.relinearize_settle(at, product),
        }
    }

    /// x + y, both brought to one level and scale.
    fn add(&mut self, at: At, x: ValueId, y: ValueId) -> Result<ValueId, ProgramError> {
        let (x, y) = self.align(x, y)?;
        let sum = self.push(at, Kind::Add, &[x, y])?;
        self.settle(at, sum)
    }

    /// Scale of constants that belong to no affine map.
    fn constant_scale(&self) -> Scale {
        Scale::power_of_two(self.options.weight_bits.last().copied().unwrap_or(0))
    }

    /// c x, with c encoded at `scale`.
    fn mul_constant(&mut self, at: At, x: ValueId, constant: f64, scale: Scale) -> Result<ValueId, ProgramError> {
        self.push(at, Kind::MulConstant { constant, scale }, &[x])
    }

    /// The same values at degree 1, computed once.
    fn relinearize(&mut self, x: ValueId) -> Result<ValueId, ProgramError> {
        if self.value(x).degree == 1 {
            return Ok(x);
        }
        if let Some(done) = self.relinearized[x.0] {
            return Ok(done);
        }
        let done = self.like(x, Kind::Relinearize)?;
        self.relinearized[x.0] = Some(done);
        Ok(done)
    }

    /// [`Self::relinearize`], then [`Self::settle`], in one division where both have something to do.
    fn relinearize_settle(&mut self, at: At, x: ValueId) -> Result<ValueId, ProgramError> {
        if self.value(x).degree == 2 && self.above_waterline(x) {
            let x = self.push(at, Kind::RelinearizeRescale, &[x])?;
            return self.settle(at, x);
        }
        let x = self.relinearize(x)?;
        self.settle(at, x)
    }

    /// Rescales as long as the scale stays at or above the waterline.
    fn settle(&mut self, at: At, mut x: ValueId) -> Result<ValueId, ProgramError> {
        while self.above_waterline(x) {
            x = self.push(at, Kind::Rescale, &[x])?;
        }
        Ok(x)
    }

    /// Whether a rescale is possible and leaves the scale at or above the waterline.
    fn above_waterline(&self, x: ValueId) -> bool {
        let Value { level, scale, .. } = *self.value(x);
        let rescaled = self.builder.params().rescaled(scale, level);
        level > 0 && rescaled.log2() >= f64::from(self.options.waterline_bits)
    }

    fn drop_to(&mut self, x: ValueId, level: usize) -> Result<ValueId, ProgramError> {
        match self.value(x).level == level {
            true => Ok(x),
            false => self.like(x, Kind::DropLevel { level }),
        }
    }

    /// Both values at one level and scale, for a sum.
    ///
    /// A value with a level to spare is multiplied by one, encoded at whatever scale makes a rescale land on the other's;
    /// without, both are multiplied by one, at scales that make the products meet.
    fn align(&mut self, x: ValueId, y: ValueId) -> Result<(ValueId, ValueId), ProgramError> {
        if self.value(x).level < self.value(y).level {
            let (y, x) = self.align(y, x)?;
            return Ok((x, y));
        }
        let (from, to) = (self.value(x).clone(), self.value(y).clone());
        if from.scale == to.scale {
            return Ok((self.drop_to(x, to.level)?, y));
        }
        if from.level > to.level {
            let x = self.drop_to(x, to.level + 1)?;
            let scaled = self.builder.params().rescaled(from.scale, to.level + 1);
            let x = self.times_one(x, to.scale.div(scaled))?;
            return Ok((self.like(x, Kind::Rescale)?, y));
        }
        let one = self.constant_scale();
        let ratio = to.scale.div(from.scale);
        match ratio.log2() > 0.0 {
            true => Ok((self.times_one(x, one.mul(ratio))?, self.times_one(y, one)?)),
            false => Ok((self.times_one(x, one)?, self.times_one(y, one.div(ratio))?)),
        }
    }

    fn times_one(&mut self, x: ValueId, scale: Scale) -> Result<ValueId, ProgramError> {
        self.like(x, Kind::MulConstant { constant: 1.0, scale })
    }

    /// An operation that keeps name and magnitude of its operand.
    fn like(&mut self, x: ValueId, kind: Kind) -> Result<ValueId, ProgramError> {
        let (name, magnitude) = (Arc::clone(self.builder.name(x)), self.value(x).magnitude);
        self.push(At { name: &name, magnitude }, kind, &[x])
    }

    fn finish(mut self, output: ValueId) -> Result<Program, ProgramError> {
        let output = self.relinearize(output)?;
        if self.options.last_limb {
            self.drop_to_last_limb(output)?;
        }
        self.builder.finish()
    }

    /// The same values at level 0: dropped to it where their scale has room there, else rescaled. A power of two before each
    /// rescale leaves no more room than the magnitude needs, so that rounding costs no precision.
    fn drop_to_last_limb(&mut self, mut x: ValueId) -> Result<(), ProgramError> {
        while let Value { level: level @ 1.., scale, magnitude, .. } = *self.value(x) {
            let params = self.builder.params();
            let room = params.log_q(level - 1) - magnitude.max(f64::MIN_POSITIVE).log2() - 2.0;
            if scale.log2() <= room {
                x = self.drop_to(x, level - 1)?;
                continue;
            }
            let spare = room - params.rescaled(scale, level).log2();
            if spare >= 1.0 {
                x = self.times_one(x, Scale::power_of_two(spare as i32))?;
            }
            x = self.like(x, Kind::Rescale)?;
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod networks;
#[cfg(test)]
mod tests;
