//! The basis QP and the merged product, in both rings, at the top level and below: values, errors on both sides, and what is refused.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use ckks::*;

const TOP: usize = 2;

struct Setting {
    params: Params,
    evaluator: Evaluator,
    secret: SecretKey,
    keys: EvaluationKeys,
    /// Vectors and their encryptions.
    x: [Vec<f64>; 2],
    encrypted: [Ciphertext; 2],
}

/// Both rings, with one limb a digit and with several.
fn settings() -> impl Iterator<Item = Setting> {
    let shapes = [(RingKind::Standard, 3, 1), (RingKind::Standard, 2, 2), (RingKind::ConjugateInvariant, 2, 2)];
    shapes.into_iter().map(|(ring, dnum, special)| {
        let chain = vec![vec![50], vec![40], vec![40]];
        let params = ParamsSpec { ring, log_n: 9, chain, special: vec![50; special], dnum }.build_insecure().unwrap();
        let mut entropy = Entropy::insecure_from_seed(11);
        let mut generator = KeyGenerator::new(&params, &mut entropy);
        let secret = generator.secret_key();
        let request = [1, 2, 5].iter().fold(KeyRequest::default(), |request, &k| request.rotation(&params, k, TOP));
        let keys = generator.evaluation_keys(&secret, &request.relinearization(TOP)).unwrap();
        let vector = |a: usize| (0..params.slots()).map(|i| ((i * a) % 1009) as f64 / 504.5 - 1.0).collect::<Vec<_>>();
        let x = [vector(7919), vector(104_729)];
        let mut encryptor = Encryptor::new(&secret, entropy);
        let encrypted = x.each_ref().map(|x| {
            let plaintext = Encoder::new(&params).encode(x, Scale::power_of_two(40), TOP).unwrap();
            encryptor.encrypt(&plaintext).unwrap().with_estimate(encryptor.estimate(&plaintext, 1.0))
        });
        Setting { evaluator: Evaluator::new(&params), params, secret, keys, x, encrypted }
    })
}

impl Setting {
    fn assert_decrypts(&self, ciphertext: &Ciphertext, expected: impl Fn(usize) -> f64, estimate: Estimate) {
        let expected: Vec<f64> = (0..self.params.slots()).map(expected).collect();
        let measured = Decryptor::new(&self.secret).measure_error(ciphertext, &Encoder::new(&self.params), &expected);
        let MeasuredError { deviation, largest } = measured.unwrap();
        assert!(deviation < 2.0 * estimate.deviation, "{deviation:e} {estimate:?} {:?}", self.params.spec());
        assert!(deviation > estimate.deviation / 12.0, "{deviation:e} {estimate:?} {:?}", self.params.spec());
        assert!(largest < estimate.bound);
    }

    fn rotated(&self, x: usize, k: usize) -> impl Fn(usize) -> f64 + '_ {
        move |i| self.x[x][(i + k) % self.params.slots()]
    }
}

#[test]
fn a_sum_of_extended_rotations_needs_one_division() {
    for setting in settings() {
        for level in 0..=TOP {
            let Setting { evaluator, keys, .. } = &setting;
            let mut x = setting.encrypted[0].clone();
            evaluator.drop_level_assign(&mut x, level).unwrap();
            let hoisted = evaluator.hoist(&x).unwrap();
            let rotated = |k| evaluator.rotate_hoisted_extended(&hoisted, k, keys).unwrap();
            let mut sum = rotated(0);
            evaluator.add_extended_assign(&mut sum, &rotated(1)).unwrap();
            // Rotated again, without leaving the basis.
            let sum = evaluator.rotate_extended(&sum, 5, keys).unwrap();
            assert_eq!((sum.level(), sum.scale()), (level, x.scale()));
            let sum = evaluator.mod_down(sum).unwrap();
            let expected = |i| setting.rotated(0, 5)(i) + setting.rotated(0, 6)(i);
            setting.assert_decrypts(&sum, expected, sum.estimate().unwrap());

            let alone = evaluator.mod_down(evaluator.extend(&x).unwrap()).unwrap();
            assert_eq!(alone.parts(), x.parts());
            let finished = evaluator.mod_down(rotated(2)).unwrap();
            assert_eq!(finished.parts(), evaluator.rotate(&x, 2, keys).unwrap().parts());
        }
    }
}

