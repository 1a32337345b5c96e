//! Example 4: choosing parameters, and what they do to precision.
//!
//! Three things pull at each other: how deep a computation may be (the length of the chain), how precise (the scale), and how
//! large the ciphertexts and keys are (N). Security ties them: for each N the modulus may have so many bits and no more.
//!
//! Run it with `cargo run --release --example 4_parameters_precision_and_noise`. Everything that it says, it also asserts; times
//! it only reports.

use std::time::Instant;

use ckks::{
    Ciphertext, Decryptor, Encoder, Encryptor, Entropy, Error, Evaluator, KeyGenerator, KeyRequest, PRESETS, Params,
    ParamsSpec, RingKind, Scale, SecretKey, max_log_qp,
};

fn main() -> ckks::Result<()> {
    security()?;
    digits()?;
    noise()?;
    scales()?;
    headroom()
}

fn security() -> ckks::Result<()> {
    // Breaking a key gets easier with a larger modulus and harder with a larger N. What counts is QP: the keys live modulo the
    // chain's primes Q and, on top, the *special primes* P. The bounds are those of the Security Guidelines for Implementing
    // Homomorphic Encryption (Bossuat et al. 2024/463) for 128 bits and a ternary secret.
    println!("1. Presets, and the bound they are held to");
    for preset in PRESETS {
        for ring in [RingKind::Standard, RingKind::ConjugateInvariant] {
            let params = preset.spec(ring).build()?;
            let bound = max_log_qp(params.log_n()).unwrap_or(0.0);
            println!(
                "   {} {:<18} N = 2^{}, {:>5} slots, {:>2} levels, log2(QP) = {:>6.1} of {bound}",
                preset.name,
                format!("{ring:?}"),
                params.log_n(),
                params.slots(),
                params.max_level(),
                params.log_qp(),
            );
            assert!(params.log_qp() <= bound);
        }
    }

    // One step more than p13 has, and its N does not carry it: `build` says by how much. (For tests of tiny rings there is
    // `build_insecure`. What it makes may hide nothing.)
    let refused = ParamsSpec::new(RingKind::Standard, 13, &[50, 40, 40, 40], &[50]).build().err();
    println!("   a step too many: {}", refused.as_ref().map(Error::to_string).unwrap_or_default());
    assert!(matches!(refused, Some(Error::Insecure { log_n: 13, bound: 214.0, log_qp }) if log_qp > 214.0));

    // Shapes that cannot work are refused as well, before there are any keys.
    let refused = ParamsSpec::new(RingKind::Standard, 14, &[50, 40, 40], &[30]).build().err();
    println!("   too small a P:   {}", refused.as_ref().map(Error::to_string).unwrap_or_default());
    assert!(matches!(refused, Some(Error::InvalidParams { .. })));
    Ok(())
}

fn digits() -> ckks::Result<()> {
    // Relinearisations and rotations cut a ciphertext into *digits* of a few limbs, `dnum` of them, and multiply each by its
    // part of a key. Few digits mean small keys and little work; but a digit must not be larger than P, and P counts towards
    // the security bound. So bits that are left over below the bound are best spent on special primes.
    println!("\n2. The same chain with more special primes and fewer digits");
    let mut previous = usize::MAX;
    for special in 1..=3 {
        let params = ParamsSpec::new(RingKind::ConjugateInvariant, 14, &[50, 40, 40, 40, 40, 40], &[50; 3][..special])
            .build()?;
        let mut entropy = Entropy::from_os()?;
        let mut generator = KeyGenerator::new(&params, &mut entropy);
        let secret = generator.secret_key();
        let top = params.max_level();
        let keys = generator.evaluation_keys(&secret, &KeyRequest::default().rotation(&params, 1, top))?;
        let plaintext = Encoder::new(&params).encode(&[1.0, 2.0], Scale::power_of_two(40), top)?;
        let ciphertext = Encryptor::new(&secret, entropy).encrypt(&plaintext)?;
        let evaluator = Evaluator::new(&params);
        let start = Instant::now();
        let rotated = evaluator.rotate(&ciphertext, 1, &keys)?;
        let time = start.elapsed();
        let first = Encoder::new(&params).decode(&Decryptor::new(&secret).decrypt(&rotated)?)?[0];
        println!(
            "   {special} special: {} digits, log2(QP) = {:.0}, a rotation key of {} bytes, a rotation in {time:.1?}",
            params.spec().dnum,
            params.log_qp(),
            keys.packed_bytes(),
        );
        assert_eq!(params.spec().dnum, 6_usize.div_ceil(special));
        assert!((first - 2.0).abs() < 1e-5 && keys.packed_bytes() < previous);
        previous = keys.packed_bytes();
    }
    Ok(())
}

