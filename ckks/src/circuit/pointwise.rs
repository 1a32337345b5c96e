//! Chains of operations that treat every evaluation point alone: y = M x + c with constants, y = x ⊙ x, and x + c, c x.
//!
//! What lies between the first operands and the last results is never written to memory: a task takes one limb and a few columns of all
//! inputs, panels of [`GEMM_COLUMNS`] points, through the whole chain. So the first layers of a network cost their arithmetic, and not
//! the traffic of thousands of polynomials.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rayon::prelude::*;
use smallvec::{SmallVec, smallvec};

use crate::arith::{Backend, GEMM_COLUMNS, Modulus, ShoupFactor, prefetch};
use crate::error::{Error, Result};
use crate::ring::{Basis, Buffer, Ntt, Poly, Ring};
use crate::scheme::{Ciphertext, Params, Scale, SeededCiphertext};

use super::gemm::ScalarMatrix;

/// Panels of a task: so many columns are read from each input at once, which is 16 cache lines of a page.
const PANELS: usize = 8;

/// Inputs between the one that is read and the one that is asked for: each lies in pages of its own, where the hardware does not look ahead.
const AHEAD: usize = 8;

/// One operation of a chain.
#[derive(Clone, Copy)]
pub enum Pointwise<'a> {
    /// M x + c: the scales of the matrix and of the operands multiply; the constants, one a row or none at all, are encoded at that scale.
    Affine {
        /// M.
        matrix: &'a ScalarMatrix,
        /// c.
        constants: &'a [f64],
    },
    /// x ⊙ x, of degree 2: the scale is squared.
    Square,
    /// x + c in every slot, with c at the scale of the operands.
    AddConstant(f64),
    /// c x in every slot: the scales multiply.
    MulConstant {
        /// c.
        constant: f64,
        /// The scale of c. Where c is one unit of it, the operands are only read at another scale.
        scale: Scale,
    },
}

/// What a chain reads.
#[derive(Clone, Copy)]
pub enum PointwiseInputs<'a> {
    /// Ciphertexts.
    Whole(&'a [&'a Ciphertext]),
    /// Ciphertexts whose uniform halves are expanded on the way, by each task for its columns: they are never in memory.
    Seeded(&'a [&'a SeededCiphertext]),
}

/// The results of a chain.
pub struct Chained {
    /// Level of the inputs; scale and degree as the operations make them.
    pub outputs: Vec<Ciphertext>,
    /// The wall time of each operation: that of the whole, divided as the time of all threads was.
    pub times: Vec<Duration>,
}

