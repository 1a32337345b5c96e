//! Seconds from amounts of work and measured rates.

use ckks::{Params, Scale};
use serde::{Deserialize, Serialize};

use super::work::Work;
use crate::exec::is_one;
use crate::layout::DiagonalPlan;
use crate::program::{Kind, LinearMap, LinearOperator, Operation, Value};

/// What operations take on one machine with so many threads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CostModel {
    /// Threads that work is spread over.
    pub threads: usize,
    /// Products with matrices of constants.
    pub gemm: GemmCost,
    /// One entry of a matrix, put into the slots of its diagonal, in core-seconds.
    pub entry: f64,
    /// One byte of memory that the system has to find, in core-seconds.
    pub fresh_byte: f64,
    /// By degree, ascending.
    pub degrees: Vec<DegreeCost>,
}

/// Core-seconds of products with matrices of constants, each but the last for one residue.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct GemmCost {
    /// A multiply-accumulate.
    pub mac: f64,
    /// The same where constants fit 16 bits.
    pub short_mac: f64,
    /// An input that a group of rows reads, or a result.
    pub edge: f64,
    /// An input that comes from memory, or a result that goes there.
    pub traffic: f64,
    /// A square on the way.
    pub square: f64,
    /// An input that is expanded from a seed instead of read.
    pub seed: f64,
    /// An entry of a matrix, encoded once for all coefficients and limbs.
    pub constant: f64,
}

/// What operations take at one degree.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct DegreeCost {
    /// log2 of the degree.
    pub log_n: u32,
    /// The decomposition of a ciphertext.
    pub hoist: Rate,
    /// A rotation out of it in the basis QP.
    pub rotate: Rate,
    /// A rotation of a sum in the basis QP.
    pub giant: Rate,
    /// A ModDown of both parts.
    pub mod_down: Rate,
    /// A relinearisation, or a rotation that shares nothing.
    pub relinearize: Rate,
    /// A rescale.
    pub rescale: Rate,
    /// A product of two ciphertexts, for each of its limbs.
    pub mul: Rate,
    /// A sum, or a product with a constant, for each of its limbs.
    pub add: Rate,
    /// A product with a diagonal in the basis QP, for each limb of each part, in core-seconds.
    pub product: f64,
    /// The same with a plaintext of which one of many repetitions is kept.
    pub repeated: f64,
    /// The expansion of a seed, for each limb, in core-seconds.
    pub expand: f64,
    /// An encoding of a diagonal, apart from its limbs, in core-seconds.
    pub encode: f64,
    /// Each unit of its work.
    pub encode_limb: f64,
}

/// Wall seconds of a unit of work.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rate {
    /// On each thread, while all threads do the same.
    pub many: f64,
    /// Of an operation that all threads share.
    pub one: f64,
}

/// A unit of work takes no longer.
const MOST_SECONDS: f64 = 10.0;

/// Below this many words `ckks` does not spread the limbs of a polynomial over threads.
const PARALLEL_WORDS: usize = 1 << 14;

impl Rate {
    const FREE: Self = Self { many: 0.0, one: 0.0 };

    /// The same for every number of operations.
    #[cfg(test)]
    fn even(seconds: f64, threads: usize) -> Self {
        Self { many: seconds, one: seconds / threads as f64 }
    }

    /// Wall seconds of so many operations of so much work each. Those that are left when every thread has had as many as the
    /// others are shared, or run side by side.
    fn seconds(self, work: f64, operations: usize, threads: usize) -> f64 {
        let (rounds, left) = (operations / threads.max(1), operations % threads.max(1));
        work * (rounds as f64 * self.many + (left as f64 * self.one).min(self.many))
    }

    fn map2(self, other: Self, op: &impl Fn(f64, f64) -> f64) -> Self {
        Self { many: op(self.many, other.many), one: op(self.one, other.one) }
    }
}

impl GemmCost {
    fn map2(self, other: Self, op: &impl Fn(f64, f64) -> f64) -> Self {
        Self {
            mac: op(self.mac, other.mac),
            short_mac: op(self.short_mac, other.short_mac),
            edge: op(self.edge, other.edge),
            traffic: op(self.traffic, other.traffic),
            square: op(self.square, other.square),
            seed: op(self.seed, other.seed),
            constant: op(self.constant, other.constant),
        }
    }

