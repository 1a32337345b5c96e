//! The data owner: keys, encryption and decryption.

use std::io::{self, Read, Write};
use std::sync::Arc;

use ckks::{
    Ciphertext, Decryptor, Encoder, Encryptor, Entropy, EvaluationKeys, KeyGenerator, Params, Plaintext, PublicKey,
    SecretKey, wire,
};
use rayon::prelude::*;

use super::chunk::{BatchId, Ciphertexts, Marks};
use super::frame::{Header, Kind, Payload, write_frame};
use super::plan_file::PlanFile;
use super::{FileError, SessionError};
use crate::error::Result;
use crate::fingerprint::Fingerprint;

/// The data owner, who encrypts and decrypts.
pub type Client = Party<SecretKey>;

/// One who encrypts on the data owner's behalf, and cannot decrypt.
pub type Contributor = Party<PublicKey>;

/// One who encrypts samples for one plan with one key.
pub struct Party<Key> {
    plan: Arc<PlanFile>,
    key: Key,
    keys: Fingerprint,
    encoder: Encoder,
    entropy: Entropy,
}

/// A plaintext, and what it is encrypted with.
pub type Randomized = (Plaintext, Entropy);

/// A key to encrypt with: `SecretKey` or `PublicKey`.
pub trait EncryptionKey: Sized + Sync {
    /// What its file holds.
    const KIND: Kind;

    /// Reads it.
    ///
    /// # Errors
    /// As [`wire::read_secret_key`] and [`wire::read_public_key`].
    fn read(params: &Params, from: &mut dyn Read) -> wire::WireResult<Self>;

    /// The fingerprint of its pair, if it shows.
    fn fingerprint(&self) -> Option<Fingerprint>;

    /// Encrypts each plaintext with randomness of its own, on the threads of the current rayon pool.
    ///
    /// # Errors
    /// [`ckks::Error::ParamsMismatch`], and those of the plaintexts.
    fn encrypt(&self, plaintexts: impl ParallelIterator<Item = ckks::Result<Randomized>>) -> ckks::Result<Ciphertexts>;
}

impl EncryptionKey for SecretKey {
    const KIND: Kind = Kind::SecretKey;

    fn read(params: &Params, from: &mut dyn Read) -> wire::WireResult<Self> {
        wire::read_secret_key(params, from)
    }

    fn fingerprint(&self) -> Option<Fingerprint> {
        None
    }

    fn encrypt(&self, plaintexts: impl ParallelIterator<Item = ckks::Result<Randomized>>) -> ckks::Result<Ciphertexts> {
        let encrypt = |plaintext: ckks::Result<Randomized>| {
            let (plaintext, entropy) = plaintext?;
            Encryptor::new(self, entropy).encrypt_seeded(&plaintext)
        };
        plaintexts.map(encrypt).collect::<ckks::Result<_>>().map(Ciphertexts::Seeded)
    }
}

impl EncryptionKey for PublicKey {
    const KIND: Kind = Kind::PublicKey;

    fn read(params: &Params, from: &mut dyn Read) -> wire::WireResult<Self> {
        wire::read_public_key(params, from)
    }

    fn fingerprint(&self) -> Option<Fingerprint> {
        let mut bytes = Vec::with_capacity(self.packed_bytes());
        // Writing to memory does not fail.
        wire::write_public_key(self, &mut bytes).ok().map(|()| Fingerprint::of([&bytes[..]]))
    }

    fn encrypt(&self, plaintexts: impl ParallelIterator<Item = ckks::Result<Randomized>>) -> ckks::Result<Ciphertexts> {
        let encrypt = |plaintext: ckks::Result<Randomized>| {
            let (plaintext, entropy) = plaintext?;
            Encryptor::new(self, entropy).encrypt(&plaintext)
        };
        plaintexts.map(encrypt).collect::<ckks::Result<_>>().map(Ciphertexts::Whole)
    }
}

impl<Key: EncryptionKey> Party<Key> {
    fn new(plan: &Arc<PlanFile>, key: Key, keys: Fingerprint, entropy: Entropy) -> Self {
        let encoder = Encoder::new(&plan.plan().params);
        Self { plan: Arc::clone(plan), key, keys, encoder, entropy }
    }

    /// Reads a key that belongs to `plan`.
    ///
    /// # Errors
    /// [`FileError`]: all of a frame's, a key that cannot be or is not the one that its fingerprint names, and a system
    /// without randomness.
    pub fn read(plan: &Arc<PlanFile>, from: &mut dyn Read) -> Result<Self, FileError> {
        let (key, keys) = read_key(plan, Key::KIND, from, Key::read)?;
        if let Some(found) = key.fingerprint()
            && found != keys
        {
            return Err(FileError::OtherKeys { found, expected: keys });
        }
        let entropy = Entropy::from_os().map_err(wire::WireError::from)?;
        Ok(Self::new(plan, key, keys, entropy))
    }

    /// The plan.
    pub fn plan(&self) -> &Arc<PlanFile> {
        &self.plan
    }

    /// What chunks of samples are marked with.
    pub fn input_marks(&self) -> Marks {
        Marks { kind: Kind::Input, plan: self.plan.fingerprint(), keys: self.keys }
    }

    /// A random number for a batch.
    pub fn batch_id(&mut self) -> BatchId {
        BatchId(self.entropy.public_bytes())
    }

    /// Refuses samples whose largest absolute value is far beyond the plan, or beyond it at all where the noise on results is measured by it.
    ///
    /// # Errors
    /// [`SessionError::BeyondPlan`].
    pub(super) fn expect_within_plan(&self, found: f64) -> Result<()> {
        let plan = self.plan.plan();
        match found > plan.largest_input() {
            true => Err(SessionError::BeyondPlan { found, planned: plan.input.magnitude }.into()),
            false => Ok(()),
        }
    }

