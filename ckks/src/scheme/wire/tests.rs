//! Every object comes back as it was; every damaged one is refused, or is another object that is whole.

use super::*;
use crate::arith::RingKind;
use crate::ring::Entropy;
use crate::scheme::{Decryptor, Encoder, Encryptor, Evaluator, KeyGenerator, ParamsSpec};

fn params(ring: RingKind) -> Params {
    let spec = ParamsSpec { ring, log_n: 5, chain: vec![vec![50], vec![33, 32], vec![40]], special: vec![50], dnum: 4 };
    spec.build_insecure().unwrap()
}

struct Objects {
    params: Params,
    request: KeyRequest,
    secret: SecretKey,
    public: PublicKey,
    keys: EvaluationKeys,
    seeded: SeededCiphertext,
    product: Ciphertext,
}

fn objects(ring: RingKind) -> Objects {
    let params = params(ring);
    let mut entropy = Entropy::insecure_from_seed(7);
    let request = KeyRequest::default().relinearization(1).rotation(&params, 1, 2).rotation(&params, 3, 0);
    let mut generator = KeyGenerator::new(&params, &mut entropy);
    let secret = generator.secret_key();
    let public = generator.public_key(&secret).unwrap();
    let keys = generator.evaluation_keys(&secret, &request).unwrap();
    let plaintext = Encoder::new(&params).encode(&[0.5, -0.25], Scale::power_of_two(30), 2).unwrap();
    let seeded = Encryptor::new(&secret, entropy).encrypt_seeded(&plaintext).unwrap();
    let evaluator = Evaluator::new(&params);
    let product = evaluator.rescale(evaluator.square(&seeded.expand()).unwrap()).unwrap();
    Objects { params, request, secret, public, keys, seeded, product }
}

fn bytes(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&mut bytes).unwrap();
    bytes
}

/// Reads an object, leaving the rest of the bytes, and writes it again.
type Reader<'a> = Box<dyn Fn(&mut dyn Read) -> WireResult<Vec<u8>> + 'a>;

impl Objects {
    /// The bytes of each object with a reader for them.
    fn wired(&self) -> Vec<(Vec<u8>, Reader<'_>)> {
        let Self { params, request, .. } = self;
        let again: [Reader<'_>; 5] = [
            Box::new(|from| read_secret_key(params, from).map(|key| bytes(|to| write_secret_key(&key, to)))),
            Box::new(|from| read_public_key(params, from).map(|key| bytes(|to| write_public_key(&key, to)))),
            Box::new(move |from| {
                let keys = read_evaluation_keys(params, request, from)?;
                Ok(bytes(|to| write_evaluation_keys(&keys, to)))
            }),
            Box::new(|from| {
                let ciphertext = read_seeded_ciphertext(params, from)?;
                Ok(bytes(|to| write_seeded_ciphertext(&ciphertext, to)))
            }),
            Box::new(|from| {
                let ciphertext = read_ciphertext(params, from)?;
                Ok(bytes(|to| write_ciphertext(&ciphertext, to)))
            }),
        ];
        let written = [
            bytes(|to| write_secret_key(&self.secret, to)),
            bytes(|to| write_public_key(&self.public, to)),
            bytes(|to| write_evaluation_keys(&self.keys, to)),
            bytes(|to| write_seeded_ciphertext(&self.seeded, to)),
            bytes(|to| write_ciphertext(&self.product, to)),
        ];
        written.into_iter().zip(again).collect()
    }
}

/// All numbers below `end` where an object begins, and a sample of the others.
fn places(end: usize) -> impl Iterator<Item = usize> {
    (0..end.min(500)).chain((500..end).step_by(61)).chain(end.checked_sub(1))
}

const RINGS: [RingKind; 2] = [RingKind::Standard, RingKind::ConjugateInvariant];

#[test]
fn objects_come_back() {
    for ring in RINGS {
        let Objects { params, request, secret, public, keys, seeded, product } = objects(ring);
        let secret_bytes = bytes(|to| write_secret_key(&secret, to));
        assert_eq!(secret_bytes.len(), params.ring().n() / 4);
        let found = read_secret_key(&params, &mut &secret_bytes[..]).unwrap();
        assert!(found.s == secret.s);

        let found = bytes(|to| write_public_key(&public, to));
        assert_eq!(found.len(), public.packed_bytes());
        let found = read_public_key(&params, &mut &found[..]).unwrap();
        assert!(found.a == public.a && found.b == public.b && found.seed == public.seed);

        let found = bytes(|to| write_evaluation_keys(&keys, to));
        assert_eq!(found.len(), keys.packed_bytes());
        let found = read_evaluation_keys(&params, &request, &mut &found[..]).unwrap();
        assert_eq!(found.galois.keys().collect::<Vec<_>>(), keys.galois.keys().collect::<Vec<_>>());
        for (found, key) in found.iter().zip(keys.iter()) {
            assert!(found.rows == key.rows && found.source == key.source && found.level() == key.level());
        }

        let found = bytes(|to| write_seeded_ciphertext(&seeded, to));
        assert_eq!(found.len(), seeded.packed_bytes());
        let found = read_seeded_ciphertext(&params, &mut &found[..]).unwrap();
        assert!(found.expand().parts == seeded.expand().parts && found.scale.parts() == seeded.scale.parts());

        let found = bytes(|to| write_ciphertext(&product, to));
        assert_eq!(found.len(), product.packed_bytes());
        let found = read_ciphertext(&params, &mut &found[..]).unwrap();
        assert!(found.parts == product.parts && found.scale.parts() == product.scale.parts());
        assert_eq!((found.level(), found.degree()), (1, 2));
        let decrypted = Encoder::new(&params).decode(&Decryptor::new(&secret).decrypt(&found).unwrap()).unwrap();
        assert!((decrypted[0] - 0.25).abs() < 1e-3 && (decrypted[1] - 0.0625).abs() < 1e-3, "{decrypted:?}");
    }
}

