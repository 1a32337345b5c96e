//! Operands: one parameter set with a key and two encrypted vectors.

use ckks::{
    Ciphertext, Decryptor, Encoder, Encryptor, Entropy, Estimate, Evaluator, KeyGenerator, Params, Plaintext, Scale,
    SecretKey,
};

use crate::{Error, Result};

/// Bits of the modulus that a product leaves free.
const HEADROOM_BITS: f64 = 4.0;

/// One parameter set with a key and two encrypted vectors, at the top level.
pub struct Setting {
    /// The parameters.
    pub params: Params,
    /// Randomness for what a case adds.
    pub entropy: Entropy,
    /// The key.
    pub secret: SecretKey,
    /// Its encoder.
    pub encoder: Encoder,
    /// Its evaluator.
    pub evaluator: Evaluator,
    /// The scale of all operands: the size of the top step, or as much as leaves room for a product.
    pub scale: Scale,
    /// Values in (−1, 1).
    pub x: Vec<f64>,
    /// Other values in (−1, 1).
    pub y: Vec<f64>,
    /// `y`, encoded.
    pub y_plain: Plaintext,
    /// `x`, encrypted.
    pub x_encrypted: Ciphertext,
    /// `y`, encrypted.
    pub y_encrypted: Ciphertext,
}

impl Setting {
    /// The operands for `params`.
    ///
    /// # Errors
    /// [`Error::Ckks`] when the system gives no randomness, or the chain is too short for a value at the scale.
    pub fn new(params: &Params) -> Result<Self> {
        let level = params.max_level();
        let step: f64 = params.step(level).map(|q| (q as f64).log2()).sum();
        let room = (params.log_q(level) - HEADROOM_BITS) / 2.0;
        let scale = Scale::power_of_two(step.round().min(room.floor()) as i32);
        let mut entropy = Entropy::from_os()?;
        let secret = KeyGenerator::new(params, &mut entropy).secret_key();
        let encoder = Encoder::new(params);
        let vector = |a: usize| (0..params.slots()).map(|i| ((i * a) % 1009) as f64 / 504.5 - 1.0).collect::<Vec<_>>();
        let (x, y) = (vector(7919), vector(104_729));
        let mut encryptor = Encryptor::new(&secret, entropy.fork());
        let mut encrypt = |values: &[f64]| -> Result<(Plaintext, Ciphertext)> {
            let plaintext = encoder.encode(values, scale, level)?;
            let ciphertext = encryptor.encrypt(&plaintext)?.with_estimate(encryptor.estimate(&plaintext, 1.0));
            Ok((plaintext, ciphertext))
        };
        let (_, x_encrypted) = encrypt(&x)?;
        let (y_plain, y_encrypted) = encrypt(&y)?;
        let evaluator = Evaluator::new(params);
        let params = params.clone();
        Ok(Self { params, entropy, secret, encoder, evaluator, scale, x, y, y_plain, x_encrypted, y_encrypted })
    }

    /// Decrypts `ciphertext`, of which slot i should hold `expected(i)`, and gives its precision in bits.
    ///
    /// # Errors
    /// [`Error::WrongSlots`] when the values, or the size of their errors, are not as its own estimate says.
    pub fn check(&self, op: &'static str, ciphertext: &Ciphertext, expected: impl Fn(usize) -> f64) -> Result<f64> {
        let estimate = ciphertext.estimate().unwrap_or(Estimate { message: 0.0, deviation: 0.0, bound: 0.0 });
        let values = self.encoder.decode(&Decryptor::new(&self.secret).decrypt(ciphertext)?)?;
        check_slots(op, &values, expected, estimate)
    }
}

/// Compares slots with what they should hold, and gives their precision in bits: −log2 of the largest absolute error.
///
/// # Errors
/// [`Error::WrongSlots`] when the values, or the size of their errors, are not as the estimate says.
pub fn check_slots(
    op: &'static str,
    values: &[f64],
    expected: impl Fn(usize) -> f64,
    estimate: Estimate,
) -> Result<f64> {
    let errors = values.iter().enumerate().map(|(i, value)| (value - expected(i)).abs());
    let (squares, largest) = errors.fold((0.0, 0.0), |(squares, largest): (f64, f64), error| {
        // A maximum would pass over a NaN; the sum does not.
        (squares + error * error, largest.max(error))
    });
    let found = (squares / values.len() as f64).sqrt();
    let expected = estimate.deviation;
    match found > expected / 12.0 && found < 2.0 * expected {
        true => Ok(-largest.log2()),
        false => Err(Error::WrongSlots { op, found, expected }),
    }
}
