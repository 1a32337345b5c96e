//! The Galois group: X → X^g permutes the evaluation points, hence the positions of the NTT form.
//!
//! Position i holds the value at ψ^e with e = 1 + c·bitrev(i) (see [`crate::NttTable`]), and (σ_g a)(ψ^e) = a(ψ^(e g)).
//! Slot k of a plaintext is the value at the exponent 5^k, so that g = 5^k rotates left by k.

use crate::arith::RingKind;
use crate::arith::bit_reverse;

/// Output position i takes from input position `sources[i]`.
pub(crate) struct Permutation {
    pub(crate) sources: Vec<u32>,
}

impl Permutation {
    pub(crate) fn new(kind: RingKind, log_n: u32, galois_element: u64) -> Self {
        let c = kind.root_factor();
        let mask = (c << log_n) - 1;
        let source = |i: usize| {
            let exponent = ((1 + c * bit_reverse(i, log_n)) * galois_element as usize) & mask;
            bit_reverse((exponent - 1) / c, log_n) as u32
        };
        Self { sources: (0..1 << log_n).map(source).collect() }
    }
}

/// 5^k modulo c N for any integer k: the Galois element of a rotation to the left by k slots.
pub(crate) fn rotation_element(kind: RingKind, log_n: u32, k: i64) -> u64 {
    let slots = kind.slots(1 << log_n) as i64;
    let mask = ((kind.root_factor() as u64) << log_n) - 1;
    5u64.wrapping_pow(k.rem_euclid(slots) as u32) & mask
}