#[test]
fn an_object_cut_short_anywhere_is_refused_and_none_reads_beyond_its_end() {
    for ring in RINGS {
        for (bytes, read) in objects(ring).wired() {
            for end in places(bytes.len()) {
                let Err(WireError::Io(error)) = read(&mut &bytes[..end]) else { panic!("{end} bytes were enough") };
                assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
            }
            let longer = [&bytes[..], &[1, 2, 3]].concat();
            let mut rest = &longer[..];
            read(&mut rest).unwrap();
            assert_eq!(rest, [1, 2, 3]);
        }
    }
}

#[test]
fn a_flipped_bit_ends_in_an_error_or_in_the_object_that_the_bytes_say() {
    for (bytes, read) in objects(RingKind::Standard).wired() {
        for bit in places(8 * bytes.len()) {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            if let Ok(again) = read(&mut &flipped[..]) {
                // A lower level or degree leaves a rest.
                assert!(flipped.starts_with(&again), "bit {bit} of {} bytes", bytes.len());
            }
        }
    }
}

#[test]
fn numbers_that_cannot_be_are_refused_by_name() {
    let objects = objects(RingKind::Standard);
    let params = &objects.params;
    let with = |bytes: &[u8], at: usize, patch: &[u8]| {
        let mut bytes = bytes.to_vec();
        bytes[at..at + patch.len()].copy_from_slice(patch);
        bytes
    };
    let ciphertext = bytes(|to| write_ciphertext(&objects.product, to));
    let refusal = |bytes: &[u8]| read_ciphertext(params, &mut &bytes[..]).unwrap_err();
    for limbs in [0u16, 2, 5, u16::MAX] {
        let error = refusal(&with(&ciphertext, 0, &limbs.to_le_bytes()));
        assert!(matches!(error, WireError::Number { found, .. } if found == limbs.into()), "{error}");
    }
    for scale in [0.0f64, -1.0, f64::INFINITY, f64::NAN] {
        assert!(matches!(refusal(&with(&ciphertext, 2, &scale.to_le_bytes())), WireError::Scheme(_)));
    }
    assert!(matches!(refusal(&with(&ciphertext, 10, &1e30f64.to_le_bytes())), WireError::Scheme(_)));
    for degree in [0, 3, 255] {
        assert!(matches!(refusal(&with(&ciphertext, 18, &[degree])), WireError::Number { what: "its degree", .. }));
    }
    let modulus = params.ring().q().next().unwrap().value();
    let error = refusal(&with(&ciphertext, 19, &[0xFF; 13]));
    assert!(matches!(error, WireError::Residue { modulus: found, .. } if found == modulus), "{error}");

    let seeded = bytes(|to| write_seeded_ciphertext(&objects.seeded, to));
    let seeded = with(&seeded, 50, &u64::MAX.to_le_bytes());
    let error = read_seeded_ciphertext(params, &mut &seeded[..]).unwrap_err();
    assert!(matches!(error, WireError::Number { found: u64::MAX, .. }), "{error}");

    let secret = bytes(|to| write_secret_key(&objects.secret, to));
    let error = read_secret_key(params, &mut &with(&secret, 1, &[0b11])[..]).unwrap_err();
    assert!(matches!(error, WireError::Residue { residue: 3, modulus: 3, .. }), "{error}");
}

#[test]
fn only_the_keys_that_were_requested_are_read() {
    let Objects { params, request, keys, .. } = objects(RingKind::ConjugateInvariant);
    let bytes = bytes(|to| write_evaluation_keys(&keys, to));
    let refusal = |request: &KeyRequest| read_evaluation_keys(&params, request, &mut &bytes[..]).unwrap_err();
    let without = KeyRequest { relinearization: None, ..request.clone() };
    assert!(matches!(refusal(&without), WireError::Number { found: 0, .. }));
    let lower = KeyRequest { relinearization: Some(0), ..request.clone() };
    assert!(matches!(refusal(&lower), WireError::Number { what: "the level of a key", found: 1, .. }));
    let more = request.clone().rotation(&params, 7, 2);
    assert!(matches!(refusal(&more), WireError::Number { .. } | WireError::Io(_)));
    let high = KeyRequest { relinearization: Some(9), ..request.clone() };
    assert!(matches!(refusal(&high), WireError::Scheme(Error::LevelTooHigh { level: 9, max_level: 2 })));
    let mut even = request;
    even.galois.insert(2, 0);
    assert!(matches!(refusal(&even), WireError::Scheme(Error::InvalidGaloisElement { element: 2, .. })));
}
