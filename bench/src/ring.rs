//! What lies below the operations of the scheme, as far as it has a result of its own.

use ckks::{Encryptor, EvaluationKeys};

use crate::{Clock, Result, Setting, time};

/// Parts of operations: the three steps of a rotation, which show their result at its end, and `expand_seed`, the uniform half of a
/// fresh ciphertext. `keys` has the rotation by one slot.
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
    time(clock, "expand_seed", None, || (), |()| Ok(seeded.expand()))
}
