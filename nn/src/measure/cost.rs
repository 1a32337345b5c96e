//! The primitives that the planner reckons with, timed on this machine in a few seconds, and kept in the user's cache directory.
//!
//! Every primitive runs on as many threads as there are in the current pool at once, since they share caches and memory; of each the
//! median counts, and the better of two rounds, since other programs disturb them. What is timed are the operations of `ckks` as programs use
//! them; from those that consist of several primitives, the known ones are subtracted. A cache of another machine, number of threads or version of this program is not believed.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ckks::{
    Backend, Ciphertext, Encoder, Encryptor, Entropy, Evaluator, ExtendedCiphertext, ExtendedPlaintext, Hoisted,
    KeyGenerator, KeyRequest, NttTable, Params, ParamsSpec, Plaintext, RingKind, ScalarMatrix, Scale, SecretKey,
};
use rayon::{ThreadPool, ThreadPoolBuilder};
use serde::{Deserialize, Serialize};

use crate::data::replace_file;
use crate::error::{Error, Result};
use crate::exec::trace::{CostModel, DegreeCost};
use crate::graph::SparseMatrix;
use crate::layout::{DiagonalPlan, Layout, Stepping};
use crate::report::Machine;

/// Of this program: another one may time other things.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A primitive runs this often, or after the fewest runs until this much time has passed.
const RUNS: usize = 100;
const FEWEST: usize = 6;
const ENOUGH: Duration = Duration::from_millis(20);
const ROUNDS: usize = 2;

/// Degrees at which transforms and encodings are timed.
const TRANSFORMS: std::ops::RangeInclusive<u32> = 12..=16;
/// (log2 of a degree, limbs, special primes) where what goes through memory is timed: chains as long as programs have them, since the
/// digits of short ones stay in cache.
const MEMORY: [(u32, usize, usize); 3] = [(13, 3, 1), (14, 7, 1), (15, 12, 4)];

/// What is read again after so many other bytes comes from memory, as keys and weights do in a program.
const COLD_BYTES: usize = 96 << 20;

/// What a cache file holds.
#[derive(Serialize, Deserialize)]
struct Cached {
    version: String,
    machine: String,
    costs: CostModel,
}

/// The costs on the current pool's threads: from the cache, or measured and cached. `again` measures in any case.
///
/// # Errors
/// [`Error::Ckks`](crate::Error::Ckks) if the scheme does not work on this machine.
pub fn costs(again: bool) -> Result<CostModel> {
    let machine = Machine::detect(rayon::current_num_threads(), Backend::detect()?.name());
    let path = cache_path(&machine);
    let machine = format!("{machine:?}");
    if let Some(costs) = path.as_ref().filter(|_| !again).and_then(|path| read(path, &machine)) {
        return Ok(costs);
    }
    let costs = measure()?;
    if let Some(path) = path {
        write(&path, &Cached { version: VERSION.into(), machine, costs: costs.clone() });
    }
    Ok(costs)
}

/// Where the costs of a machine are kept: in `XDG_CACHE_HOME`, or `.cache` in the home directory. None without either.
fn cache_path(machine: &Machine) -> Option<PathBuf> {
    let absolute = |variable: &str| std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    let folder = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?;
    Some(folder.join("slotwise").join(format!("costs-{}-{}.json", machine.kernels, machine.threads)))
}

fn read(path: &Path, machine: &str) -> Option<CostModel> {
    let cached: Cached = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
    let believed = cached.version == VERSION && cached.machine == machine && cached.costs.is_sound();
    believed.then_some(cached.costs)
}

/// Costs that cannot be kept are measured again the next time.
fn write(path: &Path, cached: &Cached) {
    let written = path.parent().map(std::fs::create_dir_all).is_some_and(|made| made.is_ok())
        && replace_file(path, |file| Ok(serde_json::to_writer_pretty(file, cached)?)).is_ok();
    if !written {
        tracing::debug!(path = %path.display(), "measured costs could not be kept");
    }
}

