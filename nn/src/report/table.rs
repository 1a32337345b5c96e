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
            self.left_out(),
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

/// So many samples that are left out are named.
const NAMED: usize = 8;

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
                "\n  WARNING: {} outside; sample {sample} has {argument:.3}, where the error is {error:.1e}",
                count(*values, "value")
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

    fn left_out(&self) -> Section {
        let (found, all) = (self.left_out.len(), self.left_out.len() + self.batch.samples);
        if found == 0 {
            return ("left out", Vec::new());
        }
        let share = 100.0 * found as f64 / all as f64;
        let mut lines = vec![format!("WARNING: {found} of {} out of range, {share:.2} %", count(all, "sample"))];
        lines.extend(self.left_out.iter().take(NAMED).map(ToString::to_string));
        if found > NAMED {
            lines.push(format!("and {} more; --json names them all", found - NAMED));
        }
        ("left out", lines)
    }

    fn packing(&self) -> Section {
        let b = &self.batch;
        let chunks = b.samples.div_ceil(b.per_ciphertext);
        let (samples, chunks) = (count(b.samples, "sample"), count(chunks, "chunk"));
        let line = format!("{samples}, {} a ciphertext in {chunks}, interleave {}", b.per_ciphertext, b.interleave);
        ("batch", vec![line])
    }

    fn seconds(&self) -> Section {
        let t = &self.time_s;
        let client = format!("keygen {:.3}  encrypt {:.3}  decrypt {:.3}", t.keygen, t.encrypt, t.decrypt);
        let server =
            format!("plan {:.3}  prepare {:.3}  infer {:.3}  total {:.3}", t.plan, t.prepare, t.infer, t.total);
        let speed = format!(
            "{} samples a second of server time (predicted infer {:.3}, prepare {:.3})",
            rate(self.throughput.infer_samples_per_s),
            self.predicted.infer_s,
            self.predicted.prepare_s
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
        let of = |what: &str, fraction: Option<f64>| fraction.map(|x| format!("{what} {:.2} %", 100.0 * x));
        let line = |parts: [Option<String>; 2]| Some(parts.into_iter().flatten().collect::<Vec<_>>().join("  "));
        let models = line([of("original", a.original), of("HE-friendly in the clear", a.he_model_clear)]);
        let runs = line([of("program in the clear", a.program_clear), of("encrypted", a.encrypted)]);
        let polynomials = (!self.activations.is_empty()).then(|| {
            let (rms, largest) = (a.he_model_rms_error, a.he_model_max_abs_error);
            let agreement = format!("same class as the original on {:.2} %, ", 100.0 * a.he_model_agreement);
            let agreement = if self.values { "" } else { &agreement };
            format!("polynomials: {agreement}results off by {rms:.2e} (root mean square), {largest:.2e} at most")
        });
        let error = format!(
            "largest error {:.2e}, {:.1} bits of precision (predicted {:.1})",
            a.max_abs_error, a.precision_bits, self.predicted.precision_bits
        );
        let agreement = (!self.values).then(|| format!("same class as in the clear on {:.2} %", 100.0 * a.agreement));
        let lines = [models, polynomials, runs, agreement, Some(error)];
        ("accuracy", lines.into_iter().flatten().filter(|line| !line.is_empty()).collect())
    }
}

/// So many things.
pub(crate) fn count(number: usize, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {thing}{plural}")
}

/// A number of three digits at least, below 1 as above.
pub(crate) fn rate(number: f64) -> String {
    let decimals = (2.0 - number.log10().floor()).clamp(0.0, 9.0) as usize;
    format!("{number:.decimals$}")
}

/// Seconds with a unit.
pub(crate) fn duration(seconds: f64) -> String {
    match seconds {
        1.0.. => format!("{} s", rate(seconds)),
        1e-3.. => format!("{} ms", rate(seconds * 1e3)),
        _ => format!("{} us", rate(seconds * 1e6)),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_and_things_their_plural() {
        assert_eq!([19602.7, 331.2, 26.33, 4.0, 0.2264].map(rate), ["19603", "331", "26.3", "4.00", "0.226"]);
        assert_eq!([2.1201, 0.05136, 2.588e-4].map(duration), ["2.12 s", "51.4 ms", "259 us"]);
        assert_eq!([0, 1, 2].map(|number| count(number, "chunk")), ["0 chunks", "1 chunk", "2 chunks"]);
    }
}
