//! The search for a plan: cheapest first, within security, headroom and precision.
//!
//! For each ring, degree and interleave, chains of 50-bit limbs are tried from the shortest; for each chain all combinations of
//! a few input scales, weight scales and waterlines are lowered (which checks headroom) and traced (which predicts precision and
//! seconds). The first chain that fits is the cheapest of its kind, since limbs are what everything costs. Packings depend on
//! slots and interleave only, and are made once for each.

use std::collections::BTreeMap;

use ckks::{Params, ParamsSpec, RingKind, max_log_qp};

use super::{PlanError, ServerPlan};
use crate::exec::trace::{CostModel, Trace, trace};
use crate::graph::{Graph, Op};
use crate::lower::{Options, Packing, lower};
use crate::program::ProgramError;

/// Ring degrees tried.
const LOG_N: std::ops::RangeInclusive<u32> = 12..=15;
/// Size of every prime.
const PRIME_BITS: u32 = 50;
/// Scales tried together, in bits; from the best of them each is then moved on its own.
const INPUT_BITS: [i32; 8] = [22, 24, 26, 28, 30, 34, 38, 42];
const WEIGHT_BITS: [i32; 8] = [8, 10, 12, 14, 16, 20, 24, 28];
const WATERLINE_BITS: [i32; 7] = [20, 22, 24, 26, 30, 34, 38];

/// Precision relative to the largest result, where none is asked for.
const RELATIVE_BITS: f64 = 9.0;
/// More bits than these are not found by moving single scales.
const REFINABLE_BITS: f64 = 16.0;
/// Steps of the final adjustment of scales.
const MAX_CLIMBS: usize = 40;

/// What a plan is chosen for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Goal {
    /// What to minimise.
    pub objective: Objective,
    /// Samples to come, if known.
    pub samples: Option<usize>,
    /// b, if it is not free.
    pub interleave: Option<usize>,
    /// Bits of precision that the results need at least: −log2 of the largest error. Left out, the error is held to 2^−9 of the
    /// largest result.
    pub precision_bits: Option<f64>,
    /// Largest resident memory that a server may have.
    pub memory_bytes: Option<u64>,
    /// Factor from calibrated to planned magnitudes.
    pub margin: f64,
    /// Largest degree of a polynomial that stands for an activation.
    pub max_degree: usize,
}

/// What to minimise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Objective {
    /// Core-seconds a sample, for all samples together.
    Throughput,
    /// Core-seconds of a single chunk.
    Latency,
    /// The product of both.
    Balanced,
}

impl Default for Goal {
    fn default() -> Self {
        Self {
            objective: Objective::Throughput,
            samples: None,
            interleave: None,
            precision_bits: None,
            memory_bytes: None,
            margin: 1.25,
            max_degree: 32,
        }
    }
}

/// The cheapest plan, and all that was considered.
#[derive(Debug)]
pub struct Planned {
    /// The plan.
    pub plan: ServerPlan,
    /// What running it on a chunk is predicted to take.
    pub trace: Trace,
    /// Every ring, degree and interleave tried: cheapest first, refused ones last.
    pub alternatives: Vec<Alternative>,
}

/// What one ring, degree and interleave comes to.
#[derive(Debug)]
pub struct Alternative {
    /// Standard or conjugate-invariant.
    pub ring: RingKind,
    /// log2 of the degree.
    pub log_n: u32,
    /// b.
    pub interleave: usize,
    /// What its best plan comes to, or why there is none.
    pub outcome: Result<Figures, PlanError>,
}

/// A plan that fits, in figures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figures {
    /// Primes of the chain.
    pub limbs: usize,
    /// Digits of key switching.
    pub dnum: usize,
    /// Server seconds of a chunk.
    pub seconds: f64,
    /// Largest resident memory of a server.
    pub peak_bytes: u64,
    /// What the objective minimises.
    pub cost: f64,
}

/// A plan that fits, its trace, and what the objective minimises.
type Candidate = (ServerPlan, Trace, f64);

