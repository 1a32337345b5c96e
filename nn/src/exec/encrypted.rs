//! Programs on ciphertexts: the real run.
//!
//! [`Prepared`] holds the encoded weights of a program; it is made once and serves any number of runs and threads. A run needs
//! the evaluation keys that [`Program::keys`](crate::program::Program::keys) asks for, and nothing secret. Work is spread over
//! ciphertexts (and, within linear maps, over pieces of them) on the threads of the current rayon pool; results do not depend on
//! their number.
//!
//! With one feature a ciphertext, matrices of constants and squares treat every point of a polynomial alone. Those that follow each other
//! run as one chain ([`ckks::apply_pointwise`]): all but the last leave a tensor of what they got and what is to be done with it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ckks::{
    Chained, Ciphertext, DiagonalMap, DiagonalTerm, Encoder, EvaluationKeys, Evaluator, Params, Plaintext, Pointwise,
    PointwiseInputs, ScalarMatrix, Scale, SeededCiphertext, add_rotations, apply_pointwise,
};
use rayon::prelude::*;

use super::Interpreter;
use crate::layout::{DiagonalPlan, Stepping};
use crate::program::{Kind, LinearMap, LinearOperator, Operation, Program, ProgramError, Value};

/// A tensor of ciphertexts, in the order of its layout.
pub type Ciphertexts = Vec<Ciphertext>;

/// Encrypted samples.
#[derive(Debug, Clone)]
pub enum Input {
    /// Their ciphertexts.
    Whole(Ciphertexts),
    /// Ciphertexts whose uniform halves are still seeds.
    Seeded(Vec<SeededCiphertext>),
}

/// A program with its weights encoded.
pub struct Prepared {
    program: Arc<Program>,
    evaluator: Evaluator,
    encoder: Encoder,
    /// Of each operation that is a linear map, unless its weights are streamed.
    maps: Vec<Option<PreparedMap>>,
}

/// An encoded linear map, y = M x + c.
enum PreparedMap {
    Gemm { matrix: ScalarMatrix, bias: Vec<f64> },
    Diagonals(PreparedDiagonals),
}

struct PreparedDiagonals {
    map: DiagonalMap,
    /// The outputs that `map` computes; the others are zero.
    computed: Vec<usize>,
    /// Slots of the rotations of each rotate-and-add step after it.
    fold: Vec<Vec<i64>>,
    weight_scale: Scale,
    /// Of each output, c at the scale of the products; none where it is zero.
    bias: Vec<Option<Plaintext>>,
}

impl Prepared {
    /// Encodes the weights of `program`: for matrices of constants their residues, for diagonals one plaintext each, kept in
    /// memory; except those of the operations in `streamed`, which are encoded for each run anew and dropped again.
    ///
    /// # Errors
    /// [`ProgramError::Operation`] for weights that overflow their scale.
    pub fn new(program: Arc<Program>, streamed: &[usize]) -> Result<Self, ProgramError> {
        let params = program.params().clone();
        let encoder = Encoder::new(&params);
        let prepare = |(index, operation): (usize, &Operation)| match streamed.contains(&index) {
            true => Ok(None),
            false => PreparedMap::new(&encoder, &params, operation)
                .map_err(|source| ProgramError::Operation { operation: operation.to_string(), source }),
        };
        let maps = program.operations().iter().enumerate().map(prepare).collect::<Result<_, _>>()?;
        Ok(Self { evaluator: Evaluator::new(&params), program, encoder, maps })
    }

    /// The program.
    pub fn program(&self) -> &Arc<Program> {
        &self.program
    }

