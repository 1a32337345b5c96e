//! Twiddle factors with their Shoup quotients, in the order in which the kernels of a backend read them.

use aligned_vec::AVec;

use super::kernel::{Backend, Shape};
use super::modulus::{Modulus, ShoupFactor};
use super::ntt::RingKind;

/// The factors of one transform, for the backend that they are given to.
#[derive(Debug, Clone)]
pub(crate) enum Twiddles {
    /// Node i of the layer of m nodes, which splits blocks of N/m words, at m + i.
    Tree(Vec<ShoupFactor>),
    /// For kernels that take several layers at a time.
    Passes(Passes),
}

/// Layers gathered into passes: of radix R over whole vectors while blocks are longer than L^2 words, L the lanes of a vector, then
/// leaves of L^2 words that stay in L registers.
#[derive(Debug, Clone)]
pub(crate) struct Passes {
    /// From the root to the leaves.
    pub(crate) passes: Vec<Pass>,
    /// A leaf has a record of radix L for the layers between vectors, then, for those inside, L − 1 vectors of values, unless these are
    /// left to the kernel ([`Shape::lane_fields`]), and L − 1 of quotients, where lane s stands for the s-th L words of the leaf. Factors
    /// are as [`Backend::factor_words`] makes them.
    pub(crate) leaves: AVec<u64>,
    /// How many words of a factor inside vectors there are.
    pub(crate) lane_fields: usize,
    /// Words of the transform.
    n: usize,
}

/// All nodes of log2 R layers that are done at once.
#[derive(Debug, Clone)]
pub(crate) struct Pass {
    pub(crate) radix: usize,
    /// 2 R words a node: at h and R + h value and quotient of its descendant h, numbered from 1 as in a heap.
    pub(crate) records: AVec<u64>,
}

impl Twiddles {
    /// Words of the transform.
    pub(crate) fn n(&self) -> usize {
        match self {
            Self::Tree(factors) => factors.len(),
            Self::Passes(passes) => passes.n,
        }
    }

    /// From the factors in the order of the tree.
    pub(crate) fn new(modulus: &Modulus, tree: &[u64], kind: RingKind, backend: Backend) -> Self {
        let factors: Vec<ShoupFactor> = tree.iter().map(|&value| modulus.shoup(value)).collect();
        let Some(Shape { lanes, widest: [root, widest], lane_fields }) = backend.shape(tree.len(), kind) else {
            return Self::Tree(factors);
        };
        // Leaves are not the only pass: the last layer of an inverse transform is special.
        if tree.len() < 2 * lanes * lanes {
            return Self::Tree(factors);
        }
        let descendants = |m: usize, i: usize, radix: usize| {
            let heap = (1..radix).map(move |h| (((m + i) << h.ilog2()) + h) - (1 << h.ilog2()));
            heap.map(|at| factors[at])
        };
        let record = |words: &mut AVec<u64>, m: usize, i: usize, radix: usize| {
            for field in 0..2 {
                words.push(0);
                descendants(m, i, radix).for_each(|w| words.push(backend.factor_words(modulus, w)[field]));
            }
        };
        let (mut passes, mut m) = (Vec::new(), 1);
        let leaf_nodes = tree.len() / (lanes * lanes);
        while m < leaf_nodes {
            // No radix 2 beside a larger one: 16 = 4 x 4.
            let radix = match leaf_nodes / m {
                rest if m == 1 && root < widest => rest.min(root),
                4 | 16 => 4,
                rest => rest.min(widest),
            };
            let mut records = AVec::with_capacity(0, 2 * radix * m);
            (0..m).for_each(|i| record(&mut records, m, i, radix));
            passes.push(Pass { radix, records });
            m *= radix;
        }
        let mut leaves = AVec::with_capacity(0, 2 * tree.len());
        for i in 0..m {
            record(&mut leaves, m, i, lanes);
            for field in lane_fields.clone() {
                for h in 1..lanes {
                    let (layer, node) = (h.ilog2(), h - (1 << h.ilog2()));
                    for lane in 0..lanes {
                        let at = ((m * lanes + i * lanes + lane) << layer) + node;
                        leaves.push(backend.factor_words(modulus, factors[at])[field]);
                    }
                }
            }
        }
        Self::Passes(Passes { passes, leaves, lane_fields: lane_fields.len(), n: tree.len() })
    }
}
