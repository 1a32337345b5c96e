//! Seconds from counts and measured primitives.

use ckks::Params;
use serde::{Deserialize, Serialize};

use super::counts::{self, KeySwitch};
use crate::layout::{DiagonalPlan, Stepping};
use crate::program::{Kind, LinearMap, LinearOperator, Operation, Value};

/// What primitives cost on one machine with so many threads: core-seconds while all threads are busy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CostModel {
    /// Threads that work is spread over.
    pub threads: usize,
    /// How much faster an operation on a single ciphertext is when threads share its limbs.
    pub limb_speedup: f64,
    /// One multiply-accumulate of a residue by a constant in the GEMM.
    pub mac: f64,
    /// One residue read or written by the GEMM, over what its multiply-accumulates cost.
    pub gemm_edge: f64,
    /// One position of a diagonal, looked up in its matrix.
    pub position: f64,
    /// One byte of memory that the system has to find.
    pub fresh_byte: f64,
    /// By degree, ascending.
    pub degrees: Vec<DegreeCost>,
}

/// What primitives cost at one degree, each for one limb.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct DegreeCost {
    /// log2 of the degree.
    pub log_n: u32,
    /// An NTT.
    pub ntt: f64,
    /// A product with an encoded plaintext that comes from memory, added to a sum.
    pub product: f64,
    /// The same with a plaintext of which one of many repetitions is kept.
    pub repeated: f64,
    /// A pass of a product of two ciphertexts that come from memory; and of a sum, or a permutation.
    pub pass: f64,
    /// A multiply-accumulate of a base conversion, from one limb to one other.
    pub convert: f64,
    /// A product with a limb of a key.
    pub switch: f64,
    /// The expansion of a seed.
    pub expand: f64,
    /// An encoding, apart from what each limb takes.
    pub encode: f64,
    /// Each limb of an encoding, apart from its NTT.
    pub encode_limb: f64,
}

/// A limb of no degree takes longer.
const MOST_SECONDS: f64 = 10.0;

/// Below this many words `ckks` does not spread the limbs of a polynomial over threads.
const PARALLEL_WORDS: usize = 1 << 16;

impl CostModel {
    /// Round figures like those of one core of a Zen 4 with AVX-512 IFMA (November 2026), for tests.
    #[cfg(test)]
    pub(crate) fn nominal(threads: usize) -> Self {
        let at = |log_n: u32| {
            let n = f64::from(1 << log_n);
            DegreeCost {
                log_n,
                ntt: 0.13e-9 * n * f64::from(log_n),
                product: 0.4e-9 * n,
                repeated: 0.2e-9 * n,
                pass: 0.4e-9 * n,
                convert: 0.1e-9 * n,
                switch: 0.4e-9 * n,
                expand: 2e-9 * n,
                encode: 20e-9 * n,
                encode_limb: 1e-9 * n,
            }
        };
        Self {
            threads,
            limb_speedup: 1.0,
            mac: 0.08e-9,
            gemm_edge: 0.5e-9,
            position: 50e-9,
            fresh_byte: 0.2e-9,
            degrees: (12..=16).map(at).collect(),
        }
    }

    /// Whether all figures are ones that a machine can have.
    pub fn is_sound(&self) -> bool {
        let of_limb = |d: &DegreeCost| {
            [d.ntt, d.product, d.repeated, d.pass, d.convert, d.switch, d.expand, d.encode, d.encode_limb]
        };
        let figures =
            self.degrees.iter().flat_map(of_limb).chain([self.mac, self.gemm_edge, self.position, self.fresh_byte]);
        self.threads > 0
            && (1.0..=self.threads as f64 * 2.0).contains(&self.limb_speedup)
            && !self.degrees.is_empty()
            && { figures }.all(|figure| (0.0..MOST_SECONDS).contains(&figure))
    }

    /// The better of each figure; both are of the same degrees.
    #[must_use]
    pub fn best(mut self, other: &Self) -> Self {
        self.limb_speedup = self.limb_speedup.max(other.limb_speedup);
        self.mac = self.mac.min(other.mac);
        self.gemm_edge = self.gemm_edge.min(other.gemm_edge);
        self.position = self.position.min(other.position);
        self.fresh_byte = self.fresh_byte.min(other.fresh_byte);
        for (mine, other) in self.degrees.iter_mut().zip(&other.degrees) {
            *mine = DegreeCost {
                log_n: mine.log_n,
                ntt: mine.ntt.min(other.ntt),
                product: mine.product.min(other.product),
                repeated: mine.repeated.min(other.repeated),
                pass: mine.pass.min(other.pass),
                convert: mine.convert.min(other.convert),
                switch: mine.switch.min(other.switch),
                expand: mine.expand.min(other.expand),
                encode: mine.encode.min(other.encode),
                encode_limb: mine.encode_limb.min(other.encode_limb),
            };
        }
        self
    }

