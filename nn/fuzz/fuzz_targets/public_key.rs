//! Public keys.

#![no_main]

use libfuzzer_sys::fuzz_target;
use nn::session::Contributor;
use nn_fuzz::{FIXTURE, damaged};

fuzz_target!(|data: &[u8]| damaged(&FIXTURE.public, data, |from| Contributor::read(&FIXTURE.plan, from).map(drop)));