    fn figures(&self) -> [f64; 7] {
        let Self { mac, short_mac, edge, traffic, square, seed, constant } = *self;
        [mac, short_mac, edge, traffic, square, seed, constant]
    }
}

impl DegreeCost {
    const FREE: Self = Self {
        log_n: 1,
        hoist: Rate::FREE,
        rotate: Rate::FREE,
        giant: Rate::FREE,
        mod_down: Rate::FREE,
        relinearize: Rate::FREE,
        rescale: Rate::FREE,
        mul: Rate::FREE,
        add: Rate::FREE,
        product: 0.0,
        repeated: 0.0,
        expand: 0.0,
        encode: 0.0,
        encode_limb: 0.0,
    };

    fn rates(&self) -> [Rate; 8] {
        let Self { hoist, rotate, giant, mod_down, relinearize, rescale, mul, add, .. } = *self;
        [hoist, rotate, giant, mod_down, relinearize, rescale, mul, add]
    }

    fn figures(&self) -> impl Iterator<Item = f64> {
        let Self { product, repeated, expand, encode, encode_limb, .. } = *self;
        let rates = self.rates().into_iter().flat_map(|Rate { many, one }| [many, one]);
        rates.chain([product, repeated, expand, encode, encode_limb])
    }

    /// The costs of another degree: in proportion to N log N.
    #[must_use]
    pub fn at(self, log_n: u32) -> Self {
        let ratio = (f64::from(log_n) - f64::from(self.log_n)).exp2() * f64::from(log_n) / f64::from(self.log_n);
        Self { log_n, ..self.map2(self, &|cost, _| cost * ratio) }
    }

    fn map2(self, other: Self, op: &impl Fn(f64, f64) -> f64) -> Self {
        Self {
            log_n: self.log_n,
            hoist: self.hoist.map2(other.hoist, op),
            rotate: self.rotate.map2(other.rotate, op),
            giant: self.giant.map2(other.giant, op),
            mod_down: self.mod_down.map2(other.mod_down, op),
            relinearize: self.relinearize.map2(other.relinearize, op),
            rescale: self.rescale.map2(other.rescale, op),
            mul: self.mul.map2(other.mul, op),
            add: self.add.map2(other.add, op),
            product: op(self.product, other.product),
            repeated: op(self.repeated, other.repeated),
            expand: op(self.expand, other.expand),
            encode: op(self.encode, other.encode),
            encode_limb: op(self.encode_limb, other.encode_limb),
        }
    }
}

impl CostModel {
    /// Round figures like those of one core of a Zen 4 with AVX-512 IFMA (November 2026), for tests.
    #[cfg(test)]
    pub(crate) fn nominal(threads: usize) -> Self {
        let at = |log_n: u32| {
            let n = f64::from(1 << log_n);
            let limb = Rate::even(0.13e-9 * n * f64::from(log_n), threads);
            let pass = Rate::even(0.4e-9 * n, threads);
            DegreeCost {
                log_n,
                hoist: limb,
                rotate: limb,
                giant: limb,
                mod_down: limb,
                relinearize: limb,
                rescale: limb,
                mul: pass,
                add: pass,
                product: 0.4e-9 * n,
                repeated: 0.2e-9 * n,
                expand: 2e-9 * n,
                encode: 20e-9 * n,
                encode_limb: 2e-9 * n,
            }
        };
        let (mac, short_mac) = (0.08e-9, 0.05e-9);
        let (edge, traffic, square, seed, constant) = (0.3e-9, 0.3e-9, 0.5e-9, 2e-9, 100e-9);
        let gemm = GemmCost { mac, short_mac, edge, traffic, square, seed, constant };
        Self { threads, gemm, entry: 50e-9, fresh_byte: 0.2e-9, degrees: (12..=16).map(at).collect() }
    }

