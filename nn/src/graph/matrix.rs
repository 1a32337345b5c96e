//! Sparse matrices and affine maps over features: y_r = sum over the stored (c, w) of row r of w x_c, plus a bias.
//!
//! Rows are stored one after the other (CSR), since every consumer walks the outputs: the evaluation here, the product of
//! two maps (Gustavson 1978: row r of AB is the combination of those rows of B that row r of A names) and the cutting into
//! blocks of a layout.

use crate::error::{Error, Result};

/// A matrix in compressed rows, columns ascending within a row, no stored zeros.
#[derive(Debug, Clone, PartialEq)]
pub struct SparseMatrix {
    rows: usize,
    cols: usize,
    /// Row r owns entries `starts[r]..starts[r + 1]`.
    starts: Vec<usize>,
    entries: Vec<(u32, f64)>,
}

impl SparseMatrix {
    /// The matrix of the given (row, column, value), in any order; values of the same place add up and zeros are dropped.
    ///
    /// # Errors
    /// [`Error::MatrixEntry`] for an entry outside, [`Error::MatrixTooWide`] past 2^32 columns.
    pub fn from_triplets(
        rows: usize,
        cols: usize,
        triplets: impl IntoIterator<Item = (usize, usize, f64)>,
    ) -> Result<Self> {
        let mut lists = vec![Vec::new(); rows];
        for (row, col, value) in triplets {
            let list = lists.get_mut(row).ok_or(Error::MatrixEntry { row, col, rows, cols })?;
            list.push((col, value));
        }
        Self::from_rows(cols, lists)
    }

    /// The matrix of the given rows, each a list of (column, value) in any order; values of the same place add up and zeros
    /// are dropped.
    ///
    /// # Errors
    /// [`Error::MatrixEntry`] for an entry outside, [`Error::MatrixTooWide`] past 2^32 columns.
    pub fn from_rows<R: IntoIterator<Item = (usize, f64)>>(
        cols: usize,
        rows: impl IntoIterator<Item = R>,
    ) -> Result<Self> {
        if u32::try_from(cols).is_err() {
            return Err(Error::MatrixTooWide { cols });
        }
        let mut matrix = SparseMatrix { rows: 0, cols, starts: vec![0], entries: Vec::new() };
        let mut outside = None;
        let mut row: Vec<(u32, f64)> = Vec::new();
        for list in rows {
            row.clear();
            for (col, value) in list {
                if col >= cols {
                    outside.get_or_insert((matrix.rows, col));
                }
                row.push((col as u32, value));
            }
            matrix.push_row(&mut row);
        }
        match outside {
            Some((row, col)) => Err(Error::MatrixEntry { row, col, rows: matrix.rows, cols }),
            None => Ok(matrix),
        }
    }

    /// The matrix with the given values in row-major order; zeros are not stored.
    ///
    /// # Errors
    /// [`Error::MatrixOperands`] if `values` is not rows x cols long, [`Error::MatrixTooWide`] past 2^32 columns.
    pub fn from_dense(rows: usize, cols: usize, values: &[f64]) -> Result<Self> {
        if rows.checked_mul(cols) != Some(values.len()) {
            return Err(Error::MatrixOperands {
                op: "dense matrix",
                left: rows.saturating_mul(cols),
                right: values.len(),
            });
        }
        let row = |r: usize| values[r * cols..(r + 1) * cols].iter().copied().enumerate();
        Self::from_rows(cols, (0..rows).map(row))
    }

    /// The square matrix with `diagonal` on its diagonal.
    ///
    /// # Errors
    /// [`Error::MatrixTooWide`] past 2^32 columns.
    pub fn diagonal(diagonal: &[f64]) -> Result<Self> {
        Self::from_rows(diagonal.len(), diagonal.iter().enumerate().map(|(i, &v)| [(i, v)]))
    }

    /// The identity on n features.
    ///
    /// # Errors
    /// [`Error::MatrixTooWide`] past 2^32 columns.
    pub fn identity(n: usize) -> Result<Self> {
        Self::from_rows(n, (0..n).map(|i| [(i, 1.0)]))
    }

