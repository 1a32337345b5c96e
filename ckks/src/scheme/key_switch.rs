//! Hybrid key switching (Gentry-Halevi-Smart 2012/099; Han-Ki 2019/688): ModUp of the digits, inner product with the key in
//! the basis QP, ModDown by P.

use crate::ring::{Digits, Ntt, Poly};

use super::keys::SwitchingKey;

/// (b, a) in the basis QP: P times a key-switched polynomial, before ModDown.
pub(crate) struct Extended {
    b: Poly<Ntt>,
    a: Poly<Ntt>,
}

impl Extended {
    /// Σ_i digit_i (b_i, a_i).
    pub(crate) fn inner_product(digits: &Digits, key: &SwitchingKey) -> Self {
        let (b, a) = digits.dot(&key.rows, key.shape.basis, key.shape.digits);
        Self { b, a }
    }

    /// Adds P c_0 and P c_1, which a division by P leaves as c_0 and c_1.
    pub(crate) fn add_multiple_of_p(&mut self, c0: &Poly<Ntt>, c1: &Poly<Ntt>) {
        for (sum, part) in [(&mut self.b, c0), (&mut self.a, c1)] {
            let ring = sum.ring().clone();
            let backend = ring.backend();
            let limbs = part.basis().q;
            sum.each_limb(|i, q, limb| {
                if i < limbs {
                    backend.mul_scalar_add_assign(q, limb, part.limb(i), ring.special_product(i));
                }
            });
        }
    }

    /// ModDown to the first `keep` limbs: divides by P and by the ciphertext primes beyond them.
    pub(crate) fn divide_round(self, keep: usize) -> (Poly<Ntt>, Poly<Ntt>) {
        (self.b.divide_round(keep), self.a.divide_round(keep))
    }
}