    /// Whether all figures are ones that a machine can have.
    pub fn is_sound(&self) -> bool {
        let degrees = self.degrees.iter().flat_map(DegreeCost::figures);
        let mut figures = degrees.chain(self.gemm.figures()).chain([self.entry, self.fresh_byte]);
        self.threads > 0 && !self.degrees.is_empty() && figures.all(|figure| (0.0..MOST_SECONDS).contains(&figure))
    }

    /// Wall seconds of an operation that reads `x`, with the numbers of ciphertexts that it reads from memory and writes to it.
    pub(super) fn seconds(&self, params: &Params, kind: &Kind, x: &Value, traffic: (usize, usize)) -> f64 {
        let at = Costs::new(self, params, x.level);
        let (inputs, parts) = (x.layout.ciphertexts(), x.degree as f64 + 1.0);
        let Costs { limb, work, .. } = &at;
        match kind {
            Kind::LinearMap { map, weight_scale } => match map.operator() {
                LinearOperator::Gemm => at.gemm((map, *weight_scale), parts, traffic),
                LinearOperator::Diagonals(plan) => at.diagonals(plan, params.extended_words(plan.repetitions())),
            },
            Kind::Square if traffic.0 == 0 => at.squares(inputs),
            Kind::Square | Kind::Mul => at.each(limb.mul, work.limbs, inputs),
            Kind::Relinearize => at.each(limb.relinearize, work.relinearize(), inputs),
            Kind::RelinearizeRescale => at.each(limb.relinearize, work.relinearize_rescale(), inputs),
            Kind::Rescale => at.each(limb.rescale, parts * work.rescale(), inputs),
            // On the way of a chain, which is in cache.
            Kind::MulConstant { .. } | Kind::AddConstant(_) if traffic.0 == 0 => 0.0,
            // A change of scale alone.
            Kind::MulConstant { constant, scale } if is_one(*constant, *scale) => 0.0,
            Kind::Add | Kind::MulConstant { .. } => at.each(limb.add, parts * work.limbs, inputs),
            Kind::AddConstant(_) => at.each(limb.add, work.limbs, inputs),
            Kind::Input | Kind::DropLevel { .. } => 0.0,
        }
    }

    /// Wall seconds of so many bytes that the system has to find.
    pub(super) fn fresh(&self, bytes: u64) -> f64 {
        bytes as f64 * self.fresh_byte / self.threads as f64
    }

    /// Wall seconds of expanding the seeds of an encrypted input: `whole` of them into memory, the others in the chains that read them.
    pub(super) fn expand(&self, params: &Params, input: &Value, whole: usize) -> f64 {
        let at = Costs::new(self, params, input.level);
        let on_the_way = (input.layout.ciphertexts() - whole) as f64;
        at.work.limbs
            * (at.limb.expand * whole.div_ceil(self.threads) as f64
                + at.spread(on_the_way * at.n as f64 * self.gemm.seed))
    }

    /// Wall seconds of encoding the weights of an operation: matrices of constants, or the diagonals, which are made and taken to the
    /// basis QP, and constants with them.
    pub(super) fn encode(&self, params: &Params, operation: &Operation) -> f64 {
        let Kind::LinearMap { map, .. } = &operation.kind else {
            return 0.0;
        };
        let at = Costs::new(self, params, operation.value.level);
        let LinearOperator::Diagonals(plan) = map.operator() else {
            return at.spread(map.map().matrix.nnz() as f64 * self.gemm.constant);
        };
        let one = at.limb.encode + at.limb.encode_limb * at.work.encoding();
        let constants = if map.map().bias.iter().any(|&c| c != 0.0) { map.output().ciphertexts() } else { 0 };
        let constant = at.limb.encode + at.limb.encode_limb * at.work.limbs;
        at.spread(plan.entries() as f64 * self.entry + plan.products() as f64 * one + constants as f64 * constant)
    }

    /// The costs of a degree; those of the nearest one measured, in proportion.
    fn at(&self, log_n: u32) -> DegreeCost {
        let nearest = self.degrees.iter().min_by_key(|degree| degree.log_n.abs_diff(log_n));
        nearest.map_or(DegreeCost::FREE, |degree| degree.at(log_n))
    }

