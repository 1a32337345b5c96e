//! What a server holds in memory at most: keys, encoded weights, ciphertexts, and buffers that wait in the pool of the ring.
//!
//! The pool keeps idle buffers of each length apart, up to [`Params::MAX_IDLE_BYTES`]: polynomials of fewer limbs can use those of up to twice as many.

use std::collections::BTreeMap;

use ckks::Params;

use crate::exec::schedule::{Schedule, Stage, StageKind, Step};
use crate::program::{Kind, LinearOperator, Operation, Program, Value, ValueId};

/// Largest numbers of bytes of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Memory {
    /// Of ciphertexts at once, alive or in the pool of buffers.
    pub tensor_bytes: u64,
    /// The same for inputs under the public key, which have no seed.
    pub public_tensor_bytes: u64,
    /// Of encoded weights at once.
    pub weight_bytes: u64,
    /// Of evaluation keys.
    pub key_bytes: u64,
    /// Of evaluation keys as they travel: half of each a seed, residues at the width of their primes.
    pub packed_key_bytes: u64,
    /// The operations whose weights are encoded when they run, and dropped again; all others' are encoded once.
    pub streamed: Vec<usize>,
    /// (limbs, number) of the buffers that are idle after a run.
    pub buffers: Vec<(usize, u64)>,
    /// Of these.
    pub buffer_bytes: u64,
    /// That each chunk needs beyond these, which the system has to find for it anew.
    pub fresh_bytes: u64,
}

impl Memory {
    /// Of a run of `program` in the order of `schedule`, on so many threads. If weights do not fit into `limit` together with everything
    /// else, the largest are streamed first, until what is kept and the largest of those streamed fit, or all are: encoding takes time by
    /// the byte, so that it matters little which are kept.
    pub fn new(program: &Program, schedule: &Schedule, threads: usize, limit: Option<u64>) -> Self {
        let keys = program.keys();
        let bytes = |bytes: ckks::Result<usize>| bytes.unwrap_or(0) as u64;
        let key_bytes = bytes(keys.expanded_bytes(program.params()));
        let packed_key_bytes = bytes(keys.packed_bytes(program.params()));
        let run = |is_seeded: bool| {
            let mut buffers = Buffers::new(program.params(), is_seeded);
            buffers.chunk(program, schedule, threads);
            // The next chunk begins with the buffers of the one before.
            buffers.fresh = 0;
            buffers.chunk(program, schedule, threads);
            buffers
        };
        let (buffers, public_tensor_bytes) = (run(true), run(false).peak);
        let (tensor_bytes, buffer_bytes, fresh_bytes) = (buffers.peak, buffers.idle_bytes, buffers.fresh);
        let bytes = |(index, operation)| (super::weight_bytes(program.params(), operation), index);
        let mut kept: Vec<(u64, usize)> = program.operations().iter().enumerate().map(bytes).collect();
        let (mut total, mut largest, mut streamed) = (kept.iter().map(|(bytes, _)| bytes).sum::<u64>(), 0, Vec::new());
        kept.retain(|&(_, index)| program.operations()[index].kind.diagonals().is_some());
        kept.sort_unstable();
        while limit.is_some_and(|limit| key_bytes + tensor_bytes + total + largest > limit)
            && let Some((bytes, index)) = kept.pop()
        {
            total -= bytes;
            largest = largest.max(bytes);
            streamed.push(index);
        }
        streamed.sort_unstable();
        let buffers = buffers.idle.into_iter().filter(|&(_, count)| count > 0).collect();
        let weight_bytes = total + largest;
        Self {
            tensor_bytes,
            public_tensor_bytes,
            weight_bytes,
            key_bytes,
            packed_key_bytes,
            streamed,
            buffers,
            buffer_bytes,
            fresh_bytes,
        }
    }

    /// All of it, inputs under the secret key.
    pub fn peak_bytes(&self) -> u64 {
        self.tensor_bytes + self.weight_bytes + self.key_bytes
    }

    /// All of it, inputs under the public key.
    pub fn public_peak_bytes(&self) -> u64 {
        self.public_tensor_bytes + self.weight_bytes + self.key_bytes
    }
}

/// (limbs, number) of the buffers that an operation on values of a level needs besides its own.
fn scratch(params: &Params, operation: &Operation, level: usize, threads: u64) -> Vec<(usize, u64)> {
    let limbs = super::limbs(params, level) as usize;
    let extended = limbs + params.ring().p().len();
    let digits = (params.digits(limbs) * extended, threads);
    match &operation.kind {
        Kind::LinearMap { map, .. } => match map.operator() {
            LinearOperator::Gemm => Vec::new(),
            LinearOperator::Diagonals(plan) => {
                let rotated = plan.baby_rotations() + map.input().ciphertexts();
                let sums = plan.giant_sums();
                vec![(extended, 2 * (rotated + sums) as u64), digits, (extended, 2 * threads)]
            }
        },
        Kind::Relinearize | Kind::RelinearizeRescale => vec![digits, (extended, 2 * threads)],
        _ => Vec::new(),
    }
}

/// The buffers of a ring during a run.
struct Buffers<'a> {
    params: &'a Params,
    /// Whether half of each input is a seed.
    is_seeded: bool,
    /// Idle buffers by their number of limbs.
    idle: BTreeMap<usize, u64>,
    idle_bytes: u64,
    /// Of polynomials of so many limbs, (limbs, number) of the buffers that they are in.
    lent: BTreeMap<usize, Vec<(usize, u64)>>,
    alive: u64,
    /// Found so far.
    fresh: u64,
    /// The most that were alive or idle at once.
    peak: u64,
}

