#![doc = include_str!("NOTES.md")]

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "vector loads and stores; everything else is checked by target features")]
pub(crate) mod avx2;
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "vector loads and stores; everything else is checked by target features")]
pub(crate) mod ifma;
#[cfg(target_arch = "x86_64")]
mod layers;
mod operands;
mod scalar;
#[cfg(test)]
mod tests;

use std::sync::OnceLock;

use super::modulus::{Modulus, ShoupFactor};
use super::ntt::RingKind;
use super::twiddles::Twiddles;
use crate::error::{Error, Result};

pub use operands::Rows;
pub(crate) use operands::{
    GEMM_COLUMNS, GEMM_OUTPUTS, Keystream, Loops, MAX_LAZY_TERMS, MAX_SHORT_SUM, OnPart, Pair, Panels, Pieces, Root,
    Shape, Start, tiled,
};

/// A family of kernels that this machine can run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// Portable `u64`/`u128` code: the specification.
    Scalar,
    /// AVX2 with products of doubles by FMA.
    #[cfg(target_arch = "x86_64")]
    Avx2(avx2::Token),
    /// AVX-512 with 52-bit products.
    #[cfg(target_arch = "x86_64")]
    Ifma(ifma::Token),
}

/// Asks for the cache lines of words that will be read soon, where there is a way to ask.
#[inline]
pub(crate) fn prefetch(words: &[u64]) {
    #[cfg(target_arch = "x86_64")]
    for line in words.chunks(8) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint, which reads nothing; every x86-64 CPU has the instruction.
        #[expect(unsafe_code, reason = "a pointer is what the instruction takes")]
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast());
        }
    }
}

/// Calls the function of this name in the file of the backend.
macro_rules! dispatch {
    ($backend:expr, $function:ident($($argument:expr),*)) => {
        match $backend {
            Backend::Scalar => scalar::$function($($argument),*),
            #[cfg(target_arch = "x86_64")]
            Backend::Avx2(_) => {
                // SAFETY: the token exists, so this CPU has the target features of the function.
                #[expect(unsafe_code, reason = "the one call that needs the token")]
                unsafe { avx2::$function($($argument),*) }
            }
            #[cfg(target_arch = "x86_64")]
            Backend::Ifma(_) => {
                // SAFETY: the token exists, so this CPU has the target features of the function.
                #[expect(unsafe_code, reason = "the one call that needs the token")]
                unsafe { ifma::$function($($argument),*) }
            }
        }
    };
}

impl Backend {
    /// The fastest backend of this machine, or the one that `SLOTWISE_BACKEND` names. Decided once a process.
    ///
    /// # Errors
    /// [`Error::UnknownBackend`] or [`Error::UnavailableBackend`] when the variable names no backend, or one that this CPU lacks.
    pub fn detect() -> Result<Self> {
        static DETECTED: OnceLock<Result<Backend>> = OnceLock::new();
        DETECTED
            .get_or_init(|| match std::env::var_os("SLOTWISE_BACKEND") {
                None => Ok(Self::available()[0]),
                Some(name) => Self::named(&name.to_string_lossy()),
            })
            .clone()
    }

    /// The backend of this name, if the machine has it.
    ///
    /// # Errors
    /// [`Error::UnknownBackend`] when no backend has the name, [`Error::UnavailableBackend`] when this CPU lacks it.
    pub fn named(name: &str) -> Result<Self> {
        if let Some(&backend) = Self::available().iter().find(|backend| backend.name() == name) {
            return Ok(backend);
        }
        let name = name.to_owned();
        if NAMES.contains(&name.as_str()) {
            Err(Error::UnavailableBackend { name })
        } else {
            Err(Error::UnknownBackend { name })
        }
    }

    /// Every backend that this machine can run, fastest first.
    pub fn available() -> Vec<Self> {
        #[cfg(target_arch = "x86_64")]
        let vector = [ifma::Token::new().map(Self::Ifma), avx2::Token::new().map(Self::Avx2)];
        #[cfg(not(target_arch = "x86_64"))]
        let vector: [Option<Self>; 0] = [];
        vector.into_iter().flatten().chain([Self::Scalar]).collect()
    }

