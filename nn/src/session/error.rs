//! Why a file is not what is needed.

use std::io;

use ckks::wire::WireError;
use thiserror::Error;

use super::frame::Kind;
use crate::fingerprint::Fingerprint;

/// A file that is damaged, or does not belong where it is used. The name of the file stands before it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FileError {
    /// The system fails to read it.
    #[error(transparent)]
    Io(io::Error),
    /// Another program's file.
    #[error("it is no file of slotwise; name one that slotwise wrote")]
    Foreign,
    /// A format of another version, most likely a newer one.
    #[error("it is of format {found}, and this slotwise reads format {expected}; install the slotwise that wrote it")]
    OtherVersion {
        /// Its format.
        found: u16,
        /// The one that is read.
        expected: u16,
    },
    /// A number of a kind that does not exist.
    #[error("it says it is of a kind that does not exist; make it again")]
    UnknownKind,
    /// The file of something else.
    #[error("it holds {found}, where {expected} must be; name another file")]
    OtherKind {
        /// What it holds.
        found: Kind,
        /// What is needed.
        expected: Kind,
    },
    /// What belongs to another plan.
    #[error("it belongs to plan {found}, but the plan in use is {expected}; bring what was made with the same plan")]
    OtherPlan {
        /// Its plan.
        found: Fingerprint,
        /// The plan in use.
        expected: Fingerprint,
    },
    /// What belongs to another pair of keys.
    #[error(
        "it belongs to the keys {found}, but the keys in use are {expected}; bring what was made with the same keys"
    )]
    OtherKeys {
        /// Its keys.
        found: Fingerprint,
        /// The keys in use.
        expected: Fingerprint,
    },
    /// A file that ends too early.
    #[error("it ends before its content does; copy or make it again")]
    Truncated,
    /// A wrong checksum.
    #[error("the checksum of its {part} is wrong: it is damaged; copy or make it again")]
    Damaged {
        /// Head or content.
        part: &'static str,
    },
    /// More bytes than the content has.
    #[error("{more} bytes or more lie behind its content; it is damaged: copy or make it again")]
    Length {
        /// Bytes left, as far as known.
        more: u64,
    },
    /// A content that cannot be.
    #[error("{problem}; it is damaged or was not made by slotwise")]
    Content {
        /// What is wrong.
        problem: String,
    },
    /// A key or a ciphertext that cannot be.
    #[error(transparent)]
    Wire(WireError),
}

impl From<io::Error> for FileError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Truncated,
            _ => Self::Io(error),
        }
    }
}

impl From<WireError> for FileError {
    fn from(error: WireError) -> Self {
        match error {
            WireError::Io(error) => error.into(),
            error => Self::Wire(error),
        }
    }
}
