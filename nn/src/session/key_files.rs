//! The folder of a data owner's keys.

use std::fs::Permissions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ckks::Entropy;
use tempfile::NamedTempFile;

use super::SessionError;
use super::client::{Client, PublicKeys};
use super::plan_file::PlanFile;
use super::record::begin_record;
use crate::data::TEMPORARY_PREFIX;
use crate::error::{Error, Result};
use crate::fingerprint::Fingerprint;

/// The secret key, for the data owner alone.
pub const SECRET_KEY: &str = "secret.key";
/// The public key, for whoever encrypts on the owner's behalf.
pub const PUBLIC_KEY: &str = "public.key";
/// The evaluation keys, for the server.
pub const EVALUATION_KEY: &str = "evaluation.key";

/// Generates all keys of a plan into a folder that holds none, on the threads of the current rayon pool, and begins the record of
/// batches beside them; returns what they are marked with.
///
/// # Errors
/// [`SessionError::KeyExists`], [`Error::WriteFile`]; those of [`Client::generate`].
pub fn generate_keys(plan: &Arc<PlanFile>, folder: &Path) -> Result<Fingerprint> {
    prepare(folder)?;
    let (client, public) = Client::generate(plan, Entropy::from_os()?)?;
    write_keys(folder, &client, &public)?;
    begin_record(folder)?;
    Ok(public.fingerprint)
}

/// Makes the folder of keys if it is not there, and makes sure that it can be written to and holds none.
fn prepare(folder: &Path) -> Result<()> {
    let failed = |source| Error::WriteFile { path: folder.into(), source };
    std::fs::create_dir_all(folder).map_err(failed)?;
    temporary(folder, false).map_err(failed)?;
    match [SECRET_KEY, PUBLIC_KEY, EVALUATION_KEY].map(|name| folder.join(name)).into_iter().find(|path| path.exists())
    {
        Some(path) => Err(SessionError::KeyExists { path }.into()),
        None => Ok(()),
    }
}

/// Writes all keys of a pair, whole or not at all. Only the owner can read the secret key, and no key is ever overwritten.
///
/// # Errors
/// [`SessionError::KeyExists`], [`Error::WriteFile`].
pub fn write_keys(folder: &Path, client: &Client, public: &PublicKeys) -> Result<()> {
    let plan: &PlanFile = client.plan();
    // The secret key gets its name first, so that public keys never belong to a secret key that was lost.
    let staged = [
        stage(folder, SECRET_KEY, true, |to| client.write(to))?,
        stage(folder, EVALUATION_KEY, false, |to| public.write_evaluation(plan, to))?,
        stage(folder, PUBLIC_KEY, false, |to| public.write_encryption(plan, to))?,
    ];
    staged.into_iter().try_for_each(|(file, path)| match file.persist_noclobber(&path) {
        Ok(_) => Ok(()),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {
            Err(SessionError::KeyExists { path }.into())
        }
        Err(error) => Err(Error::WriteFile { path, source: error.error }),
    })
}

/// A file that is written and has its own name still to come. No buffer keeps a copy of what is written.
fn stage(
    folder: &Path,
    name: &str,
    secret: bool,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(NamedTempFile, PathBuf)> {
    let path = folder.join(name);
    let staged = temporary(folder, secret).and_then(|mut file| {
        write(&mut file)?;
        file.as_file().sync_all()?;
        Ok(file)
    });
    staged.map(|file| (file, path.clone())).map_err(|source| Error::WriteFile { path, source })
}

fn temporary(folder: &Path, secret: bool) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY_PREFIX);
    #[cfg(unix)]
    builder.permissions(<Permissions as std::os::unix::fs::PermissionsExt>::from_mode(if secret {
        0o600
    } else {
        0o666
    }));
    builder.tempfile_in(folder)
}
