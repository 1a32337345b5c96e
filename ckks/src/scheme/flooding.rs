//! Noise flooding: decrypted values, hidden under Gaussian noise before they leave the key holder (Li-Micciancio 2020/1533).
//!
//! How much noise is enough depends on the circuit; whoever plans it knows (2022/816: a multiple of the largest error).

use rand_distr::{Distribution, StandardNormal};

use crate::ring::Entropy;

/// Sums are rounded to a power of two this many binary places below the noise.
const GRID_BITS: i32 = 20;

impl Entropy {
    /// values_i ← values_i + σ g_i with independent standard Gaussians g_i, to a multiple of about 2^−20 σ: the last bits of
    /// a sum of doubles would show the summands.
    pub fn flood(&mut self, values: &mut [f64], sigma: f64) {
        let grid = f64::from(sigma.log2().floor() as i32 - GRID_BITS).exp2();
        for value in values {
            let gaussian: f64 = StandardNormal.sample(self.secrets());
            *value = ((*value + sigma * gaussian) / grid).round() * grid;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_noise_has_the_deviation_asked_for_and_leaves_no_low_bits() {
        let mut entropy = Entropy::insecure_from_seed(1);
        for sigma in [3e-5, 1.0, 1234.5] {
            let count = 40_000;
            let mut values = vec![0.1; count];
            entropy.flood(&mut values, sigma);
            let mean = values.iter().sum::<f64>() / count as f64;
            let variance = values.iter().map(|v| (v - 0.1).powi(2)).sum::<f64>() / count as f64;
            // Five deviations of the mean and of the variance of so many samples.
            assert!((mean - 0.1).abs() < 5.0 * sigma / (count as f64).sqrt(), "{mean}");
            assert!((variance / sigma.powi(2) - 1.0).abs() < 5.0 * (2.0 / count as f64).sqrt(), "{variance}");
            let grid = 2f64.powi(sigma.log2().floor() as i32 - GRID_BITS);
            assert!(values.iter().all(|v| (v / grid).fract() == 0.0));
        }
    }
}
