//! RNS-CKKS from scratch: approximate arithmetic on encrypted vectors.
//!
//! `circuit → scheme → ring → arith`: each layer imports only those to its right. Begin with [`ParamsSpec`], or with the numbered
//! programs in `examples/`.

mod arith;
mod circuit;
mod error;
mod ring;
mod scheme;

pub use arith::{Backend, Modulus, NttTable, RingKind, Rows, ShoupFactor, is_prime, ntt_primes};
pub use circuit::{Chained, DiagonalMap, DiagonalTerm, Pointwise, PointwiseInputs, ScalarMatrix, apply_pointwise};
pub use error::{Error, Result};
pub use ring::{Basis, Coeff, Entropy, Form, Ledger, Ntt, Poly, Ring, Seed, Taken, Work};
pub use rustfft::num_complex::Complex64;
pub use scheme::{
    Ciphertext, Decryptor, Encoder, Encryptor, Estimate, EvaluationKeys, Evaluator, ExtendedCiphertext,
    ExtendedPlaintext, Hoisted, KeyGenerator, KeyRequest, MeasuredError, PRESETS, Params, ParamsSpec, Plaintext,
    Preset, PublicKey, Scale, SecretKey, SeededCiphertext, SeededSwitchingKey, SumFactor, SumTerm, SwitchingKey,
    max_log_qp, wire,
};
