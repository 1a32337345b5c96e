//! Numbers as text: a line a sample, separated by commas or by single blanks, without a heading.

use std::path::Path;
use std::str::FromStr;

use crate::error::{Error, Result};

/// Whether a file begins as a number does.
pub(super) fn is_text(file: &[u8]) -> bool {
    file.first().is_some_and(|byte| byte.is_ascii_digit() || b"+-. ".contains(byte))
}

/// The dimensions and the values: as many columns in every line.
pub(super) fn numbers<T: FromStr>(path: &Path, file: &[u8]) -> Result<(Vec<usize>, Vec<T>)> {
    let problem = |problem: String| Error::DataFormat { path: path.into(), problem };
    let first = file.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let delimiter = if first.contains(&b',') { b',' } else { b' ' };
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .delimiter(delimiter)
        .trim(csv::Trim::All)
        .from_reader(file.trim_ascii());
    let (mut values, mut rows) = (Vec::new(), 0);
    for record in reader.records() {
        let record = record.map_err(|error| problem(format!("it is no table of numbers ({error})")))?;
        rows += 1;
        for (column, field) in record.iter().enumerate() {
            let value = field.parse().map_err(|_| {
                problem(format!("line {rows}, column {}: '{field}' is no such number as is read here", column + 1))
            })?;
            values.push(value);
        }
    }
    let columns = values.len().checked_div(rows).unwrap_or_default();
    Ok((vec![rows, columns], values))
}
