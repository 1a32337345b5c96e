//! Traces of many programs: of one graph in one packing, say, at many scales. Schedule and memory follow from which operations there are on
//! how many limbs, and are found once for all programs that are alike in that.

use std::collections::HashMap;
use std::hash::Hash;
use std::mem::Discriminant;
use std::sync::{Arc, Mutex, PoisonError};

use super::put_off::{Pass, passes};
use super::{CostModel, Memory, Trace};
use crate::exec::is_one;
use crate::exec::schedule::Schedule;
use crate::program::{Kind, LinearMap, Operation, Program, ValueId};

/// Traces with one table of costs and one limit of memory, and what they have in common. Weights that do not fit into memory are streamed:
/// encoded when their operation runs.
#[derive(Debug)]
pub struct Traces<'a> {
    cost: &'a CostModel,
    memory_bytes: Option<u64>,
    schedules: Known<Vec<Outline>, Scheduled>,
    memories: Known<(Vec<u64>, Vec<Held>), Memory>,
}

/// A schedule and what operations cost by it.
#[derive(Debug)]
pub(super) struct Scheduled {
    schedule: Schedule,
    /// Of each operation, the ciphertexts that it reads from memory and writes to it.
    pub(super) traffic: Vec<(usize, usize)>,
    /// Of each operation, what it costs where it stands.
    pub(super) passes: Vec<Pass>,
    /// Ciphertexts of the input that are expanded whole; chains expand the others as they read them.
    pub(super) expanded: usize,
}

impl Scheduled {
    fn new(program: &Program) -> Self {
        let schedule = Schedule::new(program);
        let (traffic, passes) = (schedule.traffic(program), passes(program, &schedule));
        let expanded = schedule.steps().iter().map(|step| step.expands.len()).sum();
        Self { schedule, traffic, passes, expanded }
    }
}

/// What an operation is to a schedule.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Outline {
    kind: Discriminant<Kind>,
    inputs: [Option<ValueId>; 2],
    ciphertexts: usize,
    map: Option<Same>,
    /// Whether it only changes a scale.
    is_one: bool,
}

/// What it is to memory.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Held {
    outline: Outline,
    level: usize,
    degree: usize,
}

/// A linear map, which no other is equal to as long as it is kept.
#[derive(Debug)]
struct Same(Arc<LinearMap>);

impl PartialEq for Same {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Same {}

impl Hash for Same {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).hash(state);
    }
}

impl Outline {
    fn of(operation: &Operation) -> Self {
        let Operation { kind, inputs, value, .. } = operation;
        let map = match kind {
            Kind::LinearMap { map, .. } => Some(Same(Arc::clone(map))),
            _ => None,
        };
        let is_one = matches!(kind, Kind::MulConstant { constant, scale } if is_one(*constant, *scale));
        let inputs = [inputs.first().copied(), inputs.get(1).copied()];
        Self { kind: std::mem::discriminant(kind), inputs, ciphertexts: value.layout.ciphertexts(), map, is_one }
    }
}

impl<'a> Traces<'a> {
    /// Of no program yet.
    pub fn new(cost: &'a CostModel, memory_bytes: Option<u64>) -> Self {
        Self { cost, memory_bytes, schedules: Known::default(), memories: Known::default() }
    }

    /// The trace of a program.
    pub fn trace(&self, program: &Program) -> Trace {
        let operations = program.operations();
        let outlines = operations.iter().map(Outline::of).collect();
        let scheduled = self.schedules.get(outlines, || Scheduled::new(program));
        let ring = program.params().ring();
        let moduli = ring.q().chain(ring.p()).map(|prime| prime.value()).collect();
        let held = |operation: &Operation| {
            let (level, degree) = (operation.value.level, operation.value.degree);
            Held { outline: Outline::of(operation), level, degree }
        };
        let memory = self.memories.get((moduli, operations.iter().map(held).collect()), || {
            Memory::new(program, &scheduled.schedule, self.cost.threads, self.memory_bytes)
        });
        super::with(program, self.cost, &scheduled, &memory)
    }
}

/// Values by their keys, each made once.
#[derive(Debug)]
struct Known<K, V>(Mutex<HashMap<K, Arc<V>>>);

impl<K, V> Default for Known<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash, V> Known<K, V> {
    /// The value of a key. Two threads that ask at once may both make it.
    fn get(&self, key: K, make: impl FnOnce() -> V) -> Arc<V> {
        let known = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = known().get(&key).cloned();
        found.unwrap_or_else(|| {
            let made = Arc::new(make());
            Arc::clone(known().entry(key).or_insert(made))
        })
    }
}
