//! Secret keys.

#![no_main]

use libfuzzer_sys::fuzz_target;
use nn::session::Client;
use nn_fuzz::{FIXTURE, damaged};

fuzz_target!(|data: &[u8]| damaged(&FIXTURE.secret, data, |from| Client::read(&FIXTURE.plan, from).map(drop)));
