//! Evaluation keys.

#![no_main]

use libfuzzer_sys::fuzz_target;
use nn::session::read_evaluation_keys;
use nn_fuzz::{FIXTURE, damaged};

fuzz_target!(|data: &[u8]| {
    damaged(&FIXTURE.evaluation, data, |from| read_evaluation_keys(&FIXTURE.plan, from).map(drop))
});
