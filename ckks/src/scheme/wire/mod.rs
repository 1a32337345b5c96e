//! Keys and ciphertexts as bytes: residues packed at the width of their primes, a seed in place of each uniform half.
//!
//! Numbers are little-endian; `docs/wire-format.md` has every byte. An object does not say which parameters it belongs to:
//! whoever stores it does, and the reader brings them. Readers trust nothing else: a residue is below its prime, a count what
//! the parameters or the caller say, and memory is taken for what these say, never for what the bytes do. They read an object
//! and not a byte more.

mod pack;
#[cfg(test)]
mod tests;

use std::io::{self, Read, Write};

use zeroize::Zeroizing;

use crate::error::Error;
use crate::ring::{Basis, Ntt, Poly, Seed};

use super::ciphertext::{Ciphertext, SeededCiphertext};
use super::keygen::KeyRequest;
use super::keys::{EvaluationKeys, KeySeed, KeyShape, PublicKey, SecretKey, SeededSwitchingKey, SwitchingKey};
use super::params::Params;
use super::scale::Scale;

use pack::{pack, packed_len, unpack};

/// Result of a reader.
pub type WireResult<T> = std::result::Result<T, WireError>;

/// Why bytes are not the object that was looked for.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The source failed, or ended early.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A residue that is not reduced.
    #[error("{object}: a residue of {residue} modulo {modulus}; the bytes are damaged or belong to other parameters")]
    Residue {
        /// What was read.
        object: &'static str,
        /// The number found.
        residue: u64,
        /// The prime that it must be below.
        modulus: u64,
    },
    /// A number that the object cannot have.
    #[error("{object}: {what} is {found}, and must be {expected}; the bytes are damaged or belong to other parameters")]
    Number {
        /// What was read.
        object: &'static str,
        /// Which of its numbers.
        what: &'static str,
        /// The number found.
        found: u64,
        /// What it must be.
        expected: String,
    },
    /// A scale that is none, or parameters that lack what is read.
    #[error(transparent)]
    Scheme(#[from] Error),
}

/// A source with the name of what is read from it.
struct Source<'a> {
    object: &'static str,
    bytes: &'a mut dyn Read,
    /// The packed limb under way.
    limb: Zeroizing<Vec<u8>>,
}

impl<'a> Source<'a> {
    fn new(object: &'static str, bytes: &'a mut dyn Read) -> Self {
        Self { object, bytes, limb: Zeroizing::new(Vec::new()) }
    }

    fn array<const LEN: usize>(&mut self) -> WireResult<[u8; LEN]> {
        let mut array = [0; LEN];
        self.bytes.read_exact(&mut array)?;
        Ok(array)
    }

    fn u64(&mut self) -> WireResult<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn seed(&mut self) -> WireResult<Seed> {
        Ok(Seed(self.array()?))
    }

    fn scale(&mut self) -> WireResult<Scale> {
        let (hi, lo) = (f64::from_le_bytes(self.array()?), f64::from_le_bytes(self.array()?));
        Ok(Scale::from_parts(hi, lo)?)
    }

    /// A level, as the number of limbs that it has: one that is the end of a step.
    fn level(&mut self, params: &Params) -> WireResult<usize> {
        let limbs = usize::from(u16::from_le_bytes(self.array()?));
        let level = params.level_of(limbs);
        match params.limbs(level) {
            Ok(whole) if whole == limbs => Ok(level),
            _ => Err(self.number("the number of limbs", limbs as u64, "that of a level of the chain".into())),
        }
    }

    fn number(&self, what: &'static str, found: u64, expected: String) -> WireError {
        WireError::Number { object: self.object, what, found, expected }
    }

    /// One limb modulo a prime of `width` bits, every word below `modulus`.
    fn limb(&mut self, modulus: u64, width: u32, words: &mut [u64]) -> WireResult<()> {
        let len = packed_len(words.len(), width);
        self.limb.resize(len + 8, 0);
        self.bytes.read_exact(&mut self.limb[..len])?;
        unpack(&self.limb, width, words);
        match words.iter().find(|&&word| word >= modulus) {
            None => Ok(()),
            Some(&residue) => Err(WireError::Residue { object: self.object, residue, modulus }),
        }
    }

    fn poly(&mut self, params: &Params, basis: Basis) -> WireResult<Poly<Ntt>> {
        let ring = params.ring();
        let mut poly = Poly::uninit(ring, basis);
        for (i, words) in poly.data_mut().chunks_mut(ring.stride()).enumerate() {
            let q = ring.modulus(basis, i);
            self.limb(q.value(), q.bits(), &mut words[..ring.n()])?;
        }
        Ok(poly)
    }

