//! What can go wrong in this crate, each with the values that clash and what to do about it.

use std::fmt;
use std::io;
use std::path::PathBuf;

use serde::Serialize;

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of the engine. Names the node of the graph or the file it is about.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    // ---- graphs and their maps ----
    /// A graph that has no input at its head, or a second one behind it.
    #[error("node '{node}' (number {index}): a graph has exactly one input, and it is its first node")]
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
    /// An axis that the results do not have.
    #[error("{head:?} does not fit {results} results: they are no whole number of times its length and step")]
    HeadAxis {
        /// What was to be done after decryption.
        head: crate::graph::Head,
        /// Results of a sample.
        results: usize,
    },
    /// A weight, bias or coefficient that is NaN or infinite.
    #[error("node '{node}': {what} number {index} is {value}; train or export the model again with finite weights")]
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

    /// A graph that makes the same of every sample.
    #[error(
        "node '{node}': the results are the same for every sample, so there is nothing to compute on encrypted data; use another model"
    )]
    SameResults {
        /// The node that makes the results.
        node: String,
    },

    /// More results than are held in memory.
    #[error(
        "node '{node}': {samples} samples of {features} results each are more than the {limit} numbers that are held at once; use fewer samples"
    )]
    TooManyResults {
        /// The node that makes the results.
        node: String,
        /// Samples given.
        samples: usize,
        /// Results of each.
        features: usize,
        /// The most results of all samples.
        limit: usize,
    },

    /// An activation that no polynomial can stand for, or a polynomial that stands for none.
    #[error("node '{node}': {problem}; use another activation, or calibrate with other data")]
    Approximation {
        /// The node.
        node: String,
        /// What is wrong with it.
        problem: String,
    },

    // ---- files ----
    /// A file that cannot be opened or read.
    #[error("{}: {source}", path.display())]
    ReadFile {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file without content.
    #[error("{}: the file is empty; make or download it again", path.display())]
    EmptyFile {
        /// The file.
        path: PathBuf,
    },

    /// A file that cannot be written.
    #[error("{}: {source}; nothing was written", path.display())]
    WriteFile {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },

    // ---- primitives ----
    /// A primitive that fails, or computes something wrong.
    #[error(transparent)]
    Measure(#[from] bench::Error),
    /// A name that belongs to no parameter set.
    #[error("there is no parameter set '{name}'; take one of {known}, or give sizes")]
    UnknownSet {
        /// The name given.
        name: String,
        /// Those that there are.
        known: String,
    },
    /// Sizes that no parameters can have, or that are not secure.
    #[error("N = 2^{log_n} with {limbs} limbs: {reason}{advice}")]
    NoSuchSet {
        /// log2 of the degree.
        log_n: u32,
        /// Limbs of the chain.
        limbs: usize,
        /// What is wrong with them.
        reason: ckks::Error,
        /// What else could be done.
        advice: &'static str,
    },
    /// Keys and operands that memory does not hold.
    #[error(
        "measuring N = 2^{log_n} with {limbs} limbs takes about {needed:.1} GB for keys, and {available:.1} GB of memory are free; use fewer limbs, fewer digits or a smaller N"
    )]
    MeasureMemory {
        /// log2 of the degree.
        log_n: u32,
        /// Limbs of the chain.
        limbs: usize,
        /// Gigabytes that it takes.
        needed: f64,
        /// Gigabytes that there are.
        available: f64,
    },

    // ---- runs ----
    /// Samples out of the range of a plan, of which there may be fewer.
    #[error(
        "{}: {found} of {n} samples{} out of range: {first}; calibrate with samples like these data (--calibration), \
         and see that both are in the units that the model was trained on",
        path.display(), MoreThan(*most)
    )]
    OutOfRange {
        /// The file with the samples.
        path: PathBuf,
        /// How many of those that were looked at.
        found: usize,
        /// Samples of the file.
        n: usize,
        /// How many percent may be left out.
        most: f64,
        /// The first one.
        first: Box<OutOfRange>,
    },
    /// Polynomials that no allowed degree makes good enough.
    #[error(
        "polynomials of degree {degree} or less leave results off by {error:.2e} (root mean square on the calibration data), more than the {tolerance:.2e} asked for (--tolerance): allow larger degrees (--degree), or keep the ranges of activations smaller (see docs/models.md)"
    )]
    Tolerance {
        /// What results are off by.
        error: f64,
        /// What they may be.
        tolerance: f64,
        /// Largest degree allowed.
        degree: usize,
    },
    /// One sample to take ranges from.
    #[error("{}: one sample says nothing of the range of others; calibrate with several, better hundreds, like the data (--calibration)", path.display())]
    OneSample {
        /// The samples.
        path: PathBuf,
    },
    /// More samples than memory holds.
    #[error("{samples} samples of {features} features do not fit into memory; ask for fewer with --samples")]
    TooManySamples {
        /// Samples asked for.
        samples: usize,
        /// Features of each.
        features: usize,
    },
    /// A thread pool that cannot be made.
    #[error("the threads cannot be started: {problem}; use fewer")]
    Threads {
        /// What the system said.
        problem: String,
    },
    /// An operation of the scheme.
    #[error(transparent)]
    Ckks(#[from] ckks::Error),
    /// Data.
    #[error(transparent)]
    Data(#[from] crate::data::DataError),
    /// A layout.
    #[error(transparent)]
    Layout(#[from] crate::layout::LayoutError),
    /// A program.
    #[error(transparent)]
    Program(#[from] crate::program::ProgramError),
    /// A plan.
    #[error(transparent)]
    Plan(#[from] crate::plan::PlanError),
    /// What two parties exchange.
    #[error(transparent)]
    Session(#[from] crate::session::SessionError),

    // ---- ONNX ----
    /// A file that is no ONNX model, or one that the reader of ONNX refuses.
    #[error("{}: {doing} failed: {message}; if the file is whole, export the model again with opset 13 and fixed shapes", path.display())]
    Onnx {
        /// The file.
        path: PathBuf,
        /// The step that failed.
        doing: &'static str,
        /// What the reader says.
        message: String,
    },
    /// A model on which the reader of ONNX broke down.
    #[error("{}: the ONNX reader broke down while {doing}: {message}; the file is damaged or unlike what PyTorch exports", path.display())]
    OnnxPanic {
        /// The file.
        path: PathBuf,
        /// The step that failed.
        doing: &'static str,
        /// What the reader says.
        message: String,
    },
    /// Weights in a file of their own that is not there, or not whole.
    #[error(
        "{}: the weights '{tensor}' are in another file, '{location}', which {problem}; keep both files together, or export the model as one file (external_data=False)",
        path.display()
    )]
    OnnxExternal {
        /// The model.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// The file that it names.
        location: String,
        /// What is wrong with that file.
        problem: String,
    },
    /// A model with other than one input and one output.
    #[error("{}: {problem}; export a model from one tensor to one tensor", path.display())]
    OnnxInterface {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the names.
        problem: String,
    },
    /// An input without a batch dimension, or with unknown dimensions behind it.
    #[error("{}: the input '{input}' has shape {shape}: {problem}; export with shape [batch, ...] and only the batch dynamic", path.display())]
    OnnxShape {
        /// The file.
        path: PathBuf,
        /// The input.
        input: String,
        /// Its shape as the file has it.
        shape: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A model that runs with batches of one size only.
    #[error(
        "{}: it was exported with a batch of {batch} samples and holds that number inside; export it with a batch of one, or with a dynamic one \
         (dynamic_axes, or dynamic_shapes of the newer exporter)",
        path.display()
    )]
    OnnxBatch {
        /// The file.
        path: PathBuf,
        /// Samples of its batch.
        batch: usize,
    },
    /// An input of another type than single precision.
    #[error("{}: the input '{input}' is of type {found}, and must be 32-bit float; {}", path.display(), to_float(found))]
    OnnxType {
        /// The file.
        path: PathBuf,
        /// The input.
        input: String,
        /// Its type.
        found: String,
    },
    /// A node that fails when it is run, or breaks the promise of its operator.
    #[error("node '{node}' ({operator}): {problem}")]
    OnnxNode {
        /// The node.
        node: String,
        /// Its operator.
        operator: String,
        /// What is wrong.
        problem: String,
    },
    /// Nodes that cannot be computed on encrypted data, all of the model's at once.
    #[error("{}: {} of its nodes cannot be computed on encrypted data:{}", path.display(), nodes.len(), Advice(nodes))]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// All of them, in the order of computation.
        nodes: Vec<UnsupportedNode>,
    },
}

/// A sample that a plan is of no use for, by the first node that shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OutOfRange {
    /// Number of the sample, from 0.
    pub sample: usize,
    /// The activation whose polynomial means nothing for it, or the node whose values are too large.
    pub node: String,
    /// The value there that is farthest out; null in JSON if it is not finite.
    pub value: f64,
    /// Where the polynomial holds, or what there is room for.
    pub range: [f64; 2],
    /// What the polynomial is off by, if it is one.
    pub error: Option<f64>,
}

