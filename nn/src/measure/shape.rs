//! Operations on ciphertexts of one shape, on the threads of the current rayon pool: one that all threads share, as when a program has a single
//! sample, and many side by side, as when it has full ciphertexts.

use ckks::{
    Ciphertext, Encoder, Encryptor, Entropy, EvaluationKeys, Evaluator, ExtendedCiphertext, ExtendedPlaintext,
    KeyGenerator, KeyRequest, Params, ParamsSpec, RingKind, Scale, SeededCiphertext,
};

use super::turns::{Operation, in_turns, many, one};
use crate::error::Result;
use crate::exec::trace::{DegreeCost, Rate, Work};

/// Operands of so many bytes are used in turn: they come from memory, as those of a program do.
const COLD_BYTES: usize = 48 << 20;

/// Rotated inputs and sums of the matrix by which products with diagonals are timed.
const BABIES: usize = 8;
const GIANTS: usize = 4;
/// How often some of its diagonals repeat themselves: the least of which one repetition is kept.
const REPETITIONS: usize = 64;

const SCALE_BITS: i32 = 30;

/// A degree and a chain.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    pub log_n: u32,
    pub limbs: usize,
    pub special: usize,
    /// Of each prime.
    pub bits: u32,
}

/// Operands of one shape, as many as come from memory when they are used in turn. Their secret key is gone.
struct Operands {
    params: Params,
    encoder: Encoder,
    evaluator: Evaluator,
    values: Vec<f64>,
    seeded: SeededCiphertext,
    fresh: Vec<Ciphertext>,
    products: Vec<Ciphertext>,
    sums: Vec<ExtendedCiphertext>,
    keys: EvaluationKeys,
    /// The keys are of the rotations by 1 to this.
    rotations: usize,
}

/// The operand of the n-th operation.
fn cycled<T>(operands: &[T], n: usize) -> &T {
    &operands[n % operands.len()]
}

impl Shape {
    pub fn params(&self) -> ckks::Result<Params> {
        let bits = |count: usize| vec![self.bits; count];
        ParamsSpec::new(RingKind::ConjugateInvariant, self.log_n, &bits(self.limbs), &bits(self.special)).build()
    }

    /// What operations of this shape cost.
    pub fn measure(&self) -> Result<DegreeCost> {
        let operands = Operands::new(self.params()?)?;
        let work = Work::at(&operands.params, operands.params.max_level());
        let [hoist, rotate, giant, mod_down] = operands.rotations(&work)?;
        let [relinearize, rescale, mul, add] = operands.arithmetic(&work)?;
        let [product, repeated] = operands.diagonals()?;
        let (encode, encode_limb, expand) = operands.encodings(&work)?;
        let log_n = self.log_n;
        Ok(DegreeCost {
            log_n,
            hoist,
            rotate,
            giant,
            mod_down,
            relinearize,
            rescale,
            mul,
            add,
            product,
            repeated,
            expand,
            encode,
            encode_limb,
        })
    }
}

/// An operation side by side with others, and alone.
fn both<'a, I: Send + 'a, T: Send + 'a>(
    operand: impl Fn(usize) -> I + Send + Copy + 'a,
    run: impl Fn(I) -> ckks::Result<T> + Send + Sync + Copy + 'a,
) -> [Operation<'a>; 2] {
    [many(operand, run), one(operand, run)]
}