/// The cheapest plan for `graph`, whose tensors were at most `magnitudes` (one a node) in calibration.
///
/// # Errors
/// [`PlanError::NoParameters`] with what stood in the way, [`PlanError::Interleave`], [`PlanError::Memory`].
pub fn plan(graph: &Graph, magnitudes: &[f64], goal: &Goal, cost: &CostModel) -> Result<Planned, PlanError> {
    let magnitudes: Vec<f64> = magnitudes.iter().map(|m| m * goal.margin).collect();
    let largest_result = magnitudes.get(graph.output().0).copied().unwrap_or(1.0);
    let precision_bits = goal.precision_bits.unwrap_or(RELATIVE_BITS - largest_result.max(f64::MIN_POSITIVE).log2());
    let mut alternatives = Vec::new();
    let mut best: Option<Candidate> = None;
    let largest = RingKind::ConjugateInvariant.slots(1 << LOG_N.end());
    if let Some(interleave) = goal.interleave
        && (!interleave.is_power_of_two() || interleave > largest)
    {
        return Err(PlanError::Interleave { interleave, slots: largest });
    }
    for ring in [RingKind::ConjugateInvariant, RingKind::Standard] {
        for log_n in LOG_N {
            let made = BTreeMap::new();
            let mut search = Search { graph, magnitudes: &magnitudes, goal, cost, ring, log_n, precision_bits, made };
            for interleave in interleaves(ring.slots(1 << log_n), goal) {
                let found = search.shortest_chain(interleave).and_then(|found| within_memory(found, goal));
                let outcome = found.map(|found| {
                    let figures = figures(&found);
                    if best.as_ref().is_none_or(|best| figures.cost < best.2) {
                        best = Some(found);
                    }
                    figures
                });
                alternatives.push(Alternative { ring, log_n, interleave, outcome });
            }
        }
    }
    let key = |alternative: &Alternative| alternative.outcome.as_ref().map_or(f64::INFINITY, |found| found.cost);
    alternatives.sort_by(|a, b| key(a).total_cmp(&key(b)));
    match best {
        Some((plan, trace, _)) => Ok(Planned { plan, trace, alternatives }),
        None => Err(refusal(&alternatives, precision_bits)),
    }
}

fn figures((plan, trace, cost): &Candidate) -> Figures {
    let params = &plan.client().params;
    Figures {
        limbs: params.ring().q().len(),
        dnum: params.spec().dnum,
        seconds: trace.seconds,
        peak_bytes: trace.peak_bytes(),
        cost: *cost,
    }
}

fn within_memory(found: Candidate, goal: &Goal) -> Result<Candidate, PlanError> {
    let needed = found.1.peak_bytes();
    match goal.memory_bytes {
        Some(limit) if needed > limit => Err(PlanError::Memory { limit, needed }),
        _ => Ok(found),
    }
}

/// Why there is no plan at all: the plan that needs least memory does not fit, or what the largest ring runs into.
fn refusal(alternatives: &[Alternative], precision_bits: f64) -> PlanError {
    let refusals = || alternatives.iter().filter_map(|alternative| alternative.outcome.as_ref().err());
    let needs = |error: &&PlanError| match error {
        PlanError::Memory { needed, .. } => *needed,
        _ => u64::MAX,
    };
    if let Some(error @ PlanError::Memory { .. }) = refusals().min_by_key(needs) {
        return error.clone();
    }
    let largest = alternatives.iter().filter(|alternative| alternative.log_n == *LOG_N.end());
    let refusal = largest.filter_map(|alternative| alternative.outcome.as_ref().err()).next();
    PlanError::NoParameters {
        log_n: *LOG_N.end(),
        precision_bits,
        refusal: refusal.map_or_else(String::new, ToString::to_string),
    }
}

