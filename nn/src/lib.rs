//! Neural networks on encrypted data.

pub mod graph;
