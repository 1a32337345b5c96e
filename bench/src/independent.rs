//! Independent ciphertexts on several threads, one each: how much more gets done than on one thread.

use std::hint::black_box;
use std::panic::resume_unwind;
use std::thread;
use std::time::{Duration, Instant};

use ckks::{Ciphertext, EvaluationKeys};
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::{Result, Setting};

/// How long threads are counted at a time; the best of so many rounds counts, one thread and all of them taking turns.
const TURN: Duration = Duration::from_millis(300);
const ROUNDS: usize = 5;

/// Products in registers between two looks at the clock.
const PRODUCTS: u64 = 1 << 22;

/// An operation on independent ciphertexts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Independent {
    /// The operation.
    pub op: &'static str,
    /// How often one thread does it in a second, the others idle.
    pub alone_per_s: f64,
    /// How often all threads do, each on ciphertexts of its own.
    pub together_per_s: f64,
    /// Products in registers of all threads over those of one, as [`crate::Limits`] counts them, in the same rounds.
    pub loop_gain: f64,
}

impl Independent {
    /// How many times as often all threads do it.
    pub fn gain(&self) -> f64 {
        self.together_per_s / self.alone_per_s
    }

    /// The gain over that of the loop.
    pub fn share(&self) -> f64 {
        self.gain() / self.loop_gain
    }
}

/// `mul_relin` and `rotate`, each on one thread, on `threads` of them at a time. `keys` has what both want.
///
/// # Errors
/// [`crate::Error::WrongSlots`] before anything that computes something else is counted, [`crate::Error::Threads`], and what the library
/// says.
pub fn independent(setting: &Setting, keys: &EvaluationKeys, threads: usize) -> Result<Vec<Independent>> {
    let pool = |_| ThreadPoolBuilder::new().num_threads(1).build();
    let pools: Vec<ThreadPool> = (0..threads).map(pool).collect::<std::result::Result<_, _>>()?;
    let Setting { evaluator, x, y, x_encrypted, y_encrypted, .. } = setting;
    let operands = vec![[x_encrypted.clone(), y_encrypted.clone()]; threads];
    let product = |i: usize| {
        let [x, y] = &operands[i];
        evaluator.mul_relinearize(x, y, keys)
    };
    let rotation = |i: usize| evaluator.rotate(&operands[i][0], 1, keys);
    let backend = setting.params.ring().backend();
    let mut loops = Rates::default();
    let mut rates = [Rates::default(); 2];
    let ops: [(&str, &Operation<'_>); 2] = [("mul_relin", &product), ("rotate", &rotation)];
    setting.check("mul_relin", &product(0)?, |i| x[i] * y[i])?;
    setting.check("rotate", &rotation(0)?, |i| x[(i + 1) % x.len()])?;
    for _ in 0..ROUNDS {
        loops.take(&pools, &|_| {
            black_box(backend.saturate_multiplier(PRODUCTS));
            Ok(())
        })?;
        for (rates, (_, op)) in rates.iter_mut().zip(ops) {
            rates.take(&pools, &|i| op(i).map(|ciphertext| drop(black_box(ciphertext))))?;
        }
    }
    let row = |((op, _), Rates { alone, together }): ((&'static str, _), Rates)| Independent {
        op,
        alone_per_s: alone,
        together_per_s: together,
        loop_gain: loops.together / loops.alone,
    };
    Ok(ops.into_iter().zip(rates).map(row).collect())
}

/// What thread i does to its ciphertexts.
type Operation<'a> = dyn Fn(usize) -> ckks::Result<Ciphertext> + Sync + 'a;

/// The best that was seen, a second.
#[derive(Debug, Clone, Copy, Default)]
struct Rates {
    alone: f64,
    together: f64,
}

impl Rates {
    /// One thread for a turn, then all.
    fn take(&mut self, pools: &[ThreadPool], run: &(dyn Fn(usize) -> ckks::Result<()> + Sync)) -> Result<()> {
        self.alone = self.alone.max(rate(&pools[..1], run)?);
        self.together = self.together.max(rate(pools, run)?);
        Ok(())
    }
}

/// Runs of all `pools` together, a second.
fn rate(pools: &[ThreadPool], run: &(dyn Fn(usize) -> ckks::Result<()> + Sync)) -> Result<f64> {
    let turn = |i: usize| {
        run(i)?;
        let (start, mut runs) = (Instant::now(), 0.0);
        while start.elapsed() < TURN {
            run(i)?;
            runs += 1.0;
        }
        Ok(runs / start.elapsed().as_secs_f64())
    };
    thread::scope(|scope| {
        let turn = &turn;
        let threads: Vec<_> =
            pools.iter().enumerate().map(|(i, pool)| scope.spawn(move || pool.install(|| turn(i)))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic))).sum()
    })
}
