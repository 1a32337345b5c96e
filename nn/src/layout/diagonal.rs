//! A matrix between two layouts as generalised diagonals with baby and giant steps, as pure data.
//!
//! Let the input repeat itself after Q_in positions (its cycle) and the output after Q_out, both dividing the
//! T = max(Q_in, Q_out) positions after which everything repeats. Cut the matrix M into blocks by (output ciphertext o, input
//! ciphertext i). Entry (r, c), with r at position t_r of o and c at position t_c of i, lies on the diagonal d = t_c − t_r modulo
//! D = min(Q_in, Q_out):
//!
//! z_o\[t\] = Σ_i Σ_d M(row at t, column at t + d) · x_i\[t + d\],  t in 0..T,
//!
//! with the row at t taken modulo Q_out and the column modulo Q_in (Halevi-Shoup, Crypto 2014). If Q_out >= Q_in each
//! entry is met at exactly one d for its t, and y = z. If Q_out < Q_in the rows of the block repeat Q_in/Q_out times, each
//! repetition meets other columns, and a *fold* adds them up: y\[t\] = Σ_k z\[t + k Q_out\], in log2(Q_in/Q_out) rotations, or in half as
//! many steps of three, after which the result repeats itself after Q_out positions. So a matrix of 100 rows and 784 columns costs 128
//! diagonals and a few more rotations.
//!
//! Where the input's repetitions are shifted, each column lies at several places of the cycle, hence on several diagonals, and is
//! multiplied on the smallest of them alone. With `copies` repetitions, each shifted by Q_out/copies more, these are the diagonals
//! below Q_out/copies: with 100 rows and 784 columns in 16,384 positions 8 of them, and a fold of 128 positions.
//!
//! Only diagonals with a non-zero are listed. With n1 baby steps (Halevi-Shoup 2018/244), d = g + j, n1 | g, 0 <= j < n1:
//!
//! z_o = Σ_g rot_g( Σ_i Σ_j m_{o,g,i,j} ⊙ rot_j(x_i) ),  m_{o,g,i,j}\[u\] = M(row at u − g, column at u + j).
//!
//! The rot_j(x_i) come from one hoisted decomposition an input (Bossuat et al. 2020/1203), or each from the one before
//! ([`Stepping`]); a giant rotation serves all inputs.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Layout, LayoutError};
use crate::graph::SparseMatrix;

/// Cost of a rotation out of a hoisted decomposition, in products with a diagonal: an inner product with a key of three
/// digits and four limbs costs three products; the rest is its share of memory traffic and of the decomposition.
const BABY_COST: usize = 6;
/// Cost of a rotation of its own, decomposition and ModDown included, likewise: twenty limb NTTs at three limbs and one
/// special prime, each as long as a product.
const GIANT_COST: usize = 24;
/// log2 of the slots that a step of the fold adds up where rotations are hoisted: three rotations out of one decomposition cost less
/// than two of their own.
const FOLD_BITS: usize = 2;
/// What a key may cost where keys are to be few, likewise.
const KEY_COST: usize = 24;

/// How a product comes by its rotations: by time, or by keys.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stepping {
    /// Baby steps out of one decomposition of their input; every rotation has a key of its own.
    #[default]
    Hoisted,
    /// Each baby step from the one before, and the sums of giant steps by Horner's rule: a key for each distance between
    /// neighbours, mostly one for all baby steps and one for all giant ones (the minimal keys of Kim et al., ARK, 2205.00922).
    Chained,
}

/// Which diagonals a matrix has between two layouts, and in which order to multiply by them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiagonalPlan {
    /// S: positions of a ciphertext.
    positions: usize,
    period: usize,
    baby_steps: usize,
    stepping: Stepping,
    products: usize,
    entries: usize,
    /// The rotated inputs, each once, ascending; unrotated ones do not count.
    babies: Vec<Product>,
    /// (output ciphertext, g) of all giant steps, each once, ascending.
    giants: Vec<(usize, i64)>,
    /// Positions of the rotations of each rotate-and-add step at the end.
    fold: Vec<Vec<usize>>,
    /// For each output ciphertext its giant steps, rotations ascending.
    outputs: Vec<Vec<GiantStep>>,
    /// Positions of all rotations, each once, ascending.
    rotations: Vec<usize>,
}