    /// The matrix that copies feature `sources[r]` to output r, or zero where there is none: permutations, slices and
    /// padding.
    ///
    /// # Errors
    /// [`Error::MatrixEntry`] for a source outside, [`Error::MatrixTooWide`] past 2^32 columns.
    pub fn selection(cols: usize, sources: impl IntoIterator<Item = Option<usize>>) -> Result<Self> {
        Self::from_rows(cols, sources.into_iter().map(|source| source.map(|c| (c, 1.0))))
    }

    /// Number of outputs.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of inputs.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Number of non-zero entries.
    pub fn nnz(&self) -> usize {
        self.entries.len()
    }

    /// The non-zeros of row `r` as (column, value), columns ascending.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn row(&self, r: usize) -> &[(u32, f64)] {
        &self.entries[self.starts[r]..self.starts[r + 1]]
    }

    /// All rows from the first to the last.
    pub fn iter_rows(&self) -> impl ExactSizeIterator<Item = &[(u32, f64)]> + '_ {
        self.starts.windows(2).map(|w| &self.entries[w[0]..w[1]])
    }

    /// All non-zeros as (row, column, value), row by row.
    pub fn iter(&self) -> impl Iterator<Item = (usize, usize, f64)> + '_ {
        self.iter_rows().enumerate().flat_map(|(r, row)| row.iter().map(move |&(c, v)| (r, c as usize, v)))
    }

    /// All non-zero values, row by row.
    pub fn values(&self) -> impl ExactSizeIterator<Item = f64> + '_ {
        self.entries.iter().map(|&(_, v)| v)
    }

    /// Whether this is the identity.
    pub fn is_identity(&self) -> bool {
        self.rows == self.cols && self.iter_rows().enumerate().all(|(r, row)| row == [(r as u32, 1.0)])
    }

    /// Whether no row has more than one entry: a diagonal, a permutation, a slice, padding. To merge such a matrix into the
    /// one after it never adds a non-zero.
    pub fn is_monomial(&self) -> bool {
        self.iter_rows().all(|row| row.len() <= 1)
    }

    /// y = M x.
    ///
    /// # Errors
    /// [`Error::MatrixOperands`] if x is not `cols` long.
    pub fn apply(&self, x: &[f64]) -> Result<Vec<f64>> {
        if x.len() != self.cols {
            return Err(Error::MatrixOperands { op: "matrix times vector", left: self.cols, right: x.len() });
        }
        Ok(self.iter_rows().map(|row| row.iter().map(|&(c, v)| v * x[c as usize]).sum()).collect())
    }

    /// The product `self · right`: first `right`, then `self`.
    ///
    /// # Errors
    /// [`Error::MatrixOperands`] unless `self.cols() == right.rows()`.
    pub fn product(&self, right: &SparseMatrix) -> Result<SparseMatrix> {
        self.check_product(right)?;
        let mut product = SparseMatrix { rows: 0, cols: right.cols, starts: vec![0], entries: Vec::new() };
        let mut sums = vec![0.0; right.cols];
        let mut touched = Touched::new(right.cols);
        let mut row = Vec::new();
        for left_row in self.iter_rows() {
            for &(k, a) in left_row {
                for &(c, b) in right.row(k as usize) {
                    touched.add(c);
                    sums[c as usize] += a * b;
                }
            }
            row.extend(touched.list.iter().map(|&c| (c, std::mem::take(&mut sums[c as usize]))));
            touched.clear();
            product.push_row(&mut row);
            row.clear();
        }
        Ok(product)
    }

    /// Non-zeros of `self · right` by structure (cancellations not seen), or `None` as soon as they exceed `limit`: tells
    /// whether a product is worth forming without forming it.
    ///
    /// # Errors
    /// [`Error::MatrixOperands`] unless `self.cols() == right.rows()`.
    pub fn product_nnz(&self, right: &SparseMatrix, limit: usize) -> Result<Option<usize>> {
        self.check_product(right)?;
        let mut total = 0;
        let mut touched = Touched::new(right.cols);
        for left_row in self.iter_rows() {
            for &(k, _) in left_row {
                for &(c, _) in right.row(k as usize) {
                    touched.add(c);
                }
            }
            total += touched.list.len();
            touched.clear();
            if total > limit {
                return Ok(None);
            }
        }
        Ok(Some(total))
    }

    fn check_product(&self, right: &SparseMatrix) -> Result<()> {
        if self.cols == right.rows {
            return Ok(());
        }
        Err(Error::MatrixOperands { op: "matrix product", left: self.cols, right: right.rows })
    }

    /// Appends a row: sorted, places merged, zeros dropped.
    fn push_row(&mut self, row: &mut [(u32, f64)]) {
        if !row.is_sorted_by_key(|&(c, _)| c) {
            row.sort_by_key(|&(c, _)| c);
        }
        for same in row.chunk_by(|a, b| a.0 == b.0) {
            let sum: f64 = same.iter().map(|&(_, v)| v).sum();
            if sum != 0.0 {
                self.entries.push((same[0].0, sum));
            }
        }
        self.rows += 1;
        self.starts.push(self.entries.len());
    }
}

