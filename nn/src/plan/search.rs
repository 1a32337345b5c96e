//! The search for a plan: cheapest first, within security, headroom, precision and memory.
//!
//! A *place* is a ring, a degree and an interleave. In each, chains are tried from the shortest, with the scales of `scales`; the
//! first that fits is the cheapest of its kind, since limbs are what everything costs, and is then tried with more special
//! primes, and if it takes too many keys with prices of keys. What keeps the search short: scales that served one place are tried first in the
//! next; a place in which they come to much more than the best plan is left alone; interleaves are left when they only get worse, and so
//! are larger degrees. Packings depend on the positions of a ciphertext and the price of a key only, and are made once for each pair.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use ckks::RingKind;

use super::chain::Chains;
use super::depth::{least_bits, too_deep};
use super::scales::{Place, Task, Tried, products};
use super::{Goal, Objective, PlanError, ServerPlan};
use crate::exec::trace::{CostModel, Trace};
use crate::graph::Graph;
use crate::layout::KeyPrice;
use crate::lower::{Options, Packing};

/// Ring degrees tried.
pub(super) const LOG_N: std::ops::RangeInclusive<u32> = 12..=16;
/// A place that costs so many times the best plan is left alone.
const COSTLY: f64 = 2.0;
/// After so many places in a row that are costly or have no plan, further interleaves are not tried.
const HOPELESS_PLACES: usize = 3;
/// A larger degree has to save at least this share of the cost for a still larger one to be tried.
const WORTHWHILE: f64 = 0.02;
/// After so many chains, each longer than the one before, that add less than these bits of precision, the scales are at their largest.
const STALLED_CHAINS: usize = 3;
const LEAST_GAIN: f64 = 0.5;
/// Scales that served, kept to be tried in other places.
const REMEMBERED: usize = 6;

/// The cheapest plan, and all that was considered.
#[derive(Debug)]
pub struct Planned {
    /// The plan.
    pub plan: ServerPlan,
    /// What running it on a chunk is predicted to take.
    pub trace: Trace,
    /// Every place tried: cheapest first, refused ones last.
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

/// The cheapest plan for `graph`, whose tensors were at most `magnitudes` (one a node) in calibration.
///
/// # Errors
/// [`PlanError::NoParameters`] with what stood in the way, [`PlanError::TooDeep`], [`PlanError::Interleave`],
/// [`PlanError::Memory`], [`PlanError::FewestKeys`].
pub fn plan(graph: &Graph, magnitudes: &[f64], goal: &Goal, costs: &CostModel) -> Result<Planned, PlanError> {
    let largest = RingKind::ConjugateInvariant.slots(1 << LOG_N.end());
    if let Some(interleave) = goal.interleave
        && (!interleave.is_power_of_two() || interleave > largest)
    {
        return Err(PlanError::Interleave { interleave, slots: largest });
    }
    let magnitudes: Vec<f64> = magnitudes.iter().map(|m| m * goal.margin).collect();
    let bits = goal.bits(magnitudes.get(graph.output().0).copied().unwrap_or(1.0));
    let task = Task { graph, magnitudes: &magnitudes, goal, costs, bits };
    let mut search = Search {
        task,
        packings: BTreeMap::new(),
        known: Vec::new(),
        chain_bits: 0,
        least_bits: least_bits(graph),
        best: None,
        alternatives: Vec::new(),
    };
    for ring in [RingKind::ConjugateInvariant, RingKind::Standard] {
        for log_n in LOG_N {
            let before = search.best.as_ref().map(|best| best.tried.cost);
            let found = search.degree(ring, log_n)?;
            let better = |(found, before)| found < (1.0 - WORTHWHILE) * before;
            if found.zip(before).is_some_and(|costs| !better(costs)) {
                break;
            }
        }
    }
    search.finish()
}

/// A plan that was found.
struct Found<'a> {
    params: ckks::Params,
    place: Arc<Place<'a>>,
    tried: Tried,
}

