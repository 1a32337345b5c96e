//! What lies below the operations of the scheme, as far as it has a result of its own.

use ckks::{Encryptor, EvaluationKeys};

use crate::{Clock, Result, Setting, time};

/// Parts of operations: `mod_up` of one polynomial, which shows its result only in a rotation, and `expand_seed`, the uniform half of a
/// fresh ciphertext. `keys` has the rotation by one slot.
///
/// # Errors
/// [`crate::Error::WrongSlots`] before a case that computes something else, and what the clock says.
pub fn ring(clock: &mut Clock<'_>, setting: &mut Setting, keys: &EvaluationKeys) -> Result<()> {
    let Setting { evaluator, x, x_encrypted, .. } = &*setting;
    let slots = x.len();
    let rotated = evaluator.rotate_hoisted(&evaluator.hoist(x_encrypted)?, 1, keys)?;
    setting.check("mod_up", &rotated, |i| x[(i + 1) % slots])?;
    time(clock, "mod_up", None, || (), |()| evaluator.hoist(x_encrypted))?;

    let mut encryptor = Encryptor::new(&setting.secret, setting.entropy.fork());
    let seeded = encryptor.encrypt_seeded(&setting.y_plain)?;
    let expanded = seeded.expand().with_estimate(encryptor.estimate(&setting.y_plain, 1.0));
    setting.check("expand_seed", &expanded, |i| setting.y[i])?;
    time(clock, "expand_seed", None, || (), |()| Ok(seeded.expand()))
}
