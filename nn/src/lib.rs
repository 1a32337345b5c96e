//! Neural networks on encrypted data.

mod error;
pub mod graph;

pub use error::{Error, Result};
