//! The primitives of `ckks`, measured on this machine: the cases of the crate `bench`, sampled for a fraction of a second each; and what the
//! planner reckons with ([`costs`]).
//!
//! The cases live in `bench` so that its suites build without the engine; the names of the operations here are an interface.

mod chain;
mod cost;
mod report;
mod sample;
mod sets;
mod shape;
mod turns;

pub use ckks::RingKind;
use ckks::{Backend, Encryptor, EvaluationKeys, KeyGenerator, KeyRequest, NttTable, Params};
use rayon::{ThreadPool, ThreadPoolBuilder};

use bench::{Case, HOISTED, Independent, Limits, Setting};

use crate::error::{Error, Result};
use crate::report::{Machine, ParamsReport, available_memory_bytes};

pub use cost::costs;
pub use report::{BenchReport, IndependentTime, LeftOut, MachineLimits, ObjectBytes, OpTime, SetReport};
pub use sets::Sets;

use sample::Sample;

/// The operations of a report; whatever else is timed is among its `parts`.
pub const OPS: [&str; 17] = [
    "ntt_forward",
    "ntt_inverse",
    "encode",
    "decode",
    "encrypt_public",
    "encrypt_secret",
    "decrypt",
    "add",
    "mul_plain",
    "rescale",
    "keygen_rotation",
    "key_expand",
    "mul_relin",
    "rotate",
    "rotate_hoisted_16",
    "rotate_hoisted_16_lazy",
    "conjugate",
];

/// Times every operation for each of `sets` on each number of threads, and calls `done` after each. `insecure` says that sets below
/// 128 bits of security were let in.
///
/// # Errors
/// [`Error::Measure`] from a case that computes something wrong, before it is timed; [`Error::MeasureMemory`] and [`Error::Threads`]
/// for what the machine does not have.
pub fn measure(
    sets: &[Params],
    threads: &[usize],
    insecure: bool,
    done: &mut (dyn FnMut() + Send),
) -> Result<BenchReport> {
    sets.iter().try_for_each(check_memory)?;
    let pool = |&threads: &usize| {
        let builder = ThreadPoolBuilder::new().num_threads(threads);
        builder.build().map_err(|error| Error::Threads { problem: error.to_string() })
    };
    let pools: Vec<ThreadPool> = threads.iter().map(pool).collect::<Result<_>>()?;
    let backend = sets.first().map(|params| params.ring().backend());
    let limits = pools.iter().zip(backend.iter().cycle()).map(|(pool, &backend)| {
        let limits = pool.install(|| Limits::measure(backend));
        let Limits { products_per_s, read_bytes_per_s } = limits;
        MachineLimits { threads: pool.current_num_threads(), products_per_s, read_bytes_per_s }
    });
    let limits = limits.collect();
    let mut reports = Vec::new();
    let (mut rows, mut independent) = (Vec::new(), Vec::new());
    for params in sets {
        let mut bytes = None;
        for pool in &pools {
            bytes = Some(pool.install(|| measure_set(params, &mut rows, &mut independent, done))?);
        }
        reports.extend(bytes.map(|bytes| SetReport {
            params: ParamsReport::new(params),
            bytes,
            left_out: left_out(params),
        }));
    }
    let kernels = backend.map_or("none", Backend::name);
    let machine = Machine::detect(threads.iter().copied().max().unwrap_or(0), kernels);
    let first = reports.first();
    let (params, bytes) = (first.map(|set| set.params.clone()), first.map(|set| set.bytes));
    let (ops, parts) = rows.into_iter().partition(|row: &OpTime| OPS.contains(&row.op));
    Ok(BenchReport { insecure, params, bytes, machine, limits, sets: reports, ops, parts, independent })
}

/// One set on the threads of the current pool: a row for each operation, and for those on independent ciphertexts if there are several
/// threads.
fn measure_set(
    params: &Params,
    rows: &mut Vec<OpTime>,
    independent: &mut Vec<IndependentTime>,
    done: &mut (dyn FnMut() + Send),
) -> Result<ObjectBytes> {
    let threads = rayon::current_num_threads();
    let mut clock = |case: Case<'_>| {
        let sample = Sample::take(case.run)?;
        rows.push(OpTime {
            op: case.op,
            log_n: params.log_n(),
            limbs: params.ring().q().len(),
            dnum: params.spec().dnum,
            threads,
            median_ms: sample.median_ms,
            min_ms: sample.min_ms,
            precision_bits: case.precision_bits,
        });
        if OPS.contains(&case.op) {
            done();
        }
        Ok(())
    };
    let ring = params.ring();
    if let Some(&widest) = ring.q().chain(ring.p()).max_by_key(|q| q.value()) {
        let table = NttTable::new(widest, ring.log_n(), ring.kind(), ring.backend());
        bench::transforms(&mut clock, &table, ring.kind())?;
    }
    let mut setting = Setting::new(params)?;
    let keys = bench::scheme(&mut clock, &mut setting)?;
    bench::ring(&mut clock, &mut setting, &keys)?;
    if threads > 1 {
        let found = bench::independent(&setting, &keys, threads)?;
        independent.extend(found.into_iter().map(|found| independent_row(params, threads, found)));
    }
    object_bytes(&mut setting, &keys).map_err(|error| Error::Measure(error.into()))
}

fn independent_row(params: &Params, threads: usize, found: Independent) -> IndependentTime {
    IndependentTime {
        op: found.op,
        log_n: params.log_n(),
        limbs: params.ring().q().len(),
        dnum: params.spec().dnum,
        threads,
        alone_per_s: found.alone_per_s,
        together_per_s: found.together_per_s,
        gain: found.gain(),
        loop_gain: found.loop_gain,
        share: found.share(),
    }
}

fn object_bytes(setting: &mut Setting, keys: &EvaluationKeys) -> ckks::Result<ObjectBytes> {
    let public = KeyGenerator::new(&setting.params, &mut setting.entropy).public_key(&setting.secret)?;
    let seeded = Encryptor::new(&setting.secret, setting.entropy.fork()).encrypt_seeded(&setting.y_plain)?;
    let key = keys.iter().next();
    Ok(ObjectBytes {
        ciphertext: setting.x_encrypted.packed_bytes(),
        seeded_ciphertext: seeded.packed_bytes(),
        public_key: public.packed_bytes(),
        switching_key: key.map_or(0, |key| key.packed_bytes()),
        switching_key_expanded: key.map_or(0, |key| key.expanded_bytes()),
    })
}

fn left_out(params: &Params) -> Vec<LeftOut> {
    let mut left_out = Vec::new();
    if params.ring().kind() == RingKind::ConjugateInvariant {
        left_out.push(LeftOut { op: "conjugate", reason: "the conjugate-invariant ring has real slots only" });
    }
    if params.max_level() == 0 {
        left_out.push(LeftOut { op: "rescale", reason: "a chain of one step has none to drop" });
    }
    left_out
}

/// Refuses keys that would not fit, before they are made.
fn check_memory(params: &Params) -> Result<()> {
    // Relinearisation, conjugation, and the rotations.
    let keys = 2 + HOISTED as usize;
    let needed = keys * KeyRequest::default().relinearization(params.max_level()).expanded_bytes(params)?;
    match available_memory_bytes() {
        Some(available) if needed as u64 > available => Err(Error::MeasureMemory {
            log_n: params.log_n(),
            limbs: params.ring().q().len(),
            needed: needed as f64 / 1e9,
            available: available as f64 / 1e9,
        }),
        _ => Ok(()),
    }
}
