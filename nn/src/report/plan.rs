//! The report of a plan: what was chosen, what it will take, and what else was considered.

use std::fmt;

use ckks::Params;
use comfy_table::presets::{NOTHING, UTF8_HORIZONTAL_ONLY};
use comfy_table::{Cell, CellAlignment, Table};
use serde::Serialize;

use super::machine::resident_memory_bytes;
use super::table::{count, duration, rate, size};
use super::{ActivationReport, ParamsReport};
use crate::exec::trace::{Errors, OperationTrace, Trace};
use crate::pass::Loss;
use crate::plan::{Alternative, Flood, FloodGoal, Planned};
use crate::program::{Kind, LinearOperator, Operation, Program};

/// All figures of a plan. The names of fields are an interface.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlanReport {
    /// Parameters, with log2(QP) and the bound that it is held against.
    pub params: ParamsReport,
    /// The polynomials that stand for activations.
    pub activations: Vec<ActivationReport>,
    /// Share of samples that the network is expected to lose by them, judged on the calibration data; null if its results are values.
    pub expected_loss: Option<f64>,
    /// Root mean square of what results that are values are off by for them, on the calibration data; null for classes.
    pub expected_error: Option<f64>,
    /// The noise on results; null if there is none.
    pub flood: Option<FloodReport>,
    /// b: samples side by side in a chunk of ciphertexts.
    pub interleave: usize,
    /// log2 of the scale of the encrypted input.
    pub input_bits: i32,
    /// log2 of the scale of the weights of each linear layer.
    pub weight_bits: Vec<i32>,
    /// log2 of the scale that rescales do not go below.
    pub waterline_bits: i32,
    /// What is done, layer by layer.
    pub layers: Vec<LayerReport>,
    /// What a run will take.
    pub predicted: Prediction,
    /// Everything considered, cheapest first, what was refused last.
    pub alternatives: Vec<AlternativeReport>,
}

/// The noise that results are flooded with.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct FloodReport {
    /// Bits of statistical security.
    pub security_bits: f64,
    /// Decryptions that it withstands.
    pub queries: u64,
    /// Largest error of a result.
    pub worst_error: f64,
    /// Standard deviation of the noise on each result.
    pub sigma: f64,
}

impl FloodReport {
    fn new(flood: &Flood) -> Self {
        let FloodGoal { security_bits, queries } = flood.goal;
        Self { security_bits, queries, worst_error: flood.worst_error, sigma: flood.sigma() }
    }

    fn line(&self) -> String {
        let Self { security_bits, queries, worst_error, sigma } = self;
        format!(
            "sigma {sigma:.2e} for {security_bits} bits against {queries} decryption(s); largest error {worst_error:.1e}"
        )
    }
}

/// What a run is predicted to take.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Prediction {
    /// Samples that it is for.
    pub samples: usize,
    /// Seconds of encoding the weights that are kept, and of finding the memory that is, before the first chunk.
    pub prepare_s: f64,
    /// Server seconds of all chunks.
    pub infer_s: f64,
    /// Server seconds of each chunk.
    pub chunk_s: f64,
    /// Largest resident memory of a server process: what this one has now, and what the run adds.
    pub peak_memory_bytes: u64,
    /// The same for inputs under the public key.
    pub public_peak_memory_bytes: u64,
    /// Bytes of all evaluation keys in memory.
    pub evaluation_keys: u64,
    /// Bytes on the wire of all evaluation keys.
    pub packed_evaluation_keys: u64,
    /// Bytes on the wire of the input of one chunk.
    pub encrypted_input: u64,
    /// Bytes on the wire of the output of one chunk.
    pub encrypted_output: u64,
    /// Bytes of encoded weights.
    pub weights: u64,
    /// −log2 of the largest error expected among the results of all samples.
    pub precision_bits: f64,
}

