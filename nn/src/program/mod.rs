//! A network as a CKKS program: operations in SSA form over tensors of ciphertexts.
//!
//! Each [`Operation`] makes one [`Value`]: a tensor laid out by a [`Layout`], all of its ciphertexts at one level, scale and
//! degree. Operations are coarse: what a [`LinearMap`] expands to belongs to the interpreters in `exec`. Scales are planned
//! exactly: the scale of a sum's operands must be equal, and nothing is repaired in silence (Kim-Papadimitriou-Polyakov
//! 2020/1118). `infer` states the rule of each operation once: the [`Builder`] applies it and [`Program::verify`] proves it again.
//!
//! A value whose degree is 2 is a product that is not relinearised yet: everything but products and rotations works on it.
//!
//! `Refresh` (bootstrapping) will be one more kind, from a low level to a high one at an equal scale.

mod error;
mod infer;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use ckks::{KeyRequest, Params, Scale};

pub use error::ProgramError;

use crate::graph::{AffineMap, SparseMatrix};
use crate::layout::{DiagonalPlan, Keys, Layout, LayoutError};

/// Number of a value: that of the operation that makes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub usize);

/// A tensor of ciphertexts, as planned.
#[derive(Debug, Clone, PartialEq)]
pub struct Value {
    /// Which feature and sample lies in which slot.
    pub layout: Arc<Layout>,
    /// Steps of the chain that a rescale can still drop.
    pub level: usize,
    /// Slots hold value times scale.
    pub scale: Scale,
    /// 1, or 2 for a product that is not relinearised.
    pub degree: usize,
    /// Largest absolute value that the tensor is planned for.
    pub magnitude: f64,
}

/// One operation and the value that it makes.
#[derive(Debug, Clone)]
pub struct Operation {
    /// Name of the graph's node that it stems from.
    pub name: Arc<str>,
    /// What it does.
    pub kind: Kind,
    /// What it reads.
    pub inputs: Vec<ValueId>,
    /// What it makes.
    pub value: Value,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} '{}'", self.kind.name(), self.name)
    }
}

/// What operations do. Magnitudes aside, the value follows from the operands.
#[derive(Debug, Clone)]
pub enum Kind {
    /// The encrypted samples.
    Input,
    /// y = M x + c. Multiplies the scale by the weights'; one level's worth of multiplication.
    LinearMap {
        /// The map between its layouts.
        map: Arc<LinearMap>,
        /// Scale at which the entries of M are encoded.
        weight_scale: Scale,
    },
    /// x², of degree 2. Squares the scale.
    Square,
    /// x ⊙ y, of degree 2. Multiplies the scales.
    Mul,
    /// c x, c encoded at the given scale. Multiplies the scales.
    MulConstant {
        /// c.
        constant: f64,
        /// Its scale.
        scale: Scale,
    },
    /// x + c.
    AddConstant(f64),
    /// x + y, of equal level and scale.
    Add,
    /// From degree 2 to degree 1.
    Relinearize,
    /// Divides by the last step of the chain and drops it.
    Rescale,
    /// [`Kind::Relinearize`], then [`Kind::Rescale`], with one division instead of two.
    RelinearizeRescale,
    /// Drops steps without dividing.
    DropLevel {
        /// The level to drop to.
        level: usize,
    },
}

/// y = M x + c between two layouts, and how it is computed.
#[derive(Debug, Clone)]
pub struct LinearMap {
    map: Arc<AffineMap>,
    input: Arc<Layout>,
    output: Arc<Layout>,
    operator: LinearOperator,
    norm: f64,
    group_inputs: usize,
    /// Of each column, the largest absolute weight.
    column_weights: Vec<f64>,
    unit: Option<f64>,
    largest_weight: f64,
    largest_constant: f64,
}

/// Entries of a matrix that may be read as one: of sums, and of means of so many.
const UNITS: std::ops::RangeInclusive<f64> = 1.0 / (1 << 30) as f64..=1.0;

/// The two ways to multiply by a matrix.
#[derive(Debug, Clone)]
pub enum LinearOperator {
    /// One feature a ciphertext (S = 1): a modular GEMM of constant weights over the components of the ciphertexts, of
    /// degree 1 or 2 alike.
    Gemm,
    /// Several features a ciphertext: plaintext diagonals and rotations.
    Diagonals(Arc<DiagonalPlan>),
}

