//! The operations of the scheme at full level; `rescale` is among the base conversions, in the suite `ring`.

use bench::{Result, Setting, criterion, sets, time};
use ckks::{Decryptor, Encryptor, Estimate, EvaluationKeys, KeyGenerator, KeyRequest, RingKind};
use criterion::Criterion;

/// Rotations of one ciphertext that are hoisted.
const HOISTED: i64 = 16;

fn main() -> Result<()> {
    let mut criterion = criterion()?;
    for (preset, ring) in sets() {
        let mut setting = Setting::new(&preset, ring)?;
        messages(&mut criterion, &mut setting)?;
        arithmetic(&mut criterion, &setting)?;
        let keys = key_generation(&mut criterion, &mut setting)?;
        key_switches(&mut criterion, &setting, &keys)?;
    }
    criterion.final_summary();
    Ok(())
}

/// Encoding and encryption, there and back.
fn messages(criterion: &mut Criterion, setting: &mut Setting) -> Result<()> {
    let (params, scale, level) = (setting.params.clone(), setting.scale, setting.params.max_level());
    let public = KeyGenerator::new(&params, &mut setting.entropy).public_key(&setting.secret)?;
    let mut by_public = Encryptor::new(&public, setting.entropy.fork());
    let mut by_secret = Encryptor::new(&setting.secret, setting.entropy.fork());
    let Setting { encoder, y, y_plain, y_encrypted, secret, .. } = &*setting;

    let values = encoder.decode(&encoder.encode(y, scale, level)?)?;
    setting.check_values("encode", &values, |i| y[i], Estimate::encoded(&params, scale, 1.0));
    time(criterion, &setting.id("encode"), || (), |()| encoder.encode(y, scale, level));
    time(criterion, &setting.id("decode"), || (), |()| encoder.decode(y_plain));

    let encrypted = by_public.encrypt(y_plain)?.with_estimate(by_public.estimate(y_plain, 1.0));
    setting.check("encrypt_public", &encrypted, |i| y[i])?;
    time(criterion, &setting.id("encrypt_public"), || (), |()| by_public.encrypt(y_plain));
    let encrypted = by_secret.encrypt_seeded(y_plain)?.expand().with_estimate(by_secret.estimate(y_plain, 1.0));
    setting.check("encrypt_secret", &encrypted, |i| y[i])?;
    time(criterion, &setting.id("encrypt_secret"), || (), |()| by_secret.encrypt_seeded(y_plain));

    setting.check("decrypt", y_encrypted, |i| y[i])?;
    let decryptor = Decryptor::new(secret);
    time(criterion, &setting.id("decrypt"), || (), |()| decryptor.decrypt(y_encrypted));
    Ok(())
}

/// What needs no key.
fn arithmetic(criterion: &mut Criterion, setting: &Setting) -> Result<()> {
    let Setting { evaluator, x, y, y_plain, x_encrypted, y_encrypted, .. } = setting;

    let mut sum = x_encrypted.clone();
    evaluator.add_assign(&mut sum, y_encrypted)?;
    setting.check("add", &sum, |i| x[i] + y[i])?;
    // In place, again and again: sums wrap around, and take the same time.
    time(criterion, &setting.id("add"), || (), |()| evaluator.add_assign(&mut sum, y_encrypted));

    let mut product = x_encrypted.clone();
    evaluator.mul_plain_assign(&mut product, y_plain)?;
    let encoded = Estimate::encoded(&setting.params, setting.scale, 1.0);
    let estimate = x_encrypted.estimate().ok_or("a case without an estimate")?.mul(encoded);
    setting.check("mul_plain", &product.with_estimate(estimate), |i| x[i] * y[i])?;
    let input = || x_encrypted.clone();
    time(criterion, &setting.id("mul_plain"), input, |mut x| evaluator.mul_plain_assign(&mut x, y_plain).map(|()| x));

    setting.check("mul", &evaluator.mul(x_encrypted, y_encrypted)?, |i| x[i] * y[i])?;
    time(criterion, &setting.id("mul"), || (), |()| evaluator.mul(x_encrypted, y_encrypted));
    Ok(())
}

/// One rotation key, timed; and the keys that the key switches want.
fn key_generation(criterion: &mut Criterion, setting: &mut Setting) -> Result<EvaluationKeys> {
    let (params, level) = (setting.params.clone(), setting.params.max_level());
    let mut entropy = setting.entropy.fork();
    let mut request =
        (1..=HOISTED).fold(KeyRequest::default().relinearization(level), |r, k| r.rotation(&params, k, level));
    if params.ring().kind() == RingKind::Standard {
        request = request.conjugation(&params, level)?;
    }
    let keys = KeyGenerator::new(&params, &mut entropy).evaluation_keys(&setting.secret, &request)?;
    // Checked by the rotations to come.
    let one = KeyRequest::default().rotation(&params, 1, level);
    let mut generate = || KeyGenerator::new(&params, &mut entropy).evaluation_keys(&setting.secret, &one);
    time(criterion, &setting.id("keygen_rotation"), || (), |()| generate());
    Ok(keys)
}

/// What needs one.
fn key_switches(criterion: &mut Criterion, setting: &Setting, keys: &EvaluationKeys) -> Result<()> {
    let Setting { evaluator, x, y, x_encrypted, y_encrypted, .. } = setting;
    let slots = x.len();

    let product = |merged: bool| {
        let product = evaluator.mul(x_encrypted, y_encrypted)?;
        if merged { evaluator.relinearize_rescale(&product, keys) } else { evaluator.relinearize(&product, keys) }
    };
    for (op, merged) in [("mul_relin", false), ("mul_relin_rescale", true)] {
        setting.check(op, &product(merged)?, |i| x[i] * y[i])?;
        time(criterion, &setting.id(op), || (), |()| product(merged));
    }

    setting.check("rotate", &evaluator.rotate(x_encrypted, 1, keys)?, |i| x[(i + 1) % slots])?;
    time(criterion, &setting.id("rotate"), || (), |()| evaluator.rotate(x_encrypted, 1, keys));

    let hoisted = || {
        let hoisted = evaluator.hoist(x_encrypted)?;
        (1..=HOISTED).map(|k| evaluator.rotate_hoisted(&hoisted, k, keys)).collect::<ckks::Result<Vec<_>>>()
    };
    for (k, rotated) in (1..).zip(hoisted()?) {
        setting.check("rotate_hoisted_16", &rotated, |i| x[(i + k) % slots])?;
    }
    time(criterion, &setting.id("rotate_hoisted_16"), || (), |()| hoisted());

    if setting.params.ring().kind() == RingKind::Standard {
        // The slots are real: conjugation changes the noise only.
        setting.check("conjugate", &evaluator.conjugate(x_encrypted, keys)?, |i| x[i])?;
        time(criterion, &setting.id("conjugate"), || (), |()| evaluator.conjugate(x_encrypted, keys));
    }
    Ok(())
}
