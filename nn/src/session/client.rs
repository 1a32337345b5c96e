//! The data owner: keys, encryption and decryption.

use ckks::{
    Ciphertext, Decryptor, Encoder, Encryptor, Entropy, EvaluationKeys, KeyGenerator, PublicKey, SecretKey,
    SeededCiphertext,
};
use rayon::prelude::*;

use crate::error::Result;
use crate::plan::ClientPlan;

/// A data owner with a secret key for one plan.
pub struct Client {
    plan: ClientPlan,
    secret: SecretKey,
    encoder: Encoder,
    entropy: Entropy,
}

/// What a data owner gives away.
pub struct PublicKeys {
    /// For whoever encrypts on the owner's behalf.
    pub encryption: PublicKey,
    /// For the server: exactly the keys that the plan asks for.
    pub evaluation: EvaluationKeys,
}

impl Client {
    /// Generates a secret key and the public keys of the plan, on the threads of the current rayon pool.
    ///
    /// # Errors
    /// [`Error::Ckks`](crate::Error::Ckks) for a plan whose keys its parameters do not have.
    pub fn generate(plan: &ClientPlan, mut entropy: Entropy) -> Result<(Self, PublicKeys)> {
        let mut generator = KeyGenerator::new(&plan.params, &mut entropy);
        let secret = generator.secret_key();
        let encryption = generator.public_key(&secret)?;
        let evaluation = generator.evaluation_keys(&secret, &plan.keys)?;
        let encoder = Encoder::new(&plan.params);
        Ok((Self { plan: plan.clone(), secret, encoder, entropy }, PublicKeys { encryption, evaluation }))
    }

    /// Encrypts one chunk of [n, features] values, n at most the plan's interleave, under the secret key: level, scale and
    /// layout are the plan's. Every ciphertext has a fresh seed.
    ///
    /// # Errors
    /// [`Error::Program`](crate::Error::Program) for values that are no whole number of samples, or of too many;
    /// [`Error::Ckks`](crate::Error::Ckks) for values that overflow the scale.
    pub fn encrypt(&mut self, samples: &[f64]) -> Result<Vec<SeededCiphertext>> {
        let input = &self.plan.input;
        let packed = input.layout.pack(samples)?;
        let jobs: Vec<_> = packed.into_iter().map(|slots| (slots, self.entropy.fork())).collect();
        let encrypt = |(slots, entropy): (Vec<f64>, Entropy)| {
            let plaintext = self.encoder.encode(&slots, input.scale, input.level)?;
            Ok(Encryptor::new(&self.secret, entropy).encrypt_seeded(&plaintext)?)
        };
        jobs.into_par_iter().map(encrypt).collect()
    }

    /// Decrypts the results of a chunk of `samples` samples: [samples, results] values.
    ///
    /// # Errors
    /// [`Error::Ckks`](crate::Error::Ckks) for ciphertexts of other parameters, [`Error::Program`](crate::Error::Program) for
    /// another number of them.
    pub fn decrypt(&self, output: &[Ciphertext], samples: usize) -> Result<Vec<f64>> {
        let decryptor = Decryptor::new(&self.secret);
        let slots = |ciphertext: &Ciphertext| self.encoder.decode(&decryptor.decrypt(ciphertext)?);
        let packed = output.par_iter().map(slots).collect::<ckks::Result<Vec<_>>>()?;
        Ok(self.plan.output.layout.unpack(&packed, samples)?)
    }
}