#[test]
fn rotations_of_several_are_added_up() {
    for setting in settings() {
        for level in 0..=TOP {
            let Setting { evaluator, keys, .. } = &setting;
            let extended = [0, 1].map(|x| {
                let mut x = setting.encrypted[x].clone();
                evaluator.drop_level_assign(&mut x, level).unwrap();
                evaluator.extend(&x).unwrap()
            });
            let [a, b] = &extended;
            let terms = [(a, &[0, 1, 5][..]), (b, &[2])];
            let sum = evaluator.sum_rotations(&terms, keys).unwrap();
            assert_eq!((sum.level(), sum.scale()), (level, a.scale()));
            let expected =
                |i| [0, 1, 5].map(|k| setting.rotated(0, k)(i)).iter().sum::<f64>() + setting.rotated(1, 2)(i);
            setting.assert_decrypts(&sum, expected, sum.estimate().unwrap());
            // The same, one after the other.
            let mut total = a.clone();
            for (a, k) in [(a, 1), (a, 5), (b, 2)] {
                evaluator.add_extended_assign(&mut total, &evaluator.rotate_extended(a, k, keys).unwrap()).unwrap();
            }
            let found = evaluator.mod_down(evaluator.sum_rotations_extended(&terms, keys).unwrap()).unwrap();
            assert_eq!(found.parts(), evaluator.mod_down(total).unwrap().parts());
            assert_eq!(found.parts(), sum.parts());
            let same = evaluator.sum_rotations(&[(a, [0])], keys).unwrap();
            assert_eq!(same.parts(), evaluator.mod_down(a.clone()).unwrap().parts());
        }
    }
}

#[test]
fn inner_products_in_the_extended_basis_are_those_of_the_plain_one() {
    for setting in settings() {
        let Setting { evaluator, params, x, encrypted: [a, b], .. } = &setting;
        let encode = |x: &[f64]| Encoder::new(params).encode(x, Scale::power_of_two(30), TOP).unwrap();
        let (m, n) = (encode(&x[1]), encode(&x[0]));
        let extended = [evaluator.extend(a).unwrap(), evaluator.extend(b).unwrap()];
        let (m_extended, n_extended) = (m.extend(), n.extend());
        assert_eq!((m_extended.level(), m_extended.scale()), (m.level(), m.scale()));
        let terms = [(&extended[0], &m_extended), (&extended[1], &n_extended)];
        let mut sums = evaluator.inner_products_extended(&[terms.to_vec(), terms[1..].to_vec()]).unwrap();
        let second = evaluator.mod_down(sums.remove(1)).unwrap();
        let mut product = b.clone();
        evaluator.mul_plain_assign(&mut product, &n).unwrap();
        assert_eq!(second.parts(), product.parts());
        let found = evaluator.mod_down(sums.remove(0)).unwrap();
        // P c m / P = c m: no error comes in.
        let mut expected = a.clone();
        evaluator.mul_plain_assign(&mut expected, &m).unwrap();
        evaluator.mul_plain_add_assign(&mut expected, b, &n).unwrap();
        assert_eq!((found.parts(), found.scale()), (expected.parts(), expected.scale()));

        // More terms than a sum of unreduced products can have: c m, doubled twelve times.
        let long = evaluator.inner_products_extended(&[vec![terms[0]; 1 << 12]]).unwrap().remove(0);
        let mut expected = a.clone();
        evaluator.mul_plain_assign(&mut expected, &m).unwrap();
        for _ in 0..12 {
            let half = expected.clone();
            evaluator.add_assign(&mut expected, &half).unwrap();
        }
        assert_eq!(evaluator.mod_down(long).unwrap().parts(), expected.parts());

        for none in [vec![], vec![terms.to_vec(), vec![]]] {
            assert!(matches!(evaluator.inner_products_extended(&none), Err(Error::ShapeMismatch { .. })));
        }
        let wrong = Encoder::new(params).encode(&x[0], Scale::power_of_two(29), TOP).unwrap().extend();
        let wrong = evaluator.inner_products_extended(&[vec![terms[0], (&extended[1], &wrong)]]);
        assert!(matches!(wrong, Err(Error::ScaleMismatch { .. })));
        let low = Encoder::new(params).encode(&x[0], Scale::power_of_two(30), 1).unwrap().extend();
        let low = evaluator.inner_products_extended(&[vec![(&extended[0], &low)]]);
        assert!(matches!(low, Err(Error::LevelMismatch { left: 2, right: 1, .. })));
    }
}

