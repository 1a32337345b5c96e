//! Programs on ciphertexts: the real run.
//!
//! [`Prepared`] holds the encoded weights of a program; it is made once and serves any number of runs and threads. A run needs
//! the evaluation keys that [`Program::keys`](crate::program::Program::keys) asks for, and nothing secret. It follows the program's
//! [`Schedule`], and frees each ciphertext with the last step that needs it. Work is spread over the ciphertexts of a step (and, within
//! linear maps, over pieces of them) on the threads of the current rayon pool; results do not depend on their number.

mod alone;
mod maps;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ckks::{
    Chained, Ciphertext, Encoder, EvaluationKeys, Evaluator, Pointwise, PointwiseInputs, SeededCiphertext,
    apply_pointwise,
};
use rayon::prelude::*;

use super::schedule::{Schedule, Stage, StageKind, Step};
use crate::program::{Operation, Program, ProgramError, ValueId};
use alone::{Known, apply};
use maps::{Link, PreparedDiagonals};

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
    schedule: Schedule,
    evaluator: Evaluator,
    encoder: Encoder,
    /// Of each step.
    weights: Vec<Weights>,
}

/// The encoded weights of a step.
enum Weights {
    /// It has none, or they are streamed.
    None,
    Chain(Vec<Link>),
    Diagonals(PreparedDiagonals),
}

impl Prepared {
    /// Encodes the weights of `program`: for matrices of constants their residues, for diagonals one plaintext each, kept in
    /// memory; except for the diagonals of operations in `streamed`, which are encoded for each run anew and dropped again.
    ///
    /// # Errors
    /// [`ProgramError::Operation`] for weights that overflow their scale.
    pub fn new(program: Arc<Program>, streamed: &[usize]) -> Result<Self, ProgramError> {
        let schedule = Schedule::new(&program);
        Self::with_schedule(program, schedule, streamed)
    }

    fn with_schedule(program: Arc<Program>, schedule: Schedule, streamed: &[usize]) -> Result<Self, ProgramError> {
        let encoder = Encoder::new(program.params());
        let weights = |step: &Step| {
            let stage = &schedule.stages()[step.stage];
            let index = stage.operations.start;
            let weights = match stage.kind {
                StageKind::Chain => Link::chain(&program, stage, step).map(Weights::Chain),
                StageKind::Diagonals if !streamed.contains(&index) => {
                    let diagonals = PreparedDiagonals::of(&encoder, &program.operations()[index]);
                    diagonals.map(|map| map.map_or(Weights::None, Weights::Diagonals)).map_err(|error| (index, error))
                }
                _ => Ok(Weights::None),
            };
            weights.map_err(|failed| of_operation(&program, failed))
        };
        let weights = schedule.steps().iter().map(weights).collect::<Result<_, _>>()?;
        Ok(Self { evaluator: Evaluator::new(program.params()), program, schedule, encoder, weights })
    }

    /// The program.
    pub fn program(&self) -> &Arc<Program> {
        &self.program
    }

    /// Runs the program on encrypted samples, one ciphertext for each of the input's layout, at its level and scale; those that are seeded
    /// are expanded when they are needed. The result has the level and scale of the program's output. At the end `done` is told of each operation
    /// but the input, in the order of the program, with the time it took.
    ///
    /// # Errors
    /// [`ProgramError::InputCiphertexts`] for inputs that are not as planned; [`ProgramError::Operation`] for a missing key.
    pub fn run(
        &self,
        keys: &EvaluationKeys,
        input: Input,
        done: &mut dyn FnMut(&Operation, Duration),
    ) -> Result<Ciphertexts, ProgramError> {
        self.check(&input)?;
        let operations = self.program.operations();
        let mut run = Run {
            prepared: self,
            keys,
            seeds: Vec::new(),
            values: operations.iter().map(|operation| vec![None; operation.value.layout.ciphertexts()]).collect(),
            times: vec![Duration::ZERO; operations.len()],
            last_uses: self.program.last_uses(),
            uses: self.program.uses(),
        };
        match input {
            Input::Whole(whole) => run.values[0] = whole.into_iter().map(|x| Some(Arc::new(x))).collect(),
            // Nothing reads it that would expand it.
            Input::Seeded(seeded) if operations.len() == 1 => {
                run.values[0] = seeded.into_par_iter().map(|x| Some(Arc::new(x.into_expanded()))).collect();
            }
            Input::Seeded(seeded) => run.seeds = seeded.into_iter().map(Some).collect(),
        }
        for (step, weights) in self.schedule.steps().iter().zip(&self.weights) {
            let stage = &self.schedule.stages()[step.stage];
            run.expand(step);
            let made = run.step(stage, step, weights).map_err(|failed| of_operation(&self.program, failed))?;
            run.keep(stage, step, made);
        }
        operations.iter().zip(&run.times).skip(1).for_each(|(operation, &time)| done(operation, time));
        let output = run.values.pop().unwrap_or_default();
        Ok(output.into_iter().flatten().map(Arc::unwrap_or_clone).collect())
    }