/// Runs `chain` on `inputs`: bit for bit what its operations give one by one. No NTT. Errors: those of the inputs, through each
/// operation. Runs on the threads of the current rayon pool.
///
/// # Errors
/// [`Error::ShapeMismatch`] for another number of operands than a matrix has columns, or of constants than it has rows;
/// [`Error::ParamsMismatch`], [`Error::LevelMismatch`] and [`Error::ScaleMismatch`] unless all inputs agree with each other and the
/// matrices; [`Error::WrongDegree`] unless their degrees are equal, and 1 where they are squared; [`Error::EncodeOverflow`] for
/// constants beyond the modulus.
pub fn apply_pointwise(chain: &[Pointwise<'_>], inputs: PointwiseInputs<'_>) -> Result<Chained> {
    let started = Instant::now();
    let inputs = inputs.list();
    let first = check_inputs(&inputs)?;
    let params = first.params;
    let mut shape = Shape { count: inputs.len(), parts: first.parts.len(), scale: first.scale };
    let mut operations = Vec::with_capacity(chain.len());
    for step in chain {
        let operation = Operation::new(step, shape, (params, first.level()))?;
        shape = operation.after;
        operations.push(operation);
    }
    let unwritten = || Ciphertext {
        params: params.clone(),
        parts: (0..shape.parts).map(|_| Poly::uninit(params.ring(), first.basis())).collect(),
        scale: shape.scale,
        estimate: None,
    };
    let mut outputs: Vec<Ciphertext> = (0..shape.count).map(|_| unwritten()).collect();
    let run = Run::new(&inputs, first, (operations, shape));
    run.limbs(&mut outputs);
    Ok(Chained { outputs, times: run.times(started.elapsed()) })
}

/// A part of an input.
#[derive(Clone, Copy)]
enum Part<'a> {
    Poly(&'a Poly<Ntt>),
    /// c_1, from its seed.
    Seed(&'a SeededCiphertext),
}

/// One input.
struct Input<'a> {
    params: &'a Params,
    scale: Scale,
    c0: &'a Poly<Ntt>,
    parts: SmallVec<[Part<'a>; 3]>,
}

impl Input<'_> {
    fn basis(&self) -> Basis {
        self.c0.basis()
    }

    fn level(&self) -> usize {
        self.params.level_of(self.basis().q)
    }
}

impl<'a> PointwiseInputs<'a> {
    fn list(self) -> Vec<Input<'a>> {
        match self {
            Self::Whole(whole) => {
                let input = |&x: &&'a Ciphertext| {
                    let parts = x.parts.iter().map(Part::Poly).collect();
                    Input { params: &x.params, scale: x.scale, c0: &x.parts[0], parts }
                };
                whole.iter().map(input).collect()
            }
            Self::Seeded(seeded) => {
                let input = |&x: &&'a SeededCiphertext| {
                    let parts = smallvec![Part::Poly(&x.c0), Part::Seed(x)];
                    Input { params: &x.params, scale: x.scale(), c0: &x.c0, parts }
                };
                seeded.iter().map(input).collect()
            }
        }
    }
}

const OPERATION: &str = "linear combination";

fn check_inputs<'i, 'a>(inputs: &'i [Input<'a>]) -> Result<&'i Input<'a>> {
    let first = inputs
        .first()
        .ok_or_else(|| Error::ShapeMismatch { operation: OPERATION, reason: "no ciphertexts to combine".to_owned() })?;
    for input in inputs {
        if input.params != first.params {
            return Err(Error::ParamsMismatch { operation: OPERATION });
        }
        if input.level() != first.level() {
            return Err(Error::LevelMismatch { operation: OPERATION, left: first.level(), right: input.level() });
        }
        if input.scale != first.scale {
            return Err(Error::ScaleMismatch { operation: OPERATION, left: first.scale, right: input.scale });
        }
        if input.parts.len() != first.parts.len() {
            let (degree, advice) = (input.parts.len() - 1, "all inputs must have the same");
            return Err(Error::WrongDegree { operation: OPERATION, degree, advice });
        }
    }
    Ok(first)
}

/// Values between two operations.
#[derive(Clone, Copy)]
struct Shape {
    count: usize,
    parts: usize,
    scale: Scale,
}

impl Shape {
    /// Rows of a panel that holds them: all of a part, then the next part.
    fn rows(&self) -> usize {
        self.count * self.parts
    }
}

/// An operation with its operands.
struct Operation<'a> {
    kind: Kind<'a>,
    before: Shape,
    after: Shape,
}

/// `constants[limb]` are residues, in the rows of a panel: one for each result, or one for all.
enum Kind<'a> {
    Affine {
        matrix: &'a ScalarMatrix,
        constants: Vec<Vec<u64>>,
    },
    Square,
    AddConstant {
        constants: Vec<Vec<u64>>,
    },
    /// For each limb; none where the constant is 1.
    MulConstant {
        factors: Option<Vec<ShoupFactor>>,
    },
}

