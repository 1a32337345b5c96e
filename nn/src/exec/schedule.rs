//! Which ciphertexts a run computes when, so that few of them are in memory at once.
//!
//! A *stage* is a run of operations that ciphertexts go through together: a chain of matrices of constants, squares and constants, in cache
//! ([`ckks::apply_pointwise`]); operations on each ciphertext alone, one after the other; or the diagonals of one linear map. Of a stage's
//! ciphertexts each needs some of the stage before, and so some of the program's input: a pixel of a convolution's map a few rows of an image.
//! A second matrix goes along in a chain where that makes nothing twice: what it reads in one window no other window needs, as in a pool.
//!
//! The input comes in order. A ciphertext *waits* for the last one of the input that it needs, and a *window* is a range of what is waited
//! for. A *step* computes what one stage has in one window; windows go in order, and within each the stages. So one row of an image
//! goes as deep into the network as it can before the next is looked at, nothing is computed twice, and each ciphertext is freed with the last
//! step that needs it. Where everything needs everything, as behind a dense layer, and where there are few ciphertexts, a step is a whole tensor.

use std::ops::Range;

use crate::program::{Kind, LinearMap, LinearOperator, Operation, Program, ValueId};

/// Ciphertexts of a stage in one window, at most; more only where they all wait for the same one. Rows of a matrix that read the same
/// inputs are cheaper together, and so are many threads.
const WINDOW: usize = 128;

/// The steps of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    stages: Vec<Stage>,
    steps: Vec<Step>,
}

/// Operations that ciphertexts go through together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// How.
    pub kind: StageKind,
    /// Which.
    pub operations: Range<usize>,
    /// The values of earlier stages that they read.
    pub reads: Vec<ValueId>,
    /// Their values that later stages read, or that are the program's result.
    pub makes: Vec<ValueId>,
}

/// How the operations of a stage are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StageKind {
    /// The encrypted samples, which are there: there are no steps of it.
    Input,
    /// Matrices of constants, squares and constants, a few columns of all ciphertexts at a time.
    Chain,
    /// One ciphertext, or one of each operand, through all operations.
    Alone,
    /// One linear map by diagonals.
    Diagonals,
}

/// What one stage computes in one window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Number of the stage.
    pub stage: usize,
    /// The ciphertexts that it makes of each of the stage's values, ascending.
    pub outputs: Vec<usize>,
    /// The ciphertexts that it needs of each value that the stage reads, ascending.
    pub inputs: Vec<usize>,
    /// The ciphertexts that nothing needs after it, ascending.
    pub dying: Vec<(ValueId, usize)>,
    /// The ciphertexts of the program's input that are needed whole from it on. A chain that is the only one to read them expands their seeds
    /// itself, limb by limb.
    pub expands: Vec<usize>,
}

/// The ciphertexts that one of a stage's needs.
enum Needs<'a> {
    Nothing,
    /// The one of the same number.
    Same,
    /// Those that a row of the last of these matrices leads back to.
    Rows(Vec<&'a LinearMap>),
    /// All of so many.
    All(usize),
}

impl Needs<'_> {
    /// Which ciphertexts of each value that a stage reads it needs for some of its own, ascending.
    fn inputs(&self, outputs: &[usize]) -> Vec<usize> {
        match self {
            Needs::Nothing => Vec::new(),
            Needs::Same => outputs.to_vec(),
            Needs::Rows(maps) => maps.iter().rev().fold(outputs.to_vec(), |outputs, map| columns(map, &outputs)),
            Needs::All(count) => (0..*count).collect(),
        }
    }

    /// For each of `count` ciphertexts of a stage, the last of the program's input that it needs, given that for those of the values that the
    /// stage reads.
    fn waits(&self, read: &[&Vec<usize>], count: usize) -> Vec<usize> {
        let latest = |input: usize| read.iter().map(|waits| waits[input]).max().unwrap_or(0);
        match self {
            Needs::Nothing => (0..count).collect(),
            Needs::Same => (0..count).map(latest).collect(),
            Needs::Rows(maps) => {
                let inputs = maps.first().map_or(0, |map| map.input().ciphertexts());
                maps.iter().fold((0..inputs).map(latest).collect(), |waits: Vec<usize>, map| {
                    let wait = |output| map.row(output).map(|(input, _)| waits[input]).max().unwrap_or(0);
                    (0..map.output().ciphertexts()).map(wait).collect()
                })
            }
            Needs::All(inputs) => vec![(0..*inputs).map(latest).max().unwrap_or(0); count],
        }
    }
}

/// The ciphertexts that rows of a matrix read, ascending.
pub(super) fn columns(map: &LinearMap, rows: &[usize]) -> Vec<usize> {
    // Windows of a convolution need the same again and again: a list of all would be many times as long.
    let mut needed = vec![false; map.input().ciphertexts()];
    rows.iter().for_each(|&row| map.row(row).for_each(|(input, _)| needed[input] = true));
    needed.into_iter().enumerate().filter_map(|(input, needed)| needed.then_some(input)).collect()
}