/// The operations of one node of the graph.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LayerReport {
    /// The node's name.
    pub node: String,
    /// Its operations, each kind with how many there are.
    pub operations: Vec<(&'static str, usize)>,
    /// Level of what it reads and of what it makes.
    pub levels: (usize, usize),
    /// log2 of the scale of what it makes.
    pub scale_bits: f64,
    /// Ciphertexts of what it makes.
    pub ciphertexts: usize,
    /// Baby rotations of its matrix; none without one, or where it is a product with constants.
    pub baby_steps: Option<usize>,
    /// Giant rotations of its matrix, of sums; likewise.
    pub giant_steps: Option<usize>,
    /// Products of ciphertexts and encoded diagonals.
    pub products: u64,
    /// Rotations.
    pub rotations: u64,
    /// Bytes of its encoded weights.
    pub plaintext_bytes: u64,
    /// Server seconds of one chunk.
    pub seconds: f64,
    /// −log2 of the error of what it makes, on average.
    pub precision_bits: f64,
}

/// What one ring, degree and interleave comes to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AlternativeReport {
    /// `standard` or `conjugate-invariant`.
    pub ring: &'static str,
    /// log2 of the degree.
    pub log_n: u32,
    /// b.
    pub interleave: usize,
    /// Primes of the chain; none where nothing fits.
    pub limbs: Option<usize>,
    /// Digits of key switching.
    pub dnum: Option<usize>,
    /// Server seconds of each chunk.
    pub chunk_s: Option<f64>,
    /// Server seconds a sample.
    pub sample_s: Option<f64>,
    /// Bytes of keys, weights and ciphertexts at once.
    pub peak_memory_bytes: Option<u64>,
    /// Why there is no plan.
    pub refused: Option<String>,
}

impl Prediction {
    /// What `trace`, of one chunk of `interleave` samples with `results` results each, and `errors` come to for `samples` samples in a
    /// process that has `resident` bytes before, of which `idle` serve the run.
    pub fn new(
        (trace, errors): (&Trace, &Errors),
        (samples, interleave, results): (usize, usize, usize),
        (resident, idle): (u64, u64),
    ) -> Self {
        let with = |run: u64| resident + run.saturating_sub(idle);
        Self {
            samples,
            prepare_s: trace.prepare_s,
            infer_s: trace.seconds * samples.div_ceil(interleave) as f64 + trace.first_s,
            chunk_s: trace.seconds,
            peak_memory_bytes: with(trace.memory.peak_bytes()),
            public_peak_memory_bytes: with(trace.memory.public_peak_bytes()),
            evaluation_keys: trace.memory.key_bytes,
            packed_evaluation_keys: trace.memory.packed_key_bytes,
            encrypted_input: trace.input_bytes,
            encrypted_output: trace.output_bytes,
            weights: trace.memory.weight_bytes,
            precision_bits: errors.precision_bits(results * samples, trace.flooding),
        }
    }
}

impl PlanReport {
    /// The figures of a plan whose results have such `errors`, for `samples` samples, a full chunk if left out, of a network expected to
    /// lose `loss`, in a process of whose memory so many bytes are `idle`.
    pub fn new((planned, errors): (&Planned, &Errors), samples: Option<usize>, loss: Loss, idle: u64) -> Self {
        let client = planned.plan.client();
        let interleave = client.interleave();
        let samples = samples.unwrap_or(interleave);
        let (expected_loss, expected_error) = match loss {
            Loss::Classes(loss) => (Some(loss), None),
            Loss::Values(error) => (None, Some(error)),
        };
        Self {
            params: ParamsReport::new(&client.params),
            activations: client.approximations.iter().map(ActivationReport::new).collect(),
            expected_loss,
            expected_error,
            flood: client.flood.as_ref().map(FloodReport::new),
            interleave,
            input_bits: client.options.input_bits,
            weight_bits: client.options.weight_bits.clone(),
            waterline_bits: client.options.waterline_bits,
            layers: layers(planned.plan.program(), &planned.trace),
            predicted: Prediction::new(
                (&planned.trace, errors),
                (samples, interleave, client.output.layout.features()),
                (resident_memory_bytes().unwrap_or(0), idle),
            ),
            alternatives: planned.alternatives.iter().map(AlternativeReport::new).collect(),
        }
    }

    /// With the alternatives below the plan.
    pub fn explained(&self) -> impl fmt::Display + '_ {
        Explained(self)
    }
}