/// rot_g( Σ m ⊙ rot_j(x_i) ) for one output ciphertext.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GiantStep {
    /// g: positions to rotate the sum by, to the left; negative to the right.
    pub rotation: i64,
    /// The terms of the sum.
    pub products: Vec<Product>,
}

/// One product m ⊙ rot_j(x_i).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Product {
    /// i: the input ciphertext.
    pub input: usize,
    /// j: positions to rotate it by, to the left, from 0 up to the number of baby steps.
    pub rotation: usize,
}

/// (output ciphertext, input ciphertext, d) of a diagonal with a non-zero.
pub(super) type Diagonal = (usize, usize, i64);

impl DiagonalPlan {
    /// The non-zero diagonals of `matrix` from layout `input` to layout `output`, and the number of baby steps for which the
    /// rotations cost least, the smallest among equals.
    ///
    /// # Errors
    /// [`LayoutError::Shape`] if the layouts have other features than the matrix, or the two differ in slots or interleave.
    pub fn new(
        matrix: &SparseMatrix,
        input: &Layout,
        output: &Layout,
        stepping: Stepping,
    ) -> Result<Self, LayoutError> {
        input.check_shapes(matrix, output)?;
        let (diagonals, entries) = diagonals(matrix, input, output, stepping);
        let split = |baby_steps| {
            let plan = Self::split(&diagonals, baby_steps, (input, output), stepping);
            (plan.cost(), plan)
        };
        let mut best = split(1);
        for baby_steps in baby_steps(&diagonals, modulus(input, output)) {
            let plan = split(baby_steps);
            if plan.0 < best.0 {
                best = plan;
            }
        }
        let (_, mut plan) = best;
        plan.entries = entries;
        plan.rotations = plan.distinct_rotations();
        plan.outputs = plan.sums(&diagonals, output.ciphertexts);
        Ok(plan)
    }

    /// The plan with so many baby steps, without its sums, its list of rotations and its number of entries.
    fn split(
        diagonals: &[Diagonal],
        baby_steps: usize,
        (input, output): (&Layout, &Layout),
        stepping: Stepping,
    ) -> Self {
        let giant = |d: i64| d.div_euclid(baby_steps as i64);
        let (lowest, highest) = diagonals.iter().fold((0, 0), |(low, high), &(.., d)| (low.min(d), high.max(d)));
        let (lowest, span) = (giant(lowest), (giant(highest) - giant(lowest) + 1) as usize);
        let mut rotated = vec![false; input.ciphertexts * baby_steps];
        let mut summed = vec![false; output.ciphertexts * span];
        for &(o, i, d) in diagonals {
            rotated[i * baby_steps + d.rem_euclid(baby_steps as i64) as usize] = true;
            summed[o * span + (giant(d) - lowest) as usize] = true;
        }
        let baby = |at: usize| Product { input: at / baby_steps, rotation: at % baby_steps };
        let giant = |at: usize| (at / span, ((at % span) as i64 + lowest) * baby_steps as i64);
        Self {
            positions: input.positions_per_ciphertext(),
            period: input.cycle().max(output.cycle()),
            baby_steps,
            stepping,
            products: diagonals.len(),
            entries: 0,
            babies: marked(&rotated).map(baby).filter(|baby| baby.rotation != 0).collect(),
            giants: marked(&summed).map(giant).collect(),
            fold: fold(output.cycle(), input.cycle(), stepping),
            outputs: Vec::new(),
            rotations: Vec::new(),
        }
    }

    /// The diagonals by outputs and giant steps.
    fn sums(&self, diagonals: &[Diagonal], outputs: usize) -> Vec<Vec<GiantStep>> {
        let mut sums: Vec<BTreeMap<i64, Vec<Product>>> = vec![BTreeMap::new(); outputs];
        for &(o, input, d) in diagonals {
            let rotation = d.rem_euclid(self.baby_steps as i64);
            let products = sums[o].entry(d - rotation).or_default();
            products.push(Product { input, rotation: rotation as usize });
        }
        let giant_step = |(rotation, mut products): (i64, Vec<Product>)| {
            products.sort_unstable();
            GiantStep { rotation, products }
        };
        sums.into_iter().map(|steps| steps.into_iter().map(giant_step).collect()).collect()
    }

    /// T: positions after which every diagonal repeats.
    pub fn period(&self) -> usize {
        self.period
    }

    /// How often the slots of a diagonal repeat.
    pub fn repetitions(&self) -> usize {
        self.positions / self.period
    }

