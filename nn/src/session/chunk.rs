//! One chunk of a batch: the ciphertexts of up to b samples, or of their results.

use std::fmt;
use std::io::{self, Read, Write};
use std::str::FromStr;

use ckks::{Ciphertext, Params, SeededCiphertext, wire};
use rayon::prelude::*;

use super::FileError;
use super::frame::{Header, Kind, Payload, write_frame};
use super::plan_file::PlanFile;
use crate::fingerprint::Fingerprint;
use crate::program::Value;

/// A random number that every chunk of a batch carries.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct BatchId(pub [u8; 16]);

impl fmt::Display for BatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for BatchId {
    type Err = ();

    /// 32 hexadecimal digits, as a batch is displayed.
    fn from_str(text: &str) -> Result<Self, ()> {
        let hexadecimal = text.len() == 32 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
        let number = u128::from_str_radix(text, 16).ok().filter(|_| hexadecimal);
        number.map(|number| Self(number.to_be_bytes())).ok_or(())
    }
}

impl fmt::Debug for BatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Which part of which batch a chunk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// The batch.
    pub batch: BatchId,
    /// Number of the chunk, from 0.
    pub index: u32,
    /// Chunks of the batch.
    pub chunks: u32,
    /// Samples of this chunk.
    pub samples: u32,
}

impl Part {
    /// Reads which part a chunk is, at the head of its payload.
    ///
    /// # Errors
    /// [`FileError::Truncated`]; [`FileError::Content`] for a chunk beyond the last.
    pub fn read(from: &mut dyn Read) -> Result<Self, FileError> {
        let mut batch = [0; 16];
        from.read_exact(&mut batch)?;
        let (index, chunks, samples) = (u32(from)?, u32(from)?, u32(from)?);
        if index >= chunks || samples == 0 {
            let problem = format!("chunk {index} of {chunks} with {samples} samples cannot be");
            return Err(FileError::Content { problem });
        }
        Ok(Self { batch: BatchId(batch), index, chunks, samples })
    }

    fn write(&self, to: &mut dyn Write) -> io::Result<()> {
        to.write_all(&self.batch.0)?;
        [self.index, self.chunks, self.samples].into_iter().try_for_each(|number| to.write_all(&number.to_le_bytes()))
    }
}

/// The ciphertexts of a chunk.
#[derive(Debug, Clone)]
pub enum Ciphertexts {
    /// Encrypted under the secret key, uniform halves as seeds.
    Seeded(Vec<SeededCiphertext>),
    /// Encrypted under the public key, or results.
    Whole(Vec<Ciphertext>),
}

/// Bytes before the ciphertexts: the part, the form, and their number.
pub(super) const HEAD: usize = 16 + 3 * size_of::<u32>() + size_of::<u8>() + size_of::<u32>();

impl Ciphertexts {
    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Seeded(ciphertexts) => ciphertexts.len(),
            Self::Whole(ciphertexts) => ciphertexts.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whole ciphertexts, seeds expanded on the threads of the current rayon pool.
    pub fn expand(self) -> Vec<Ciphertext> {
        match self {
            Self::Seeded(seeded) => seeded.into_par_iter().map(SeededCiphertext::into_expanded).collect(),
            Self::Whole(ciphertexts) => ciphertexts,
        }
    }

    /// Bytes of the payload of their chunk.
    pub fn packed_bytes(&self) -> usize {
        let ciphertexts: usize = match self {
            Self::Seeded(ciphertexts) => ciphertexts.iter().map(SeededCiphertext::packed_bytes).sum(),
            Self::Whole(ciphertexts) => ciphertexts.iter().map(Ciphertext::packed_bytes).sum(),
        };
        HEAD + ciphertexts
    }

    fn write(&self, to: &mut dyn Write) -> io::Result<()> {
        to.write_all(&[matches!(self, Self::Whole(_)).into()])?;
        let count = u32::try_from(self.len()).map_err(io::Error::other)?;
        to.write_all(&count.to_le_bytes())?;
        match self {
            Self::Seeded(ciphertexts) => ciphertexts.iter().try_for_each(|c| wire::write_seeded_ciphertext(c, to)),
            Self::Whole(ciphertexts) => ciphertexts.iter().try_for_each(|c| wire::write_ciphertext(c, to)),
        }
    }

