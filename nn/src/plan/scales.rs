//! The choice of scales for one packing and one chain.
//!
//! All combinations of a few input scales, weight scales and waterlines are lowered (which checks headroom) and traced (which
//! predicts precision and seconds); of the best, single scales are then moved as long as that helps. What served another packing or
//! chain is tried first.

use ckks::Params;
use rayon::prelude::*;

use super::{Flood, Goal};
use crate::exec::trace::{CostModel, Trace, Traces};
use crate::graph::{Graph, Op};
use crate::lower::{Options, Packing, lower};
use crate::program::ProgramError;

/// Scales tried together, in bits; from the best of them each is then moved on its own.
const INPUT_BITS: [i32; 7] = [22, 25, 28, 30, 34, 38, 42];
pub(super) const WEIGHT_BITS: [i32; 7] = [8, 11, 14, 17, 20, 24, 28];
pub(super) const WATERLINE_BITS: [i32; 7] = [20, 22, 24, 27, 30, 34, 38];

/// The same where results are flooded: the noise is many bits above the largest possible error.
const FLOODED_INPUT_BITS: [i32; 6] = [50, 60, 70, 80, 90, 100];
const FLOODED_WEIGHT_BITS: [i32; 4] = [30, 40, 50, 60];
const FLOODED_WATERLINE_BITS: [i32; 6] = [50, 60, 70, 80, 90, 100];

/// More bits than these are not found by moving single scales.
const REFINABLE_BITS: f64 = 12.0;
/// As many bits to spare are enough.
const SPARE_BITS: f64 = 1.5;
/// More scales than these are many.
const MANY: usize = 4;
/// Steps of the final adjustment.
const MAX_CLIMBS: usize = 24;

/// A graph, where its values lie and how large they are, and what is asked for.
#[derive(Clone, Copy)]
pub(super) struct Task<'a> {
    pub graph: &'a Graph,
    pub magnitudes: &'a [f64],
    pub goal: &'a Goal,
    pub costs: &'a CostModel,
    /// Bits of precision asked for.
    pub bits: f64,
}

/// Where values lie, and traces of the programs that the graph becomes there.
pub(super) struct Place<'a> {
    pub packing: Packing,
    traces: Traces<'a>,
}

/// Options that fit, and what they come to.
pub(super) struct Tried {
    pub options: Options,
    pub trace: Trace,
    pub cost: f64,
    /// Bits of precision beyond those asked for.
    pub spare: f64,
    /// Bytes of memory beyond those that there are.
    pub excess: u64,
    /// Bytes of evaluation keys beyond those that there should be.
    pub excess_keys: u64,
}

impl Tried {
    pub fn is_precise(&self) -> bool {
        self.spare >= 0.0
    }

    /// Precise enough first, then small enough, then of few keys, then cheap, then precise.
    pub fn is_better(&self, other: &Self) -> bool {
        let key = |tried: &Self| match tried.is_precise() {
            true => (false, tried.excess, tried.excess_keys, tried.cost, -tried.spare),
            false => (true, 0, 0, 0.0, -tried.spare),
        };
        key(self) < key(other)
    }

    fn better(self, other: Self) -> Self {
        if other.is_better(&self) { other } else { self }
    }
}