#[test]
fn plaintexts_whose_slots_repeat_multiply_like_others() {
    for setting in settings() {
        let Setting { evaluator, params, encrypted: [a, _], .. } = &setting;
        let extended = evaluator.extend(a).unwrap();
        for period in [1, 2, 4, params.slots() / 2] {
            let slots: Vec<f64> = (0..params.slots()).map(|i| (i % period) as f64 / 8.0 - 0.25).collect();
            let m = Encoder::new(params).encode(&slots, Scale::power_of_two(30), TOP).unwrap();
            let whole: Vec<f64> = (0..params.slots()).map(|i| (i % 7) as f64 / 8.0).collect();
            let n = Encoder::new(params).encode(&whole, Scale::power_of_two(30), TOP).unwrap();
            let (m_extended, n_extended) = (m.extend(), n.extend());
            let (first, second) = ((&extended, &m_extended), (&extended, &n_extended));
            let sums = evaluator.inner_products_extended(&[vec![first; 2], vec![first, second]]).unwrap();
            let sums: Vec<_> = sums.into_iter().map(|sum| evaluator.mod_down(sum).unwrap()).collect();
            let mut expected = a.clone();
            evaluator.mul_plain_assign(&mut expected, &m).unwrap();
            let mut mixed = expected.clone();
            evaluator.mul_plain_add_assign(&mut expected, a, &m).unwrap();
            evaluator.mul_plain_add_assign(&mut mixed, a, &n).unwrap();
            assert_eq!((sums[0].parts(), sums[1].parts()), (expected.parts(), mixed.parts()), "period {period}");
        }
    }
}

#[test]
fn extended_operations_refuse_what_does_not_fit() {
    let setting = settings().next().unwrap();
    let Setting { evaluator, keys, encrypted: [a, b], .. } = &setting;
    let extended = evaluator.extend(a).unwrap();
    assert!(matches!(evaluator.rotate_extended(&extended, 7, keys), Err(Error::MissingKey { .. })));
    let hoisted = evaluator.hoist(a).unwrap();
    assert!(matches!(evaluator.rotate_hoisted_extended(&hoisted, 7, keys), Err(Error::MissingKey { .. })));
    assert!(matches!(evaluator.extend(&evaluator.mul(a, b).unwrap()), Err(Error::WrongDegree { degree: 2, .. })));
    let mut low = b.clone();
    evaluator.drop_level_assign(&mut low, 1).unwrap();
    let wrong = evaluator.add_extended_assign(&mut extended.clone(), &evaluator.extend(&low).unwrap());
    assert!(matches!(wrong, Err(Error::LevelMismatch { left: 2, right: 1, .. })));
    let mut scaled = b.clone();
    evaluator.mul_constant_assign(&mut scaled, 1.0, Scale::power_of_two(3)).unwrap();
    let wrong = evaluator.add_extended_assign(&mut extended.clone(), &evaluator.extend(&scaled).unwrap());
    assert!(matches!(wrong, Err(Error::ScaleMismatch { .. })));
    let (low, scaled) = (evaluator.extend(&low).unwrap(), evaluator.extend(&scaled).unwrap());
    let wrong = evaluator.sum_rotations(&[(&extended, [1]), (&low, [0])], keys);
    assert!(matches!(wrong, Err(Error::LevelMismatch { left: 2, right: 1, .. })));
    let wrong = evaluator.sum_rotations(&[(&extended, [1]), (&scaled, [0])], keys);
    assert!(matches!(wrong, Err(Error::ScaleMismatch { .. })));
    assert!(matches!(evaluator.sum_rotations(&[(&extended, [7])], keys), Err(Error::MissingKey { .. })));
    assert!(matches!(evaluator.sum_rotations(&[(&extended, [])], keys), Err(Error::ShapeMismatch { .. })));
    let spec = ParamsSpec::new(RingKind::Standard, 9, &[50, 40], &[50]);
    let other = Evaluator::new(&spec.build_insecure().unwrap());
    assert!(matches!(other.mod_down(extended), Err(Error::ParamsMismatch { .. })));
}

#[test]
fn a_product_relinearised_in_one_is_that_in_two() {
    for setting in settings() {
        let Setting { evaluator, keys, encrypted: [a, b], x, .. } = &setting;
        for (a, b) in [(a, b), (a, a)] {
            let product = evaluator.mul(a, b).unwrap();
            let one = evaluator.mul_relinearize(a, b, keys).unwrap();
            let two = evaluator.relinearize(&product, keys).unwrap();
            assert_eq!((one.parts(), one.scale(), one.level()), (two.parts(), two.scale(), two.level()));
            let one = evaluator.mul_relinearize_rescale(a, b, keys).unwrap();
            let two = evaluator.relinearize_rescale(&product, keys).unwrap();
            assert_eq!((one.parts(), one.scale(), one.level()), (two.parts(), two.scale(), 1));
        }
        let product = evaluator.mul_relinearize_rescale(a, b, keys).unwrap();
        setting.assert_decrypts(&product, |i| x[0][i] * x[1][i], product.estimate().unwrap());
        let mut low = a.clone();
        evaluator.drop_level_assign(&mut low, 0).unwrap();
        let exhausted = evaluator.mul_relinearize_rescale(&low, &low, keys);
        assert!(matches!(exhausted, Err(Error::LevelExhausted { .. })));
        let degree = evaluator.mul_relinearize(&evaluator.mul(a, b).unwrap(), a, keys);
        assert!(matches!(degree, Err(Error::WrongDegree { degree: 2, .. })));
    }
}
