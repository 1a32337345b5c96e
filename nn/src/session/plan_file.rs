//! The file PLAN: what the model owner gives to the data owner, as JSON in a frame.
//!
//! Floating-point numbers are strings of as many digits as tell them apart, since plans are compared exactly. A reader takes
//! no claim for granted: parameters are built anew and held against the security table, layouts and counts are bounded before
//! memory is asked for.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::sync::Arc;

use ckks::{KeyRequest, Params, ParamsSpec, RingKind, Scale};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::FileError;
use super::frame::{Header, Kind, Payload, write_frame};
use crate::approx::Fit;
use crate::fingerprint::Fingerprint;
use crate::graph::Head;
use crate::layout::{Gaps, KeyPrice, Layout};
use crate::lower::Options;
use crate::pass::Approximation;
use crate::plan::{ClientPlan, Flood, FloodGoal};
use crate::program::{Builder, Value};

/// Largest size of a plan's JSON.
const MAX_BYTES: u64 = 1 << 26;

/// Largest number of positions of a layout, over all of its ciphertexts.
const MAX_POSITIONS: u32 = 1 << 24;

/// Largest size in memory of the evaluation keys that a plan may ask for.
const MAX_KEY_BYTES: usize = 1 << 37;

/// Scales are within ± this many bits.
const MAX_SCALE_BITS: i32 = 256;

/// The model that a plan was made for, without its weights.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelId {
    /// Of the model's file or files.
    #[serde(serialize_with = "to_text", deserialize_with = "from_text")]
    pub fingerprint: Fingerprint,
    /// Shape of a sample.
    pub input_shape: Vec<usize>,
}

/// A plan as two parties share it.
#[derive(Debug, Clone)]
pub struct PlanFile {
    plan: ClientPlan,
    model: ModelId,
    json: Vec<u8>,
    fingerprint: Fingerprint,
}

impl PlanFile {
    /// The plan to share, of the model that it was made for.
    ///
    /// # Errors
    /// [`FileError::Content`] for a plan that no reader would take.
    pub fn new(plan: &ClientPlan, model: ModelId) -> Result<Self, FileError> {
        let json = serde_json::to_vec(&PlanJson::new(plan, model)).map_err(content)?;
        // Whoever reads it must find what was meant.
        let file = Self::from_json(json)?;
        match file.plan == *plan {
            // With the tables and buffers of the ring that is in use.
            true => Ok(Self { plan: plan.clone(), ..file }),
            false => Err(content("the plan is not the same after it was written")),
        }
    }

    fn from_json(json: Vec<u8>) -> Result<Self, FileError> {
        let parsed: PlanJson = serde_json::from_slice(&json).map_err(content)?;
        let (plan, model) = parsed.check()?;
        let fingerprint = Fingerprint::of([&json[..]]);
        Ok(Self { plan, model, json, fingerprint })
    }

    /// Reads and checks a plan.
    ///
    /// # Errors
    /// Those of [`Header::read`] and [`Payload::finish`]; [`FileError::OtherKind`]; [`FileError::Content`] for a plan that cannot
    /// be or is not secure.
    pub fn read(from: &mut dyn Read) -> Result<Self, FileError> {
        Self::read_behind(&Header::read(from)?, from)
    }

    /// Reads and checks a plan whose header has been read.
    pub(super) fn read_behind(header: &Header, from: &mut dyn Read) -> Result<Self, FileError> {
        header.expect_kind(Kind::Plan)?;
        if header.length > MAX_BYTES {
            return Err(content(format!("a plan of {} bytes is above the {MAX_BYTES} possible", header.length)));
        }
        let mut payload = Payload::new(header, from);
        let mut json = Vec::new();
        payload.read_to_end(&mut json)?;
        payload.finish()?;
        let file = Self::from_json(json)?;
        header.expect_plan(file.fingerprint)?;
        Ok(file)
    }

    /// Writes it.
    ///
    /// # Errors
    /// Those of `to`.
    pub fn write(&self, to: &mut dyn Write) -> std::io::Result<()> {
        let length = self.json.len() as u64;
        let header = Header { kind: Kind::Plan, plan: self.fingerprint, keys: Fingerprint::NONE, length };
        write_frame(&header, to, |to| to.write_all(&self.json))
    }

    /// The plan.
    pub fn plan(&self) -> &ClientPlan {
        &self.plan
    }

    /// The model that it was made for.
    pub fn model(&self) -> &ModelId {
        &self.model
    }

    /// SHA-256 of its JSON: what keys and chunks are marked with.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }
}

fn content(problem: impl ToString) -> FileError {
    FileError::Content { problem: format!("its plan cannot be: {}", problem.to_string()) }
}

