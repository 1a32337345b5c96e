//! y_o = Σ_k w_ok x_k for ciphertexts x_k and constants w_ok: a linear layer on one feature a ciphertext is a modular matrix
//! product over coefficients (CryptoNets, Dowlin et al. 2016; nGraph-HE2 2019/947).
//!
//! Residue by residue, the outputs are the product of the matrix of constants with a matrix whose row k is a limb of x_k. Rows of
//! the matrix of constants that read the same inputs, as the maps of a convolution do, form a dense group, so that sparse layers
//! cost what their entries cost. Coefficients are cut into blocks; one block of all inputs is packed once and read from cache by every
//! group.

use std::collections::BTreeMap;

use aligned_vec::AVec;
use rayon::prelude::*;

use crate::arith::{Backend, GEMM_COLUMNS, Modulus, Panels, tiled};
use crate::error::{Error, Result};
use crate::ring::Poly;
use crate::scheme::{Ciphertext, Params, Scale};

/// Coefficients that a task packs and multiplies at a time: with a thousand inputs they fill half of a 1 MiB cache.
const BLOCK: usize = 4 * GEMM_COLUMNS;

/// Coefficients of a task: few enough for balance, enough to pay for it.
const TASK: usize = 4 * BLOCK;

/// A matrix of constants at one scale and level, grouped by the inputs that its rows read, as residues.
pub struct ScalarMatrix {
    params: Params,
    rows: usize,
    cols: usize,
    level: usize,
    scale: Scale,
    groups: Vec<Group>,
}

/// The entries of a row: columns and values.
type Row<'a> = &'a [(u32, f64)];

/// Rows with the same inputs.
struct Group {
    outputs: Vec<usize>,
    inputs: Vec<u32>,
    /// For each limb, outputs by inputs, tiled.
    weights: Vec<Vec<u64>>,
}

impl ScalarMatrix {
    /// The matrix whose row r has the given (column, value) entries, columns ascending; each value is rounded to a multiple of
    /// 1/`scale`.
    ///
    /// # Errors
    /// [`Error::EncodeOverflow`] for a value that is not finite or too large for the modulus, [`Error::ShapeMismatch`] for a column
    /// beyond `cols`, [`Error::LevelTooHigh`].
    pub fn new<'a>(
        params: &Params,
        rows: impl IntoIterator<Item = &'a [(u32, f64)]>,
        cols: usize,
        scale: Scale,
        level: usize,
    ) -> Result<Self> {
        let limbs = params.limbs(level)?;
        let mut by_inputs: BTreeMap<Vec<u32>, Vec<(usize, Row<'_>)>> = BTreeMap::new();
        let mut count = 0;
        for (r, row) in rows.into_iter().enumerate() {
            let inputs: Vec<u32> = row.iter().map(|&(c, _)| c).collect();
            if let Some(&c) = inputs.iter().find(|&&c| c as usize >= cols) {
                let reason = format!("row {r} reads column {c} of a matrix of {cols} columns");
                return Err(Error::ShapeMismatch { operation: "linear combination", reason });
            }
            by_inputs.entry(inputs).or_default().push((r, row));
            count = r + 1;
        }
        let mut groups = Vec::with_capacity(by_inputs.len());
        for (inputs, rows) in by_inputs {
            let values = rows.iter().flat_map(|(_, row)| row.iter().map(|&(_, value)| value));
            let integers = values.map(|value| scale.integer(value, params.log_q(level))).collect::<Result<Vec<_>>>()?;
            let residues = |q: &Modulus| {
                let matrix: Vec<u64> = integers.iter().map(|w| w.residue(q)).collect();
                tiled(&matrix, inputs.len().max(1))
            };
            let weights = params.ring().q().take(limbs).map(residues).collect();
            groups.push(Group { outputs: rows.into_iter().map(|(r, _)| r).collect(), inputs, weights });
        }
        Ok(Self { params: params.clone(), rows: count, cols, level, scale, groups })
    }

    /// Number of outputs.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of inputs.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// The y_o: level and degree of the inputs, the scales multiply. No NTT; one multiply-accumulate for each entry,
    /// coefficient, limb and part. Errors: those of the inputs, times the weights. Runs on the threads of the current rayon pool.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] for another number of inputs; [`Error::ParamsMismatch`], [`Error::LevelMismatch`] and
    /// [`Error::ScaleMismatch`] unless all inputs agree with each other and the matrix; [`Error::WrongDegree`] unless their
    /// degrees are equal.
    pub fn apply(&self, inputs: &[Ciphertext]) -> Result<Vec<Ciphertext>> {
        let first = self.check(inputs)?;
        let ring = self.params.ring();
        let (basis, stride, n) = (first.parts[0].basis(), ring.stride(), ring.n());
        let unwritten = || Ciphertext {
            params: self.params.clone(),
            parts: first.parts.iter().map(|_| Poly::uninit(ring, basis)).collect(),
            scale: first.scale.mul(self.scale),
            estimate: None,
        };
        let mut outputs: Vec<Ciphertext> = (0..self.rows).map(|_| unwritten()).collect();

        // tasks[(part, limb, chunk)] owns that piece of every output.
        let chunk = TASK.min(n);
        let chunks = n / chunk;
        let mut tasks: Vec<Vec<&mut [u64]>> = Vec::new();
        tasks.resize_with(first.parts.len() * basis.q * chunks, || Vec::with_capacity(self.rows));
        for output in &mut outputs {
            for (part, poly) in output.parts.iter_mut().enumerate() {
                for (limb, words) in poly.data_mut().chunks_mut(stride).enumerate() {
                    for (c, piece) in words[..n].chunks_mut(chunk).enumerate() {
                        tasks[(part * basis.q + limb) * chunks + c].push(piece);
                    }
                }
            }
        }
        tasks.into_par_iter().enumerate().for_each_init(Scratch::new, |scratch, (task, mut pieces)| {
            let (part, limb, start) = (task / chunks / basis.q, task / chunks % basis.q, task % chunks * chunk);
            for at in (0..chunk).step_by(BLOCK) {
                let block = start + at..start + chunk.min(at + BLOCK);
                scratch.pack(block.len(), inputs.iter().map(|input| &input.parts[part].limb(limb)[block.clone()]));
                for group in &self.groups {
                    let modulus = ring.modulus(basis, limb);
                    scratch.multiply(ring.backend(), modulus, group, limb, (at, block.len()), &mut pieces);
                }
            }
        });
        Ok(outputs)
    }

    fn check<'a>(&self, inputs: &'a [Ciphertext]) -> Result<&'a Ciphertext> {
        const OPERATION: &str = "linear combination";
        let first = inputs.first().filter(|_| inputs.len() == self.cols).ok_or_else(|| Error::ShapeMismatch {
            operation: OPERATION,
            reason: format!("{} ciphertexts for a matrix of {} columns", inputs.len(), self.cols),
        })?;
        for input in inputs {
            if input.params != self.params {
                return Err(Error::ParamsMismatch { operation: OPERATION });
            }
            if input.level() != self.level {
                return Err(Error::LevelMismatch { operation: OPERATION, left: input.level(), right: self.level });
            }
            if input.scale != first.scale {
                return Err(Error::ScaleMismatch { operation: OPERATION, left: input.scale, right: first.scale });
            }
            if input.degree() != first.degree() {
                return Err(Error::WrongDegree {
                    operation: OPERATION,
                    degree: input.degree(),
                    advice: "all inputs must have the same",
                });
            }
        }
        Ok(first)
    }
}

