//! y_o = Σ_k w_ok x_k for ciphertexts x_k and constants w_ok: a linear layer on one feature a ciphertext is a modular matrix
//! product over coefficients (CryptoNets, Dowlin et al. 2016; nGraph-HE2 2019/947).
//!
//! Residue by residue, the outputs are the product of the matrix of constants with a matrix whose row k is a limb of x_k. Rows of
//! the matrix of constants that read the same inputs, as the maps of a convolution do, form a dense group, so that sparse layers
//! cost what their entries cost. Rows of which single weights were pruned are joined to groups as well, their zeros multiplied, as long as
//! that takes less time. Constants that fit 16 bits, as the weights of networks mostly do, are multiplied as such; larger ones as digits, where that pays.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;

use crate::arith::{Backend, GEMM_COLUMNS, GEMM_OUTPUTS, MAX_SHORT_SUM, Modulus, Pair, Panels, Pieces, tiled};
use crate::error::{Error, Result};
use crate::scheme::{Ciphertext, Params, Scale};

use super::pointwise::{Pointwise, PointwiseInputs, apply_pointwise};

/// A matrix of constants at one scale and level, grouped by the inputs that its rows read, as residues.
pub struct ScalarMatrix {
    params: Params,
    rows: usize,
    cols: usize,
    level: usize,
    scale: Scale,
    groups: Vec<Group>,
    /// Entries that are not zero.
    entries: usize,
}

/// The entries of a row: columns and values.
type Row<'a> = &'a [(u32, f64)];

/// The rows that read the given inputs, each with its number.
type Rows<'a> = (Vec<u32>, Vec<(usize, Row<'a>)>);

/// What a tile takes to read an input, in multiplications of it. (512 x 256 weights on a Zen 4 with AVX-512 IFMA: 48 ms; with half of them
/// pruned and each row alone 84 ms; with three quarters pruned 43 ms.)
const READ_COST: usize = 4;

/// Rows with the same inputs.
struct Group {
    outputs: Vec<usize>,
    inputs: Vec<u32>,
    weights: Weights,
}

/// Outputs by inputs.
enum Weights {
    /// As residues, tiled, for each limb.
    Residues(Vec<Vec<u64>>),
    Short(Short),
    /// All are 1, of one output: a sum.
    Ones,
}

/// The most digits that weights are cut into.
const MAX_DIGITS: usize = 4;

/// Weights as integers of 16 bits, for pairs of inputs.
struct Short {
    /// `pairs[t]` reads 2 t and 2 t + 1. A pair with larger weights is there several times.
    pairs: Vec<u32>,
    /// The lengths of runs for each of [`Pieces::ALL`].
    runs: [usize; 2],
    /// Bits of a digit, and how many digits a weight has.
    bits: u32,
    digits: usize,
    /// The lowest digits of all outputs' weights, then the next ones, tiled.
    weights: Vec<Pair>,
}