    /// Name as used in reports and in `SLOTWISE_BACKEND`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => "avx2",
            #[cfg(target_arch = "x86_64")]
            Self::Ifma(_) => "ifma",
        }
    }

    /// out_i ← x_i mod q, for |x_i| <= 2^50.
    pub(crate) fn reduce_signed_into(self, q: &Modulus, out: &mut [u64], x: &[i64]) {
        assert_eq!(out.len(), x.len());
        dispatch!(self, reduce_signed_into(q, out, x))
    }

    /// a_i ← a_i + b_i.
    pub(crate) fn add_assign(self, q: &Modulus, a: &mut [u64], b: &[u64]) {
        assert_eq!(a.len(), b.len());
        dispatch!(self, add_assign(q, a, b))
    }

    /// a_i ← a_i − b_i.
    pub(crate) fn sub_assign(self, q: &Modulus, a: &mut [u64], b: &[u64]) {
        assert_eq!(a.len(), b.len());
        dispatch!(self, sub_assign(q, a, b))
    }

    /// a_i ← −a_i.
    pub(crate) fn neg_assign(self, q: &Modulus, a: &mut [u64]) {
        dispatch!(self, neg_assign(q, a))
    }

    /// out_i ← a_i b_i.
    ///
    /// # Panics
    /// For slices of different lengths.
    pub fn mul_into(self, q: &Modulus, out: &mut [u64], a: &[u64], b: &[u64]) {
        assert!(out.len() == a.len() && out.len() == b.len());
        dispatch!(self, mul_into(q, out, a, b))
    }

    /// a_i ← a_i b_i.
    pub(crate) fn mul_assign(self, q: &Modulus, a: &mut [u64], b: &[u64]) {
        assert_eq!(a.len(), b.len());
        dispatch!(self, mul_assign(q, a, b))
    }

    /// acc_i ← acc_i + a_i b_i.
    pub(crate) fn mul_add_assign(self, q: &Modulus, acc: &mut [u64], a: &[u64], b: &[u64]) {
        assert!(acc.len() == a.len() && acc.len() == b.len());
        dispatch!(self, mul_add_assign(q, acc, a, b))
    }

    /// (a_i², 2 a_i b_i, b_i²).
    pub(crate) fn square_into(self, q: &Modulus, out: [&mut [u64]; 3], a: &[u64], b: &[u64]) {
        assert!(a.len() == b.len() && out.iter().all(|out| out.len() == a.len()));
        dispatch!(self, square_into(q, out, a, b))
    }

    /// a_i ← a_i w. The a_i may be any words below 2^52.
    pub(crate) fn mul_scalar_assign(self, q: &Modulus, a: &mut [u64], w: ShoupFactor) {
        dispatch!(self, mul_scalar_assign(q, a, w))
    }

    /// a_i ← a_i + b_i w. The b_i may be any words below 2^52.
    pub(crate) fn mul_scalar_add_assign(self, q: &Modulus, a: &mut [u64], b: &[u64], w: ShoupFactor) {
        assert_eq!(a.len(), b.len());
        dispatch!(self, mul_scalar_add_assign(q, a, b, w))
    }

    /// a_i ← (a_i − b_i) w: the last step of a rescale or ModDown.
    pub(crate) fn sub_mul_scalar_assign(self, q: &Modulus, a: &mut [u64], b: &[u64], w: ShoupFactor) {
        assert_eq!(a.len(), b.len());
        dispatch!(self, sub_mul_scalar_assign(q, a, b, w))
    }

    /// out_i ← Σ_r x_ri y_ri over the rows of both.
    ///
    /// # Panics
    /// For more than 4,095 rows, for different numbers of them, or rows shorter than `out`.
    pub fn dot_into(self, q: &Modulus, out: &mut [u64], x: Rows<'_>, y: Rows<'_>) {
        assert!(x.count == y.count && x.count <= MAX_LAZY_TERMS);
        x.check(out.len());
        y.check(out.len());
        dispatch!(self, dot_into(q, out, x, y))
    }

    /// [`Self::dot_into`] of rows that do not lie in one buffer: the inner product of key switching.
    ///
    /// # Panics
    /// As [`Self::dot_into`].
    pub(crate) fn dot_slices_into(self, q: &Modulus, out: &mut [u64], x: &[&[u64]], y: &[&[u64]]) {
        assert!(x.len() == y.len() && x.len() <= MAX_LAZY_TERMS);
        x.iter().chain(y).for_each(|row| assert_eq!(row.len(), out.len()));
        dispatch!(self, dot_slices_into(q, out, x, y))
    }

    /// out_i ← Σ_r w_r x_ri: [`Self::dot_slices_into`] where one side is the same all along.
    ///
    /// # Panics
    /// As [`Self::dot_into`].
    pub(crate) fn dot_scalars_into(self, q: &Modulus, out: &mut [u64], x: &[&[u64]], weights: &[u64]) {
        assert!(x.len() == weights.len() && x.len() <= MAX_LAZY_TERMS);
        x.iter().for_each(|row| assert_eq!(row.len(), out.len()));
        dispatch!(self, dot_scalars_into(q, out, x, weights))
    }

    /// v_i ← round(Σ_r x_ri / d_r), the multiple of D = Π d_r by which a sum Σ_r x_ri (D / d_r) exceeds its
    /// representative in (−D/2, D/2] (Halevi-Polyakov-Shoup 2018/117, section 2.2). `inverses` are the 1 / d_r.
    pub(crate) fn round_quotient(self, v: &mut [u64], x: Rows<'_>, inverses: &[f64]) {
        assert_eq!(x.count, inverses.len());
        x.check(v.len());
        dispatch!(self, round_quotient(v, x, inverses))
    }

    /// out_i ← Σ_r w_r x_ri − w_D v_i mod q for words x_ri, v_i < 2^50 of any moduli and reduced weights: one target limb of a
    /// base conversion. At most 4,094 rows.
    pub(crate) fn convert_into(
        self,
        q: &Modulus,
        out: &mut [u64],
        x: Rows<'_>,
        weights: &[u64],
        v: &[u64],
        d: ShoupFactor,
    ) {
        assert!(x.count == weights.len() && x.count < MAX_LAZY_TERMS);
        assert_eq!(out.len(), v.len());
        x.check(out.len());
        dispatch!(self, convert_into(q, out, x, weights, v, d))
    }

    /// out_i ← the representative of x_i in (−d/2, d/2], mod q, for x_i < d: one target limb of a base conversion from one prime d.
    pub(crate) fn center_into(self, q: &Modulus, out: &mut [u64], x: &[u64], d: u64) {
        assert_eq!(out.len(), x.len());
        dispatch!(self, center_into(q, out, x, d))
    }

    /// out_(o,i) ← Σ_t w_(o,t) x_(terms_t,i) mod q, over any number of terms: a product of constants, in the order of [`tiled`], with
    /// rows in panels. `out` has a row of all columns of `x` for each output.
    pub(crate) fn gemm_into(self, q: &Modulus, out: &mut [u64], weights: &[u64], terms: &[u32], x: Panels<'_>) {
        let width = x.count() * GEMM_COLUMNS;
        assert!(!terms.is_empty() && width > 0 && out.len() / width == weights.len() / terms.len());
        assert!(out.len().is_multiple_of(width) && weights.len().is_multiple_of(terms.len()));
        assert!(terms.iter().all(|&term| (term as usize) < x.rows));
        dispatch!(self, gemm_into(q, out, weights, terms, x))
    }

    /// How many products of [`Self::short_gemm_into`] take as long as one of [`Self::gemm_into`]; none where it is not faster.
    pub(crate) fn short_products(self) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => 8,
            #[cfg(target_arch = "x86_64")]
            Self::Ifma(_) => 2,
            Self::Scalar => 0,
        }
    }

    /// Cuts the rows of one panel into [`Pieces`] for [`Self::short_gemm_into`], two rows at a time; a last row without a second is
    /// followed by zeros. What lies where is the backend's own.
    pub(crate) fn split_into(self, q: &Modulus, pieces: &mut [u64], rows: &[u64]) {
        assert!(rows.len().is_multiple_of(GEMM_COLUMNS));
        assert_eq!(pieces.len(), rows.len().next_multiple_of(2 * GEMM_COLUMNS));
        match self {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the token exists, so this CPU has the target features of the function.
            #[expect(unsafe_code, reason = "the call that needs the token")]
            Self::Ifma(_) => unsafe { ifma::split_into(q, pieces, rows) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the token exists, so this CPU has the target features of the function.
            #[expect(unsafe_code, reason = "the call that needs the token")]
            Self::Avx2(_) => unsafe { avx2::split_into(q, pieces, rows) },
            Self::Scalar => scalar::split_into(pieces, rows),
        }
    }

    /// out_(o,i) ← Σ_t Σ_(s<2) w_(o,t,s) x_(2 terms_t + s, i) mod q for signed weights of 16 bits, in the order of [`tiled`], and one
    /// panel from [`Self::split_into`]. The |w| of an output sum up to at most [`Pieces::max_run`] in each `run` terms, and
    /// to [`MAX_SHORT_SUM`] in all.
    pub(crate) fn short_gemm_into(
        self,
        q: &Modulus,
        out: &mut [u64],
        weights: &[Pair],
        (terms, run): (&[u32], usize),
        x: &[u64],
    ) {
        assert!(!terms.is_empty() && run > 0 && out.len().is_multiple_of(GEMM_COLUMNS));
        assert_eq!(weights.len(), out.len() / GEMM_COLUMNS * terms.len());
        match self {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the token exists, so this CPU has the target features of the function.
            #[expect(unsafe_code, reason = "the call that needs the token")]
            Self::Ifma(_) => unsafe { ifma::short_gemm_into(q, out, weights, (terms, run), x) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the token exists, so this CPU has the target features of the function.
            #[expect(unsafe_code, reason = "the call that needs the token")]
            Self::Avx2(_) => unsafe { avx2::short_gemm_into(q, out, weights, (terms, run), x) },
            Self::Scalar => scalar::short_gemm_into(q, out, weights, terms, x),
        }
    }

    /// out_i ← the low b bits, b those of q, of each of the next groups of ⌈b/8⌉ bytes of a stream, little-endian. Whether all are below q.
    pub(crate) fn candidates_into(self, q: &Modulus, from: &Keystream, out: &mut [u64]) -> bool {
        dispatch!(self, candidates_into(q, from, out))
    }

    /// `loops.run()`, made of the vector instructions of these kernels as far as the compiler knows how: the same result, sooner.
    #[inline]
    pub(crate) fn vectorize<L: Loops>(self, loops: L) -> L::Output {
        dispatch!(self, vectorize(loops))
    }

    /// At least so many products of words, in registers, and nothing else: no kernel can be faster. The result depends on all of them,
    /// and means nothing.
    pub fn saturate_multiplier(self, products: u64) -> u64 {
        dispatch!(self, saturate_multiplier(products))
    }

    /// How transforms of `n` words in such a ring take their factors, where there are vectors.
    pub(crate) fn shape(self, n: usize, kind: RingKind) -> Option<Shape> {
        match self {
            Self::Scalar => None,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => Some(avx2::shape(kind)),
            #[cfg(target_arch = "x86_64")]
            Self::Ifma(_) => Some(ifma::shape(n)),
        }
    }

    /// A twiddle factor and its quotient, as the vector transforms read them.
    pub(crate) fn factor_words(self, q: &Modulus, w: ShoupFactor) -> [u64; 2] {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => avx2::factor(q, w.value).map(f64::to_bits),
            _ => [w.value, w.quotient],
        }
    }

    /// The forward butterflies (see [`super::NttTable`]), on what `start` says; `done` gets every part of the result, and where it begins.
    pub(crate) fn ntt_forward(
        self,
        q: &Modulus,
        a: &mut [u64],
        twiddles: &Twiddles,
        start: Start<'_>,
        done: OnPart<'_>,
    ) {
        assert_eq!(a.len(), twiddles.n());
        if let Start::Centred { x, .. } = start {
            assert_eq!(a.len(), x.len());
        }
        match (self, twiddles) {
            (_, Twiddles::Tree(tree)) => scalar::ntt_forward(q, a, tree, start, done),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the token exists, so this CPU has the target features of the function.
            #[expect(unsafe_code, reason = "the call that needs the token")]
            (Self::Avx2(_), Twiddles::Passes(passes)) => unsafe { avx2::ntt_forward(q, a, passes, start, done) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the token exists, so this CPU has the target features of the function.
            #[expect(unsafe_code, reason = "the call that needs the token")]
            (Self::Ifma(_), Twiddles::Passes(passes)) => unsafe { ifma::ntt_forward(q, a, passes, start, done) },
            (Self::Scalar, Twiddles::Passes(_)) => unreachable!("these factors were arranged for vectors"),
        }
    }

    /// The inverse of [`Self::ntt_forward`], times a constant if `root` holds one. `fill` writes every part of the operand, given where it
    /// begins, just before it is transformed.
    pub(crate) fn ntt_inverse(self, q: &Modulus, a: &mut [u64], twiddles: &Twiddles, root: Root<'_>, fill: OnPart<'_>) {
        assert_eq!(a.len(), twiddles.n());
        match (self, twiddles) {
            (_, Twiddles::Tree(tree)) => scalar::ntt_inverse(q, a, tree, root, fill),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the token exists, so this CPU has the target features of the function.
            #[expect(unsafe_code, reason = "the call that needs the token")]
            (Self::Avx2(_), Twiddles::Passes(passes)) => unsafe { avx2::ntt_inverse(q, a, passes, root, fill) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the token exists, so this CPU has the target features of the function.
            #[expect(unsafe_code, reason = "the call that needs the token")]
            (Self::Ifma(_), Twiddles::Passes(passes)) => unsafe { ifma::ntt_inverse(q, a, passes, root, fill) },
            (Self::Scalar, Twiddles::Passes(_)) => unreachable!("these factors were arranged for vectors"),
        }
    }

    /// out_i ← a_(table_i): an automorphism in the NTT domain.
    pub(crate) fn permute_into(self, out: &mut [u64], a: &[u64], table: &[u32]) {
        assert!(out.len() == a.len() && out.len() == table.len());
        dispatch!(self, permute_into(out, a, table))
    }

    /// a_i ← a_i + b_(table_i).
    pub(crate) fn permute_add_assign(self, q: &Modulus, a: &mut [u64], b: &[u64], table: &[u32]) {
        assert!(a.len() == b.len() && a.len() == table.len());
        dispatch!(self, permute_add_assign(q, a, b, table))
    }
}

/// Every backend that some machine can run.
const NAMES: [&str; 3] = ["ifma", "avx2", "scalar"];
