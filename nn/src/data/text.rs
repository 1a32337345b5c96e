//! Numbers as text: a line a sample, separated by commas or by blanks, without a heading.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use super::source::{Number, Table, damaged, format_error};
use crate::error::Result;

/// Characters of a field that a message shows.
const SHOWN: usize = 24;

/// Whether a file begins as a number does.
pub(super) fn is_text(file: &[u8]) -> bool {
    file.first().is_some_and(|byte| byte.is_ascii_digit() || b"+-. ".contains(byte))
}

/// The numbers, a line a block: as many in every line.
pub(super) fn table<T: Number>(path: &Path, from: Box<dyn Read + Send>) -> Result<Table<T>> {
    let mut lines = Lines {
        path: path.into(),
        from: BufReader::new(from),
        text: Vec::new(),
        line: 0,
        commas: false,
        columns: None,
    };
    let first = lines.numbers()?;
    let shape = vec![first.as_ref().map_or(0, Vec::len)];
    let rest = std::iter::from_fn(move || lines.numbers().transpose());
    Ok(Table { rows: None, shape, blocks: Box::new(first.map(Ok).into_iter().chain(rest)) })
}

struct Lines {
    path: PathBuf,
    from: BufReader<Box<dyn Read + Send>>,
    /// The line that was read last.
    text: Vec<u8>,
    /// Its number, from 1.
    line: usize,
    /// Whether commas separate numbers: the first line decides.
    commas: bool,
    /// Numbers of the first line.
    columns: Option<usize>,
}

impl Lines {
    /// The numbers of the next line that is not blank.
    fn numbers<T: Number>(&mut self) -> Result<Option<Vec<T>>> {
        loop {
            self.text.clear();
            self.line += 1;
            if self.from.read_until(b'\n', &mut self.text).map_err(|error| damaged(&self.path, error))? == 0 {
                return Ok(None);
            }
            if !self.text.trim_ascii().is_empty() {
                break;
            }
        }
        let text = str::from_utf8(self.text.trim_ascii()).map_err(|error| damaged(&self.path, error))?;
        self.commas |= self.columns.is_none() && text.contains(',');
        let numbers: Vec<T> = match self.commas {
            true => {
                text.split(',').map(str::trim).enumerate().map(|field| self.number(field)).collect::<Result<_>>()?
            }
            false => {
                text.split_ascii_whitespace().enumerate().map(|field| self.number(field)).collect::<Result<_>>()?
            }
        };
        let (line, found, first) = (self.line, numbers.len(), *self.columns.get_or_insert(numbers.len()));
        match found == first {
            true => Ok(Some(numbers)),
            false => {
                Err(format_error(&self.path, format_args!("line {line} has {found} numbers, and the first {first}")))
            }
        }
    }

    fn number<T: Number>(&self, (column, field): (usize, &str)) -> Result<T> {
        field.parse().map_err(|_| {
            let (line, column) = (self.line, column + 1);
            let shown: String = field.chars().take(SHOWN).collect();
            let rest = if shown.len() < field.len() { "…" } else { "" };
            let advice = if field.contains(';') { "; separate numbers by commas or blanks" } else { "" };
            let problem =
                format_args!("line {line}, column {column}: '{shown}{rest}' is no such number as is read here{advice}");
            format_error(&self.path, problem)
        })
    }
}