impl ScalarMatrix {
    /// The matrix whose row r has the given (column, value) entries, columns ascending; each value is rounded to a multiple of
    /// 1/`scale`. On the threads of the current rayon pool.
    ///
    /// # Errors
    /// [`Error::EncodeOverflow`] for a value that is not finite or too large for the modulus, [`Error::ShapeMismatch`] for a column
    /// beyond `cols` or out of order, [`Error::LevelTooHigh`].
    pub fn new<'a>(
        params: &Params,
        rows: impl IntoIterator<Item = &'a [(u32, f64)]>,
        cols: usize,
        scale: Scale,
        level: usize,
    ) -> Result<Self> {
        let limbs = params.limbs(level)?;
        let mut by_inputs: BTreeMap<Vec<u32>, Vec<(usize, Row<'_>)>> = BTreeMap::new();
        let (mut count, mut entries) = (0, 0);
        for (r, row) in rows.into_iter().enumerate() {
            let inputs: Vec<u32> = row.iter().map(|&(c, _)| c).collect();
            if let Some(&c) = inputs.iter().find(|&&c| c as usize >= cols) {
                let reason = format!("row {r} reads column {c} of a matrix of {cols} columns");
                return Err(Error::ShapeMismatch { operation: "linear combination", reason });
            }
            if !inputs.is_sorted_by(|a, b| a < b) {
                let reason = format!("the columns of row {r} are not ascending");
                return Err(Error::ShapeMismatch { operation: "linear combination", reason });
            }
            by_inputs.entry(inputs).or_default().push((r, row));
            entries += row.iter().filter(|(_, value)| *value != 0.0).count();
            count = r + 1;
        }
        let (log_q, products) = (params.log_q(level), params.ring().backend().short_products());
        let group = |(inputs, rows): Rows<'_>| {
            let values = rows.iter().flat_map(|(_, row)| dense(row, &inputs));
            let integers = values.map(|value| scale.integer(value, log_q)).collect::<Result<Vec<_>>>()?;
            let words = || integers.iter().map(|w| w.to_i64()).collect::<Option<Vec<i64>>>();
            let short = || Short::new(&inputs, &words()?, products);
            let residues = |q: &Modulus| {
                let matrix: Vec<u64> = integers.iter().map(|w| w.residue(q)).collect();
                tiled(&matrix, inputs.len().max(1))
            };
            let is_sum = rows.len() == 1 && !inputs.is_empty() && integers.iter().all(|w| w.to_f64() == 1.0);
            let weights = match is_sum {
                true => Weights::Ones,
                false => match short() {
                    Some(short) => Weights::Short(short),
                    None => Weights::Residues(params.ring().q().take(limbs).map(residues).collect()),
                },
            };
            Ok(Group { outputs: rows.into_iter().map(|(r, _)| r).collect(), inputs, weights })
        };
        let groups = joined(by_inputs).into_par_iter().map(group).collect::<Result<Vec<_>>>()?;
        Ok(Self { params: params.clone(), rows: count, cols, level, scale, groups, entries })
    }

    /// Number of outputs.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of inputs.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Number of entries that are not zero.
    pub(super) fn entries(&self) -> usize {
        self.entries
    }

    /// The scale of the constants.
    pub(super) fn scale(&self) -> Scale {
        self.scale
    }

    /// The y_o: level and degree of the inputs, the scales multiply. No NTT; one multiply-accumulate for each entry,
    /// coefficient, limb and part. Errors: those of the inputs, times the weights. Runs on the threads of the current rayon pool.
    ///
    /// # Errors
    /// Those of [`apply_pointwise`] for this one operation.
    pub fn apply(&self, inputs: &[Ciphertext]) -> Result<Vec<Ciphertext>> {
        let step = Pointwise::Affine { matrix: self, constants: &[] };
        let inputs: Vec<&Ciphertext> = inputs.iter().collect();
        Ok(apply_pointwise(&[step], PointwiseInputs::Whole(&inputs))?.outputs)
    }

    /// That the operands of an operation can be those of this matrix.
    pub(super) fn check(&self, operation: &'static str, count: usize, (params, level): (&Params, usize)) -> Result<()> {
        if count != self.cols {
            let reason = format!("{count} ciphertexts for a matrix of {} columns", self.cols);
            return Err(Error::ShapeMismatch { operation, reason });
        }
        if *params != self.params {
            return Err(Error::ParamsMismatch { operation });
        }
        if level != self.level {
            return Err(Error::LevelMismatch { operation, left: level, right: self.level });
        }
        Ok(())
    }

    /// Rows of a panel that [`Self::multiply`] works in.
    pub(super) fn scratch_rows(&self) -> usize {
        self.cols.next_multiple_of(2) + self.groups.iter().map(Group::products).max().unwrap_or(0)
    }

    /// M x in one limb of one panel of columns.
    pub(super) fn multiply(
        &self,
        (backend, q, limb): (Backend, &Modulus, usize),
        x: &[u64],
        out: &mut [u64],
        scratch: &mut [u64],
    ) {
        let (pieces, products) = scratch.split_at_mut(self.cols.next_multiple_of(2) * GEMM_COLUMNS);
        if self.groups.iter().any(|group| matches!(group.weights, Weights::Short(_))) {
            backend.split_into(q, pieces, x);
        }
        for group in &self.groups {
            let Group { outputs, inputs, weights } = group;
            let products = &mut products[..group.products() * GEMM_COLUMNS];
            match weights {
                _ if inputs.is_empty() => products.fill(0),
                Weights::Ones => {
                    let row = |&input: &u32| &x[input as usize * GEMM_COLUMNS..][..GEMM_COLUMNS];
                    let (first, others) = inputs.split_at(1);
                    first.iter().for_each(|first| products.copy_from_slice(row(first)));
                    others.iter().for_each(|other| backend.add_assign(q, products, row(other)));
                }
                Weights::Short(short) => {
                    let run = short.runs[Pieces::of(q) as usize];
                    backend.short_gemm_into(q, products, &short.weights, (&short.pairs, run), pieces);
                    let (lowest, others) = products.split_at_mut(outputs.len() * GEMM_COLUMNS);
                    for (digit, product) in (1..).zip(others.chunks_exact(lowest.len())) {
                        let weight = q.shoup(q.pow(2, digit * u64::from(short.bits)));
                        backend.mul_scalar_add_assign(q, lowest, product, weight);
                    }
                }
                Weights::Residues(limbs) => {
                    backend.gemm_into(q, products, &limbs[limb], inputs, Panels { data: x, rows: self.cols });
                }
            }
            let rows = out.as_chunks_mut::<GEMM_COLUMNS>().0;
            products.as_chunks().0.iter().zip(outputs).for_each(|(product, &o)| rows[o] = *product);
        }
    }
}