/// A secret key with what it takes to use it.
struct Setting {
    params: Params,
    secret: SecretKey,
    entropy: Entropy,
}

impl Setting {
    fn new(params: Params) -> ckks::Result<Self> {
        let mut entropy = Entropy::from_os()?;
        let secret = KeyGenerator::new(&params, &mut entropy).secret_key();
        Ok(Self { params, secret, entropy })
    }

    fn encrypt(&mut self, values: &[f64], scale: Scale, level: usize) -> ckks::Result<Ciphertext> {
        let plaintext = Encoder::new(&self.params).encode(values, scale, level)?;
        let mut encryptor = Encryptor::new(&self.secret, self.entropy.fork());
        // The estimate needs to know how large the slots may be. From here on every operation carries it forward.
        let estimate = encryptor.estimate(&plaintext, values.iter().fold(0.0, |max, value| value.abs().max(max)));
        Ok(encryptor.encrypt(&plaintext)?.with_estimate(estimate))
    }

    /// The errors of all slots. Only the owner of the secret key can measure them.
    fn errors(&self, ciphertext: &Ciphertext, expected: impl Iterator<Item = f64>) -> ckks::Result<Vec<f64>> {
        let values = Encoder::new(&self.params).decode(&Decryptor::new(&self.secret).decrypt(ciphertext)?)?;
        Ok(values.iter().zip(expected).map(|(value, expected)| value - expected).collect())
    }
}

/// Prints the error that was predicted and the one that is there, in bits; asserts that they agree.
fn compare(name: &str, ciphertext: &Ciphertext, errors: &[f64]) {
    let deviation = (errors.iter().map(|e| e * e).sum::<f64>() / errors.len() as f64).sqrt();
    let largest = errors.iter().fold(0.0f64, |max, e| max.max(e.abs()));
    let Some(estimate) = ciphertext.estimate() else { unreachable!("every ciphertext here carries an estimate") };
    println!(
        "   {name:<24} deviation 2^{:.1}, predicted 2^{:.1}; largest 2^{:.1}, bound 2^{:.1}",
        deviation.log2(),
        estimate.deviation.log2(),
        largest.log2(),
        estimate.bound.log2(),
    );
    // Predicted for the largest message, so the true one may be below; but not far below, for then nothing would be hidden.
    assert!(deviation < 2.0 * estimate.deviation && deviation > estimate.deviation / 8.0, "{name}");
    assert!(largest < estimate.bound, "{name}");
}

fn noise() -> ckks::Result<()> {
    // Every operation adds to the error. The library predicts it: the standard deviation over the slots, which is what one sees,
    // and a bound that no run can exceed, which is far above. Here are both, beside what really happened.
    println!("\n3. Error after each operation: measured and predicted");
    let mut setting = Setting::new(ParamsSpec::new(RingKind::Standard, 14, &[50, 40, 40], &[50]).build()?)?;
    let (params, slots) = (setting.params.clone(), setting.params.slots());
    let request = KeyRequest::default().relinearization(2).rotation(&params, 1, 2);
    let keys = KeyGenerator::new(&params, &mut setting.entropy).evaluation_keys(&setting.secret, &request)?;
    let evaluator = Evaluator::new(&params);
    let x: Vec<f64> = (0..slots).map(|i| (i as f64 / 300.0).sin()).collect();

    let fresh = setting.encrypt(&x, Scale::power_of_two(40), 2)?;
    compare("fresh", &fresh, &setting.errors(&fresh, x.iter().copied())?);

    let mut sum = fresh.clone();
    evaluator.add_assign(&mut sum, &setting.encrypt(&x, Scale::power_of_two(40), 2)?)?;
    compare("sum of two", &sum, &setting.errors(&sum, x.iter().map(|x| 2.0 * x))?);

    // The new error of a key switch is about the size of a rounding error, if P is as large as the digits.
    let rotated = evaluator.rotate(&fresh, 1, &keys)?;
    compare("rotated", &rotated, &setting.errors(&rotated, (0..slots).map(|i| x[(i + 1) % slots]))?);

    // A product adds each factor's error times the other factor. The rescale divides message and error alike, and adds a rounding.
    let square = evaluator.relinearize(&evaluator.square(&fresh)?, &keys)?;
    compare("squared, relinearised", &square, &setting.errors(&square, x.iter().map(|x| x * x))?);
    let rescaled = evaluator.rescale(square)?;
    compare("rescaled", &rescaled, &setting.errors(&rescaled, x.iter().map(|x| x * x))?);
    Ok(())
}

