"""Known answers for tests/oracle.rs, from the definitions, with Python's integers and decimals and nothing else.

    python3 tests/oracle/oracle.py > tests/oracle/answers.txt

Nothing here follows the library's algorithms: no NTT, no RNS, no FFT. Polynomials are lists of integers. Products are products of one
huge integer (Kronecker substitution), divisions are divisions of integers, cosines are series in 60 digits. Primes are proved.
The output is the same on every run.
"""

import random
from decimal import Decimal, getcontext

getcontext().prec = 60
CHECKSUM_PRIME = 2**61 - 1


# ---- primes ----

def factors(m):
    """The prime factors of m, by trial division."""
    found, d = set(), 2
    while d * d <= m:
        while m % d == 0:
            found.add(d)
            m //= d
        d += 1
    return found | ({m} if m > 1 else set())


def is_prime(c):
    """Fermat's test to base 2 refutes; an element of order c - 1 proves (Lucas)."""
    if pow(2, c - 1, c) != 1:
        return False
    primes = factors(c - 1)
    return any(
        pow(g, c - 1, c) == 1 and all(pow(g, (c - 1) // p, c) != 1 for p in primes) for g in range(2, 1000)
    )


def largest_primes(bits, count, order, taken=()):
    """The largest primes of exactly `bits` bits that are 1 modulo `order`, without those in `taken`."""
    found, c = [], (2**bits - 2) // order * order + 1
    while len(found) < count:
        if c not in taken and is_prime(c):
            found.append(c)
        c -= order
        assert c > 2 ** (bits - 1)
    return found


# ---- rings ----

ROOT_FACTOR = {"standard": 2, "conjugate-invariant": 4}


def multiply_integers(a, b):
    """The product of two polynomials with non-negative coefficients."""
    width = (max(max(a), 1).bit_length() + max(max(b), 1).bit_length() + len(a).bit_length() + 8) // 8 + 1
    pack = lambda x: int.from_bytes(b"".join(v.to_bytes(width, "little") for v in x), "little")
    length = len(a) + len(b) - 1
    words = (pack(a) * pack(b)).to_bytes(width * (length + 1), "little")
    return [int.from_bytes(words[i * width : (i + 1) * width], "little") for i in range(length)]


def negacyclic(a, b):
    """a b modulo X^n + 1."""
    n, low_a, low_b = len(a), min(0, *a), min(0, *b)
    # (a' + l)(b' + m), with all coefficients of a' = a - l and b' = b - m non-negative: shifts are products with 1 + X + ...
    ones = [1] * n
    up_a, up_b = [x - low_a for x in a], [x - low_b for x in b]
    total = [0] * n
    for factor, x, y in [(1, up_a, up_b), (low_b, up_a, ones), (low_a, ones, up_b), (low_a * low_b, ones, ones)]:
        if factor:
            for i, value in enumerate(multiply_integers(x, y)):
                total[i % n] += factor * value if i < n else -factor * value
    return total


def unfold(a):
    """a_0 + sum of a_j (X^j + X^-j), as a polynomial modulo X^2N + 1, where X^-j = -X^(2N - j)."""
    n = len(a)
    return a + [0] + [-x for x in a[:0:-1]]


def multiply(ring, a, b):
    if ring == "standard":
        return negacyclic(a, b)
    product = negacyclic(unfold(a), unfold(b))
    assert product == unfold(product[: len(a)])
    return product[: len(a)]


def automorphism(ring, a, g):
    """a(X^g)."""
    wide = a if ring == "standard" else unfold(a)
    n, out = len(wide), [0] * len(wide)
    for j, x in enumerate(wide):
        e = j * g % (2 * n)
        out[e % n] += x if e < n else -x
    return out[: len(a)]


def evaluate(ring, a, root, q):
    """a(root) modulo q."""
    total = sum(x * pow(root, j, q) for j, x in enumerate(a))
    if ring == "conjugate-invariant":
        total += sum(x * pow(root, -j, q) for j, x in enumerate(a) if j > 0)
    return total % q


def transform(ring, a, q):
    """a at psi^(1 + c bitrev(i)), with psi the first g^((q - 1) / cN), g = 2, 3, ..., that is primitive."""
    n, c = len(a), ROOT_FACTOR[ring]
    roots = (pow(g, (q - 1) // (c * n), q) for g in range(2, q))
    psi = next(root for root in roots if pow(root, c * n // 2, q) == q - 1)
    bits = n.bit_length() - 1
    reverse = lambda i: int(format(i, f"0{bits}b")[::-1], 2)
    return [evaluate(ring, a, pow(psi, 1 + c * reverse(i), q), q) for i in range(n)]


def round_divide(x, d):
    """The integer nearest to x / d. No tie is near, so that it is the same whatever breaks ties."""
    quotient, rest = divmod(2 * x + d, 2 * d)
    assert d // 1000 < rest < 2 * d - d // 1000
    return quotient


def centered(x, q):
    x %= q
    return x - q if x > q // 2 else x


# ---- embeddings ----

def arctan_inverse(k):
    """arctan(1/k)."""
    total, power, j = Decimal(0), Decimal(1) / k, 1
    while abs(power) > Decimal(10) ** -58:
        total += power / j
        power, j = -power / (k * k), j + 2
    return total


PI = 4 * (4 * arctan_inverse(5) - arctan_inverse(239))


def cosine(x):
    total, term, j = Decimal(0), Decimal(1), 0
    while abs(term) > Decimal(10) ** -58:
        total += term
        j += 2
        term = -term * x * x / (j * (j - 1))
    return total


def root_of_unity(e, order):
    """cos and sin of 2 pi e / order."""
    angle = lambda k: 2 * PI * (k % order) / order
    return cosine(angle(e)), cosine(angle(order // 4 - e))


def slot_exponents(ring, n):
    """Slot k is the value at exp(2 pi i 5^k / cN)."""
    order = ROOT_FACTOR[ring] * n
    return [pow(5, k, order) for k in range(n // 2 if ring == "standard" else n)]


def slots_of(ring, a):
    n = len(a)
    order = ROOT_FACTOR[ring] * n
    out = []
    for e in slot_exponents(ring, n):
        powers = [root_of_unity(e * j, order) for j in range(n)]
        if ring == "standard":
            out.append((sum(x * p[0] for x, p in zip(a, powers)), sum(x * p[1] for x, p in zip(a, powers))))
        else:
            out.append((a[0] + sum(2 * x * p[0] for x, p in zip(a[1:], powers[1:])), Decimal(0)))
    return out


def encode(ring, n, slots, scale):
    """The coefficients whose slots are the given ones, times scale, not rounded: the embedding is orthogonal up to a factor."""
    order = ROOT_FACTOR[ring] * n
    exponents = slot_exponents(ring, n)
    out = []
    for j in range(n):
        powers = [root_of_unity(e * j, order) for e in exponents]
        total = sum(re * p[0] + im * p[1] for (re, im), p in zip(slots, powers))
        out.append(scale * total * (2 if ring == "standard" else 1) / n)
    return out


# ---- output ----

def block(kind, **fields):
    print(f"[{kind}]")
    for name, value in fields.items():
        items = value if isinstance(value, (list, tuple)) else [value]
        print(f"{name} = " + " ".join(format(v, ".25g") if isinstance(v, Decimal) else str(v) for v in items))
    print()


def checksum(words):
    total = 0
    for word in words:
        total = (total * 1_000_003 + word) % CHECKSUM_PRIME
    return total


def formula(n, q, a, b):
    """Inputs of long polynomials."""
    return [(j + a) * b % 2**64 % q for j in range(n)]


def main():
    print("# Written by oracle.py; see there.")
    print()
    rng = random.Random(2026)

    for bits, count, order in [(50, 4, 2**18), (49, 2, 2**17), (40, 3, 2**14), (30, 3, 2**13), (20, 2, 2**10)]:
        block("primes", bits=bits, order=order, primes=largest_primes(bits, count, order))

    for ring in ROOT_FACTOR:
        for log_n, bits in [(1, 50), (4, 50), (4, 20), (6, 48), (7, 49), (8, 50)]:
            n = 2**log_n
            q = largest_primes(bits, 1, ROOT_FACTOR[ring] * n)[0]
            a = [rng.randrange(q) for _ in range(n)]
            a[0], a[n // 2] = q - 1, 0
            block("transform", ring=ring, q=q, coefficients=a, values=transform(ring, a, q))

        for log_n, bits in [(3, 50), (6, 50), (9, 49), (10, 48), (11, 50), (12, 45), (13, 50), (14, 30)]:
            n = 2**log_n
            q = largest_primes(bits, 1, ROOT_FACTOR[ring] * n)[0]
            a, b = formula(n, q, 1, 0x9E3779B97F4A7C15), formula(n, q, 77, 0xC2B2AE3D27D4EB4F)
            product = [x % q for x in multiply(ring, a, b)]
            block("product", ring=ring, n=n, q=q, first=product[:4], checksum=checksum(product))

    for ring in ROOT_FACTOR:
        n = 16
        order = ROOT_FACTOR[ring] * n
        taken = []
        for bits in [50, 40, 30, 29, 50, 50]:
            taken += largest_primes(bits, 1, order, taken)
        q, p = taken[:4], taken[4:]
        modulus = q[0] * q[1] * q[2] * q[3]
        small = [[rng.randrange(-(2**40), 2**40) for _ in range(n)] for _ in range(3)]
        x = multiply(ring, multiply(ring, small[0], small[1]), small[2])
        # A constant lifts some coefficients beyond Q/2, so that they wrap.
        x = [centered(c * 3**17, modulus) for c in x]
        once = [round_divide(c, q[2] * q[3]) for c in x]
        twice = [round_divide(c, q[1]) for c in once]
        residues = lambda poly, primes: [c % r for r in primes for c in poly]
        fields = {f"factor_{i}": f for i, f in enumerate(small)}
        fields |= dict(constant=3**17, product=residues(x, q), once=residues(once, q[:2]), twice=residues(twice, q[:1]))
        for k in [1, 3, -1]:
            fields[f"rotated_{k}"] = residues(automorphism(ring, x, pow(5, k, order)), q)
        if ring == "standard":
            fields["conjugated"] = residues(automorphism(ring, x, order - 1), q)
        block("chain", ring=ring, q=q, p=p, **fields)

        slots = len(slot_exponents(ring, n))
        real = lambda: Decimal(rng.randrange(-(2**21), 2**21)) / 2**20
        values = [(real(), real() if ring == "standard" else Decimal(0)) for _ in range(slots)]
        flat = [part for pair in values for part in pair]
        coefficients = encode(ring, n, values, 2**35)
        for c in coefficients:
            assert abs(c - c.to_integral_value()) < Decimal("0.499")
        wide = [int(c.to_integral_value()) for c in encode(ring, n, values, 2**90)]
        narrow = [int(c.to_integral_value()) for c in coefficients]
        block("encoding", ring=ring, slots=flat, narrow=narrow, wide=wide)

        a = [rng.randrange(-(2**40), 2**40) for _ in range(n)]
        block("decoding", ring=ring, coefficients=a, slots=[part for pair in slots_of(ring, a) for part in pair])


main()