    /// n1: rotations of the inputs are by less than this.
    pub fn baby_steps(&self) -> usize {
        self.baby_steps
    }

    /// How it comes by its rotations.
    pub fn stepping(&self) -> Stepping {
        self.stepping
    }

    /// For each output ciphertext its giant steps. An output without any is zero.
    pub fn outputs(&self) -> &[Vec<GiantStep>] {
        &self.outputs
    }

    /// Positions k of each of the steps z <- z + Σ_k rot_k(z) that end the product, in this order.
    pub fn fold(&self) -> &[Vec<usize>] {
        &self.fold
    }

    /// How many positions the fold adds up.
    pub fn fold_terms(&self) -> usize {
        self.fold.iter().map(|step| step.len() + 1).product()
    }

    /// A rough cost, in products with a diagonal, by which layouts and baby steps are compared.
    pub fn cost(&self) -> usize {
        let keys = match self.stepping {
            Stepping::Hoisted => 0,
            Stepping::Chained => KEY_COST * self.distinct_rotations().len(),
        };
        self.products()
            + BABY_COST * self.hoisted_rotations()
            + GIANT_COST * (self.full_rotations() + self.fold_steps())
            + BABY_COST * (self.fold_rotations() - self.fold_steps())
            + keys
    }

    /// Number of products with a diagonal.
    pub fn products(&self) -> usize {
        self.products
    }

    /// Number of non-zeros on all diagonals: entries of the matrix, each for every place of its row.
    pub fn entries(&self) -> usize {
        self.entries
    }

    /// Number of baby steps: rotated inputs.
    pub fn baby_rotations(&self) -> usize {
        self.babies.len()
    }

    /// Number of giant rotations.
    pub fn giant_rotations(&self) -> usize {
        self.giants.iter().filter(|&&(_, rotation)| rotation != 0).count()
    }

    /// Number of input ciphertexts that are decomposed for baby steps.
    pub fn hoisted_inputs(&self) -> usize {
        self.babies.chunk_by(|a, b| a.input == b.input).count()
    }

    /// Number of rotations out of the decomposition of an input.
    pub fn hoisted_rotations(&self) -> usize {
        match self.stepping {
            Stepping::Hoisted => self.baby_rotations(),
            Stepping::Chained => self.hoisted_inputs(),
        }
    }

    /// Number of rotations, those of the fold aside, with a decomposition of their own.
    pub fn full_rotations(&self) -> usize {
        self.baby_rotations() + self.giant_rotations() - self.hoisted_rotations()
    }

    /// Most rotations that an input goes through before it is multiplied.
    pub fn longest_chain(&self) -> usize {
        let babies = self.babies.chunk_by(|a, b| a.input == b.input).map(<[_]>::len);
        match self.stepping {
            Stepping::Hoisted => 1,
            Stepping::Chained => babies.max().unwrap_or(0),
        }
    }

    /// Number of sums of products, each of which is rotated unless its giant step is 0.
    pub fn giant_sums(&self) -> usize {
        self.giants.len()
    }

    /// Number of rotations of the fold. An output that is zero is not folded.
    pub fn fold_rotations(&self) -> usize {
        self.computed() * self.fold.iter().map(Vec::len).sum::<usize>()
    }

    /// Number of decompositions of the fold.
    pub fn fold_steps(&self) -> usize {
        self.computed() * self.fold.len()
    }

    /// Number of outputs that are not zero.
    pub fn computed(&self) -> usize {
        self.giants.chunk_by(|a, b| a.0 == b.0).count()
    }

    /// The rotations that need a key, in positions, ascending.
    pub fn rotations(&self) -> &[usize] {
        &self.rotations
    }

    fn distinct_rotations(&self) -> Vec<usize> {
        let of_inputs = self.babies.chunk_by(|a, b| a.input == b.input);
        let babies = of_inputs.map(|babies| babies.iter().map(|baby| baby.rotation as i64).collect::<Vec<_>>());
        let of_outputs = self.giants.chunk_by(|a, b| a.0 == b.0);
        let giants = of_outputs.map(|giants| giants.iter().map(|&(_, rotation)| rotation).collect());
        let stepped = babies.chain(giants).flat_map(|rotations| match self.stepping {
            Stepping::Hoisted => rotations,
            Stepping::Chained => differences(&rotations),
        });
        let folds = self.fold.iter().flatten().take(self.fold_rotations()).map(|&step| step as i64);
        let to_the_left = |positions: i64| positions.rem_euclid(self.positions as i64) as usize;
        let distinct: BTreeSet<usize> = stepped.chain(folds).map(to_the_left).filter(|&k| k != 0).collect();
        distinct.into_iter().collect()
    }
}

