//! Which batches were encrypted with a pair of keys, and which samples of each were left out: the file `batches` beside them, a batch a line. The
//! server does not need to know which, so it is not told.
//!
//! `keygen` begins it. It guards the data owner against decrypting results of something else by mistake, not against a server
//! that lies about what it computed on. Where it is not, as beside a key that was moved alone, nothing is known and nothing is
//! refused.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::chunk::BatchId;
use super::folder::Batch;
use super::{FileError, SessionError};
use crate::error::{Error, Result};

/// The record beside `key`.
fn beside(key: &Path) -> PathBuf {
    key.with_file_name("batches")
}

/// Begins the record of a folder of keys.
pub(super) fn begin_record(folder: &Path) -> Result<()> {
    let path = beside(&folder.join("key"));
    let begun = File::options().create(true).append(true).open(&path);
    begun.map(drop).map_err(|source| Error::WriteFile { path, source })
}

/// Adds a batch to the record beside the key that it was encrypted with, if there is one, with the numbers of the samples that were left out;
/// whether there is.
///
/// # Errors
/// [`Error::WriteFile`].
pub fn record_batch(key: &Path, batch: BatchId, left_out: &[usize]) -> Result<bool> {
    let path = beside(key);
    let mut line = batch.to_string();
    left_out.iter().for_each(|sample| line.push_str(&format!(" {sample}")));
    line.push('\n');
    let written = match File::options().append(true).open(&path) {
        // In one piece, so that nothing comes between.
        Ok(mut file) => file.write_all(line.as_bytes()).and_then(|()| file.sync_all()).map(|()| true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    };
    written.map_err(|source| Error::WriteFile { path, source })
}

/// The record beside a secret key; nothing if there is none.
pub struct Record {
    path: PathBuf,
    lines: Option<String>,
}

impl Record {
    /// Reads it.
    ///
    /// # Errors
    /// [`Error::ReadFile`].
    pub fn read(secret_key: &Path) -> Result<Self> {
        let path = beside(secret_key);
        match std::fs::read_to_string(&path) {
            Ok(lines) => Ok(Self { path, lines: Some(lines) }),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self { path, lines: None }),
            Err(source) => Err(Error::ReadFile { path, source }),
        }
    }

    /// What a line says behind the number of a batch.
    fn line(&self, batch: BatchId) -> Option<&str> {
        let id = batch.to_string();
        self.lines.as_deref()?.lines().find_map(|line| line.strip_prefix(&id))
    }

    /// Refuses results of a batch that it does not have, if there is a record.
    ///
    /// # Errors
    /// [`SessionError::UnknownBatch`].
    pub fn expect(&self, results: Batch) -> Result<Batch> {
        match self.lines.is_none() || self.line(results.id).is_some() {
            true => Ok(results),
            false => {
                let record = self.path.clone();
                Err(SessionError::UnknownBatch { path: results.folder, found: results.id, record }.into())
            }
        }
    }

    /// The numbers of the samples that were left out of a batch, ascending, as far as it knows.
    ///
    /// # Errors
    /// [`SessionError::File`] for numbers that cannot be.
    pub fn left_out(&self, results: &Batch) -> Result<Vec<usize>> {
        let numbers = self.line(results.id).unwrap_or_default().split_ascii_whitespace();
        let numbers: Option<Vec<usize>> = numbers.map(|number| number.parse().ok()).collect();
        let can_be = |numbers: &Vec<usize>| {
            let last = numbers.last().copied().unwrap_or(0);
            numbers.is_sorted_by(|a, b| a < b) && last < results.n() + numbers.len()
        };
        numbers.filter(can_be).ok_or_else(|| {
            let problem = format!("it names samples that were left out of batch {}, and they cannot be", results.id);
            SessionError::File { path: self.path.clone(), source: FileError::Content { problem } }.into()
        })
    }
}
