//! Neural networks on encrypted data.

pub mod approx;
pub mod data;
pub mod engine;
mod error;
pub mod exec;
pub mod fingerprint;
pub mod graph;
pub mod layout;
pub mod lower;
pub mod measure;
pub mod onnx;
pub mod pass;
pub mod plan;
pub mod program;
pub mod progress;
pub mod report;
pub mod session;

pub use error::{Error, OutOfRange, Result, UnsupportedNode};