impl<'a> Operation<'a> {
    /// `step` on values of the shape `before`.
    fn new(step: &Pointwise<'a>, before: Shape, (params, level): (&Params, usize)) -> Result<Self> {
        let (kind, after) = match *step {
            Pointwise::Affine { matrix, constants } => {
                matrix.check(OPERATION, before.count, (params, level))?;
                params.ring().count_macs(matrix.entries() * before.parts, params.limbs(level)?);
                let scale = before.scale.mul(matrix.scale());
                let constants = encode(params, constants, matrix.rows(), (scale, level))?;
                (Kind::Affine { matrix, constants }, Shape { count: matrix.rows(), scale, ..before })
            }
            Pointwise::Square if before.parts == 2 => {
                (Kind::Square, Shape { parts: 3, scale: before.scale.mul(before.scale), ..before })
            }
            Pointwise::Square => {
                let (degree, advice) = (before.parts - 1, "relinearise it first");
                return Err(Error::WrongDegree { operation: "multiply", degree, advice });
            }
            Pointwise::AddConstant(constant) => {
                let constants = encode(params, &[constant], 1, (before.scale, level))?;
                (Kind::AddConstant { constants }, before)
            }
            Pointwise::MulConstant { constant, scale } => {
                let (integer, limbs) = (scale.integer(constant, params.log_q(level))?, params.limbs(level)?);
                let is_one = integer.to_f64() == 1.0;
                params.ring().count_macs(if is_one || constant == 0.0 { 0 } else { before.rows() }, limbs);
                let factor = |q: &Modulus| q.shoup(integer.residue(q));
                let factors = (!is_one).then(|| params.ring().q().take(limbs).map(factor).collect());
                (Kind::MulConstant { factors }, Shape { scale: before.scale.mul(scale), ..before })
            }
        };
        Ok(Self { kind, before, after })
    }

    /// Rows of a panel that it works in.
    fn scratch_rows(&self) -> usize {
        match &self.kind {
            Kind::Affine { matrix, .. } => matrix.scratch_rows(),
            _ => 0,
        }
    }

    /// One limb of one panel of columns, read from `x`: in `x` again where operands and results are as many (false), or in `out` (true).
    fn apply(&self, on: (Backend, &Modulus, usize), x: &mut [u64], out: &mut [u64], scratch: &mut [u64]) -> bool {
        let part = self.before.count * GEMM_COLUMNS;
        let (backend, q, limb) = on;
        let (x, out) = (&mut x[..self.before.rows() * GEMM_COLUMNS], &mut out[..self.after.rows() * GEMM_COLUMNS]);
        match &self.kind {
            Kind::Affine { matrix, constants } => {
                let parts = x.chunks_exact(part).zip(out.chunks_exact_mut(self.after.count * GEMM_COLUMNS));
                parts.for_each(|(x, out)| matrix.multiply(on, x, out, scratch));
                backend.add_assign(q, &mut out[..constants[limb].len()], &constants[limb]);
                true
            }
            Kind::Square => {
                let ((a, b), (low, rest)) = (x.split_at(part), out.split_at_mut(part));
                let (middle, high) = rest.split_at_mut(part);
                backend.square_into(q, [low, middle, high], a, b);
                true
            }
            Kind::AddConstant { constants } => {
                x[..part].chunks_exact_mut(GEMM_COLUMNS).for_each(|row| backend.add_assign(q, row, &constants[limb]));
                false
            }
            Kind::MulConstant { factors } => {
                factors.iter().for_each(|factors| backend.mul_scalar_assign(q, x, factors[limb]));
                false
            }
        }
    }
}

/// For each limb, the rows of a panel that hold the constants of `rows` outputs; none for no constants.
fn encode(params: &Params, constants: &[f64], rows: usize, (scale, level): (Scale, usize)) -> Result<Vec<Vec<u64>>> {
    if !constants.is_empty() && constants.len() != rows {
        let reason = format!("{} constants for a matrix of {rows} rows", constants.len());
        return Err(Error::ShapeMismatch { operation: OPERATION, reason });
    }
    let log_q = params.log_q(level);
    let integers = constants.iter().map(|&c| scale.integer(c, log_q)).collect::<Result<Vec<_>>>()?;
    let panel = |q: &Modulus| integers.iter().flat_map(|c| [c.residue(q); GEMM_COLUMNS]).collect();
    Ok(params.ring().q().take(params.limbs(level)?).map(panel).collect())
}

