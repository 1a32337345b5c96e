//! The operations of the scheme at the top level.

use ckks::{Decryptor, Encryptor, Estimate, EvaluationKeys, KeyGenerator, KeyRequest, RingKind};

use crate::setting::check_slots;
use crate::{Clock, Error, Result, Setting, time};

/// Rotations of one ciphertext that are hoisted.
pub const HOISTED: i64 = 16;

/// All operations of `setting`, in the order in which a program meets them; gives the keys that they used.
///
/// A chain of one step has no `rescale`, and the conjugate-invariant ring no `conjugate`.
///
/// # Errors
/// [`Error::WrongSlots`] or [`Error::WrongKey`] before a case that computes something else, and what the clock says.
pub fn scheme(clock: &mut Clock<'_>, setting: &mut Setting) -> Result<EvaluationKeys> {
    messages(clock, setting)?;
    arithmetic(clock, setting)?;
    let keys = key_generation(clock, setting)?;
    key_switches(clock, setting, &keys)?;
    Ok(keys)
}

/// Encoding and encryption, there and back.
fn messages(clock: &mut Clock<'_>, setting: &mut Setting) -> Result<()> {
    let (params, scale, level) = (setting.params.clone(), setting.scale, setting.params.max_level());
    let public = KeyGenerator::new(&params, &mut setting.entropy).public_key(&setting.secret)?;
    let mut by_public = Encryptor::new(&public, setting.entropy.fork());
    let mut by_secret = Encryptor::new(&setting.secret, setting.entropy.fork());
    let Setting { encoder, y, y_plain, y_encrypted, secret, .. } = &*setting;

    let values = encoder.decode(&encoder.encode(y, scale, level)?)?;
    let bits = check_slots("encode", &values, |i| y[i], Estimate::encoded(&params, scale, 1.0))?;
    time(clock, "encode", bits, || (), |()| encoder.encode(y, scale, level))?;
    time(clock, "decode", bits, || (), |()| encoder.decode(y_plain))?;

    let encrypted = by_public.encrypt(y_plain)?.with_estimate(by_public.estimate(y_plain, 1.0));
    let bits = setting.check("encrypt_public", &encrypted, |i| y[i])?;
    time(clock, "encrypt_public", bits, || (), |()| by_public.encrypt(y_plain))?;
    let encrypted = by_secret.encrypt_seeded(y_plain)?.expand().with_estimate(by_secret.estimate(y_plain, 1.0));
    let bits = setting.check("encrypt_secret", &encrypted, |i| y[i])?;
    time(clock, "encrypt_secret", bits, || (), |()| by_secret.encrypt_seeded(y_plain))?;

    let bits = setting.check("decrypt", y_encrypted, |i| y[i])?;
    let decryptor = Decryptor::new(secret);
    time(clock, "decrypt", bits, || (), |()| decryptor.decrypt(y_encrypted))
}

/// What needs no key.
fn arithmetic(clock: &mut Clock<'_>, setting: &Setting) -> Result<()> {
    let Setting { params, evaluator, x, y, y_plain, x_encrypted, y_encrypted, .. } = setting;

    let mut sum = x_encrypted.clone();
    evaluator.add_assign(&mut sum, y_encrypted)?;
    let bits = setting.check("add", &sum, |i| x[i] + y[i])?;
    // In place, again and again: sums wrap around, and take the same time.
    time(clock, "add", bits, || (), |()| evaluator.add_assign(&mut sum, y_encrypted))?;

    let mut product = x_encrypted.clone();
    evaluator.mul_plain_assign(&mut product, y_plain)?;
    let encoded = Estimate::encoded(params, setting.scale, 1.0);
    if let Some(estimate) = x_encrypted.estimate() {
        product = product.with_estimate(estimate.mul(encoded));
    }
    let bits = setting.check("mul_plain", &product, |i| x[i] * y[i])?;
    let input = || x_encrypted.clone();
    time(clock, "mul_plain", bits, input, |mut x| evaluator.mul_plain_assign(&mut x, y_plain).map(|()| x))?;

    let bits = setting.check("mul", &evaluator.mul(x_encrypted, y_encrypted)?, |i| x[i] * y[i])?;
    time(clock, "mul", bits, || (), |()| evaluator.mul(x_encrypted, y_encrypted))?;

    if params.max_level() > 0 {
        let bits = setting.check("rescale", &evaluator.rescale(product.clone())?, |i| x[i] * y[i])?;
        time(clock, "rescale", bits, || product.clone(), |product| evaluator.rescale(product))?;
    }
    Ok(())
}

