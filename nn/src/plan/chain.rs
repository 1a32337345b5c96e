//! Chains: how many primes, of which widths, and how many of them special.

use std::collections::BTreeMap;

use ckks::{Params, ParamsSpec, RingKind, max_log_qp};

/// The widest prime; whoever has room for it takes it, since limbs cost by number, not by width.
const WIDEST: u32 = 50;
/// Narrower primes hold less than a scale.
const NARROWEST: u32 = 28;

/// Parameters of one ring and degree, kept by their shape.
pub(super) struct Chains {
    ring: RingKind,
    log_n: u32,
    made: BTreeMap<(usize, usize), Params>,
}

impl Chains {
    pub const WIDEST: u32 = WIDEST;

    pub fn new(ring: RingKind, log_n: u32) -> Self {
        Self { ring, log_n, made: BTreeMap::new() }
    }

    pub fn ring(&self) -> RingKind {
        self.ring
    }

    pub fn log_n(&self) -> u32 {
        self.log_n
    }

    /// Parameters with so many ciphertext and special primes, all as wide as security lets them be; none if that is too narrow.
    ///
    /// Where the bound leaves less than a bit for each prime, the base takes it: it holds the integer part of the results, too.
    pub fn params(&mut self, limbs: usize, special: usize) -> Option<Params> {
        let (width, base) = self.widths(limbs, special)?;
        if let Some(params) = self.made.get(&(limbs, special)) {
            return Some(params.clone());
        }
        let mut chain = vec![width; limbs];
        chain[0] = base;
        let mut specials = vec![width; special];
        specials[0] = base;
        let spec = ParamsSpec::new(self.ring, self.log_n, &chain, &specials);
        // Of a narrow width there may not be enough primes, or the special ones come out smaller than a digit.
        let params = spec.build().ok()?;
        self.made.insert((limbs, special), params.clone());
        Some(params)
    }

    /// Width of the primes, and of the base and one special prime.
    fn widths(&self, limbs: usize, special: usize) -> Option<(u32, u32)> {
        let bound = max_log_qp(self.log_n)? as u32;
        let primes = (limbs + special) as u32;
        let width = (bound / primes).min(WIDEST);
        let base = (width + (bound - width * primes) / 2).min(WIDEST);
        (width >= NARROWEST).then_some((width, base))
    }

    /// Limbs of the longest chain.
    pub fn longest(&self) -> usize {
        (1..).take_while(|&limbs| self.widths(limbs, 1).is_some()).last().unwrap_or(0)
    }

    /// Bits of a chain of so many limbs with one special prime.
    pub fn bits(&self, limbs: usize) -> u32 {
        self.widths(limbs, 1).map_or(0, |(width, _)| width * limbs as u32)
    }

    /// Numbers of special primes worth trying with so many limbs, beside one.
    pub fn specials(limbs: usize) -> Vec<usize> {
        let mut specials: Vec<usize> = (2..=3).chain([4, 3, 2, 1].map(|dnum| limbs.div_ceil(dnum))).collect();
        specials.sort_unstable();
        specials.dedup();
        specials.retain(|&special| (2..=limbs).contains(&special));
        specials
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn primes_are_as_wide_as_security_allows() {
        let mut chains = Chains::new(RingKind::ConjugateInvariant, 13);
        let bits = |params: &Params| -> Vec<u32> { params.ring().q().map(|q| q.bits()).collect() };
        let three = chains.params(3, 1).unwrap();
        assert_eq!(bits(&three), [50; 3]);
        let four = chains.params(4, 1).unwrap();
        assert_eq!(bits(&four), [44, 42, 42, 42]);
        assert!(four.log_qp() <= 214.0 && four.log_qp() > 212.0);
        assert_eq!(chains.params(7, 1), None);
        assert_eq!((chains.bits(3), chains.bits(4), chains.bits(7)), (150, 168, 0));
    }

    #[test]
    fn special_primes_leave_few_digits() {
        assert!(Chains::specials(1).is_empty());
        assert_eq!(Chains::specials(4), [2, 3, 4]);
        assert_eq!(Chains::specials(12), [2, 3, 4, 6, 12]);
    }
}