/// A chain under way.
struct Run<'a> {
    ring: &'a Ring,
    basis: Basis,
    /// A part of all inputs after another, as in panels.
    parts: Vec<Part<'a>>,
    /// Number of inputs.
    count: usize,
    operations: Vec<Operation<'a>>,
    /// What they make.
    after: Shape,
    /// Columns of a task, and of a panel.
    columns: usize,
    width: usize,
    /// Of all threads, for each operation.
    nanoseconds: Vec<AtomicU64>,
}

impl<'a> Run<'a> {
    fn new(inputs: &[Input<'a>], first: &Input<'a>, (operations, after): (Vec<Operation<'a>>, Shape)) -> Self {
        let (ring, nanoseconds) = (first.params.ring(), operations.iter().map(|_| AtomicU64::new(0)).collect());
        let [columns, width] = [PANELS * GEMM_COLUMNS, GEMM_COLUMNS].map(|columns| columns.min(ring.n()));
        let part = |part: usize| inputs.iter().map(move |input| input.parts[part]);
        let parts = (0..first.parts.len()).flat_map(part).collect();
        Self { ring, basis: first.basis(), parts, count: inputs.len(), operations, after, columns, width, nanoseconds }
    }

    /// Runs the chain, limb by limb, range by range.
    fn limbs(&self, outputs: &mut [Ciphertext]) {
        let (ring, ranges) = (self.ring, self.ring.n() / self.columns);
        // Tasks are long: one at a time, so that no thread waits for another that has several left.
        self.tasks(outputs).par_iter_mut().enumerate().with_max_len(1).for_each_init(
            || Scratch::new(ring, self.scratch_rows()),
            |scratch, (task, pieces)| self.task(&mut scratch.words, (task / ranges, task % ranges), pieces),
        );
    }

    /// For each limb and range of columns, that piece of each part of each output.
    fn tasks<'o>(&self, outputs: &'o mut [Ciphertext]) -> Vec<Vec<&'o mut [u64]>> {
        let ranges = self.ring.n() / self.columns;
        let pieces = outputs.iter().map(|output| output.parts.len()).sum();
        let mut tasks: Vec<Vec<&mut [u64]>> = Vec::new();
        tasks.resize_with(self.basis.q * ranges, || Vec::with_capacity(pieces));
        for part in outputs.iter_mut().flat_map(|output| &mut output.parts) {
            for (limb, words) in part.data_mut().chunks_mut(self.ring.stride()).enumerate() {
                for (range, piece) in words[..self.ring.n()].chunks_mut(self.columns).enumerate() {
                    tasks[limb * ranges + range].push(piece);
                }
            }
        }
        tasks
    }

    /// Rows of panels that a task works in: its inputs, two intermediate values, and what an operation needs.
    fn scratch_rows(&self) -> usize {
        let own = self.operations.iter().map(Operation::scratch_rows).max().unwrap_or(0);
        PANELS * self.parts.len() + 2 * self.intermediate_rows() + own
    }

    fn intermediate_rows(&self) -> usize {
        self.operations.iter().map(|operation| operation.after.rows()).max().unwrap_or(0)
    }

