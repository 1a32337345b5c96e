//! Results as files: whole, or not at all.

use std::fs::{File, Metadata};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use ndarray_npy::WritableElement;
use ndarray_npy::npy::header::{Header, Layout};
use tempfile::NamedTempFile;

use super::DataError;
use crate::error::{Error, Result};

/// How the name of a file begins that is not whole yet.
pub const TEMPORARY_PREFIX: &str = ".slotwise-";

/// Writes a file as [`NewFile`] does.
///
/// # Errors
/// [`Error::WriteFile`] with what the system or `write` said; then nothing has changed.
pub fn replace_file(path: impl AsRef<Path>, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    let mut file = NewFile::create(path)?;
    file.write(write)?;
    file.finish()
}

/// A file under a temporary name beside its own, which it gets when it is whole: whoever looks sees the old file or the new one.
/// What is no file, as a pipe or a device, is written to as it is.
pub struct NewFile {
    path: PathBuf,
    to: Target,
}

enum Target {
    /// What is to be renamed, and to what.
    Temporary(BufWriter<NamedTempFile>, PathBuf),
    Through(BufWriter<File>),
}

impl NewFile {
    /// Begins a file.
    ///
    /// # Errors
    /// [`Error::WriteFile`].
    pub fn create(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let to = match std::fs::metadata(path) {
            Ok(there) if !there.is_file() => through(path, &there),
            // A link stays a link.
            Ok(_) => std::fs::canonicalize(path).and_then(temporary),
            Err(_) => temporary(path.into()),
        };
        let to = to.map_err(|source| Error::WriteFile { path: path.into(), source })?;
        Ok(Self { path: path.into(), to })
    }

    /// Writes what `write` writes.
    ///
    /// # Errors
    /// [`Error::WriteFile`].
    pub fn write(&mut self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
        let written = match &mut self.to {
            Target::Temporary(to, _) => write(to),
            Target::Through(to) => write(to),
        };
        written.map_err(|source| Error::WriteFile { path: self.path.clone(), source })
    }

    /// Gives the file its name.
    ///
    /// # Errors
    /// [`Error::WriteFile`]; then nothing has changed.
    pub fn finish(self) -> Result<()> {
        let finished = match self.to {
            Target::Temporary(to, path) => renamed(to, &path),
            Target::Through(mut to) => to.flush(),
        };
        finished.map_err(|source| Error::WriteFile { path: self.path, source })
    }
}

fn temporary(path: PathBuf) -> io::Result<Target> {
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
    let directory = directory.map_or_else(|| PathBuf::from("."), Path::to_path_buf);
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY_PREFIX);
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    Ok(Target::Temporary(BufWriter::new(builder.tempfile_in(directory)?), path))
}

fn renamed(to: BufWriter<NamedTempFile>, path: &Path) -> io::Result<()> {
    let file = to.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

fn through(path: &Path, there: &Metadata) -> io::Result<Target> {
    if there.is_dir() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a directory; name a file in it"));
    }
    Ok(Target::Through(BufWriter::new(File::options().write(true).open(path)?)))
}

/// Whether an [`OutputFile`] can have a name: to be asked before a long run.
///
/// # Errors
/// [`DataError::OutputName`].
pub fn check_output_name(path: impl AsRef<Path>) -> Result<()> {
    is_npy(path.as_ref()).map(drop)
}

/// Whether results go into a .npy file; otherwise it is .csv.
fn is_npy(path: &Path) -> Result<bool> {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("npy") => Ok(true),
        Some("csv") => Ok(false),
        _ => Err(DataError::OutputName { path: path.into() }.into()),
    }
}

/// Results on their way into a file, .npy (double precision, [n, columns]) or .csv (a line a sample, no heading), as its name says.
/// Samples that are left out have rows of NaN, so that row i is that of sample i. The file appears when it is whole.
pub struct OutputFile {
    file: NewFile,
    npy: bool,
    columns: usize,
    /// Numbers of the samples that are left out, ascending.
    left_out: Vec<usize>,
    /// Rows that were written.
    written: usize,
    /// All rows.
    n: usize,
}

impl OutputFile {
    /// Begins a file of `n` samples with `columns` results each; those of the numbers `left_out`, which ascend, have none.
    ///
    /// # Errors
    /// [`DataError::OutputName`], [`Error::WriteFile`].
    pub fn create(path: impl AsRef<Path>, n: usize, columns: usize, left_out: Vec<usize>) -> Result<Self> {
        let npy = is_npy(path.as_ref())?;
        let mut file = NewFile::create(path)?;
        if npy {
            let header =
                Header { type_descriptor: f64::type_descriptor(), layout: Layout::Standard, shape: vec![n, columns] };
            file.write(|to| header.write(to).map_err(io::Error::other))?;
        }
        Ok(Self { file, npy, columns, left_out, written: 0, n })
    }

    /// Writes the results of further samples, and the rows of those between and behind them that have none.
    ///
    /// # Errors
    /// [`Error::SampleLength`] for values that are no whole number of samples, or of more than there are;
    /// [`Error::WriteFile`].
    pub fn write(&mut self, values: &[f64]) -> Result<()> {
        let wrong = Error::SampleLength { found: values.len(), features: self.columns };
        if self.columns == 0 || !values.len().is_multiple_of(self.columns) {
            return Err(wrong);
        }
        let before = self.written;
        let mut rows = self.gap();
        for row in values.chunks(self.columns) {
            rows.extend(row);
            self.written += 1;
            rows.extend(self.gap());
        }
        if self.written > self.n {
            self.written = before;
            return Err(wrong);
        }
        let (npy, columns) = (self.npy, self.columns);
        self.file.write(|to| match npy {
            true => f64::write_slice(&rows, to).map_err(io::Error::other),
            false => {
                let mut csv = csv::Writer::from_writer(to);
                rows.chunks(columns).try_for_each(|row| csv.write_record(row.iter().map(f64::to_string)))?;
                csv.flush()
            }
        })
    }

    /// The rows of samples without results that come next.
    fn gap(&mut self) -> Vec<f64> {
        let first = self.written;
        while self.left_out.binary_search(&self.written).is_ok() {
            self.written += 1;
        }
        vec![f64::NAN; (self.written - first) * self.columns]
    }

    /// Ends the file.
    ///
    /// # Errors
    /// [`Error::SampleLength`] if results are missing; [`Error::WriteFile`].
    pub fn finish(self) -> Result<()> {
        match self.n.abs_diff(self.written) {
            0 => self.file.finish(),
            missing => Err(Error::SampleLength { found: missing * self.columns, features: self.columns }),
        }
    }
}

/// Writes all results at once, `columns` numbers a sample, as an [`OutputFile`].
///
/// # Errors
/// [`DataError::OutputName`], [`Error::SampleLength`] if the values are no whole number of samples, [`Error::WriteFile`].
pub fn write_outputs(path: impl AsRef<Path>, values: &[f64], columns: usize, left_out: Vec<usize>) -> Result<()> {
    let n = values.len().checked_div(columns).unwrap_or(0) + left_out.len();
    let mut file = OutputFile::create(path, n, columns, left_out)?;
    file.write(values)?;
    file.finish()
}
