//! Modular matrix products.
use super::super::super::modulus::Modulus;
use super::super::{Rows, scalar};

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
pub(in super::super) fn gemm_into(q: &Modulus, out: &mut [u64], out_stride: usize, len: usize, weights: &[u64], x: Rows<'_>) {
    scalar::gemm_into(q, out, out_stride, len, weights, x);
}