    /// Runs the program on encrypted samples, one ciphertext for each of the input's layout, at its level and scale. The result
    /// has the level and scale of the program's output. `done` is told of each operation when it ends, with the time it took.
    ///
    /// # Errors
    /// [`ProgramError::InputCiphertexts`] for inputs that are not as planned; [`ProgramError::Operation`] for a missing key.
    pub fn run(
        &self,
        keys: &EvaluationKeys,
        input: Input,
        done: &mut dyn FnMut(&Operation, Duration),
    ) -> Result<Ciphertexts, ProgramError> {
        let planned = self.program.input();
        let fits = |level, scale, degree| (level, scale, degree) == (planned.level, planned.scale, planned.degree);
        let (found, fit) = match &input {
            Input::Whole(xs) => (xs.len(), xs.iter().all(|x| fits(x.level(), x.scale(), x.degree()))),
            Input::Seeded(xs) => (xs.len(), xs.iter().all(|x| fits(x.level(), x.scale(), 1))),
        };
        if found != planned.layout.ciphertexts() || !fit {
            return Err(ProgramError::InputCiphertexts {
                expected: planned.layout.ciphertexts(),
                found,
                level: planned.level,
                scale: planned.scale,
            });
        }
        let last_uses = self.program.last_uses();
        let held = match input {
            Input::Whole(ciphertexts) => Held::Whole(Arc::new(ciphertexts)),
            Input::Seeded(seeded) => Held::Seeded(Arc::new(seeded)),
        };
        // Only chains expand seeds as they go.
        let chained = last_uses[0] == 1 && self.pointwise(1).is_some();
        let held = if chained { held } else { Held::Whole(held.whole()) };
        let input = Tensor { held, chain: Vec::new() };
        let output = super::run(&self.program, &mut Run { prepared: self, keys, done, last_uses }, input)?;
        Ok(Arc::unwrap_or_clone(Arc::unwrap_or_clone(output).held.whole()))
    }

    /// The operation, if it treats every point alone and there are many ciphertexts of it.
    fn pointwise(&self, index: usize) -> Option<Pointwise<'_>> {
        let operation = self.program.operations().get(index)?;
        match (&operation.kind, &self.maps[index]) {
            (_, Some(PreparedMap::Gemm { matrix, bias })) => Some(Pointwise::Affine { matrix, constants: bias }),
            (Kind::Square, _) if operation.value.layout.positions_per_ciphertext() == 1 => Some(Pointwise::Square),
            _ => None,
        }
    }
}

/// Ciphertexts, and the operations that were put off, to be done on them in one chain.
#[derive(Clone)]
struct Tensor {
    held: Held,
    chain: Vec<usize>,
}

#[derive(Clone)]
enum Held {
    Whole(Arc<Ciphertexts>),
    Seeded(Arc<Vec<SeededCiphertext>>),
}

impl Held {
    fn whole(self) -> Arc<Ciphertexts> {
        match self {
            Self::Whole(ciphertexts) => ciphertexts,
            Self::Seeded(seeded) => {
                let seeded = Arc::unwrap_or_clone(seeded).into_par_iter();
                Arc::new(seeded.map(SeededCiphertext::into_expanded).collect())
            }
        }
    }

    fn inputs(&self) -> PointwiseInputs<'_> {
        match self {
            Self::Whole(ciphertexts) => PointwiseInputs::Whole(ciphertexts),
            Self::Seeded(seeded) => PointwiseInputs::Seeded(seeded),
        }
    }
}

impl From<Ciphertexts> for Tensor {
    fn from(ciphertexts: Ciphertexts) -> Self {
        Self { held: Held::Whole(Arc::new(ciphertexts)), chain: Vec::new() }
    }
}

/// One run.
struct Run<'a> {
    prepared: &'a Prepared,
    keys: &'a EvaluationKeys,
    done: &'a mut dyn FnMut(&Operation, Duration),
    /// Of each operation, the last one that reads it.
    last_uses: Vec<usize>,
}

impl Interpreter for Run<'_> {
    type Tensor = Tensor;
    type Error = ProgramError;

    fn evaluate(
        &mut self,
        index: usize,
        operation: &Operation,
        inputs: Vec<Arc<Tensor>>,
    ) -> Result<Tensor, ProgramError> {
        let start = Instant::now();
        let result = match (inputs.as_slice(), self.prepared.pointwise(index)) {
            ([x], Some(_)) => self.pointwise(index, x),
            _ => {
                // The last reference to a tensor stays the last one to its ciphertexts.
                let inputs = inputs.into_iter().map(|x| Arc::unwrap_or_clone(x).held.whole()).collect();
                self.step(index, operation, inputs).map(|ciphertexts| {
                    (self.done)(operation, start.elapsed());
                    ciphertexts.into()
                })
            }
        };
        result.map_err(|source| ProgramError::Operation { operation: operation.to_string(), source })
    }
}

