//! What a server holds in memory at most: keys, encoded weights, ciphertexts, and buffers that wait in the pool of the ring, which are as many as a
//! [`Ledger`] says.

use std::collections::BTreeMap;

use ckks::{Ledger, Params};

use crate::exec::schedule::{Schedule, Stage, StageKind, Step};
use crate::program::{Kind, LinearOperator, Operation, Program, Value, ValueId};

/// Bytes of buffers that are found before the first chunk. Who takes more has so many ciphertexts that finding them is little of the chunk's time.
const MOST_FOUND_BYTES: usize = 1 << 31;

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
    /// (limbs, number) of the buffers that are found before the first chunk: all that it takes, if that is 2 GiB or less, or none.
    pub buffers: Vec<(usize, usize)>,
    /// Of these.
    pub buffer_bytes: u64,
    /// That are still found for the first chunk, its inputs apart.
    pub first_bytes: u64,
    /// That are found for each other chunk.
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
            let first_bytes = buffers.chunk(program, schedule, threads);
            let found = buffers.fresh.clone();
            // The next chunk begins with the buffers of the one before.
            let fresh_bytes = buffers.chunk(program, schedule, threads);
            (buffers, found, first_bytes as u64, fresh_bytes as u64)
        };
        let (seeded, buffers, first_bytes, fresh_bytes) = run(true);
        let (tensor_bytes, public_tensor_bytes) = (seeded.peak as u64, run(false).0.peak as u64);
        let buffer_bytes = seeded.bytes_of(&buffers);
        let (buffers, buffer_bytes, first_bytes) = match buffer_bytes <= MOST_FOUND_BYTES {
            true => (buffers.into_iter().collect(), buffer_bytes as u64, fresh_bytes),
            false => (Vec::new(), 0, first_bytes),
        };
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
            first_bytes,
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
fn scratch(params: &Params, operation: &Operation, level: usize, threads: usize) -> Vec<(usize, usize)> {
    let limbs = super::limbs(params, level) as usize;
    let extended = limbs + params.ring().p().len();
    let digits = (params.digits(limbs) * extended, threads);
    match &operation.kind {
        Kind::LinearMap { map, .. } => match map.operator() {
            LinearOperator::Gemm => Vec::new(),
            LinearOperator::Diagonals(plan) => {
                let rotated = plan.baby_rotations() + map.input().ciphertexts();
                let sums = plan.giant_sums();
                vec![(extended, 2 * (rotated + sums)), digits, (extended, 2 * threads)]
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
    ledger: Ledger,
    /// Of polynomials of so many limbs, (words, number) of the buffers that they are in.
    lent: BTreeMap<usize, Vec<(usize, usize)>>,
    /// The buffers found so far, by their number of limbs.
    fresh: BTreeMap<usize, usize>,
    /// The most bytes that were lent or idle at once.
    peak: usize,
}

impl<'a> Buffers<'a> {
    fn new(params: &'a Params, is_seeded: bool) -> Self {
        let ledger = Ledger::default();
        Self { params, is_seeded, ledger, lent: BTreeMap::new(), fresh: BTreeMap::new(), peak: 0 }
    }

    /// Takes and gives what one chunk does, from inputs to results, step by step, and returns the bytes that are found after the inputs.
    fn chunk(&mut self, program: &Program, schedule: &Schedule, threads: usize) -> usize {
        let limbs = self.limbs(program.input());
        let mut expanded = vec![!self.is_seeded; program.input().layout.ciphertexts()];
        let last_uses = program.last_uses();
        self.take(limbs, expanded.len() * if self.is_seeded { 1 } else { 2 });
        let found = self.bytes_of(&self.fresh);
        for step in schedule.steps() {
            let stage = &schedule.stages()[step.stage];
            let count = step.outputs.len();
            for &i in &step.expands {
                self.take(limbs, usize::from(!expanded[i]));
                expanded[i] = true;
            }
            let first = match stage.kind {
                StageKind::Alone => count.min(threads),
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
        self.give_value(program.output(), program.output().layout.ciphertexts());
        self.bytes_of(&self.fresh) - found
    }

    /// A chain or a map by diagonals: what it reads stays until all that it makes is there.
    fn together(&mut self, program: &Program, stage: &Stage, step: &Step, threads: usize) {
        let operation = &program.operations()[stage.operations.start];
        let scratch = scratch(self.params, operation, operation.value.level, threads);
        scratch.iter().for_each(|&(limbs, count)| self.take(limbs, count));
        stage.makes.iter().for_each(|&made| self.take_value(program.value(made), step.outputs.len()));
        scratch.iter().for_each(|&(limbs, count)| self.give(limbs, count));
    }

    /// Takes so many ciphertexts, one a thread, through the operations of a stage; what it reads stays.
    fn alone(&mut self, program: &Program, last_uses: &[usize], stage: &Stage, count: usize) {
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

    fn take_value(&mut self, value: &Value, ciphertexts: usize) {
        self.take(self.limbs(value), ciphertexts * (value.degree + 1));
    }

    fn give_value(&mut self, value: &Value, ciphertexts: usize) {
        self.give(self.limbs(value), ciphertexts * (value.degree + 1));
    }

    fn limbs(&self, value: &Value) -> usize {
        super::limbs(self.params, value.level) as usize
    }

    fn words(&self, limbs: usize) -> usize {
        limbs * self.params.ring().stride()
    }

    fn bytes_of(&self, buffers: &BTreeMap<usize, usize>) -> usize {
        buffers.iter().map(|(&limbs, count)| count * size_of::<u64>() * self.words(limbs)).sum()
    }

    fn take(&mut self, limbs: usize, count: usize) {
        let words = self.words(limbs);
        let lent = self.lent.entry(limbs).or_default();
        let fresh = self.ledger.take(words, count, |capacity, count| lent.push((capacity, count))).fresh;
        if fresh > 0 {
            lent.push((words, fresh));
            *self.fresh.entry(limbs).or_default() += fresh;
        }
        self.peak = self.peak.max(self.ledger.bytes());
    }

    fn give(&mut self, limbs: usize, mut count: usize) {
        while count > 0
            && let Some((words, lent)) = self.lent.get_mut(&limbs).and_then(Vec::pop)
        {
            let given = count.min(lent);
            if given < lent {
                self.lent.entry(limbs).or_default().push((words, lent - given));
            }
            count -= given;
            self.ledger.give(words, given);
        }
    }
}
