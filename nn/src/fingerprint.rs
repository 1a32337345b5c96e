//! What tells one model, plan or pair of keys from another.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

/// SHA-256 of the bytes that a thing is made of.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; Self::LEN]);

impl Fingerprint {
    /// Bytes of a fingerprint.
    pub const LEN: usize = 32;

    /// The fingerprint of nothing in particular: stands where a thing has none.
    pub const NONE: Self = Self([0; Self::LEN]);

    /// The fingerprint of the bytes of all parts, one after another.
    pub fn of<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut hash = Sha256::new();
        parts.into_iter().for_each(|part| hash.update(part));
        Self(hash.finalize().into())
    }

    /// Its bytes.
    pub fn to_bytes(self) -> [u8; Self::LEN] {
        self.0
    }

    /// The fingerprint with these bytes.
    pub fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }
}

/// The first 16 hexadecimal digits, enough for people; all 64 with `{:#}`.
impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = if f.alternate() { Self::LEN } else { 8 };
        self.0[..shown].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Fingerprint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("a fingerprint has {} hexadecimal digits", 2 * Self::LEN);
        let digits: Option<Vec<u8>> = text.chars().map(|c| c.to_digit(16).map(|digit| digit as u8)).collect();
        let digits = digits.filter(|digits| digits.len() == 2 * Self::LEN).ok_or_else(wrong)?;
        let mut bytes = [0; Self::LEN];
        bytes.iter_mut().zip(digits.chunks(2)).for_each(|(byte, pair)| *byte = pair[0] << 4 | pair[1]);
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_sha_256_and_its_text_leads_back() {
        let abc = Fingerprint::of([&b"a"[..], b"bc"]);
        let text = format!("{abc:#}");
        assert_eq!(text, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(abc.to_string(), text[..16]);
        assert_eq!(text.parse(), Ok(abc));
        assert!("abc".parse::<Fingerprint>().is_err() && text.replace('b', "g").parse::<Fingerprint>().is_err());
    }
}
