//! Example 1: from numbers to ciphertexts and back.
//!
//! CKKS (Cheon, Kim, Kim, Song 2016/421) computes with approximate numbers under encryption. A message is a vector; it is
//! *encoded* as a polynomial with integer coefficients, the plaintext, and the plaintext is *encrypted*. Both steps add a
//! small error, and neither hides that it does: an error in CKKS is what rounding is in floating point. This example takes
//! both steps, there and back, and looks at the errors.
//!
//! Run it with `cargo run --release --example 1_encode_and_encrypt`. Everything that it says, it also asserts.

use ckks::{
    Ciphertext, Complex64, Decryptor, Encoder, Encryptor, Entropy, Error, KeyGenerator, PRESETS, Params, ParamsSpec,
    RingKind, Scale,
};

fn main() -> ckks::Result<()> {
    // Parameters come first. A preset is a named set that is secure; example 4 shows how to write down your own. `p13` has
    // degree N = 2^13. Its *modulus chain* has three primes, of 50, 40 and 40 bits: a fresh ciphertext is a pair of
    // polynomials of degree below N whose coefficients are numbers modulo Q, the product of the three. In memory, each
    // coefficient is its three remainders ("limbs"), so that no number is ever longer than a machine word.
    let preset = PRESETS[1];
    assert_eq!(preset.name, "p13");
    let params = preset.spec(RingKind::Standard).build()?;
    println!("1. Parameters: {} has N = 2^{}, log2(Q) = {:.1}", preset.name, params.log_n(), params.log_q(2));
    println!("   {} complex slots, {} limbs, highest level {}", params.slots(), params.limbs(2)?, params.max_level());
    assert_eq!((params.slots(), params.max_level()), (4096, 2));

    encode(&params)?;
    encrypt(&params)?;
    real_slots(&params)
}

/// The encoder, without any cryptography.
fn encode(params: &Params) -> ckks::Result<()> {
    // A plaintext has N/2 *slots*, and operations will act on all slots at once, as a SIMD instruction does on its lanes.
    // Encoding finds the real polynomial whose values at certain complex roots of unity are the slots, multiplies it by a
    // large number, the *scale*, and rounds the coefficients to integers. The scale decides how much the rounding loses.
    println!("\n2. Encoding: rounding at a larger scale loses less");
    let encoder = Encoder::new(params);
    let values: Vec<f64> = (0..params.slots()).map(|i| (i as f64 / 500.0).sin()).collect();
    let mut previous = f64::INFINITY;
    for bits in [20, 30, 40] {
        let plaintext = encoder.encode(&values, Scale::power_of_two(bits), params.max_level())?;
        let error = largest_error(&encoder.decode(&plaintext)?, &values);
        println!("   scale 2^{bits}: largest error 2^{:.1}", error.log2());
        // Each coefficient is off by at most 1/2, so a slot by about sqrt(N)/2 over the scale: a few bits less than `bits`.
        assert!(error < f64::from(7 - bits).exp2() && error < previous / 500.0);
        previous = error;
    }

    // Slots are complex numbers; `encode` puts reals into them, and slots beyond those given are zero.
    let z = [Complex64::new(0.6, -0.8), Complex64::new(-2.0, 0.25)];
    let decoded = encoder.decode_complex(&encoder.encode_complex(&z, Scale::power_of_two(40), 2)?)?;
    println!(
        "   complex: {:.6} -> {:.6}, and the slot beyond those given is {:.1e}",
        z[0],
        decoded[0],
        decoded[2].norm()
    );
    assert!(decoded[..2].iter().zip(z).all(|(a, b)| (a - b).norm() < 1e-9) && decoded[2].norm() < 1e-9);

    // There is no infinity: what does not fit the modulus is refused here, while it is still known what was meant.
    let refused = encoder.encode(&[1e30], Scale::power_of_two(40), 0).err();
    println!("   too large a number is refused: {}", refused.as_ref().map(Error::to_string).unwrap_or_default());
    assert!(matches!(refused, Some(Error::EncodeOverflow { .. })));
    Ok(())
}

