//! Neural networks on encrypted data.

mod error;
pub mod graph;
pub mod onnx;

pub use error::{Error, Result, UnsupportedNode};
