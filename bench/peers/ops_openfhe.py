"""OpenFHE's operations at the parameters on standard input; see sampling.py."""

import math

import numpy
import openfhe

from sampling import expect, main, vectors

HOISTED = range(1, 17)


def context(params):
    base, *steps = params["scale_bits"]
    wanted = openfhe.CCParamsCKKSRNS()
    # The parameters are within the same table already; with a dimension given, it would be held against 60-bit special primes.
    wanted.SetSecurityLevel(openfhe.SecurityLevel.HEStd_NotSet)
    wanted.SetRingDim(1 << params["log_n"])
    wanted.SetMultiplicativeDepth(len(steps))
    wanted.SetFirstModSize(base)
    wanted.SetScalingModSize(steps[0])
    wanted.SetScalingTechnique(openfhe.ScalingTechnique.FIXEDMANUAL)
    wanted.SetKeySwitchTechnique(openfhe.KeySwitchTechnique.HYBRID)
    wanted.SetNumLargeDigits(params["dnum"])
    wanted.SetSecretKeyDist(openfhe.SecretKeyDist.UNIFORM_TERNARY)
    made = openfhe.GenCryptoContext(wanted)
    for feature in ("PKE", "KEYSWITCH", "LEVELEDSHE"):
        made.Enable(getattr(openfhe.PKESchemeFeature, feature))
    return made


def work(params, sampler):
    cc = context(params)
    keys = cc.KeyGen()
    cc.EvalMultKeyGen(keys.secretKey)
    cc.EvalRotateKeyGen(keys.secretKey, list(HOISTED))
    slots = 1 << (params["log_n"] - 1)
    x, y = (numpy.array(v) for v in vectors(slots))
    encode = lambda values: cc.MakeCKKSPackedPlaintext(values)
    y_plain = encode(y)
    x_encrypted, y_encrypted = (cc.Encrypt(keys.publicKey, encode(v)) for v in (x, y))

    def decrypted(ciphertext):
        plaintext = cc.Decrypt(keys.secretKey, ciphertext)
        plaintext.SetLength(slots)
        return plaintext.GetRealPackedValue()

    def check(op, ciphertext, expected):
        expect(op, decrypted(ciphertext), expected, 2.0**-12)

    check("encrypt_public", y_encrypted, y)
    sampler.time("encode", lambda: encode(y))
    sampler.time("encrypt_public", lambda: cc.Encrypt(keys.publicKey, y_plain))
    check("encrypt_secret", cc.Encrypt(keys.secretKey, y_plain), y)
    sampler.time("encrypt_secret", lambda: cc.Encrypt(keys.secretKey, y_plain))
    sampler.time("decrypt_decode", lambda: cc.Decrypt(keys.secretKey, y_encrypted))
    total = cc.EvalAdd(x_encrypted, y_encrypted)
    check("add", total, x + y)
    sampler.time("add", lambda: cc.EvalAddInPlace(total, y_encrypted))
    check("mul_plain", cc.EvalMult(x_encrypted, y_plain), x * y)
    sampler.time("mul_plain", lambda: cc.EvalMult(x_encrypted, y_plain))
    product = cc.EvalMult(x_encrypted, y_encrypted)
    check("mul_relin", product, x * y)
    sampler.time("mul_relin", lambda: cc.EvalMult(x_encrypted, y_encrypted))
    check("rescale", cc.Rescale(product), x * y)
    sampler.time("rescale", lambda: cc.Rescale(product))
    check("rotate", cc.EvalRotate(x_encrypted, 1), numpy.roll(x, -1))
    sampler.time("rotate", lambda: cc.EvalRotate(x_encrypted, 1))

    order = 2 << params["log_n"]

    def hoisted():
        digits = cc.EvalFastRotationPrecompute(x_encrypted)
        return [cc.EvalFastRotation(x_encrypted, k, order, digits) for k in HOISTED]

    def hoisted_lazy():
        digits = cc.EvalFastRotationPrecompute(x_encrypted)
        return [cc.EvalFastRotationExt(x_encrypted, k, digits, True) for k in HOISTED]

    for k, rotated in zip(HOISTED, hoisted()):
        check("rotate_hoisted_16", rotated, numpy.roll(x, -k))
    sampler.time("rotate_hoisted_16", hoisted)
    for k, rotated in zip(HOISTED, hoisted_lazy()):
        check("rotate_hoisted_16_lazy", cc.KeySwitchDown(rotated), numpy.roll(x, -k))
    sampler.time("rotate_hoisted_16_lazy", hoisted_lazy)

    # A key that exists is not made again.
    fresh = iter(range(len(HOISTED) + 1, slots))
    sampler.time("keygen_rotation", lambda: cc.EvalRotateKeyGen(keys.secretKey, [next(fresh)]), most=8)
    digit = math.ceil(params["limbs"] / params["dnum"])
    bits = max(sum(params["scale_bits"][i : i + digit]) for i in range(0, params["limbs"], digit))
    return f"{math.ceil(bits / 60)} special primes of 60 bits for {params['special_limbs']} of 50; decryption decodes, from all limbs"


main(work)