impl Run<'_> {
    /// Puts the operation off if the next one carries the chain on and nothing else needs the result; else runs the chain.
    fn pointwise(&mut self, index: usize, x: &Tensor) -> ckks::Result<Tensor> {
        let chain: Vec<usize> = x.chain.iter().copied().chain([index]).collect();
        if self.last_uses[index] == index + 1 && self.prepared.pointwise(index + 1).is_some() {
            return Ok(Tensor { held: x.held.clone(), chain });
        }
        let steps: Vec<Pointwise<'_>> = chain.iter().filter_map(|&step| self.prepared.pointwise(step)).collect();
        let Chained { outputs, times } = apply_pointwise(&steps, x.held.inputs())?;
        let operations = self.prepared.program.operations();
        chain.iter().zip(times).for_each(|(&step, time)| (self.done)(&operations[step], time));
        Ok(outputs.into())
    }

    fn step(&self, index: usize, operation: &Operation, inputs: Vec<Arc<Ciphertexts>>) -> ckks::Result<Ciphertexts> {
        let (evaluator, keys) = (&self.prepared.evaluator, self.keys);
        let mut inputs = inputs.into_iter();
        let Some(x) = inputs.next() else {
            return Ok(Vec::new());
        };
        if let Kind::LinearMap { .. } = &operation.kind {
            let streamed = match &self.prepared.maps[index] {
                Some(PreparedMap::Diagonals(map)) => return map.apply(evaluator, &x, keys),
                _ => PreparedMap::new(&self.prepared.encoder, evaluator.params(), operation)?,
            };
            return match streamed {
                Some(PreparedMap::Diagonals(map)) => map.apply(evaluator, &x, keys),
                Some(PreparedMap::Gemm { matrix, bias }) => {
                    let step = Pointwise::Affine { matrix: &matrix, constants: &bias };
                    Ok(apply_pointwise(&[step], PointwiseInputs::Whole(&x))?.outputs)
                }
                None => Ok(Vec::new()),
            };
        }
        match (&operation.kind, inputs.next()) {
            (Kind::Mul, Some(y)) => {
                let pairs = x.par_iter().zip(y.par_iter());
                pairs.map(|(x, y)| evaluator.mul(x, y)).collect()
            }
            (Kind::Add, Some(y)) => Arc::unwrap_or_clone(x)
                .into_par_iter()
                .zip(y.par_iter())
                .map(|(mut x, y)| evaluator.add_assign(&mut x, y).map(|()| x))
                .collect(),
            (kind, ..) => Arc::unwrap_or_clone(x).into_par_iter().map(|x| unary(evaluator, keys, kind, x)).collect(),
        }
    }
}

/// An operation on each ciphertext alone.
fn unary(evaluator: &Evaluator, keys: &EvaluationKeys, kind: &Kind, mut x: Ciphertext) -> ckks::Result<Ciphertext> {
    match kind {
        Kind::Square => evaluator.square(&x),
        Kind::Relinearize => evaluator.relinearize(&x, keys),
        Kind::RelinearizeRescale => evaluator.relinearize_rescale(&x, keys),
        Kind::Rescale => evaluator.rescale(x),
        Kind::MulConstant { constant, scale } => {
            evaluator.mul_constant_assign(&mut x, *constant, *scale)?;
            Ok(x)
        }
        Kind::AddConstant(constant) => {
            evaluator.add_constant_assign(&mut x, *constant)?;
            Ok(x)
        }
        Kind::DropLevel { level } => {
            evaluator.drop_level_assign(&mut x, *level)?;
            Ok(x)
        }
        Kind::Input | Kind::LinearMap { .. } | Kind::Mul | Kind::Add => Ok(x),
    }
}

