//! Example 3: moving slots, and two ways to multiply by a matrix.
//!
//! Products and sums act slot by slot. Whatever mixes slots needs *rotations*, which are as expensive as a product of
//! ciphertexts and need a key each. How data lies in the slots decides how many are needed: a matrix product below takes
//! six in one layout and none in another.
//!
//! Run it with `cargo run --release --example 3_rotations_and_matrix_product`. Everything that it says, it also asserts; times
//! it only reports.

use std::time::{Duration, Instant};

use ckks::{
    Ciphertext, Decryptor, DiagonalMap, DiagonalTerm, Encoder, Encryptor, Entropy, Error, Evaluator, KeyGenerator,
    KeyRequest, PRESETS, Params, RingKind, ScalarMatrix, Scale, SecretKey,
};

/// Features of a sample, rows and columns of the matrix.
const FEATURES: usize = 16;

/// The two parties in one process: the owner of the data, and the server's evaluator.
struct Setting {
    params: Params,
    entropy: Entropy,
    secret: SecretKey,
    encoder: Encoder,
    evaluator: Evaluator,
}

fn main() -> ckks::Result<()> {
    // 8,192 real slots.
    let params = PRESETS[1].spec(RingKind::ConjugateInvariant).build()?;
    let mut entropy = Entropy::from_os()?;
    let secret = KeyGenerator::new(&params, &mut entropy).secret_key();
    let (encoder, evaluator) = (Encoder::new(&params), Evaluator::new(&params));
    let mut setting = Setting { params, entropy, secret, encoder, evaluator };
    rotations(&mut setting)?;
    sum_of_slots(&mut setting)?;
    diagonals(&mut setting)?;
    constants(&mut setting)
}

fn rotations(setting: &mut Setting) -> ckks::Result<()> {
    // rotate(k) moves to the left: slot i receives what was in slot i + k, around the end. A rotation re-encrypts from one key
    // to another, so each k has an evaluation key of its own, and the owner makes those that the server's program asks for.
    println!("1. Rotations");
    let slots = setting.params.slots();
    let values: Vec<f64> = (0..slots).map(|i| i as f64 / slots as f64).collect();
    let ciphertext = setting.encrypt(&values)?;
    let wanted = [1, 2, 3, -1, 100];
    let request = wanted
        .iter()
        .fold(KeyRequest::default(), |request, &k| request.rotation(&setting.params, k, ciphertext.level()));
    let keys = KeyGenerator::new(&setting.params, &mut setting.entropy).evaluation_keys(&setting.secret, &request)?;
    println!("   {} rotation keys, {} bytes on the wire", wanted.len(), keys.packed_bytes());
    let evaluator = setting.evaluator.clone();
    for k in wanted {
        let rotated = evaluator.rotate(&ciphertext, k, &keys)?;
        assert_eq!((rotated.level(), rotated.scale()), (ciphertext.level(), ciphertext.scale()));
        let expected: Vec<f64> = (0..slots).map(|i| values[(i as i64 + k).rem_euclid(slots as i64) as usize]).collect();
        let error = setting.check(&rotated, &expected)?;
        println!(
            "   by {k:>3}: slot 0 holds what was in slot {}, largest error 2^{:.1}",
            expected[0] * slots as f64,
            error.log2()
        );
    }

    // Rotations add up, modulo the number of slots. One that has no key can be composed of others, at a price.
    let step = evaluator.rotate(&evaluator.rotate(&ciphertext, 3, &keys)?, 2, &keys)?;
    let expected: Vec<f64> = (0..slots).map(|i| values[(i + 5) % slots]).collect();
    setting.check(&step, &expected)?;
    let refused = evaluator.rotate(&ciphertext, 5, &keys).err();
    println!("   by 5 at once: {}", refused.as_ref().map(Error::to_string).unwrap_or_default());
    assert!(matches!(refused, Some(Error::MissingKey { .. })));

    // Most of a rotation is the decomposition of the ciphertext, which does not depend on k. Several rotations of one
    // ciphertext can share it: *hoisting*. The results are the same, bit for bit.
    let (plain, plain_time) =
        timed(|| wanted.iter().map(|&k| evaluator.rotate(&ciphertext, k, &keys)).collect::<ckks::Result<Vec<_>>>())?;
    let (hoisted, hoisted_time) = timed(|| {
        let hoisted = evaluator.hoist(&ciphertext)?;
        wanted.iter().map(|&k| evaluator.rotate_hoisted(&hoisted, k, &keys)).collect::<ckks::Result<Vec<_>>>()
    })?;
    println!("   {} rotations: {plain_time:.1?}; hoisted {hoisted_time:.1?}", wanted.len());
    assert!(plain.iter().zip(&hoisted).all(|(a, b)| a.parts() == b.parts()));
    Ok(())
}