/// Times everything, in rounds: what another program disturbs in one of them it leaves alone in another.
fn measure() -> Result<CostModel> {
    let fresh_byte = fresh_byte()?;
    let clock = Clock::new()?;
    let first = round(&clock, fresh_byte)?;
    (1..ROUNDS).try_fold(first, |least, _| Ok(least.best(&round(&clock, fresh_byte)?)))
}

fn round(clock: &Clock, fresh_byte: f64) -> Result<CostModel> {
    let memory = MEMORY.into_iter().map(|shape| Memory::measure(clock, shape)).collect::<Result<Vec<_>>>()?;
    let degrees = TRANSFORMS.map(|log_n| {
        let nearest = MEMORY.iter().take_while(|&&(measured, ..)| measured < log_n).count();
        memory[nearest.min(MEMORY.len() - 1)].at(clock, log_n)
    });
    let degrees = degrees.collect::<Result<_>>()?;
    let (mac, gemm_edge) = gemm(clock)?;
    let (threads, limb_speedup) = (clock.pools.len(), limb_speedup(clock)?);
    let position = position(clock)?;
    Ok(CostModel { threads, limb_speedup, mac, gemm_edge, position, fresh_byte, degrees })
}

/// Threads that run the same primitive at the same time, each in a pool of its own: none helps another.
struct Clock {
    pools: Vec<ThreadPool>,
}

impl Clock {
    fn new() -> Result<Self> {
        let pool = || ThreadPoolBuilder::new().num_threads(1).build();
        let pools: std::result::Result<_, _> =
            std::iter::repeat_with(pool).take(rayon::current_num_threads()).collect();
        Ok(Self { pools: pools.map_err(|error| Error::Threads { problem: error.to_string() })? })
    }

    /// Seconds of `run`, which gets the number of the run: the median of each thread, averaged over threads.
    fn seconds<S>(
        &self,
        state: impl Fn() -> ckks::Result<S> + Sync,
        run: impl Fn(&mut S, usize) -> ckks::Result<()> + Sync,
    ) -> Result<f64> {
        let timed = || median(&state, &run);
        let each = std::thread::scope(|scope| {
            let threads: Vec<_> = self.pools.iter().map(|pool| scope.spawn(|| pool.install(timed))).collect();
            let join = threads.into_iter().map(|thread| match thread.join() {
                Ok(least) => least,
                Err(panic) => std::panic::resume_unwind(panic),
            });
            join.collect::<ckks::Result<Vec<f64>>>()
        })?;
        Ok(each.iter().sum::<f64>() / each.len() as f64)
    }

    /// The same on one thread, while the others rest.
    fn alone<S>(
        &self,
        state: &(impl Fn() -> ckks::Result<S> + Sync),
        run: &(impl Fn(&mut S, usize) -> ckks::Result<()> + Sync),
    ) -> Result<f64> {
        match self.pools.first() {
            Some(pool) => Ok(pool.install(|| median(state, run))?),
            None => Ok(median(state, run)?),
        }
    }
}