impl AlternativeReport {
    /// The figures of an alternative.
    pub fn new(alternative: &Alternative) -> Self {
        let found = alternative.outcome.as_ref().ok();
        Self {
            ring: alternative.ring.name(),
            log_n: alternative.log_n,
            interleave: alternative.interleave,
            limbs: found.map(|found| found.limbs),
            dnum: found.map(|found| found.dnum),
            chunk_s: found.map(|found| found.seconds),
            sample_s: found.map(|found| found.seconds / alternative.interleave as f64),
            peak_memory_bytes: found.map(|found| found.peak_bytes),
            refused: alternative.outcome.as_ref().err().map(ToString::to_string),
        }
    }
}

/// The operations of a program by the node that they stem from.
fn layers(program: &Program, trace: &Trace) -> Vec<LayerReport> {
    let mut layers: Vec<LayerReport> = Vec::new();
    for (operation, traced) in program.operations().iter().zip(&trace.operations) {
        let level = operation.inputs.first().map_or(operation.value.level, |&input| program.value(input).level);
        match layers.last_mut().filter(|layer| *layer.node == *operation.name) {
            Some(layer) => layer.add(program.params(), operation, traced),
            None => {
                let mut layer = LayerReport::empty(&operation.name, level);
                layer.add(program.params(), operation, traced);
                layers.push(layer);
            }
        }
    }
    layers
}

impl LayerReport {
    fn empty(node: &str, level: usize) -> Self {
        Self {
            node: node.into(),
            operations: Vec::new(),
            levels: (level, level),
            scale_bits: 0.0,
            ciphertexts: 0,
            baby_steps: None,
            giant_steps: None,
            products: 0,
            rotations: 0,
            plaintext_bytes: 0,
            seconds: 0.0,
            precision_bits: 0.0,
        }
    }

    fn add(&mut self, params: &Params, operation: &Operation, traced: &OperationTrace) {
        if let Kind::LinearMap { map, .. } = &operation.kind
            && let LinearOperator::Diagonals(plan) = map.operator()
        {
            self.baby_steps = Some(plan.baby_rotations());
            self.giant_steps = Some(plan.giant_rotations());
        }
        let kind = operation.kind.name();
        match self.operations.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, count)) => *count += 1,
            None => self.operations.push((kind, 1)),
        }
        self.levels.1 = operation.value.level;
        self.scale_bits = operation.value.scale.log2();
        self.ciphertexts = operation.value.layout.ciphertexts();
        self.products += traced.counts.ct_pt_mul;
        self.rotations += traced.counts.rotations;
        self.plaintext_bytes += crate::exec::trace::weight_bytes(params, operation);
        self.seconds += traced.seconds;
        self.precision_bits = -traced.deviation.log2();
    }
}

impl fmt::Display for PlanReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table.load_style(UTF8_HORIZONTAL_ONLY);
        let [shape, security] = self.params.lines();
        let weights: Vec<String> = self.weight_bits.iter().map(i32::to_string).collect();
        let scales = format!(
            "scales: input 2^{}, weights 2^{}, no rescale below 2^{}",
            self.input_bits,
            weights.join(" 2^"),
            self.waterline_bits
        );
        let p = &self.predicted;
        let (samples, chunks) = (count(p.samples, "sample"), count(p.samples.div_ceil(self.interleave), "chunk"));
        let batch = format!("{samples}, interleave {} in {chunks}", self.interleave);
        let rows = [
            ("parameters", vec![shape, security, scales]),
            ("activations", self.activations()),
            ("batch", vec![batch]),
            ("flooding", self.flood.iter().map(FloodReport::line).collect()),
            ("predicted", p.lines()),
        ];
        for (heading, lines) in rows.into_iter().filter(|(_, lines)| !lines.is_empty()) {
            table.add_row([Cell::new(heading), Cell::new(lines.join("\n"))]);
        }
        writeln!(f, "{table}")?;
        write!(f, "{}", self.layer_table())
    }
}