impl<'a> Task<'a> {
    /// A packing of the graph, of which nothing is traced yet.
    pub fn place(&self, packing: Packing) -> Place<'a> {
        Place { packing, traces: Traces::new(self.costs, self.goal.memory_bytes) }
    }

    /// What the given options come to.
    pub fn attempt(&self, place: &Place<'_>, params: &Params, options: &Options) -> Result<Tried, ProgramError> {
        let program = lower(self.graph, &place.packing, self.magnitudes, params, options)?;
        let interleave = program.input().layout.interleave();
        let results = program.output().layout.features() * self.goal.samples.unwrap_or(interleave).max(interleave);
        let mut trace = place.traces.trace(&program);
        trace.flooding = self.goal.flood.map_or(0.0, |goal| Flood::new(goal, &program).sigma());
        let spare = trace.precision_bits(results) - self.bits;
        let excess = self.goal.memory_bytes.map_or(0, |limit| trace.memory.peak_bytes().saturating_sub(limit));
        let excess_keys = trace.memory.packed_key_bytes.saturating_sub(self.goal.key_limit());
        let cost = self.goal.cost(&trace, interleave);
        Ok(Tried { options: options.clone(), cost, spare, excess, excess_keys, trace })
    }

    /// The cheapest of `known`, adjusted, if one of them can be made precise enough and fits into memory; otherwise of all combinations, too.
    ///
    /// # Errors
    /// Why the last combination did not fit.
    pub fn choose(&self, place: &Place<'_>, params: &Params, known: &[Options]) -> Result<Tried, ProgramError> {
        let adjusted = self.adjust(place, params, known);
        let adjusted = match adjusted {
            Some(adjusted) if adjusted.excess == 0 => return Ok(adjusted),
            other => other,
        };
        let best =
            self.best(place, params, &combinations(place.packing.has_one_feature(), self.goal.flood.is_some()))?;
        let found = self.refine(place, params, best);
        Ok(match adjusted {
            Some(adjusted) => adjusted.better(found),
            None => found,
        })
    }

    /// The cheapest of `known`, adjusted, if one of them can be made precise enough.
    pub fn adjust(&self, place: &Place<'_>, params: &Params, known: &[Options]) -> Option<Tried> {
        let best = self.best(place, params, known).ok()?;
        Some(self.refine(place, params, best)).filter(Tried::is_precise)
    }

    fn best(&self, place: &Place<'_>, params: &Params, all: &[Options]) -> Result<Tried, ProgramError> {
        let tried: Vec<_> = all.par_iter().map(|options| self.attempt(place, params, options)).collect();
        let (mut best, mut refusal) = (None, ProgramError::Exhausted { operation: "the program".into() });
        for tried in tried {
            match tried {
                Ok(tried) => {
                    best = Some(match best {
                        Some(best) => Tried::better(best, tried),
                        None => tried,
                    });
                }
                Err(error) => refusal = error,
            }
        }
        best.ok_or(refusal)
    }

    /// Hill climbing on the bits of each scale.
    fn refine(&self, place: &Place<'_>, params: &Params, mut best: Tried) -> Tried {
        if best.spare < -REFINABLE_BITS {
            return best;
        }
        let maps = self.graph.nodes().iter().filter(|node| matches!(node.op, Op::Affine(_))).count();
        let last = best.options.weight_bits.last().copied().unwrap_or(0);
        best.options.weight_bits.resize(maps.max(1), last);
        for _ in 0..MAX_CLIMBS {
            if best.spare >= SPARE_BITS {
                break;
            }
            let neighbours: Vec<Options> = neighbours(&best.options).collect();
            match self.best(place, params, &neighbours) {
                Ok(better) if better.is_better(&best) => best = better,
                _ => break,
            }
        }
        best
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
    // Of many scales only neighbours are moved against each other.
    let reach = if scales > MANY { 1 } else { MANY };
    let pairs = (0..scales).flat_map(move |a| (0..scales).map(move |b| (a, b)));
    let pairs = pairs.filter(move |&(a, b)| a.abs_diff(b) <= reach);
    pairs.flat_map(move |(a, b)| [(1, 0), (1, -1), (2, -1)].map(|(up, down)| moved([(a, up), (b, down)])))
}

/// The same scales of inputs and weights, with all places where products can be relinearised and rescaled.
pub(super) fn products(options: &Options, flooded: bool) -> Vec<Options> {
    let waterlines: &[i32] = if flooded { &FLOODED_WATERLINE_BITS } else { &WATERLINE_BITS };
    let late = waterlines.iter().flat_map(|&waterline| [(waterline, true), (waterline, false)]);
    late.map(|(waterline_bits, late_relinearization)| Options {
        waterline_bits,
        late_relinearization,
        ..options.clone()
    })
    .collect()
}

/// All combinations of scales tried; where products are relinearised is free only with one feature a ciphertext.
fn combinations(one_feature: bool, flooded: bool) -> Vec<Options> {
    let (inputs, weights, waterlines): (&[i32], &[i32], &[i32]) = match flooded {
        false => (&INPUT_BITS, &WEIGHT_BITS, &WATERLINE_BITS),
        true => (&FLOODED_INPUT_BITS, &FLOODED_WEIGHT_BITS, &FLOODED_WATERLINE_BITS),
    };
    let late: &[bool] = if one_feature { &[true, false] } else { &[false] };
    let mut combinations = Vec::new();
    for &input_bits in inputs {
        for &weight_bits in weights {
            for &waterline_bits in waterlines.iter().filter(|&&waterline| waterline <= input_bits + 2) {
                combinations.extend(late.iter().map(|&late_relinearization| Options {
                    input_bits,
                    weight_bits: vec![weight_bits],
                    waterline_bits,
                    late_relinearization,
                    last_limb: !flooded,
                }));
            }
        }
    }
    combinations
}