impl fmt::Display for OutOfRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sample, node, value, range: [low, high], error } = self;
        match error {
            Some(error) => {
                write!(
                    f,
                    "sample {sample} has {value:.4} at node '{node}', whose polynomial holds on [{low:.4}, {high:.4}] and is off by {error:.3} there"
                )
            }
            None if value.is_finite() => {
                write!(f, "sample {sample} has {value:.3e} at node '{node}', and the plan has room for {high:.3e}")
            }
            None => write!(f, "sample {sample} has {value} at node '{node}' in the clear"),
        }
    }
}

/// What share of samples may be left out, if any, where more are.
struct MoreThan(f64);

impl fmt::Display for MoreThan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0.0 => write!(f, " are"),
            most => write!(f, ", more than the {most} % that are left out (--leave-out), are"),
        }
    }
}

/// A node that cannot be computed on encrypted data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnsupportedNode {
    /// Its name.
    pub node: String,
    /// Its operator.
    pub operator: String,
    /// What to do about it.
    pub advice: String,
}

impl fmt::Display for UnsupportedNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}' ({})", self.node, self.operator)
    }
}

/// Each advice on a line of its own, behind all nodes that it is for.
struct Advice<'a>(&'a [UnsupportedNode]);

impl fmt::Display for Advice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, first) in self.0.iter().enumerate() {
            let same = |node: &&UnsupportedNode| node.advice == first.advice;
            if self.0[..i].iter().any(|node| same(&node)) {
                continue;
            }
            let nodes: Vec<String> = self.0.iter().filter(same).map(UnsupportedNode::to_string).collect();
            write!(f, "\n  {}: {}", nodes.join(", "), first.advice)?;
        }
        Ok(())
    }
}

/// What to do about an input of another type.
fn to_float(found: &str) -> &'static str {
    match found.starts_with("Int") || found.starts_with("Uint") {
        true => {
            "convert the model to float32, or let it begin behind its embedding: places in a table cannot be encrypted"
        }
        false => "convert the model to float32",
    }
}