/// Rates of four operations, from their times side by side and shared, and their work.
fn rates(work: [f64; 4], operations: [[Operation<'_>; 2]; 4]) -> Result<[Rate; 4]> {
    let [[a, b], [c, d], [e, f], [g, h]] = operations;
    let [a, b, c, d, e, f, g, h] = in_turns([a, b, c, d, e, f, g, h])?;
    let times = [[a, b], [c, d], [e, f], [g, h]];
    Ok(std::array::from_fn(|i| Rate { many: times[i][0] / work[i], one: times[i][1] / work[i] }))
}

impl Operands {
    fn new(params: Params) -> Result<Self> {
        let values: Vec<f64> = (0..params.slots()).map(|i| (i % 97) as f64 / 97.0 - 0.5).collect();
        let (encoder, evaluator) = (Encoder::new(&params), Evaluator::new(&params));
        let (top, basis) = (params.max_level(), params.ring().full_basis());
        let cold = |limbs: usize| COLD_BYTES / (8 * limbs * params.ring().n()) + 1;
        let rotations = cold(2 * params.digits(basis.q) * basis.limbs());
        let request = KeyRequest::default().relinearization(top);
        let request = (1..=rotations as i64).fold(request, |request, k| request.rotation(&params, k, top));
        let mut entropy = Entropy::from_os()?;
        let mut generator = KeyGenerator::new(&params, &mut entropy);
        let secret = generator.secret_key();
        let keys = generator.evaluation_keys(&secret, &request)?;
        let plaintext = encoder.encode(&values, Scale::power_of_two(SCALE_BITS), top)?;
        let seeded = Encryptor::new(&secret, entropy).encrypt_seeded(&plaintext)?;
        let x = seeded.expand();
        Ok(Self {
            products: vec![evaluator.square(&x)?; cold(3 * basis.q)],
            sums: vec![evaluator.extend(&x)?; cold(2 * basis.limbs())],
            fresh: vec![x; cold(2 * basis.q)],
            params,
            encoder,
            evaluator,
            values,
            seeded,
            keys,
            rotations,
        })
    }

    /// The number of the n-th rotation.
    fn rotation(&self, n: usize) -> i64 {
        (n % self.rotations + 1) as i64
    }

    /// Decompositions, rotations out of one, rotations of sums, and ModDowns.
    fn rotations(&self, work: &Work) -> Result<[Rate; 4]> {
        let Self { evaluator, fresh, sums, keys, .. } = self;
        let hoisted = evaluator.hoist(&fresh[0])?;
        let rotate = |n: usize| evaluator.rotate_hoisted_extended(&hoisted, self.rotation(n), keys);
        let giant = |n: usize| evaluator.rotate_extended(cycled(sums, n), self.rotation(n), keys);
        let copy = |n: usize| cycled(sums, n).clone();
        let down = |sum: ExtendedCiphertext| evaluator.mod_down(sum);
        let hoist = |n: usize| evaluator.hoist(cycled(fresh, n));
        let operations = [both(|n| n, hoist), both(|n| n, rotate), both(|n| n, giant), both(copy, down)];
        rates([work.hoist(), work.rotate(), work.giant(), work.mod_down()], operations)
    }

    /// Relinearisations, rescales, products, and sums.
    fn arithmetic(&self, work: &Work) -> Result<[Rate; 4]> {
        let Self { evaluator, fresh, products, keys, .. } = self;
        let relinearize = |n: usize| evaluator.relinearize(cycled(products, n), keys);
        let copy = |n: usize| cycled(fresh, n).clone();
        let rescale = |x: Ciphertext| evaluator.rescale(x);
        let square = |n: usize| evaluator.square(cycled(fresh, n));
        let pair = |n: usize| (cycled(fresh, 2 * n).clone(), cycled(fresh, 2 * n + 1));
        let add = |(mut x, y): (Ciphertext, &Ciphertext)| evaluator.add_assign(&mut x, y).map(|()| x);
        let operations = [both(|n| n, relinearize), both(copy, rescale), both(|n| n, square), both(pair, add)];
        rates([work.relinearize(), 2.0 * work.rescale(), work.limbs, 2.0 * work.limbs], operations)
    }

    /// Core-seconds of a product in the sums of a matrix, for each limb and part; of diagonals that come from memory, and of those that
    /// repeat themselves.
    fn diagonals(&self) -> Result<[f64; 2]> {
        let Self { params, encoder, evaluator, values, .. } = self;
        let level = params.max_level() / 2;
        let extended = params.limbs(level)? + params.ring().full_basis().p;
        let mut x = self.fresh[0].clone();
        evaluator.drop_level_assign(&mut x, level)?;
        let rotated = (0..BABIES).map(|_| evaluator.extend(&x)).collect::<ckks::Result<Vec<_>>>()?;
        let sets = COLD_BYTES / (8 * extended * params.ring().n() * BABIES * GIANTS) + 2;
        let diagonals = |repetitions: usize| -> ckks::Result<Vec<ExtendedPlaintext>> {
            let slots = values[..values.len() / repetitions].repeat(repetitions);
            let diagonal = encoder.encode(&slots, Scale::power_of_two(SCALE_BITS), level)?.extend();
            Ok(vec![diagonal; sets * BABIES * GIANTS])
        };
        let (whole, repeated) = (diagonals(1)?, diagonals(REPETITIONS)?);
        let sums = |diagonals: &[ExtendedPlaintext], turn: usize| {
            let of_turn = diagonals.chunks(BABIES * GIANTS).cycle().skip(turn % sets).take(1).flatten();
            let terms: Vec<_> = rotated.iter().cycle().zip(of_turn).collect();
            let sums: Vec<Vec<_>> = terms.chunks(BABIES).map(<[_]>::to_vec).collect();
            evaluator.inner_products_extended(&sums)
        };
        let times = in_turns([&whole, &repeated].map(|diagonals| one(|turn| turn, |turn| sums(diagonals, turn))))?;
        let products = (2 * extended * BABIES * GIANTS) as f64;
        Ok(times.map(|time| time * rayon::current_num_threads() as f64 / products))
    }

    /// Core-seconds of encodings, apart from their limbs and for each unit of work of those, and of the expansion of a limb.
    fn encodings(&self, work: &Work) -> Result<(f64, f64, f64)> {
        let encode = |level: usize| self.encoder.encode(&self.values, Scale::power_of_two(SCALE_BITS), level);
        let extend = |_: usize| Ok(encode(self.params.max_level())?.extend());
        let expand = |seeded: SeededCiphertext| Ok(seeded.into_expanded());
        let seeded = |_: usize| self.seeded.clone();
        let [least, all, expand] = in_turns([many(|n| n, |_| encode(0)), many(|n| n, extend), many(seeded, expand)])?;
        let limb = ((all - least) / (work.encoding() - 1.0)).max(0.0);
        Ok(((least - limb).max(0.0), limb, expand / work.limbs))
    }
}