/// Seconds of a run, in the middle of all.
fn median<S>(
    state: &impl Fn() -> ckks::Result<S>,
    run: &impl Fn(&mut S, usize) -> ckks::Result<()>,
) -> ckks::Result<f64> {
    let mut state = state()?;
    // The first run touches fresh memory.
    run(&mut state, 0)?;
    let (start, mut times) = (Instant::now(), Vec::new());
    for number in 1..=RUNS {
        let start_run = Instant::now();
        run(&mut state, number)?;
        times.push(start_run.elapsed().as_secs_f64());
        if number >= FEWEST && start.elapsed() > ENOUGH {
            break;
        }
    }
    times.sort_unstable_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

fn params(log_n: u32, chain: &[u32], special: &[u32]) -> Result<Params> {
    Ok(ParamsSpec::new(RingKind::ConjugateInvariant, log_n, chain, special).build()?)
}

/// Rotated inputs and sums of the matrix by which products with diagonals are timed.
const BABIES: usize = 8;
const GIANTS: usize = 4;
/// How often some of its diagonals repeat themselves: the least of which one repetition is kept.
const REPETITIONS: usize = 64;

/// What goes through memory, for each limb of one degree.
struct Memory {
    n: f64,
    product: f64,
    repeated: f64,
    pass: f64,
    convert: f64,
    switch: f64,
    expand: f64,
    encode_limb: f64,
}

impl Memory {
    fn measure(clock: &Clock, (log_n, limbs, special): (u32, usize, usize)) -> Result<Self> {
        let setting = Setting::new(params(log_n, &vec![50; limbs], &vec![50; special])?)?;
        let (ntt, pass) = (transform(clock, &setting.params)?, setting.pass(clock)?);
        let (hoist, rotate) = setting.rotation(clock)?;
        let extended = setting.limbs() + special as f64;
        let (digits, digit) = (setting.params.digits(limbs) as f64, setting.params.digit_limbs() as f64);
        // ModUp is transforms of all limbs of all digits, and conversions from one limb to another.
        let convert = ((hoist - digits * extended * ntt) / (setting.limbs() * (extended - digit))).max(0.0);
        // Products with both halves of the key, and three passes.
        let switch = ((rotate - 3.0 * extended * pass) / (2.0 * digits * extended)).max(0.0);
        let (one, all) = (setting.encode(clock, 0)?, setting.encode(clock, setting.params.max_level())?);
        Ok(Self {
            n: setting.params.ring().n() as f64,
            product: setting.products(clock, 1)?,
            repeated: setting.products(clock, REPETITIONS)?,
            pass,
            convert,
            switch,
            expand: setting.expand(clock)?,
            encode_limb: ((all - one) / (setting.limbs() - 1.0) - ntt).max(0.0),
        })
    }

    /// The costs of another degree: transforms and encodings measured there, the rest in proportion.
    fn at(&self, clock: &Clock, log_n: u32) -> Result<DegreeCost> {
        let setting = Setting::new(params(log_n, &[50], &[50])?)?;
        let (ntt, ratio) = (transform(clock, &setting.params)?, setting.params.ring().n() as f64 / self.n);
        let encode_limb = self.encode_limb * ratio;
        Ok(DegreeCost {
            log_n,
            ntt,
            product: self.product * ratio,
            repeated: self.repeated * ratio,
            pass: self.pass * ratio,
            convert: self.convert * ratio,
            switch: self.switch * ratio,
            expand: self.expand * ratio,
            encode: (setting.encode(clock, 0)? - ntt - encode_limb).max(0.0),
            encode_limb,
        })
    }
}

/// One limb NTT, both directions in turn.
fn transform(clock: &Clock, params: &Params) -> Result<f64> {
    const TIMES: usize = 4;
    let ring = params.ring();
    let tables: Vec<NttTable> =
        ring.q().take(1).map(|&q| NttTable::new(q, ring.log_n(), ring.kind(), ring.backend())).collect();
    let limb = || Ok(vec![1; ring.n()]);
    let both = clock.seconds(limb, |limb: &mut Vec<u64>, _| {
        for table in tables.iter().cycle().take(TIMES) {
            table.forward(limb);
            table.inverse(limb);
        }
        Ok(())
    })?;
    Ok(both / (2 * TIMES) as f64)
}

/// Parameters with something to compute on. Its secret key goes with it.
struct Setting {
    params: Params,
    encoder: Encoder,
    evaluator: Evaluator,
    values: Vec<f64>,
}

const SCALE_BITS: i32 = 30;

impl Setting {
    fn new(params: Params) -> Result<Self> {
        let values = (0..params.slots()).map(|i| (i % 97) as f64 / 97.0 - 0.5).collect();
        Ok(Self { encoder: Encoder::new(&params), evaluator: Evaluator::new(&params), values, params })
    }

    fn limbs(&self) -> f64 {
        self.params.ring().q().len() as f64
    }

    fn plaintext(&self, level: usize) -> ckks::Result<Plaintext> {
        self.encoder.encode(&self.values, Scale::power_of_two(SCALE_BITS), level)
    }

    /// Encoding of a vector of slots.
    fn encode(&self, clock: &Clock, level: usize) -> Result<f64> {
        clock.seconds(|| Ok(()), |(), _| self.plaintext(level).map(drop))
    }

    /// How many objects of so many limbs it takes for the first to have left the cache when the last was read.
    fn cold(&self, limbs: usize) -> usize {
        COLD_BYTES / (8 * limbs * self.params.ring().n()) + 1
    }

    /// A secret key with an encryption of the values.
    fn encrypted(&self) -> Result<(SecretKey, Ciphertext)> {
        let mut entropy = Entropy::from_os()?;
        let secret = KeyGenerator::new(&self.params, &mut entropy).secret_key();
        let x = Encryptor::new(&secret, entropy).encrypt(&self.plaintext(self.params.max_level())?)?;
        Ok((secret, x))
    }

    /// A product in the sums of a matrix, for each limb and part; its diagonals, which repeat themselves so often, come from memory.
    fn products(&self, clock: &Clock, repetitions: usize) -> Result<f64> {
        const LEVEL: usize = 2;
        let (_, mut x) = self.encrypted()?;
        self.evaluator.drop_level_assign(&mut x, LEVEL)?;
        let extended = self.params.limbs(LEVEL)? + self.params.ring().full_basis().p;
        let state = || {
            let rotated = (0..BABIES).map(|_| self.evaluator.extend(&x)).collect::<ckks::Result<Vec<_>>>()?;
            let sets = self.cold(extended * BABIES * GIANTS);
            let slots = self.values[..self.values.len() / repetitions].repeat(repetitions);
            let diagonal = self.encoder.encode(&slots, Scale::power_of_two(SCALE_BITS), LEVEL)?.extend();
            Ok((rotated, vec![diagonal; sets * BABIES * GIANTS]))
        };
        let sums = |(rotated, diagonals): &mut (Vec<ExtendedCiphertext>, Vec<ExtendedPlaintext>), run: usize| {
            let sums = diagonals.chunks(BABIES).map(|diagonals| rotated.iter().zip(diagonals).collect());
            let sums: Vec<Vec<_>> = sums.skip(run * GIANTS % (diagonals.len() / BABIES)).take(GIANTS).collect();
            self.evaluator.inner_products_extended(&sums).map(drop)
        };
        Ok(clock.seconds(state, sums)? / (2 * extended * BABIES * GIANTS) as f64)
    }

    /// A quarter of a product of two ciphertexts from memory, for each limb.
    fn pass(&self, clock: &Clock) -> Result<f64> {
        let (_, x) = self.encrypted()?;
        let factors = vec![x; self.cold(2 * self.limbs() as usize)];
        let products = || -> ckks::Result<Vec<Ciphertext>> {
            let product = |x: &Ciphertext| self.evaluator.mul(x, x);
            factors.iter().take(FEWEST).map(product).collect()
        };
        let multiply = |products: &mut Vec<Ciphertext>, run: usize| {
            let at = |run: usize| run % factors.len();
            products[run % FEWEST] = self.evaluator.mul(&factors[at(2 * run)], &factors[at(2 * run + 1)])?;
            Ok(())
        };
        Ok(clock.seconds(products, multiply)? / (4.0 * self.limbs()))
    }

    /// The decomposition of a ciphertext, and one rotation out of it in the basis QP, with a key from memory.
    fn rotation(&self, clock: &Clock) -> Result<(f64, f64)> {
        let top = self.params.max_level();
        let (secret, x) = self.encrypted()?;
        let basis = self.params.ring().full_basis();
        let rotations = self.cold(2 * self.params.digits(basis.q) * basis.limbs());
        let request = (1..=rotations as i64).fold(KeyRequest::default(), |r, k| r.rotation(&self.params, k, top));
        let keys = KeyGenerator::new(&self.params, &mut Entropy::from_os()?).evaluation_keys(&secret, &request)?;
        let hoist = clock.seconds(|| Ok(()), |(), _| self.evaluator.hoist(&x).map(drop))?;
        // Threads use different keys at a time.
        let thread = AtomicUsize::new(0);
        // Results pile up, as those of baby steps do.
        let kept = self.cold(2 * basis.limbs());
        let state = || {
            let hoisted = self.evaluator.hoist(&x)?;
            let first = thread.fetch_add(rotations / clock.pools.len(), Ordering::Relaxed);
            let rotated =
                |k: usize| self.evaluator.rotate_hoisted_extended(&hoisted, (k % rotations + 1) as i64, &keys);
            let kept = (0..kept).map(rotated).collect::<ckks::Result<Vec<_>>>()?;
            Ok((first, hoisted, kept))
        };
        let rotate = |(k, hoisted, kept): &mut (usize, Hoisted<'_>, Vec<ExtendedCiphertext>), run: usize| {
            *k = (*k + 1) % rotations;
            let place = run % kept.len();
            kept[place] = self.evaluator.rotate_hoisted_extended(hoisted, *k as i64 + 1, &keys)?;
            Ok(())
        };
        Ok((hoist, clock.seconds(state, rotate)?))
    }

    /// Expanding the seeded half of a limb.
    fn expand(&self, clock: &Clock) -> Result<f64> {
        let mut entropy = Entropy::from_os()?;
        let secret = KeyGenerator::new(&self.params, &mut entropy).secret_key();
        let seeded = Encryptor::new(&secret, entropy).encrypt_seeded(&self.plaintext(self.params.max_level())?)?;
        let expand = |(): &mut (), _| {
            drop(seeded.expand());
            Ok(())
        };
        Ok(clock.seconds(|| Ok(()), expand)? / self.limbs())
    }
}

/// How much faster a single rotation is on all threads of the current pool, which then share its limbs.
fn limb_speedup(clock: &Clock) -> Result<f64> {
    const TURNS: usize = 4;
    let setting = Setting::new(params(14, &[50; 6], &[50])?)?;
    let (secret, x) = setting.encrypted()?;
    let request = KeyRequest::default().rotation(&setting.params, 1, setting.params.max_level());
    let keys = KeyGenerator::new(&setting.params, &mut Entropy::from_os()?).evaluation_keys(&secret, &request)?;
    let rotate = |(): &mut (), _| setting.evaluator.rotate(&x, 1, &keys).map(drop);
    let (mut alone, mut together) = (f64::INFINITY, f64::INFINITY);
    for _ in 0..TURNS {
        alone = alone.min(clock.alone(&|| Ok(()), &rotate)?);
        together = together.min(median(&|| Ok(()), &rotate)?);
    }
    Ok((alone / together).max(1.0))
}

/// Seconds of a position of a diagonal, in those of a dense layer.
fn position(clock: &Clock) -> Result<f64> {
    const FEATURES: usize = 512;
    let entries = (0..FEATURES).flat_map(|row| (0..FEATURES).map(move |column| (row, column, 1.0)));
    let matrix = SparseMatrix::from_triplets(FEATURES, FEATURES, entries)?;
    let layout = Layout::dense(FEATURES, 1, FEATURES)?;
    let plan = DiagonalPlan::new(&matrix, &layout, &layout, Stepping::Hoisted)?;
    let steps = plan.outputs().iter().flatten();
    let products: Vec<_> =
        steps.flat_map(|step| step.products.iter().map(|&product| (step.rotation, product))).collect();
    let gather = |(): &mut (), _| {
        for &(giant, product) in &products {
            std::hint::black_box(plan.diagonal((&matrix, &layout, &layout), 0, giant, product));
        }
        Ok(())
    };
    Ok(clock.seconds(|| Ok(()), gather)? / (products.len() * FEATURES) as f64)
}

/// Core-seconds of a byte of memory that the system has to find. Only the first time counts: what was found and given back is found again
/// sooner.
fn fresh_byte() -> Result<f64> {
    const LIMBS: usize = 8;
    const COUNT: usize = 128;
    let params = params(15, &[50; LIMBS], &[50])?;
    let start = Instant::now();
    params.reserve(LIMBS, COUNT);
    let core_seconds = start.elapsed().as_secs_f64() * rayon::current_num_threads() as f64;
    Ok(core_seconds / (size_of::<u64>() * LIMBS * params.ring().n() * COUNT) as f64)
}

/// Seconds of a multiply-accumulate in a large product with constants, and of an input or output residue in small ones.
fn gemm(clock: &Clock) -> Result<(f64, f64)> {
    let setting = Setting::new(params(12, &[50], &[50])?)?;
    let mut entropy = Entropy::from_os()?;
    let secret = KeyGenerator::new(&setting.params, &mut entropy).secret_key();
    let x = Encryptor::new(&secret, entropy).encrypt(&setting.plaintext(0)?)?;
    // (groups of rows, rows of each, columns of each): a dense layer, and the windows of a convolution.
    let product = |groups: usize, rows: usize, cols: usize| -> Result<f64> {
        let row =
            |r: usize| (0..cols).map(|c| ((r / rows * cols + c) as u32, (r + c) as f64 * 1e-3)).collect::<Vec<_>>();
        let entries: Vec<Vec<(u32, f64)>> = (0..groups * rows).map(row).collect();
        let entries = entries.iter().map(Vec::as_slice);
        let matrix = ScalarMatrix::new(&setting.params, entries, groups * cols, Scale::power_of_two(12), 0)?;
        let inputs = vec![x.clone(); groups * cols];
        clock.seconds(|| Ok(()), |(), _| matrix.apply(&inputs).map(drop))
    };
    let residues = |per_group: usize| (2 * setting.params.ring().n() * per_group) as f64;
    let mac = product(1, 48, 512)? / residues(48 * 512);
    let (groups, rows, cols) = (8, 5, 25);
    let edge = product(groups, rows, cols)? / residues(groups * (rows + cols))
        - mac * (rows * cols) as f64 / (rows + cols) as f64;
    Ok((mac, edge.max(0.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_that_is_damaged_or_foreign_is_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep").join("costs.json");
        let costs = CostModel::nominal(2);
        write(&path, &Cached { version: VERSION.into(), machine: "here".into(), costs: costs.clone() });
        assert_eq!(read(&path, "here"), Some(costs.clone()));
        assert_eq!(read(&path, "elsewhere"), None);
        for (version, ntt) in [("0.0.0", 1e-5), (VERSION, -1.0), (VERSION, 1e9)] {
            let mut costs = costs.clone();
            costs.degrees[0].ntt = ntt;
            write(&path, &Cached { version: version.into(), machine: "here".into(), costs });
            assert_eq!(read(&path, "here"), None, "{version} {ntt}");
        }
        std::fs::write(&path, b"{").unwrap();
        assert_eq!(read(&path, "here"), None);
    }

    #[test]
    fn measured_costs_are_sound() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        let costs = pool.install(measure).unwrap();
        assert!(costs.is_sound(), "{costs:?}");
        let ntts: Vec<f64> = costs.degrees.iter().map(|degree| degree.ntt).collect();
        assert!(ntts.windows(2).all(|pair| pair[1] > pair[0]), "{ntts:?}");
    }
}
