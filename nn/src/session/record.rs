//! Which batches were encrypted with a pair of keys: the file `batches` beside them, a batch a line.
//!
//! `keygen` begins it. It guards the data owner against decrypting results of something else by mistake, not against a server
//! that lies about what it computed on. Where it is not, as beside a key that was moved alone, nothing is known and nothing is
//! refused.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::SessionError;
use super::chunk::BatchId;
use super::folder::Batch;
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

/// Adds a batch to the record beside the key that it was encrypted with, if there is one.
///
/// # Errors
/// [`Error::WriteFile`].
pub fn record_batch(key: &Path, batch: BatchId) -> Result<()> {
    let path = beside(key);
    let written = match File::options().append(true).open(&path) {
        // In one piece, so that nothing comes between.
        Ok(mut file) => file.write_all(format!("{batch}\n").as_bytes()).and_then(|()| file.sync_all()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    };
    written.map_err(|source| Error::WriteFile { path, source })
}

/// Refuses results of a batch that the record beside the secret key does not have, if there is one.
///
/// # Errors
/// [`SessionError::UnknownBatch`], [`Error::ReadFile`].
pub fn expect_recorded(secret_key: &Path, results: Batch) -> Result<Batch> {
    let record = beside(secret_key);
    let known = match std::fs::read_to_string(&record) {
        Ok(lines) => lines.lines().any(|line| line == results.id.to_string()),
        Err(error) if error.kind() == ErrorKind::NotFound => true,
        Err(source) => return Err(Error::ReadFile { path: record, source }),
    };
    match known {
        true => Ok(results),
        false => Err(SessionError::UnknownBatch { path: results.folder, found: results.id, record }.into()),
    }
}
