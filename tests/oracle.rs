//! Known answers: what `tests/oracle/oracle.py` finds with big integers and long decimals, the library finds too, in both rings and
//! with every backend.
//!
//! Transforms are reached as [`NttTable`]. Rescales, ModDown, automorphisms and the encoder are reached through *trivial*
//! ciphertexts (m, 0), on which every operation is exact: no key and no error has a part in c_0, which can be read.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::str::FromStr;

use ckks::{
    Backend, Ciphertext, Complex64, Decryptor, Encoder, Encryptor, Entropy, EvaluationKeys, Evaluator, KeyGenerator,
    KeyRequest, Modulus, NttTable, Params, ParamsSpec, RingKind, Scale, SecretKey, ntt_primes,
};

/// One `[kind]` of the answers, with its lists by name.
struct Answer {
    kind: &'static str,
    fields: BTreeMap<&'static str, &'static str>,
}

impl Answer {
    fn list<T: FromStr<Err: Debug>>(&self, name: &str) -> Vec<T> {
        self.fields[name].split(' ').map(|word| word.parse().unwrap()).collect()
    }

    fn number<T: FromStr<Err: Debug>>(&self, name: &str) -> T {
        self.fields[name].parse().unwrap()
    }

    fn ring(&self) -> RingKind {
        match self.fields["ring"] {
            "standard" => RingKind::Standard,
            "conjugate-invariant" => RingKind::ConjugateInvariant,
            other => panic!("no ring {other}"),
        }
    }

    /// Pairs of numbers as complex ones.
    fn complex(&self, name: &str) -> Vec<Complex64> {
        self.list(name).chunks_exact(2).map(|pair| Complex64::new(pair[0], pair[1])).collect()
    }
}

fn answers(kind: &str) -> Vec<Answer> {
    let blocks = include_str!("oracle/answers.txt").split("\n\n");
    let answers = blocks.filter_map(|block| {
        let (head, lines) = block.trim().split_once('\n')?;
        let kind = head.strip_prefix('[')?.strip_suffix(']')?;
        Some(Answer { kind, fields: lines.lines().filter_map(|line| line.split_once(" = ")).collect() })
    });
    let answers: Vec<Answer> = answers.filter(|answer| answer.kind == kind).collect();
    assert!(!answers.is_empty(), "no answers of kind {kind}");
    answers
}

#[test]
fn primes_are_the_largest_of_their_size_and_class() {
    for answer in answers("primes") {
        let wanted: Vec<u64> = answer.list("primes");
        let found = ntt_primes(answer.number("bits"), wanted.len(), answer.number("order"), &[]).unwrap();
        assert_eq!(found.iter().map(Modulus::value).collect::<Vec<_>>(), wanted);
    }
}

fn tables(answer: &Answer, n: usize) -> impl Iterator<Item = NttTable> {
    let (modulus, ring) = (Modulus::new(answer.number("q")).unwrap(), answer.ring());
    Backend::available().into_iter().map(move |backend| NttTable::new(modulus, n.ilog2(), ring, backend))
}

#[test]
fn transforms_evaluate_at_the_documented_roots() {
    for answer in answers("transform") {
        let (coefficients, values): (Vec<u64>, Vec<u64>) = (answer.list("coefficients"), answer.list("values"));
        for table in tables(&answer, values.len()) {
            let mut words = coefficients.clone();
            table.forward(&mut words);
            assert_eq!(words, values, "{:?}", table.backend());
            table.inverse(&mut words);
            assert_eq!(words, coefficients, "{:?}", table.backend());
        }
    }
}

#[test]
fn products_of_transforms_are_products_in_the_ring() {
    for answer in answers("product") {
        let (n, q): (u64, u64) = (answer.number("n"), answer.number("q"));
        let formula = |a: u64, b: u64| (0..n).map(|j| (j + a).wrapping_mul(b) % q).collect::<Vec<u64>>();
        for table in tables(&answer, n as usize) {
            let (mut a, mut b) = (formula(1, 0x9e37_79b9_7f4a_7c15), formula(77, 0xc2b2_ae3d_27d4_eb4f));
            table.forward(&mut a);
            table.forward(&mut b);
            a.iter_mut().zip(&b).for_each(|(a, &b)| *a = table.modulus().mul(*a, b));
            table.inverse(&mut a);
            assert_eq!(a[..4], answer.list::<u64>("first"), "N = {n}, {:?}", table.backend());
            let checksum = a.iter().fold(0, |sum: u128, &word| (sum * 1_000_003 + u128::from(word)) % ((1 << 61) - 1));
            assert_eq!(checksum, answer.number("checksum"), "N = {n}, {:?}", table.backend());
        }
    }
}