/// Neighbours whose inputs overlap so much that it takes less time to multiply by zeros than to read inputs again become one.
fn joined<'a>(groups: impl IntoIterator<Item = Rows<'a>>) -> Vec<Rows<'a>> {
    let cost = |inputs: usize, rows: usize| inputs * (READ_COST * rows.div_ceil(GEMM_OUTPUTS) + rows);
    let mut joined: Vec<Rows<'_>> = Vec::new();
    for (inputs, rows) in groups {
        if let Some((known, members)) = joined.last_mut() {
            let union: BTreeSet<u32> = known.iter().chain(&inputs).copied().collect();
            let apart = cost(known.len(), members.len()) + cost(inputs.len(), rows.len());
            if cost(union.len(), members.len() + rows.len()) <= apart {
                *known = union.into_iter().collect();
                members.extend(rows);
                continue;
            }
        }
        joined.push((inputs, rows));
    }
    joined
}

/// The entries of a row at all `inputs`, ascending.
fn dense<'a>(row: Row<'a>, inputs: &'a [u32]) -> impl Iterator<Item = f64> + 'a {
    let mut row = row.iter().peekable();
    inputs.iter().map(move |&input| row.next_if(|&&(column, _)| column == input).map_or(0.0, |&(_, value)| value))
}

impl Group {
    /// Rows that are made for the outputs: one a digit.
    fn products(&self) -> usize {
        match &self.weights {
            Weights::Short(short) => short.digits * self.outputs.len(),
            Weights::Residues(_) | Weights::Ones => self.outputs.len(),
        }
    }
}

impl Short {
    /// What takes least time, if that is less than residues take: as long as so many `products` of short weights for each entry. All of a
    /// pair is multiplied if one of it is read.
    fn new(inputs: &[u32], integers: &[i64], products: usize) -> Option<Self> {
        let mut best: Option<Self> = None;
        // As many digits as products never pay: a digit takes half a product for each entry, or more.
        for digits in (1..=MAX_DIGITS).take_while(|&digits| digits < products) {
            if best.as_ref().is_some_and(|best| best.weights.len() <= digits * best.least()) {
                break;
            }
            let cut = Self::cut(inputs, integers, digits);
            best = best.into_iter().chain(cut).min_by_key(|cut| cut.weights.len());
        }
        best.filter(|best| 2 * best.weights.len() < products * integers.len())
    }

    /// What a digit takes at least, in any cut of the same weights: each pair once.
    fn least(&self) -> usize {
        let outputs = self.weights.len() / (self.digits * self.pairs.len());
        outputs * self.pairs.chunk_by(|a, b| a == b).count()
    }