/// A plan as JSON.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PlanJson {
    model: ModelId,
    params: ParamsJson,
    input: ValueJson,
    output: ValueJson,
    head: Head,
    /// Level of the relinearisation key.
    relinearization: Option<usize>,
    /// Levels by Galois element.
    galois: BTreeMap<u64, usize>,
    options: Options,
    key_price: KeyPrice,
    magnitudes: Vec<Exact>,
    approximations: Vec<ApproximationJson>,
    flood: Option<FloodJson>,
}

/// Flooding as JSON.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FloodJson {
    security_bits: Exact,
    queries: u64,
    worst_error: Exact,
    results: usize,
}

/// Parameters as JSON: sizes in bits, from which the primes follow.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ParamsJson {
    ring: RingJson,
    log_n: u32,
    chain: Vec<Vec<u32>>,
    special: Vec<u32>,
    dnum: usize,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum RingJson {
    Standard,
    ConjugateInvariant,
}

/// A tensor of ciphertexts as JSON; its degree is 1.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ValueJson {
    layout: LayoutJson,
    level: usize,
    /// High and low part.
    scale: [Exact; 2],
    magnitude: Exact,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LayoutJson {
    interleave: usize,
    period: usize,
    /// Of each feature: ciphertext · period + position within the period.
    positions: Vec<u32>,
    /// Repetitions of the period that differ, each rotated to the left by `shift` positions more.
    copies: usize,
    shift: usize,
    gaps_are_zero: bool,
}

/// An activation's polynomial as JSON.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ApproximationJson {
    node: usize,
    name: String,
    function: String,
    range: [Exact; 2],
    coefficients: Vec<Exact>,
    max_error: Exact,
    rms_error: Exact,
    mean_errors: Vec<Exact>,
}

/// A double as the shortest text that leads back to it.
#[derive(Clone, Copy)]
struct Exact(f64);

impl Serialize for Exact {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:e}", self.0))
    }
}

impl<'de> Deserialize<'de> for Exact {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let finite = text.parse().ok().filter(|value: &f64| value.is_finite());
        finite.map(Self).ok_or_else(|| serde::de::Error::custom(format!("{text:?} is no finite number")))
    }
}

fn to_text<S: Serializer>(fingerprint: &Fingerprint, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{fingerprint:#}"))
}

fn from_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Fingerprint, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
}

impl PlanJson {
    fn new(plan: &ClientPlan, model: ModelId) -> Self {
        // A field more must be written down and checked as well.
        let ClientPlan { params, input, output, head, keys, options, key_price, magnitudes, approximations, flood } =
            plan;
        let ParamsSpec { ring, log_n, chain, special, dnum } = params.spec().clone();
        let ring = match ring {
            RingKind::Standard => RingJson::Standard,
            RingKind::ConjugateInvariant => RingJson::ConjugateInvariant,
        };
        let KeyRequest { relinearization, galois } = keys.clone();
        Self {
            model,
            params: ParamsJson { ring, log_n, chain, special, dnum },
            input: ValueJson::new(input),
            output: ValueJson::new(output),
            head: *head,
            relinearization,
            galois,
            options: options.clone(),
            key_price: *key_price,
            magnitudes: magnitudes.iter().copied().map(Exact).collect(),
            approximations: approximations.iter().map(ApproximationJson::new).collect(),
            flood: flood.map(FloodJson::new),
        }
    }

    fn check(self) -> Result<(ClientPlan, ModelId), FileError> {
        let Self {
            model,
            params,
            input,
            output,
            head,
            relinearization,
            galois,
            options,
            key_price,
            magnitudes,
            approximations,
            flood,
        } = self;
        let params = params.build()?;
        let (input, output) = (input.check(&params)?, output.check(&params)?);
        let features = model.input_shape.iter().try_fold(1usize, |product, &length| product.checked_mul(length));
        if features != Some(input.layout.features()) || input.layout.interleave() != output.layout.interleave() {
            return Err(content("the shapes of model, input and output do not fit each other"));
        }
        if !head.fits(output.layout.features()) {
            return Err(content("its last step does not fit its results"));
        }
        let keys = KeyRequest { relinearization, galois };
        keys.check(&params).map_err(content)?;
        let key_bytes = keys.expanded_bytes(&params).map_err(content)?;
        if key_bytes > MAX_KEY_BYTES {
            return Err(content(format!("it asks for {} evaluation keys of {key_bytes} bytes", keys.galois.len())));
        }
        let bits = [options.input_bits, options.waterline_bits].into_iter().chain(options.weight_bits.iter().copied());
        if bits.map(i32::unsigned_abs).max() > Some(MAX_SCALE_BITS.unsigned_abs()) {
            return Err(content(format!("its scales are beyond {MAX_SCALE_BITS} bits")));
        }
        let magnitudes = magnitudes.into_iter().map(|Exact(magnitude)| magnitude).collect();
        let approximations = approximations.into_iter().map(ApproximationJson::approximation).collect();
        let flood = flood.map(|flood| flood.check(&output.layout)).transpose()?;
        let plan =
            ClientPlan { params, input, output, head, keys, options, key_price, magnitudes, approximations, flood };
        Ok((plan, model))
    }
}