fn sum_of_slots(setting: &mut Setting) -> ckks::Result<()> {
    // Adding a rotation by half of the slots leaves every slot with a sum of two, then by a quarter, of four, and so on: the sum
    // of 8,192 slots takes 13 rotations, and stands in every slot in the end.
    println!("\n2. The sum of all slots");
    let slots = setting.params.slots();
    let values: Vec<f64> = (0..slots).map(|i| ((i * 37) % 101) as f64 / 1e5).collect();
    let mut sum = setting.encrypt(&values)?;
    let steps: Vec<i64> = (0..slots.ilog2()).rev().map(|bit| 1 << bit).collect();
    let request =
        steps.iter().fold(KeyRequest::default(), |request, &k| request.rotation(&setting.params, k, sum.level()));
    let keys = KeyGenerator::new(&setting.params, &mut setting.entropy).evaluation_keys(&setting.secret, &request)?;
    for &k in &steps {
        let rotated = setting.evaluator.rotate(&sum, k, &keys)?;
        setting.evaluator.add_assign(&mut sum, &rotated)?;
    }
    let total: f64 = values.iter().sum();
    let error = setting.check(&sum, &vec![total; slots])?;
    println!("   {} rotations for {slots} slots: {total:.4}, largest error 2^{:.1}", steps.len(), error.log2());
    assert_eq!(steps.len(), 13);
    Ok(())
}

fn diagonals(setting: &mut Setting) -> ckks::Result<()> {
    // Now a matrix of 16 x 16 applied to many samples of 16 features. First layout: feature f of sample s in slot 512 f + s, so
    // one ciphertext holds 512 samples. A rotation by 512 d moves every sample by d features, around the end.
    //
    // Then y = sum over d of u_d * rotate(x, 512 d), where u_d is the d-th *diagonal* of the matrix: the entry in row r and
    // column r + d stands in the slots of row r (Halevi, Shoup 2014/106). That is 15 rotations. With d = g + b in giant steps g
    // and baby steps b it is y = sum over g of rotate(sum over b of u'_(g+b) * rotate(x, 512 b), 512 g), with u' the diagonal
    // rotated right by the giant step: 3 baby rotations, hoisted, and 3 giant ones.
    println!("\n3. A matrix by its diagonals: {FEATURES} features of 512 samples in one ciphertext");
    let slots = setting.params.slots();
    let batch = slots / FEATURES;
    let sample = |s: usize| -> Vec<f64> { (0..FEATURES).map(|f| feature(f, s)).collect() };
    let values: Vec<f64> = (0..slots).map(|slot| feature(slot / batch, slot % batch)).collect();
    let x = setting.encrypt(&values)?;

    // The diagonals are encoded at the prime that the rescale will divide by, so that the scale of the result is that of x.
    let weight_scale = setting.params.step(x.level()).fold(Scale::power_of_two(0), Scale::mul_prime);
    let mut terms = Vec::new();
    for d in 0..FEATURES {
        let (giant, baby) = (d / 4 * 4, d % 4);
        let diagonal: Vec<f64> = (0..slots)
            .map(|slot| (slot / batch + FEATURES - giant) % FEATURES)
            .map(|row| weight(row, (row + d) % FEATURES))
            .collect();
        let diagonal = setting.encoder.encode(&diagonal, weight_scale, x.level())?.extend();
        let in_slots = |features: usize| (features * batch) as i64;
        terms.push(DiagonalTerm { output: 0, input: 0, baby: in_slots(baby), giant: in_slots(giant), diagonal });
    }
    let map = DiagonalMap::new(1, 1, terms)?;

    // The map knows which keys it needs.
    let request = map.key_request(&setting.params, x.level());
    assert_eq!(request.galois.len(), 6);
    let keys = KeyGenerator::new(&setting.params, &mut setting.entropy).evaluation_keys(&setting.secret, &request)?;
    let (product, time) = timed(|| map.apply(&setting.evaluator, std::slice::from_ref(&x), &keys))?;
    let product = product.into_iter().map(|y| setting.evaluator.rescale(y)).collect::<ckks::Result<Vec<_>>>()?;
    assert_eq!((product[0].level(), product[0].scale()), (x.level() - 1, x.scale()));

    let expected: Vec<f64> = (0..slots).map(|slot| product_in_the_clear(&sample(slot % batch))[slot / batch]).collect();
    let error = setting.check(&product[0], &expected)?;
    println!("   {} keys, {:.1?} for {batch} samples, largest error 2^{:.1}", request.galois.len(), time, error.log2());
    Ok(())
}