fn scales() -> ckks::Result<()> {
    // Errors are integers of a certain size, whatever the scale is. Ten bits more scale are ten bits more precision, and ten
    // bits more modulus a level. Where a step should have more bits than a prime of this library can (50), it has two primes.
    println!("\n4. Precision of a square, by the size of the steps");
    let mut previous = f64::INFINITY;
    for (step, bits) in [(vec![30], 30), (vec![40], 40), (vec![50], 50), (vec![30, 30], 60)] {
        let spec = ParamsSpec {
            ring: RingKind::ConjugateInvariant,
            log_n: 14,
            chain: vec![vec![50, 30], step.clone()],
            special: vec![50, 50],
            dnum: 2,
        };
        let mut setting = Setting::new(spec.build()?)?;
        let params = setting.params.clone();
        let request = KeyRequest::default().relinearization(1);
        let keys = KeyGenerator::new(&params, &mut setting.entropy).evaluation_keys(&setting.secret, &request)?;
        let x: Vec<f64> = (0..params.slots()).map(|i| (i as f64 / 300.0).cos()).collect();
        let ciphertext = setting.encrypt(&x, Scale::power_of_two(bits), 1)?;
        let evaluator = Evaluator::new(&params);
        let square = evaluator.relinearize_rescale(&evaluator.square(&ciphertext)?, &keys)?;
        assert_eq!((square.level(), square.limbs()), (0, 2));
        let errors = setting.errors(&square, x.iter().map(|x| x * x))?;
        let largest = errors.iter().fold(0.0f64, |max, e| max.max(e.abs()));
        compare(&format!("steps of {step:?} bits"), &square, &errors);
        assert!(largest < previous / 100.0);
        previous = largest;
    }
    Ok(())
}

fn headroom() -> ckks::Result<()> {
    // The last thing to choose is the base prime. In the end, message times scale has to fit into it, with a sign: at 50 bits
    // and a scale of 45, results must stay below 16. A larger one does not fail. It wraps around, as integers do, and nobody can
    // tell from the ciphertext; so know your range when you choose parameters. The estimate keeps track of it.
    println!("\n5. Headroom: 3 x 3 and 6 x 6 where results must stay below 16");
    let mut setting = Setting::new(ParamsSpec::new(RingKind::Standard, 13, &[50, 45], &[50]).build()?)?;
    let params = setting.params.clone();
    let request = KeyRequest::default().relinearization(1);
    let keys = KeyGenerator::new(&params, &mut setting.entropy).evaluation_keys(&setting.secret, &request)?;
    let evaluator = Evaluator::new(&params);
    for (factor, expected) in [(3.0, 9.0), (6.0, 4.0)] {
        let ciphertext = setting.encrypt(&vec![factor; params.slots()], Scale::power_of_two(45), 1)?;
        let square = evaluator.relinearize_rescale(&evaluator.square(&ciphertext)?, &keys)?;
        let errors = setting.errors(&square, std::iter::repeat(0.0))?;
        let room = (params.log_q(0) - 1.0 - square.scale().log2()).exp2();
        let message = square.estimate().map_or(f64::NAN, |estimate| estimate.message);
        println!(
            "   {factor} x {factor} = {:.6}; the estimate says {message}, and there is room for {room:.2}",
            errors[0]
        );
        assert!(errors.iter().all(|value| (value - expected).abs() < 1e-2));
        assert_eq!(message > room, expected != factor * factor);
    }
    Ok(())
}
