//! RNS-CKKS: parameters, encoding, keys, encryption, and the operations on ciphertexts.
//!
//! Start with [`ParamsSpec`] and [`Params`], then [`Encoder`], [`KeyGenerator`], [`Encryptor`], [`Decryptor`] and [`Evaluator`].

mod ciphertext;
mod encoder;
mod encrypt;
mod evaluator;
mod extended;
mod fft;
mod flooding;
mod key_switch;
mod keygen;
mod keys;
mod noise;
mod params;
mod plaintext;
mod presets;
mod rotate;
mod scale;
mod sum;
pub mod wire;

pub use ciphertext::{Ciphertext, SeededCiphertext};
pub use encoder::Encoder;
pub use encrypt::{Decryptor, Encryptor, MeasuredError};
pub use evaluator::Evaluator;
pub use extended::ExtendedCiphertext;
pub use keygen::{KeyGenerator, KeyRequest};
pub use keys::{EvaluationKeys, PublicKey, SecretKey, SeededSwitchingKey, SwitchingKey};
pub use noise::Estimate;
pub use params::{Params, ParamsSpec, max_log_qp};
pub use plaintext::{ExtendedPlaintext, Plaintext};
pub use presets::{PRESETS, Preset};
pub use rotate::Hoisted;
pub use scale::Scale;
pub use sum::{SumFactor, SumTerm};