    /// That inputs are as planned.
    fn check(&self, input: &Input) -> Result<(), ProgramError> {
        let planned = self.program.input();
        let fits = |level, scale, degree| (level, scale, degree) == (planned.level, planned.scale, planned.degree);
        let (found, fit) = match input {
            Input::Whole(xs) => (xs.len(), xs.iter().all(|x| fits(x.level(), x.scale(), x.degree()))),
            Input::Seeded(xs) => (xs.len(), xs.iter().all(|x| fits(x.level(), x.scale(), 1))),
        };
        let expected = planned.layout.ciphertexts();
        match found == expected && fit {
            true => Ok(()),
            false => {
                Err(ProgramError::InputCiphertexts { expected, found, level: planned.level, scale: planned.scale })
            }
        }
    }
}

/// The error of one of the program's operations.
fn of_operation(program: &Program, (index, source): (usize, ckks::Error)) -> ProgramError {
    ProgramError::Operation { operation: program.operations()[index].to_string(), source }
}

/// One run.
struct Run<'a> {
    prepared: &'a Prepared,
    keys: &'a EvaluationKeys,
    /// The ciphertexts of the input that are not expanded yet.
    seeds: Vec<Option<SeededCiphertext>>,
    /// Of each value, the ciphertexts that are made and still needed.
    values: Vec<Vec<Option<Arc<Ciphertext>>>>,
    /// Of each operation so far.
    times: Vec<Duration>,
    /// Of each value, the operation that reads it last.
    last_uses: Vec<usize>,
    /// Of each value, how many operations read it.
    uses: Vec<usize>,
}

/// An operation that failed, by its number.
type Failed = (usize, ckks::Error);

