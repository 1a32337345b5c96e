//! Example 2: arithmetic, and the two things to keep count of: scales and levels.
//!
//! We evaluate p(x) = pi x^3 + 0.4 x + 1 in 8,192 slots at once. On the way every rule of CKKS arithmetic shows up: products
//! multiply scales, a *rescale* divides them again and costs a level, and sums want equal scales and levels.
//!
//! Run it with `cargo run --release --example 2_arithmetic_and_levels`. Everything that it says, it also asserts.

use std::f64::consts::PI;

use ckks::{
    Ciphertext, Decryptor, Encoder, Encryptor, Entropy, Error, EvaluationKeys, Evaluator, KeyGenerator, KeyRequest,
    Params, ParamsSpec, RingKind, Scale, SecretKey,
};

/// What a server has: it computes on ciphertexts that it cannot read.
struct Server {
    evaluator: Evaluator,
    keys: EvaluationKeys,
}

fn main() -> ckks::Result<()> {
    // The chain has a base prime of 50 bits and three steps of 38. *Level* 3 is the top: three rescales are left. The scale
    // is about the size of a step, so that a rescale undoes what a product did to the scale. The base prime is larger than
    // the scale by 12 bits: room for the integer part of results, up to about 2^11 in absolute value.
    let params = ParamsSpec::new(RingKind::ConjugateInvariant, 13, &[50, 38, 38, 38], &[50]).build()?;
    let mut entropy = Entropy::from_os()?;
    let mut generator = KeyGenerator::new(&params, &mut entropy);
    let secret = generator.secret_key();

    // Products of ciphertexts need a key that helps to bring them back to two polynomials: the *relinearisation key*. It is
    // public, like all evaluation keys, and made for the highest level at which it will be used.
    let request = KeyRequest::default().relinearization(params.max_level());
    let server = Server { evaluator: Evaluator::new(&params), keys: generator.evaluation_keys(&secret, &request)? };

    let scale = Scale::power_of_two(38);
    let x: Vec<f64> = (0..params.slots()).map(|i| 2.0 * i as f64 / params.slots() as f64 - 1.0).collect();
    let plaintext = Encoder::new(&params).encode(&x, scale, params.max_level())?;
    let encrypted = Encryptor::new(&secret, entropy.fork()).encrypt(&plaintext)?;

    products(&params, &server, &secret, &encrypted, &x)?;
    polynomial(&params, &server, &secret, &encrypted, &x)?;
    late_relinearization(&params, &server, &secret, &encrypted, &x)
}

/// What a product does to scale, degree and level.
fn products(params: &Params, server: &Server, secret: &SecretKey, x: &Ciphertext, clear: &[f64]) -> ckks::Result<()> {
    println!("1. A product, step by step");
    print("x", x);

    // (c0 + c1 s)^2 has a term in s^2: the square consists of three polynomials; its *degree* is 2. Messages multiply, and
    // with them the scales.
    let square = server.evaluator.square(x)?;
    print("x^2", &square);
    assert_eq!((square.degree(), square.level()), (2, 3));
    assert_eq!(square.scale(), Scale::power_of_two(76));

    // Relinearisation brings the degree back to 1. It changes neither the level nor the scale, and is the expensive part.
    let linear = server.evaluator.relinearize(&square, &server.keys)?;
    print("relinearised", &linear);
    assert_eq!((linear.degree(), linear.level(), linear.scale()), (1, 3, square.scale()));

    // A rescale divides the ciphertext, error and all, by the last prime of the chain. The prime is only *about* 2^38, so
    // the scale is only about 2^38 from here on. The library keeps it exactly, as a pair of doubles, and so do plans.
    let rescaled = server.evaluator.rescale(linear)?;
    print("rescaled", &rescaled);
    let prime: Vec<u64> = params.step(3).collect();
    println!("   the scale is 2^76 / {}, the same as params.rescaled() predicts", prime[0]);
    assert_eq!((rescaled.level(), rescaled.scale()), (2, params.rescaled(Scale::power_of_two(76), 3)));
    assert_ne!(rescaled.scale(), Scale::power_of_two(38));

    let error = check(params, secret, &rescaled, clear, |x| x * x)?;
    println!("   largest error 2^{:.1}", error.log2());

    // Both in one call cost one division instead of two; that is what programs use.
    let merged = server.evaluator.relinearize_rescale(&square, &server.keys)?;
    assert_eq!((merged.degree(), merged.level(), merged.scale()), (1, 2, rescaled.scale()));
    check(params, secret, &merged, clear, |x| x * x)?;
    Ok(())
}

