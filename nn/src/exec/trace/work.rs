//! How much operations do, in transforms of a limb; what else they do counts for round shares of one.
//!
//! So work says how an operation's time varies with limbs, digits and special primes; how long a unit of it takes is measured, on that very
//! operation at a shape nearby.

use ckks::Params;

/// What a limb takes of a conversion from one other limb, of a product with a key, and of a permutation. (Zen 4 with AVX-512 IFMA, November
/// 2026: 0.2 to 0.3 each in cache.)
const CONVERT: f64 = 0.2;
const SWITCH: f64 = 0.25;
const PERMUTE: f64 = 0.25;

/// Limbs and digits at one level.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Work {
    /// l.
    pub limbs: f64,
    /// k.
    pub special: f64,
    /// d.
    digits: f64,
    digit_limbs: f64,
    /// Limbs that a rescale drops.
    step: f64,
}

impl Work {
    /// At a level that the chain has.
    pub fn at(params: &Params, level: usize) -> Self {
        let limbs = super::limbs(params, level);
        Self {
            limbs: limbs as f64,
            special: params.ring().p().len() as f64,
            digits: params.digits(limbs as usize) as f64,
            digit_limbs: params.digit_limbs() as f64,
            step: params.step(level).count() as f64,
        }
    }

    /// Limbs in the basis QP.
    pub fn extended(&self) -> f64 {
        self.limbs + self.special
    }

    /// The decomposition of a ciphertext.
    pub fn hoist(&self) -> f64 {
        let converted = self.limbs * (self.extended() - self.digit_limbs).max(0.0);
        self.digits * self.extended() + CONVERT * converted
    }

    /// A rotation out of it in the basis QP.
    pub fn rotate(&self) -> f64 {
        2.0 * (SWITCH * self.digits + PERMUTE) * self.extended()
    }

    /// A rotation of a sum in the basis QP: a division of one part, and all of a rotation.
    pub fn giant(&self) -> f64 {
        divide(self.special, self.limbs) + self.hoist() + self.rotate()
    }

    /// A ModDown of both parts.
    pub fn mod_down(&self) -> f64 {
        2.0 * divide(self.special, self.limbs)
    }

    /// A relinearisation, or a rotation that shares nothing.
    pub fn relinearize(&self) -> f64 {
        self.hoist() + self.rotate() + self.mod_down()
    }

    /// A relinearisation with a rescale.
    pub fn relinearize_rescale(&self) -> f64 {
        self.hoist() + self.rotate() + 2.0 * divide(self.special + self.step, self.limbs - self.step)
    }

    /// A rescale of one part.
    pub fn rescale(&self) -> f64 {
        divide(self.step, self.limbs - self.step)
    }

    /// The limbs of an encoded plaintext, and its way to the basis QP.
    pub fn encoding(&self) -> f64 {
        2.0 * self.limbs + self.special + CONVERT * self.limbs * self.special
    }
}

/// round(x / D) for D of `dropped` limbs, one part.
fn divide(dropped: f64, kept: f64) -> f64 {
    dropped + kept + CONVERT * (dropped + 1.0) * kept
}
