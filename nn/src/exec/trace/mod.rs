//! Programs on numbers about ciphertexts: operation counts, bytes, predicted seconds and predicted precision, without a
//! ciphertext or a key.
//!
//! Counts follow the operators of `ckks::circuit` as they are written; costs multiply them by measured primitives
//! ([`CostModel`]); precision follows average errors of typical values (`noise`),
//! and once a plan is chosen those of samples ([`Errors`]).

mod cost;
mod counts;
mod memory;
mod noise;
mod put_off;
mod simulate;
mod traces;
mod work;
mod worst;

use std::convert::Infallible;
use std::sync::Arc;

use ckks::{Estimate, Params};

pub use cost::{CostModel, DegreeCost, GemmCost, Rate};
pub use counts::Counts;
pub use memory::Memory;
use noise::Noise;
use put_off::Pass;
pub use simulate::Errors;
use traces::Scheduled;
pub use traces::Traces;
pub(crate) use work::Work;
pub use worst::worst_error;

use super::Interpreter;
use crate::program::{Kind, LinearOperator, Operation, Program, Value};

/// What running a program once, on one chunk of samples, is predicted to take.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    /// Of each operation, in the program's order; the input comes first.
    pub operations: Vec<OperationTrace>,
    /// Sum of all counts.
    pub counts: Counts,
    /// Server seconds of a chunk, from seeded ciphertexts to results: those of its operations, and of buffers that the pool does not keep.
    pub seconds: f64,
    /// Seconds of encoding the weights that are kept, and of finding buffers, before the first chunk.
    pub prepare_s: f64,
    /// Server seconds that the first chunk takes longer, since it finds buffers that the others have from it.
    pub first_s: f64,
    /// What a server holds in memory.
    pub memory: Memory,
    /// Packed bytes of the encrypted input, c_1 as a seed.
    pub input_bytes: u64,
    /// Packed bytes of the encrypted output.
    pub output_bytes: u64,
    /// Standard deviation of the error of a result, before flooding.
    pub deviation: f64,
    /// Standard deviation of the noise that results are flooded with; 0 if they are not.
    pub flooding: f64,
}

/// One operation's part.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OperationTrace {
    /// What it counts.
    pub counts: Counts,
    /// Wall seconds: none where another operation does it on its way; of the input, those of expanding its seeds.
    pub seconds: f64,
    /// Standard deviation of the error of its values.
    pub deviation: f64,
}

impl Trace {
    /// Standard deviation of the error of a result as its owner shows it.
    pub fn result_deviation(&self) -> f64 {
        self.deviation.hypot(self.flooding)
    }

    /// −log2 of the largest error that `results` results are expected to have: a Gaussian's maximum, deviation √(2 ln results).
    pub fn precision_bits(&self, results: usize) -> f64 {
        let maximum = (2.0 * (results.max(2) as f64).ln()).sqrt();
        -(self.result_deviation() * maximum).log2()
    }
}

/// Traces `program` with the costs of `cost`; its input encrypted under the secret key. Weights that do not fit into `memory_bytes`
/// are streamed: encoded when their operation runs.
pub fn trace(program: &Program, cost: &CostModel, memory_bytes: Option<u64>) -> Trace {
    Traces::new(cost, memory_bytes).trace(program)
}

