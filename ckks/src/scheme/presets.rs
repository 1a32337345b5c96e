//! Named parameter sets, each within the security table; a test holds them to it.

use crate::arith::RingKind;

use super::params::ParamsSpec;

/// A named parameter set: sizes in bits, for either ring.
#[derive(Debug, Clone, Copy)]
pub struct Preset {
    /// Its name.
    pub name: &'static str,
    /// log2 of the degree.
    pub log_n: u32,
    /// Size of the base prime.
    pub base_bits: u32,
    /// Number of further primes, one a step.
    pub steps: usize,
    /// Size of each of them.
    pub step_bits: u32,
    /// Number of special primes, of 50 bits each.
    pub special: usize,
    /// Number of digits of key switching.
    pub dnum: usize,
}

impl Preset {
    /// The specification of this preset in a ring.
    pub fn spec(&self, ring: RingKind) -> ParamsSpec {
        let mut chain = vec![vec![self.base_bits]];
        chain.resize(1 + self.steps, vec![self.step_bits]);
        ParamsSpec { ring, log_n: self.log_n, chain, special: vec![50; self.special], dnum: self.dnum }
    }
}

/// All presets. `p13` to `p16` are the sets on which libraries are compared; the others serve the planner.
pub const PRESETS: [Preset; 5] = [
    Preset { name: "p12", log_n: 12, base_bits: 50, steps: 0, step_bits: 0, special: 1, dnum: 1 },
    Preset { name: "p13", log_n: 13, base_bits: 50, steps: 2, step_bits: 40, special: 1, dnum: 3 },
    Preset { name: "p14", log_n: 14, base_bits: 50, steps: 7, step_bits: 45, special: 1, dnum: 8 },
    Preset { name: "p15", log_n: 15, base_bits: 50, steps: 12, step_bits: 45, special: 5, dnum: 3 },
    Preset { name: "p16", log_n: 16, base_bits: 50, steps: 26, step_bits: 50, special: 7, dnum: 4 },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_is_within_the_security_table_in_both_rings() {
        for preset in PRESETS {
            for ring in [RingKind::Standard, RingKind::ConjugateInvariant] {
                let params = preset.spec(ring).build().unwrap();
                assert_eq!(params.max_level(), preset.steps, "{}", preset.name);
            }
        }
    }
}
