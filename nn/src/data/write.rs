//! Results as files: whole, or not at all.

use std::fs::{File, Metadata};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use ndarray::ArrayView2;
use ndarray_npy::WriteNpyExt;

use crate::error::{Error, Result};

/// How the name of a file begins that is not whole yet.
pub const TEMPORARY_PREFIX: &str = ".slotwise-";

/// Writes a file under a temporary name beside it, and gives it its name when it is whole: whoever looks sees the old file or
/// the new one. What is no file, as a pipe or a device, is written to as it is.
///
/// # Errors
/// [`Error::WriteFile`] with what the system or `write` said; then nothing has changed.
pub fn replace_file(path: impl AsRef<Path>, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    let path = path.as_ref();
    let replaced = match std::fs::metadata(path) {
        Ok(there) if !there.is_file() => write_through(path, &there, write),
        // A link stays a link.
        Ok(_) => std::fs::canonicalize(path).and_then(|path| replace(&path, write)),
        Err(_) => replace(path, write),
    };
    replaced.map_err(|source| Error::WriteFile { path: path.into(), source })
}

fn replace(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
    let directory = directory.map_or_else(|| PathBuf::from("."), Path::to_path_buf);
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY_PREFIX);
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(directory)?;
    let mut buffer = BufWriter::new(file.as_file_mut());
    write(&mut buffer)?;
    buffer.flush()?;
    drop(buffer);
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

fn write_through(
    path: &Path,
    there: &Metadata,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    if there.is_dir() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a directory; name a file in it"));
    }
    let mut buffer = BufWriter::new(File::options().write(true).open(path)?);
    write(&mut buffer)?;
    buffer.flush()
}

/// Whether [`write_outputs`] knows the ending of a name: to be asked before a long run.
///
/// # Errors
/// [`Error::OutputName`].
pub fn check_output_name(path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("npy" | "csv") => Ok(()),
        _ => Err(Error::OutputName { path: path.into() }),
    }
}

/// Writes results, `columns` numbers a sample, as .npy (double precision, [n, columns]) or .csv (a line a sample, no
/// heading), as the name says.
///
/// # Errors
/// [`Error::OutputName`] for a name that ends otherwise, [`Error::SampleLength`] if the values are no whole number of rows,
/// [`Error::WriteFile`].
pub fn write_outputs(path: impl AsRef<Path>, values: &[f64], columns: usize) -> Result<()> {
    let path = path.as_ref();
    let uneven = Error::SampleLength { found: values.len(), features: columns };
    if columns == 0 || !values.len().is_multiple_of(columns) {
        return Err(uneven);
    }
    let rows = ArrayView2::from_shape((values.len() / columns, columns), values).map_err(|_| uneven)?;
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("npy") => replace_file(path, |file| rows.write_npy(file).map_err(io::Error::other)),
        Some("csv") => replace_file(path, |file| {
            let mut csv = csv::Writer::from_writer(file);
            for row in values.chunks(columns) {
                csv.write_record(row.iter().map(f64::to_string))?;
            }
            csv.flush()
        }),
        _ => Err(Error::OutputName { path: path.into() }),
    }
}
