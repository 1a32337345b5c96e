//! The report of a run: the figures that work on this field should always give (Podschwadt et al., 2112.12855), as a table and as
//! JSON. The names of fields are an interface.

mod accuracy;
mod machine;
mod plan;
mod table;

use ckks::{Modulus, Params, max_log_qp};
use serde::Serialize;

pub use accuracy::{Accuracy, Results};
pub use machine::{Machine, available_memory_bytes, forget_peak_memory, peak_memory_bytes, resident_memory_bytes};
pub use plan::{AlternativeReport, LayerReport, PlanReport, Prediction};
pub(crate) use table::size;

use crate::error::OutOfRange;
use crate::exec::trace::Counts;
use crate::pass::{Approximation, Outside};

/// All figures of one run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Parameters, with log2(QP) and the bound that it is held against.
    pub params: ParamsReport,
    /// The polynomials that stand for activations.
    pub activations: Vec<ActivationReport>,
    /// How samples were packed.
    pub batch: Batch,
    /// Wall time of each stage.
    pub time_s: Times,
    /// Server time by operation of the program, in its order, summed over chunks; what is missing is the expansion of seeds.
    pub operations_s: Vec<OperationTime>,
    /// What the server achieved.
    pub throughput: Throughput,
    /// Bytes on the wire, residues packed.
    pub bytes: Bytes,
    /// Operations of the whole run, as the trace of its program counts them.
    pub ops: Counts,
    /// Largest resident memory of the process until the last decryption, before the comparison with the clear; null where the system does
    /// not tell.
    pub peak_memory_bytes: Option<u64>,
    /// What the plan predicted for this run.
    pub predicted: Prediction,
    /// Samples that have no results, since they are out of the plan's range; all other figures are those of the others.
    pub left_out: Vec<OutOfRange>,
    /// Whether results were taken for values and not for scores of classes: agreement means little then.
    pub values: bool,
    /// Against labels and against the model in the clear.
    pub accuracy: Accuracy,
    /// What it ran on.
    pub machine: Machine,
}

/// Parameters of the scheme.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ParamsReport {
    /// `standard` or `conjugate-invariant`.
    pub ring: &'static str,
    /// log2 of the degree.
    pub log_n: u32,
    /// log2 of the ciphertext modulus.
    pub log_q: f64,
    /// log2 of the modulus of the keys.
    pub log_qp: f64,
    /// Largest log2(QP) for 128 bits at this degree.
    pub bound_log_qp: Option<f64>,
    /// 128 when log2(QP) is within the bound, otherwise null.
    pub security_bits: Option<u32>,
    /// Primes of the chain.
    pub limbs: usize,
    /// Special primes.
    pub special_limbs: usize,
    /// Digits of key switching.
    pub dnum: usize,
    /// Bits of each step of the chain, from the base up.
    pub scale_bits: Vec<u32>,
}

impl ParamsReport {
    /// The figures of `params`.
    pub fn new(params: &Params) -> Self {
        let bound_log_qp = max_log_qp(params.log_n());
        let secure = bound_log_qp.is_some_and(|bound| params.log_qp() <= bound);
        let bits = |level: usize| params.step(level).map(|q| (q as f64).log2()).sum::<f64>().round() as u32;
        Self {
            ring: params.ring().kind().name(),
            log_n: params.log_n(),
            log_q: params.ring().q().map(|q: &Modulus| (q.value() as f64).log2()).sum(),
            log_qp: params.log_qp(),
            bound_log_qp,
            security_bits: secure.then_some(128),
            limbs: params.ring().q().len(),
            special_limbs: params.ring().p().len(),
            dnum: params.spec().dnum,
            scale_bits: (0..=params.max_level()).map(bits).collect(),
        }
    }
}

/// A polynomial that stands for an activation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ActivationReport {
    /// Node of the model.
    pub node: String,
    /// The activation's name.
    pub function: String,
    /// Where the polynomial holds.
    pub range: [f64; 2],
    /// Its degree.
    pub degree: usize,
    /// Largest error on the range.
    pub max_error: f64,
    /// Root of the mean square of its error over the calibration data.
    pub rms_error: f64,
    /// What the data have outside the range, if anything.
    pub outside: Option<OutsideReport>,
}

/// Values outside the range of a polynomial, where its error is another.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct OutsideReport {
    /// How many there are among all samples.
    pub values: usize,
    /// The sample with the one farthest out, counted from 0.
    pub sample: usize,
    /// That value.
    pub argument: f64,
    /// Error of the polynomial there.
    pub error: f64,
}

impl ActivationReport {
    /// The figures of `approximation`.
    pub fn new(approximation: &Approximation) -> Self {
        let Approximation { name, function, fit, .. } = approximation;
        Self {
            node: name.clone(),
            function: function.clone(),
            range: fit.range,
            degree: fit.degree(),
            max_error: fit.max_error,
            rms_error: fit.rms_error,
            outside: None,
        }
    }

    /// The figures of the polynomials of a plan, with what the data have outside their ranges.
    pub fn all(approximations: &[Approximation], outside: &[Outside]) -> Vec<Self> {
        let mut reports: Vec<Self> = approximations.iter().map(Self::new).collect();
        for &Outside { approximation, values, sample, argument, error, .. } in outside {
            reports[approximation].outside = Some(OutsideReport { values, sample, argument, error });
        }
        reports
    }
}

/// How samples were packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Batch {
    /// Samples scored, without those that were left out.
    pub samples: usize,
    /// Samples that share the ciphertexts of a chunk.
    pub per_ciphertext: usize,
    /// b: distance of two features of a sample, in slots.
    pub interleave: usize,
}

/// Seconds of wall time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Times {
    /// Choosing parameters, packing and scales.
    pub plan: f64,
    /// Encoding the weights.
    pub prepare: f64,
    /// Generating all keys.
    pub keygen: f64,
    /// Encoding and encrypting the samples.
    pub encrypt: f64,
    /// Server time: from (seeded) ciphertexts in memory to outputs in memory.
    pub infer: f64,
    /// Decrypting and decoding the results.
    pub decrypt: f64,
    /// All stages, and the runs in the clear.
    pub total: f64,
}

/// Server time of one operation of the program.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OperationTime {
    /// Its kind and the name of the node that it stems from.
    pub operation: String,
    /// Seconds of wall time.
    pub seconds: f64,
    /// What the plan predicted.
    pub predicted_s: f64,
}

/// Speed of the server.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Throughput {
    /// Samples over server time.
    pub infer_samples_per_s: f64,
}

/// Bytes on the wire: residues at the width of their primes, seeds in place of uniform halves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Bytes {
    /// All evaluation keys.
    pub evaluation_keys: usize,
    /// The public encryption key.
    pub public_key: usize,
    /// All inputs.
    pub encrypted_input: usize,
    /// All outputs.
    pub encrypted_output: usize,
}
