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
//! The rot_j(x_i) come from one hoisted decomposition an input (Bossuat et al. 2020/1203); a giant rotation serves all inputs. Where
//! keys are to be few ([`KeyPrice`]), j = a + o with 0 <= o < n0 | a: the hubs rot_a(x_i) are made one from another, and the others out of
//! the decomposition of their hub; giant rotations are those of Horner's rule ([`ckks::DiagonalMap::with_hubs`]).

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{Layout, LayoutError};
use crate::graph::SparseMatrix;

/// Cost of a rotation out of a hoisted decomposition, in products with a diagonal: an inner product with a key of three
/// digits and four limbs costs three products; the rest is its share of memory traffic and of the decomposition.
const BABY_COST: usize = 6;
/// Cost of a rotation of its own, decomposition and ModDown included, likewise: twenty limb NTTs at three limbs and one
/// special prime, each as long as a product.
const GIANT_COST: usize = 24;
/// A step of the fold adds up four positions if a key costs less than this: three rotations out of one decomposition cost so much less
/// than two of their own, and have one key more.
const FOLD_KEY: usize = GIANT_COST - 2 * BABY_COST;

/// So many n0 are tried with each n1.
const MOST_HUBS: usize = 64;

/// What a map may do for a rotation key less, in products with a diagonal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyPrice(u32);

impl KeyPrice {
    /// Nothing: every rotation has a key of its own.
    pub const FREE: Self = Self(0);
    /// Ascending: at the last of them, hardly more than one key each for all baby steps, all giant ones, and each step of the fold.
    pub const RAISED: [Self; 7] = [Self(3), Self(6), Self(12), Self(24), Self(48), Self(96), Self(192)];

    /// For a map alone.
    pub fn alone(self) -> Keys<'static> {
        static NONE: BTreeSet<usize> = BTreeSet::new();
        Keys { price: self, known: &NONE }
    }

    fn is_free(self) -> bool {
        self == Self::FREE
    }
}

/// What keys cost a map.
#[derive(Debug, Clone, Copy)]
pub struct Keys<'a> {
    /// Of a key.
    pub price: KeyPrice,
    /// Rotations, in positions, whose keys are there anyway: other maps have paid for them.
    pub known: &'a BTreeSet<usize>,
}

