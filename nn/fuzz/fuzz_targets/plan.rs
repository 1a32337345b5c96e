//! Plans: the bytes as JSON in a frame that fits them, and as they are; and what `slotwise inspect` makes of any file.

#![no_main]

use libfuzzer_sys::fuzz_target;
use nn::fingerprint::Fingerprint;
use nn::session::{Header, Inspected, Kind, PlanFile, write_frame};

fuzz_target!(|data: &[u8]| {
    let header = Header {
        kind: Kind::Plan,
        plan: Fingerprint::of([data]),
        keys: Fingerprint::NONE,
        length: data.len() as u64,
    };
    let mut file = Vec::new();
    write_frame(&header, &mut file, |to| to.write_all(data)).expect("memory takes everything");
    for bytes in [data, &file] {
        drop(PlanFile::read(&mut &bytes[..]));
        if let Ok(inspected) = Inspected::read(&mut &bytes[..]) {
            assert!(!inspected.to_string().is_empty());
        }
    }
});
