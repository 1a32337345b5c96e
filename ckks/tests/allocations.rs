//! In the steady state the operations of the scheme do not allocate: their buffers come from the pool of the ring, and go back to it.
//!
//! One test in a process of its own, since the counter counts every thread; one thread in the pool, since rayon allocates when it
//! wakes others.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::alloc::System;

use ckks::*;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static GLOBAL: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Runs `operation` until its buffers are there, and then asserts that it allocates nothing.
fn assert_none<T>(what: &str, mut operation: impl FnMut() -> T) {
    (0..2).for_each(|_| drop(operation()));
    let region = Region::new(GLOBAL);
    (0..3).for_each(|_| drop(operation()));
    let stats = region.change();
    assert_eq!((stats.allocations, stats.reallocations), (0, 0), "{what}: {stats:?}");
}

#[test]
fn operations_do_not_allocate_in_the_steady_state() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    pool.install(|| {
        for ring in [RingKind::Standard, RingKind::ConjugateInvariant] {
            // Digits of one limb, and of two: both conversions.
            for (dnum, special) in [(3, 1), (2, 2)] {
                check(ParamsSpec { ring, log_n: 11, chain: vec![vec![40]; 3], special: vec![45; special], dnum });
            }
        }
    });
}

fn check(spec: ParamsSpec) {
    let params = spec.build_insecure().unwrap();
    let mut entropy = Entropy::insecure_from_seed(1);
    let mut generator = KeyGenerator::new(&params, &mut entropy);
    let secret = generator.secret_key();
    let request = KeyRequest::default().relinearization(2).rotation(&params, 1, 2);
    let keys = generator.evaluation_keys(&secret, &request).unwrap();
    let scale = Scale::power_of_two(30);
    let m = Encoder::new(&params).encode(&[0.5; 100], scale, 2).unwrap();
    let x = Encryptor::new(&secret, entropy).encrypt(&m).unwrap();
    let evaluator = Evaluator::new(&params);

    let mut y = x.clone();
    assert_none("add_assign", || evaluator.add_assign(&mut y, &x).unwrap());
    assert_none("sub_assign", || evaluator.sub_assign(&mut y, &x).unwrap());
    assert_none("negate_assign", || evaluator.negate_assign(&mut y));
    assert_none("add_plain_assign", || evaluator.add_plain_assign(&mut y, &m).unwrap());
    assert_none("add_constant_assign", || evaluator.add_constant_assign(&mut y, 0.5).unwrap());
    let mut sum = x.clone();
    evaluator.mul_plain_assign(&mut sum, &m).unwrap();
    assert_none("mul_plain_add_assign", || evaluator.mul_plain_add_assign(&mut sum, &x, &m).unwrap());
    assert_none("mul_plain_assign", || {
        let mut y = x.clone();
        evaluator.mul_plain_assign(&mut y, &m).unwrap();
        evaluator.mul_constant_assign(&mut y, 0.5, Scale::power_of_two(2)).unwrap();
        y
    });
    assert_none("drop_level_assign", || {
        let mut y = x.clone();
        evaluator.drop_level_assign(&mut y, 0).unwrap();
        y
    });

    assert_none("mul", || evaluator.mul(&x, &x).unwrap());
    let product = SumTerm { factor: SumFactor::Product(&x, &x), constant: 0.5, scale: Scale::power_of_two(2) };
    let multiple = SumTerm { factor: SumFactor::Whole(&x), constant: 3.0, scale: Scale::power_of_two(32) };
    assert_none("sum", || evaluator.sum(&[product, multiple], 0.5, 1).unwrap());
    assert_none("rescale", || evaluator.rescale(x.clone()).unwrap());
    let product = evaluator.mul(&x, &x).unwrap();
    assert_none("relinearize", || evaluator.relinearize(&product, &keys).unwrap());
    assert_none("relinearize_rescale", || evaluator.relinearize_rescale(&product, &keys).unwrap());
    assert_none("mul_relinearize", || evaluator.mul_relinearize(&x, &x, &keys).unwrap());
    assert_none("mul_relinearize_rescale", || evaluator.mul_relinearize_rescale(&x, &x, &keys).unwrap());
    assert_none("rotate", || evaluator.rotate(&x, 1, &keys).unwrap());
    assert_none("hoist", || evaluator.hoist(&x).unwrap());
    let hoisted = evaluator.hoist(&x).unwrap();
    assert_none("rotate_hoisted", || evaluator.rotate_hoisted(&hoisted, 1, &keys).unwrap());
    let mut total = evaluator.extend(&x).unwrap();
    assert_none("rotate_hoisted_extended", || {
        let rotated = evaluator.rotate_hoisted_extended(&hoisted, 1, &keys).unwrap();
        evaluator.add_extended_assign(&mut total, &rotated).unwrap();
        evaluator.mod_down(rotated).unwrap()
    });
    assert_none("rotate_extended", || evaluator.rotate_extended(&total, 1, &keys).unwrap());
}
