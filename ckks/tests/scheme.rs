//! Every operation of the scheme in both rings: the value, level, scale and degree it leaves, and its error on both sides
//! (too small an error means that nothing was encrypted).

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use ckks::*;

/// Parameters, keys and random vectors of one ring.
struct Setting {
    params: Params,
    encoder: Encoder,
    evaluator: Evaluator,
    secret: SecretKey,
    keys: EvaluationKeys,
    entropy: Entropy,
}

const SCALE: i32 = 40;

fn settings() -> impl Iterator<Item = Setting> {
    let shapes = [
        (RingKind::Standard, 3, 1),
        (RingKind::Standard, 2, 2),
        (RingKind::ConjugateInvariant, 3, 1),
        (RingKind::ConjugateInvariant, 1, 3),
    ];
    shapes.into_iter().map(|(ring, dnum, special)| {
        let spec =
            ParamsSpec { ring, log_n: 9, chain: vec![vec![50], vec![40], vec![40]], special: vec![50; special], dnum };
        let params = spec.build_insecure().unwrap();
        let mut entropy = Entropy::insecure_from_seed(dnum as u64);
        let mut generator = KeyGenerator::new(&params, &mut entropy);
        let secret = generator.secret_key();
        let mut request = KeyRequest::default().relinearization(2);
        for k in [1, 5, -3, 64] {
            request = request.rotation(&params, k, 2);
        }
        if ring == RingKind::Standard {
            request = request.conjugation(&params, 1).unwrap();
        }
        let keys = generator.evaluation_keys(&secret, &request).unwrap();
        Setting { encoder: Encoder::new(&params), evaluator: Evaluator::new(&params), params, secret, keys, entropy }
    })
}

impl Setting {
    fn vector(&self, seed: u64) -> Vec<f64> {
        (0..self.params.slots() as u64).map(|i| ((i * 7919 + seed * 104_729) % 1009) as f64 / 504.5 - 1.0).collect()
    }

    fn encrypt(&mut self, values: &[f64]) -> Ciphertext {
        let plaintext = self.encoder.encode(values, Scale::power_of_two(SCALE), self.params.max_level()).unwrap();
        let mut encryptor = Encryptor::new(&self.secret, self.entropy.fork());
        let estimate = encryptor.estimate(&plaintext, 1.0);
        encryptor.encrypt(&plaintext).unwrap().with_estimate(estimate)
    }

    /// Asserts that the decryption is `expected` with an error near the ciphertext's estimate, neither above nor below.
    fn assert_decrypts(&self, what: &str, ciphertext: &Ciphertext, expected: &[f64]) {
        let measured = Decryptor::new(&self.secret).measure_error(ciphertext, &self.encoder, expected);
        let MeasuredError { deviation, largest } = measured.unwrap();
        let estimate = ciphertext.estimate().unwrap();
        let context =
            format!("{what}, {:?}: {deviation:e} (largest {largest:e}), estimated {estimate:?}", self.params.spec());
        assert!(deviation < 2.0 * estimate.deviation, "{context}");
        assert!(deviation > estimate.deviation / 12.0, "{context}");
        assert!(largest < estimate.bound, "{context}");
    }
}

#[test]
fn encoding_is_precise_to_its_rounding() {
    for setting in settings() {
        let values = setting.vector(1);
        for (bits, level) in [(20, 0), (40, 0), (40, 2), (80, 2), (100, 2)] {
            let scale = Scale::power_of_two(bits);
            let decoded = setting.encoder.decode(&setting.encoder.encode(&values, scale, level).unwrap()).unwrap();
            let largest = decoded.iter().zip(&values).fold(0.0f64, |max, (a, b)| max.max((a - b).abs()));
            let rounding = 4.0 * (setting.params.slots() as f64).sqrt() / scale.to_f64();
            assert!(largest < rounding + 1e-12, "{bits} bits: {largest:e}");
        }
    }
}

#[test]
fn encryption_under_either_key_decrypts_at_every_level() {
    for mut setting in settings() {
        let values = setting.vector(2);
        let ciphertext = setting.encrypt(&values);
        setting.assert_decrypts("secret key", &ciphertext, &values);
        let public = KeyGenerator::new(&setting.params, &mut setting.entropy).public_key(&setting.secret).unwrap();
        let mut encryptor = Encryptor::new(&public, setting.entropy.fork());
        for level in 0..=2 {
            let plaintext = setting.encoder.encode(&values, Scale::power_of_two(SCALE), level).unwrap();
            let ciphertext = encryptor.encrypt(&plaintext).unwrap().with_estimate(encryptor.estimate(&plaintext, 1.0));
            assert_eq!(ciphertext.level(), level);
            setting.assert_decrypts("public key", &ciphertext, &values);
        }
    }
}

