//! What the machine gives at most: the yardsticks of `docs/performance.md`.

use std::hint::black_box;
use std::time::{Duration, Instant};

use ckks::Backend;

/// Products of a thread in one run.
const PRODUCTS: u64 = 1 << 26;

/// Words that all threads read in one run: 256 MiB, more than caches hold.
const WORDS: usize = 1 << 25;

/// The fastest of so many runs counts.
const RUNS: usize = 7;

/// Rates of all threads of the current rayon pool together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Products of words in registers, both halves, a second: each thread in a loop of nothing else.
    pub products_per_s: f64,
    /// Bytes read from memory in order a second: each thread a part of one buffer.
    pub read_bytes_per_s: f64,
}

impl Limits {
    /// Measures them, with the kernels of `backend`.
    pub fn measure(backend: Backend) -> Self {
        let threads = rayon::current_num_threads();
        let products = fastest(|| rayon::broadcast(|_| backend.saturate_multiplier(PRODUCTS)));
        let words = vec![1u64; WORDS];
        let part = WORDS.div_ceil(threads);
        let read = fastest(|| {
            rayon::broadcast(|context| {
                let part = words.chunks(part).nth(context.index()).unwrap_or_default();
                part.iter().fold(0u64, |sum, word| sum.wrapping_add(*word))
            })
        });
        Self {
            products_per_s: threads as f64 * PRODUCTS as f64 / products.as_secs_f64(),
            read_bytes_per_s: size_of_val(words.as_slice()) as f64 / read.as_secs_f64(),
        }
    }
}

fn fastest<T>(mut run: impl FnMut() -> T) -> Duration {
    let times = (0..RUNS).map(|_| {
        let start = Instant::now();
        black_box(run());
        start.elapsed()
    });
    times.min().unwrap_or_default()
}
