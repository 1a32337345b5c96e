//! Noise flooding: decrypted values, hidden under Gaussian noise before they leave the key holder (Li-Micciancio 2020/1533).
//!
//! How much noise is enough depends on the circuit; whoever plans it knows (2022/816: a multiple of the largest error).

use rand_distr::{Distribution, StandardNormal};

use crate::error::{Error, Result};
use crate::ring::Entropy;

/// Sums are rounded to a power of two this many binary places below the noise.
const GRID_BITS: f64 = 20.0;

impl Entropy {
    /// values_i ← values_i + σ g_i with independent standard Gaussians g_i, to a multiple of about 2^−20 σ: the last bits of
    /// a sum of doubles would show the summands.
    ///
    /// # Errors
    /// [`Error::InvalidNoise`] unless σ is positive and finite, and far above the smallest double. Values are as they were then.
    pub fn flood(&mut self, values: &mut [f64], sigma: f64) -> Result<()> {
        let grid = (sigma.log2().floor() - GRID_BITS).exp2();
        if !grid.is_normal() {
            return Err(Error::InvalidNoise { sigma });
        }
        for value in values {
            let gaussian: f64 = StandardNormal.sample(self.secrets());
            *value = ((*value + sigma * gaussian) / grid).round() * grid;
        }
        Ok(())
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
            entropy.flood(&mut values, sigma).unwrap();
            let mean = values.iter().sum::<f64>() / count as f64;
            let variance = values.iter().map(|v| (v - 0.1).powi(2)).sum::<f64>() / count as f64;
            // Five deviations of the mean and of the variance of so many samples.
            assert!((mean - 0.1).abs() < 5.0 * sigma / (count as f64).sqrt(), "{mean}");
            assert!((variance / sigma.powi(2) - 1.0).abs() < 5.0 * (2.0 / count as f64).sqrt(), "{variance}");
            let grid = (sigma.log2().floor() - GRID_BITS).exp2();
            assert!(values.iter().all(|v| (v / grid).fract() == 0.0));
        }
    }

    #[test]
    fn noise_that_would_be_none_is_refused() {
        for sigma in [0.0, -1.0, f64::MIN_POSITIVE, f64::INFINITY, f64::NAN] {
            let mut values = [0.5];
            let refused = Entropy::insecure_from_seed(1).flood(&mut values, sigma);
            assert!(matches!(refused, Err(Error::InvalidNoise { .. })) && values == [0.5], "{sigma}");
        }
    }
}