    /// Of each figure the median; all are of the same degrees.
    #[must_use]
    pub fn median([first, second, third]: [Self; 3]) -> Self {
        let (least, most) = (first.clone().map2(&second, &f64::min), first.map2(&second, &f64::max));
        least.map2(&third, &f64::max).map2(&most, &f64::min)
    }

    fn map2(mut self, other: &Self, op: &impl Fn(f64, f64) -> f64) -> Self {
        self.gemm = self.gemm.map2(other.gemm, op);
        self.entry = op(self.entry, other.entry);
        self.fresh_byte = op(self.fresh_byte, other.fresh_byte);
        let degrees = self.degrees.iter_mut().zip(&other.degrees);
        degrees.for_each(|(mine, &other)| *mine = mine.map2(other, op));
        self
    }
}

/// Costs and amounts of work at one level.
struct Costs<'a> {
    model: &'a CostModel,
    limb: DegreeCost,
    n: usize,
    work: Work,
}

impl<'a> Costs<'a> {
    fn new(model: &'a CostModel, params: &Params, level: usize) -> Self {
        let (limb, work) = (model.at(params.log_n()), Work::at(params, level));
        Self { model, limb, n: params.ring().n(), work }
    }

    /// Wall seconds of so many operations of so much work each.
    fn each(&self, rate: Rate, work: f64, operations: usize) -> f64 {
        let shared = self.work.limbs as usize * self.n >= PARALLEL_WORDS;
        let one = if shared { rate.one } else { rate.one.max(rate.many) };
        Rate { one, ..rate }.seconds(work, operations, self.model.threads)
    }

    /// Wall seconds of so many core-seconds in tasks that are many or small.
    fn spread(&self, core_seconds: f64) -> f64 {
        core_seconds / self.model.threads.max(1) as f64
    }

    fn gemm(&self, (map, scale): (&LinearMap, Scale), parts: f64, (read, written): (usize, usize)) -> f64 {
        let GemmCost { mac, short_mac, edge, traffic, .. } = self.model.gemm;
        // A pair of weights beyond 16 bits is there several times.
        let mac = mac.min(short_mac * map.short_terms(scale));
        let edges = (map.group_inputs() + map.output().ciphertexts()) as f64;
        let residue = map.map().matrix.nnz() as f64 * mac + edges * edge + (read + written) as f64 * traffic;
        self.spread(self.n as f64 * self.work.limbs * parts * residue)
    }

    /// Squares in a chain.
    fn squares(&self, count: usize) -> f64 {
        self.spread(self.n as f64 * self.work.limbs * count as f64 * self.model.gemm.square)
    }

    /// Products with diagonals of so many words a limb. All rotations stay in the basis QP; each output leaves it at the end. Hubs wait for
    /// each other, and so do giant rotations where there are hubs.
    fn diagonals(&self, plan: &DiagonalPlan, words: usize) -> f64 {
        let Self { limb, work, .. } = self;
        let (computed, parts) = (plan.computed(), 2.0 * work.extended());
        let product = if words < self.n { limb.repeated } else { limb.product };
        // As many at a time as there are chains.
        let chained = |work: f64, count: usize, chains: usize| match plan.hubs() {
            None => self.each(limb.giant, work, count),
            Some(_) => self.each(limb.giant, work * count as f64 / chains.max(1) as f64, chains),
        };
        let giants = chained(work.giant(), plan.giant_rotations(), computed);
        let inputs = plan.hoisted_inputs();
        let fold = |step: &Vec<usize>| {
            self.each(limb.giant, work.giant(), computed)
                + self.each(limb.rotate, work.rotate(), computed * (step.len() - 1))
        };
        self.each(limb.hoist, work.hoist(), inputs)
            + chained(work.giant() - work.rotate(), plan.hoisted_hubs(), inputs)
            + self.each(limb.rotate, work.rotate(), plan.hoisted_rotations())
            + self.spread(parts * plan.products() as f64 * product)
            + giants
            + plan.fold().iter().map(fold).sum::<f64>()
            + self.each(limb.mod_down, work.mod_down(), computed)
    }
}