/// Which diagonals a matrix has between two layouts, and in which order to multiply by them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiagonalPlan {
    /// S: positions of a ciphertext.
    positions: usize,
    period: usize,
    baby_steps: usize,
    /// n0, at most n1.
    offsets: usize,
    price: KeyPrice,
    /// Diagonals from here on, modulo D, are negative.
    turn: usize,
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
    pub fn new(matrix: &SparseMatrix, input: &Layout, output: &Layout, keys: Keys<'_>) -> Result<Self, LayoutError> {
        input.check_shapes(matrix, output)?;
        let (diagonals, turn, entries) = diagonals(matrix, (input, output));
        let cheapest = |baby_steps: usize| {
            let mut split = Self::split(&diagonals, baby_steps, (input, output), keys.price);
            // Without a price, all out of one decomposition; else the second hub is mostly a baby rotation.
            let mut offsets = vec![baby_steps];
            if !keys.price.is_free() {
                offsets.extend(std::iter::once(1).chain(split.babies.iter().map(|baby| baby.rotation)).take(MOST_HUBS));
            }
            let mut cost = |offsets: usize| {
                split.offsets = offsets;
                (split.cost_beside(keys.known), offsets)
            };
            let (cost, offsets) = offsets.into_iter().map(&mut cost).min().unwrap_or((usize::MAX, baby_steps));
            (cost, Self { offsets, ..split })
        };
        let numbers: Vec<usize> = baby_steps(&diagonals, modulus(input, output)).into_iter().collect();
        let best = numbers.into_par_iter().map(cheapest).min_by_key(|(cost, split)| (*cost, split.baby_steps));
        let mut plan = best.map_or_else(|| Self::split(&diagonals, 1, (input, output), keys.price), |(_, plan)| plan);
        (plan.turn, plan.entries) = (turn, entries);
        plan.rotations = plan.distinct_rotations();
        plan.outputs = plan.sums(&diagonals, output.ciphertexts);
        Ok(plan)
    }

    /// The plan with so many baby steps and one hub, without its sums, its list of rotations, its turn and its number of entries.
    fn split(diagonals: &[Diagonal], baby_steps: usize, (input, output): (&Layout, &Layout), price: KeyPrice) -> Self {
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
            offsets: baby_steps,
            price,
            turn: 0,
            products: diagonals.len(),
            entries: 0,
            babies: marked(&rotated).map(baby).filter(|baby| baby.rotation != 0).collect(),
            giants: marked(&summed).map(giant).collect(),
            fold: fold(output.cycle(), input.cycle(), price),
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

    /// From which d on, modulo D, diagonals are negative.
    pub(super) fn turn(&self) -> usize {
        self.turn
    }

    /// n0, in positions, where keys are to be few.
    pub fn hubs(&self) -> Option<usize> {
        (!self.price.is_free()).then_some(self.offsets)
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
        self.cost_beside(&BTreeSet::new())
    }

    /// The cost where some keys are there anyway.
    fn cost_beside(&self, known: &BTreeSet<usize>) -> usize {
        let keys = match self.price.is_free() {
            true => 0,
            false => self.distinct_rotations().iter().filter(|rotation| !known.contains(rotation)).count(),
        };
        self.products()
            + BABY_COST * self.hoisted_rotations()
            + (GIANT_COST - BABY_COST) * self.hoisted_hubs()
            + GIANT_COST * (self.giant_rotations() + self.fold_steps())
            + BABY_COST * (self.fold_rotations() - self.fold_steps())
            + self.price.0 as usize * keys
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

    /// Number of hubs, other than inputs, that are decomposed for others.
    pub fn hoisted_hubs(&self) -> usize {
        self.by_hub().map(|hubs| hubs.iter().filter(|hub| hub.at != 0 && hub.steps() != 0).count()).sum()
    }

    /// Number of rotations out of the decomposition of an input or a hub.
    pub fn hoisted_rotations(&self) -> usize {
        self.by_hub().flatten().map(|hub| hub.steps()).sum()
    }

    /// Most rotations that an input goes through before it is multiplied.
    pub fn longest_chain(&self) -> usize {
        let rotations = |hubs: Vec<Hub<'_>>| {
            let last = hubs.last().map_or(0, |last| usize::from(last.steps() != 0));
            hubs.len() - 1 + last
        };
        self.by_hub().map(rotations).max().unwrap_or(0)
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
        let hubs = self.by_hub().flatten();
        let babies = hubs.flat_map(|Hub { at, offsets, next }| {
            offsets.iter().map(move |baby| baby.rotation - at).chain(next).map(|steps| steps as i64)
        });
        // From those of either side to the next one towards 0.
        let nearer = |at: usize| {
            let (output, giant) = self.giants[at];
            let neighbour = if giant < 0 { at + 1 } else { at.wrapping_sub(1) };
            let nearer = self.giants.get(neighbour).filter(|&&(o, nearer)| o == output && nearer.signum() * giant >= 0);
            nearer.filter(|_| !self.price.is_free()).map_or(0, |&(_, nearer)| nearer)
        };
        let rotated = self.giants.iter().enumerate().filter(|&(_, &(_, giant))| giant != 0);
        let giants = rotated.map(|(at, &(_, giant))| giant - nearer(at));
        let folds = self.fold.iter().flatten().take(self.fold_rotations()).map(|&step| step as i64);
        let to_the_left = |positions: i64| positions.rem_euclid(self.positions as i64) as usize;
        let distinct: BTreeSet<usize> =
            babies.chain(giants).chain(folds).map(to_the_left).filter(|&k| k != 0).collect();
        distinct.into_iter().collect()
    }

    /// Of each input that is rotated, its hubs: itself first.
    fn by_hub(&self) -> impl Iterator<Item = Vec<Hub<'_>>> {
        self.babies.chunk_by(|a, b| a.input == b.input).map(|babies| {
            let mut hubs = vec![Hub { at: 0, offsets: &[], next: None }];
            for babies in babies.chunk_by(|a, b| a.rotation / self.offsets == b.rotation / self.offsets) {
                let at = babies[0].rotation / self.offsets * self.offsets;
                let offsets = &babies[usize::from(babies[0].rotation == at)..];
                match hubs.last_mut() {
                    Some(input) if at == 0 => input.offsets = offsets,
                    Some(last) => {
                        last.next = Some(at - last.at);
                        hubs.push(Hub { at, offsets, next: None });
                    }
                    None => {}
                }
            }
            hubs
        })
    }
}