    /// The key of a Galois element (0: relinearisation).
    fn switching_key(&mut self, params: &Params, object: u64, level: usize) -> WireResult<SwitchingKey> {
        let found = self.u64()?;
        if found != object {
            return Err(self.number("a Galois element (0: relinearisation)", found, object.to_string()));
        }
        let found = self.level(params)?;
        if found != level {
            return Err(self.number("the level of a key", found as u64, level.to_string()));
        }
        let source = KeySeed { seed: self.seed()?, object };
        let shape = KeyShape::new(params, level)?;
        let (ring, mut rows) = (params.ring(), shape.zero_rows(1));
        for (row, words) in rows.chunks_mut(ring.stride()).enumerate() {
            let q = ring.modulus(shape.basis, row / shape.digits);
            self.limb(q.value(), q.bits(), &mut words[..ring.n()])?;
        }
        Ok(SeededSwitchingKey { shape, source, rows }.expand())
    }
}

/// Writes limbs through one buffer.
struct Sink<'a> {
    bytes: &'a mut dyn Write,
    limb: Zeroizing<Vec<u8>>,
}

impl<'a> Sink<'a> {
    fn new(bytes: &'a mut dyn Write) -> Self {
        Self { bytes, limb: Zeroizing::new(Vec::new()) }
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.bytes.write_all(bytes)
    }

    fn level(&mut self, limbs: usize) -> io::Result<()> {
        // Parameters have at most 256 primes.
        self.put(&(limbs as u16).to_le_bytes())
    }

    fn scale(&mut self, scale: Scale) -> io::Result<()> {
        let (hi, lo) = scale.parts();
        self.put(&hi.to_le_bytes())?;
        self.put(&lo.to_le_bytes())
    }

    fn limb(&mut self, words: &[u64], width: u32) -> io::Result<()> {
        self.limb.clear();
        pack(words, width, &mut self.limb);
        self.bytes.write_all(&self.limb)
    }

    fn poly(&mut self, poly: &Poly<Ntt>) -> io::Result<()> {
        let (ring, basis) = (poly.ring(), poly.basis());
        (0..basis.limbs()).try_for_each(|i| self.limb(poly.limb(i), ring.modulus(basis, i).bits()))
    }
}

/// Width of a ternary coefficient: 0, 1, and 2 for −1.
const TERNARY_BITS: u32 = 2;

/// Writes the secret: N coefficients of two bits.
///
/// # Errors
/// Those of `to`.
pub fn write_secret_key(key: &SecretKey, to: &mut dyn Write) -> io::Result<()> {
    let ring = key.params.ring();
    let mut limb = Zeroizing::new(key.s.limb(0).to_vec());
    ring.tables()[0].inverse(&mut limb);
    // 0, 1 and q − 1 become 0, 1 and 2.
    limb.iter_mut().for_each(|word| *word = u64::from(*word != 0) + u64::from(*word > 1));
    Sink::new(to).limb(&limb, TERNARY_BITS)
}

/// Reads a secret key of `params`.
///
/// # Errors
/// [`WireError::Io`]; [`WireError::Residue`] for a coefficient that is not ternary.
pub fn read_secret_key(params: &Params, from: &mut dyn Read) -> WireResult<SecretKey> {
    let n = params.ring().n();
    let mut words = Zeroizing::new(vec![0; n]);
    Source::new("the secret key", from).limb(3, TERNARY_BITS, &mut words)?;
    // 0, 1 and 2 become 0, 1 and −1.
    let coefficients = Zeroizing::new(words.iter().map(|&word| word as i8 - 3 * (word as i8 >> 1)).collect::<Vec<_>>());
    Ok(SecretKey::from_coefficients(params, &coefficients))
}

/// Writes the seed of a, and b.
///
/// # Errors
/// Those of `to`.
pub fn write_public_key(key: &PublicKey, to: &mut dyn Write) -> io::Result<()> {
    let mut sink = Sink::new(to);
    sink.put(&key.seed.0)?;
    sink.poly(&key.b)
}

/// Reads a public key of `params`.
///
/// # Errors
/// [`WireError::Io`], [`WireError::Residue`].
pub fn read_public_key(params: &Params, from: &mut dyn Read) -> WireResult<PublicKey> {
    let mut source = Source::new("the public key", from);
    let seed = source.seed()?;
    let b = source.poly(params, Basis { q: params.ring().full_basis().q, p: 0 })?;
    Ok(PublicKey::new(params, seed, b))
}

