//! What can go wrong in this crate, each with the values that clash and what to do about it.

/// The crate's result.
pub type Result<T> = std::result::Result<T, Error>;

/// An error of the engine. Names the node of the graph or the file it is about.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    // ---- graphs and their maps ----
    /// A graph that has no input at its head, or a second one behind it.
    #[error(
        "node '{node}' (number {index}): a graph has exactly one input, and it is its first node"
    )]
    InputPlace {
        /// The node found in the wrong place.
        node: String,
        /// Its position.
        index: usize,
    },
    /// A graph without nodes.
    #[error("the graph has no node; a graph begins with its input")]
    EmptyGraph,
    /// A node that reads a node at or behind its own place, or an output beyond the last.
    #[error(
        "node '{node}' reads node number {reads}, which does not come before it; sort the nodes so that inputs come first"
    )]
    NotTopological {
        /// The reader.
        node: String,
        /// The position it reads.
        reads: usize,
    },
    /// The output names a node that does not exist.
    #[error("the output is node number {output}, but the graph has {nodes} nodes")]
    OutputMissing {
        /// The position named.
        output: usize,
        /// How many nodes there are.
        nodes: usize,
    },
    /// A node with too few or too many inputs.
    #[error("node '{node}' ({op}) has {found} inputs, and needs {expected}")]
    InputCount {
        /// The node.
        node: String,
        /// Its operation.
        op: &'static str,
        /// Inputs that the operation takes.
        expected: usize,
        /// Inputs given.
        found: usize,
    },
    /// A number of features that does not fit its neighbour.
    #[error("node '{node}': {what} has {found} features where {expected} are needed")]
    Features {
        /// The node.
        node: String,
        /// The side of it that does not fit.
        what: &'static str,
        /// What would fit.
        expected: usize,
        /// What was given.
        found: usize,
    },
    /// A weight, bias or coefficient that is NaN or infinite.
    #[error(
        "node '{node}': {what} number {index} is {value}; train or export the model again with finite weights"
    )]
    WeightNotFinite {
        /// The node.
        node: String,
        /// Weight, bias or coefficient.
        what: &'static str,
        /// Its place, counted in row-major order among those stored.
        index: usize,
        /// NaN or infinite.
        value: f64,
    },
    /// A matrix entry outside the matrix.
    #[error("entry ({row}, {col}) lies outside a matrix of {rows} x {cols}")]
    MatrixEntry {
        /// Row of the entry.
        row: usize,
        /// Column of the entry.
        col: usize,
        /// Rows of the matrix.
        rows: usize,
        /// Columns of the matrix.
        cols: usize,
    },
    /// A matrix with more columns than an entry can name.
    #[error("a matrix of {cols} columns is beyond the 2^32 features that a layer may have")]
    MatrixTooWide {
        /// Columns asked for.
        cols: usize,
    },
    /// Operands of a matrix operation that do not fit.
    #[error("{op}: the left side has {left} columns and the right side {right} rows")]
    MatrixOperands {
        /// The operation.
        op: &'static str,
        /// Columns of the matrix on the left.
        left: usize,
        /// Rows of the operand on the right.
        right: usize,
    },
    /// Samples that do not fill a whole number of rows.
    #[error(
        "{found} values are no whole number of samples of {features} features; pass [n, {features}] values in row-major order"
    )]
    SampleLength {
        /// Values given.
        found: usize,
        /// Features of a sample.
        features: usize,
    },
}
