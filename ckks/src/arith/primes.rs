//! Deterministic primality and the search for NTT-friendly primes.

use crate::error::{Error, Result};

use super::modulus::{MAX_MODULUS_BITS, Modulus};

/// Miller-Rabin with the twelve bases that decide every 64-bit integer (Sorenson-Webster, arXiv 1509.00864).
pub fn is_prime(n: u64) -> bool {
    const BASES: [u64; 12] = [2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37];
    if n < 2 {
        return false;
    }
    if let Some(&p) = BASES.iter().find(|&&p| n.is_multiple_of(p)) {
        return n == p;
    }
    let mul = |a: u64, b: u64| (u128::from(a) * u128::from(b) % u128::from(n)) as u64;
    let twos = (n - 1).trailing_zeros();
    let odd = (n - 1) >> twos;
    BASES.iter().all(|&base| {
        let mut power = 1;
        let (mut square, mut exponent) = (base, odd);
        while exponent > 0 {
            if exponent & 1 == 1 {
                power = mul(power, square);
            }
            square = mul(square, square);
            exponent >>= 1;
        }
        let mut passes = power == 1 || power == n - 1;
        for _ in 1..twos {
            power = mul(power, power);
            passes |= power == n - 1;
        }
        passes
    })
}

/// The `count` largest primes of exactly `bits` bits that are 1 modulo `order` (a power of two) and not in `taken`.
///
/// # Errors
/// [`Error::NotEnoughPrimes`] when there are fewer, or `bits` is above 50.
pub fn ntt_primes(bits: u32, count: usize, order: u64, taken: &[Modulus]) -> Result<Vec<Modulus>> {
    let missing = Error::NotEnoughPrimes { bits, count, order };
    if !(2..=MAX_MODULUS_BITS).contains(&bits) || order == 0 {
        return Err(missing);
    }
    let (low, high) = (1u64 << (bits - 1), (1u64 << bits) - 1);
    if count as u64 > (high - low) / order + 1 {
        return Err(missing);
    }
    let mut found = Vec::new();
    // The largest c <= high with c = 1 mod order.
    let mut candidate = (high - 1) / order * order + 1;
    while found.len() < count && candidate > low {
        if taken.iter().all(|m| m.value() != candidate) && is_prime(candidate) {
            found.push(Modulus::new(candidate)?);
        }
        match candidate.checked_sub(order) {
            Some(next) => candidate = next,
            None => break,
        }
    }
    if found.len() < count { Err(missing) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn primality_agrees_with_trial_division() {
        let trial = |n: u64| n > 1 && (2..).take_while(|d| d * d <= n).all(|d| !n.is_multiple_of(d));
        for n in 0..5_000 {
            assert_eq!(is_prime(n), trial(n), "{n}");
        }
        // Strong pseudoprimes to many bases.
        for n in [3_215_031_751, 3_825_123_056_546_413_051, 341_550_071_728_321] {
            assert!(!is_prime(n), "{n}");
        }
        assert!(is_prime((1 << 61) - 1));
    }

    #[test]
    fn primes_have_the_size_and_the_residue_class_asked_for() {
        let order = 1 << 18;
        let first = ntt_primes(50, 20, order, &[]).unwrap();
        let more = ntt_primes(50, 20, order, &first).unwrap();
        for q in first.iter().chain(&more) {
            assert_eq!(q.bits(), 50);
            assert_eq!(q.value() % order, 1);
        }
        assert!(more.iter().all(|q| !first.contains(q)));
        assert!(first.windows(2).all(|w| w[0].value() > w[1].value()));
    }

    #[test]
    fn too_few_primes_is_an_error_that_names_the_request() {
        let error = ntt_primes(20, 5, 1 << 18, &[]).unwrap_err();
        assert_eq!(error, Error::NotEnoughPrimes { bits: 20, count: 5, order: 1 << 18 });
        assert!(ntt_primes(51, 1, 2, &[]).is_err());
    }
}