    /// Integers as so many digits, all but the highest balanced around zero, with as few bits as that takes; none if an output's sums
    /// could be too large.
    fn cut(inputs: &[u32], integers: &[i64], digits: usize) -> Option<Self> {
        const LARGEST: i64 = i16::MAX as i64;
        let largest = integers.iter().map(|w| w.unsigned_abs()).max()?;
        let bits = (u64::BITS - largest.leading_zeros() + 1).div_ceil(digits as u32);
        let (mut integers, mut matrix) = (integers.to_vec(), Vec::with_capacity(digits * integers.len()));
        for _ in 1..digits {
            matrix.extend(integers.iter().map(|w| w << (u64::BITS - bits) >> (u64::BITS - bits)));
            integers.iter_mut().for_each(|w| *w = ((*w >> (bits - 1)) + 1) >> 1);
        }
        matrix.extend(integers);
        let rows = matrix.chunks(inputs.len());
        let sums = rows.clone().map(|row| row.iter().map(|w| u128::from(w.unsigned_abs())).sum::<u128>());
        if sums.max()? > u128::from(MAX_SHORT_SUM) {
            return None;
        }
        let mut by_pair: BTreeMap<u32, [Option<usize>; 2]> = BTreeMap::new();
        for (at, &input) in inputs.iter().enumerate() {
            let place = &mut by_pair.entry(input / 2).or_default()[input as usize % 2];
            if place.replace(at).is_some() {
                return None;
            }
        }
        // Each pair with its rest, until nothing is left of any output's weights.
        let mut terms: Vec<(u32, Vec<Pair>)> = Vec::new();
        for (pair, places) in by_pair {
            let weight = |row: &[i64], place: Option<usize>| place.map_or(0, |at| row[at]);
            let mut rests: Vec<[i64; 2]> = rows.clone().map(|row| places.map(|place| weight(row, place))).collect();
            while rests.iter().flatten().any(|&rest| rest != 0) {
                let taken = rests.iter().map(|rest| rest.map(|w| w.clamp(-LARGEST, LARGEST) as i16)).collect();
                rests.iter_mut().for_each(|rest| *rest = rest.map(|w| w - w.clamp(-LARGEST, LARGEST)));
                terms.push((pair, taken));
            }
        }
        if terms.is_empty() {
            return None;
        }
        let row = |o: usize| terms.iter().map(move |(_, taken)| taken[o]);
        let matrix: Vec<Pair> = (0..rows.len()).flat_map(row).collect();
        let sum = |run: &[Pair]| run.iter().flatten().map(|w| u64::from(w.unsigned_abs())).sum::<u64>();
        let fits =
            |run: usize, most: u64| matrix.chunks(terms.len()).all(|row| row.chunks(run).all(|run| sum(run) <= most));
        // As few runs as their sums allow; two weights are never too many.
        let lengths = || (1..=terms.len()).map(|runs| terms.len().div_ceil(runs));
        let runs = Pieces::ALL.map(|pieces| lengths().find(|&run| fits(run, pieces.max_run())).unwrap_or(1));
        let weights = tiled(&matrix, terms.len());
        Some(Self { pairs: terms.into_iter().map(|(pair, _)| pair).collect(), runs, bits, digits, weights })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The integers of which a cut is made.
    fn joined_again(short: &Short, inputs: &[u32], rows: usize) -> Vec<i64> {
        let (terms, mut integers) = (short.pairs.len(), vec![0; rows * inputs.len()]);
        let mut tiles = short.weights.chunks(GEMM_OUTPUTS * terms);
        for first in (0..short.digits * rows).step_by(GEMM_OUTPUTS) {
            let tile = tiles.next().unwrap();
            let height = tile.len() / terms;
            for (at, pair) in tile.iter().enumerate() {
                let (digit, row) = ((first + at % height) / rows, (first + at % height) % rows);
                for (input, &w) in (2 * short.pairs[at / height]..).zip(pair) {
                    match inputs.binary_search(&input) {
                        Ok(place) => {
                            integers[row * inputs.len() + place] += i64::from(w) << (digit as u32 * short.bits)
                        }
                        Err(_) => assert_eq!(w, 0),
                    }
                }
            }
        }
        integers
    }

    #[test]
    fn digits_and_repeated_pairs_make_up_the_weights() {
        for (inputs, rows) in [(vec![0, 1, 2, 3, 4, 5, 6, 7], 5), (vec![1, 2, 3, 6, 9], 7), (vec![4], 1)] {
            for bits in [1, 12, 15, 16, 17, 24, 31, 40, 52] {
                let bound = 1i64 << bits;
                let matrix: Vec<i64> =
                    (1..=rows as i64 * inputs.len() as i64).map(|i| (i * i * 0x9e37_79b9_7f4b) % bound).collect();
                for matrix in [matrix, vec![bound - 1; rows * inputs.len()], vec![-bound; rows * inputs.len()]] {
                    for digits in 1..=MAX_DIGITS {
                        match Short::cut(&inputs, &matrix, digits) {
                            Some(short) => assert_eq!(joined_again(&short, &inputs, rows), matrix, "{bits} {digits}"),
                            None => assert!(bits > 16 * digits, "{bits} {digits}"),
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn weights_are_cut_where_it_takes_less_time() {
        let inputs: Vec<u32> = (0..10).collect();
        let digits = |bits: u32, products| {
            let matrix: Vec<i64> = (0..20).map(|i| (1 << bits) - i).collect();
            Short::new(&inputs, &matrix, products).map(|short| (short.digits, short.pairs.len()))
        };
        assert_eq!([12, 24].map(|bits| digits(bits, 0)), [None, None]);
        assert_eq!([12, 16, 24].map(|bits| digits(bits, 2)), [Some((1, 5)), None, None]);
        let found = [12, 16, 24, 40].map(|bits| digits(bits, 8));
        assert_eq!(found, [Some((1, 5)), Some((2, 5)), Some((2, 5)), Some((3, 5))]);
    }
}
