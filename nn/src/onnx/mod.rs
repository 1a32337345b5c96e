//! ONNX files become graphs: the only place that knows ONNX, and `tract`, the crate that reads it.
//!
//! ```text
//! bytes -> proto (checks, rewrite, sklearn) -> head: a last softmax or the like is taken off -> tract: shapes inferred, constants folded (bounded: sizes first), nodes rewritten -> import: node by node
//!   -> pointwise: an activation that has a name
//!   -> linear: y = sum of M_i x_i + c, by a direct construction (window, einsum, elementwise) or by
//!      probing the one node with unit vectors, and held against tract's own result on a random vector
//!   -> else: listed as unsupported, all at once
//! ```
//!
//! A new operator that is linear in the data needs its name in the table of `linear.rs`; one that is not needs a line in
//! `pointwise.rs` and a variant of [`Activation`](crate::graph::Activation).

mod advice;
mod bounded;
mod einsum;
mod elementwise;
mod guard;
mod head;
mod import;
mod linear;
mod node;
mod original;
mod pointwise;
mod probe;
mod proto;
mod rewrite;
mod sklearn;
mod window;

use std::path::{Path, PathBuf};

pub use original::Original;
use tract_onnx::prelude::{TractResult, TypedModel};

use crate::error::{Error, Result};
use crate::fingerprint::Fingerprint;
use crate::graph::Graph;

/// A model as trained, and the same model as a graph of affine maps and activations.
#[derive(Debug, Clone)]
pub struct OnnxModel {
    /// The network over flat features, as imported: no pass has run over it.
    pub graph: Graph,
    /// The model as its author knows it, in single precision, without what the graph's head does.
    pub original: Original,
    /// Of the file, and of the files with weights that it reads.
    pub fingerprint: Fingerprint,
}

impl OnnxModel {
    /// Reads an ONNX file with one input, whose first dimension is the batch, and one output.
    ///
    /// # Errors
    /// [`Error::ReadFile`], [`Error::EmptyFile`], and those of [`OnnxModel::from_bytes`].
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(|source| Error::ReadFile { path: path.into(), source })?;
        Self::from_bytes(path, &bytes)
    }

    /// As [`OnnxModel::load`], from the contents of a file; `path` serves messages and the place of external weights.
    ///
    /// # Errors
    /// [`Error::EmptyFile`]; [`Error::Onnx`] and [`Error::OnnxPanic`] for a file that tract cannot read;
    /// [`Error::OnnxExternal`] for weights that are not there; [`Error::OnnxInterface`], [`Error::OnnxShape`], [`Error::OnnxType`] and [`Error::OnnxBatch`] for inputs and outputs that do not fit;
    /// [`Error::Unsupported`], which lists all nodes that have no place in a graph; [`Error::OnnxNode`] for a node
    /// that fails when it is run, or turns out not to be what its operator promises; [`Error::WeightNotFinite`].
    pub fn from_bytes(path: impl AsRef<Path>, bytes: &[u8]) -> Result<Self> {
        let file = Source { path: path.as_ref().to_path_buf() };
        if bytes.is_empty() {
            return Err(Error::EmptyFile { path: file.path });
        }
        let proto = proto::Checked::new(&file, bytes)?;
        let plain = proto.single(&file)?;
        let parts = |model: TypedModel, plain: Option<TypedModel>| -> Result<_> {
            let graph = file.guard("translating its nodes", || import::import(&file, &proto, &model))??;
            Ok((graph, Original::new(&file, &proto, model, plain)?))
        };
        // tract's rewrites say in one node what exporters spell out; where they fail, or make another model, the file is taken as it stands.
        let rewritten = file.tract(REWRITING, || plain.clone().into_decluttered());
        let (graph, original) = rewritten.and_then(|model| parts(model, Some(plain.clone()))).or_else(|error| {
            parts(plain, None).map_err(|of_plain| if is_of_rewriting(&error) { of_plain } else { error })
        })?;
        let results: Vec<usize> = [&[1], original.output_shape()].concat();
        let graph = graph.with_head(proto.head(&results)?)?;
        let fingerprint = proto.fingerprint(&file, bytes)?;
        Ok(OnnxModel { graph, original, fingerprint })
    }
}

/// What is done to a model once all shapes are known.
const REWRITING: &str = "rewriting it";

fn is_of_rewriting(error: &Error) -> bool {
    matches!(error, Error::Onnx { doing: REWRITING, .. } | Error::OnnxPanic { doing: REWRITING, .. })
}

/// The file that a message is about.
#[derive(Debug, Clone)]
struct Source {
    path: PathBuf,
}

impl Source {
    /// The folder in which the model lies, for weights in files of their own.
    fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }

    /// Runs tract code on foreign input: its panics end here.
    fn guard<T>(&self, doing: &'static str, work: impl FnOnce() -> T) -> Result<T> {
        guard::guard(work).map_err(|message| Error::OnnxPanic { path: self.path.clone(), doing, message })
    }

    /// As [`Source::guard`], for work that can also fail in an orderly way.
    fn tract<T>(&self, doing: &'static str, work: impl FnOnce() -> TractResult<T>) -> Result<T> {
        self.guard(doing, work)?.map_err(|error| Error::Onnx {
            path: self.path.clone(),
            doing,
            message: format!("{error:#}"),
        })
    }
}

#[cfg(test)]
mod tests;
