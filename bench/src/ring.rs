//! What lies below and beside the operations of the scheme, as far as it has a result of its own.

use ckks::{Encryptor, EvaluationKeys, ScalarMatrix, Scale};

use crate::{Clock, Result, Setting, time};

/// Inputs and outputs of a product with constants.
const FEATURES: usize = 96;

/// Parts of operations: the three steps of a rotation, which show their result at its end, and `expand_seed`, the uniform half of a
/// fresh ciphertext. `keys` has the rotation by one slot.
///
/// And the products of constants with one feature a ciphertext: `gemm` with weights of 16 bits, `gemm_wide` with weights beyond.
///
/// # Errors
/// [`crate::Error::WrongSlots`] before a case that computes something else, and what the clock says.
pub fn ring(clock: &mut Clock<'_>, setting: &mut Setting, keys: &EvaluationKeys) -> Result<()> {
    let entropy = setting.entropy.fork();
    let Setting { evaluator, x, x_encrypted, .. } = &*setting;
    let slots = x.len();
    let hoisted = evaluator.hoist(x_encrypted)?;
    let extended = evaluator.rotate_hoisted_extended(&hoisted, 1, keys)?;
    setting.check("mod_up", &evaluator.mod_down(extended.clone())?, |i| x[(i + 1) % slots])?;
    time(clock, "mod_up", None, || (), |()| evaluator.hoist(x_encrypted))?;
    time(clock, "inner_product", None, || (), |()| evaluator.rotate_hoisted_extended(&hoisted, 1, keys))?;
    time(clock, "mod_down", None, || extended.clone(), |extended| evaluator.mod_down(extended))?;

    let mut encryptor = Encryptor::new(&setting.secret, entropy);
    let seeded = encryptor.encrypt_seeded(&setting.y_plain)?;
    let expanded = seeded.expand().with_estimate(encryptor.estimate(&setting.y_plain, 1.0));
    setting.check("expand_seed", &expanded, |i| setting.y[i])?;
    time(clock, "expand_seed", None, || (), |()| Ok(seeded.expand()))?;
    gemm(clock, setting, "gemm", 12)?;
    gemm(clock, setting, "gemm_wide", 24)
}

/// [`FEATURES`] sums of as many inputs with weights ±1, at a low level: FEATURES² multiply-accumulates for each word of a ciphertext.
fn gemm(clock: &mut Clock<'_>, setting: &Setting, op: &'static str, weight_bits: i32) -> Result<()> {
    let Setting { params, evaluator, x, x_encrypted, .. } = setting;
    let level = params.max_level().min(1);
    let weight = |row: usize, col: usize| if (row * col) % 7 == 3 { 1.0 } else { -1.0 };
    let rows: Vec<Vec<(u32, f64)>> =
        (0..FEATURES).map(|row| (0..FEATURES).map(|col| (col as u32, weight(row, col))).collect()).collect();
    let scale = Scale::power_of_two(weight_bits);
    let matrix = ScalarMatrix::new(params, rows.iter().map(Vec::as_slice), FEATURES, scale, level)?;
    let mut input = x_encrypted.clone();
    evaluator.drop_level_assign(&mut input, level)?;
    let inputs = vec![input; FEATURES];

    let (last, sum) = (FEATURES - 1, (0..FEATURES).map(|col| weight(FEATURES - 1, col)).sum::<f64>());
    let mut output = matrix.apply(&inputs)?.swap_remove(last);
    if let Some(estimate) = x_encrypted.estimate() {
        output = output.with_estimate(estimate.mul_constant(sum, 0.0));
    }
    setting.check(op, &output, |i| sum * x[i])?;
    time(clock, op, None, || (), |()| matrix.apply(&inputs))
}
