//! Chunks of encrypted results.

#![no_main]

use libfuzzer_sys::fuzz_target;
use nn::session::Kind;
use nn_fuzz::{FIXTURE, chunk, damaged};

fuzz_target!(|data: &[u8]| damaged(&FIXTURE.output, data, |from| chunk(Kind::Output, from)));