fn constants(setting: &mut Setting) -> ckks::Result<()> {
    // Second layout: feature f in ciphertext f, sample s in its slot s. Every weight then multiplies a whole ciphertext, hence is
    // a constant, and the matrix product is one of integers modulo each prime: no rotation, no key, no NTT. It takes 16
    // ciphertexts of input instead of one, and holds 8,192 samples instead of 512. Many samples are cheaper this way; one sample
    // would wait for the work of all of them.
    let slots = setting.params.slots();
    println!("\n4. A matrix of constants: {FEATURES} ciphertexts of one feature each, {slots} samples");
    let inputs = (0..FEATURES)
        .map(|f| setting.encrypt(&(0..slots).map(|s| feature(f, s)).collect::<Vec<_>>()))
        .collect::<ckks::Result<Vec<_>>>()?;
    let level = inputs[0].level();
    let weight_scale = setting.params.step(level).fold(Scale::power_of_two(0), Scale::mul_prime);
    let rows: Vec<Vec<(u32, f64)>> =
        (0..FEATURES).map(|r| (0..FEATURES).map(|c| (c as u32, weight(r, c))).collect()).collect();
    let matrix = ScalarMatrix::new(&setting.params, rows.iter().map(Vec::as_slice), FEATURES, weight_scale, level)?;
    let (outputs, time) = timed(|| matrix.apply(&inputs))?;
    let clear: Vec<Vec<f64>> =
        (0..slots).map(|s| product_in_the_clear(&(0..FEATURES).map(|f| feature(f, s)).collect::<Vec<_>>())).collect();
    let mut largest = 0.0f64;
    for (row, output) in outputs.into_iter().enumerate() {
        let output = setting.evaluator.rescale(output)?;
        assert_eq!((output.level(), output.scale()), (level - 1, inputs[0].scale()));
        largest = largest.max(setting.check(&output, &clear.iter().map(|y| y[row]).collect::<Vec<_>>())?);
    }
    println!("   no key, {time:.1?} for {slots} samples, largest error 2^{:.1}", largest.log2());
    Ok(())
}

/// Feature `f` of sample `s`.
fn feature(f: usize, s: usize) -> f64 {
    ((f * 31 + s * 17) % 41) as f64 / 20.0 - 1.0
}

/// Entry of the matrix.
fn weight(row: usize, column: usize) -> f64 {
    ((row * 7 + column * 3) % 11) as f64 / 10.0 - 0.5
}

fn product_in_the_clear(x: &[f64]) -> Vec<f64> {
    (0..FEATURES).map(|row| x.iter().enumerate().map(|(column, value)| weight(row, column) * value).sum()).collect()
}

fn timed<T>(work: impl FnOnce() -> ckks::Result<T>) -> ckks::Result<(T, Duration)> {
    let start = Instant::now();
    work().map(|result| (result, start.elapsed()))
}

impl Setting {
    fn encrypt(&mut self, values: &[f64]) -> ckks::Result<Ciphertext> {
        let plaintext = self.encoder.encode(values, Scale::power_of_two(40), self.params.max_level())?;
        Encryptor::new(&self.secret, self.entropy.fork()).encrypt(&plaintext)
    }

    /// Decrypts, asserts that the values came out, to 16 bits or better, and returns the largest error.
    fn check(&self, ciphertext: &Ciphertext, expected: &[f64]) -> ckks::Result<f64> {
        let values = self.encoder.decode(&Decryptor::new(&self.secret).decrypt(ciphertext)?)?;
        let error = values.iter().zip(expected).fold(0.0f64, |max, (a, b)| max.max((a - b).abs()));
        assert!(error < 1.0 / f64::from(1 << 16), "{ciphertext:?} is off by {error:e}");
        assert!(error > f64::from(-40).exp2(), "too precise to have been encrypted");
        Ok(error)
    }
}
