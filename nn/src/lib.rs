//! Neural networks on encrypted data.

pub mod data;
mod error;
pub mod graph;
pub mod onnx;
pub mod pass;

pub use error::{Error, Result, UnsupportedNode};