impl LinearMap {
    /// `map` from layout `input` to layout `output` with the operator that suits both.
    ///
    /// # Errors
    /// [`LayoutError::Shape`] if layouts and map do not fit.
    pub fn new(
        map: Arc<AffineMap>,
        input: Arc<Layout>,
        output: Arc<Layout>,
        keys: Keys<'_>,
    ) -> Result<Self, LayoutError> {
        let operator = match input.positions_per_ciphertext() {
            1 => {
                input.check_shapes(&map.matrix, &output)?;
                LinearOperator::Gemm
            }
            _ => LinearOperator::Diagonals(Arc::new(DiagonalPlan::new(&map.matrix, &input, &output, keys)?)),
        };
        let squares: f64 = map.matrix.values().map(|w| w * w).sum();
        let norm = (squares / map.matrix.rows() as f64).sqrt();
        let (group_inputs, column_weights) = match operator {
            LinearOperator::Gemm => (group_inputs(&map.matrix), column_weights(&map.matrix)),
            LinearOperator::Diagonals(_) => (0, Vec::new()),
        };
        let first = map.matrix.values().next().map_or(0.0, |w| w.abs());
        let unit = (UNITS.contains(&first) && map.matrix.values().all(|w| w.abs() == first)).then_some(first);
        let largest = |values: &mut dyn Iterator<Item = f64>| values.fold(0.0, |largest: f64, x| largest.max(x.abs()));
        let largest_weight = largest(&mut map.matrix.values());
        let largest_constant = largest(&mut map.bias.iter().copied());
        Ok(Self {
            map,
            input,
            output,
            operator,
            norm,
            group_inputs,
            column_weights,
            unit,
            largest_weight,
            largest_constant,
        })
    }

    /// The same map with `interleave` samples at each position for every one that there was.
    #[must_use]
    pub fn interleaved(&self, interleave: usize) -> Self {
        let layout = |layout: &Layout| Arc::new(layout.interleaved(interleave));
        Self { input: layout(&self.input), output: layout(&self.output), ..self.clone() }
    }

    /// M and c, shared with the graph.
    pub fn map(&self) -> &Arc<AffineMap> {
        &self.map
    }

    /// Where the features are read.
    pub fn input(&self) -> &Arc<Layout> {
        &self.input
    }

    /// Where the results lie.
    pub fn output(&self) -> &Arc<Layout> {
        &self.output
    }

    /// Euclidean norm of a typical row of M: the factor by which it changes errors.
    pub fn norm(&self) -> f64 {
        self.norm
    }

    /// With one feature a ciphertext, the inputs of all groups of rows that read the same ones.
    pub fn group_inputs(&self) -> usize {
        self.group_inputs
    }

    /// With one feature a ciphertext, whether rows read the same inputs or none in common, as in a dense layer and in a pool.
    pub fn has_disjoint_groups(&self) -> bool {
        self.group_inputs == self.column_weights.iter().filter(|&&weight| weight > 0.0).count()
    }

    /// With one feature a ciphertext, into how many constants of 16 bits weights at a scale are cut, on average.
    pub fn short_terms(&self, scale: Scale) -> f64 {
        let largest = f64::from(i16::MAX) / scale.to_f64();
        let terms: f64 = self.column_weights.iter().map(|weight| (weight / largest).ceil().max(1.0)).sum();
        terms / self.column_weights.len().max(1) as f64
    }

    /// The absolute value of all entries of M, where they have the same, as in average pooling.
    pub fn unit(&self) -> Option<f64> {
        self.unit
    }

    /// The largest absolute entry of M.
    pub fn largest_weight(&self) -> f64 {
        self.largest_weight
    }

    /// The largest absolute entry of c. It may be larger than all results.
    pub fn largest_constant(&self) -> f64 {
        self.largest_constant
    }