/// Traces `program` with its schedule and what it holds in memory.
fn with(program: &Program, cost: &CostModel, scheduled: &Scheduled, memory: &Memory) -> Trace {
    let params = program.params();
    let input = program.input();
    let fresh = Noise::new(0, input.magnitude, Estimate::fresh_secret(params, input.scale, input.magnitude).deviation);
    let mut tracer = Tracer { params, cost, scheduled, operations: Vec::new() };
    let seconds = cost.expand(params, input, scheduled.expanded);
    tracer.operations.push(OperationTrace { counts: Counts::default(), seconds, deviation: fresh.deviation() });
    let traced = Traced { noise: fresh, value: input.clone() };
    let output = match super::run(program, &mut tracer, traced) {
        Ok(output) => output,
        Err(never) => match never {},
    };
    let mut operations = tracer.operations;
    let mut prepare_s = cost.fresh(memory.weight_bytes + memory.buffer_bytes);
    for (index, operation) in program.operations().iter().enumerate() {
        let seconds = cost.encode(params, operation);
        match memory.streamed.contains(&index) {
            true => operations[index].seconds += seconds,
            false => prepare_s += seconds,
        }
    }
    let mut counts = Counts::default();
    operations.iter().for_each(|operation| counts += operation.counts);
    Trace {
        seconds: operations.iter().map(|operation| operation.seconds).sum::<f64>() + cost.fresh(memory.fresh_bytes),
        prepare_s,
        first_s: cost.fresh(memory.first_bytes) - cost.fresh(memory.fresh_bytes),
        counts,
        memory: memory.clone(),
        input_bytes: packed_bytes(params, program.input(), 1),
        output_bytes: packed_bytes(params, program.output(), 2),
        deviation: output.noise.deviation(),
        flooding: 0.0,
        operations,
    }
}

/// What a tensor is in a trace.
struct Traced {
    noise: Noise,
    value: Value,
}

struct Tracer<'a> {
    params: &'a Params,
    cost: &'a CostModel,
    scheduled: &'a Scheduled,
    operations: Vec<OperationTrace>,
}

impl Interpreter for Tracer<'_> {
    type Tensor = Traced;
    type Error = Infallible;

    fn evaluate(
        &mut self,
        index: usize,
        operation: &Operation,
        inputs: Vec<Arc<Traced>>,
    ) -> Result<Traced, Infallible> {
        let value = operation.value.clone();
        let Some(x) = inputs.first() else {
            return Ok(Traced { noise: Noise::new(index, value.magnitude, 0.0), value });
        };
        let y = inputs.last().unwrap_or(x);
        let counts = counts::of(self.params, &operation.kind, &x.value, &value);
        let noise = noise::of(self.params, (index, operation), (&x.value, &x.noise), &y.noise);
        let Scheduled { traffic, passes, .. } = self.scheduled;
        let kind = match passes[index] {
            Pass::Own => Some(&operation.kind),
            Pass::Nothing => None,
            Pass::Product => Some(&Kind::Mul),
            Pass::Multiple => Some(&Kind::Add),
        };
        let seconds = kind.map_or(0.0, |kind| self.cost.seconds(self.params, kind, &x.value, traffic[index]));
        self.operations.push(OperationTrace { counts, seconds, deviation: noise.deviation() });
        Ok(Traced { noise, value })
    }
}

/// Limbs of a value's level, which the verifier has checked.
fn limbs(params: &Params, level: usize) -> u64 {
    params.limbs(level).unwrap_or(0) as u64
}

/// Bytes of so many polynomials a ciphertext with each residue at the width of its prime.
fn packed_bytes(params: &Params, value: &Value, polynomials: u64) -> u64 {
    value.layout.ciphertexts() as u64 * polynomials * params.packed_bytes(value.level).unwrap_or(0) as u64
}

/// Limbs in the basis QP at a level.
fn extended_limbs(params: &Params, level: usize) -> u64 {
    limbs(params, level) + params.ring().p().len() as u64
}

/// Bytes of the encoded weights of an operation.
pub(crate) fn weight_bytes(params: &Params, operation: &Operation) -> u64 {
    let limbs = limbs(params, operation.value.level);
    match &operation.kind {
        Kind::LinearMap { map, .. } => match map.operator() {
            LinearOperator::Gemm => 8 * limbs * map.map().matrix.nnz() as u64,
            LinearOperator::Diagonals(plan) => {
                let limbs = extended_limbs(params, operation.value.level);
                8 * limbs * (params.extended_words(plan.repetitions()) * plan.products()) as u64
            }
        },
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