struct Search<'a> {
    task: Task<'a>,
    /// Of one sample, by positions and price.
    packings: BTreeMap<(usize, KeyPrice), Packing>,
    /// Scales that served, each with the bits of their chain, the latest last.
    known: Vec<(Options, u32)>,
    /// Bits of the shortest chain that any served with.
    chain_bits: u32,
    /// Bits that no chain can do without.
    least_bits: u32,
    best: Option<Found<'a>>,
    alternatives: Vec<Alternative>,
}

impl<'a> Search<'a> {
    /// Tries the interleaves of a degree: the least cost found, if any.
    fn degree(&mut self, ring: RingKind, log_n: u32) -> Result<Option<f64>, PlanError> {
        let mut chains = Chains::new(ring, log_n);
        let (mut hopeless, mut least) = (0, None::<f64>);
        let slots = ring.slots(1 << log_n);
        for interleave in self.task.goal.interleaves(slots) {
            let outcome = self.place(&mut chains, slots, interleave).map(|found| self.take(found));
            let best = self.best.as_ref().map(|best| best.tried.cost);
            let is_hopeless = match &outcome {
                Ok(figures) => best.is_some_and(|best| figures.cost > COSTLY * best),
                // A limit leaves room for smaller ones, and of keys for larger ones.
                Err(PlanError::Memory { .. }) => self.task.goal.objective == Objective::Balanced,
                Err(PlanError::Keys { .. }) => false,
                Err(_) => true,
            };
            if let Ok(figures) = &outcome {
                least = Some(least.map_or(figures.cost, |least| least.min(figures.cost)));
            }
            self.alternatives.push(Alternative { ring, log_n, interleave, outcome });
            hopeless = if is_hopeless { hopeless + 1 } else { 0 };
            if hopeless == HOPELESS_PLACES {
                break;
            }
        }
        Ok(least)
    }