impl PreparedMap {
    /// None for an operation that is no linear map.
    fn new(encoder: &Encoder, params: &Params, operation: &Operation) -> ckks::Result<Option<Self>> {
        let Operation { kind: Kind::LinearMap { map: linear, weight_scale }, value: result, .. } = operation else {
            return Ok(None);
        };
        let (input, output, map) = (linear.input(), linear.output(), linear.map());
        let plan = match linear.operator() {
            LinearOperator::Gemm => {
                let features: Vec<usize> = (0..output.ciphertexts()).filter_map(|o| output.owner(o, 0)).collect();
                let rows: Vec<Vec<(u32, f64)>> = features
                    .iter()
                    .map(|&r| {
                        let place = |&(c, weight): &(u32, f64)| (input.position(c as usize).0 as u32, weight);
                        let mut row: Vec<_> = map.matrix.row(r).iter().map(place).collect();
                        row.sort_unstable_by_key(|&(c, _)| c);
                        row
                    })
                    .collect();
                let rows = rows.iter().map(Vec::as_slice);
                let matrix = ScalarMatrix::new(params, rows, input.ciphertexts(), *weight_scale, result.level)?;
                let bias = features.iter().map(|&r| map.bias[r]).collect();
                return Ok(Some(Self::Gemm { matrix, bias }));
            }
            LinearOperator::Diagonals(plan) => plan,
        };
        PreparedDiagonals::new(encoder, linear, plan, *weight_scale, result).map(Self::Diagonals).map(Some)
    }
}

impl PreparedDiagonals {
    fn new(
        encoder: &Encoder,
        linear: &LinearMap,
        plan: &DiagonalPlan,
        weight_scale: Scale,
        result: &Value,
    ) -> ckks::Result<Self> {
        let (input, output, affine) = (linear.input(), linear.output(), linear.map());
        let computed: Vec<usize> = (0..output.ciphertexts()).filter(|&o| !plan.outputs()[o].is_empty()).collect();
        let products = computed.iter().enumerate().flat_map(|(index, &o)| {
            let steps = plan.outputs()[o].iter();
            steps.flat_map(move |step| step.products.iter().map(move |&product| (index, o, step.rotation, product)))
        });
        let products: Vec<_> = products.collect();
        let term = |(index, o, giant, product): (usize, usize, i64, crate::layout::Product)| {
            let slots = plan.diagonal((&affine.matrix, input, output), o, giant, product);
            Ok(DiagonalTerm {
                output: index,
                input: product.input,
                baby: output.slots_of(product.rotation as i64) as i64,
                giant: output.slots_of(giant) as i64,
                plaintext: encoder.encode(&slots, weight_scale, result.level)?,
            })
        };
        let terms = products.into_par_iter().map(term).collect::<ckks::Result<Vec<_>>>()?;
        let bias = |o: usize| match output.spread(&affine.bias, o) {
            slots if slots.iter().all(|&c| c == 0.0) => Ok(None),
            slots => encoder.encode(&slots, result.scale, result.level).map(Some),
        };
        let map = DiagonalMap::new(input.ciphertexts(), computed.len(), terms)?;
        let slots = |&positions: &usize| output.slots_of(positions as i64) as i64;
        Ok(Self {
            map: if plan.stepping() == Stepping::Chained { map.chained() } else { map },
            fold: plan.fold().iter().map(|step| step.iter().map(slots).collect()).collect(),
            weight_scale,
            bias: (0..output.ciphertexts()).into_par_iter().map(bias).collect::<ckks::Result<_>>()?,
            computed,
        })
    }

    fn apply(&self, evaluator: &Evaluator, x: &Ciphertexts, keys: &EvaluationKeys) -> ckks::Result<Ciphertexts> {
        let fold = |y: Ciphertext| self.fold.iter().try_fold(y, |y, step| add_rotations(evaluator, y, step, keys));
        let computed = self.map.apply(evaluator, x, keys)?;
        let computed = computed.into_par_iter().map(fold).collect::<ckks::Result<Vec<_>>>()?;
        let mut computed = self.computed.iter().zip(computed).peekable();
        let output = |(o, bias): (usize, &Option<Plaintext>)| {
            let mut y = match computed.next_if(|(at, _)| **at == o) {
                Some((_, y)) => y,
                None => {
                    let mut zero = x[0].clone();
                    evaluator.mul_constant_assign(&mut zero, 0.0, self.weight_scale)?;
                    zero
                }
            };
            if let Some(bias) = bias {
                evaluator.add_plain_assign(&mut y, bias)?;
            }
            Ok(y)
        };
        self.bias.iter().enumerate().map(output).collect()
    }
}

#[cfg(test)]
mod tests;