/// Parameters of the answers about chains and encodings, with keys, which will have no part in anything.
struct Setting {
    params: Params,
    secret: SecretKey,
    keys: EvaluationKeys,
    evaluator: Evaluator,
    encoder: Encoder,
    zero: Ciphertext,
}

const TOP: usize = 2;

impl Setting {
    fn new(ring: RingKind) -> Self {
        let chain = vec![vec![50], vec![40], vec![30, 29]];
        let params = ParamsSpec { ring, log_n: 4, chain, special: vec![50, 50], dnum: 2 }.build_insecure().unwrap();
        let mut entropy = Entropy::insecure_from_seed(1);
        let mut generator = KeyGenerator::new(&params, &mut entropy);
        let secret = generator.secret_key();
        let rotations = [1, 3, -1].iter().fold(KeyRequest::default(), |keys, &k| keys.rotation(&params, k, TOP));
        let mut request = rotations.relinearization(TOP);
        if ring == RingKind::Standard {
            request = request.conjugation(&params, TOP).unwrap();
        }
        let keys = generator.evaluation_keys(&secret, &request).unwrap();
        let (evaluator, encoder) = (Evaluator::new(&params), Encoder::new(&params));
        let nothing = encoder.encode(&[], Scale::power_of_two(0), TOP).unwrap();
        let mut zero = Encryptor::new(&secret, entropy).encrypt(&nothing).unwrap();
        let copy = zero.clone();
        evaluator.sub_assign(&mut zero, &copy).unwrap();
        Self { params, secret, keys, evaluator, encoder, zero }
    }

    /// (m, 0) for the slots m at `scale`.
    fn trivial(&self, slots: &[Complex64], scale: i32) -> Ciphertext {
        let scale = Scale::power_of_two(scale);
        let plaintext = match self.params.ring().kind() {
            RingKind::Standard => self.encoder.encode_complex(slots, scale, TOP),
            RingKind::ConjugateInvariant => {
                self.encoder.encode(&slots.iter().map(|z| z.re).collect::<Vec<_>>(), scale, TOP)
            }
        };
        let mut ciphertext = self.zero.clone();
        self.evaluator.mul_constant_assign(&mut ciphertext, 1.0, scale).unwrap();
        self.evaluator.add_plain_assign(&mut ciphertext, &plaintext.unwrap()).unwrap();
        ciphertext
    }

    /// (m, 0) for the polynomial m with these coefficients below 2^40, by way of its slots.
    fn trivial_polynomial(&self, coefficients: &[i64]) -> Ciphertext {
        let ring = self.params.ring();
        let order = ring.kind().root_factor() * ring.n();
        let slot = |e: usize| -> Complex64 {
            let power = |j: usize| Complex64::cis(std::f64::consts::TAU * (e * j % order) as f64 / order as f64);
            let element = |j: usize| match ring.kind() {
                RingKind::ConjugateInvariant if j > 0 => Complex64::new(2.0 * power(j).re, 0.0),
                _ => power(j),
            };
            coefficients.iter().enumerate().map(|(j, &a)| element(j) * a as f64).sum()
        };
        let exponents = std::iter::successors(Some(1), |e| Some(e * 5 % order));
        self.trivial(&exponents.take(ring.slots()).map(slot).collect::<Vec<_>>(), 0)
    }

    /// The coefficients of c_0 modulo its primes, one limb after the other; all other parts must be zero.
    fn residues(&self, ciphertext: &Ciphertext) -> Vec<u64> {
        let ring = self.params.ring();
        for part in &ciphertext.parts()[1..] {
            assert!((0..ciphertext.limbs()).all(|i| part.limb(i).iter().all(|&word| word == 0)));
        }
        let coefficients = |(i, q): (usize, &Modulus)| {
            let mut limb = ciphertext.parts()[0].limb(i).to_vec();
            NttTable::new(*q, ring.log_n(), ring.kind(), Backend::Scalar).inverse(&mut limb);
            limb
        };
        ring.q().take(ciphertext.limbs()).enumerate().flat_map(coefficients).collect()
    }
}