    fn task(&self, scratch: &mut [u64], (limb, range): (usize, usize), pieces: &mut [&mut [u64]]) {
        let on = (self.ring.backend(), self.ring.modulus(self.basis, limb), limb);
        let rows = self.parts.len();
        let (gathered, scratch) = scratch.split_at_mut(PANELS * rows * GEMM_COLUMNS);
        let (mut x, scratch) = scratch.split_at_mut(self.intermediate_rows() * GEMM_COLUMNS);
        let (mut y, scratch) = scratch.split_at_mut(self.intermediate_rows() * GEMM_COLUMNS);
        self.gather(gathered, limb, range * self.columns);
        for (panel, gathered) in gathered.chunks_exact_mut(rows * GEMM_COLUMNS).enumerate() {
            let at = panel * GEMM_COLUMNS;
            if at >= self.columns {
                break;
            }
            let mut is_gathered = true;
            for (operation, nanoseconds) in self.operations.iter().zip(&self.nanoseconds) {
                let started = Instant::now();
                let operands = if is_gathered { &mut *gathered } else { &mut *x };
                if operation.apply(on, operands, y, scratch) {
                    std::mem::swap(&mut x, &mut y);
                    is_gathered = false;
                }
                nanoseconds.fetch_add(started.elapsed().as_nanos() as u64, Ordering::Relaxed);
            }
            self.scatter(if is_gathered { gathered } else { x }, pieces, at);
        }
    }

    /// The columns of a task, panel by panel, row by row. While seeds are expanded, what is read of the next inputs is on its way.
    fn gather(&self, gathered: &mut [u64], limb: usize, start: usize) {
        let gathered = gathered.as_chunks_mut::<GEMM_COLUMNS>().0;
        let (rows, columns) = (self.parts.len(), start..start + self.columns);
        let mut expanded = [0; PANELS * GEMM_COLUMNS];
        let expanded = &mut expanded[..self.columns];
        for row in (0..self.count).flat_map(|input| (input..rows).step_by(self.count)) {
            if let Some(Part::Poly(later)) = self.parts.get(row + AHEAD) {
                prefetch(&later.limb(limb)[columns.clone()]);
            }
            let words = match self.parts[row] {
                Part::Poly(poly) => &poly.limb(limb)[columns.clone()],
                Part::Seed(seeded) => {
                    seeded.expand_into(limb, start, expanded);
                    &*expanded
                }
            };
            for (panel, words) in words.chunks(self.width).enumerate() {
                let row = &mut gathered[panel * rows + row];
                match words.first_chunk() {
                    Some(words) => *row = *words,
                    // Rings smaller than a panel.
                    None => {
                        row.fill(0);
                        row[..words.len()].copy_from_slice(words);
                    }
                }
            }
        }
    }

    /// The panel `at` so many columns of the outputs' pieces, which are sorted by output.
    fn scatter(&self, panel: &[u64], pieces: &mut [&mut [u64]], at: usize) {
        let (Shape { count, parts, .. }, rows) = (self.after, panel.as_chunks::<GEMM_COLUMNS>().0);
        for (i, piece) in pieces.iter_mut().enumerate() {
            let (row, words) = (&rows[i % parts * count + i / parts], &mut piece[at..at + self.width]);
            match words.first_chunk_mut() {
                Some(words) => *words = *row,
                None => words.copy_from_slice(&row[..self.width]),
            }
        }
    }

    /// The parts of the operations in a wall time.
    fn times(&self, wall: Duration) -> Vec<Duration> {
        let of = |nanoseconds: &AtomicU64| nanoseconds.load(Ordering::Relaxed) as f64;
        let all = self.nanoseconds.iter().map(of).sum::<f64>().max(1.0);
        self.nanoseconds.iter().map(|nanoseconds| wall.mul_f64(of(nanoseconds) / all)).collect()
    }
}

/// A buffer of a thread, from the ring's pool.
struct Scratch<'a> {
    ring: &'a Ring,
    words: Buffer,
}

impl<'a> Scratch<'a> {
    fn new(ring: &'a Ring, rows: usize) -> Self {
        Self { ring, words: ring.pool().take(rows * GEMM_COLUMNS) }
    }
}

impl Drop for Scratch<'_> {
    fn drop(&mut self) {
        self.ring.pool().give(std::mem::replace(&mut self.words, Buffer::empty()));
    }
}