    /// Wall seconds of an operation that reads `x`, with the numbers of ciphertexts that it reads from memory and writes to it.
    pub(super) fn seconds(&self, params: &Params, kind: &Kind, x: &Value, traffic: (usize, usize)) -> f64 {
        let at = Costs::new(self, params, x.level);
        let (inputs, parts) = (x.layout.ciphertexts(), x.degree as f64 + 1.0);
        let each = |limb_seconds: f64| at.spread(inputs as f64 * limb_seconds, inputs);
        match kind {
            Kind::LinearMap { map, .. } => match map.operator() {
                LinearOperator::Gemm => at.gemm(map, parts, traffic),
                LinearOperator::Diagonals(plan) => at.diagonals(plan, params.extended_words(plan.repetitions())),
            },
            // Four products, the sum of the middle two in one; in a chain they stay in cache, as a base conversion does.
            Kind::Square if traffic.0 == 0 => each(4.0 * at.limbs * at.limb.convert),
            Kind::Square | Kind::Mul => each(4.0 * at.limbs * at.limb.pass),
            Kind::Relinearize => each(at.mod_up() + at.inner_product() + at.mod_down(0.0)),
            Kind::RelinearizeRescale => each(at.mod_up() + at.inner_product() + at.mod_down(at.step)),
            Kind::Rescale => each(parts * at.divide(at.step, at.limbs - at.step)),
            // A change of scale alone.
            Kind::MulConstant { constant, scale } if counts::is_one(*constant, *scale) => 0.0,
            Kind::Add | Kind::MulConstant { .. } => each(parts * at.limbs * at.limb.pass),
            Kind::AddConstant(_) => each(at.limbs * at.limb.pass),
            Kind::Input | Kind::DropLevel { .. } => 0.0,
        }
    }

    /// Wall seconds of so many bytes that the system has to find.
    pub(super) fn fresh(&self, bytes: u64) -> f64 {
        bytes as f64 * self.fresh_byte / self.threads.max(1) as f64
    }

    /// Wall seconds of expanding the seeds of an encrypted input.
    pub(super) fn expand(&self, params: &Params, input: &Value) -> f64 {
        let at = Costs::new(self, params, input.level);
        let ciphertexts = input.layout.ciphertexts();
        at.spread(ciphertexts as f64 * at.limbs * at.limb.expand, ciphertexts)
    }

    /// Wall seconds of making the diagonals of an operation, encoding them, and taking them to the basis QP.
    pub(super) fn encode(&self, params: &Params, operation: &Operation) -> f64 {
        let Some(plan) = operation.kind.diagonals() else {
            return 0.0;
        };
        let at = Costs::new(self, params, operation.value.level);
        let extension = (at.limbs + at.special) * at.limb.ntt + at.limbs * at.special * at.limb.convert;
        let encoding = at.limb.encode + at.limbs * (at.limb.encode_limb + at.limb.ntt);
        let one = plan.period() as f64 * self.position + encoding + extension;
        at.spread(plan.products() as f64 * one, plan.products())
    }

    /// The costs of a degree; those of the nearest one measured, in proportion to N.
    fn at(&self, log_n: u32) -> DegreeCost {
        let nearest = self.degrees.iter().min_by_key(|degree| degree.log_n.abs_diff(log_n));
        let degree = nearest.copied().unwrap_or(DegreeCost::FREE);
        let ratio = 2f64.powi(log_n as i32 - degree.log_n as i32);
        DegreeCost {
            log_n,
            ntt: degree.ntt * ratio,
            product: degree.product * ratio,
            repeated: degree.repeated * ratio,
            pass: degree.pass * ratio,
            convert: degree.convert * ratio,
            switch: degree.switch * ratio,
            expand: degree.expand * ratio,
            encode: degree.encode * ratio,
            encode_limb: degree.encode_limb * ratio,
        }
    }
}

impl DegreeCost {
    const FREE: Self = Self {
        log_n: 0,
        ntt: 0.0,
        product: 0.0,
        repeated: 0.0,
        pass: 0.0,
        convert: 0.0,
        switch: 0.0,
        expand: 0.0,
        encode: 0.0,
        encode_limb: 0.0,
    };
}

