//! The two parties of a computation: the data owner ([`Client`]), who holds the secret key, and the model owner ([`Server`]), whose
//! types cannot hold one. What passes between them: a [`ClientPlan`](crate::plan::ClientPlan), evaluation keys, and ciphertexts.

mod client;
mod server;

pub use client::{Client, PublicKeys};
pub use server::Server;
