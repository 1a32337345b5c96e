//! Sparse matrices and affine maps over features.

/// A matrix in compressed rows, columns ascending within a row, no stored zeros.
#[derive(Debug, Clone, PartialEq)]
pub struct SparseMatrix {
    rows: usize,
    cols: usize,
    /// Row r owns entries `starts[r]..starts[r + 1]`.
    starts: Vec<usize>,
    entries: Vec<(u32, f64)>,
}

/// y = M x + c.
#[derive(Debug, Clone, PartialEq)]
pub struct AffineMap {
    /// M, outputs by inputs.
    pub matrix: SparseMatrix,
    /// c, one number an output.
    pub bias: Vec<f64>,
}
