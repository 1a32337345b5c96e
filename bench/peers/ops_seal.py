"""SEAL's operations, through `tenseal.sealapi`, at the parameters on standard input; see sampling.py."""

import tenseal.sealapi as seal

from sampling import expect, main, vectors

HOISTED = range(1, 17)
# Rotation by one slot is this power in SEAL, as here.
GENERATOR = 3


def work(params, sampler):
    n, slots = 1 << params["log_n"], 1 << (params["log_n"] - 1)
    wanted = seal.EncryptionParameters(seal.SCHEME_TYPE.CKKS)
    wanted.set_poly_modulus_degree(n)
    wanted.set_coeff_modulus(seal.CoeffModulus.Create(n, params["scale_bits"] + [50]))
    context = seal.SEALContext(wanted, True, seal.SEC_LEVEL_TYPE.TC128)
    generator = seal.KeyGenerator(context)
    secret, public, relin, galois = generator.secret_key(), seal.PublicKey(), seal.RelinKeys(), seal.GaloisKeys()
    generator.create_public_key(public)
    generator.create_relin_keys(relin)
    # The conjugation, and the rotations.
    generator.create_galois_keys([2 * n - 1] + [pow(GENERATOR, k, 2 * n) for k in HOISTED], galois)
    encoder, evaluator = seal.CKKSEncoder(context), seal.Evaluator(context)
    encryptor, decryptor = seal.Encryptor(context, public, secret), seal.Decryptor(context, secret)
    scale = 2.0 ** params["scale_bits"][-1]
    x, y = vectors(slots)

    def into(make, kind=seal.Ciphertext):
        """SEAL writes results into an object that it is given."""

        def run():
            result = kind()
            make(result)
            return result

        return run

    encode = lambda values: into(lambda p: encoder.encode(values, scale, p), seal.Plaintext)
    x_plain, y_plain = encode(x)(), encode(y)()
    encrypt = lambda plaintext: into(lambda c: encryptor.encrypt(plaintext, c))
    x_encrypted, y_encrypted = encrypt(x_plain)(), encrypt(y_plain)()
    decrypt = lambda ciphertext: into(lambda p: decryptor.decrypt(ciphertext, p), seal.Plaintext)
    decoded = lambda ciphertext: encoder.decode_double(decrypt(ciphertext)())

    def case(op, make, expected, tolerance=2.0**-12):
        run = into(make)
        expect(op, decoded(run()), expected, tolerance)
        sampler.time(op, run)
        return run()

    rotated = lambda k: x[k:] + x[:k]
    expect("encrypt_public", decoded(y_encrypted), y, 2.0**-12)
    sampler.time("encode", encode(y))
    sampler.time("encrypt_public", encrypt(y_plain))
    case("encrypt_secret", lambda c: encryptor.encrypt_symmetric(y_plain, c), y)
    sampler.time("decrypt", decrypt(y_encrypted))
    sampler.time("decode", lambda: encoder.decode_double(y_plain))
    sampler.time("decrypt_decode", lambda: decoded(y_encrypted))
    products = [a * b for a, b in zip(x, y)]
    case("mul_plain", lambda c: evaluator.multiply_plain(x_encrypted, y_plain, c), products)

    def multiply(ciphertext):
        evaluator.multiply(x_encrypted, y_encrypted, ciphertext)
        evaluator.relinearize_inplace(ciphertext, relin)

    product = case("mul_relin", multiply, products)
    case("rescale", lambda c: evaluator.rescale_to_next(product, c), products)
    case("rotate", lambda c: evaluator.rotate_vector(x_encrypted, 1, galois, c), rotated(1))

    def rotations():
        return [into(lambda c: evaluator.rotate_vector(x_encrypted, k, galois, c))() for k in HOISTED]

    for k, ciphertext in zip(HOISTED, rotations()):
        expect("rotate_hoisted_16", decoded(ciphertext), rotated(k), 2.0**-12)
    sampler.time("rotate_hoisted_16", rotations)
    case("conjugate", lambda c: evaluator.complex_conjugate(x_encrypted, galois, c), x)
    sampler.time(
        "keygen_rotation", into(lambda g: generator.create_galois_keys([GENERATOR], g), seal.GaloisKeys)
    )

    total = into(lambda c: evaluator.add(x_encrypted, y_encrypted, c))()
    expect("add", decoded(total), [a + b for a, b in zip(x, y)], 2.0**-12)
    sampler.time("add", lambda: evaluator.add_inplace(total, y_encrypted))
    return "rotations are not hoisted, as SEAL has none that are; values pass through Python lists in encode and decode"


main(work)