/// The interleaves worth trying for a number of slots.
fn interleaves(slots: usize, goal: &Goal) -> Vec<usize> {
    if let Some(interleave) = goal.interleave {
        return if interleave <= slots { vec![interleave] } else { Vec::new() };
    }
    let batch = goal.samples.map_or(slots, |samples| samples.next_power_of_two().min(slots));
    let mut interleaves = match goal.objective {
        Objective::Throughput => vec![1, 256, batch, slots],
        Objective::Latency => vec![1],
        Objective::Balanced => (0..=slots.ilog2()).step_by(2).map(|log_b| 1 << log_b).collect(),
    };
    interleaves.retain(|&interleave| interleave <= slots);
    interleaves.sort_unstable();
    interleaves.dedup();
    interleaves
}

/// A search with ring and degree fixed.
struct Search<'a> {
    graph: &'a Graph,
    magnitudes: &'a [f64],
    goal: &'a Goal,
    cost: &'a CostModel,
    ring: RingKind,
    log_n: u32,
    precision_bits: f64,
    /// Parameters made so far, by ciphertext and special limbs.
    made: BTreeMap<(usize, usize), Params>,
}

impl Search<'_> {
    /// The best plan on the shortest chain that has any.
    ///
    /// One special prime goes with every chain that is possible at all, and its precision is like that of more; so the others
    /// are tried only on a chain that fits.
    fn shortest_chain(&mut self, interleave: usize) -> Result<Candidate, PlanError> {
        let packing = Packing::new(self.graph, self.ring.slots(1 << self.log_n), interleave)?;
        let mut refusal = None;
        for limbs in 1.. {
            let Some(params) = self.params(limbs, 1)? else {
                break;
            };
            let mut best = match self.best_scales(&packing, &params) {
                Ok(found) => found,
                Err(error) => {
                    refusal = Some(error);
                    continue;
                }
            };
            let mut more = vec![limbs.div_ceil(3), limbs.div_ceil(2)];
            more.dedup();
            more.retain(|&special| special > 1);
            for special in more {
                if let Some(params) = self.params(limbs, special)?
                    && let Ok(found) = self.best_scales(&packing, &params)
                    && found.2 < best.2
                {
                    best = found;
                }
            }
            return Ok(best);
        }
        Err(refusal.unwrap_or_else(|| self.none("no chain fits")))
    }

    /// Parameters with so many ciphertext and special limbs, made once; none above the security bound.
    fn params(&mut self, limbs: usize, special: usize) -> Result<Option<Params>, PlanError> {
        let bound = max_log_qp(self.log_n).unwrap_or(0.0);
        if ((limbs + special) as u32 * PRIME_BITS) as f64 > bound {
            return Ok(None);
        }
        if let Some(params) = self.made.get(&(limbs, special)) {
            return Ok(Some(params.clone()));
        }
        let spec = ParamsSpec::new(self.ring, self.log_n, &vec![PRIME_BITS; limbs], &vec![PRIME_BITS; special]);
        let params = spec.build().map_err(ProgramError::from)?;
        self.made.insert((limbs, special), params.clone());
        Ok(Some(params))
    }

    /// The cheapest combination of scales, the most precise among equals; then, at that cost, each scale moved by a bit as long
    /// as precision grows.
    fn best_scales(&self, packing: &Packing, params: &Params) -> Result<Candidate, PlanError> {
        let mut best: Option<Tried> = None;
        let mut refusal = None;
        for options in options() {
            match self.attempt(packing, params, options) {
                Ok(tried) if best.as_ref().is_none_or(|best| tried.is_better(best)) => best = Some(tried),
                Ok(_) => {}
                Err(error) => refusal = Some(error),
            }
        }
        let Some(best) = best else {
            return Err(refusal.map_or_else(|| self.none("no scales fit"), PlanError::from));
        };
        let hopeless = -best.trace.deviation.log2() + REFINABLE_BITS < self.precision_bits;
        let best = if hopeless { best } else { self.refine(packing, params, best) };
        if !best.precise {
            let (limbs, bits) = (params.max_level() + 1, -best.trace.deviation.log2());
            return Err(self.none(&format!("{limbs} limbs give {bits:.1} bits on average")));
        }
        let Tried { options, trace, cost, .. } = best;
        let plan = ServerPlan::new(self.graph, packing, self.magnitudes, params, options)?;
        Ok((plan, trace, cost))
    }

    /// Hill climbing on the bits of each scale.
    fn refine(&self, packing: &Packing, params: &Params, mut best: Tried) -> Tried {
        let maps = self.graph.nodes().iter().filter(|node| matches!(node.op, Op::Affine(_))).count();
        let last = best.options.weight_bits.last().copied().unwrap_or(0);
        best.options.weight_bits.resize(maps.max(1), last);
        for _ in 0..MAX_CLIMBS {
            let better = neighbours(&best.options)
                .filter_map(|options| self.attempt(packing, params, options).ok())
                .reduce(|a, b| if b.is_better(&a) { b } else { a })
                .filter(|tried| tried.is_better(&best));
            match better {
                Some(better) => best = better,
                None => break,
            }
        }
        best
    }

    fn attempt(&self, packing: &Packing, params: &Params, options: Options) -> Result<Tried, ProgramError> {
        let program = lower(self.graph, packing, self.magnitudes, params, &options)?;
        let trace = trace(&program, self.cost);
        let interleave = program.input().layout.interleave();
        let bits = trace.precision_bits(program.output().layout.features() * interleave);
        let cost = self.objective(&trace, interleave);
        Ok(Tried { options, cost, precise: bits >= self.precision_bits, trace })
    }

    fn objective(&self, trace: &Trace, interleave: usize) -> f64 {
        let samples = self.goal.samples.unwrap_or(interleave).max(1);
        let a_sample = trace.seconds * samples.div_ceil(interleave) as f64 / samples as f64;
        match self.goal.objective {
            Objective::Latency => trace.seconds,
            Objective::Throughput => a_sample,
            Objective::Balanced => trace.seconds * a_sample,
        }
    }

    fn none(&self, refusal: &str) -> PlanError {
        PlanError::NoParameters { log_n: self.log_n, precision_bits: self.precision_bits, refusal: refusal.into() }
    }
}

