//! A report as a table.

use std::fmt;

use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use comfy_table::{Cell, Table};

use super::{ActivationReport, OutsideReport, ParamsReport, Report};

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table.load_style(UTF8_HORIZONTAL_ONLY);
        for (heading, lines) in [
            ("parameters", self.params.lines().to_vec()),
            self.activations(),
            self.packing(),
            self.seconds(),
            self.traffic(),
            self.operations(),
            self.quality(),
        ] {
            if !lines.is_empty() {
                table.add_row([Cell::new(heading), Cell::new(lines.join("\n"))]);
            }
        }
        let machine = &self.machine;
        let place = format!(
            "{}, {} of {} threads, {} kernels, {}",
            machine.cpu, machine.threads, machine.cores, machine.kernels, machine.system
        );
        table.add_row([Cell::new("machine"), Cell::new(place)]);
        write!(f, "{table}")
    }
}

type Section = (&'static str, Vec<String>);

impl fmt::Display for ActivationReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { node, function, range: [low, high], degree, max_error, rms_error, outside } = self;
        write!(f, "{function} '{node}' on [{low:.3}, {high:.3}]: degree {degree}, ")?;
        write!(f, "largest error {max_error:.1e}, {rms_error:.1e} on the data")?;
        match outside {
            None => Ok(()),
            Some(OutsideReport { values, sample, argument, error }) => write!(
                f,
                "\n  WARNING: {values} value(s) outside; sample {sample} has {argument:.3}, where the error is {error:.1e}"
            ),
        }
    }
}

impl ParamsReport {
    /// The shape of the parameters, and their security.
    pub(crate) fn lines(&self) -> [String; 2] {
        let security = match (self.security_bits, self.bound_log_qp) {
            (Some(bits), Some(bound)) => {
                format!("log2 QP = {:.1} of at most {bound:.0} for {bits} bits of security", self.log_qp)
            }
            (_, bound) => format!("INSECURE: log2 QP = {:.1}, bound {}", self.log_qp, bound.unwrap_or(0.0)),
        };
        let steps = self.scale_bits.chunk_by(|a, b| a == b).map(|alike| match alike {
            [bits, .., _] if alike.len() > 3 => format!("{} x {bits}", alike.len()),
            _ => alike.iter().map(u32::to_string).collect::<Vec<_>>().join(" + "),
        });
        let chain: Vec<String> = steps.collect();
        let shape = format!(
            "{} ring, N = 2^{}, chain {} bits + {} special, dnum {}",
            self.ring,
            self.log_n,
            chain.join(" + "),
            self.special_limbs,
            self.dnum
        );
        [shape, security]
    }
}

impl Report {
    fn activations(&self) -> Section {
        ("activations", self.activations.iter().map(ToString::to_string).collect())
    }

    fn packing(&self) -> Section {
        let b = &self.batch;
        let chunks = b.samples.div_ceil(b.per_ciphertext);
        let line = format!(
            "{} samples, {} a ciphertext in {chunks} chunk(s), interleave {}",
            b.samples, b.per_ciphertext, b.interleave
        );
        ("batch", vec![line])
    }

    fn seconds(&self) -> Section {
        let t = &self.time_s;
        let client = format!("keygen {:.3}  encrypt {:.3}  decrypt {:.3}", t.keygen, t.encrypt, t.decrypt);
        let server =
            format!("plan {:.3}  prepare {:.3}  infer {:.3}  total {:.3}", t.plan, t.prepare, t.infer, t.total);
        let speed = format!(
            "{:.0} samples a second of server time (predicted infer {:.3}, prepare {:.3})",
            self.throughput.infer_samples_per_s, self.predicted.infer_s, self.predicted.prepare_s
        );
        ("seconds", vec![client, server, speed])
    }

    fn traffic(&self) -> Section {
        let b = &self.bytes;
        let samples = self.batch.samples;
        let each =
            |bytes: usize| format!("{} ({} a sample)", size(bytes as u64), size((bytes / samples.max(1)) as u64));
        let keys =
            format!("evaluation keys {}, public key {}", size(b.evaluation_keys as u64), size(b.public_key as u64));
        let memory = self.peak_memory_bytes.map_or_else(|| "unknown".into(), size);
        let input = format!("input {}", each(b.encrypted_input));
        let output = format!("output {}", each(b.encrypted_output));
        let peak = format!("peak memory {memory} (predicted {})", size(self.predicted.peak_memory_bytes));
        ("bytes", vec![keys, input, output, peak])
    }

    fn operations(&self) -> Section {
        let o = &self.ops;
        let products =
            format!("ct x ct {}  ct x pt {}  multiply-accumulates {}", o.ct_ct_mul, o.ct_pt_mul, o.scalar_mac);
        let rest = format!(
            "rotations {}  relinearisations {}  rescales {}  limb NTTs {}",
            o.rotations, o.relinearizations, o.rescales, o.limb_ntts
        );
        ("operations", vec![products, rest])
    }

    fn quality(&self) -> Section {
        let a = &self.accuracy;
        let percent = |fraction: Option<f64>| fraction.map_or_else(|| "-".into(), |x| format!("{:.2} %", 100.0 * x));
        let models =
            format!("original {}  HE-friendly in the clear {}", percent(a.original), percent(a.he_model_clear));
        let runs = format!("program in the clear {}  encrypted {}", percent(a.program_clear), percent(a.encrypted));
        let error = format!(
            "largest error {:.2e}, {:.1} bits of precision (predicted {:.1})",
            a.max_abs_error, a.precision_bits, self.predicted.precision_bits
        );
        let agreement = format!("same class as in the clear on {:.2} %", 100.0 * a.agreement);
        let mut lines = vec![models, runs, agreement, error];
        if !self.activations.is_empty() {
            let (agreement, error) = (100.0 * a.he_model_agreement, a.he_model_max_abs_error);
            lines.insert(
                1,
                format!(
                    "polynomials: same class as the original on {agreement:.2} %, results off by at most {error:.2e}"
                ),
            );
        }
        ("accuracy", lines)
    }
}

/// Bytes with a decimal unit.
pub(crate) fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.2} GB", bytes as f64 / 1e9),
    }
}
