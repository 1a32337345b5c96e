//! Matrices of constants, as programs with one feature a ciphertext have them: in chains, on inputs from memory and on seeds.

use ckks::{
    Ciphertext, Encoder, Encryptor, Entropy, KeyGenerator, Params, Pointwise, PointwiseInputs, ScalarMatrix, Scale,
    SeededCiphertext, apply_pointwise,
};

use super::shape::Shape;
use super::turns::{in_turns, one};
use crate::error::Result;
use crate::exec::trace::GemmCost;

const SHAPE: Shape = Shape { log_n: 13, limbs: 1, special: 1, bits: 50 };
/// Weights of up to 16 bits, and larger ones.
const SHORT_BITS: i32 = 12;
const LONG_BITS: i32 = 24;

/// A matrix in groups of rows that read the same columns, those of a group from so many columns after those of the group before.
#[derive(Clone, Copy)]
struct Groups {
    count: usize,
    rows: usize,
    cols: usize,
    stride: usize,
}

/// Dense layers on the same inputs, the windows of a convolution, and those of a pool.
const DENSE: Groups = Groups { count: 1, rows: 60, cols: 512, stride: 0 };
const TWICE: Groups = Groups { rows: 120, ..DENSE };
const WINDOWS: Groups = Groups { count: 100, rows: 5, cols: 25, stride: 4 };
const POOL: Groups = Groups { count: 128, rows: 1, cols: 4, stride: 4 };

impl Groups {
    fn inputs(&self) -> usize {
        (self.count - 1) * self.stride + self.cols
    }

    fn outputs(&self) -> usize {
        self.count * self.rows
    }

    fn macs(&self) -> f64 {
        (self.outputs() * self.cols) as f64
    }

    fn edges(&self) -> f64 {
        (self.count * (self.rows + self.cols)) as f64
    }

    fn traffic(&self) -> f64 {
        (self.inputs() + self.outputs()) as f64
    }

    fn matrix(&self, params: &Params, scale_bits: i32) -> ckks::Result<ScalarMatrix> {
        let weight = |r: usize, c: usize| ((7 * r + 3 * c) % 23) as f64 / 23.0 - 0.5;
        let row = |r: usize| -> Vec<(u32, f64)> {
            let first = r / self.rows * self.stride;
            (0..self.cols).map(|c| ((first + c) as u32, weight(r, c))).collect()
        };
        let rows: Vec<_> = (0..self.outputs()).map(row).collect();
        let rows = rows.iter().map(Vec::as_slice);
        ScalarMatrix::new(params, rows, self.inputs(), Scale::power_of_two(scale_bits), 0)
    }
}

/// What matrices of constants cost, in core-seconds.
pub(super) fn measure() -> Result<GemmCost> {
    let params = SHAPE.params()?;
    let mut entropy = Entropy::from_os()?;
    let secret = KeyGenerator::new(&params, &mut entropy).secret_key();
    let values = vec![0.5; params.slots()];
    let plaintext = Encoder::new(&params).encode(&values, Scale::power_of_two(SHORT_BITS), 0)?;
    let seeded = Encryptor::new(&secret, entropy).encrypt_seeded(&plaintext)?;
    let inputs: Vec<Ciphertext> = vec![seeded.expand(); DENSE.inputs()];
    let inputs: Vec<&Ciphertext> = inputs.iter().collect();
    let seeded: Vec<SeededCiphertext> = vec![seeded; POOL.inputs()];
    let seeded: Vec<&SeededCiphertext> = seeded.iter().collect();
    let (inputs, seeded) = (&inputs, &seeded);
    let short = |groups: Groups| groups.matrix(&params, SHORT_BITS);
    let [long, dense, twice] = [DENSE.matrix(&params, LONG_BITS)?, short(DENSE)?, short(TWICE)?];
    let [windows, pool] = [short(WINDOWS)?, short(POOL)?];
    let affine = |matrix| Pointwise::Affine { matrix, constants: &[] };
    let chains = [
        (DENSE, vec![affine(&dense)]),
        (TWICE, vec![affine(&twice)]),
        (DENSE, vec![affine(&long)]),
        (WINDOWS, vec![affine(&windows)]),
        (WINDOWS, vec![affine(&windows), Pointwise::Square]),
        (POOL, vec![affine(&pool)]),
    ];
    let [first, second, third, fourth, fifth, sixth] = chains.map(|(groups, chain)| {
        let run = move |inputs: &[_]| apply_pointwise(&chain, PointwiseInputs::Whole(inputs));
        one(move |_| &inputs[..groups.inputs()], run)
    });
    let on_seeds = one(|_| (), |()| apply_pointwise(&[affine(&pool)], PointwiseInputs::Seeded(seeded)));
    let operations = [first, second, third, fourth, fifth, sixth, on_seeds];
    let residues = 2.0 * params.ring().n() as f64 / rayon::current_num_threads() as f64;
    let [dense, twice, long, windows, squared, pool, on_seeds] =
        in_turns(operations)?.map(|seconds| seconds / residues);
    let short_mac = ((twice - dense) / (TWICE.macs() - DENSE.macs())).max(0.0);
    let mac = short_mac + ((long - dense) / DENSE.macs()).max(0.0);
    // Where few rows read what comes from memory, both costs of a row are one; windows overlap, and have more of the first.
    let rest = |groups: Groups, time: f64| (time - groups.macs() * short_mac).max(0.0);
    let both = (rest(DENSE, dense) + rest(POOL, pool)) / (DENSE.edges() + POOL.edges());
    let edge = (rest(WINDOWS, windows) - WINDOWS.traffic() * both) / (WINDOWS.edges() - WINDOWS.traffic());
    let edge = edge.clamp(0.0, both);
    let traffic = both - edge;
    // A square has three parts for two.
    let outputs = WINDOWS.outputs() as f64;
    let square = (2.0 * (squared - windows) / outputs - traffic).max(0.0);
    // One of two parts is expanded.
    let seed = (2.0 * (on_seeds - pool) / POOL.inputs() as f64).max(0.0);
    let [constants] = in_turns([one(|_| (), |()| WINDOWS.matrix(&params, LONG_BITS))])?;
    let constant = constants * rayon::current_num_threads() as f64 / WINDOWS.macs();
    Ok(GemmCost { mac, short_mac, edge, traffic, square, seed, constant })
}