/// Where the marks are.
fn marked(marks: &[bool]) -> impl Iterator<Item = usize> + '_ {
    marks.iter().enumerate().filter_map(|(at, &marked)| marked.then_some(at))
}

/// The steps that add up what lies `from` positions apart in `to` positions.
fn fold(from: usize, to: usize, stepping: Stepping) -> Vec<Vec<usize>> {
    let most = match stepping {
        Stepping::Hoisted => 1 << FOLD_BITS,
        Stepping::Chained => 2,
    };
    let steps = std::iter::successors(Some(from), |step| Some(step * most)).take_while(|&step| step < to);
    steps.map(|step| (1..most.min(to / step)).map(|k| k * step).collect()).collect()
}

/// From 0 to the first, and from each to the next.
fn differences(ascending: &[i64]) -> Vec<i64> {
    let before = std::iter::once(&0).chain(ascending);
    before.zip(ascending).map(|(before, rotation)| rotation - before).collect()
}

/// All (o, i, d) with a non-zero, each once, and the number of non-zeros on them.
fn diagonals(matrix: &SparseMatrix, input: &Layout, output: &Layout, stepping: Stepping) -> (Vec<Diagonal>, usize) {
    let of_row = |row| on_diagonals(matrix, row, (input, output), stepping).map(|(diagonal, ..)| diagonal);
    let mut found: Vec<Diagonal> = (0..matrix.rows()).flat_map(of_row).collect();
    let entries = found.len();
    found.sort_unstable();
    found.dedup();
    (found, entries)
}

/// The entries of a row at each of its places: their diagonals with d in −D/2..D/2 (chains go upwards from 0, in 0..D), their t, and their
/// values.
pub(super) fn on_diagonals(
    matrix: &SparseMatrix,
    row: usize,
    (input, output): (&Layout, &Layout),
    stepping: Stepping,
) -> impl Iterator<Item = (Diagonal, usize, f64)> {
    let (modulus, (o, _)) = (modulus(input, output), output.position(row));
    matrix.row(row).iter().flat_map(move |&(column, value)| {
        let (column, (i, _)) = (column as usize, input.position(column as usize));
        output.places(row).map(move |t_r| {
            let t_c = source(input, column, t_r, output);
            let d = distance(t_c, t_r, modulus) as i64;
            let negative = stepping == Stepping::Hoisted && 2 * d >= modulus as i64;
            let d = if negative { d - modulus as i64 } else { d };
            // Of the rows' repetitions, that which meets this column.
            let t = match output.cycle() < input.cycle() {
                true => (t_c as i64 - d).rem_euclid(input.cycle() as i64) as usize,
                false => t_r,
            };
            ((o, i, d), t, value)
        })
    })
}

/// D.
fn modulus(input: &Layout, output: &Layout) -> usize {
    input.cycle().min(output.cycle())
}

/// The diagonal of a row at t_r and a column at t_c.
fn distance(t_c: usize, t_r: usize, modulus: usize) -> usize {
    (t_c + modulus - t_r % modulus) % modulus
}

/// Of the places of a column, the one at which a row at t_r reads it.
fn source(input: &Layout, col: usize, t_r: usize, output: &Layout) -> usize {
    let modulus = modulus(input, output);
    input.places(col).min_by_key(|&t_c| distance(t_c, t_r, modulus)).unwrap_or(0)
}

/// Numbers of baby steps worth trying, ascending.
///
/// All numbers up to 64, powers of two, and the distances between neighbouring diagonals: a convolution over rows of
/// 28 pixels has its diagonals at 28 k + l, which split best at 28.
fn baby_steps(diagonals: &[Diagonal], modulus: usize) -> BTreeSet<usize> {
    let distances = diagonals.windows(2).map(|pair| pair[1].2.abs_diff(pair[0].2) as usize);
    let powers = (0..usize::BITS).map(|k| 1 << k);
    (1..=64)
        .chain(powers.take_while(|&n1| n1 <= modulus))
        .chain(distances)
        .filter(|n1| (1..=modulus).contains(n1))
        .collect()
}