    /// Encrypts one chunk of [n, features] values, n at most the plan's interleave: level, scale and layout are the plan's.
    ///
    /// # Errors
    /// [`SessionError::BeyondPlan`] for a value larger than planned; [`Layout`](crate::error::Error::Layout) for values that are no
    /// whole number of samples, or of too many.
    pub fn encrypt(&mut self, samples: &[f64]) -> Result<Ciphertexts> {
        let input = &self.plan.plan().input;
        self.expect_within_plan(samples.iter().fold(0.0, |largest, x| largest.max(x.abs())))?;
        let packed = input.layout.pack(samples)?;
        let jobs: Vec<_> = packed.into_iter().map(|slots| (slots, self.entropy.fork())).collect();
        let encode = |(slots, entropy): (Vec<f64>, Entropy)| {
            self.encoder.encode(&slots, input.scale, input.level).map(|plaintext| (plaintext, entropy))
        };
        // One after the other on each thread: a plaintext is encrypted while it is in the cache, and the next one takes its place.
        Ok(self.key.encrypt(jobs.into_par_iter().map(encode))?)
    }
}

impl Client {
    /// Generates a secret key and the public keys of the plan, on the threads of the current rayon pool.
    ///
    /// # Errors
    /// [`Ckks`](crate::error::Error::Ckks) for a plan whose keys its parameters do not have.
    pub fn generate(plan: &Arc<PlanFile>, mut entropy: Entropy) -> Result<(Self, PublicKeys)> {
        let mut generator = KeyGenerator::new(&plan.plan().params, &mut entropy);
        let secret = generator.secret_key();
        let encryption = generator.public_key(&secret)?;
        let evaluation = generator.evaluation_keys(&secret, &plan.plan().keys)?;
        let fingerprint = encryption.fingerprint().unwrap_or(Fingerprint::NONE);
        let client = Self::new(plan, secret, fingerprint, entropy);
        Ok((client, PublicKeys { encryption, evaluation, fingerprint }))
    }

    /// Writes the secret key.
    ///
    /// # Errors
    /// Those of `to`.
    pub fn write(&self, to: &mut dyn Write) -> io::Result<()> {
        let header = key_header(&self.plan, Kind::SecretKey, self.keys, self.key.packed_bytes());
        write_frame(&header, to, |to| wire::write_secret_key(&self.key, to))
    }

    /// What chunks of results are marked with.
    pub fn output_marks(&self) -> Marks {
        Marks { kind: Kind::Output, ..self.input_marks() }
    }

    /// Decrypts the results of a chunk of `samples` samples: [samples, results] values, flooded if the plan says so.
    ///
    /// # Errors
    /// [`Ckks`](crate::error::Error::Ckks) for ciphertexts of other parameters, [`Layout`](crate::error::Error::Layout) for another
    /// number of them.
    pub fn decrypt(&mut self, output: Ciphertexts, samples: usize) -> Result<Vec<f64>> {
        let decryptor = Decryptor::new(&self.key);
        let slots = |ciphertext: &Ciphertext| self.encoder.decode(&decryptor.decrypt(ciphertext)?);
        let packed = output.expand().par_iter().map(slots).collect::<ckks::Result<Vec<_>>>()?;
        let mut results = self.plan.plan().output.layout.unpack(&packed, samples)?;
        if let Some(flood) = &self.plan.plan().flood {
            self.entropy.flood(&mut results, flood.sigma())?;
        }
        Ok(results)
    }
}

/// What a data owner gives away.
pub struct PublicKeys {
    /// For whoever encrypts on the owner's behalf.
    pub encryption: PublicKey,
    /// For the server: exactly the keys that the plan asks for.
    pub evaluation: EvaluationKeys,
    /// What all keys of this pair, and what is encrypted with them, are marked with: SHA-256 of the public key on the wire.
    pub fingerprint: Fingerprint,
}

impl PublicKeys {
    /// Writes the public key.
    ///
    /// # Errors
    /// Those of `to`.
    pub fn write_encryption(&self, plan: &PlanFile, to: &mut dyn Write) -> io::Result<()> {
        let key = &self.encryption;
        let header = key_header(plan, Kind::PublicKey, self.fingerprint, key.packed_bytes());
        write_frame(&header, to, |to| wire::write_public_key(key, to))
    }

    /// Writes the evaluation keys.
    ///
    /// # Errors
    /// Those of `to`.
    pub fn write_evaluation(&self, plan: &PlanFile, to: &mut dyn Write) -> io::Result<()> {
        let keys = &self.evaluation;
        let header = key_header(plan, Kind::EvaluationKeys, self.fingerprint, keys.packed_bytes());
        write_frame(&header, to, |to| wire::write_evaluation_keys(keys, to))
    }
}

fn key_header(plan: &PlanFile, kind: Kind, keys: Fingerprint, bytes: usize) -> Header {
    Header { kind, plan: plan.fingerprint(), keys, length: bytes as u64 }
}

/// A key of `kind` that belongs to `plan`, with the fingerprint of its pair.
pub(super) fn read_key<Key>(
    plan: &PlanFile,
    kind: Kind,
    from: &mut dyn Read,
    read: impl FnOnce(&Params, &mut dyn Read) -> wire::WireResult<Key>,
) -> Result<(Key, Fingerprint), FileError> {
    let header = Header::read(from)?.expect_kind(kind)?.expect_plan(plan.fingerprint())?;
    let mut payload = Payload::new(&header, from);
    let key = read(&plan.plan().params, &mut payload)?;
    payload.finish()?;
    Ok((key, header.keys))
}
