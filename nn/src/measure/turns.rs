//! Operations timed in turns: each finds in the caches what others have left, as in a program, and what disturbs the machine for a while
//! disturbs all of them.

use std::time::{Duration, Instant};

use rayon::prelude::*;

/// An operation with its operands: of the number of the turn, the time that it took.
pub(super) type Operation<'a> = Box<dyn FnMut(usize) -> ckks::Result<Duration> + Send + 'a>;

/// So many turns, and after the fewest no more once this much time has passed.
const TURNS: usize = 40;
const FEWEST: usize = 3;
const ENOUGH: Duration = Duration::from_millis(100);

/// Of each operation the seconds of a turn, in the middle of all.
pub(super) fn in_turns<const N: usize>(mut operations: [Operation<'_>; N]) -> ckks::Result<[f64; N]> {
    // The first turn touches fresh memory.
    operations.iter_mut().try_for_each(|operation| operation(0).map(drop))?;
    let (start, mut times) = (Instant::now(), [(); N].map(|()| Vec::new()));
    for turn in 1..=TURNS {
        for (operation, times) in operations.iter_mut().zip(&mut times) {
            times.push(operation(turn)?.as_secs_f64());
        }
        if turn >= FEWEST && start.elapsed() > ENOUGH {
            break;
        }
    }
    Ok(times.map(|mut times| {
        times.sort_unstable_by(f64::total_cmp);
        times[times.len() / 2]
    }))
}

/// One operation a turn, which all threads share. `operand` makes what it takes, outside the clock.
pub(super) fn one<'a, I, T>(
    operand: impl Fn(usize) -> I + Send + 'a,
    run: impl Fn(I) -> ckks::Result<T> + Send + 'a,
) -> Operation<'a> {
    Box::new(move |turn| {
        let operand = operand(turn);
        let start = Instant::now();
        let made = run(operand)?;
        let time = start.elapsed();
        drop(made);
        Ok(time)
    })
}

/// Operations of each thread in a turn.
const ROUNDS: usize = 2;

/// [`ROUNDS`] operations on each thread; the time of one. `operand` makes what the n-th operation of all turns takes, outside the clock.
pub(super) fn many<'a, I: Send, T: Send>(
    operand: impl Fn(usize) -> I + Send + 'a,
    run: impl Fn(I) -> ckks::Result<T> + Sync + Send + 'a,
) -> Operation<'a> {
    let count = ROUNDS * rayon::current_num_threads();
    Box::new(move |turn| {
        let operands: Vec<I> = (0..count).map(|i| operand(turn * count + i)).collect();
        let start = Instant::now();
        let made = operands.into_par_iter().with_max_len(1).map(&run).collect::<ckks::Result<Vec<T>>>()?;
        let time = start.elapsed();
        drop(made);
        Ok(time / ROUNDS as u32)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_of_the_turns_after_the_first() {
        let times = |times: [u64; 6]| -> Operation<'static> {
            Box::new(move |turn| Ok(Duration::from_millis(if turn < 6 { times[turn] } else { 1000 })))
        };
        let waiting: Operation<'_> = Box::new(|turn| {
            std::thread::sleep(if turn == FEWEST { ENOUGH } else { Duration::ZERO });
            Ok(Duration::ZERO)
        });
        let medians = in_turns([times([900, 5, 1, 400, 3, 2]), times([0, 7, 8, 1, 1, 1]), waiting]).unwrap();
        assert_eq!(medians, [0.005, 0.007, 0.0]);
    }

    #[test]
    fn an_operation_that_fails_ends_it() {
        let failed = ckks::Error::NoEntropy { reason: "none".into() };
        assert!(in_turns([one(|turn| turn, |_| Err::<(), _>(failed.clone()))]).is_err());
        assert!(in_turns([many(|n| n, |n| if n == 9 { Err(failed.clone()) } else { Ok(()) })]).is_err());
    }
}