impl Schedule {
    /// The schedule of a program.
    pub fn new(program: &Program) -> Self {
        Self::with_window(program, WINDOW)
    }

    /// With so many ciphertexts of a stage in one window.
    pub(crate) fn with_window(program: &Program, window: usize) -> Self {
        let stages = stages(program);
        let needs: Vec<Needs<'_>> = stages.iter().map(|stage| needs(program, stage)).collect();
        let waits = waits(program, &stages, &needs);
        let windows = windows(&waits, window);
        let mut outputs = vec![vec![Vec::new(); stages.len()]; windows.last().map_or(0, |last| last + 1)];
        for (stage, waits) in waits.iter().enumerate() {
            waits.iter().enumerate().for_each(|(output, &wait)| outputs[windows[wait]][stage].push(output));
        }
        let mut steps = Vec::new();
        for (stage, outputs) in outputs.into_iter().flat_map(|window| window.into_iter().enumerate()) {
            if !outputs.is_empty() && stages[stage].kind != StageKind::Input {
                let inputs = needs[stage].inputs(&outputs);
                steps.push(Step { stage, outputs, inputs, dying: Vec::new(), expands: Vec::new() });
            }
        }
        Self { stages, steps }.with_deaths(program).with_expansions(program)
    }

    /// The stages, in the order of the program.
    pub fn stages(&self) -> &[Stage] {
        &self.stages
    }

    /// The steps, in the order in which they run.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// How many ciphertexts each operation reads from memory, and how many it writes to it.
    pub fn traffic(&self, program: &Program) -> Vec<(usize, usize)> {
        let counts = program.operations().iter().map(|operation| operation.value.layout.ciphertexts());
        let mut traffic: Vec<(usize, usize)> = counts.map(|count| (count, count)).collect();
        for (number, stage) in self.stages.iter().enumerate().filter(|(_, stage)| stage.kind == StageKind::Chain) {
            let Range { start, end } = stage.operations;
            traffic[start..end].iter_mut().for_each(|(read, _)| *read = 0);
            traffic[start..end - 1].iter_mut().for_each(|(_, written)| *written = 0);
            let steps = self.steps.iter().filter(|step| step.stage == number);
            traffic[start].0 = steps.map(|step| step.inputs.len()).sum();
        }
        traffic
    }

    /// Finds for each ciphertext the last step that needs it; for one that none does, but that is no result, the one that makes it, of the input
    /// the first.
    fn with_deaths(mut self, program: &Program) -> Self {
        let operations = program.operations();
        let count = |value: usize| operations[value].value.layout.ciphertexts();
        let mut last: Vec<Vec<usize>> = vec![Vec::new(); operations.len()];
        for (number, Step { stage, outputs, inputs, .. }) in self.steps.iter().enumerate() {
            let Stage { reads, makes, .. } = &self.stages[*stage];
            for (values, ciphertexts) in [(makes, outputs), (reads, inputs)] {
                for value in values {
                    let last = &mut last[value.0];
                    last.resize(count(value.0), 0);
                    ciphertexts.iter().for_each(|&ciphertext| last[ciphertext] = number);
                }
            }
        }
        last[0].resize(count(0), 0);
        last.pop();
        for (value, last) in last.into_iter().enumerate() {
            last.into_iter().enumerate().for_each(|(i, step)| self.steps[step].dying.push((ValueId(value), i)));
        }
        self
    }

    /// Finds for each ciphertext of the input the first step that needs it whole.
    fn with_expansions(mut self, program: &Program) -> Self {
        let input = ValueId(0);
        let mut expanded = vec![false; program.input().layout.ciphertexts()];
        for step in &mut self.steps {
            let stage = &self.stages[step.stage];
            let dies = |&i: &usize| step.dying.binary_search(&(input, i)).is_ok();
            let alone = stage.kind == StageKind::Chain && step.inputs.iter().all(|i| dies(i) && !expanded[*i]);
            if stage.reads.contains(&input) && !alone {
                step.expands = step.inputs.iter().copied().filter(|&i| !expanded[i]).collect();
                step.expands.iter().for_each(|&i| expanded[i] = true);
            }
        }
        self
    }
}

/// Cuts the operations into stages.
fn stages(program: &Program) -> Vec<Stage> {
    let operations = program.operations();
    let last_uses = program.last_uses();
    let mut stages: Vec<Stage> = Vec::new();
    let mut start = 0;
    while let Some(operation) = operations.get(start) {
        let (kind, end) = match operation.kind {
            Kind::Input => (StageKind::Input, start + 1),
            _ if operation.kind.diagonals().is_some() => (StageKind::Diagonals, start + 1),
            _ => match chain(operations, &last_uses, start) {
                Some(end) => (StageKind::Chain, end),
                None => (StageKind::Alone, alone(operations, &last_uses, start)),
            },
        };
        let inside = start..end;
        let read = operations[inside.clone()].iter().flat_map(|operation| &operation.inputs).copied();
        let mut reads: Vec<ValueId> = read.filter(|value| value.0 < start).collect();
        reads.sort_unstable();
        reads.dedup();
        let later = |&value: &usize| last_uses[value] >= end || value + 1 == operations.len();
        let makes = inside.clone().filter(later).map(ValueId).collect();
        stages.push(Stage { kind, operations: inside, reads, makes });
        start = end;
    }
    stages
}

