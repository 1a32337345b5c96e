//! What the planner reckons with: operations of `ckks`, timed on this machine as programs use them, and kept in the user's cache directory.
//!
//! It takes some ten seconds and 0.9 GB: machines are shared, and memory is fast at one moment and slow at the next. Of operations in turns
//! (`turns`) the median counts, and of three rounds of all, too. A cache of another machine, number of threads or version of
//! this program is not believed.

use std::path::{Path, PathBuf};
use std::time::Instant;

use ckks::Backend;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::chain;
use super::shape::Shape;
use super::turns::{in_turns, one};
use crate::data::replace_file;
use crate::error::Result;
use crate::exec::trace::CostModel;
use crate::graph::SparseMatrix;
use crate::layout::{DiagonalEntries, DiagonalPlan, KeyPrice, Layout};
use crate::report::{Machine, forget_peak_memory};

/// Of this program: another one may time other things.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Shapes that are timed: chains as long as programs have them.
const SHAPES: [Shape; 3] = [
    Shape { log_n: 13, limbs: 5, special: 1, bits: 35 },
    Shape { log_n: 14, limbs: 7, special: 1, bits: 50 },
    Shape { log_n: 15, limbs: 12, special: 4, bits: 50 },
];

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
    // Of a run, the peak is that of its own work.
    forget_peak_memory();
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

/// Times everything, in three rounds, since other programs and machines disturb a round for seconds: of each figure the median counts.
fn measure() -> Result<CostModel> {
    let fresh_byte = fresh_byte()?;
    let round = || round(fresh_byte);
    Ok(CostModel::median([round()?, round()?, round()?]))
}

fn round(fresh_byte: f64) -> Result<CostModel> {
    let degrees = SHAPES.iter().map(Shape::measure).collect::<Result<_>>()?;
    let (threads, gemm, entry) = (rayon::current_num_threads(), chain::measure()?, entry()?);
    Ok(CostModel { threads, gemm, entry, fresh_byte, degrees })
}

/// Core-seconds of an entry of a matrix, from its row to the slots of its diagonal, in those of a dense layer.
fn entry() -> Result<f64> {
    const FEATURES: usize = 512;
    let entries = (0..FEATURES).flat_map(|row| (0..FEATURES).map(move |column| (row, column, 1.0)));
    let matrix = SparseMatrix::from_triplets(FEATURES, FEATURES, entries)?;
    let layout = Layout::dense(FEATURES, 1, FEATURES)?;
    let plan = DiagonalPlan::new(&matrix, &layout, &layout, KeyPrice::FREE.alone())?;
    let steps = plan.outputs().iter().flatten();
    let products: Vec<_> =
        steps.flat_map(|step| step.products.iter().map(|&product| (step.rotation, product))).collect();
    let gather = |()| {
        let entries = DiagonalEntries::new(&plan, &matrix, &layout, &layout);
        products.par_iter().for_each(|&(giant, product)| {
            std::hint::black_box(entries.slots(0, giant, product));
        });
        Ok(())
    };
    let [seconds] = in_turns([one(|_| (), gather)])?;
    Ok(seconds * rayon::current_num_threads() as f64 / plan.entries() as f64)
}

/// Core-seconds of a byte of memory that the system has to find. Only the first time counts: what was found and given back is found again
/// sooner. (A virtual machine on a Zen 3, December 2026: 0.4 ns for what any process gave back a moment ago, 5 to 11 ns for what had been
/// free for some seconds, which its host had taken back.)
fn fresh_byte() -> Result<f64> {
    const LIMBS: usize = 8;
    const COUNT: usize = 128;
    let params = Shape { log_n: 15, limbs: LIMBS, special: 1, bits: 50 }.params()?;
    let start = Instant::now();
    params.reserve(LIMBS, COUNT);
    let core_seconds = start.elapsed().as_secs_f64() * rayon::current_num_threads() as f64;
    Ok(core_seconds / (size_of::<u64>() * LIMBS * params.ring().n() * COUNT) as f64)
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
        for (version, hoist) in [("0.0.0", 1e-5), (VERSION, -1.0), (VERSION, 1e9)] {
            let mut costs = costs.clone();
            costs.degrees[0].hoist.many = hoist;
            write(&path, &Cached { version: version.into(), machine: "here".into(), costs });
            assert_eq!(read(&path, "here"), None, "{version} {hoist}");
        }
        std::fs::write(&path, b"{").unwrap();
        assert_eq!(read(&path, "here"), None);
    }

    #[test]
    fn measured_costs_are_sound() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        let costs = pool.install(|| round(fresh_byte()?)).unwrap();
        assert!(costs.is_sound(), "{costs:?}");
        let hoists: Vec<f64> = costs.degrees.iter().map(|degree| degree.hoist.many).collect();
        assert!(hoists.windows(2).all(|pair| pair[1] > pair[0]), "{hoists:?}");
    }
}