#[test]
fn sums_and_constants() {
    for mut setting in settings() {
        let (a, b) = (setting.vector(3), setting.vector(4));
        let (ca, cb) = (setting.encrypt(&a), setting.encrypt(&b));
        let ev = setting.evaluator.clone();
        let zip = |f: fn(f64, f64) -> f64| a.iter().zip(&b).map(|(&x, &y)| f(x, y)).collect::<Vec<_>>();

        let mut sum = ca.clone();
        ev.add_assign(&mut sum, &cb).unwrap();
        setting.assert_decrypts("add", &sum, &zip(|x, y| x + y));

        let mut difference = ca.clone();
        ev.sub_assign(&mut difference, &cb).unwrap();
        ev.negate_assign(&mut difference);
        setting.assert_decrypts("subtract, negate", &difference, &zip(|x, y| y - x));

        let plain = setting.encoder.encode(&b, ca.scale(), 2).unwrap();
        let mut sum = ca.clone();
        ev.add_plain_assign(&mut sum, &plain).unwrap();
        ev.add_plain_assign(&mut sum, &plain).unwrap();
        ev.sub_plain_assign(&mut sum, &plain).unwrap();
        let estimate = ca.estimate().unwrap();
        setting.assert_decrypts("add a plaintext", &sum.with_estimate(estimate), &zip(|x, y| x + y));

        let mut affine = ca.clone();
        ev.mul_constant_assign(&mut affine, -0.75, Scale::power_of_two(30)).unwrap();
        ev.add_constant_assign(&mut affine, 0.3).unwrap();
        assert_eq!(affine.scale(), Scale::power_of_two(SCALE + 30));
        setting.assert_decrypts("a constant", &affine, &a.iter().map(|x| -0.75 * x + 0.3).collect::<Vec<_>>());
    }
}

#[test]
fn sums_of_multiples_are_what_their_operations_give() {
    for mut setting in settings() {
        let (a, b) = (setting.vector(8), setting.vector(9));
        let (ca, cb) = (setting.encrypt(&a), setting.encrypt(&b));
        let ev = setting.evaluator.clone();
        let [wide, narrow] = [SCALE + 5, 5].map(Scale::power_of_two);

        let mut expected = ev.mul(&ca, &cb).unwrap();
        ev.mul_constant_assign(&mut expected, 3.0, narrow).unwrap();
        let mut term = cb.clone();
        ev.mul_constant_assign(&mut term, -0.5, wide).unwrap();
        ev.add_assign(&mut expected, &term).unwrap();
        ev.add_constant_assign(&mut expected, 0.25).unwrap();
        ev.drop_level_assign(&mut expected, 1).unwrap();

        let product = SumTerm { factor: SumFactor::Product(&ca, &cb), constant: 3.0, scale: narrow };
        let multiple = SumTerm { factor: SumFactor::Whole(&cb), constant: -0.5, scale: wide };
        for terms in [[product, multiple], [multiple, product]] {
            let sum = ev.sum(&terms, 0.25, 1).unwrap();
            assert_eq!((sum.degree(), sum.level(), sum.scale()), (2, 1, expected.scale()));
            assert_eq!(sum.parts(), expected.parts());
            let clear: Vec<f64> = a.iter().zip(&b).map(|(x, y)| 3.0 * x * y - 0.5 * y + 0.25).collect();
            setting.assert_decrypts("sum", &sum, &clear);
        }
        // A factor of one is none.
        let one = SumTerm { factor: SumFactor::Whole(&ca), constant: 1.0, scale: Scale::power_of_two(0) };
        let mut twice = ca.clone();
        ev.add_assign(&mut twice, &ca).unwrap();
        assert_eq!(ev.sum(&[one, one], 0.0, 2).unwrap().parts(), twice.parts());
    }
}

