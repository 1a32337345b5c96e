//! What lies below the operations of the scheme: base conversions, as ModUp of one polynomial and as the rescale of two, and the
//! expansion of seeds.

use bench::{Result, Setting, criterion, sets, time};
use ckks::{Encryptor, KeyGenerator, KeyRequest, SwitchingKey};
use criterion::Criterion;

fn main() -> Result<()> {
    let mut criterion = criterion()?;
    for (preset, ring) in sets() {
        run(&mut criterion, Setting::new(&preset, ring)?)?;
    }
    criterion.final_summary();
    Ok(())
}

fn run(criterion: &mut Criterion, mut setting: Setting) -> Result<()> {
    let (evaluator, level) = (setting.evaluator.clone(), setting.params.max_level());

    // ModUp shows its result only in a rotation.
    let request = KeyRequest::default().rotation(&setting.params, 1, level);
    let keys = KeyGenerator::new(&setting.params, &mut setting.entropy).evaluation_keys(&setting.secret, &request)?;
    let x = &setting.x_encrypted;
    let hoisted = evaluator.hoist(x)?;
    let slots = setting.x.len();
    setting.check("mod_up", &evaluator.rotate_hoisted(&hoisted, 1, &keys)?, |i| setting.x[(i + 1) % slots])?;
    time(criterion, &setting.id("mod_up"), || (), |()| evaluator.hoist(x));

    // A key expands to what it was: a test of its module. A cold buffer each time, as for a key that arrives.
    let seeded = keys.iter().map(SwitchingKey::to_seeded).next().ok_or("no key")?;
    time(criterion, &setting.id("key_expand"), || (), |()| seeded.expand());

    setting.check("rescale", &evaluator.rescale(x.clone())?, |i| setting.x[i])?;
    time(criterion, &setting.id("rescale"), || x.clone(), |x| evaluator.rescale(x));

    let mut encryptor = Encryptor::new(&setting.secret, setting.entropy.fork());
    let seeded = encryptor.encrypt_seeded(&setting.y_plain)?;
    let expanded = seeded.expand().with_estimate(encryptor.estimate(&setting.y_plain, 1.0));
    setting.check("expand_seed", &expanded, |i| setting.y[i])?;
    time(criterion, &setting.id("expand_seed"), || (), |()| seeded.expand());
    Ok(())
}
