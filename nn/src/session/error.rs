//! Why a file is not what is needed, and why a batch cannot go on.

use std::path::PathBuf;
use std::{fmt, io};

use ckks::wire::WireError;
use thiserror::Error;

use super::chunk::BatchId;
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

/// What is wrong with keys, chunks and their folders.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SessionError {
    /// A file that is damaged, or does not belong where it is used.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: FileError,
    },
    /// A plan that no reader would take.
    #[error("the plan cannot be shared: {source}")]
    PlanUnreadable {
        /// What a reader would say.
        source: FileError,
    },
    /// A key where a new one would go.
    #[error("{}: there is a key already, and keys are never overwritten; name another folder", path.display())]
    KeyExists {
        /// The key.
        path: PathBuf,
    },
    /// Samples larger than the plan was calibrated for.
    #[error(
        "a value of {found:.3e} is beyond the {planned:.3e} that the plan was made for; are the samples in the units that the model was trained on, and like those of the calibration?"
    )]
    BeyondPlan {
        /// Largest absolute value.
        found: f64,
        /// The plan's.
        planned: f64,
    },
    /// A folder that another process writes into.
    #[error("{}: another process is writing into this folder; wait for it, or name another folder", path.display())]
    FolderBusy {
        /// The folder.
        path: PathBuf,
    },
    /// A folder with chunks in it, where new ones would go.
    #[error("{}: it holds chunks of batch {batch} already; name another folder, or continue with --resume where that is possible", path.display())]
    FolderNotEmpty {
        /// The folder.
        path: PathBuf,
        /// The batch of its chunks.
        batch: BatchId,
    },
    /// Chunks of two batches where one is meant.
    #[error("{}: it is of batch {found}, but the others are of batch {expected}; keep each batch in a folder of its own", path.display())]
    TwoBatches {
        /// The chunk of another batch.
        path: PathBuf,
        /// Its batch.
        found: BatchId,
        /// The batch that it should be of.
        expected: BatchId,
    },
    /// Results of another batch than the one that was named.
    #[error("{}: these are results of batch {found}, not of batch {expected}; bring those of the batch that you mean", path.display())]
    OtherBatch {
        /// The folder of results.
        path: PathBuf,
        /// Their batch.
        found: BatchId,
        /// The batch that was named.
        expected: BatchId,
    },
    /// Results of a batch that was not encrypted with the keys in the secret key's folder.
    #[error(
        "{}: these are results of batch {found}, which is not among the batches that were encrypted here ({}); if somebody else encrypted it, or elsewhere, name it with --batch",
        path.display(), record.display()
    )]
    UnknownBatch {
        /// The folder of results.
        path: PathBuf,
        /// Their batch.
        found: BatchId,
        /// The record of batches.
        record: PathBuf,
    },
    /// A chunk under the name of another.
    #[error("{}: it is chunk {index}, which its name does not say; give it its name back", path.display())]
    ChunkName {
        /// The file.
        path: PathBuf,
        /// The chunk that it is.
        index: u32,
    },
    /// A batch that is not whole.
    #[error("{}: {}; bring the file, or compute it with infer --resume", path.display(), Missing(*index, *chunks))]
    ChunkMissing {
        /// The file that is not there.
        path: PathBuf,
        /// Its chunk.
        index: u32,
        /// Chunks of the batch; unknown if none is there.
        chunks: Option<u32>,
    },
}

/// Which chunk is missing.
struct Missing(u32, Option<u32>);

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self(_, None) => write!(f, "the folder holds no chunk of a batch"),
            Self(index, Some(chunks)) => write!(f, "chunk {index} of {chunks} (from 0) is missing"),
        }
    }
}