/// One rotation key, generated and expanded; and the keys that the key switches want.
fn key_generation(clock: &mut Clock<'_>, setting: &mut Setting) -> Result<EvaluationKeys> {
    let (params, level) = (setting.params.clone(), setting.params.max_level());
    let mut entropy = setting.entropy.fork();
    let one = KeyRequest::default().rotation(&params, 1, level);
    let mut generate = || KeyGenerator::new(&params, &mut entropy).evaluation_keys(&setting.secret, &one);
    let (x, slots) = (&setting.x, setting.x.len());
    let rotated = setting.evaluator.rotate(&setting.x_encrypted, 1, &generate()?)?;
    setting.check("keygen_rotation", &rotated, |i| x[(i + 1) % slots])?;
    time(clock, "keygen_rotation", None, || (), |()| generate())?;
    let keys = generate()?;
    for key in keys.iter() {
        let seeded = key.to_seeded();
        if seeded.expand() != *key {
            return Err(Error::WrongKey { op: "key_expand" });
        }
        time(clock, "key_expand", None, || (), |()| Ok(seeded.expand()))?;
    }

    let relinearization = KeyRequest::default().relinearization(level);
    let mut request = (1..=HOISTED).fold(relinearization, |request, k| request.rotation(&params, k, level));
    if params.ring().kind() == RingKind::Standard {
        request = request.conjugation(&params, level)?;
    }
    Ok(KeyGenerator::new(&params, &mut entropy).evaluation_keys(&setting.secret, &request)?)
}

/// What needs one.
fn key_switches(clock: &mut Clock<'_>, setting: &Setting, keys: &EvaluationKeys) -> Result<()> {
    let Setting { evaluator, x, y, x_encrypted, y_encrypted, .. } = setting;
    let slots = x.len();

    let product = || evaluator.mul_relinearize(x_encrypted, y_encrypted, keys);
    let bits = setting.check("mul_relin", &product()?, |i| x[i] * y[i])?;
    time(clock, "mul_relin", bits, || (), |()| product())?;
    if setting.params.max_level() > 0 {
        let product = || evaluator.mul_relinearize_rescale(x_encrypted, y_encrypted, keys);
        let bits = setting.check("mul_relin_rescale", &product()?, |i| x[i] * y[i])?;
        time(clock, "mul_relin_rescale", bits, || (), |()| product())?;
    }

    let bits = setting.check("rotate", &evaluator.rotate(x_encrypted, 1, keys)?, |i| x[(i + 1) % slots])?;
    time(clock, "rotate", bits, || (), |()| evaluator.rotate(x_encrypted, 1, keys))?;

    let hoisted = || {
        let hoisted = evaluator.hoist(x_encrypted)?;
        (1..=HOISTED).map(|k| evaluator.rotate_hoisted(&hoisted, k, keys)).collect::<ckks::Result<Vec<_>>>()
    };
    let mut bits = f64::INFINITY;
    for (k, rotated) in (1..).zip(hoisted()?) {
        bits = bits.min(setting.check("rotate_hoisted_16", &rotated, |i| x[(i + k) % slots])?);
    }
    time(clock, "rotate_hoisted_16", bits, || (), |()| hoisted())?;

    let hoisted_lazy = || {
        let hoisted = evaluator.hoist(x_encrypted)?;
        (1..=HOISTED).map(|k| evaluator.rotate_hoisted_extended(&hoisted, k, keys)).collect::<ckks::Result<Vec<_>>>()
    };
    let mut bits = f64::INFINITY;
    for (k, rotated) in (1..).zip(hoisted_lazy()?) {
        let rotated = evaluator.mod_down(rotated)?;
        bits = bits.min(setting.check("rotate_hoisted_16_lazy", &rotated, |i| x[(i + k) % slots])?);
    }
    time(clock, "rotate_hoisted_16_lazy", bits, || (), |()| hoisted_lazy())?;

    if setting.params.ring().kind() == RingKind::Standard {
        // The slots are real: conjugation changes the noise only.
        let bits = setting.check("conjugate", &evaluator.conjugate(x_encrypted, keys)?, |i| x[i])?;
        time(clock, "conjugate", bits, || (), |()| evaluator.conjugate(x_encrypted, keys))?;
    }
    Ok(())
}
