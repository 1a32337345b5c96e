//! The same seed gives the same bits, with one thread or two and with every backend of the machine.

use std::process::Command;

use ckks::{
    Backend, Ciphertext, DiagonalMap, DiagonalTerm, Encoder, Encryptor, Entropy, Evaluator, KeyGenerator, KeyRequest,
    Params, ParamsSpec, RingKind, ScalarMatrix, Scale,
};

/// Everything that there is to compute, in both rings; large enough that operations are spread over threads.
fn digest() -> u64 {
    let shapes = [(RingKind::Standard, 14, 2, 2), (RingKind::ConjugateInvariant, 14, 4, 1)];
    shapes.into_iter().fold(0xcbf2_9ce4_8422_2325, |hash, (ring, log_n, dnum, special)| {
        let chain = vec![vec![50], vec![40], vec![40], vec![40]];
        let params = ParamsSpec { ring, log_n, chain, special: vec![50; special], dnum }.build().unwrap();
        results(&params).iter().fold(hash, absorb)
    })
}

/// FNV-1a over words.
fn absorb(hash: u64, ciphertext: &Ciphertext) -> u64 {
    let limbs = ciphertext.parts().iter().flat_map(|part| (0..ciphertext.limbs()).map(|i| part.limb(i)));
    limbs.flatten().fold(hash, |hash, &word| (hash ^ word).wrapping_mul(0x0100_0000_01b3))
}

fn results(params: &Params) -> Vec<Ciphertext> {
    let mut entropy = Entropy::insecure_from_seed(7);
    let mut generator = KeyGenerator::new(params, &mut entropy);
    let (secret, top) = (generator.secret_key(), params.max_level());
    let public = generator.public_key(&secret).unwrap();
    let request = KeyRequest::default().relinearization(top);
    let request = [1, 2, 4].iter().fold(request, |request, &k| request.rotation(params, k, top));
    let keys = generator.evaluation_keys(&secret, &request).unwrap();

    let (encoder, evaluator) = (Encoder::new(params), Evaluator::new(params));
    let vector = |seed: usize| (0..params.slots()).map(|i| ((i * 31 + seed) % 97) as f64 / 97.0).collect::<Vec<_>>();
    let encode = |seed| encoder.encode(&vector(seed), Scale::power_of_two(40), top).unwrap();
    let x = Encryptor::new(&secret, entropy.fork()).encrypt(&encode(1)).unwrap();
    let y = Encryptor::new(&public, entropy.fork()).encrypt(&encode(2)).unwrap();

    let product = evaluator.mul(&x, &y).unwrap();
    let relinearized = evaluator.relinearize(&product, &keys).unwrap();
    let merged = evaluator.relinearize_rescale(&product, &keys).unwrap();
    let rescaled = evaluator.rescale(relinearized.clone()).unwrap();
    let hoisted = evaluator.hoist(&y).unwrap();
    let rotations = [1, 2, 4].map(|k| evaluator.rotate_hoisted(&hoisted, k, &keys).unwrap());

    let rows: Vec<Vec<(u32, f64)>> = (0..9).map(|r| vec![(0, 0.3 * f64::from(r)), (1, 1.0 - f64::from(r))]).collect();
    let matrix = ScalarMatrix::new(params, rows.iter().map(Vec::as_slice), 2, Scale::power_of_two(30), top).unwrap();
    let combined = matrix.apply(&[x.clone(), y.clone()]).unwrap();

    let term = |(giant, baby)| DiagonalTerm { output: 0, input: 0, baby, giant, diagonal: encode(3).extend() };
    let terms = [(0, 0), (0, 1), (0, 2), (4, 0), (4, 1), (4, 2)].map(term).into();
    let mapped = DiagonalMap::new(1, 1, terms).unwrap().apply(&evaluator, std::slice::from_ref(&x), &keys).unwrap();

    let mut results = vec![x, y.clone(), product, relinearized, merged, rescaled];
    results.extend(rotations);
    results.extend(combined);
    results.extend(mapped);
    results
}

#[test]
fn threads_change_no_bit() {
    let with = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(digest);
    let one = with(1);
    assert_eq!(one, with(2));
    assert_eq!(one, with(3));
}

#[test]
fn backends_change_no_bit() {
    // The backend is chosen once a process.
    let digests = Backend::available().into_iter().map(|backend| {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "print_digest", "--ignored", "--nocapture"])
            .env("SLOTWISE_BACKEND", backend.name())
            .output()
            .unwrap();
        let output = String::from_utf8(child.stdout).unwrap();
        let digest = output.split_whitespace().skip_while(|&word| word != "digest").nth(1).map(str::to_owned);
        assert!(child.status.success() && digest.is_some(), "{}: {output}", backend.name());
        (backend.name(), digest)
    });
    let digests: Vec<_> = digests.collect();
    assert!(digests.iter().all(|(_, digest)| *digest == digests[0].1), "{digests:?}");
}

#[test]
#[ignore = "a part of `backends_change_no_bit`, which runs it in processes of their own"]
fn print_digest() {
    println!("digest {:016x} of {}", digest(), Backend::detect().unwrap().name());
}

#[test]
fn unknown_backends_are_refused_by_name() {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "print_digest", "--ignored", "--nocapture"])
        .env("SLOTWISE_BACKEND", "abacus")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout).into_owned() + &String::from_utf8_lossy(&child.stderr);
    assert!(!child.status.success() && said.contains("UnknownBackend") && said.contains("abacus"), "{said}");
}