/// pi x^3 + 0.4 x + 1, with every scale planned.
fn polynomial(params: &Params, server: &Server, secret: &SecretKey, x: &Ciphertext, clear: &[f64]) -> ckks::Result<()> {
    println!("\n2. pi x^3 + 0.4 x + 1");
    let Server { evaluator, keys } = server;

    // x^2 takes one level. We could multiply x^3 by pi afterwards and pay a third level; (pi x) x^2 takes two.
    let x2 = evaluator.relinearize_rescale(&evaluator.square(x)?, keys)?;
    print("x^2", &x2);

    // pi is encoded as an integer at a scale of our choice. The choice that makes pi x end at the scale 2^38 exactly, after
    // the rescale: the prime that the rescale will divide by.
    let prime = Scale::power_of_two(0).mul_prime(params.step(3).product());
    let mut pi_x = x.clone();
    evaluator.mul_constant_assign(&mut pi_x, PI, prime)?;
    let pi_x = evaluator.rescale(pi_x)?;
    print("pi x", &pi_x);
    assert_eq!(pi_x.scale(), x.scale());

    let cubic = evaluator.relinearize_rescale(&evaluator.mul(&pi_x, &x2)?, keys)?;
    print("pi x^3", &cubic);

    // Now to add 0.4 x. It is at level 3, pi x^3 is at level 1: that is refused rather than repaired.
    let mut sum = cubic.clone();
    let refused = evaluator.add_assign(&mut sum, x).err();
    println!("   as it is:      {}", refused.as_ref().map(Error::to_string).unwrap_or_default());
    assert!(matches!(refused, Some(Error::LevelMismatch { left: 1, right: 3, .. })));

    // Dropping to a level is exact and free. The scales still differ: 2^38 and 2^38 times two primes' worth of drift. If
    // they were taken for equal, the result would be wrong by that factor, about one part in a hundred thousand here, and
    // nobody would notice.
    let mut low = x.clone();
    evaluator.drop_level_assign(&mut low, 1)?;
    let refused = evaluator.add_assign(&mut sum, &low).err();
    println!("   at its level:  {}", refused.as_ref().map(Error::to_string).unwrap_or_default());
    assert!(matches!(refused, Some(Error::ScaleMismatch { .. })));

    // The remedy is the same as above: choose the scale of the constant 0.4 so that the product ends where the sum needs it.
    // At level 2, with the rescale to come: (wanted scale) * (prime of step 2) / (scale of x).
    let mut linear = x.clone();
    evaluator.drop_level_assign(&mut linear, 2)?;
    let wanted = params.step(2).fold(cubic.scale(), Scale::mul_prime).div(x.scale());
    evaluator.mul_constant_assign(&mut linear, 0.4, wanted)?;
    let linear = evaluator.rescale(linear)?;
    print("0.4 x", &linear);
    evaluator.add_assign(&mut sum, &linear)?;

    // A constant is added at whatever scale the ciphertext has.
    evaluator.add_constant_assign(&mut sum, 1.0)?;
    print("the sum", &sum);
    assert_eq!((sum.level(), sum.degree()), (1, 1));
    let error = check(params, secret, &sum, clear, |x| PI * x * x * x + 0.4 * x + 1.0)?;
    println!("   largest error 2^{:.1}", error.log2());

    // One level is left, hence one more product. Then the chain has ended: a longer computation needs a longer chain from
    // the start, and with it a larger N.
    let last = evaluator.relinearize_rescale(&evaluator.square(&sum)?, keys)?;
    print("its square", &last);
    check(params, secret, &last, clear, |x| (PI * x * x * x + 0.4 * x + 1.0).powi(2))?;
    let refused = evaluator.relinearize_rescale(&evaluator.square(&last)?, keys).err();
    println!("   the level after 0: {}", refused.as_ref().map(Error::to_string).unwrap_or_default());
    assert!(matches!(refused, Some(Error::LevelExhausted { .. })));
    Ok(())
}

/// Sums of products need only one relinearisation.
fn late_relinearization(
    params: &Params,
    server: &Server,
    secret: &SecretKey,
    x: &Ciphertext,
    clear: &[f64],
) -> ckks::Result<()> {
    // Ciphertexts of degree 2 can be added, multiplied by constants and decrypted like all others. So a sum of products is
    // relinearised once, at its end. A network that squares 845 values and combines them into 100 outputs relinearises 100
    // times instead of 845.
    println!("\n3. x^2 - x (x + 1) / 2, relinearised once");
    let Server { evaluator, keys } = server;
    let mut shifted = x.clone();
    evaluator.add_constant_assign(&mut shifted, 1.0)?;
    let mut sum = evaluator.square(x)?;
    evaluator.mul_constant_assign(&mut sum, 1.0, Scale::power_of_two(10))?;
    let mut product = evaluator.mul(x, &shifted)?;
    evaluator.mul_constant_assign(&mut product, 0.5, Scale::power_of_two(10))?;
    evaluator.sub_assign(&mut sum, &product)?;
    print("the sum", &sum);
    assert_eq!(sum.degree(), 2);
    check(params, secret, &sum, clear, |x| x * x - x * (x + 1.0) / 2.0)?;
    let sum = evaluator.relinearize_rescale(&sum, keys)?;
    print("in the end", &sum);
    assert_eq!((sum.degree(), sum.level()), (1, 2));
    let error = check(params, secret, &sum, clear, |x| x * x - x * (x + 1.0) / 2.0)?;
    println!("   largest error 2^{:.1}", error.log2());

    // Everything but a rotation or a further product takes degree 2; those say what to do.
    let square = evaluator.square(x)?;
    let refused = evaluator.mul(&square, x).err();
    println!("   a product too many: {}", refused.as_ref().map(Error::to_string).unwrap_or_default());
    assert!(matches!(refused, Some(Error::WrongDegree { degree: 2, .. })));
    Ok(())
}

fn print(name: &str, ciphertext: &Ciphertext) {
    let (level, degree, scale) = (ciphertext.level(), ciphertext.degree(), ciphertext.scale());
    println!("   {name:<12} level {level}, degree {degree}, scale {scale}");
}

/// Decrypts, asserts that f(x) came out, to 17 bits or better, and returns the largest error.
fn check(
    params: &Params,
    secret: &SecretKey,
    ciphertext: &Ciphertext,
    x: &[f64],
    f: impl Fn(f64) -> f64,
) -> ckks::Result<f64> {
    let values = Encoder::new(params).decode(&Decryptor::new(secret).decrypt(ciphertext)?)?;
    let error = values.iter().zip(x).fold(0.0f64, |max, (value, &x)| max.max((value - f(x)).abs()));
    assert!(error < 1.0 / f64::from(1 << 17), "{ciphertext:?} is off by {error:e}");
    assert!(error > f64::from(-40).exp2(), "too precise to have been encrypted");
    Ok(error)
}
