//! The two parties of a computation: the data owner ([`Client`]), who holds the secret key, and the model owner ([`Server`]), whose
//! types cannot hold one. What passes between them is files: a plan ([`PlanFile`]), evaluation keys, and batches of encrypted
//! samples and results, a chunk a file ([`Batch`]).
//!
//! Every file is a frame ([`Header`]) that says what it is and which plan and keys it belongs to. Readers take bytes from
//! anyone: they end with an object that fits the plan or with a [`FileError`].

mod batch;
mod chunk;
mod client;
mod error;
mod folder;
mod frame;
mod inspect;
mod key_files;
mod plan_file;
mod record;
mod server;
mod sizes;

pub use batch::{Encrypted, Inference, decrypt_batch, encrypt_batch, infer_batch, overlap_bytes};
pub use chunk::{BatchId, Ciphertexts, Marks, Part, read_chunk, write_chunk};
pub use client::{Client, Contributor, EncryptionKey, Party, PublicKeys};
pub use error::{FileError, SessionError};
pub use folder::{Batch, read_file};
pub use frame::{Header, Kind, Payload, VERSION, write_frame};
pub use inspect::Inspected;
pub use key_files::{EVALUATION_KEY, PUBLIC_KEY, SECRET_KEY, generate_keys, write_keys};
pub use plan_file::{ModelId, PlanFile};
pub use record::{Record, record_batch};
pub use server::{Server, read_evaluation_keys};
pub use sizes::Sizes;