    /// With one feature a ciphertext, what an output is the sum of: inputs by number, in no order, and their weights. One without any
    /// is still made of an input.
    pub fn row(&self, output: usize) -> impl Iterator<Item = (usize, f64)> {
        let row = self.output.owner(output, 0).map_or(&[][..], |feature| self.map.matrix.row(feature));
        let none = row.is_empty().then_some((0, 0.0));
        row.iter().map(|&(feature, weight)| (self.input.position(feature as usize).0, weight)).chain(none)
    }

    /// With one feature a ciphertext, the constant of an output.
    pub fn constant(&self, output: usize) -> f64 {
        self.output.owner(output, 0).map_or(0.0, |feature| self.map.bias[feature])
    }

    /// How it is computed.
    pub fn operator(&self) -> &LinearOperator {
        &self.operator
    }
}

/// The columns of each group of rows that have the same, all together.
fn group_inputs(matrix: &SparseMatrix) -> usize {
    let columns = |row: usize| matrix.row(row).iter().map(|&(column, _)| column).collect::<Vec<_>>();
    let groups: BTreeSet<Vec<u32>> = (0..matrix.rows()).map(columns).collect();
    groups.iter().map(Vec::len).sum()
}

fn column_weights(matrix: &SparseMatrix) -> Vec<f64> {
    let mut largest = vec![0.0f64; matrix.cols()];
    for &(column, weight) in (0..matrix.rows()).flat_map(|row| matrix.row(row)) {
        largest[column as usize] = largest[column as usize].max(weight.abs());
    }
    largest
}

impl Kind {
    /// The diagonals that it multiplies by, if it does.
    pub fn diagonals(&self) -> Option<&DiagonalPlan> {
        match self {
            Self::LinearMap { map, .. } => match map.operator() {
                LinearOperator::Gemm => None,
                LinearOperator::Diagonals(plan) => Some(plan),
            },
            _ => None,
        }
    }

    /// One word for messages and tables.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::LinearMap { .. } => "linear map",
            Self::Square => "square",
            Self::Mul => "mul",
            Self::MulConstant { .. } => "mul constant",
            Self::AddConstant(_) => "add constant",
            Self::Add => "add",
            Self::Relinearize => "relinearize",
            Self::Rescale => "rescale",
            Self::RelinearizeRescale => "relinearize and rescale",
            Self::DropLevel { .. } => "drop level",
        }
    }

    /// How many values it reads.
    pub fn arity(&self) -> usize {
        match self {
            Self::Input => 0,
            Self::Mul | Self::Add => 2,
            _ => 1,
        }
    }
}

/// A sequence of operations, the first the input, the last the result; the last use of a value frees it.
#[derive(Debug, Clone)]
pub struct Program {
    params: Params,
    operations: Vec<Operation>,
}

impl Program {
    /// The parameters that it is planned for.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// All operations; a [`ValueId`] is an index into them.
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// The value that is the encrypted input.
    pub fn input(&self) -> &Value {
        &self.operations[0].value
    }

    /// The value that is the result.
    pub fn output(&self) -> &Value {
        &self.operations[self.operations.len() - 1].value
    }

    /// A value.
    ///
    /// # Panics
    /// If it is of a longer program.
    pub fn value(&self, id: ValueId) -> &Value {
        &self.operations[id.0].value
    }

    /// For each value the operation that reads it last; for one that nobody reads, as the result, its own.
    pub fn last_uses(&self) -> Vec<usize> {
        let mut last: Vec<usize> = (0..self.operations.len()).collect();
        for (index, operation) in self.operations.iter().enumerate() {
            operation.inputs.iter().for_each(|input| last[input.0] = index);
        }
        last
    }

    /// How many operations read each value, and one for whoever gets the result.
    pub fn uses(&self) -> Vec<usize> {
        let mut uses = vec![0; self.operations.len()];
        self.operations.iter().flat_map(|operation| &operation.inputs).for_each(|input| uses[input.0] += 1);
        uses.last_mut().into_iter().for_each(|result| *result += 1);
        uses
    }

