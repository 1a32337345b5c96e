//! Bytes as each object of the wire in turn (the first byte says which), at a degree so small that whole objects are within the
//! fuzzer's reach. What is read must be written back as it was.

#![no_main]

use std::io::{self, Write};
use std::sync::LazyLock;

use ckks::{KeyRequest, Params, ParamsSpec, RingKind, wire};
use libfuzzer_sys::fuzz_target;

static PARAMS: LazyLock<[Params; 2]> = LazyLock::new(|| {
    [RingKind::Standard, RingKind::ConjugateInvariant].map(|ring| {
        let (chain, special) = (vec![vec![50], vec![33, 32], vec![40]], vec![50]);
        ParamsSpec { ring, log_n: 3, chain, special, dnum: 4 }.build_insecure().expect("parameters that exist")
    })
});

fuzz_target!(|data: &[u8]| {
    let Some((&selector, mut rest)) = data.split_first() else { return };
    let bytes = rest;
    let params = &PARAMS[usize::from(selector & 1)];
    let from = &mut rest;
    let written = match selector >> 1 {
        0 => wire::read_secret_key(params, from).map(|key| write(|to| wire::write_secret_key(&key, to))),
        1 => wire::read_public_key(params, from).map(|key| write(|to| wire::write_public_key(&key, to))),
        2 => {
            let request = KeyRequest::default().relinearization(1).rotation(params, 1, 2);
            wire::read_evaluation_keys(params, &request, from)
                .map(|keys| write(|to| wire::write_evaluation_keys(&keys, to)))
        }
        3 => wire::read_seeded_ciphertext(params, from).map(|c| write(|to| wire::write_seeded_ciphertext(&c, to))),
        _ => wire::read_ciphertext(params, from).map(|c| write(|to| wire::write_ciphertext(&c, to))),
    };
    if let Ok(written) = written {
        assert_eq!(written, bytes[..bytes.len() - rest.len()]);
    }
});

fn write(object: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Vec<u8> {
    let mut bytes = Vec::new();
    object(&mut bytes).expect("memory takes everything");
    bytes
}