impl<'a> Buffers<'a> {
    fn new(params: &'a Params, is_seeded: bool) -> Self {
        let (idle, lent) = (BTreeMap::new(), BTreeMap::new());
        Self { params, is_seeded, idle, idle_bytes: 0, lent, alive: 0, fresh: 0, peak: 0 }
    }

    /// Takes and gives what one chunk does, from inputs to results, step by step.
    fn chunk(&mut self, program: &Program, schedule: &Schedule, threads: usize) {
        let limbs = self.limbs(program.input());
        let mut expanded = vec![!self.is_seeded; program.input().layout.ciphertexts()];
        let last_uses = program.last_uses();
        self.take(limbs, expanded.len() as u64 * if self.is_seeded { 1 } else { 2 });
        for step in schedule.steps() {
            let stage = &schedule.stages()[step.stage];
            let count = step.outputs.len() as u64;
            for &i in &step.expands {
                self.take(limbs, u64::from(!expanded[i]));
                expanded[i] = true;
            }
            let first = match stage.kind {
                StageKind::Alone => count.min(threads as u64),
                _ => count,
            };
            match stage.kind {
                StageKind::Alone => self.alone(program, &last_uses, stage, first),
                _ => self.together(program, stage, step, threads),
            }
            for &(value, i) in &step.dying {
                match value == ValueId(0) && !expanded[i] {
                    true => self.give(limbs, 1),
                    false => self.give_value(program.value(value), 1),
                }
            }
            stage.makes.iter().for_each(|&made| self.take_value(program.value(made), count - first));
        }
        self.give_value(program.output(), program.output().layout.ciphertexts() as u64);
    }

    /// A chain or a map by diagonals: what it reads stays until all that it makes is there.
    fn together(&mut self, program: &Program, stage: &Stage, step: &Step, threads: usize) {
        let operation = &program.operations()[stage.operations.start];
        let scratch = scratch(self.params, operation, operation.value.level, threads as u64);
        scratch.iter().for_each(|&(limbs, count)| self.take(limbs, count));
        stage.makes.iter().for_each(|&made| self.take_value(program.value(made), step.outputs.len() as u64));
        scratch.iter().for_each(|&(limbs, count)| self.give(limbs, count));
    }

    /// Takes so many ciphertexts, one a thread, through the operations of a stage; what it reads stays.
    fn alone(&mut self, program: &Program, last_uses: &[usize], stage: &Stage, count: u64) {
        let mut alive = Vec::new();
        for index in stage.operations.clone() {
            let operation = &program.operations()[index];
            let level = operation.inputs.first().map_or(0, |input| program.value(*input).level);
            let scratch = scratch(self.params, operation, level, count);
            scratch.iter().for_each(|&(limbs, count)| self.take(limbs, count));
            self.take_value(&operation.value, count);
            scratch.iter().for_each(|&(limbs, count)| self.give(limbs, count));
            alive.push(ValueId(index));
            alive.retain(|value| {
                let kept = last_uses[value.0] != index || stage.makes.contains(value);
                if !kept {
                    self.give_value(program.value(*value), count);
                }
                kept
            });
        }
    }

    fn take_value(&mut self, value: &Value, ciphertexts: u64) {
        self.take(self.limbs(value), ciphertexts * (value.degree as u64 + 1));
    }

    fn give_value(&mut self, value: &Value, ciphertexts: u64) {
        self.give(self.limbs(value), ciphertexts * (value.degree as u64 + 1));
    }

    fn limbs(&self, value: &Value) -> usize {
        super::limbs(self.params, value.level) as usize
    }

    fn bytes(&self, limbs: usize) -> u64 {
        (size_of::<u64>() * limbs * self.params.ring().stride()) as u64
    }

    fn take(&mut self, limbs: usize, count: u64) {
        let longest = if self.bytes(limbs) < Params::MAPPED_BYTES as u64 { limbs } else { 2 * limbs };
        let mut found = Vec::new();
        let mut missing = count;
        for (&capacity, idle) in self.idle.range_mut(limbs..=longest) {
            let reused = missing.min(*idle);
            *idle -= reused;
            missing -= reused;
            found.push((capacity, reused));
        }
        self.idle_bytes -= found.iter().map(|&(capacity, reused)| reused * self.bytes(capacity)).sum::<u64>();
        found.push((limbs, missing));
        self.fresh += missing * self.bytes(limbs);
        found.retain(|&(_, count)| count > 0);
        self.alive += found.iter().map(|&(capacity, count)| count * self.bytes(capacity)).sum::<u64>();
        self.lent.entry(limbs).or_default().extend(found);
        self.peak = self.peak.max(self.alive + self.idle_bytes);
    }

    fn give(&mut self, limbs: usize, mut count: u64) {
        while count > 0
            && let Some((capacity, lent)) = self.lent.get_mut(&limbs).and_then(Vec::pop)
        {
            let given = count.min(lent);
            if given < lent {
                self.lent.entry(limbs).or_default().push((capacity, lent - given));
            }
            count -= given;
            let bytes = self.bytes(capacity);
            let kept = given.min((Params::MAX_IDLE_BYTES as u64 - self.idle_bytes) / bytes);
            *self.idle.entry(capacity).or_default() += kept;
            self.idle_bytes += kept * bytes;
            self.alive -= given * bytes;
        }
    }
}