    /// Proves that each operation's value follows from its operands, that no value overflows its modulus, and that `keys`
    /// serve every key switch.
    ///
    /// # Errors
    /// The first operation that fails, by name.
    pub fn verify(&self, keys: &KeyRequest) -> Result<(), ProgramError> {
        for index in 0..self.operations.len() {
            infer::check(&self.params, &self.operations, index)?;
        }
        let needed = self.keys();
        let missing = |key, level| Err(ProgramError::MissingKey { key, level });
        if let Some(level) = needed.relinearization
            && keys.relinearization < Some(level)
        {
            return missing("the relinearisation key".into(), level);
        }
        for (element, &level) in &needed.galois {
            if keys.galois.get(element).is_none_or(|&has| has < level) {
                return missing(format!("the key of Galois element {element}"), level);
            }
        }
        Ok(())
    }

    /// The keys that it needs, each with the highest level at which it does.
    pub fn keys(&self) -> KeyRequest {
        let request = KeyRequest { relinearization: self.relinearizations(), ..KeyRequest::default() };
        let add = |request: KeyRequest, (&rotation, &level): (&usize, &usize)| {
            request.rotation(&self.params, rotation as i64, level)
        };
        self.rotations().iter().fold(request, add)
    }

    /// The highest level at which it relinearises, if it does.
    pub fn relinearizations(&self) -> Option<usize> {
        let relinearizes =
            |operation: &&Operation| matches!(operation.kind, Kind::Relinearize | Kind::RelinearizeRescale);
        let level = |operation: &Operation| self.value(operation.inputs[0]).level;
        self.operations.iter().filter(relinearizes).map(level).max()
    }

    /// All slots by which it rotates, each with the highest level at which it does.
    pub fn rotations(&self) -> BTreeMap<usize, usize> {
        let mut rotations = BTreeMap::new();
        for operation in &self.operations {
            if let Kind::LinearMap { map, .. } = &operation.kind
                && let LinearOperator::Diagonals(plan) = map.operator()
            {
                for &positions in plan.rotations() {
                    let level = rotations.entry(map.output().slots_of(positions as i64)).or_default();
                    *level = operation.value.level.max(*level);
                }
            }
        }
        rotations
    }
}

/// Appends operations, each with the value that follows from its operands.
#[derive(Debug, Clone)]
pub struct Builder {
    params: Params,
    operations: Vec<Operation>,
}

impl Builder {
    /// A program that begins with an input of degree 1.
    ///
    /// # Errors
    /// [`ProgramError::Levels`] if the chain has no such level, [`ProgramError::Overflow`].
    pub fn new(params: Params, name: &str, input: Value) -> Result<(Self, ValueId), ProgramError> {
        let operation = Operation { name: name.into(), kind: Kind::Input, inputs: Vec::new(), value: input };
        let operations = vec![operation];
        infer::check(&params, &operations, 0)?;
        Ok((Self { params, operations }, ValueId(0)))
    }

    /// The parameters that it is planned for.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// A value made so far.
    ///
    /// # Panics
    /// If there is no such value.
    pub fn value(&self, id: ValueId) -> &Value {
        &self.operations[id.0].value
    }

    /// Name of the node that a value stems from.
    ///
    /// # Panics
    /// If there is no such value.
    pub fn name(&self, id: ValueId) -> &Arc<str> {
        &self.operations[id.0].name
    }

    /// Appends an operation whose results have at most the given magnitude.
    ///
    /// # Errors
    /// Whatever the operation demands of its operands, and [`ProgramError::Overflow`].
    pub fn push(
        &mut self,
        name: &Arc<str>,
        kind: Kind,
        inputs: &[ValueId],
        magnitude: f64,
    ) -> Result<ValueId, ProgramError> {
        let value = infer::infer(&self.params, &self.operations, (name, &kind, inputs), magnitude)?;
        self.operations.push(Operation { name: Arc::clone(name), kind, inputs: inputs.to_vec(), value });
        Ok(ValueId(self.operations.len() - 1))
    }

    /// The program whose result is that of the last operation.
    ///
    /// # Errors
    /// [`ProgramError::Degrees`] if the result is not relinearised.
    pub fn finish(self) -> Result<Program, ProgramError> {
        let program = Program { params: self.params, operations: self.operations };
        match program.output().degree {
            1 => Ok(program),
            degree => Err(ProgramError::Degrees { operation: "the result".into(), found: vec![degree] }),
        }
    }
}

#[cfg(test)]
mod tests;