#[test]
fn products_rescales_and_automorphisms_of_integers_are_exact() {
    for answer in answers("chain") {
        let setting = Setting::new(answer.ring());
        let Setting { params, keys, evaluator, .. } = &setting;
        assert_eq!(params.ring().q().map(Modulus::value).collect::<Vec<_>>(), answer.list("q"));
        assert_eq!(params.ring().p().map(Modulus::value).collect::<Vec<_>>(), answer.list("p"));

        let factors = [0, 1, 2].map(|i| setting.trivial_polynomial(&answer.list(&format!("factor_{i}"))));
        let first = evaluator.mul(&factors[0], &factors[1]).unwrap();
        let first = evaluator.relinearize(&first, keys).unwrap();
        // A product of degree 2, though c_1 and c_2 are zero: as relinearisation wants it.
        let mut product = evaluator.mul(&first, &factors[2]).unwrap();
        evaluator.mul_constant_assign(&mut product, answer.number("constant"), Scale::power_of_two(0)).unwrap();
        assert_eq!(setting.residues(&product), answer.list("product"));
        let linear = evaluator.relinearize(&product, keys).unwrap();
        assert_eq!(setting.residues(&linear), answer.list("product"));

        let once = evaluator.rescale(linear.clone()).unwrap();
        assert_eq!(setting.residues(&once), answer.list("once"));
        let merged = evaluator.relinearize_rescale(&product, keys).unwrap();
        assert_eq!(setting.residues(&merged), answer.list("once"));
        assert_eq!(setting.residues(&evaluator.rescale(once).unwrap()), answer.list("twice"));

        for k in [1, 3, -1] {
            let rotated = evaluator.rotate(&linear, k, keys).unwrap();
            assert_eq!(setting.residues(&rotated), answer.list(&format!("rotated_{k}")));
        }
        if answer.ring() == RingKind::Standard {
            let conjugated = evaluator.conjugate(&linear, keys).unwrap();
            assert_eq!(setting.residues(&conjugated), answer.list("conjugated"));
        }
    }
}

#[test]
fn encoding_rounds_the_inverse_embedding() {
    for answer in answers("encoding") {
        let setting = Setting::new(answer.ring());
        let slots = answer.complex("slots");
        let q: Vec<Modulus> = setting.params.ring().q().copied().collect();

        let narrow: Vec<i64> = answer.list("narrow");
        let encoded = setting.residues(&setting.trivial(&slots, 35));
        let expected: Vec<u64> = q.iter().flat_map(|q| narrow.iter().map(|&c| q.from_i64(c))).collect();
        assert_eq!(encoded, expected);

        // Beyond the mantissa of a double: to 2^-48 of the largest coefficient, and the same number modulo every prime.
        let wide: Vec<i128> = answer.list("wide");
        let encoded = setting.residues(&setting.trivial(&slots, 90));
        let largest = wide.iter().fold(0.0f64, |max, &c| max.max((c as f64).abs()));
        for (j, &exact) in wide.iter().enumerate() {
            let modulus = i128::from(q[0].value()) * i128::from(q[1].value());
            // CRT of the first two limbs, of 90 bits, applied to the difference.
            let difference: Vec<u64> =
                q.iter().enumerate().map(|(i, q)| q.sub(encoded[i * wide.len() + j], q.from_i128(exact))).collect();
            let lift =
                q[1].mul(q[1].sub(difference[1], q[1].reduce(difference[0])), q[1].inv(q[1].reduce(q[0].value())));
            let value = i128::from(difference[0]) + i128::from(q[0].value()) * i128::from(lift);
            let error = if value > modulus / 2 { value - modulus } else { value };
            assert!((error.abs() as f64) < largest / f64::from(1 << 24) / f64::from(1 << 24), "{j}: {error}");
            assert!(q.iter().zip(&difference).all(|(q, &residue)| q.from_i128(error) == residue));
        }
    }
}

#[test]
fn decoding_is_the_embedding() {
    for answer in answers("decoding") {
        let setting = Setting::new(answer.ring());
        let ciphertext = setting.trivial_polynomial(&answer.list("coefficients"));
        let plaintext = Decryptor::new(&setting.secret).decrypt(&ciphertext).unwrap();
        let slots = answer.complex("slots");
        let largest = slots.iter().fold(0.0f64, |max, z| max.max(z.norm()));
        for (decoded, exact) in setting.encoder.decode_complex(&plaintext).unwrap().iter().zip(&slots) {
            assert!((decoded - exact).norm() < 1e-14 * largest, "{decoded} {exact}");
        }
    }
}