#[test]
fn products_relinearise_and_rescale() {
    for mut setting in settings() {
        let (a, b) = (setting.vector(5), setting.vector(6));
        let (ca, cb) = (setting.encrypt(&a), setting.encrypt(&b));
        let expected: Vec<f64> = a.iter().zip(&b).map(|(x, y)| x * y).collect();
        let ev = setting.evaluator.clone();

        let product = ev.mul(&ca, &cb).unwrap();
        assert_eq!((product.degree(), product.level(), product.scale()), (2, 2, Scale::power_of_two(2 * SCALE)));
        setting.assert_decrypts("product of degree 2", &product, &expected);
        let relinearized = ev.relinearize(&product, &setting.keys).unwrap();
        assert_eq!((relinearized.degree(), relinearized.level()), (1, 2));
        setting.assert_decrypts("relinearised", &relinearized, &expected);

        let rescaled = ev.rescale(relinearized).unwrap();
        assert_eq!(
            (rescaled.level(), rescaled.scale()),
            (1, setting.params.rescaled(Scale::power_of_two(2 * SCALE), 2))
        );
        setting.assert_decrypts("rescaled", &rescaled, &expected);
        let late = ev.rescale(product.clone()).unwrap();
        assert_eq!((late.degree(), late.level(), late.scale()), (2, 1, rescaled.scale()));
        setting.assert_decrypts("rescaled at degree 2", &late, &expected);
        let merged = ev.relinearize_rescale(&product, &setting.keys).unwrap();
        assert_eq!((merged.level(), merged.scale()), (1, rescaled.scale()));
        setting.assert_decrypts("relinearised and rescaled at once", &merged, &expected);

        let fourth: Vec<f64> = expected.iter().map(|x| x * x).collect();
        let squared = ev.relinearize_rescale(&ev.square(&merged).unwrap(), &setting.keys).unwrap();
        assert_eq!(squared.level(), 0);
        setting.assert_decrypts("a second level", &squared, &fourth);

        let plain = setting.encoder.encode(&b, Scale::power_of_two(30), 2).unwrap();
        let mut scaled = ca.clone();
        ev.mul_plain_assign(&mut scaled, &plain).unwrap();
        let estimate = ca.estimate().unwrap().mul(Estimate::encoded(&setting.params, plain.scale(), 1.0));
        setting.assert_decrypts("times a plaintext", &scaled.with_estimate(estimate), &expected);
    }
}

#[test]
fn rotations_move_slots_to_the_left() {
    for mut setting in settings() {
        let a = setting.vector(7);
        let slots = a.len();
        let ca = setting.encrypt(&a);
        let ev = setting.evaluator.clone();
        let mut low = ca.clone();
        ev.drop_level_assign(&mut low, 1).unwrap();
        let hoisted = ev.hoist(&ca).unwrap();
        for k in [1, 5, -3, 64, 0] {
            let expected: Vec<f64> = (0..slots as i64).map(|i| a[(i + k).rem_euclid(slots as i64) as usize]).collect();
            setting.assert_decrypts("rotation", &ev.rotate(&ca, k, &setting.keys).unwrap(), &expected);
            setting.assert_decrypts("hoisted", &ev.rotate_hoisted(&hoisted, k, &setting.keys).unwrap(), &expected);
            setting.assert_decrypts("at a lower level", &ev.rotate(&low, k, &setting.keys).unwrap(), &expected);
        }
    }
}

#[test]
fn complex_slots_and_conjugation() {
    for mut setting in settings() {
        let ev = setting.evaluator.clone();
        let z: Vec<Complex64> =
            setting.vector(8).iter().zip(setting.vector(9)).map(|(&re, im)| Complex64::new(re, im)).collect();
        let encoded = setting.encoder.encode_complex(&z, Scale::power_of_two(SCALE), 1);
        if setting.params.ring().kind() == RingKind::ConjugateInvariant {
            assert_eq!(encoded.unwrap_err(), Error::NoComplexSlots { operation: "encode_complex" });
            let ciphertext = setting.encrypt(&[1.0]);
            assert_eq!(
                ev.conjugate(&ciphertext, &setting.keys).unwrap_err(),
                Error::NoComplexSlots { operation: "conjugate" }
            );
            continue;
        }
        let ciphertext = Encryptor::new(&setting.secret, setting.entropy.fork()).encrypt(&encoded.unwrap()).unwrap();
        let conjugated = ev.conjugate(&ciphertext, &setting.keys).unwrap();
        let decoded =
            setting.encoder.decode_complex(&Decryptor::new(&setting.secret).decrypt(&conjugated).unwrap()).unwrap();
        assert!(decoded.iter().zip(&z).all(|(a, b)| (a - b.conj()).norm() < 1e-6));
    }
}