/// The end of the chain that begins with an operation, if one does: it has a matrix, and nothing else needs what lies between its operations.
/// Behind its last matrix, squares are left to whoever relinearises or adds them as it reads them.
fn chain(operations: &[Operation], last_uses: &[usize], start: usize) -> Option<usize> {
    let (mut last, mut end) = (None, start);
    for (index, operation) in operations.iter().enumerate().skip(start) {
        let carries_on = is_pointwise(operation) && (index == start || last_uses[index - 1] == index);
        let map = gemm(operation);
        if !carries_on || (last.is_some() && map.is_some_and(|map| !joins(map))) {
            break;
        }
        last = map.map(|_| index).or(last);
        end = index + 1;
    }
    let is_square = |operation: &Operation| matches!(operation.kind, Kind::Square);
    let is_rescaled = last_uses[end - 1] == end && matches!(operations[end].kind, Kind::Rescale);
    match operations[last? + 1..end].iter().position(is_square) {
        Some(square) if !is_rescaled => last.map(|last| last + 1 + square),
        _ => Some(end),
    }
}

/// Whether a matrix may follow another in a chain: windows share nothing that it reads, or there is but one.
fn joins(map: &LinearMap) -> bool {
    map.has_disjoint_groups() || map.output().ciphertexts() <= WINDOW
}

/// The end of a stage of operations on each ciphertext alone.
fn alone(operations: &[Operation], last_uses: &[usize], start: usize) -> usize {
    let count = |index: usize| operations[index].value.layout.ciphertexts();
    let goes_along = |&index: &usize| {
        !matches!(operations[index].kind, Kind::LinearMap { .. })
            && count(index) == count(start)
            && chain(operations, last_uses, index).is_none()
    };
    (start + 1..operations.len()).take_while(goes_along).last().map_or(start, |last| last) + 1
}

/// Whether an operation treats every point of a polynomial alone, one feature a ciphertext.
fn is_pointwise(operation: &Operation) -> bool {
    let each = matches!(operation.kind, Kind::Square | Kind::AddConstant(_) | Kind::MulConstant { .. });
    (each && operation.value.layout.positions_per_ciphertext() == 1) || gemm(operation).is_some()
}

fn gemm(operation: &Operation) -> Option<&LinearMap> {
    match &operation.kind {
        Kind::LinearMap { map, .. } if matches!(map.operator(), LinearOperator::Gemm) => Some(map),
        _ => None,
    }
}

/// What a ciphertext of a stage needs.
fn needs<'a>(program: &'a Program, stage: &Stage) -> Needs<'a> {
    let all = || Needs::All(stage.reads.first().map_or(0, |&read| program.value(read).layout.ciphertexts()));
    match stage.kind {
        StageKind::Input => Needs::Nothing,
        StageKind::Alone => Needs::Same,
        StageKind::Diagonals => all(),
        StageKind::Chain => {
            let maps: Vec<_> = program.operations()[stage.operations.clone()].iter().filter_map(gemm).collect();
            match maps.iter().skip(1).all(|map| map.has_disjoint_groups()) {
                true => Needs::Rows(maps),
                false => all(),
            }
        }
    }
}

/// Of each stage and ciphertext that it makes, the last of the program's input that it needs.
fn waits(program: &Program, stages: &[Stage], needs: &[Needs<'_>]) -> Vec<Vec<usize>> {
    let mut by_stage: Vec<Vec<usize>> = Vec::with_capacity(stages.len());
    let mut stage_of = vec![0; program.operations().len()];
    for (number, (stage, needs)) in stages.iter().zip(needs).enumerate() {
        stage_of[stage.operations.clone()].fill(number);
        let count = stage.makes.first().map_or(0, |&made| program.value(made).layout.ciphertexts());
        let read: Vec<&Vec<usize>> = stage.reads.iter().map(|read| &by_stage[stage_of[read.0]]).collect();
        let waits = needs.waits(&read, count);
        by_stage.push(waits);
    }
    by_stage
}

/// The window of each ciphertext of the input, and of what waits for it.
fn windows(waits: &[Vec<usize>], largest: usize) -> Vec<usize> {
    let inputs = waits.iter().flatten().max().map_or(0, |last| last + 1);
    let mut waiting = vec![vec![0; waits.len()]; inputs];
    for (stage, waits) in waits.iter().enumerate() {
        waits.iter().for_each(|&wait| waiting[wait][stage] += 1);
    }
    let (mut window, mut filled) = (0, vec![0; waits.len()]);
    let place = |(input, waiting): (usize, Vec<usize>)| {
        let full = filled.iter().zip(&waiting).any(|(filled, more)| filled + more > largest);
        if full && input > 0 {
            window += 1;
            filled.fill(0);
        }
        filled.iter_mut().zip(waiting).for_each(|(filled, more)| *filled += more);
        window
    };
    waiting.into_iter().enumerate().map(place).collect()
}

#[cfg(test)]
mod tests;
