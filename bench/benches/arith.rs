//! One limb, for every backend of the machine: transforms at a prime of 50 bits and at one of 48, which leaves lazy values more room in
//! the word; products at one of 50.

mod clock;

use ckks::{Backend, NttTable, RingKind, ntt_primes};
use clock::{Result, criterion, named, sample};

fn main() -> Result<()> {
    let mut criterion = criterion()?;
    for backend in Backend::available() {
        for log_n in 12..=16 {
            let modulus = *ntt_primes(50, 1, 2 << log_n, &[])?.first().ok_or("no prime")?;
            let place = format!("{log_n}/1/{}", backend.name());
            let mut clock = |case: bench::Case<'_>| sample(&mut criterion, case.op, &place, case);
            bench::products(&mut clock, backend, &modulus, 1 << log_n)?;
        }
        for ring in [RingKind::Standard, RingKind::ConjugateInvariant] {
            for log_n in 12..=16 {
                for (bits, suffix) in [(50, ""), (48, "_48")] {
                    let order = (ring.root_factor() as u64) << log_n;
                    let modulus = *ntt_primes(bits, 1, order, &[])?.first().ok_or("no prime")?;
                    let table = NttTable::new(modulus, log_n, ring, backend);
                    let place = format!("{log_n}/1/{}", backend.name());
                    let mut clock = |case: bench::Case<'_>| {
                        sample(&mut criterion, &named(&format!("{}{suffix}", case.op), ring), &place, case)
                    };
                    bench::transforms(&mut clock, &table, ring)?;
                }
            }
        }
    }
    criterion.final_summary();
    Ok(())
}
