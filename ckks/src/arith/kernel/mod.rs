//! Slice-level kernels, one file a backend with the same functions in the same order; `scalar.rs` is the specification.
//!
//! A [`Backend`] is chosen once, when tables are built. All inputs and outputs are reduced unless a function says otherwise;
//! reduced outputs agree bit for bit between backends.

mod scalar;

use super::modulus::{Modulus, ShoupFactor};
use super::ntt::{Fold, Twiddles};

/// A family of kernels that this machine can run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// Portable `u64`/`u128` code: the specification.
    Scalar,
}

/// `count` rows of equal length in one buffer, row r starting at `r * stride`.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    pub(crate) data: &'a [u64],
    pub(crate) stride: usize,
    pub(crate) count: usize,
}

impl<'a> Rows<'a> {
    /// Row `r`, `len` words long.
    #[inline]
    pub(crate) fn row(&self, r: usize, len: usize) -> &'a [u64] {
        &self.data[r * self.stride..][..len]
    }
}

impl Backend {
    /// The fastest backend of this machine, or the one that `SLOTWISE_BACKEND` names.
    pub fn detect() -> Self {
        Self::Scalar
    }

    /// Name as used in reports and in `SLOTWISE_BACKEND`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
        }
    }

    /// a_i ← a_i + b_i.
    pub(crate) fn add_assign(self, q: &Modulus, a: &mut [u64], b: &[u64]) {
        match self {
            Self::Scalar => scalar::add_assign(q, a, b),
        }
    }

    /// a_i ← a_i − b_i.
    pub(crate) fn sub_assign(self, q: &Modulus, a: &mut [u64], b: &[u64]) {
        match self {
            Self::Scalar => scalar::sub_assign(q, a, b),
        }
    }

    /// a_i ← −a_i.
    pub(crate) fn neg_assign(self, q: &Modulus, a: &mut [u64]) {
        match self {
            Self::Scalar => scalar::neg_assign(q, a),
        }
    }

    /// out_i ← a_i b_i.
    pub(crate) fn mul_into(self, q: &Modulus, out: &mut [u64], a: &[u64], b: &[u64]) {
        match self {
            Self::Scalar => scalar::mul_into(q, out, a, b),
        }
    }

    /// a_i ← a_i b_i.
    pub(crate) fn mul_assign(self, q: &Modulus, a: &mut [u64], b: &[u64]) {
        match self {
            Self::Scalar => scalar::mul_assign(q, a, b),
        }
    }

    /// acc_i ← acc_i + a_i b_i.
    pub(crate) fn mul_add_assign(self, q: &Modulus, acc: &mut [u64], a: &[u64], b: &[u64]) {
        match self {
            Self::Scalar => scalar::mul_add_assign(q, acc, a, b),
        }
    }

    /// a_i ← a_i w. The a_i may be any words below 2^52.
    pub(crate) fn mul_scalar_assign(self, q: &Modulus, a: &mut [u64], w: ShoupFactor) {
        match self {
            Self::Scalar => scalar::mul_scalar_assign(q, a, w),
        }
    }

    /// a_i ← a_i + b_i w.
    pub(crate) fn mul_scalar_add_assign(
        self,
        q: &Modulus,
        a: &mut [u64],
        b: &[u64],
        w: ShoupFactor,
    ) {
        match self {
            Self::Scalar => scalar::mul_scalar_add_assign(q, a, b, w),
        }
    }

    /// a_i ← (a_i − b_i) w: the last step of a rescale or ModDown.
    pub(crate) fn sub_mul_scalar_assign(
        self,
        q: &Modulus,
        a: &mut [u64],
        b: &[u64],
        w: ShoupFactor,
    ) {
        match self {
            Self::Scalar => scalar::sub_mul_scalar_assign(q, a, b, w),
        }
    }

    /// out_i ← Σ_r x_ri y_ri over the rows of both: the inner product of key switching. At most 4,095 rows.
    pub(crate) fn dot_into(self, q: &Modulus, out: &mut [u64], x: Rows<'_>, y: Rows<'_>) {
        debug_assert!(x.count == y.count && x.count <= MAX_LAZY_TERMS);
        match self {
            Self::Scalar => scalar::dot_into(q, out, x, y),
        }
    }

    /// v_i ← round(Σ_r x_ri / d_r), the multiple of D = Π d_r by which a sum Σ_r x_ri (D / d_r) exceeds its
    /// representative in (−D/2, D/2] (Halevi-Polyakov-Shoup 2018/117, section 2.2). `inverses` are the 1 / d_r.
    pub(crate) fn round_quotient(self, v: &mut [u64], x: Rows<'_>, inverses: &[f64]) {
        debug_assert_eq!(x.count, inverses.len());
        match self {
            Self::Scalar => scalar::round_quotient(v, x, inverses),
        }
    }

    /// out_i ← Σ_r w_r x_ri − w_D v_i mod q for words x_ri < 2^50 of any moduli and reduced weights: one target limb of a
    /// base conversion.
    pub(crate) fn convert_into(
        self,
        q: &Modulus,
        out: &mut [u64],
        x: Rows<'_>,
        weights: &[u64],
        v: &[u64],
        d: ShoupFactor,
    ) {
        debug_assert!(x.count == weights.len() && x.count <= MAX_LAZY_TERMS);
        match self {
            Self::Scalar => scalar::convert_into(q, out, x, weights, v, d),
        }
    }

    /// out_(o,i) ← Σ_k w_(o,k) x_(k,i) mod q: `weights` has a row of `x.count` reduced constants for each of the `outputs` rows of
    /// `out`, which start `out_stride` apart. Any number of terms.
    pub(crate) fn gemm_into(
        self,
        q: &Modulus,
        out: &mut [u64],
        out_stride: usize,
        len: usize,
        weights: &[u64],
        x: Rows<'_>,
    ) {
        match self {
            Self::Scalar => scalar::gemm_into(q, out, out_stride, len, weights, x),
        }
    }

    /// Forward butterflies (see [`super::NttTable`]).
    pub(crate) fn ntt_forward(self, q: &Modulus, a: &mut [u64], twiddles: &Twiddles) {
        match self {
            Self::Scalar => scalar::ntt_forward(q, a, twiddles),
        }
    }

    /// Inverse butterflies and the factor 1/N.
    pub(crate) fn ntt_inverse(
        self,
        q: &Modulus,
        a: &mut [u64],
        twiddles: &Twiddles,
        inv_n: ShoupFactor,
    ) {
        match self {
            Self::Scalar => scalar::ntt_inverse(q, a, twiddles, inv_n),
        }
    }

    /// a_j ← a_j − i a_(N−j) for j > 0: into the tree of the conjugate-invariant ring.
    pub(crate) fn fold(self, q: &Modulus, a: &mut [u64], fold: &Fold) {
        match self {
            Self::Scalar => scalar::fold(q, a, fold),
        }
    }

    /// a_j ← (a_j + i a_(N−j)) / 2 for j > 0: the inverse of [`Self::fold`].
    pub(crate) fn unfold(self, q: &Modulus, a: &mut [u64], fold: &Fold) {
        match self {
            Self::Scalar => scalar::unfold(q, a, fold),
        }
    }

    /// out_i ← a_(table_i): an automorphism in the NTT domain.
    pub(crate) fn permute_into(self, out: &mut [u64], a: &[u64], table: &[u32]) {
        match self {
            Self::Scalar => scalar::permute_into(out, a, table),
        }
    }
}

/// Hi/lo accumulators of 52-bit halves hold this many terms without overflow.
pub(crate) const MAX_LAZY_TERMS: usize = 4_095;