/// Scales that fit, and what they come to.
struct Tried {
    options: Options,
    trace: Trace,
    /// Whether the results have the bits of precision asked for.
    precise: bool,
    cost: f64,
}

impl Tried {
    /// Precise enough first, then cheap, then precise.
    fn is_better(&self, other: &Self) -> bool {
        let key = |tried: &Self| (!tried.precise, if tried.precise { tried.cost } else { 0.0 }, tried.trace.deviation);
        key(self) < key(other)
    }
}

/// The same options with one scale, or two against each other, a bit or two away.
fn neighbours(options: &Options) -> impl Iterator<Item = Options> + '_ {
    let scales = options.weight_bits.len() + 1;
    let moved = move |moves: [(usize, i32); 2]| {
        let mut options = options.clone();
        for (scale, bits) in moves {
            match scale.checked_sub(1) {
                None => options.input_bits += bits,
                Some(map) => options.weight_bits[map] += bits,
            }
        }
        options
    };
    let pairs = (0..scales).flat_map(move |a| (0..scales).map(move |b| (a, b)));
    pairs.flat_map(move |(a, b)| [(1, 0), (1, -1), (1, -2), (2, -1)].map(|(up, down)| moved([(a, up), (b, down)])))
}

/// All combinations of scales tried.
fn options() -> impl Iterator<Item = Options> {
    INPUT_BITS.into_iter().flat_map(|input_bits| {
        WEIGHT_BITS.into_iter().flat_map(move |weight_bits| {
            let waterlines = WATERLINE_BITS.into_iter().filter(move |&waterline| waterline <= input_bits + 2);
            waterlines.flat_map(move |waterline_bits| {
                [true, false].map(|late_relinearization| Options {
                    input_bits,
                    weight_bits: vec![weight_bits],
                    waterline_bits,
                    late_relinearization,
                })
            })
        })
    })
}
