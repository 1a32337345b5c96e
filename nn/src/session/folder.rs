//! A batch as a folder of chunks, one file each: `input-000000.ct`, `input-000001.ct`, …, and `output-…` for results.
//!
//! A chunk appears under its name when it is whole, and never changes afterwards. So a folder holds some of the chunks of a
//! batch, each of which says which one it is and how many there are; nothing else is kept about a batch.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::io::Read;
use std::path::{Path, PathBuf};

use super::chunk::{BatchId, Part};
use super::frame::{Header, Kind, Payload};
use super::{FileError, SessionError};
use crate::data::TEMPORARY_PREFIX;
use crate::error::{Error, Result};
use crate::fingerprint::Fingerprint;

/// Ending of the files of chunks.
const ENDING: &str = ".ct";

/// The file whose lock says that somebody writes into a folder.
const LOCK: &str = ".lock";

/// Opens a file and reads it with `read`, whose errors get the name of the file. No buffer keeps a copy of what is read.
///
/// # Errors
/// [`Error::ReadFile`] if it cannot be opened, [`SessionError::File`].
pub fn read_file<T>(path: &Path, read: impl FnOnce(&mut dyn Read) -> Result<T, FileError>) -> Result<T> {
    let mut file = File::open(path).map_err(|source| Error::ReadFile { path: path.into(), source })?;
    read(&mut file).map_err(|source| SessionError::File { path: path.into(), source }.into())
}

/// The file of a chunk.
pub(super) fn chunk_path(folder: &Path, kind: Kind, index: u32) -> PathBuf {
    folder.join(format!("{}{index:06}{ENDING}", beginning(kind)))
}

fn beginning(kind: Kind) -> &'static str {
    match kind {
        Kind::Input => "input-",
        _ => "output-",
    }
}

/// All files that are named as chunks of `kind`, in the order of their names.
fn chunk_files(folder: &Path, kind: Kind) -> Result<Vec<PathBuf>> {
    let failed = |source| Error::ReadFile { path: folder.into(), source };
    let mut found = Vec::new();
    for entry in folder.read_dir().map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        if name.to_str().is_some_and(|name| name.starts_with(beginning(kind)) && name.ends_with(ENDING)) {
            found.push(folder.join(name));
        }
    }
    found.sort();
    Ok(found)
}

/// The chunks of one kind in a folder, all of one batch.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Where they are.
    pub folder: PathBuf,
    /// [`Kind::Input`] or [`Kind::Output`].
    pub kind: Kind,
    /// Which batch it is.
    pub id: BatchId,
    /// The pair of keys that it is encrypted with.
    pub keys: Fingerprint,
    /// Number of chunks of the batch.
    pub chunks: u32,
    /// The samples of each chunk that is there.
    pub samples: BTreeMap<u32, u32>,
}

impl Batch {
    /// The chunks of `kind` in `folder`, as their heads describe them; none if there are none.
    ///
    /// # Errors
    /// [`Error::ReadFile`]; [`SessionError::File`] for a file that is damaged at its head or belongs to another plan;
    /// [`SessionError::TwoBatches`] if the chunks are not all of one batch; [`SessionError::ChunkName`].
    pub fn scan(folder: &Path, kind: Kind, plan: Fingerprint) -> Result<Option<Self>> {
        let mut batch: Option<Self> = None;
        for path in chunk_files(folder, kind)? {
            let (keys, part) = read_file(&path, |from| {
                let header = Header::read(from)?.expect_kind(kind)?.expect_plan(plan)?;
                Ok((header.keys, Part::read(&mut Payload::new(&header, from))?))
            })?;
            if path != chunk_path(folder, kind, part.index) {
                return Err(SessionError::ChunkName { path, index: part.index }.into());
            }
            let Part { batch: id, chunks, index, samples } = part;
            let begin = || Self { folder: folder.into(), kind, id, keys, chunks, samples: BTreeMap::new() };
            let batch = batch.get_or_insert_with(begin);
            if (batch.id, batch.keys, batch.chunks) != (id, keys, chunks) {
                return Err(SessionError::TwoBatches { path, found: id, expected: batch.id }.into());
            }
            batch.samples.insert(index, samples);
        }
        Ok(batch)
    }

    /// The chunks of `kind` in `folder`, at least one.
    ///
    /// # Errors
    /// As [`Batch::scan`], and [`SessionError::ChunkMissing`].
    pub fn some(folder: &Path, kind: Kind, plan: Fingerprint) -> Result<Self> {
        let missing =
            || SessionError::ChunkMissing { path: chunk_path(folder, kind, 0), index: 0, chunks: None }.into();
        Self::scan(folder, kind, plan)?.ok_or_else(missing)
    }

    /// The chunks of `kind` in `folder`, every one of them.
    ///
    /// # Errors
    /// As [`Batch::some`].
    pub fn whole(folder: &Path, kind: Kind, plan: Fingerprint) -> Result<Self> {
        let batch = Self::some(folder, kind, plan)?;
        match (0..batch.chunks).find(|index| !batch.samples.contains_key(index)) {
            None => Ok(batch),
            Some(index) => {
                Err(SessionError::ChunkMissing { path: batch.path(index), index, chunks: Some(batch.chunks) }.into())
            }
        }
    }

    /// Number of samples in the chunks that are there.
    pub fn n(&self) -> usize {
        self.samples.values().map(|&samples| samples as usize).sum()
    }

    /// Refuses a batch that is encrypted with another pair of keys.
    ///
    /// # Errors
    /// [`SessionError::File`] with [`FileError::OtherKeys`].
    pub fn expect_keys(self, expected: Fingerprint) -> Result<Self> {
        match self.keys == expected {
            true => Ok(self),
            false => {
                let index = self.samples.keys().next().copied().unwrap_or(0);
                let source = FileError::OtherKeys { found: self.keys, expected };
                Err(SessionError::File { path: self.path(index), source }.into())
            }
        }
    }

    /// Refuses any other batch than `expected`.
    ///
    /// # Errors
    /// [`SessionError::OtherBatch`].
    pub fn expect(self, expected: BatchId) -> Result<Self> {
        match self.id == expected {
            true => Ok(self),
            false => Err(SessionError::OtherBatch { path: self.folder, found: self.id, expected }.into()),
        }
    }

    /// The file of a chunk.
    pub fn path(&self, index: u32) -> PathBuf {
        chunk_path(&self.folder, self.kind, index)
    }
}

/// The right to write into a folder, until it is dropped or the process ends.
pub(super) struct FolderLock {
    _file: File,
}

impl FolderLock {
    /// Makes the folder if it is not there, takes its lock, and removes what a writer that was killed has left half-written.
    ///
    /// # Errors
    /// [`Error::WriteFile`]; [`SessionError::FolderBusy`] while another process holds the lock.
    pub(super) fn take(folder: &Path) -> Result<Self> {
        let failed = |source| Error::WriteFile { path: folder.into(), source };
        std::fs::create_dir_all(folder).map_err(failed)?;
        let options = File::options().create(true).truncate(false).write(true).open(folder.join(LOCK));
        let file = options.map_err(failed)?;
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => SessionError::FolderBusy { path: folder.into() }.into(),
            TryLockError::Error(source) => failed(source),
        })?;
        for entry in folder.read_dir().map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if entry.file_name().to_str().is_some_and(|name| name.starts_with(TEMPORARY_PREFIX)) {
                std::fs::remove_file(entry.path()).map_err(failed)?;
            }
        }
        Ok(Self { _file: file })
    }
}