/// The set of columns that a row of a product has met so far; cleared in time proportional to its size.
struct Touched {
    seen: Vec<bool>,
    list: Vec<u32>,
}

impl Touched {
    fn new(cols: usize) -> Self {
        Touched { seen: vec![false; cols], list: Vec::new() }
    }

    fn add(&mut self, col: u32) {
        if !std::mem::replace(&mut self.seen[col as usize], true) {
            self.list.push(col);
        }
    }

    fn clear(&mut self) {
        for c in self.list.drain(..) {
            self.seen[c as usize] = false;
        }
    }
}

/// y = M x + c.
#[derive(Debug, Clone, PartialEq)]
pub struct AffineMap {
    /// M, outputs by inputs.
    pub matrix: SparseMatrix,
    /// c, one number an output.
    pub bias: Vec<f64>,
}

impl AffineMap {
    /// x -> M x + c.
    ///
    /// # Errors
    /// [`Error::MatrixOperands`] unless there is one bias a row.
    pub fn new(matrix: SparseMatrix, bias: Vec<f64>) -> Result<Self> {
        if bias.len() != matrix.rows() {
            return Err(Error::MatrixOperands { op: "affine map: bias", left: matrix.rows(), right: bias.len() });
        }
        Ok(AffineMap { matrix, bias })
    }

    /// x -> M x.
    pub fn linear(matrix: SparseMatrix) -> Self {
        let bias = vec![0.0; matrix.rows()];
        AffineMap { matrix, bias }
    }

    /// Number of features read.
    pub fn input_len(&self) -> usize {
        self.matrix.cols()
    }

    /// Number of features made.
    pub fn output_len(&self) -> usize {
        self.matrix.rows()
    }

    /// Whether the map changes nothing.
    pub fn is_identity(&self) -> bool {
        self.bias.iter().all(|&b| b == 0.0) && self.matrix.is_identity()
    }

    /// y = M x + c.
    ///
    /// # Errors
    /// [`Error::MatrixOperands`] if x has another length.
    pub fn apply(&self, x: &[f64]) -> Result<Vec<f64>> {
        let mut y = self.matrix.apply(x)?;
        y.iter_mut().zip(&self.bias).for_each(|(y, c)| *y += c);
        Ok(y)
    }

    /// First `self`, then `next`: x -> N (M x + c) + d.
    ///
    /// # Errors
    /// [`Error::MatrixOperands`] if `next` does not read what `self` makes.
    pub fn then(&self, next: &AffineMap) -> Result<AffineMap> {
        Ok(AffineMap { matrix: next.matrix.product(&self.matrix)?, bias: next.apply(&self.bias)? })
    }
}

#[cfg(test)]
#[path = "matrix_tests.rs"]
mod tests;
