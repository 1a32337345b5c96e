//! The frame around everything that is stored: what it is, what it belongs to, how long it is, and two checksums.
//!
//! `docs/wire-format.md` has every byte. Fingerprints (SHA-256) say what belongs together; the checksums (CRC-32) find damage
//! by accident, and are no protection against forgery.

use std::fmt;
use std::io::{self, Read, Write};

use super::FileError;
use crate::fingerprint::Fingerprint;

/// What every file begins with.
const MAGIC: [u8; 8] = *b"SLOTWISE";

/// The format that is written, and the newest that is read.
pub const VERSION: u16 = 1;

/// Bytes before the payload.
const HEADER: usize = 88;

/// Bytes of the checksum at the end of a header, and behind a payload.
const CHECKSUM: usize = 4;

/// Bytes of a frame around its payload.
pub(super) const FRAME: usize = HEADER + CHECKSUM;

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub enum Kind {
    /// A plan.
    Plan = 1,
    /// A secret key.
    SecretKey = 2,
    /// A public key, to encrypt with.
    PublicKey = 3,
    /// Evaluation keys.
    EvaluationKeys = 4,
    /// A chunk of encrypted samples.
    Input = 5,
    /// A chunk of encrypted results.
    Output = 6,
}

impl Kind {
    const ALL: [Self; 6] =
        [Self::Plan, Self::SecretKey, Self::PublicKey, Self::EvaluationKeys, Self::Input, Self::Output];
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plan => "a plan",
            Self::SecretKey => "a secret key",
            Self::PublicKey => "a public key",
            Self::EvaluationKeys => "evaluation keys",
            Self::Input => "encrypted samples",
            Self::Output => "encrypted results",
        })
    }
}

/// The head of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// What the payload is.
    pub kind: Kind,
    /// The plan that it belongs to; the fingerprint of a plan is that of its payload.
    pub plan: Fingerprint,
    /// The pair of keys that it belongs to; none for a plan.
    pub keys: Fingerprint,
    /// Bytes of the payload.
    pub length: u64,
}

impl Header {
    /// Reads a header.
    ///
    /// # Errors
    /// [`FileError::Foreign`], [`FileError::OtherVersion`], [`FileError::Truncated`], [`FileError::Damaged`],
    /// [`FileError::UnknownKind`].
    pub fn read(from: &mut dyn Read) -> Result<Self, FileError> {
        let mut head = [0; HEADER];
        let mut found = 0;
        while found < HEADER {
            match from.read(&mut head[found..]) {
                Ok(0) => break,
                Ok(more) => found += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        if !head[..found].starts_with(&MAGIC) {
            return Err(FileError::Foreign);
        }
        let mut fields = Fields(&head[MAGIC.len()..]);
        // These two places are the same in every version.
        let version = u16::from_le_bytes(fields.take());
        if found >= MAGIC.len() + 2 && version != VERSION {
            return Err(FileError::OtherVersion { found: version, expected: VERSION });
        }
        if found < HEADER {
            return Err(FileError::Truncated);
        }
        let kind = u16::from_le_bytes(fields.take());
        let plan = Fingerprint::from_bytes(fields.take());
        let keys = Fingerprint::from_bytes(fields.take());
        let length = u64::from_le_bytes(fields.take());
        if u32::from_le_bytes(fields.take()) != crc32fast::hash(&head[..HEADER - CHECKSUM]) {
            return Err(FileError::Damaged { part: "head" });
        }
        let kind = Kind::ALL.into_iter().find(|&known| known as u16 == kind);
        Ok(Self { kind: kind.ok_or(FileError::UnknownKind)?, plan, keys, length })
    }

    /// Refuses another kind than the one needed.
    ///
    /// # Errors
    /// [`FileError::OtherKind`].
    pub fn expect_kind(self, expected: Kind) -> Result<Self, FileError> {
        match self.kind == expected {
            true => Ok(self),
            false => Err(FileError::OtherKind { found: self.kind, expected }),
        }
    }

    /// Refuses what belongs to another plan.
    ///
    /// # Errors
    /// [`FileError::OtherPlan`].
    pub fn expect_plan(self, expected: Fingerprint) -> Result<Self, FileError> {
        match self.plan == expected {
            true => Ok(self),
            false => Err(FileError::OtherPlan { found: self.plan, expected }),
        }
    }

    /// Refuses what belongs to another pair of keys.
    ///
    /// # Errors
    /// [`FileError::OtherKeys`].
    pub fn expect_keys(self, expected: Fingerprint) -> Result<Self, FileError> {
        match self.keys == expected {
            true => Ok(self),
            false => Err(FileError::OtherKeys { found: self.keys, expected }),
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut head = MAGIC.to_vec();
        head.extend(VERSION.to_le_bytes());
        head.extend((self.kind as u16).to_le_bytes());
        head.extend(self.plan.to_bytes());
        head.extend(self.keys.to_bytes());
        head.extend(self.length.to_le_bytes());
        head.extend(crc32fast::hash(&head).to_le_bytes());
        head
    }
}

/// Fixed-size fields, one after another.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    /// The next field; zeros beyond the end.
    fn take<const LEN: usize>(&mut self) -> [u8; LEN] {
        let mut field = [0; LEN];
        if let Some((first, rest)) = self.0.split_first_chunk::<LEN>() {
            field = *first;
            self.0 = rest;
        }
        field
    }
}

/// The payload of a frame, read as far as its length says; [`Payload::finish`] holds it against its checksum.
pub struct Payload<'a> {
    from: &'a mut dyn Read,
    rest: u64,
    checksum: crc32fast::Hasher,
}

impl<'a> Payload<'a> {
    /// The payload behind `header`.
    pub fn new(header: &Header, from: &'a mut dyn Read) -> Self {
        Self { from, rest: header.length, checksum: crc32fast::Hasher::new() }
    }