/// Encryption under either key, and decryption.
fn encrypt(params: &Params) -> ckks::Result<()> {
    // The *secret key* is a polynomial s with random coefficients in {-1, 0, 1}. The *public key* is an encryption of zero
    // under it. All randomness comes from the operating system.
    let mut entropy = Entropy::from_os()?;
    let mut generator = KeyGenerator::new(params, &mut entropy);
    let secret = generator.secret_key();
    let public = generator.public_key(&secret)?;

    let encoder = Encoder::new(params);
    let values: Vec<f64> = (0..params.slots()).map(|i| (i as f64 / 500.0).cos()).collect();
    let plaintext = encoder.encode(&values, Scale::power_of_two(40), params.max_level())?;

    // A ciphertext is a pair (c0, c1) such that c0 + c1 s = m + e modulo Q, with a small error e. With the public key alone
    // it costs a larger error, since the randomness that hides the message has to be hidden in turn.
    println!("\n3. Encryption adds an error, under the public key a larger one");
    let decrypt = |ciphertext: &Ciphertext| encoder.decode(&Decryptor::new(&secret).decrypt(ciphertext)?);
    let mut by_public = Encryptor::new(&public, entropy.fork());
    let mut by_secret = Encryptor::new(&secret, entropy.fork());
    let first = by_public.encrypt(&plaintext)?;
    let seeded = by_secret.encrypt_seeded(&plaintext)?;
    for (name, ciphertext) in [("public", &first), ("secret", &seeded.expand())] {
        assert_eq!((ciphertext.level(), ciphertext.degree(), ciphertext.scale()), (2, 1, Scale::power_of_two(40)));
        let error = largest_error(&decrypt(ciphertext)?, &values);
        println!("   {name} key: {ciphertext:?}, largest error 2^{:.1}", error.log2());
        // The upper limit is the promise. The lower one is as telling: without an error there would be no security.
        let (low, high) = if name == "public" { (-26, -19) } else { (-33, -26) };
        assert!(error < f64::from(high).exp2() && error > f64::from(low).exp2());
    }

    // Encryption under the secret key has its use, too: then c1 is plain randomness, which a 32-byte *seed* can stand for.
    println!("   on the wire: {} bytes whole, {} bytes seeded", first.packed_bytes(), seeded.packed_bytes());
    assert!(seeded.packed_bytes() < first.packed_bytes() / 2 + 100);

    // Each encryption draws afresh. Otherwise equal messages would show, and differences of messages would leak.
    println!("\n4. What somebody without the key sees");
    let second = by_public.encrypt(&plaintext)?;
    let same = first.parts()[0].limb(0).iter().zip(second.parts()[0].limb(0)).filter(|(a, b)| a == b).count();
    println!("   the same message twice: {same} of {} numbers agree", params.ring().n());
    assert!(same < 3);

    // Decryption with a wrong key is no error. There is nothing in a ciphertext that says which key is right; what comes out
    // is noise as large as the modulus.
    let other = KeyGenerator::new(params, &mut entropy).secret_key();
    let noise = encoder.decode(&Decryptor::new(&other).decrypt(&first)?)?;
    println!("   with another secret key, slot 0 is {:.3e} instead of {:.3}", noise[0], values[0]);
    assert!(largest_error(&noise, &values) > 1e20);
    Ok(())
}

/// The ring with real slots.
fn real_slots(standard: &Params) -> ckks::Result<()> {
    // Real data wastes half of every complex slot. The *conjugate-invariant* ring (Kim, Song 2018/952) has N real slots
    // where the standard one has N/2 complex ones, at the same cost per operation. It is the same code: one word in the
    // parameters. What it lacks is complex numbers.
    println!("\n5. The conjugate-invariant ring has twice the slots, all real");
    let params = ParamsSpec { ring: RingKind::ConjugateInvariant, ..standard.spec().clone() }.build()?;
    assert_eq!(params.slots(), 2 * standard.slots());
    let mut entropy = Entropy::from_os()?;
    let secret = KeyGenerator::new(&params, &mut entropy).secret_key();
    let encoder = Encoder::new(&params);
    let values: Vec<f64> = (0..params.slots()).map(|i| (i as f64 / 500.0).sin()).collect();
    let plaintext = encoder.encode(&values, Scale::power_of_two(40), 2)?;
    let ciphertext = Encryptor::new(&secret, entropy).encrypt(&plaintext)?;
    let error = largest_error(&encoder.decode(&Decryptor::new(&secret).decrypt(&ciphertext)?)?, &values);
    println!("   {} slots in {} bytes, largest error 2^{:.1}", params.slots(), ciphertext.packed_bytes(), error.log2());
    assert!(error < f64::from(-25).exp2());
    assert!(matches!(encoder.encode_complex(&[], Scale::power_of_two(40), 2), Err(Error::NoComplexSlots { .. })));

    // Encryptors, keys and ciphertexts know their parameters, so that the two rings cannot be mixed up.
    let mixed = Encoder::new(standard).decode(&plaintext).err();
    println!("   decoding it in the other ring: {}", mixed.as_ref().map(Error::to_string).unwrap_or_default());
    assert_eq!(mixed, Some(Error::ParamsMismatch { operation: "decode" }));
    Ok(())
}

fn largest_error(values: &[f64], expected: &[f64]) -> f64 {
    values.iter().zip(expected).fold(0.0, |max, (a, b)| max.max((a - b).abs()))
}