    /// The best plan of a place, on the shortest chain that has any.
    fn place(&mut self, chains: &mut Chains, slots: usize, interleave: usize) -> Result<Found<'a>, PlanError> {
        if self.shortest(chains) > chains.longest() {
            return Err(PlanError::NoChain { log_n: chains.log_n() });
        }
        let place = self.packed(slots, interleave, KeyPrice::FREE)?;
        self.probe(chains, &place)?;
        let known: Vec<Options> = self.known.iter().map(|(options, _)| options.clone()).collect();
        let (mut refusal, mut spare, mut stalled) = (None, f64::NEG_INFINITY, 0);
        for limbs in self.shortest(chains)..=chains.longest() {
            let Some(params) = chains.params(limbs, 1) else {
                continue;
            };
            match self.task.choose(&place, &params, &known) {
                Ok(tried) if tried.is_precise() => {
                    let found = self.with_other_products(chains, Found { params, place, tried });
                    let found = self.with_specials(chains, found);
                    let found = self.with_few_keys(chains, found, (slots, interleave))?;
                    return self.within_limits(found);
                }
                Ok(tried) => {
                    let bits = tried.spare + self.task.bits;
                    refusal = Some(PlanError::Imprecise { limbs, bits, wanted: self.task.bits });
                    stalled = if tried.spare < spare + LEAST_GAIN { stalled + 1 } else { 0 };
                    if stalled == STALLED_CHAINS {
                        break;
                    }
                    spare = spare.max(tried.spare);
                }
                Err(error) => refusal = Some(error.into()),
            }
        }
        Err(refusal.unwrap_or(PlanError::NoChain { log_n: chains.log_n() }))
    }

    /// The plan, or a cheaper one whose products are relinearised elsewhere, or rescaled at another scale, if need be on a chain of one prime more: the shortest
    /// chain may be one that has precision left for neither.
    fn with_other_products(&self, chains: &mut Chains, mut found: Found<'a>) -> Found<'a> {
        if !found.place.packing.has_one_feature() {
            return found;
        }
        let limbs = found.params.ring().q().len();
        let all = products(&found.tried.options, self.task.goal.flood.is_some());
        for limbs in limbs..=(limbs + 1).min(chains.longest()) {
            if let Some(params) = chains.params(limbs, 1)
                && let Some(tried) = self.task.adjust(&found.place, &params, &all)
                && tried.is_better(&found.tried)
            {
                found = Found { params, tried, ..found };
            }
        }
        found
    }

    /// The plan with as many special primes as make it best.
    fn with_specials(&self, chains: &mut Chains, mut found: Found<'a>) -> Found<'a> {
        let limbs = found.params.ring().q().len();
        for special in Chains::specials(limbs) {
            if let Some(params) = chains.params(limbs, special)
                && let Ok(tried) = self.task.attempt(&found.place, &params, &found.tried.options)
                && tried.is_better(&found.tried)
            {
                found = Found { params, tried, ..found };
            }
        }
        found
    }

    /// The plan, or if it takes too many keys that with the lowest price of keys that does not, or takes fewest.
    fn with_few_keys(
        &mut self,
        chains: &mut Chains,
        found: Found<'a>,
        (slots, interleave): (usize, usize),
    ) -> Result<Found<'a>, PlanError> {
        let (ring, log_n, refusal) = (chains.ring(), chains.log_n(), self.too_many_keys(&found));
        // A price saves no memory but that of keys.
        let beyond_help = found.tried.excess > found.tried.trace.memory.key_bytes;
        if found.tried.excess_keys == 0 || beyond_help {
            return Ok(found);
        }
        let (mut low, mut high) = (0, KeyPrice::RAISED.len());
        let mut best = found;
        while low < high {
            let middle = low.midpoint(high);
            let place = self.packed(slots, interleave, KeyPrice::RAISED[middle])?;
            let options = std::slice::from_ref(&best.tried.options);
            let tried = self.task.adjust(&place, &best.params, options);
            let priced = tried.map(|tried| Found { params: best.params.clone(), place, tried });
            let priced = priced.map(|priced| self.with_specials(chains, priced));
            match &priced {
                Some(Found { tried, .. }) if tried.excess_keys == 0 => high = middle,
                _ => low = middle + 1,
            }
            best = priced.filter(|priced| priced.tried.is_better(&best.tried)).unwrap_or(best);
        }
        if best.place.packing.price() != KeyPrice::FREE {
            self.alternatives.push(Alternative { ring, log_n, interleave, outcome: Err(refusal) });
        }
        Ok(best)
    }

    /// The plan, if it fits into memory and keeps to the limit of keys where there is one.
    fn within_limits(&self, found: Found<'a>) -> Result<Found<'a>, PlanError> {
        if self.task.goal.key_bytes.is_some() && found.tried.excess_keys > 0 {
            return Err(self.too_many_keys(&found));
        }
        match (self.task.goal.memory_bytes, found.tried.trace.memory.peak_bytes()) {
            (Some(limit), needed) if needed > limit => Err(PlanError::Memory { limit, needed }),
            _ => Ok(found),
        }
    }

    fn too_many_keys(&self, found: &Found<'_>) -> PlanError {
        let Trace { seconds, memory, .. } = &found.tried.trace;
        PlanError::Keys { limit: self.task.goal.key_limit(), needed: memory.packed_key_bytes, seconds: *seconds }
    }

    /// Leaves a place alone in which scales that served elsewhere come to much more than the best plan.
    fn probe(&self, chains: &mut Chains, place: &Place<'_>) -> Result<(), PlanError> {
        let shortest = |bits: u32| (1..=chains.longest()).find(|&limbs| chains.bits(limbs) >= bits);
        let served = self.known.iter().rev().find_map(|(options, bits)| Some((options, shortest(*bits)?)));
        let (Some(best), Some((options, limbs))) = (&self.best, served) else {
            return Ok(());
        };
        let Some(params) = chains.params(limbs, 1) else {
            return Ok(());
        };
        match self.task.attempt(place, &params, options) {
            Ok(tried) if tried.cost > COSTLY * best.tried.cost => {
                Err(PlanError::Costly { seconds: tried.trace.seconds, times: tried.cost / best.tried.cost })
            }
            _ => Ok(()),
        }
    }

    /// Limbs of the shortest chain worth trying: hardly shorter than what served elsewhere, and none that must be too short.
    fn shortest(&self, chains: &Chains) -> usize {
        let enough = self.chain_bits.saturating_sub(Chains::WIDEST).max(self.least_bits);
        (1..=chains.longest()).find(|&limbs| chains.bits(limbs) >= enough).unwrap_or(usize::MAX)
    }

    /// The place of an interleave, packed.
    fn packed(&mut self, slots: usize, interleave: usize, price: KeyPrice) -> Result<Arc<Place<'a>>, PlanError> {
        let positions = slots / interleave;
        let packing = match self.packings.entry((positions, price)) {
            Entry::Occupied(packing) => packing.into_mut(),
            Entry::Vacant(place) => place.insert(Packing::new(self.task.graph, positions, 1, price)?),
        };
        Ok(Arc::new(self.task.place(packing.interleaved(interleave))))
    }

    /// Remembers what served, and the plan itself if it is the best.
    fn take(&mut self, found: Found<'a>) -> Figures {
        let Found { params, tried, .. } = &found;
        let figures = Figures {
            limbs: params.ring().q().len(),
            dnum: params.spec().dnum,
            seconds: tried.trace.seconds,
            peak_bytes: tried.trace.memory.peak_bytes(),
            cost: tried.cost,
        };
        let bits = params.log_q(params.max_level()).round() as u32;
        self.chain_bits = if self.known.is_empty() { bits } else { self.chain_bits.min(bits) };
        self.known.retain(|(options, _)| *options != tried.options);
        self.known.push((tried.options.clone(), bits));
        if self.known.len() > REMEMBERED {
            self.known.remove(0);
        }
        if self.best.as_ref().is_none_or(|best| figures.cost < best.tried.cost) {
            self.best = Some(found);
        }
        figures
    }

    fn finish(mut self) -> Result<Planned, PlanError> {
        let cost = |alternative: &Alternative| alternative.outcome.as_ref().map_or(f64::INFINITY, |found| found.cost);
        self.alternatives.sort_by(|a, b| cost(a).total_cmp(&cost(b)));
        let Some(Found { params, place, tried }) = self.best else {
            return Err(self.refusal());
        };
        let Task { graph, magnitudes, .. } = self.task;
        let plan = ServerPlan::new(graph, &place.packing, magnitudes, &params, tried.options)?;
        let plan = plan.within(self.task.goal.memory_bytes).with_flood(self.task.goal.flood);
        Ok(Planned { plan, trace: tried.trace, alternatives: self.alternatives })
    }

    /// Why there is no plan at all: memory, depth, or what the largest ring runs into.
    fn refusal(&self) -> PlanError {
        let refusals = || self.alternatives.iter().filter_map(|alternative| alternative.outcome.as_ref().err());
        let needs = |error: &&PlanError| match error {
            PlanError::Memory { needed, .. } | PlanError::Keys { needed, .. } => *needed,
            _ => u64::MAX,
        };
        match refusals().min_by_key(needs) {
            Some(error @ PlanError::Memory { .. }) => return error.clone(),
            Some(&PlanError::Keys { limit, needed, .. }) => return PlanError::FewestKeys { limit, needed },
            _ => {}
        }
        let last = refusals().rfind(|error| !matches!(error, PlanError::NoChain { .. }));
        let refusal = last.or(refusals().next_back()).map_or_else(String::new, ToString::to_string);
        match last {
            None => too_deep(self.task.graph, refusal),
            Some(PlanError::Program(error)) if error.is_of_depth() => too_deep(self.task.graph, refusal),
            _ => PlanError::NoParameters {
                log_n: *LOG_N.end(),
                precision_bits: self.task.bits,
                flooded: self.task.goal.flood.is_some(),
                refusal,
            },
        }
    }
}