#[test]
fn mismatches_are_errors_that_name_both_sides() {
    let mut all: Vec<Setting> = settings().collect();
    let other = all.pop().unwrap();
    let mut setting = all.swap_remove(0);
    let ev = setting.evaluator.clone();
    let a = setting.encrypt(&[1.0]);
    let mut low = a.clone();
    ev.drop_level_assign(&mut low, 0).unwrap();
    let mut scaled = a.clone();
    ev.mul_constant_assign(&mut scaled, 1.0, Scale::power_of_two(1)).unwrap();

    assert_eq!(
        ev.add_assign(&mut a.clone(), &low).unwrap_err(),
        Error::LevelMismatch { operation: "add", left: 2, right: 0 }
    );
    assert!(matches!(ev.add_assign(&mut a.clone(), &scaled), Err(Error::ScaleMismatch { operation: "add", .. })));
    assert_eq!(ev.rescale(low.clone()).unwrap_err(), Error::LevelExhausted { operation: "rescale" });
    assert_eq!(
        ev.drop_level_assign(&mut low, 1).unwrap_err(),
        Error::LevelTooLow { operation: "drop level", level: 0, wanted: 1 }
    );
    let whole = |x| SumTerm { factor: SumFactor::Whole(x), constant: 1.0, scale: Scale::power_of_two(0) };
    assert!(matches!(ev.sum(&[], 0.0, 2), Err(Error::ShapeMismatch { .. })));
    assert!(matches!(ev.sum(&[whole(&a), whole(&low)], 0.0, 2), Err(Error::LevelTooLow { level: 0, wanted: 2, .. })));
    assert!(matches!(ev.sum(&[whole(&a), whole(&scaled)], 0.0, 2), Err(Error::ScaleMismatch { .. })));
    assert!(matches!(other.evaluator.sum(&[whole(&a)], 0.0, 0), Err(Error::ParamsMismatch { .. })));
    assert!(matches!(ev.relinearize(&a, &setting.keys), Err(Error::WrongDegree { degree: 1, .. })));
    let product = ev.mul(&a, &a).unwrap();
    assert!(matches!(ev.mul(&product, &a), Err(Error::WrongDegree { degree: 2, .. })));
    let third = SumTerm { factor: SumFactor::Product(&product, &a), ..whole(&a) };
    assert!(matches!(ev.sum(&[third], 0.0, 2), Err(Error::WrongDegree { degree: 2, .. })));
    for k in [0, 1] {
        assert!(matches!(ev.rotate(&product, k, &setting.keys), Err(Error::WrongDegree { degree: 2, .. })));
        assert!(matches!(ev.rotate(&a, k, &other.keys), Err(Error::ParamsMismatch { .. })));
    }
    let missing = ev.rotate(&a, 2, &setting.keys).unwrap_err();
    assert!(missing.to_string().contains("rotation by 2 slots"), "{missing}");
    assert!(
        matches!(ev.conjugate(&a, &setting.keys), Err(Error::MissingKey { level: 2, .. })),
        "its key is for level 1"
    );
    assert!(matches!(ev.add_constant_assign(&mut a.clone(), 1e40), Err(Error::EncodeOverflow { .. })));
    assert!(matches!(setting.encoder.encode(&[f64::NAN], a.scale(), 2), Err(Error::EncodeOverflow { .. })));
    let infinite = vec![1e308; setting.params.slots()];
    assert!(matches!(setting.encoder.encode(&infinite, a.scale(), 2), Err(Error::EncodeOverflow { .. })));
    let vanishing = Scale::power_of_two(-2000);
    assert!(matches!(setting.encoder.encode(&[1.0], vanishing, 2), Err(Error::EncodeOverflow { .. })));
    assert!(matches!(setting.encoder.encode(&[1e30], a.scale(), 0), Err(Error::EncodeOverflow { .. })));
    assert!(matches!(
        setting.encoder.encode(&[1.0], a.scale(), 3),
        Err(Error::LevelTooHigh { level: 3, max_level: 2 })
    ));
    let slots = setting.params.slots();
    assert_eq!(
        setting.encoder.encode(&vec![0.0; slots + 1], a.scale(), 2).unwrap_err(),
        Error::TooManyValues { values: slots + 1, slots }
    );
    assert_eq!(Decryptor::new(&other.secret).decrypt(&a).unwrap_err(), Error::ParamsMismatch { operation: "decrypt" });
    for element in [0, 2, 1 << 32] {
        let mut request = KeyRequest::default();
        request.galois.insert(element, 0);
        let mut generator = KeyGenerator::new(&setting.params, &mut setting.entropy);
        let refused = generator.evaluation_keys(&setting.secret, &request).unwrap_err();
        assert!(matches!(refused, Error::InvalidGaloisElement { .. }), "{refused}");
        let foreign = generator.public_key(&other.secret).unwrap_err();
        assert_eq!(foreign, Error::ParamsMismatch { operation: "generate keys" });
    }
    assert_eq!(other.evaluator.rescale(a.clone()).unwrap_err(), Error::ParamsMismatch { operation: "rescale" });
    let conjugated = setting.evaluator.conjugate(&a, &other.keys).unwrap_err();
    assert_eq!(conjugated, Error::ParamsMismatch { operation: "conjugate" });
    assert_eq!(other.evaluator.mul(&a, &a).unwrap_err(), Error::ParamsMismatch { operation: "multiply" });
}

#[test]
fn secrets_do_not_show_in_debug_output() {
    let setting = settings().next().unwrap();
    assert_eq!(format!("{:?} {:?}", setting.secret, setting.entropy), "SecretKey Entropy");
}
