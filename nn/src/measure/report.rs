//! What was measured, as a table and as JSON. The names of fields are an interface.

use std::fmt;

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};
use serde::Serialize;

use crate::report::{Machine, ParamsReport, size};

/// Primitives of one or more parameter sets.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BenchReport {
    /// Whether sets below 128 bits of security were let in.
    pub insecure: bool,
    /// Parameters of the first set.
    pub params: Option<ParamsReport>,
    /// Its keys and ciphertexts.
    pub bytes: Option<ObjectBytes>,
    /// What it ran on.
    pub machine: Machine,
    /// What the machine gives at most, by the number of threads.
    pub limits: Vec<MachineLimits>,
    /// All parameter sets.
    pub sets: Vec<SetReport>,
    /// A row for each operation, set and number of threads.
    pub ops: Vec<OpTime>,
    /// The same for parts of these operations, and for combinations.
    pub parts: Vec<OpTime>,
    /// What several threads do on independent ciphertexts.
    pub independent: Vec<IndependentTime>,
}

/// What the machine gives so many threads at most, together: what the operations are to be held against.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct MachineLimits {
    /// Threads.
    pub threads: usize,
    /// Products of words, both halves, in a loop of nothing else.
    pub products_per_s: f64,
    /// Bytes read from memory in order.
    pub read_bytes_per_s: f64,
}

/// One parameter set.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SetReport {
    /// Its parameters.
    pub params: ParamsReport,
    /// Sizes of its keys and ciphertexts.
    pub bytes: ObjectBytes,
    /// Operations that it does not have.
    pub left_out: Vec<LeftOut>,
}

/// Bytes of one object at the top level: on the wire (residues packed, seeds in place of uniform halves), and of a key as key switching
/// reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ObjectBytes {
    /// A ciphertext.
    pub ciphertext: usize,
    /// One fresh under the secret key.
    pub seeded_ciphertext: usize,
    /// The public key.
    pub public_key: usize,
    /// A relinearisation or rotation key.
    pub switching_key: usize,
    /// The same in memory, its uniform half expanded.
    pub switching_key_expanded: usize,
}

/// An operation that a parameter set does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// The operation.
    pub op: &'static str,
    /// Why.
    pub reason: &'static str,
}

/// Wall time of one operation at the top level; of the transforms, for one limb at the widest prime of the set.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct OpTime {
    /// Its name.
    pub op: &'static str,
    /// log2 of the degree.
    pub log_n: u32,
    /// Limbs of the chain.
    pub limbs: usize,
    /// Digits of key switching.
    pub dnum: usize,
    /// Threads.
    pub threads: usize,
    /// Median.
    pub median_ms: f64,
    /// Minimum.
    pub min_ms: f64,
    /// −log2 of the largest absolute error of a slot afterwards; null where no slots come out.
    pub precision_bits: Option<f64>,
}

/// An operation on independent ciphertexts, one a thread, each on a single thread, at the top level.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct IndependentTime {
    /// Its name.
    pub op: &'static str,
    /// log2 of the degree.
    pub log_n: u32,
    /// Limbs of the chain.
    pub limbs: usize,
    /// Digits of key switching.
    pub dnum: usize,
    /// Threads.
    pub threads: usize,
    /// Operations of one thread a second, the others idle.
    pub alone_per_s: f64,
    /// Operations of all threads a second.
    pub together_per_s: f64,
    /// These over those.
    pub gain: f64,
    /// The same for products in a loop of nothing else, timed by turns with them.
    pub loop_gain: f64,
    /// `gain` over `loop_gain`.
    pub share: f64,
}

impl fmt::Display for BenchReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.insecure {
            let below = self.sets.iter().filter(|set| set.params.security_bits.is_none()).count();
            let sets = self.sets.len();
            writeln!(f, "INSECURE (--insecure): {below} of {sets} parameter sets have less than 128 bits of security")?;
        }
        for set in &self.sets {
            writeln!(f, "{set}")?;
        }
        let mut table = Table::new();
        table.load_style(NOTHING);
        table.set_header(["operation", "log N", "limbs", "dnum", "threads", "median ms", "min ms", "bits"]);
        for row in self.ops.iter().chain(&self.parts) {
            table.add_row([
                row.op.into(),
                row.log_n.to_string(),
                row.limbs.to_string(),
                row.dnum.to_string(),
                row.threads.to_string(),
                milliseconds(row.median_ms),
                milliseconds(row.min_ms),
                row.precision_bits.map_or_else(|| "-".into(), |bits| format!("{bits:.1}")),
            ]);
        }
        table.column_iter_mut().skip(1).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
        let machine = &self.machine;
        writeln!(f, "{table}")?;
        for row in &self.independent {
            let IndependentTime {
                op, log_n, limbs, threads, alone_per_s, together_per_s, gain, loop_gain, share, ..
            } = row;
            writeln!(
                f,
                "{op} of independent ciphertexts, log N {log_n}, {limbs} limbs: {alone_per_s:.1} a second on one thread, \
                 {together_per_s:.1} on {threads}, {gain:.2} times as many; a loop of products gains {loop_gain:.2} ({share:.3} of it)"
            )?;
        }
        for MachineLimits { threads, products_per_s, read_bytes_per_s } in &self.limits {
            let (products, read) = (products_per_s / 1e9, read_bytes_per_s / 1e9);
            writeln!(
                f,
                "at most, on {threads} thread(s): {products:.1} G products a second, {read:.1} GB/s from memory"
            )?;
        }
        write!(f, "{}, {} cores, {} kernels, {}", machine.cpu, machine.cores, machine.kernels, machine.system)
    }
}

impl fmt::Display for SetReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [shape, security] = self.params.lines();
        writeln!(f, "{shape}\n{security}")?;
        let bytes = |bytes: usize| size(bytes as u64);
        let b = &self.bytes;
        write!(
            f,
            "ciphertext {} ({} seeded), public key {}, switching key {} on the wire, {} expanded",
            bytes(b.ciphertext),
            bytes(b.seeded_ciphertext),
            bytes(b.public_key),
            bytes(b.switching_key),
            bytes(b.switching_key_expanded)
        )?;
        self.left_out.iter().try_for_each(|LeftOut { op, reason }| write!(f, "\nno {op}: {reason}"))
    }
}

/// Four significant digits, at least.
fn milliseconds(ms: f64) -> String {
    match ms {
        0.0..1.0 => format!("{ms:.4}"),
        1.0..100.0 => format!("{ms:.3}"),
        _ => format!("{ms:.1}"),
    }
}
