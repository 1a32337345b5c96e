//! What lies below the operations of the scheme: ModUp of one polynomial, and the expansion of a seed. (`rescale`, a base conversion of
//! two polynomials, is an operation of the scheme.)

mod clock;
mod sets;

use bench::{Setting, time};
use ckks::{Encryptor, KeyGenerator, KeyRequest};
use clock::{Result, criterion};
use sets::{of_params, sets};

fn main() -> Result<()> {
    let mut criterion = criterion()?;
    for params in sets()? {
        run(&mut of_params(&mut criterion, &params), Setting::new(&params)?)?;
    }
    criterion.final_summary();
    Ok(())
}

fn run(clock: &mut bench::Clock<'_>, mut setting: Setting) -> Result<()> {
    let (evaluator, level) = (setting.evaluator.clone(), setting.params.max_level());

    // ModUp shows its result only in a rotation.
    let request = KeyRequest::default().rotation(&setting.params, 1, level);
    let keys = KeyGenerator::new(&setting.params, &mut setting.entropy).evaluation_keys(&setting.secret, &request)?;
    let x = &setting.x_encrypted;
    let hoisted = evaluator.hoist(x)?;
    let slots = setting.x.len();
    setting.check("mod_up", &evaluator.rotate_hoisted(&hoisted, 1, &keys)?, |i| setting.x[(i + 1) % slots])?;
    time(clock, "mod_up", None, || (), |()| evaluator.hoist(x))?;

    let mut encryptor = Encryptor::new(&setting.secret, setting.entropy.fork());
    let seeded = encryptor.encrypt_seeded(&setting.y_plain)?;
    let expanded = seeded.expand().with_estimate(encryptor.estimate(&setting.y_plain, 1.0));
    let bits = setting.check("expand_seed", &expanded, |i| setting.y[i])?;
    time(clock, "expand_seed", bits, || (), |()| Ok(seeded.expand()))?;
    Ok(())
}
