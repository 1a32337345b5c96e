//! Samples and labels.

#![no_main]

use libfuzzer_sys::fuzz_target;
use nn::data::{Dataset, Labels};

fuzz_target!(|data: &[u8]| {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), data).expect("a file that can be written");
    drop((Dataset::read(file.path()), Labels::read(file.path())));
});