    /// Ends the reading of a frame.
    ///
    /// # Errors
    /// [`FileError::Length`] if the payload was not read to its end or something follows it, [`FileError::Truncated`],
    /// [`FileError::Damaged`].
    pub fn finish(self) -> Result<(), FileError> {
        if self.rest > 0 {
            return Err(FileError::Length { more: self.rest });
        }
        let mut checksum = [0; CHECKSUM];
        self.from.read_exact(&mut checksum)?;
        if u32::from_le_bytes(checksum) != self.checksum.finalize() {
            return Err(FileError::Damaged { part: "content" });
        }
        match self.from.read(&mut [0])? {
            0 => Ok(()),
            more => Err(FileError::Length { more: more as u64 }),
        }
    }

    /// Reads the rest of the payload and ends.
    ///
    /// # Errors
    /// As [`Payload::finish`].
    pub fn skip(mut self) -> Result<(), FileError> {
        io::copy(&mut self, &mut io::sink())?;
        if self.rest > 0 {
            return Err(FileError::Truncated);
        }
        self.finish()
    }
}

impl Read for Payload<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.rest).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.from.read(&mut buffer[..most])?;
        self.checksum.update(&buffer[..read]);
        self.rest -= read as u64;
        Ok(read)
    }
}

/// Writes a frame whose payload, `header.length` bytes, `payload` writes.
///
/// # Errors
/// Those of `to`; a payload of another length.
pub fn write_frame(
    header: &Header,
    to: &mut dyn Write,
    payload: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    to.write_all(&header.bytes())?;
    let mut summed = Summed { to, written: 0, checksum: crc32fast::Hasher::new() };
    payload(&mut summed)?;
    if summed.written != header.length {
        let problem = format!("a payload of {} bytes was announced as {}", summed.written, header.length);
        return Err(io::Error::other(problem));
    }
    let checksum = summed.checksum.finalize();
    to.write_all(&checksum.to_le_bytes())
}

/// Counts and sums what passes.
struct Summed<'a> {
    to: &'a mut dyn Write,
    written: u64,
    checksum: crc32fast::Hasher,
}

impl Write for Summed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.checksum.update(&bytes[..written]);
        self.written += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}