/// Buffers of a thread.
struct Scratch {
    /// Blocks of all inputs, in panels.
    packed: AVec<u64>,
    rows: usize,
    /// Blocks of the outputs of a group.
    products: AVec<u64>,
}

impl Scratch {
    fn new() -> Self {
        Self { packed: aligned_vec::avec![], rows: 0, products: aligned_vec::avec![] }
    }

    /// Packs one block of every input into panels; those of tiny rings are filled up with what was there before.
    fn pack<'a>(&mut self, len: usize, blocks: impl ExactSizeIterator<Item = &'a [u64]>) {
        self.rows = blocks.len();
        self.packed.resize(self.rows * len.next_multiple_of(GEMM_COLUMNS), 0);
        for (row, block) in blocks.enumerate() {
            for (panel, words) in block.chunks(GEMM_COLUMNS).enumerate() {
                self.packed[(panel * self.rows + row) * GEMM_COLUMNS..][..words.len()].copy_from_slice(words);
            }
        }
    }

    /// The outputs of a group in the packed block, which is the `len` coefficients from `at` of each output's piece.
    fn multiply(
        &mut self,
        backend: Backend,
        modulus: &Modulus,
        group: &Group,
        limb: usize,
        (at, len): (usize, usize),
        pieces: &mut [&mut [u64]],
    ) {
        if group.inputs.is_empty() {
            return group.outputs.iter().for_each(|&o| pieces[o][at..at + len].fill(0));
        }
        let width = len.next_multiple_of(GEMM_COLUMNS);
        self.products.resize(group.outputs.len() * width, 0);
        let panels = Panels { data: &self.packed, rows: self.rows };
        backend.gemm_into(modulus, &mut self.products, &group.weights[limb], &group.inputs, panels);
        for (product, &o) in self.products.chunks_exact(width).zip(&group.outputs) {
            pieces[o][at..at + len].copy_from_slice(&product[..len]);
        }
    }
}
