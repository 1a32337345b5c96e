//! Chunks of encrypted samples.

#![no_main]

use libfuzzer_sys::fuzz_target;
use nn::session::Kind;
use nn_fuzz::{FIXTURE, chunk, damaged};

fuzz_target!(|data: &[u8]| damaged(&FIXTURE.input, data, |from| chunk(Kind::Input, from)));