impl Prediction {
    fn lines(&self) -> Vec<String> {
        let per_second = self.samples as f64 / self.infer_s;
        vec![
            format!("{:.3} s of server time, {} samples a second", self.infer_s, rate(per_second)),
            format!("{:.3} s before, for weights", self.prepare_s),
            format!(
                "peak memory {}, with inputs under the public key {}, of it weights {}",
                size(self.peak_memory_bytes),
                size(self.public_peak_memory_bytes),
                size(self.weights)
            ),
            format!("evaluation keys {}, in memory {}", size(self.packed_evaluation_keys), size(self.evaluation_keys)),
            format!("a chunk: input {}, output {}", size(self.encrypted_input), size(self.encrypted_output)),
            format!("{:.1} bits of precision", self.precision_bits),
        ]
    }
}

impl PlanReport {
    fn activations(&self) -> Vec<String> {
        let classes = |loss: f64| {
            let points = 100.0 * loss;
            format!(
                "together expected to lose {points:.2} points of accuracy, as scores of classes (values: --tolerance)"
            )
        };
        let values = |error: f64| format!("together results, as values, are off by {error:.2e} (root mean square)");
        let (loss, error) = (self.expected_loss.map(classes), self.expected_error.map(values));
        let any = !self.activations.is_empty();
        self.activations.iter().map(ToString::to_string).chain(loss.or(error).filter(|_| any)).collect()
    }

    fn layer_table(&self) -> Table {
        let headings = [
            "layer",
            "levels",
            "scale",
            "ciphertexts",
            "babies",
            "giants",
            "products",
            "rotations",
            "plaintexts",
            "seconds",
            "bits",
            "operations",
        ];
        let mut table = numbers(&headings);
        let number = |steps: Option<usize>| steps.map_or_else(|| "-".into(), |steps| steps.to_string());
        for layer in &self.layers {
            let operations = layer.operations.iter().map(|(kind, count)| match count {
                1 => (*kind).to_owned(),
                _ => format!("{count} {kind}"),
            });
            table.add_row([
                layer.node.clone(),
                format!("{} to {}", layer.levels.0, layer.levels.1),
                format!("2^{:.1}", layer.scale_bits),
                layer.ciphertexts.to_string(),
                number(layer.baby_steps),
                number(layer.giant_steps),
                layer.products.to_string(),
                layer.rotations.to_string(),
                size(layer.plaintext_bytes),
                format!("{:.4}", layer.seconds),
                format!("{:.1}", layer.precision_bits),
                operations.collect::<Vec<_>>().join(", "),
            ]);
        }
        table
    }

    fn alternatives_table(&self) -> Table {
        let mut table = numbers(&["ring", "log N", "b", "limbs", "dnum", "chunk", "sample", "memory", "or why not"]);
        for a in &self.alternatives {
            let seconds = |seconds: Option<f64>| seconds.map_or_else(String::new, duration);
            let number = |number: Option<usize>| number.map_or_else(String::new, |number| number.to_string());
            table.add_row([
                a.ring.to_owned(),
                a.log_n.to_string(),
                a.interleave.to_string(),
                number(a.limbs),
                number(a.dnum),
                seconds(a.chunk_s),
                seconds(a.sample_s),
                a.peak_memory_bytes.map_or_else(String::new, size),
                a.refused.clone().unwrap_or_default(),
            ]);
        }
        table
    }
}

/// A table with headings, all columns but the first and the last aligned to the right.
fn numbers(headings: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(headings);
    for column in table.column_iter_mut().skip(1).take(headings.len() - 2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// How to read the tables.
const LEGEND: &str = "
layers        levels: rescales left before and after; each drops a prime or more of the chain
              scale: what values are multiplied by while they are integers
              babies, giants: rotations of a layer's input, and of its sums; products: with diagonals of its matrix
              bits: -log2 of the average error
alternatives  b: samples that share a ciphertext; limbs: primes of the chain; dnum: digits of key switching
              chunk, sample: server time for b samples, and for each
              cheapest: in time a sample for --objective throughput, with that for weights where a --batch is given;
              a chunk for latency; the product of both for balanced";

struct Explained<'a>(&'a PlanReport);

impl fmt::Display for Explained<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\nall that was considered, cheapest first:", self.0)?;
        writeln!(f, "{}{LEGEND}", self.0.alternatives_table())
    }
}