    /// Reads as many as `planned` has, each at its level and scale.
    fn read(params: &Params, planned: &Value, from: &mut dyn Read) -> Result<Self, FileError> {
        let mut form = [0];
        from.read_exact(&mut form)?;
        let (count, expected) = (u32(from)? as usize, planned.layout.ciphertexts());
        let fits = |level, degree, scale| match (level, degree, scale) == (planned.level, 1, planned.scale) {
            true => Ok(()),
            false => Err(FileError::Content {
                problem: format!(
                    "it has a ciphertext of level {level}, degree {degree} and scale {scale}, and the plan asks for level {}, degree 1 and scale {}",
                    planned.level, planned.scale
                ),
            }),
        };
        if count != expected {
            let problem = format!("it has {count} ciphertexts, and the plan asks for {expected}");
            return Err(FileError::Content { problem });
        }
        match form {
            [0] => {
                let mut one = || {
                    let c = wire::read_seeded_ciphertext(params, from)?;
                    fits(c.level(), 1, c.scale()).map(|()| c)
                };
                (0..count).map(|_| one()).collect::<Result<_, FileError>>().map(Self::Seeded)
            }
            [1] => {
                let mut one = || {
                    let c = wire::read_ciphertext(params, from)?;
                    fits(c.level(), c.degree(), c.scale()).map(|()| c)
                };
                (0..count).map(|_| one()).collect::<Result<_, FileError>>().map(Self::Whole)
            }
            [form] => Err(FileError::Content { problem: format!("ciphertexts of form {form} do not exist") }),
        }
    }
}

fn u32(from: &mut dyn Read) -> Result<u32, FileError> {
    let mut number = [0; 4];
    from.read_exact(&mut number)?;
    Ok(u32::from_le_bytes(number))
}

/// What every chunk of one batch belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marks {
    /// [`Kind::Input`] or [`Kind::Output`].
    pub kind: Kind,
    /// The plan.
    pub plan: Fingerprint,
    /// The pair of keys.
    pub keys: Fingerprint,
}

/// Writes a chunk.
///
/// # Errors
/// Those of `to`.
pub fn write_chunk(marks: Marks, part: &Part, ciphertexts: &Ciphertexts, to: &mut dyn Write) -> io::Result<()> {
    let Marks { kind, plan, keys } = marks;
    let header = Header { kind, plan, keys, length: ciphertexts.packed_bytes() as u64 };
    write_frame(&header, to, |to| {
        part.write(to)?;
        ciphertexts.write(to)
    })
}

/// Reads a chunk of `kind` that was made with `plan` and the pair of keys `keys`.
///
/// # Errors
/// Those of [`Header::read`], [`Part::read`] and [`Payload::finish`]; [`FileError::OtherKind`], [`FileError::OtherPlan`],
/// [`FileError::OtherKeys`]; [`FileError::Content`] for ciphertexts of another number, level or scale than planned;
/// [`FileError::Wire`].
pub fn read_chunk(
    plan: &PlanFile,
    kind: Kind,
    keys: Fingerprint,
    from: &mut dyn Read,
) -> Result<(Part, Ciphertexts), FileError> {
    let header = Header::read(from)?.expect_kind(kind)?.expect_plan(plan.fingerprint())?.expect_keys(keys)?;
    let mut payload = Payload::new(&header, from);
    let part = Part::read(&mut payload)?;
    if part.samples as usize > plan.plan().interleave() {
        let problem = format!("it has {} samples, and the plan at most {}", part.samples, plan.plan().interleave());
        return Err(FileError::Content { problem });
    }
    let planned = match kind {
        Kind::Input => &plan.plan().input,
        _ => &plan.plan().output,
    };
    let ciphertexts = Ciphertexts::read(&plan.plan().params, planned, &mut payload)?;
    payload.finish()?;
    Ok((part, ciphertexts))
}