/// An input, rotated by `at`, and what is made from it.
struct Hub<'a> {
    at: usize,
    /// Baby rotations by more.
    offsets: &'a [Product],
    /// How far the next hub is.
    next: Option<usize>,
}

impl Hub<'_> {
    /// Number of rotations out of its decomposition.
    fn steps(&self) -> usize {
        self.offsets.len() + usize::from(self.next.is_some())
    }
}

/// Where the marks are.
fn marked(marks: &[bool]) -> impl Iterator<Item = usize> + '_ {
    marks.iter().enumerate().filter_map(|(at, &marked)| marked.then_some(at))
}

/// The steps that add up what lies `from` positions apart in `to` positions.
fn fold(from: usize, to: usize, price: KeyPrice) -> Vec<Vec<usize>> {
    let most = if (price.0 as usize) < FOLD_KEY { 4 } else { 2 };
    let steps = std::iter::successors(Some(from), |step| Some(step * most)).take_while(|&step| step < to);
    steps.map(|step| (1..most.min(to / step)).map(|k| k * step).collect()).collect()
}

/// All (o, i, d) with a non-zero, each once, from which d on, modulo D, they are negative, and the number of non-zeros on them.
fn diagonals(matrix: &SparseMatrix, layouts: (&Layout, &Layout)) -> (Vec<Diagonal>, usize, usize) {
    let modulus = modulus(layouts.0, layouts.1);
    let of_row = |row| on_diagonals(matrix, row, layouts, modulus).map(|(diagonal, ..)| diagonal);
    let mut found: Vec<Diagonal> = (0..matrix.rows()).flat_map(of_row).collect();
    let entries = found.len();
    found.sort_unstable();
    found.dedup();
    // After the widest gap between 0, all of them, and D, the last of such: what is left out spans most.
    let distinct: BTreeSet<i64> = found.iter().map(|&(.., d)| d).chain([0, modulus as i64]).collect();
    let gaps = distinct.iter().zip(distinct.iter().skip(1));
    let turn = gaps.max_by_key(|(d, next)| *next - *d).map_or(modulus as i64, |(_, &next)| next);
    found.iter_mut().filter(|(.., d)| *d >= turn).for_each(|(.., d)| *d -= modulus as i64);
    found.sort_unstable();
    (found, turn as usize, entries)
}

/// The entries of a row at each of its places: their diagonals with d in `turn` − D..`turn`, their t, and their values.
pub(super) fn on_diagonals(
    matrix: &SparseMatrix,
    row: usize,
    (input, output): (&Layout, &Layout),
    turn: usize,
) -> impl Iterator<Item = (Diagonal, usize, f64)> {
    let (modulus, (o, _)) = (modulus(input, output), output.position(row));
    matrix.row(row).iter().flat_map(move |&(column, value)| {
        let (column, (i, _)) = (column as usize, input.position(column as usize));
        output.places(row).map(move |t_r| {
            let t_c = source(input, column, t_r, output);
            let d = distance(t_c, t_r, modulus);
            let d = d as i64 - if d < turn { 0 } else { modulus as i64 };
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