impl FloodJson {
    fn new(flood: Flood) -> Self {
        let Flood { goal: FloodGoal { security_bits, queries }, worst_error, results } = flood;
        Self { security_bits: Exact(security_bits), queries, worst_error: Exact(worst_error), results }
    }

    /// The error's bound has to be believed: it follows from the program, which only the model's owner has.
    fn check(self, output: &Layout) -> Result<Flood, FileError> {
        let Self { security_bits: Exact(security_bits), queries, worst_error: Exact(worst_error), results } = self;
        let flood = Flood { goal: FloodGoal { security_bits, queries }, worst_error, results };
        let sigma = flood.sigma();
        match sigma.is_normal() && security_bits > 0.0 && results == output.features() * output.interleave() {
            true => Ok(flood),
            false => Err(content("its flooding noise does not fit its results")),
        }
    }
}

impl ApproximationJson {
    fn new(approximation: &Approximation) -> Self {
        let Approximation { node, name, function, fit, mean_errors } = approximation.clone();
        let Fit { range, coefficients, max_error, rms_error } = fit;
        Self {
            node,
            name,
            function,
            range: range.map(Exact),
            coefficients: coefficients.into_iter().map(Exact).collect(),
            max_error: Exact(max_error),
            rms_error: Exact(rms_error),
            mean_errors: mean_errors.into_iter().map(Exact).collect(),
        }
    }

    fn approximation(self) -> Approximation {
        let Self { node, name, function, range, coefficients, max_error, rms_error, mean_errors } = self;
        let fit = Fit {
            range: range.map(|Exact(end)| end),
            coefficients: coefficients.into_iter().map(|Exact(coefficient)| coefficient).collect(),
            max_error: max_error.0,
            rms_error: rms_error.0,
        };
        let mean_errors = mean_errors.into_iter().map(|Exact(error)| error).collect();
        Approximation { node, name, function, fit, mean_errors }
    }
}

impl ParamsJson {
    fn build(self) -> Result<Params, FileError> {
        let Self { ring, log_n, chain, special, dnum } = self;
        let ring = match ring {
            RingJson::Standard => RingKind::Standard,
            RingJson::ConjugateInvariant => RingKind::ConjugateInvariant,
        };
        ParamsSpec { ring, log_n, chain, special, dnum }.build().map_err(content)
    }
}

impl ValueJson {
    fn new(value: &Value) -> Self {
        let (hi, lo) = value.scale.parts();
        Self {
            layout: LayoutJson::new(&value.layout),
            level: value.level,
            scale: [Exact(hi), Exact(lo)],
            magnitude: Exact(value.magnitude),
        }
    }

    fn check(self, params: &Params) -> Result<Value, FileError> {
        let Self { layout, level, scale: [Exact(hi), Exact(lo)], magnitude: Exact(magnitude) } = self;
        let layout = Arc::new(layout.check(params)?);
        let scale = Scale::from_parts(hi, lo).map_err(content)?;
        let value = Value { layout, level, scale, degree: 1, magnitude };
        // A program that is its input alone: the level exists, and the magnitude fits its modulus.
        Builder::new(params.clone(), "a value of the plan", value.clone()).map_err(content)?;
        Ok(value)
    }
}

impl LayoutJson {
    fn new(layout: &Layout) -> Self {
        let position = |feature| {
            let (ciphertext, position) = layout.position(feature);
            (ciphertext * layout.period() + position) as u32
        };
        Self {
            interleave: layout.interleave(),
            period: layout.period(),
            positions: (0..layout.features()).map(position).collect(),
            copies: layout.copies(),
            shift: layout.shift(),
            gaps_are_zero: layout.gaps() == Gaps::Zero,
        }
    }

    fn check(self, params: &Params) -> Result<Layout, FileError> {
        let Self { interleave, period, positions, copies, shift, gaps_are_zero } = self;
        if positions.iter().any(|&position| position >= MAX_POSITIONS) {
            return Err(content(format!("a layout has more than {MAX_POSITIONS} positions")));
        }
        let layout = Layout::new(params.slots(), interleave, period, positions).map_err(content)?;
        let layout = layout.shifted(copies, shift).map_err(content)?;
        Ok(layout.with_gaps(if gaps_are_zero { Gaps::Zero } else { Gaps::Unknown }))
    }
}