/// Costs at one level.
struct Costs<'a> {
    model: &'a CostModel,
    limb: DegreeCost,
    n: usize,
    /// l.
    limbs: f64,
    /// k.
    special: f64,
    /// d.
    digits: f64,
    digit_limbs: f64,
    /// Limbs that a rescale drops.
    step: f64,
    switch: KeySwitch,
}

impl<'a> Costs<'a> {
    fn new(model: &'a CostModel, params: &Params, level: usize) -> Self {
        let limbs = super::limbs(params, level);
        Self {
            model,
            limb: model.at(params.log_n()),
            n: params.ring().n(),
            limbs: limbs as f64,
            special: params.ring().p().len() as f64,
            digits: params.digits(limbs as usize) as f64,
            digit_limbs: params.digit_limbs() as f64,
            step: params.step(level).count() as f64,
            switch: KeySwitch::at(params, level),
        }
    }

    /// Wall seconds of so many core-seconds in so many equal tasks, each of which works on limbs.
    fn spread(&self, core_seconds: f64, tasks: usize) -> f64 {
        let (tasks, threads) = (tasks.max(1), self.model.threads.max(1));
        let shared = self.limbs as usize * self.n >= PARALLEL_WORDS && tasks < threads;
        let rounds = core_seconds * tasks.div_ceil(threads) as f64 / tasks as f64;
        if shared { rounds / self.model.limb_speedup } else { rounds }
    }

    /// round(x / D) for D of `dropped` limbs, one part.
    fn divide(&self, dropped: f64, kept: f64) -> f64 {
        (dropped + kept) * self.limb.ntt + dropped * kept * self.limb.convert + kept * self.limb.convert
    }

    fn mod_up(&self) -> f64 {
        let conversions = self.limbs * (self.limbs + self.special - self.digit_limbs).max(0.0);
        self.switch.mod_up as f64 * self.limb.ntt + conversions * self.limb.convert
    }

    fn inner_product(&self) -> f64 {
        2.0 * self.digits * (self.limbs + self.special) * self.limb.switch
    }

    /// ModDown of both parts, and a rescale of `step` limbs with it.
    fn mod_down(&self, step: f64) -> f64 {
        2.0 * self.divide(self.special + step, self.limbs - step)
    }

    /// Two permutations and a sum, of so many limbs.
    fn permute(&self, limbs: f64) -> f64 {
        3.0 * limbs * self.limb.pass
    }

    fn gemm(&self, map: &LinearMap, parts: f64, (read, written): (usize, usize)) -> f64 {
        let residues = self.n as f64 * self.limbs * parts;
        let edges = (read + written) as f64;
        let core = residues * (map.map().matrix.nnz() as f64 * self.model.mac + edges * self.model.gemm_edge);
        core / self.model.threads.max(1) as f64
    }

    /// Products with diagonals of so many words a limb. All rotations but the fold's stay in the basis QP: a full one divides one part, each
    /// output both at the end. Those of a chain wait for each other.
    fn diagonals(&self, plan: &DiagonalPlan, words: usize) -> f64 {
        let phase = |count: usize, seconds: f64| self.spread(count as f64 * seconds, count);
        let extended = self.limbs + self.special;
        let switched = self.inner_product() + self.permute(extended);
        let full = self.mod_down(0.0) / 2.0 + self.mod_up() + switched;
        let computed = plan.computed();
        let add = |limbs: f64| 2.0 * limbs * self.limb.pass;
        let fold = |step: &Vec<usize>| {
            let sums = (step.len() - 1) as f64 * add(extended) + add(self.limbs);
            phase(computed, self.mod_up() + sums + self.mod_down(0.0)) + phase(computed * step.len(), switched)
        };
        let product = if words < self.n { self.limb.repeated } else { self.limb.product };
        let at_once = match plan.stepping() {
            Stepping::Hoisted => plan.giant_sums(),
            Stepping::Chained => plan.hoisted_inputs().max(computed),
        };
        phase(plan.hoisted_inputs(), self.mod_up())
            + phase(plan.hoisted_rotations(), switched)
            + self.spread(2.0 * extended * plan.products() as f64 * product, plan.giant_sums())
            + self.spread(plan.full_rotations() as f64 * full, at_once)
            + self.spread((plan.giant_sums() - computed) as f64 * add(extended), computed)
            + phase(computed, self.mod_down(0.0))
            + plan.fold().iter().map(fold).sum::<f64>()
    }
}