impl Run<'_> {
    /// Expands the ciphertexts of the input that a step is the first to need, if they are seeded.
    fn expand(&mut self, step: &Step) {
        let seeds = &mut self.seeds;
        let seeded = step.expands.iter().filter_map(|&i| seeds.get_mut(i)?.take().map(|seeded| (i, seeded)));
        let seeded: Vec<(usize, SeededCiphertext)> = seeded.collect();
        let expanded: Vec<(usize, Ciphertext)> =
            seeded.into_par_iter().map(|(i, seeded)| (i, seeded.into_expanded())).collect();
        expanded.into_iter().for_each(|(i, x)| self.values[0][i] = Some(Arc::new(x)));
    }

    /// The ciphertexts that a step makes, of each of its stage's values.
    fn step(&mut self, stage: &Stage, step: &Step, weights: &Weights) -> Result<Vec<Ciphertexts>, Failed> {
        let started = Instant::now();
        let first = stage.operations.start;
        let mut inputs: Vec<Vec<Arc<Ciphertext>>> = vec![Vec::with_capacity(stage.reads.len()); step.inputs.len()];
        let mut seeded: Vec<SeededCiphertext> = Vec::new();
        if stage.reads == [ValueId(0)] {
            seeded.extend(step.inputs.iter().filter_map(|&i| self.seeds.get_mut(i)?.take()));
        }
        for value in &stage.reads {
            let read = step.inputs.iter().filter_map(|&i| self.values[value.0][i].clone());
            inputs.iter_mut().zip(read).for_each(|(inputs, input)| inputs.push(input));
        }
        for &(value, i) in &step.dying {
            self.values[value.0][i] = None;
            if value == ValueId(0)
                && let Some(unread) = self.seeds.get_mut(i)
            {
                *unread = None;
            }
        }
        if stage.kind == StageKind::Alone {
            let (made, times) = self.alone(stage, inputs)?;
            self.add_times(first, divided(&times, started.elapsed()));
            return Ok(made);
        }
        let x: Vec<&Ciphertext> = inputs.iter().flatten().map(Arc::as_ref).collect();
        let (made, times) = match weights {
            Weights::Chain(links) => {
                let seeded: Vec<&SeededCiphertext> = seeded.iter().collect();
                let inputs = match seeded.as_slice() {
                    [] => PointwiseInputs::Whole(&x),
                    seeded => PointwiseInputs::Seeded(seeded),
                };
                let chain: Vec<Pointwise<'_>> = links.iter().map(Link::pointwise).collect();
                let Chained { outputs, times } = apply_pointwise(&chain, inputs).map_err(|error| (first, error))?;
                (outputs, times)
            }
            _ => (self.diagonals(first, weights, &x).map_err(|error| (first, error))?, vec![started.elapsed()]),
        };
        self.add_times(first, times);
        Ok(vec![made])
    }

    /// Stores what a step has made, as far as anything needs it.
    fn keep(&mut self, stage: &Stage, step: &Step, made: Vec<Ciphertexts>) {
        for (value, made) in stage.makes.iter().zip(made) {
            for (&i, made) in step.outputs.iter().zip(made) {
                self.values[value.0][i] = Some(Arc::new(made));
            }
        }
    }

    fn add_times(&mut self, first: usize, times: Vec<Duration>) {
        self.times[first..].iter_mut().zip(times).for_each(|(sum, time)| *sum += time);
    }

    fn diagonals(&self, index: usize, weights: &Weights, x: &[&Ciphertext]) -> ckks::Result<Ciphertexts> {
        let Prepared { evaluator, encoder, program, .. } = self.prepared;
        if let Weights::Diagonals(map) = weights {
            return map.apply(evaluator, x, self.keys);
        }
        let streamed = PreparedDiagonals::of(encoder, &program.operations()[index])?;
        streamed.map_or(Ok(Vec::new()), |map| map.apply(evaluator, x, self.keys))
    }

    /// Takes the inputs of each ciphertext through all operations; with the nanoseconds of each operation, on all threads.
    fn alone(&self, stage: &Stage, inputs: Vec<Vec<Arc<Ciphertext>>>) -> Result<(Vec<Ciphertexts>, Vec<f64>), Failed> {
        let nanoseconds: Vec<AtomicU64> = stage.operations.clone().map(|_| AtomicU64::new(0)).collect();
        let one = |inputs: Vec<Arc<Ciphertext>>| self.one(stage, inputs, &nanoseconds);
        let all = inputs.into_par_iter().with_max_len(1).map(one).collect::<Result<Vec<Ciphertexts>, Failed>>()?;
        let mut made: Vec<Ciphertexts> = stage.makes.iter().map(|_| Vec::with_capacity(all.len())).collect();
        for one in all {
            made.iter_mut().zip(one).for_each(|(made, one)| made.push(one));
        }
        Ok((made, nanoseconds.into_iter().map(|nanoseconds| nanoseconds.into_inner() as f64).collect()))
    }

    /// One ciphertext of each value that a stage makes.
    fn one(
        &self,
        stage: &Stage,
        inputs: Vec<Arc<Ciphertext>>,
        nanoseconds: &[AtomicU64],
    ) -> Result<Ciphertexts, Failed> {
        let Run { prepared: Prepared { program, evaluator, .. }, keys, .. } = self;
        let inputs = inputs.into_iter().map(Known::Whole);
        let mut known: BTreeMap<ValueId, Known> = stage.reads.iter().copied().zip(inputs).collect();
        for (index, nanoseconds) in stage.operations.clone().zip(nanoseconds) {
            let started = Instant::now();
            let operation = &program.operations()[index];
            let operands = operation.inputs.iter().filter_map(|value| known.get(value).cloned()).collect();
            known.retain(|value, _| self.last_uses[value.0] != index);
            let failed = |error| (index, error);
            if let Some(made) = apply(evaluator, keys, &operation.kind, operands).map_err(failed)? {
                let put_off = self.uses[index] == 1 && !stage.makes.contains(&ValueId(index));
                let made = if put_off { made } else { Known::Whole(made.whole(evaluator).map_err(failed)?) };
                known.insert(ValueId(index), made);
            }
            nanoseconds.fetch_add(started.elapsed().as_nanos() as u64, Ordering::Relaxed);
        }
        let made = stage.makes.iter().filter_map(|value| known.remove(value));
        made.map(|made| {
            made.whole(evaluator).map(Arc::unwrap_or_clone).map_err(|error| (stage.operations.end - 1, error))
        })
        .collect()
    }
}

/// The parts of several counts in a wall time.
fn divided(counts: &[f64], wall: Duration) -> Vec<Duration> {
    let all = counts.iter().sum::<f64>().max(1.0);
    counts.iter().map(|count| wall.mul_f64(count / all)).collect()
}

#[cfg(test)]
mod tests;