/// Writes each key: its Galois element (0: relinearisation), its limbs, the seed of the a_i, and the b_i, limb by limb and
/// digit by digit.
///
/// # Errors
/// Those of `to`.
pub fn write_evaluation_keys(keys: &EvaluationKeys, to: &mut dyn Write) -> io::Result<()> {
    let mut sink = Sink::new(to);
    for key in keys.iter() {
        let KeyShape { ref params, basis, digits } = key.shape;
        sink.put(&key.source.object.to_le_bytes())?;
        sink.level(basis.q)?;
        sink.put(&key.source.seed.0)?;
        let ring = params.ring();
        for (row, pair) in key.rows.chunks(2 * ring.stride()).enumerate() {
            sink.limb(&pair[..ring.n()], ring.modulus(basis, row / digits).bits())?;
        }
    }
    Ok(())
}

/// Reads evaluation keys of `params`, which must be those of `request`.
///
/// # Errors
/// [`WireError::Io`], [`WireError::Residue`]; [`WireError::Number`] for other keys or levels than requested;
/// [`WireError::Scheme`] for a request that the parameters do not have.
pub fn read_evaluation_keys(params: &Params, request: &KeyRequest, from: &mut dyn Read) -> WireResult<EvaluationKeys> {
    request.check(params)?;
    let mut source = Source::new("the evaluation keys", from);
    let relinearization = request.relinearization.map(|level| source.switching_key(params, 0, level)).transpose()?;
    let galois = request.galois.iter().map(|(&g, &level)| Ok((g, source.switching_key(params, g, level)?)));
    let galois = galois.collect::<WireResult<_>>()?;
    Ok(EvaluationKeys { params: params.clone(), relinearization, galois })
}

/// Writes limbs, scale, degree, and the parts one after another. A noise estimate stays behind.
///
/// # Errors
/// Those of `to`.
pub fn write_ciphertext(ciphertext: &Ciphertext, to: &mut dyn Write) -> io::Result<()> {
    let mut sink = Sink::new(to);
    sink.level(ciphertext.limbs())?;
    sink.scale(ciphertext.scale)?;
    sink.put(&[ciphertext.degree() as u8])?;
    ciphertext.parts.iter().try_for_each(|part| sink.poly(part))
}

/// Reads a ciphertext of `params`.
///
/// # Errors
/// [`WireError::Io`], [`WireError::Residue`]; [`WireError::Number`] for limbs that are no level's and degrees other than 1
/// and 2; [`WireError::Scheme`] for a scale that is none.
pub fn read_ciphertext(params: &Params, from: &mut dyn Read) -> WireResult<Ciphertext> {
    let mut source = Source::new("a ciphertext", from);
    let basis = params.basis(source.level(params)?)?;
    let scale = source.scale()?;
    let [degree] = source.array()?;
    if !(1..=2).contains(&degree) {
        return Err(source.number("its degree", degree.into(), "1 or 2".into()));
    }
    let parts = (0..=degree).map(|_| source.poly(params, basis)).collect::<WireResult<_>>()?;
    Ok(Ciphertext { params: params.clone(), parts, scale, estimate: None })
}

/// Writes limbs, scale, seed, the number of the polynomial of the seed, and c_0. A noise estimate stays behind.
///
/// # Errors
/// Those of `to`.
pub fn write_seeded_ciphertext(ciphertext: &SeededCiphertext, to: &mut dyn Write) -> io::Result<()> {
    let mut sink = Sink::new(to);
    sink.level(ciphertext.c0.basis().q)?;
    sink.scale(ciphertext.scale)?;
    sink.put(&ciphertext.seed.0)?;
    sink.put(&ciphertext.object.to_le_bytes())?;
    sink.poly(&ciphertext.c0)
}

/// Reads a seeded ciphertext of `params`.
///
/// # Errors
/// As [`read_ciphertext`].
pub fn read_seeded_ciphertext(params: &Params, from: &mut dyn Read) -> WireResult<SeededCiphertext> {
    let mut source = Source::new("a seeded ciphertext", from);
    let basis = params.basis(source.level(params)?)?;
    let (scale, seed, object) = (source.scale()?, source.seed()?, source.u64()?);
    if object >> OBJECT_BITS != 0 {
        return Err(source.number("the number of its polynomial", object, format!("below 2^{OBJECT_BITS}")));
    }
    let c0 = source.poly(params, basis)?;
    Ok(SeededCiphertext { params: params.clone(), c0, seed, object, scale, estimate: None })
}

/// A stream of a seed is named by its object and 16 bits for the limb.
const OBJECT_BITS: u32 = 48;
